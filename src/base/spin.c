/* SPDX-License-Identifier: MIT */
/*
 * How long to look before going to sleep: doubled by waits that a longer look would have caught, closed by others.
 */
#include "base/spin.h"

#include <sched.h>

enum { OPENING = 20000, PAUSES = 16 };

void spin_init(struct spin *spin)
{
    cpu_set_t set;
    *spin = (struct spin){ .useful = sched_getaffinity(0, sizeof(set), &set) < 0 || CPU_COUNT(&set) > 1 };
}

void spin_begin(struct spin *spin)
{
    spin->begin = spin->useful ? clock_host_ns() : 0;
}

bool spin_again(struct spin *spin)
{
    if (spin->window == 0)
        return false;
    for (int i = 0; i < PAUSES; i++)
        __builtin_ia32_pause();
    (void)sched_yield(); /* who could run here may be whom we wait for */
    return clock_host_ns() - spin->begin < spin->window;
}

void spin_end(struct spin *spin)
{
    if (!spin->useful)
        return;
    ns_t waited = clock_host_ns() - spin->begin;
    if (waited > SPIN_MAX)
        spin->window = 0;
    else if (waited > spin->window)
        spin->window = spin->window ? (2 * spin->window < SPIN_MAX ? 2 * spin->window : SPIN_MAX) : OPENING;
}
