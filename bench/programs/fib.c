/* SPDX-License-Identifier: MIT */
/*
 * Recursive Fibonacci numbers: calls and returns.
 */
#include "../bench.h"

__attribute__((noinline, noclone, optimize("no-optimize-sibling-calls", "no-inline-functions"))) static unsigned fib(unsigned n)
{
    return n < 2 ? n : fib(n - 1) + fib(n - 2);
}

static void set_up(void)
{
}

static uint64_t unit(unsigned n)
{
    return fib(27) + n;
}
