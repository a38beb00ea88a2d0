/* SPDX-License-Identifier: MIT */
/*
 * Host clocks, and the host TSC's rate measured against CLOCK_MONOTONIC.
 *
 * Each reading of the pair (time, TSC) is taken several times and the one with the least time between its two TSC reads
 * is used, so that being descheduled inside a reading does not spoil the rate.
 */
#include "base/clock.h"

#include <pthread.h>
#include <time.h>

enum { MEASURE_NS = 20 * 1000 * 1000, TRIES = 5 };

struct reading {
    ns_t ns;
    uint64_t tsc;
};

static ns_t read_clock(clockid_t id)
{
    struct timespec ts;
    (void)clock_gettime(id, &ts); /* cannot fail for these two clocks */
    return (ns_t)ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

ns_t clock_host_ns(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

ns_t clock_host_wall_ns(void)
{
    return read_clock(CLOCK_REALTIME);
}

static struct reading read_pair(void)
{
    struct reading best = { 0 };
    uint64_t best_gap = UINT64_MAX;
    for (int i = 0; i < TRIES; i++) {
        uint64_t before = clock_host_tsc();
        ns_t ns = clock_host_ns();
        uint64_t after = clock_host_tsc();
        if (after - before < best_gap) {
            best_gap = after - before;
            best = (struct reading){ .ns = ns, .tsc = before + (after - before) / 2 };
        }
    }
    return best;
}

static struct reading first; /* written once, by take_first() under pthread_once */
static uint64_t tsc_hz;      /* written once, by measure() under pthread_once */

static void take_first(void)
{
    first = read_pair();
}

void clock_host_begin(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, take_first); /* fails only for a bad control block */
}

static void measure(void)
{
    clock_host_begin();
    struct reading a = first, b = read_pair();
    if (b.ns - a.ns < MEASURE_NS) {
        struct timespec nap = { .tv_nsec = MEASURE_NS - (b.ns - a.ns) };
        (void)nanosleep(&nap, NULL); /* cut short by a signal: the rate comes from what really passed */
        b = read_pair();
    }
    while (b.ns - a.ns < MEASURE_NS / 2)
        b = read_pair();
    double hz = (double)(b.tsc - a.tsc) * NS_PER_S / (double)(b.ns - a.ns);
    tsc_hz = (uint64_t)(hz + 0.5);
    if (tsc_hz == 0)
        tsc_hz = 1;
}

uint64_t clock_host_tsc_hz(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, measure); /* fails only for a bad control block */
    return tsc_hz;
}
