/* SPDX-License-Identifier: MIT */
/*
 * The tiny kernel's user program: system calls, and everything that a program may not do.
 */
#include "user.h"

volatile uint8_t user_without_syscall;

static uint64_t call_by_int3(uint64_t nr, uint64_t a, uint64_t b)
{
    __asm__ volatile("int3" : "+a"(nr) : "D"(a), "S"(b) : "memory");
    return nr;
}

static uint64_t call(uint64_t nr, uint64_t a, uint64_t b)
{
    if (user_without_syscall)
        return call_by_int3(nr, a, b);
    __asm__ volatile("syscall" : "+a"(nr), "+D"(a), "+S"(b) : : "rcx", "r11", "rdx", "r8", "r9", "r10", "memory");
    return nr;
}

static void write(const char *text)
{
    uint64_t n = 0;
    while (text[n])
        n++;
    (void)call_by_int3(SYS_WRITE, (uintptr_t)text, n);
}

static void check(int good, int status)
{
    if (!good)
        (void)call(SYS_EXIT, (uint64_t)status, 0);
}

void user_main(void)
{
    volatile uint8_t *heap = (uint8_t *)USER_HEAP;
    uint32_t zero = 0, eax = 1, edx = 0;
    uint8_t secret = 77;
    check(call(SYS_ADD, 1, 2) == 3, 1); /* first of all: it tells whether SYSCALL works */
    write("user: hello\n");
    for (uint64_t k = 0; k < USER_CALLS; k++)
        check(call(SYS_ADD, k, 3) == k + 3, 1);
    for (uint64_t k = 0; k < USER_HEAP_PAGES; k++) {
        check(heap[k * 4096] == 0, 2);
        heap[k * 4096] = (uint8_t)k;
    }
    for (uint64_t k = 0; k < USER_HEAP_PAGES; k++)
        check(heap[k * 4096] == k, 3);
    /* The kernel skips these; two bytes each but CLI and HLT, which have one. */
    __asm__ volatile("divl %2" : "+a"(eax), "+d"(edx) : "c"(zero));
    __asm__ volatile("movb (%1), %0" : "+a"(secret) : "D"(KERNEL_ADDRESS));
    check(secret == 77, 4);
    __asm__ volatile("cli");
    __asm__ volatile("hlt");
    __asm__ volatile("ud2");
    check(call(SYS_FAULTS, 0, 0) == 5, 5);
    write("user: done\n");
    (void)call(SYS_EXIT, 0, 0);
}
