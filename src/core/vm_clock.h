/* SPDX-License-Identifier: MIT */
/*
 * Guest time: one pausable clock in ns since the machine started, and the timers that hang on it.
 *
 * Guest time runs with host CLOCK_MONOTONIC and stands still while the VM is paused. Callbacks run on the I/O thread
 * with the machine's lock held. vm_timer_arm and _disarm are called with the machine's lock held.
 */
#ifndef DOPPEL_CORE_VM_CLOCK_H
#define DOPPEL_CORE_VM_CLOCK_H

#include <pthread.h>

#include "base/loop.h"
#include "core/types.h"

#define VM_TIME_NEVER INT64_MAX

struct vm_clock;

/* now: guest ns. Runs on the I/O thread, machine's lock held; may arm the timer again; must not block. */
typedef void (*vm_timer_fn)(void *opaque, ns_t now);

struct vm_timer {
    vm_timer_fn fn;
    void *opaque;           /* borrowed (the device that embeds the timer) */
    struct vm_clock *clock; /* borrowed (outlives devices) */
    ns_t deadline;          /* guest ns, VM_TIME_NEVER when not armed */
    struct vm_timer *next;  /* in the clock's list, sorted by deadline */
};

struct vm_clock {
    pthread_mutex_t *lock; /* borrowed: the machine's */
    struct loop *loop;     /* borrowed; NULL in unit tests: then tests drive vm_clock_run() themselves */
    bool running;
    bool manual;         /* unit tests: time is `frozen` and moves only by vm_clock_advance() */
    ns_t host_base;      /* host ns that correspond to guest 0, while running */
    ns_t frozen;         /* guest ns while paused or manual */
    uint64_t tsc_hz;     /* guest TSC rate where it is not the host's, else 0 */
    uint64_t tsc_offset; /* guest TSC = host TSC + tsc_offset while running */
    uint64_t tsc_frozen; /* guest TSC while paused */
    ns_t wall_base;      /* CLOCK_REALTIME ns at guest time 0 */
    struct vm_timer *head;
    ns_t told;   /* guest ns of the deadline the loop last heard of: only an earlier one wakes it */
    bool in_run; /* timers are being run: the loop hears of new deadlines afterwards anyway */
};

/* Starts paused at 0. loop may be NULL. */
void vm_clock_init(struct vm_clock *clock, pthread_mutex_t *lock, struct loop *loop);
void vm_clock_done(struct vm_clock *clock);
/* Makes it a test clock that moves only by vm_clock_advance(), which runs due timers on the way (taking the lock). Its TSC
 * counts nanoseconds (tsc_hz becomes 1 GHz). */
void vm_clock_set_manual(struct vm_clock *clock);
void vm_clock_advance(struct vm_clock *clock, ns_t by);
/* With the machine's lock held, or before any thread starts. The wall clock runs on during a pause. */
void vm_clock_resume(struct vm_clock *clock);
void vm_clock_pause(struct vm_clock *clock);
/* Guest ns; any thread. */
ns_t vm_clock_now(const struct vm_clock *clock);
/* Guest wall clock, ns since 1970. */
ns_t vm_clock_wall(const struct vm_clock *clock);
/* Guest TSC before a CPU's own TSC_ADJUST; any thread. */
uint64_t vm_clock_tsc(const struct vm_clock *clock);
/* Guest TSC ticks a second: the host's, which take a moment to measure (clock_host_tsc_hz()). */
uint64_t vm_clock_tsc_hz(const struct vm_clock *clock);
/* Guest ns at which the guest TSC has the given value (128-bit arithmetic, saturating to VM_TIME_NEVER). */
ns_t vm_clock_tsc_to_ns(const struct vm_clock *clock, uint64_t tsc);
/* Restores a saved time (paused): now and tsc take these values. */
void vm_clock_set(struct vm_clock *clock, ns_t now, uint64_t tsc);
/* Runs due timers; returns the host ns of the next one (loop_timer_fn). Takes the machine's lock. */
int64_t vm_clock_run(void *clock);

void vm_timer_init(struct vm_timer *timer, struct vm_clock *clock, vm_timer_fn fn, void *opaque);
/* (Re)arms for guest time `deadline` (past: fires at once on the I/O thread). */
void vm_timer_arm(struct vm_timer *timer, ns_t deadline);
void vm_timer_disarm(struct vm_timer *timer);

#endif
