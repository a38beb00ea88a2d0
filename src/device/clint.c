/* SPDX-License-Identifier: MIT */
/*
 * Core-local interruptor.
 */
#include "device/clint.h"

#include <assert.h>
#include <string.h>

enum { REG_MTIMECMP = 0x4000, REG_MTIME = 0xbff8 };

static uint64_t now(const struct clint *c)
{
    return (uint64_t)vm_clock_now(c->clock) / CLINT_TICK_NS;
}

static void update_timer(struct clint *c, unsigned n)
{
    struct clint_hart *h = &c->hart[n];
    bool due = now(c) >= c->mtimecmp[n];
    irq_set(&h->timer, due);
    if (!due && c->mtimecmp[n] < VM_TIME_NEVER / CLINT_TICK_NS)
        vm_timer_arm(&h->alarm, (ns_t)(c->mtimecmp[n] * CLINT_TICK_NS));
    else
        vm_timer_disarm(&h->alarm);
}

static void alarm_fired(void *opaque, ns_t at)
{
    struct clint_hart *h = opaque;
    (void)at;
    irq_set(&h->timer, true);
}

/* Replaces the bytes of a 64-bit register that a write of 4 or 8 covers. */
static uint64_t replace(uint64_t old, uint64_t offset, uint64_t value, unsigned size)
{
    if (size == 8)
        return value;
    unsigned shift = offset & 4 ? 32 : 0;
    return (old & ~(0xffffffffULL << shift)) | (value & 0xffffffff) << shift;
}

static uint64_t part(uint64_t v, uint64_t offset, unsigned size)
{
    return size == 8 ? v : (uint32_t)(offset & 4 ? v >> 32 : v);
}

static uint64_t read_msip(const struct clint *c, uint64_t n)
{
    return n < c->nr_harts ? c->msip[n] : 0;
}

static uint64_t clint_read(void *dev, uint64_t offset, unsigned size)
{
    struct clint *c = dev;
    if (offset < REG_MTIMECMP)
        return read_msip(c, offset / 4) | (size == 8 ? read_msip(c, offset / 4 + 1) << 32 : 0);
    if (offset < REG_MTIME) {
        uint64_t n = (offset - REG_MTIMECMP) / 8;
        return n < c->nr_harts ? part(c->mtimecmp[n], offset, size) : 0;
    }
    return offset < REG_MTIME + 8 ? part(now(c), offset, size) : 0;
}

static void write_msip(struct clint *c, uint64_t n, uint64_t value)
{
    if (n >= c->nr_harts)
        return;
    c->msip[n] = value & 1;
    irq_set(&c->hart[n].soft, c->msip[n]);
}

static void clint_write(void *dev, uint64_t offset, uint64_t value, unsigned size)
{
    struct clint *c = dev;
    uint64_t n = (offset - REG_MTIMECMP) / 8;
    if (offset < REG_MTIMECMP) {
        write_msip(c, offset / 4, value);
        if (size == 8)
            write_msip(c, offset / 4 + 1, value >> 32);
    } else if (offset < REG_MTIME && n < c->nr_harts) {
        c->mtimecmp[n] = replace(c->mtimecmp[n], offset, value, size);
        update_timer(c, (unsigned)n);
    }
}

static void clint_reset(void *dev)
{
    struct clint *c = dev;
    for (unsigned n = 0; n < c->nr_harts; n++) {
        write_msip(c, n, 0);
        c->mtimecmp[n] = UINT64_MAX;
        update_timer(c, n);
    }
}

static void clint_done(void *dev)
{
    struct clint *c = dev;
    for (unsigned n = 0; n < c->nr_harts; n++)
        vm_timer_disarm(&c->hart[n].alarm);
}

static int clint_post_load(void *object, struct error *err)
{
    struct clint *c = object;
    (void)err;
    for (unsigned n = 0; n < c->nr_harts; n++) {
        write_msip(c, n, c->msip[n]);
        update_timer(c, n);
    }
    return 0;
}

static const struct state_field clint_fields[] = {
    STATE_ARRAY(struct clint, msip, STATE_U8),
    STATE_ARRAY(struct clint, mtimecmp, STATE_U64),
    STATE_END,
};
static const struct state_desc clint_state = {
    .name = "clint",
    .version = 1,
    .fields = clint_fields,
    .post_load = clint_post_load,
};

const struct io_ops clint_io_ops = { .read = clint_read, .write = clint_write, .min_size = 4, .max_size = 8 };
const struct device_class clint_class = { .name = "clint", .reset = clint_reset, .done = clint_done, .state = &clint_state };

void clint_init(struct clint *clint, struct vm_clock *clock)
{
    memset(clint, 0, sizeof(*clint));
    clint->clock = clock;
}

void clint_add_hart(struct clint *clint, const struct irq_line *soft, const struct irq_line *timer)
{
    assert(clint->nr_harts < CLINT_HARTS);
    struct clint_hart *h = &clint->hart[clint->nr_harts++];
    h->soft = *soft;
    h->timer = *timer;
    vm_timer_init(&h->alarm, clint->clock, alarm_fired, h);
}
