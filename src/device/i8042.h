/* SPDX-License-Identifier: MIT */
/*
 * 8042 keyboard controller with nothing plugged in: reset, A20, self test.
 *
 * A byte sent to the absent keyboard is answered as the controller reports a device that does not respond: FEh with the
 * timeout bit. There is no auxiliary (mouse) port: its commands go unanswered, as on an AT controller.
 * Spec: IBM PS/2 Hardware Interface Technical Reference, 1988, "Keyboard and Auxiliary Device Controller".
 */
#ifndef DOPPEL_DEVICE_I8042_H
#define DOPPEL_DEVICE_I8042_H

#include "core/bus.h"
#include "core/device.h"
#include "core/irq.h"

enum { I8042_IO_SIZE = 1 };

struct i8042 {
    struct irq_line irq;   /* keyboard: IRQ 1 */
    struct irq_line reset; /* pulsed to reset the machine */
    struct irq_line a20;   /* level of the A20 gate */
    struct guest_errors errors;
    /* state */
    uint8_t status;  /* OBF, SYS, A2, timeout */
    uint8_t command; /* the command byte */
    uint8_t output;  /* output buffer */
    uint8_t outport; /* output port: bit 0 reset (active low), bit 1 A20 */
    uint8_t pending; /* command that waits for its data byte, 0 for none */
    uint8_t ram[32];
};

extern const struct io_ops i8042_data_io_ops;    /* I8042_IO_SIZE byte: port 60h */
extern const struct io_ops i8042_command_io_ops; /* I8042_IO_SIZE byte: port 64h, same device pointer */
extern const struct device_class i8042_class;

/* The lines are copied; any may be NULL. */
void i8042_init(struct i8042 *kbc, const struct irq_line *irq, const struct irq_line *reset, const struct irq_line *a20);

#endif
