/* SPDX-License-Identifier: MIT */
/*
 * 8259A programmable interrupt controller; a PC has two, the second one's output on pin 2 of the first.
 *
 * One struct is one chip. The master knows its slave for the interrupt-acknowledge cycle only; the slave's INT output
 * reaches the master through an ordinary irq_line to its pin 2. Each chip also holds its edge/level control register
 * (ELCR), which stands in for LTIM. MCS-80 mode is taken as programmed but always answers in 8086 mode.
 * Spec: Intel 8259A datasheet, order 231468-003; ELCR: Intel 82371SB (PIIX3) 290550-002, 2.5.3.
 */
#ifndef DOPPEL_DEVICE_I8259_H
#define DOPPEL_DEVICE_I8259_H

#include "core/bus.h"
#include "core/device.h"
#include "core/irq.h"

enum { I8259_IO_SIZE = 2, I8259_ELCR_SIZE = 1, I8259_CASCADE_PIN = 2 };

struct i8259 {
    struct i8259 *slave;  /* borrowed (the board's); NULL on the slave itself */
    struct irq_line intr; /* the INT output */
    bool is_slave;
    uint8_t elcr_mask; /* lines whose trigger the guest may choose */
    struct guest_errors errors;
    /* state */
    uint8_t lines; /* input levels */
    uint8_t irr;   /* edges latched; level-triggered lines show through from `lines` */
    uint8_t isr, imr;
    uint8_t elcr;   /* 1: level triggered */
    uint8_t vector; /* ICW2, low three bits zero */
    uint8_t icw1, icw3, icw4;
    uint8_t expect; /* next ICW written to the odd port: 2, 3, 4; 0: none, it is OCW1 */
    uint8_t lowest; /* line with the lowest priority, 7 after initialisation */
    bool read_isr;  /* OCW3: even port reads ISR, else IRR */
    bool poll;      /* OCW3: the next read acknowledges */
    bool special_mask;
    bool rotate_aeoi;
};

extern const struct io_ops i8259_io_ops;      /* I8259_IO_SIZE bytes: ports 20h and A0h */
extern const struct io_ops i8259_elcr_io_ops; /* I8259_ELCR_SIZE byte: ports 4D0h and 4D1h, same device pointer */
extern const struct device_class i8259_class;

/* slave: NULL when this chip is the slave. intr is copied. */
void i8259_init(struct i8259 *pic, struct i8259 *slave, const struct irq_line *intr);
/* An irq_fn: opaque is the struct i8259, pin 0..7. */
void i8259_set_irq(void *pic, unsigned pin, bool level);
/* The master's interrupt acknowledge: returns the vector, 7 of master or slave when the request is gone (spurious). With
 * `take` false nothing changes. Fits lapic_bus.extint. */
int i8259_inta(void *pic, bool take);

#endif
