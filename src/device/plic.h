/* SPDX-License-Identifier: MIT */
/*
 * The RISC-V platform-level interrupt controller: level-triggered sources, priorities, and two contexts a hart (M, then S).
 *
 * A source whose line is high is pending until a context claims it, and again after the completion if it still is. Priority 0 is
 * never delivered. Accesses are of 32 bits; reserved registers read 0.
 * Spec: RISC-V PLIC specification 1.0.0
 */
#ifndef DOPPEL_DEVICE_PLIC_H
#define DOPPEL_DEVICE_PLIC_H

#include "core/bus.h"
#include "core/device.h"
#include "core/irq.h"

enum { PLIC_SOURCES = 96, PLIC_WORDS = PLIC_SOURCES / 32, PLIC_CONTEXTS = 128, PLIC_PRIORITY_MAX = 7, PLIC_IO_SIZE = 0x600000 };

struct plic {
    unsigned nr_contexts;
    struct irq_line output[PLIC_CONTEXTS];
    struct guest_errors errors;
    /* state */
    uint32_t level[PLIC_WORDS], pending[PLIC_WORDS], claimed[PLIC_WORDS]; /* a bit each source */
    uint8_t priority[PLIC_SOURCES];
    uint32_t enable[PLIC_CONTEXTS * PLIC_WORDS];
    uint8_t threshold[PLIC_CONTEXTS];
};

extern const struct io_ops plic_io_ops; /* PLIC_IO_SIZE bytes */
extern const struct device_class plic_class;

void plic_init(struct plic *plic);
/* Adds the next context, whose interrupts go to `output` (copied). At most PLIC_CONTEXTS. */
void plic_add_context(struct plic *plic, const struct irq_line *output);
/* An irq_fn; pin: the source, 1..PLIC_SOURCES-1. */
void plic_set_irq(void *plic, unsigned source, bool level);

#endif
