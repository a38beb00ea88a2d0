/* SPDX-License-Identifier: MIT */
/*
 * A bare riscv64 guest that is a hypervisor: it runs functions in VS-mode, by a G-stage of its own, and looks at how they end.
 * Some run long enough to be translated, and in both modes from the same addresses.
 *
 * Spec: volume II, chapter "H" 1.0
 */
#include "riscv_bare.h"

enum { ECALL_VS = 10, LOAD_GUEST = 21, VIRTUAL = 22, SPP = 1 << 8, SPV = 1 << 7, SPVP = 1 << 8, GVA = 1 << 6, MANY = 100000 };
enum { LEAF = 0xdf /* all rights, U, A, D */, VSTI = 1 << 6, STI = 1 << 5, SIE = 2, TM = 2 };
#define HOLE 0x123456789f0UL

#define READ(csr)                                                                                                                \
    ({                                                                                                                           \
        u64 v_;                                                                                                                  \
        __asm__ volatile("csrr %0, " csr : "=r"(v_));                                                                            \
        v_;                                                                                                                      \
    })
#define WRITE(csr, v) __asm__ volatile("csrw " csr ", %0" ::"r"((u64)(v)) : "memory")
#define HSTATUS "0x600"
#define HIDELEG "0x603"
#define HTIMEDELTA "0x605"
#define HCOUNTEREN "0x606"
#define HENVCFG "0x60a"
#define HTVAL "0x643"
#define HGATP "0x680"
#define VSSTATUS "0x200"
#define VSIE "0x204"
#define VSTVEC "0x205"
#define VSSCRATCH "0x240"
#define VSCAUSE "0x242"
#define VSTIMECMP "0x24d"

static u64 root[2048] __attribute__((aligned(16384)));
volatile u64 result[2];

__asm__(".text\n.balign 4\n"
        ".globl only_fence\nonly_fence:\n.word 0x62000073\n" /* hfence.gvma */
        ".globl wait_there\nwait_there:\nj wait_there\n"
        /* result = { 1 + 2 + ... + a0, sscratch } */
        ".globl sum_there\nsum_there:\nmv a1, zero\n1: add a1, a1, a0\naddi a0, a0, -1\nbnez a0, 1b\n"
        "la t0, result\nsd a1, 0(t0)\ncsrr a1, sscratch\nsd a1, 8(t0)\necall\n");
void only_fence(u64 unused);
void wait_there(u64 unused);
void sum_there(u64 n);

/* Runs it in VS-mode until it traps. */
static void in_guest(void (*fn)(u64 arg), u64 arg)
{
    WRITE(HSTATUS, READ(HSTATUS) | SPV);
    in_mode(fn, arg, SPP);
}

static int sums(u64 scratch)
{
    return result[0] == (u64)MANY * (MANY + 1) / 2 && result[1] == scratch;
}

/* The same code, hot, by turns with V = 1 and in U-mode with V = 0, where it has no right to sscratch. */
static void each_mode_has_its_registers(void)
{
    int good = 1;
    WRITE("sscratch", 111);
    WRITE(VSSCRATCH, 222);
    for (int k = 0; k < 8; k++) {
        in_guest(sum_there, MANY);
        good = good && trap_cause == ECALL_VS && sums(222);
        result[0] = result[1] = 0;
        WRITE(HSTATUS, READ(HSTATUS) & ~(u64)SPV);
        in_mode(sum_there, MANY, 0);
        good = good && trap_cause == CAUSE_ILLEGAL && result[0] == (u64)MANY * (MANY + 1) / 2 && result[1] == 0;
    }
    say("code of both modes runs with its registers and rights", good && READ("sscratch") == 111);
}

static void timers_interrupt(void)
{
    WRITE(HENVCFG, 1UL << 63);
    WRITE(HCOUNTEREN, TM);
    WRITE(HTIMEDELTA, 1UL << 40);
    WRITE(HIDELEG, VSTI);
    WRITE(VSIE, STI);
    WRITE(VSSTATUS, SIE);
    WRITE(VSTVEC, only_call);
    WRITE(VSTIMECMP, (1UL << 40) + READ("time") + 20000);
    in_guest(wait_there, 0);
    say("vstimecmp interrupts a loop in VS-mode", trap_cause == ECALL_VS && READ(VSCAUSE) == (1UL << 63 | 5));
    say("at its time", READ("time") + (1UL << 40) >= READ(VSTIMECMP));
    WRITE(VSTIMECMP, ~0UL);
}

void guest_main(u64 hart, u64 fdt)
{
    (void)hart;
    (void)fdt;
    root[2] = 0x80000000UL >> 12 << 10 | LEAF;
    WRITE(HGATP, 8UL << 60 | (u64)root >> 12);
    in_guest(only_call, 0);
    say("ECALL comes from VS-mode", trap_cause == ECALL_VS && (READ(HSTATUS) & (SPV | SPVP | GVA)) == (SPV | SPVP));
    in_guest(load_there, HOLE);
    say("what the G-stage lacks is a guest-page fault",
        trap_cause == LOAD_GUEST && trap_value == HOLE && READ(HTVAL) == HOLE >> 2 && (READ(HSTATUS) & GVA));
    in_guest(only_fence, 0);
    say("HFENCE is a virtual instruction there", trap_cause == VIRTUAL && trap_value == 0x62000073);
    each_mode_has_its_registers();
    timers_interrupt();
    power_off();
}
