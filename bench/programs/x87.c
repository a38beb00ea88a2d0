/* SPDX-License-Identifier: MIT */
/*
 * A polynomial and square roots in long doubles: the x87 stack.
 */
#include "../bench.h"

static long double factor[16];

static void set_up(void)
{
    for (unsigned k = 0; k < 16; k++)
        factor[k] = (long double)(random_next() % 1000) / 1024;
}

static uint64_t unit(unsigned n)
{
    long double sum = n, x = 0.5L;
    for (unsigned step = 0; step < 8000; step++) {
        long double y = 0;
        for (unsigned k = 0; k < 16; k++)
            y = y * x + factor[k];
        sum += __builtin_sqrtl(y);
        x = x > 0.9L ? x - 0.5L : x + 0.001L;
    }
    return (uint64_t)sum;
}
