/* SPDX-License-Identifier: MIT */
/*
 * What the standalone fuzz drivers share: arguments, a seeded generator, and the clock that ends them.
 *
 * usage of every driver: NAME [SECONDS [SEED]], without them FUZZ_SECONDS from the environment, or the driver's default; the seed
 * is printed first, so that a finding can be repeated.
 */
#ifndef DOPPEL_TESTS_FUZZ_H
#define DOPPEL_TESTS_FUZZ_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct fuzz {
    uint64_t state, seed, cases;
    double seconds;
    struct timespec begin;
};

/* xorshift64*: Marsaglia, Vigna */
static inline uint64_t fuzz_u64(struct fuzz *f)
{
    f->state ^= f->state >> 12;
    f->state ^= f->state << 25;
    f->state ^= f->state >> 27;
    return f->state * 0x2545f4914f6cdd1dULL;
}

/* 0 .. n-1 */
static inline uint64_t fuzz_below(struct fuzz *f, uint64_t n)
{
    return (fuzz_u64(f) >> 16) % n;
}

static inline void fuzz_start(struct fuzz *f, int argc, char **argv, double default_seconds)
{
    (void)clock_gettime(CLOCK_MONOTONIC, &f->begin); /* cannot fail */
    f->cases = 0;
    const char *seconds = argc > 1 ? argv[1] : getenv("FUZZ_SECONDS");
    f->seconds = seconds ? strtod(seconds, NULL) : default_seconds;
    f->seed = argc > 2 ? strtoull(argv[2], NULL, 0) : (uint64_t)time(NULL) * 2654435761u | 1;
    f->state = f->seed | 1;
    printf("seed %#lx, %.0f s\n", (unsigned long)f->seed, f->seconds);
    (void)fflush(stdout);
}

/* Counts a case; false when the time is over (then prints the count). */
static inline bool fuzz_more(struct fuzz *f)
{
    struct timespec now;
    if (f->cases++ % 64)
        return true;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    double took = (double)(now.tv_sec - f->begin.tv_sec) + (double)(now.tv_nsec - f->begin.tv_nsec) / 1e9;
    if (took < f->seconds)
        return true;
    printf("%lu cases without a finding\n", (unsigned long)f->cases);
    return false;
}

#endif
