/* SPDX-License-Identifier: MIT */
/*
 * Calls through a table of function pointers in an order that cannot be predicted.
 */
#include "../bench.h"

#define F(n) static uint64_t f##n(uint64_t x) { return (x ^ n * 0x1234567) + (x >> (n % 13 + 1)); }
#define EACH(X) \
    X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15) X(16) \
    X(17) X(18) X(19) X(20) X(21) X(22) X(23) X(24) X(25) X(26) X(27) X(28) X(29) X(30) X(31) X(32)
EACH(F)
#define NAME(n) f##n,
static uint64_t (*volatile table[])(uint64_t) = { EACH(NAME) };

static void set_up(void)
{
}

static uint64_t unit(unsigned n)
{
    uint64_t x = n;
    for (unsigned k = 0; k < 100000; k++)
        x = table[(k * 7 ^ x) % 32](x) + k;
    return x;
}
