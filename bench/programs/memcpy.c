/* SPDX-License-Identifier: MIT */
/*
 * Copies and fills of many sizes with the C library's memcpy, memmove and memset.
 */
#include "../bench.h"

enum { BYTES = 1 << 18 };
static uint8_t from[BYTES], to[BYTES];

static void set_up(void)
{
    for (unsigned k = 0; k < BYTES; k++)
        from[k] = (uint8_t)random_next();
}

static uint64_t unit(unsigned n)
{
    uint64_t sum = 0;
    for (unsigned k = 0; k < 20000; k++) {
        unsigned len = (unsigned)random_next() % 256;
        memcpy(to + k % 4096, from + (n + k * 64) % (BYTES - 512), len);
        sum += to[k % 4096];
    }
    for (unsigned k = 0; k < 20; k++) {
        memcpy(to, from, BYTES);
        memmove(to + 64, to, BYTES / 2);
        memset(to + BYTES / 2, (int)n, BYTES / 4);
        sum += to[n % BYTES] + to[BYTES - 1];
    }
    return sum;
}
