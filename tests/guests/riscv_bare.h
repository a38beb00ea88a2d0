/* SPDX-License-Identifier: MIT */
/*
 * What bare riscv64 guests that misuse the machine share: start, traps, and laws said by the UART, one line each.
 *
 * In M-mode with -DMACHINE (firmware), else in S-mode. A trap is recorded and its instruction, which has 4 bytes, skipped; but
 * one below in_mode() ends that. Included once, by the guest's only file.
 */
#ifndef DOPPEL_TESTS_GUESTS_RISCV_BARE_H
#define DOPPEL_TESTS_GUESTS_RISCV_BARE_H

typedef unsigned long u64;
typedef unsigned int u32;
typedef unsigned char u8;

#ifdef MACHINE
#define X "m"
#define RETURN "mret\n"
#else
#define X "s"
#define RETURN "sret\n"
#endif

enum { CAUSE_FETCH = 1, CAUSE_ILLEGAL = 2, CAUSE_LOAD = 5, CAUSE_STORE = 7, CAUSE_ECALL = 8 /* of U-mode; S 9, M 11 */ };

u8 stack[16384] __attribute__((aligned(16)));
volatile u64 trap_cause, trap_value, trap_count;
u64 mode_sp; /* where in_mode() goes on after a trap, 0: it is not running */

__asm__(
    ".section .text.start\n.globl _start\n_start:\n"
    "la sp, stack + 16384\n"
    "la t0, trap_entry\ncsrw " X "tvec, t0\n"
    "csrw " X "ie, zero\n"
    "call guest_main\n"
    "1: j 1b\n"
    ".text\n"
    /* in_mode(fn, arg, bits of mstatus.MPP or sstatus.SPP) */
    ".globl in_mode\nin_mode:\n"
    "addi sp, sp, -112\nsd ra, 0(sp)\nsd s0, 8(sp)\nsd s1, 16(sp)\nsd s2, 24(sp)\nsd s3, 32(sp)\nsd s4, 40(sp)\nsd s5, 48(sp)\n"
    "sd s6, 56(sp)\nsd s7, 64(sp)\nsd s8, 72(sp)\nsd s9, 80(sp)\nsd s10, 88(sp)\nsd s11, 96(sp)\n"
    "la t0, mode_sp\nsd sp, 0(t0)\n"
    "csrw " X "epc, a0\nli t0, 0x1900\ncsrc " X "status, t0\ncsrs " X "status, a2\nmv a0, a1\n" RETURN ".balign 4\ntrap_entry:\n"
    "addi sp, sp, -16\nsd t0, 0(sp)\nsd t1, 8(sp)\n"
    "csrr t0, " X "cause\nla t1, trap_cause\nsd t0, 0(t1)\n"
    "csrr t1, " X "tval\nla t0, trap_value\nsd t1, 0(t0)\n"
    "la t0, trap_count\nld t1, 0(t0)\naddi t1, t1, 1\nsd t1, 0(t0)\n"
    "la t0, mode_sp\nld t1, 0(t0)\nbnez t1, 1f\n"
    "csrr t1, " X "epc\naddi t1, t1, 4\ncsrw " X "epc, t1\n"
    "ld t0, 0(sp)\nld t1, 8(sp)\naddi sp, sp, 16\n" RETURN "1: sd zero, 0(t0)\nmv sp, t1\n"
    "ld ra, 0(sp)\nld s0, 8(sp)\nld s1, 16(sp)\nld s2, 24(sp)\nld s3, 32(sp)\nld s4, 40(sp)\nld s5, 48(sp)\n"
    "ld s6, 56(sp)\nld s7, 64(sp)\nld s8, 72(sp)\nld s9, 80(sp)\nld s10, 88(sp)\nld s11, 96(sp)\naddi sp, sp, 112\nret\n"
    /* What in_mode() may run: each ends in a trap. */
    ".globl load_there\nload_there:\nld a0, 0(a0)\necall\n"
    ".globl store_there\nstore_there:\nsd a0, 0(a0)\necall\n"
    ".globl jump_there\njump_there:\njr a0\n"
    ".globl only_call\nonly_call:\necall\n");

void in_mode(void (*fn)(u64 arg), u64 arg, u64 bits);
void load_there(u64 at);
void store_there(u64 at);
void jump_there(u64 at);
void only_call(u64 unused);
void guest_main(u64 hart, u64 fdt);

static inline void put(const char *s)
{
    volatile u8 *uart = (volatile u8 *)0x10000000UL;
    for (; *s; s++) {
        while (!(uart[5] & 0x20))
            ;
        uart[0] = (u8)*s;
    }
}

static inline void put_hex(u64 v)
{
    char text[17];
    for (int k = 15; k >= 0; k--, v >>= 4)
        text[k] = "0123456789abcdef"[v & 15];
    text[16] = 0;
    put(text);
}

static inline void say(const char *law, int holds)
{
    put(law);
    put(holds ? ": ok\n" : ": WRONG\n");
}

/* Names what a law is broken by, for whoever reads the output. */
static inline void blame(const char *what, u64 number)
{
    put(what);
    put(" ");
    put_hex(number);
    put("\n");
}

static inline void power_off(void)
{
    put("done\n");
    *(volatile u32 *)0x100000UL = 0x5555;
}

#endif
