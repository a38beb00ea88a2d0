/* SPDX-License-Identifier: MIT */
/*
 * Waiting for another thread by looking, for a short while before going to sleep.
 *
 * Putting a thread to sleep and waking it takes the host some ten microseconds, on a virtual host more; what answers sooner is
 * better waited for awake. Whether that is so is learnt: waits that were short open the window, a long one closes it, so a thread
 * with nothing to do does not burn its CPU. On a host with one CPU the window stays closed. Where the waiting is done is up to
 * the caller. A struct spin belongs to one thread or to a lock.
 */
#ifndef DOPPEL_BASE_SPIN_H
#define DOPPEL_BASE_SPIN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"

/* The longest that a thread looks; waits that are longer close the window. ns */
enum { SPIN_MAX = 200000 };

struct spin {
    ns_t window; /* how long to look, ns; 0: not at all */
    ns_t begin;  /* when the wait began */
    bool useful; /* there is another CPU, on which what is waited for can happen */
};

void spin_init(struct spin *spin);
/* A wait begins. */
void spin_begin(struct spin *spin);
/* Lets some time pass (about half a microsecond, more where others want the CPU); false: it is time to go to sleep. */
bool spin_again(struct spin *spin);
/* The wait is over, asleep or awake: learns. */
void spin_end(struct spin *spin);

#endif
