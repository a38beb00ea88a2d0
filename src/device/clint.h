/* SPDX-License-Identifier: MIT */
/*
 * SiFive's core-local interruptor: a software interrupt and a timer comparator for each hart, and the time they share.
 *
 * Time is the machine's, in ticks of CLINT_TICK_NS; writes to mtime are ignored. Registers: msip at 4 * hart, mtimecmp at 0x4000
 * + 8
 * * hart, mtime at 0xbff8.
 * Spec: SiFive U54-MC manual, chapter 9; RISC-V ACLINT 1.0-rc4 (MSWI, MTIMER in the same places)
 */
#ifndef DOPPEL_DEVICE_CLINT_H
#define DOPPEL_DEVICE_CLINT_H

#include "core/bus.h"
#include "core/device.h"
#include "core/irq.h"
#include "core/vm_clock.h"

enum { CLINT_HARTS = 64, CLINT_IO_SIZE = 0x10000, CLINT_TICK_NS = 100 };

struct clint_hart {
    struct irq_line soft, timer;
    struct vm_timer alarm;
};

struct clint {
    struct vm_clock *clock; /* borrowed (the machine's) */
    unsigned nr_harts;
    struct clint_hart hart[CLINT_HARTS];
    /* state */
    uint8_t msip[CLINT_HARTS];
    uint64_t mtimecmp[CLINT_HARTS];
};

extern const struct io_ops clint_io_ops; /* CLINT_IO_SIZE bytes */
extern const struct device_class clint_class;

void clint_init(struct clint *clint, struct vm_clock *clock);
/* Adds the next hart, with its two lines (copied). At most CLINT_HARTS. */
void clint_add_hart(struct clint *clint, const struct irq_line *soft, const struct irq_line *timer);

#endif
