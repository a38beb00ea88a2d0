/* SPDX-License-Identifier: MIT */
/*
 * Blends and filters pictures of bytes: packed integers. Built with -O3 -march=x86-64-v3 (AVX2).
 */
#include "../bench.h"

enum { BYTES = 1 << 16 };
static uint8_t a[BYTES + 64], b[BYTES + 64], c[BYTES + 64];

static void set_up(void)
{
    for (unsigned k = 0; k < BYTES; k++) {
        a[k] = (uint8_t)random_next();
        b[k] = (uint8_t)random_next();
    }
}

static void blend(unsigned weight)
{
    for (unsigned k = 0; k < BYTES; k++)
        c[k] = (uint8_t)((a[k] * weight + b[k] * (256 - weight)) >> 8);
}

static void blur(void)
{
    for (unsigned k = 0; k < BYTES; k++)
        b[k] = (uint8_t)((c[k] + 2 * c[k + 1] + c[k + 2] + 2) >> 2);
}

static uint64_t unit(unsigned n)
{
    uint64_t sum = 0;
    for (unsigned round = 0; round < 60; round++) {
        blend((n + round) & 255);
        blur();
    }
    for (unsigned k = 0; k < BYTES; k++)
        sum += (unsigned)(b[k] > a[k] ? b[k] - a[k] : a[k] - b[k]);
    return sum;
}
