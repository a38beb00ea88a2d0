/* SPDX-License-Identifier: MIT */
/*
 * Five megabytes of straight-line code, run once: what translating costs when it never pays.
 */
#include "../bench.h"

extern uint64_t straight(uint64_t x);
/* 290000 groups of an addition with a constant of its own, a rotation and an exclusive or: 17 bytes each */
__asm__(".text\n.p2align 4\nstraight:\nmov %rdi, %rax\n.set k, 1\n"
        ".rept 290000\nadd $0x1000000 + k, %rax\nrol $7, %rax\nxor $0x2000000 + k, %rax\n.set k, k + 1\n.endr\nret\n");

static void set_up(void)
{
}

static uint64_t unit(unsigned n)
{
    return straight(n);
}
