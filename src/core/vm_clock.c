/* SPDX-License-Identifier: MIT */
/*
 * Guest time: the pausable clock, its TSC, and the sorted list of timers the I/O thread runs.
 *
 * Time values are read by any thread without a lock; they change only in resume, pause and set, when no vCPU runs.
 * TSC values become times relative to now, so that the error of the measured TSC rate does not add up.
 */
#include "core/vm_clock.h"

#include <assert.h>
#include <stdlib.h>

#include "base/checked.h"

enum { FIRES_A_RUN = 64 }; /* timers run before the loop looks at other things again */

static void lock(struct vm_clock *clock)
{
    if (clock->lock)
        (void)pthread_mutex_lock(clock->lock); /* a plain mutex never fails */
}

static void unlock(struct vm_clock *clock)
{
    if (clock->lock)
        (void)pthread_mutex_unlock(clock->lock);
}

void vm_clock_init(struct vm_clock *clock, pthread_mutex_t *mutex, struct loop *loop)
{
    *clock = (struct vm_clock){
        .lock = mutex,
        .loop = loop,
        .wall_base = clock_host_wall_ns(),
        .told = VM_TIME_NEVER,
    };
    if (loop)
        loop_set_timer(loop, vm_clock_run, clock);
}

void vm_clock_done(struct vm_clock *clock)
{
    if (clock && clock->loop)
        loop_set_timer(clock->loop, NULL, NULL);
}

void vm_clock_set_manual(struct vm_clock *clock)
{
    clock->manual = true;
    clock->tsc_hz = NS_PER_S;
}

uint64_t vm_clock_tsc_hz(const struct vm_clock *clock)
{
    return clock->tsc_hz ? clock->tsc_hz : clock_host_tsc_hz();
}

static struct vm_timer *pop_due(struct vm_clock *clock, ns_t now)
{
    struct vm_timer *t = clock->head;
    if (!t || t->deadline > now)
        return NULL;
    clock->head = t->next;
    t->next = NULL;
    t->deadline = VM_TIME_NEVER;
    return t;
}

void vm_clock_advance(struct vm_clock *clock, ns_t by)
{
    assert(clock->manual && by >= 0);
    ns_t end;
    if (ckd_add(&end, clock->frozen, by))
        end = VM_TIME_NEVER - 1;
    lock(clock);
    while (clock->head && clock->head->deadline <= end) {
        ns_t at = MAX(clock->head->deadline, clock->frozen);
        clock->tsc_frozen += (uint64_t)(at - clock->frozen);
        clock->frozen = at;
        struct vm_timer *t = pop_due(clock, at);
        t->fn(t->opaque, at);
    }
    clock->tsc_frozen += (uint64_t)(end - clock->frozen);
    clock->frozen = end;
    unlock(clock);
}

void vm_clock_resume(struct vm_clock *clock)
{
    if (clock->running || clock->manual)
        return;
    clock->host_base = clock_host_ns() - clock->frozen;
    clock->tsc_offset = clock->tsc_frozen - clock_host_tsc();
    clock->wall_base = clock_host_wall_ns() - clock->frozen;
    clock->running = true;
    clock->told = VM_TIME_NEVER;
    if (clock->loop)
        loop_wake(clock->loop);
}

void vm_clock_pause(struct vm_clock *clock)
{
    if (!clock->running)
        return;
    clock->frozen = clock_host_ns() - clock->host_base;
    clock->tsc_frozen = clock_host_tsc() + clock->tsc_offset;
    clock->running = false;
}

ns_t vm_clock_now(const struct vm_clock *clock)
{
    return clock->running ? clock_host_ns() - clock->host_base : clock->frozen;
}

ns_t vm_clock_wall(const struct vm_clock *clock)
{
    return clock->wall_base + vm_clock_now(clock);
}

uint64_t vm_clock_tsc(const struct vm_clock *clock)
{
    return clock->running ? clock_host_tsc() + clock->tsc_offset : clock->tsc_frozen;
}

ns_t vm_clock_tsc_to_ns(const struct vm_clock *clock, uint64_t tsc)
{
    ns_t now = vm_clock_now(clock);
    uint64_t tsc_now = vm_clock_tsc(clock), hz = vm_clock_tsc_hz(clock);
    /* At most 2^64 * 10^9: fits 128 bits. A tick is not over before it is over: round up. */
    if (tsc < tsc_now) {
        __int128 past = (__int128)now - (__int128)(tsc_now - tsc) * NS_PER_S / hz;
        return past < 0 ? 0 : (ns_t)past;
    }
    __int128 at = (__int128)now + ((__int128)(tsc - tsc_now) * NS_PER_S + hz - 1) / hz;
    return at > VM_TIME_NEVER ? VM_TIME_NEVER : (ns_t)at;
}

void vm_clock_set(struct vm_clock *clock, ns_t now, uint64_t tsc)
{
    assert(!clock->running);
    clock->frozen = now;
    clock->tsc_frozen = tsc;
    if (!clock->manual)
        clock->wall_base = clock_host_wall_ns() - now;
}

/* Host ns of the nearest deadline, or of an earlier one that the loop was told before: guests move their timers all the time, and
 * a turn too many when the old time comes costs less than setting the host's timer each time. The caller holds the lock. */
static int64_t next_locked(struct vm_clock *clock)
{
    ns_t next = clock->head ? clock->head->deadline : VM_TIME_NEVER, host;
    bool early = !clock->manual && clock->told > vm_clock_now(clock) && clock->told < next;
    clock->told = early ? clock->told : next;
    if (clock->told == VM_TIME_NEVER || ckd_add(&host, clock->told, clock->manual ? 0 : clock->host_base))
        return INT64_MAX;
    return host;
}

int64_t vm_clock_run(void *opaque)
{
    struct vm_clock *clock = opaque;
    lock(clock);
    if (!clock->running && !clock->manual) {
        clock->told = VM_TIME_NEVER; /* resume wakes the loop */
        unlock(clock);
        return INT64_MAX;
    }
    clock->in_run = true;
    for (int i = 0; i < FIRES_A_RUN; i++) {
        ns_t now = vm_clock_now(clock);
        struct vm_timer *t = pop_due(clock, now);
        if (!t)
            break;
        t->fn(t->opaque, now);
    }
    clock->in_run = false;
    int64_t next = next_locked(clock);
    unlock(clock);
    return next;
}

void vm_timer_init(struct vm_timer *timer, struct vm_clock *clock, vm_timer_fn fn, void *opaque)
{
    *timer = (struct vm_timer){ .fn = fn, .opaque = opaque, .clock = clock, .deadline = VM_TIME_NEVER };
}

void vm_timer_arm(struct vm_timer *timer, ns_t deadline)
{
    struct vm_clock *clock = timer->clock;
    vm_timer_disarm(timer);
    if (deadline == VM_TIME_NEVER)
        return;
    timer->deadline = deadline;
    struct vm_timer **at = &clock->head;
    while (*at && (*at)->deadline <= deadline)
        at = &(*at)->next;
    timer->next = *at;
    *at = timer;
    if (clock->loop && clock->running && !clock->in_run && deadline < clock->told) {
        clock->told = deadline;
        loop_wake(clock->loop);
    }
}

void vm_timer_disarm(struct vm_timer *timer)
{
    if (timer->deadline == VM_TIME_NEVER)
        return;
    for (struct vm_timer **at = &timer->clock->head; *at; at = &(*at)->next)
        if (*at == timer) {
            *at = timer->next;
            break;
        }
    timer->next = NULL;
    timer->deadline = VM_TIME_NEVER;
}
