/* SPDX-License-Identifier: MIT */
/*
 * MC146818 real-time clock with 128 bytes of CMOS memory, as on a PC.
 *
 * The time registers are not stepped: while the clock runs they are computed from the guest's wall clock plus an offset
 * that the guest changes by setting the time; while SET or a divider reset holds it, they are plain memory. Interrupt
 * flags are found by looking back to the last check. The century is at 32h; UTC.
 * Spec: Motorola MC146818 datasheet, 1984 (ADI-856R1).
 */
#ifndef DOPPEL_DEVICE_MC146818_H
#define DOPPEL_DEVICE_MC146818_H

#include "core/bus.h"
#include "core/device.h"
#include "core/irq.h"
#include "core/vm_clock.h"

enum { MC146818_IO_SIZE = 2, MC146818_NVRAM = 128, MC146818_CENTURY = 0x32 };

struct mc146818 {
    struct vm_clock *clock; /* borrowed (the machine's) */
    struct irq_line irq;
    struct vm_timer timer;
    struct guest_errors errors;
    /* state */
    uint8_t index;               /* port 70h, with the NMI mask in bit 7 */
    uint8_t ram[MC146818_NVRAM]; /* 00..09h and 32h are computed while the clock runs */
    uint64_t offset;             /* signed ns, added to the wall clock */
    uint64_t checked;            /* RTC time in ns up to which flags were set */
};

extern const struct io_ops mc146818_io_ops; /* MC146818_IO_SIZE bytes: port 70h */
extern const struct device_class mc146818_class;

void mc146818_init(struct mc146818 *rtc, struct vm_clock *clock, const struct irq_line *irq);
/* Puts a byte of CMOS memory there for the guest (as firmware would); index 0Eh..7Fh, not the century. */
void mc146818_poke(struct mc146818 *rtc, unsigned index, uint8_t value);

#endif
