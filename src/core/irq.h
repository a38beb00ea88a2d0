/* SPDX-License-Identifier: MIT */
/*
 * How devices reach interrupt controllers: a wire to a pin (or to a reset line, or several of them), or a message.
 */
#ifndef DOPPEL_CORE_IRQ_H
#define DOPPEL_CORE_IRQ_H

#include <stdbool.h>
#include <stdint.h>

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

/* Takes a message-signalled interrupt, which is a write of 32 bits to an address. Machine's lock held; must not block. */
typedef void (*msi_fn)(void *opaque, uint64_t address, uint32_t data);

struct msi_sink {
    msi_fn fn;    /* NULL: messages get lost */
    void *opaque; /* borrowed (the board frees controllers after devices) */
};

static inline void msi_send(const struct msi_sink *sink, uint64_t address, uint32_t data)
{
    if (sink->fn)
        sink->fn(sink->opaque, address, data);
}

#endif
