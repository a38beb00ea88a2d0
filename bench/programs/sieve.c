/* SPDX-License-Identifier: MIT */
/*
 * The sieve of Eratosthenes: byte stores with a stride.
 */
#include "../bench.h"

enum { MAX = 200000 };
static uint8_t composite[MAX];

static void set_up(void)
{
}

static uint64_t unit(unsigned n)
{
    uint64_t sum = n;
    memset(composite, 0, sizeof(composite));
    for (unsigned p = 2; p < MAX; p++) {
        if (composite[p])
            continue;
        sum += p;
        for (unsigned m = p * 2; m < MAX; m += p)
            composite[m] = 1;
    }
    return sum;
}
