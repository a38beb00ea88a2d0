/* SPDX-License-Identifier: MIT */
/*
 * Stolen time: how long a thread that wanted to run did not, because the host's CPUs were others'.
 *
 * That is host time less the thread's CPU time, while it is not said to rest. What keeps a thread from running inside the process
 * (a lock, a page that the host has yet to make) counts, too: from where the guest stands it is the same. A thread reads its CPU
 * time by a system call, so that is done no more often than STEAL_DUE; bursts that are shorter than that count for nothing. A
 * struct steal belongs to the thread that it is about.
 */
#ifndef DOPPEL_CORE_STEAL_H
#define DOPPEL_CORE_STEAL_H

#include <stdbool.h>

#include "base/clock.h"

enum { STEAL_DUE = 1000000 /* ns */ };

struct steal {
    bool on;        /* somebody wants to know */
    ns_t wall, cpu; /* host time and the thread's CPU time when it last began to run */
    ns_t looked;    /* host time when the clocks were last compared */
    ns_t seen;      /* most that was found stolen since `wall` */
    ns_t stolen;    /* not yet taken */
};

/* Measuring begins; nothing was stolen so far. */
void steal_start(struct steal *s);
static inline void steal_stop(struct steal *s)
{
    s->on = false;
}
/* The thread goes to rest, of its own will / goes on. Cheap when off. */
void steal_rest(struct steal *s);
void steal_go_on(struct steal *s);
/* Takes what was stolen since the last time, ns; 0 when it is not due yet. */
ns_t steal_take(struct steal *s);

#endif
