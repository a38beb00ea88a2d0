/* SPDX-License-Identifier: MIT */
/*
 * Sorts random numbers with the C library's qsort: compares by call, branches that cannot be predicted.
 */
#include "../bench.h"

enum { NR = 8192 };
static uint32_t numbers[NR];

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void set_up(void)
{
}

static uint64_t unit(unsigned n)
{
    uint64_t sum = n;
    for (unsigned k = 0; k < NR; k++)
        numbers[k] = (uint32_t)random_next();
    qsort(numbers, NR, sizeof(numbers[0]), compare);
    for (unsigned k = 0; k < NR; k++)
        sum = sum * 31 + numbers[k];
    return sum;
}
