/* SPDX-License-Identifier: MIT */
/*
 * System control port B (61h): speaker gate and data, timer 2's output, the refresh toggle.
 *
 * Spec: IBM PC AT Technical Reference, "System board I/O"; Intel 82371SB (PIIX3) 2.5.2.1.
 */
#ifndef DOPPEL_DEVICE_PORT61_H
#define DOPPEL_DEVICE_PORT61_H

#include "core/bus.h"
#include "core/device.h"
#include "core/vm_clock.h"

struct i8254;

enum {
    PORT61_IO_SIZE = 1,
    PORT61_GATE2 = 1 << 0,
    PORT61_SPEAKER = 1 << 1,
    PORT61_PARITY_OFF = 1 << 2,
    PORT61_IOCHK_OFF = 1 << 3,
    PORT61_REFRESH = 1 << 4, /* read: toggles every 15.085 us */
    PORT61_OUT2 = 1 << 5,    /* read */
};

struct port61 {
    struct vm_clock *clock; /* borrowed (the machine's) */
    struct i8254 *pit;      /* borrowed (the board's) */
    uint8_t control;        /* state: the four writable bits */
};

extern const struct io_ops port61_io_ops;
extern const struct device_class port61_class;

void port61_init(struct port61 *port, struct vm_clock *clock, struct i8254 *pit);

#endif
