/* SPDX-License-Identifier: MIT */
/*
 * 8254 programmable interval timer, three channels at 1.193182 MHz.
 *
 * Counters are not stepped: each is a start tick and a reload value, from which count and output follow for any guest
 * time. Channel 0's output drives an irq_line; the other two are read through i8254_out(). Edges of channel 0 closer
 * together than 50 us are thinned out.
 * Spec: Intel 8254 datasheet, order 231164-005.
 */
#ifndef DOPPEL_DEVICE_I8254_H
#define DOPPEL_DEVICE_I8254_H

#include "core/bus.h"
#include "core/device.h"
#include "core/irq.h"
#include "core/vm_clock.h"

enum { I8254_IO_SIZE = 4, I8254_HZ = 1193182, I8254_CHANNELS = 3 };

struct i8254_channel {
    uint64_t start;       /* tick (1/I8254_HZ s since guest time 0) at which `held` was valid */
    uint64_t held;        /* clocks counted before `start` */
    uint64_t next_at;     /* clocks since the load at which next_reload takes over (modes 2 and 3) */
    uint32_t reload;      /* 1..65536 clocks of the running count */
    uint32_t next_reload; /* written, takes effect at the end of the cycle (modes 2 and 3) or at the trigger; 0: none */
    uint16_t latch;
    uint8_t status;
    uint8_t mode;    /* 0..5 */
    uint8_t access;  /* 1: low byte, 2: high byte, 3: low then high */
    uint8_t low;     /* low byte written, waiting for the high one */
    uint8_t latched; /* bytes of `latch` still to be read */
    bool bcd, gate;
    bool write_high, read_high; /* the next byte of a two-byte access is the high one */
    bool status_latched;
    bool loaded;  /* a count was written since the control word */
    bool started; /* the count runs or ran (modes 1 and 5: triggered) */
};

struct i8254 {
    struct vm_clock *clock; /* borrowed (the machine's) */
    struct irq_line irq;    /* channel 0's output */
    struct vm_timer timer;
    struct guest_errors errors;
    /* state */
    struct i8254_channel ch[I8254_CHANNELS];
    uint64_t edge_at; /* guest ns of channel 0's next edge, VM_TIME_NEVER for none */
};

extern const struct io_ops i8254_io_ops; /* I8254_IO_SIZE bytes: port 40h */
extern const struct device_class i8254_class;

void i8254_init(struct i8254 *pit, struct vm_clock *clock, const struct irq_line *irq);
/* Level of a channel's OUT pin now; n 0..2. */
bool i8254_out(struct i8254 *pit, unsigned n);
/* Level of a channel's GATE pin; channels 0 and 1 are tied high on a PC. */
void i8254_set_gate(struct i8254 *pit, unsigned n, bool level);

#endif
