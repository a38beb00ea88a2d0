/* SPDX-License-Identifier: MIT */
/*
 * The user program of guests/exits.c: system calls that do nothing; ends with the cycles they took.
 */
#include "exits.h"

#include <stdint.h>

static inline uint64_t call(uint64_t nr, uint64_t a)
{
    __asm__ volatile("syscall" : "+a"(nr), "+D"(a) : : "rsi", "rcx", "r11", "rdx", "r8", "r9", "r10", "memory");
    return nr;
}

static inline uint64_t rdtsc(void)
{
    uint32_t lo, hi;
    __asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
    return (uint64_t)hi << 32 | lo;
}

void exits_user_main(void)
{
    uint64_t begin = rdtsc();
    for (unsigned k = 0; k < EXITS_SYSCALLS; k++)
        (void)call(EXITS_NOTHING, k);
    (void)call(EXITS_END, rdtsc() - begin);
}
