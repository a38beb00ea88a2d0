/* SPDX-License-Identifier: MIT */
/*
 * Platform-level interrupt controller.
 */
#include "device/plic.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

enum {
    REG_PENDING = 0x1000,
    REG_ENABLE = 0x2000,
    ENABLE_STRIDE = 0x80,
    REG_CONTEXT = 0x200000,
    CONTEXT_STRIDE = 0x1000,
    CONTEXT_THRESHOLD = 0,
    CONTEXT_CLAIM = 4,
};

static bool bit_get(const uint32_t *words, unsigned n)
{
    return words[n / 32] >> n % 32 & 1;
}

static void bit_set(uint32_t *words, unsigned n, bool on)
{
    words[n / 32] = on ? words[n / 32] | 1U << n % 32 : words[n / 32] & ~(1U << n % 32);
}

/* The source that a context would claim; 0: none. Of equal priorities the lowest number wins. */
static unsigned best_source(const struct plic *p, unsigned context)
{
    unsigned best = 0;
    for (unsigned w = 0; w < PLIC_WORDS; w++) {
        uint32_t open = p->pending[w] & p->enable[context * PLIC_WORDS + w];
        for (; open; open &= open - 1) {
            unsigned n = 32 * w + (unsigned)__builtin_ctz(open);
            if (p->priority[n] > (best ? p->priority[best] : 0))
                best = n;
        }
    }
    return best;
}

static void update(struct plic *p)
{
    for (unsigned k = 0; k < p->nr_contexts; k++)
        irq_set(&p->output[k], p->priority[best_source(p, k)] > p->threshold[k]);
}

void plic_set_irq(void *plic, unsigned source, bool level)
{
    struct plic *p = plic;
    assert(source > 0 && source < PLIC_SOURCES);
    bit_set(p->level, source, level);
    if (bit_get(p->claimed, source))
        return;
    bit_set(p->pending, source, level);
    update(p);
}

static uint32_t claim(struct plic *p, unsigned context)
{
    unsigned n = best_source(p, context);
    if (!n)
        return 0;
    bit_set(p->pending, n, false);
    bit_set(p->claimed, n, true);
    update(p);
    return n;
}

/* Completion by a context that does not have the source enabled is ignored. */
static void complete(struct plic *p, unsigned context, uint32_t source)
{
    if (source == 0 || source >= PLIC_SOURCES || !bit_get(&p->enable[context * PLIC_WORDS], source)) {
        guest_err(&p->errors, "plic: completion of source %" PRIu32 " by context %u", source, context);
        return;
    }
    bit_set(p->claimed, source, false);
    bit_set(p->pending, source, bit_get(p->level, source));
    update(p);
}

static uint64_t plic_read(void *dev, uint64_t offset, unsigned size)
{
    struct plic *p = dev;
    (void)size;
    if (offset < REG_PENDING)
        return offset / 4 < PLIC_SOURCES ? p->priority[offset / 4] : 0;
    if (offset < REG_ENABLE)
        return (offset - REG_PENDING) / 4 < PLIC_WORDS ? p->pending[(offset - REG_PENDING) / 4] : 0;
    if (offset < REG_CONTEXT) {
        uint64_t context = (offset - REG_ENABLE) / ENABLE_STRIDE, word = (offset - REG_ENABLE) % ENABLE_STRIDE / 4;
        return context < p->nr_contexts && word < PLIC_WORDS ? p->enable[context * PLIC_WORDS + word] : 0;
    }
    uint64_t context = (offset - REG_CONTEXT) / CONTEXT_STRIDE;
    if (context >= p->nr_contexts)
        return 0;
    switch ((offset - REG_CONTEXT) % CONTEXT_STRIDE) {
    case CONTEXT_THRESHOLD: return p->threshold[context];
    case CONTEXT_CLAIM: return claim(p, (unsigned)context);
    }
    return 0;
}

static void write_enable(struct plic *p, uint64_t at, uint32_t v)
{
    uint64_t context = at / ENABLE_STRIDE, word = at % ENABLE_STRIDE / 4;
    if (context >= p->nr_contexts || word >= PLIC_WORDS)
        return;
    p->enable[context * PLIC_WORDS + word] = word == 0 ? v & ~1U : v; /* there is no source 0 */
    update(p);
}

static void plic_write(void *dev, uint64_t offset, uint64_t value, unsigned size)
{
    struct plic *p = dev;
    (void)size;
    if (offset < REG_PENDING) {
        if (offset / 4 > 0 && offset / 4 < PLIC_SOURCES)
            p->priority[offset / 4] = (uint8_t)(value & PLIC_PRIORITY_MAX);
        update(p);
        return;
    }
    if (offset < REG_CONTEXT) {
        if (offset >= REG_ENABLE)
            write_enable(p, offset - REG_ENABLE, (uint32_t)value);
        return;
    }
    uint64_t context = (offset - REG_CONTEXT) / CONTEXT_STRIDE;
    if (context >= p->nr_contexts)
        return;
    switch ((offset - REG_CONTEXT) % CONTEXT_STRIDE) {
    case CONTEXT_THRESHOLD:
        p->threshold[context] = (uint8_t)(value & PLIC_PRIORITY_MAX);
        update(p);
        break;
    case CONTEXT_CLAIM: complete(p, (unsigned)context, (uint32_t)value); break;
    }
}

static void plic_reset(void *dev)
{
    struct plic *p = dev;
    memset(p->level, 0, sizeof(p->level));
    memset(p->pending, 0, sizeof(p->pending));
    memset(p->claimed, 0, sizeof(p->claimed));
    memset(p->priority, 0, sizeof(p->priority));
    memset(p->enable, 0, sizeof(p->enable));
    memset(p->threshold, 0, sizeof(p->threshold));
    update(p);
}

static int plic_post_load(void *object, struct error *err)
{
    struct plic *p = object;
    (void)err;
    for (unsigned n = 0; n < PLIC_SOURCES; n++)
        p->priority[n] &= PLIC_PRIORITY_MAX;
    p->priority[0] = 0;
    for (unsigned k = 0; k < PLIC_CONTEXTS; k++)
        p->enable[k * PLIC_WORDS] &= ~1U;
    update(p);
    return 0;
}

static const struct state_field plic_fields[] = {
    STATE_ARRAY(struct plic, level, STATE_U32),
    STATE_ARRAY(struct plic, pending, STATE_U32),
    STATE_ARRAY(struct plic, claimed, STATE_U32),
    STATE_ARRAY(struct plic, priority, STATE_U8),
    STATE_ARRAY(struct plic, enable, STATE_U32),
    STATE_ARRAY(struct plic, threshold, STATE_U8),
    STATE_END,
};
static const struct state_desc plic_state = { .name = "plic", .version = 1, .fields = plic_fields, .post_load = plic_post_load };

const struct io_ops plic_io_ops = { .read = plic_read, .write = plic_write, .min_size = 4, .max_size = 4 };
const struct device_class plic_class = { .name = "plic", .reset = plic_reset, .state = &plic_state };

void plic_init(struct plic *plic)
{
    memset(plic, 0, sizeof(*plic));
}

void plic_add_context(struct plic *plic, const struct irq_line *output)
{
    assert(plic->nr_contexts < PLIC_CONTEXTS);
    plic->output[plic->nr_contexts++] = *output;
}
