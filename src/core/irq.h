/* SPDX-License-Identifier: MIT */
/*
 * A wire from a device to whatever it is soldered to: an interrupt controller pin, a reset line, several of them.
 */
#ifndef DOPPEL_CORE_IRQ_H
#define DOPPEL_CORE_IRQ_H

#include <stdbool.h>

/* Called with the machine's lock held on every irq_set(), also when the level did not change. Must not block. */
typedef void (*irq_fn)(void *opaque, unsigned pin, bool level);

struct irq_line {
    irq_fn fn;    /* NULL: not connected */
    void *opaque; /* borrowed (the board frees controllers after devices) */
    unsigned pin;
};

static inline void irq_set(const struct irq_line *line, bool level)
{
    if (line && line->fn)
        line->fn(line->opaque, line->pin, level);
}

/* A rising and a falling edge. */
static inline void irq_pulse(const struct irq_line *line)
{
    irq_set(line, true);
    irq_set(line, false);
}

#endif
