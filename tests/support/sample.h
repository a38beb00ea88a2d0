/* SPDX-License-Identifier: MIT */
/*
 * A share of many instructions, for tests that take too long with all of them under AddressSanitizer, which is some fifteen times
 * slower. Other builds look at all.
 */
#ifndef DOPPEL_TESTS_SUPPORT_SAMPLE_H
#define DOPPEL_TESTS_SUPPORT_SAMPLE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/asan.h"
#include "base/rng.h"

#ifdef DOPPEL_ASAN
enum { SAMPLE_SHARE = 16 };
#else
enum { SAMPLE_SHARE = 1 };
#endif

/* Number n (of anything) is in the sample that follows from the seed: one of `share`. */
static inline bool sample_of(uint64_t seed, unsigned n, unsigned share)
{
    struct rng r = rng_of(seed, n, 0, 0);
    return rng_below(&r, share) == 0;
}

/* The same of one of SAMPLE_SHARE. */
static inline bool sample_has(uint64_t seed, unsigned n)
{
    return sample_of(seed, n, SAMPLE_SHARE);
}

#endif
