/* SPDX-License-Identifier: MIT */
/*
 * Four thousand and ninety-six different functions called in turn: more code than the caches for code hold.
 */
#include "../bench.h"

#define F(n) __attribute__((noinline)) static uint64_t f##n(uint64_t x, uint64_t *m) \
    { \
        uint64_t y = x * (0x##n##5ULL | 1) + m[0x##n & 63]; \
        if (y & (1ULL << (0x##n & 31))) \
            m[(0x##n + 7) & 63] += y; \
        else \
            y ^= m[(0x##n * 3) & 63] >> 3; \
        return y + (x >> 7); \
    }
#define N(n) f##n,
#define X16(X, p) X(p##0) X(p##1) X(p##2) X(p##3) X(p##4) X(p##5) X(p##6) X(p##7) X(p##8) X(p##9) X(p##a) X(p##b) X(p##c) X(p##d) X(p##e) X(p##f)
#define X256(X, p) \
    X16(X, p##0) X16(X, p##1) X16(X, p##2) X16(X, p##3) X16(X, p##4) X16(X, p##5) X16(X, p##6) X16(X, p##7) \
    X16(X, p##8) X16(X, p##9) X16(X, p##a) X16(X, p##b) X16(X, p##c) X16(X, p##d) X16(X, p##e) X16(X, p##f)
#define X4096(X) \
    X256(X, 0) X256(X, 1) X256(X, 2) X256(X, 3) X256(X, 4) X256(X, 5) X256(X, 6) X256(X, 7) \
    X256(X, 8) X256(X, 9) X256(X, a) X256(X, b) X256(X, c) X256(X, d) X256(X, e) X256(X, f)
X4096(F)
static uint64_t (*const table[])(uint64_t, uint64_t *) = { X4096(N) };

static uint64_t memory[64];

static void set_up(void)
{
    for (unsigned k = 0; k < 64; k++)
        memory[k] = random_next();
}

static uint64_t unit(unsigned n)
{
    uint64_t x = n;
    for (unsigned round = 0; round < 15; round++)
        for (unsigned k = 0; k < 4096; k++)
            x = table[k](x, memory);
    return x;
}
