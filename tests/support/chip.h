/* SPDX-License-Identifier: MIT */
/*
 * What tests of chips share: a test clock, a recorder on an irq_line, byte accesses, and the save-load law.
 */
#ifndef DOPPEL_TESTS_CHIP_H
#define DOPPEL_TESTS_CHIP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/checked.h"
#include "core/bus.h"
#include "core/device.h"
#include "core/irq.h"
#include "core/vm_clock.h"

#define MS 1000000LL
#define US 1000LL

/* Remembers a line's level and counts its rising edges. */
struct probe {
    bool level;
    unsigned rises;
};

static inline void probe_set(void *opaque, unsigned pin, bool level)
{
    struct probe *p = opaque;
    (void)pin;
    p->rises += level && !p->level;
    p->level = level;
}

#define PROBE_LINE(p) (&(const struct irq_line){ .fn = probe_set, .opaque = (p) })

/* Time stands until the test moves it; wall time starts at 2026-01-01 00:00:00, a Thursday. */
static inline void test_clock(struct vm_clock *clock)
{
    vm_clock_init(clock, NULL, NULL);
    vm_clock_set_manual(clock);
    clock->wall_base = 1767225600LL * NS_PER_S;
}

static inline uint8_t rd(const struct io_ops *ops, void *dev, unsigned offset)
{
    return (uint8_t)ops->read(dev, offset, 1);
}

static inline void wr(const struct io_ops *ops, void *dev, unsigned offset, uint8_t value)
{
    ops->write(dev, offset, value, 1);
}

/* save(load(save(a))) = save(a), with b a fresh chip of the same kind. */
static inline void check_round_trip(const struct state_desc *desc, void *a, void *b)
{
    struct state_buf first = { 0 }, second = { 0 };
    struct error err = { 0 };
    assert_int_equal(state_save(desc, a, &first), 0);
    if (state_load(desc, b, &first, &err) < 0)
        fail_msg("%s", err.msg);
    assert_int_equal(first.pos, first.len);
    assert_null(state_diff(desc, a, b));
    assert_int_equal(state_save(desc, b, &second), 0);
    assert_int_equal(first.len, second.len);
    assert_memory_equal(first.data, second.data, first.len);
    state_buf_done(&first);
    state_buf_done(&second);
}

#endif
