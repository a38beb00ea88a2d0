/* SPDX-License-Identifier: MIT */
/*
 * Host clocks: monotonic nanoseconds, the host TSC and its measured rate.
 */
#ifndef DOPPEL_BASE_CLOCK_H
#define DOPPEL_BASE_CLOCK_H

#include <stdint.h>

typedef int64_t ns_t; /* nanoseconds */

#define NS_PER_S 1000000000LL

/* CLOCK_MONOTONIC in ns. */
ns_t clock_host_ns(void);
/* CLOCK_REALTIME in ns since 1970. */
ns_t clock_host_wall_ns(void);
/* The host's time stamp counter, not serialised. */
static inline uint64_t clock_host_tsc(void)
{
    return __builtin_ia32_rdtsc();
}
/* Host TSC ticks a second in Hz, measured once against CLOCK_MONOTONIC: waits until about 20 ms have passed since
 * clock_host_begin() was called, or else this. Both are thread-safe. */
uint64_t clock_host_tsc_hz(void);
void clock_host_begin(void);

#endif
