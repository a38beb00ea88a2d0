/* SPDX-License-Identifier: MIT */
/*
 * Board `virt`: a riscv64 machine with the memory map of QEMU's board of that name.
 *
 * The guest starts in S-mode with the monitor as its SBI firmware. There is no device tree yet (a1 is 0 at the entry), so the
 * programs that run are those that know the board: the enum below is all there is to know.
 */
#ifndef DOPPEL_MACHINE_VIRT_H
#define DOPPEL_MACHINE_VIRT_H

#include "machine/board.h"

enum {
    VIRT_TEST = 0x100000,
    VIRT_CLINT = 0x2000000,
    VIRT_PLIC = 0xc000000,
    VIRT_UART = 0x10000000,
    VIRT_VIRTIO = 0x10001000, /* VIRT_VIRTIO_SLOTS places of VIRT_VIRTIO_STRIDE bytes */
    VIRT_VIRTIO_STRIDE = 0x1000,
    VIRT_VIRTIO_SLOTS = 8,
    VIRT_IRQ_VIRTIO = 1, /* and on */
    VIRT_IRQ_UART = 10,
    VIRT_HARTS_MAX = 8,
};
#define VIRT_RAM 0x80000000UL

extern const struct board_ops virt_board_ops;

#endif
