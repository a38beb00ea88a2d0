/* SPDX-License-Identifier: MIT */
/*
 * The main() every benchmark program shares: runs unit() as often as its argument says and prints a checksum, and how many
 * units were done in the first 100 ms (the warm-up of whatever translates us).
 *
 * A program defines set_up() and unit(). A unit takes about a millisecond natively. Everything is deterministic: native runs,
 * doppel and its peers must print the same checksum.
 */
#ifndef BENCH_H
#define BENCH_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Before the first unit; exits by unsupported() if the CPU cannot run the program. */
static void set_up(void);
/* The n-th unit of work, n from 0; returns what goes into the checksum. */
static uint64_t unit(unsigned n);

static uint64_t random_state = 0x9e3779b97f4a7c15;

/* The next of a fixed sequence of random numbers (xorshift). */
static inline uint64_t random_next(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    return random_state ^= random_state << 17;
}

static inline void unsupported(void)
{
    puts("unsupported");
    exit(0);
}

/* Ends the program: something that must work did not. */
static inline void fail(const char *what)
{
    perror(what);
    exit(1);
}

static inline uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

int main(int argc, char **argv)
{
    enum { WINDOW = 100000000 };
    unsigned units = argc > 1 ? (unsigned)atoi(argv[1]) : 100;
    uint64_t sum = 0, before, took = 0;
    double window = units;
    set_up();
    uint64_t start = now_ns();
    for (unsigned n = 0; n < units; n++) {
        sum = (sum ^ unit(n)) * 0x9e3779b97f4a7c15;
        before = took;
        took = now_ns() - start;
        if (before < WINDOW && took >= WINDOW)
            window = n + (double)(WINDOW - before) / (double)(took - before);
    }
    if (took < WINDOW && took > 0)
        window = units * ((double)WINDOW / (double)took); /* done before that: at the same speed */
    printf("%016llx %.3f\n", (unsigned long long)(sum ^ sum >> 32), window);
    return 0;
}

#endif
