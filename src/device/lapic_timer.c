/* SPDX-License-Identifier: MIT */
/*
 * The local APIC's timer: one-shot, periodic and TSC deadline.
 *
 * The count is not stepped: timer_deadline says when it reaches 0, at one bus clock a nanosecond. Periodic expiries that the
 * host was too late for are dropped, and periods under 50 us are stretched to that.
 * Spec: Intel SDM 3A 11.5.4.
 */
#include "base/checked.h"
#include "device/lapic.h"

enum { MIN_PERIOD_NS = 50000 };

static uint32_t mode(const struct lapic *a)
{
    return a->lvt[LVT_TIMER] & LVT_TIMER_MODE;
}

/* Bus clocks a count: 1, 2, ... 128. Spec: figure 11-10 */
static uint64_t divisor(const struct lapic *a)
{
    unsigned code = (a->divide & 3) | (a->divide & 8) >> 1;
    return 1ULL << ((code + 1) & 7);
}

static uint64_t period(const struct lapic *a)
{
    return MAX(a->initial_count * divisor(a), (uint64_t)MIN_PERIOD_NS);
}

static uint64_t now_ns(const struct lapic *a)
{
    return (uint64_t)vm_clock_now(a->clock);
}

/* The deadline as guest ns; VM_TIME_NEVER when it lies beyond. */
static ns_t deadline_ns(const struct lapic *a)
{
    __int128 tsc = (__int128)a->tsc_deadline - (int64_t)a->tsc_adjust;
    if (tsc < 0)
        return 0;
    return tsc > UINT64_MAX ? VM_TIME_NEVER : vm_clock_tsc_to_ns(a->clock, (uint64_t)tsc);
}

void lapic_timer_rearm(struct lapic *apic)
{
    ns_t at = (ns_t)apic->timer_deadline;
    if (mode(apic) == LVT_TSC_DEADLINE)
        at = apic->tsc_deadline ? deadline_ns(apic) : VM_TIME_NEVER;
    vm_timer_arm(&apic->timer, at);
}

static void on_expiry(void *opaque, ns_t now)
{
    struct lapic *a = opaque;
    if (mode(a) == LVT_TSC_DEADLINE) {
        a->tsc_deadline = 0;
    } else if (mode(a) == LVT_PERIODIC && a->initial_count) {
        uint64_t p = period(a), late = (uint64_t)now - MIN(a->timer_deadline, (uint64_t)now);
        a->timer_deadline = MIN(a->timer_deadline, (uint64_t)now) + (late / p + 1) * p;
        lapic_timer_rearm(a);
    } else {
        a->timer_deadline = VM_TIME_NEVER;
    }
    lapic_local(a, LVT_TIMER);
}

void lapic_timer_init(struct lapic *apic)
{
    vm_timer_init(&apic->timer, apic->clock, on_expiry, apic);
}

uint32_t lapic_timer_current(const struct lapic *apic)
{
    uint64_t now = now_ns(apic), end = apic->timer_deadline;
    if (mode(apic) == LVT_TSC_DEADLINE || end == VM_TIME_NEVER)
        return 0;
    uint64_t left = end > now ? end - now : 0;
    if (left == 0 && mode(apic) == LVT_PERIODIC) /* expired, and the host has not noticed yet */
        left = period(apic) - (now - end) % period(apic);
    uint64_t count = (left + divisor(apic) - 1) / divisor(apic);
    return (uint32_t)MIN(count, (uint64_t)UINT32_MAX);
}

/* Lets the count run from `count` down. */
static void run_from(struct lapic *a, uint32_t count)
{
    a->timer_deadline = count ? now_ns(a) + count * divisor(a) : VM_TIME_NEVER;
    lapic_timer_rearm(a);
}

void lapic_timer_set_count(struct lapic *apic, uint32_t count)
{
    if (mode(apic) == LVT_TSC_DEADLINE)
        return; /* writes are ignored in this mode */
    apic->initial_count = count;
    run_from(apic, count);
}

void lapic_timer_set_divide(struct lapic *apic, uint32_t divide)
{
    uint32_t left = lapic_timer_current(apic);
    apic->divide = divide & 0xb;
    if (mode(apic) != LVT_TSC_DEADLINE)
        run_from(apic, left);
}

void lapic_timer_mode_changed(struct lapic *apic, uint32_t old_lvt)
{
    bool was_tsc = (old_lvt & LVT_TIMER_MODE) == LVT_TSC_DEADLINE;
    if (was_tsc != (mode(apic) == LVT_TSC_DEADLINE)) { /* spec 11.5.4.1: the change disarms the timer */
        apic->initial_count = 0;
        apic->timer_deadline = VM_TIME_NEVER;
        apic->tsc_deadline = 0;
    }
    lapic_timer_rearm(apic);
}

void lapic_timer_set_deadline(struct lapic *apic, uint64_t tsc)
{
    if (mode(apic) != LVT_TSC_DEADLINE)
        return;
    apic->tsc_deadline = tsc;
    if (tsc && deadline_ns(apic) <= vm_clock_now(apic->clock)) {
        vm_timer_disarm(&apic->timer);
        on_expiry(apic, vm_clock_now(apic->clock)); /* spares the way through the I/O thread */
        return;
    }
    lapic_timer_rearm(apic);
}

void lapic_set_tsc_adjust(struct lapic *apic, uint64_t adjust)
{
    apic->tsc_adjust = adjust;
    lapic_timer_rearm(apic);
}
