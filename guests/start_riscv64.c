/* SPDX-License-Identifier: MIT */
/*
 * How a guest program without a C library is entered on riscv64, and the functions that compilers call on their own.
 *
 * Compiled with -fno-builtin and the like: a loop here must not become a call of the function it stands in.
 */
#include "sys.h"

enum { WORD = sizeof(long) };

/* Upwards; in words where both ends are aligned alike. */
void *memcpy(void *restrict to, const void *restrict from, size_t n)
{
    char *d = to;
    const char *s = from;
    if ((((uintptr_t)d ^ (uintptr_t)s) & (WORD - 1)) == 0) {
        for (; n && ((uintptr_t)d & (WORD - 1)); n--)
            *d++ = *s++;
        for (; n >= WORD; n -= WORD, d += WORD, s += WORD)
            *(long *)d = *(const long *)s;
    }
    while (n--)
        *d++ = *s++;
    return to;
}

void *memset(void *to, int byte, size_t n)
{
    char *d = to;
    const unsigned long word = (unsigned char)byte * (~0UL / 255);
    for (; n && ((uintptr_t)d & (WORD - 1)); n--)
        *d++ = (char)byte;
    for (; n >= WORD; n -= WORD, d += WORD)
        *(unsigned long *)d = word;
    while (n--)
        *d++ = (char)byte;
    return to;
}

void *memmove(void *to, const void *from, size_t n)
{
    char *d = to;
    const char *s = from;
    if (d <= s)
        return memcpy(to, from, n);
    while (n--)
        d[n] = s[n];
    return to;
}

__asm__(".globl _start\n"
        "_start:\n"
        "    mv a0, sp\n"
        "    andi sp, sp, -16\n"
        "    li s0, 0\n"
        "    call start\n"
        "    unimp\n");
