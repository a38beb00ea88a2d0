/* SPDX-License-Identifier: MIT */
/*
 * Random numbers from a seed, the same on every host.
 */
#ifndef DOPPEL_BASE_RNG_H
#define DOPPEL_BASE_RNG_H

#include <stdbool.h>
#include <stdint.h>

struct rng {
    uint64_t state;
};

static inline uint64_t rng_next(struct rng *r)
{
    uint64_t z = r->state += 0x9e3779b97f4a7c15ULL;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
    return z ^ z >> 31;
}

/* 0..n-1 */
static inline unsigned rng_below(struct rng *r, unsigned n)
{
    return (unsigned)((rng_next(r) >> 32) * n >> 32);
}

static inline bool rng_percent(struct rng *r, unsigned p)
{
    return rng_below(r, 100) < p;
}

/* A stream of its own for each tuple. */
static inline struct rng rng_of(uint64_t seed, uint64_t a, uint64_t b, uint64_t c)
{
    struct rng r = { seed };
    r.state = rng_next(&r) + a * 0x9e3779b97f4a7c15ULL;
    r.state = rng_next(&r) + b * 0xd1342543de82ef95ULL;
    r.state = rng_next(&r) + c * 0x2545f4914f6cdd1dULL;
    return r;
}

#endif
