/* SPDX-License-Identifier: MIT */
/*
 * Stolen time by the difference of two clocks, which only ever grows: a CPU clock that is told in large steps gives no noise.
 */
#include "core/steal.h"

#include <time.h>

static ns_t thread_cpu_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t); /* cannot fail: there is always such a clock */
    return (ns_t)t.tv_sec * NS_PER_S + t.tv_nsec;
}

static void begin(struct steal *s)
{
    s->wall = s->looked = clock_host_ns();
    s->cpu = thread_cpu_ns();
    s->seen = 0;
}

static void look(struct steal *s, ns_t now)
{
    s->looked = now;
    ns_t stolen = now - s->wall - (thread_cpu_ns() - s->cpu);
    if (stolen <= s->seen)
        return;
    s->stolen += stolen - s->seen;
    s->seen = stolen;
}

static void look_if_due(struct steal *s)
{
    ns_t now = clock_host_ns();
    if (now - s->looked >= STEAL_DUE)
        look(s, now);
}

void steal_start(struct steal *s)
{
    s->on = true;
    s->stolen = 0;
    begin(s);
}

void steal_rest(struct steal *s)
{
    if (s->on)
        look_if_due(s);
}

void steal_go_on(struct steal *s)
{
    if (s->on)
        begin(s);
}

ns_t steal_take(struct steal *s)
{
    if (!s->on)
        return 0;
    look_if_due(s);
    ns_t n = s->stolen;
    s->stolen = 0;
    return n;
}
