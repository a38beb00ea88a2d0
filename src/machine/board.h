/* SPDX-License-Identifier: MIT */
/*
 * What a board is to the machine: RAM, chips and vCPUs made from a vm_config, a power-on, and a list of its chips.
 */
#ifndef DOPPEL_MACHINE_BOARD_H
#define DOPPEL_MACHINE_BOARD_H

#include "core/device.h"
#include "core/engine.h"
#include "core/vm.h"

struct vm_config;
struct machine_ports;
struct machine_balloon;

/* A chip of the board, for reset, save and load. */
struct board_chip {
    const struct device_class *class; /* borrowed (static) */
    void *dev;                        /* borrowed (the board's) */
};

struct board_ops {
    const char *name;
    /* Mandatory. Checks what only the board understands: the CPU model's name. -EINVAL. */
    int (*check)(const struct vm_config *config, struct error *err);
    /* Mandatory. Maps RAM, wires the chips, makes vm->vcpu[] (the machine frees those, before free()). vm is
     * initialised; config and ports outlive the board. On failure the board may be half-made: *ret_board is set as soon
     * as there is something to free. */
    int (*new)(const struct vm_config *config, const struct machine_ports *ports, const struct engine_ops *engine, struct vm *vm,
               void **ret_board, struct error *err);
    /* Mandatory. Takes half-made ones and NULL. */
    void (*free)(void *board);
    /* Mandatory. Power-on: memory, CPUs and chips to their reset state, then what firmware and boot loader do: the kernel is
     * in memory and CPU 0 stands at its entry. No vCPU runs. */
    int (*power_on)(void *board, struct error *err);
    /* Mandatory. The chips in the order in which they are saved and loaded. */
    const struct board_chip *(*chips)(void *board, unsigned *ret_nr);
    /* Optional. Presses the power button; whether the guest listens to it. Machine's lock held. */
    bool (*power_button)(void *board);
    /* Optional, as the next two; false: there is no such device. The terminal of the virtio console has this many columns and
     * rows. Machine's lock held. */
    bool (*console_size)(void *board, unsigned cols, unsigned rows);
    /* The guest is to keep so many bytes of its memory. Machine's lock held. */
    bool (*set_balloon)(void *board, uint64_t keep);
    /* What is known of the guest's memory; asks the guest for news. Machine's lock held. */
    bool (*get_balloon)(void *board, struct machine_balloon *ret_balloon);
};

#endif
