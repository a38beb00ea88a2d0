/* SPDX-License-Identifier: MIT */
/*
 * A bare riscv64 guest that misuses the SBI: wrong extensions and functions, harts that do not exist, addresses that are none,
 * kinds of reset that are reserved. It wants two harts or more.
 *
 * Spec: RISC-V SBI 2.0
 */
#include "riscv_bare.h"

enum {
    BASE = 0x10,
    TIME = 0x54494d45,
    IPI = 0x735049,
    RFENCE = 0x52464e43,
    HSM = 0x48534d,
    SRST = 0x53525354,
    DBCN = 0x4442434e,
    PMU = 0x504d55
};
enum { NOT_SUPPORTED = -2, INVALID_PARAM = -3, INVALID_ADDRESS = -5, ALREADY_AVAILABLE = -6 };
#define RAM 0x80000000UL

static u64 value;
static u8 zeros[64] __attribute__((aligned(16))); /* no instructions */

static long sbi(u64 eid, u64 fid, u64 x, u64 y, u64 z)
{
    register u64 a0 __asm__("a0") = x, a1 __asm__("a1") = y, a2 __asm__("a2") = z, a6 __asm__("a6") = fid, a7 __asm__("a7") = eid;
    __asm__ volatile("ecall" : "+r"(a0), "+r"(a1) : "r"(a2), "r"(a6), "r"(a7) : "memory");
    value = a1;
    return (long)a0;
}

static void wrong_numbers(void)
{
    static const u64 known[] = { BASE, TIME, IPI, RFENCE, HSM, SRST, DBCN, PMU };
    static const u64 unknown[] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0x11, 0x535441, ~0UL, 1UL << 63, 1UL << 32 | BASE, 0x0a000000 };
    int good = 1;
    for (u32 k = 0; k < sizeof(unknown) / sizeof(unknown[0]); k++)
        for (u64 fid = 0; fid < 8; fid++)
            good &= sbi(unknown[k], fid, RAM, RAM, 0) == NOT_SUPPORTED;
    say("unknown extensions are not supported", good);
    for (u32 k = 0; k < sizeof(unknown) / sizeof(unknown[0]); k++)
        good &= sbi(BASE, 3, unknown[k], 0, 0) == 0 && value == 0;
    say("and a probe says so", good);
    good = 1;
    for (u32 k = 0; k < sizeof(known) / sizeof(known[0]); k++)
        good &= sbi(known[k], 64, 0, 0, 0) == NOT_SUPPORTED && sbi(known[k], ~0UL, 0, 0, 0) == NOT_SUPPORTED
                && sbi(known[k], 1UL << 32, 0, 0, 0) == NOT_SUPPORTED;
    say("unknown functions are not supported", good);
}

static void wrong_harts(void)
{
    int good = 1;
    for (u64 ext = 0; ext < 2; ext++) {
        u64 eid = ext ? RFENCE : IPI;
        good &= sbi(eid, 0, 1, 64, 0) == INVALID_PARAM && sbi(eid, 0, 1UL << 63, 0, 0) == INVALID_PARAM
                && sbi(eid, 0, ~0UL, 0, 0) == INVALID_PARAM && sbi(eid, 0, 1, 63, 0) == INVALID_PARAM
                && sbi(eid, 0, 3, 63, 0) == INVALID_PARAM && sbi(eid, 0, 1, ~0UL - 1, 0) == INVALID_PARAM
                && sbi(eid, 0, 1, 1UL << 63, 0) == INVALID_PARAM;
        good &= sbi(eid, 0, 0, 0, 0) == 0 && sbi(eid, 0, ~0UL, ~0UL, 0) == 0;
    }
    say("harts that there are not are refused", good);
    __asm__ volatile("csrci sip, 2");
    say("fences for hypervisors are not supported",
        sbi(RFENCE, 3, 1, 0, 0) == NOT_SUPPORTED && sbi(RFENCE, 6, 1, 0, 0) == NOT_SUPPORTED);
    good = 1;
    for (u64 fid = 0; fid < 3; fid++) {
        register u64 a0 __asm__("a0") = 1, a1 __asm__("a1") = 0, a2 __asm__("a2") = ~0UL - 5, a3 __asm__("a3") = ~0UL,
                        a4 __asm__("a4") = ~0UL, a6 __asm__("a6") = fid, a7 __asm__("a7") = RFENCE;
        __asm__ volatile("ecall" : "+r"(a0), "+r"(a1) : "r"(a2), "r"(a3), "r"(a4), "r"(a6), "r"(a7) : "memory");
        good &= a0 == 0 || (long)a0 == INVALID_ADDRESS;
    }
    say("fences of odd ranges do no harm", good);
}

static void wrong_starts(void)
{
    static const u64 bad[] = { 0, 0x1000, 0x10000000, 0x100000, 0x40000000, ~0UL, ~1UL, 1UL << 63, 1UL << 56, RAM - 4 };
    int good = 1;
    for (u32 k = 0; k < sizeof(bad) / sizeof(bad[0]); k++)
        good &= sbi(HSM, 0, 1, bad[k], 0) == INVALID_ADDRESS;
    say("a hart starts nowhere but in memory", good && sbi(HSM, 2, 1, 0, 0) == 0 && value == 1);
    say("harts that there are not do not start",
        sbi(HSM, 0, 64, RAM, 0) == INVALID_PARAM && sbi(HSM, 0, ~0UL, RAM, 0) == INVALID_PARAM
            && sbi(HSM, 2, 8, 0, 0) == INVALID_PARAM && sbi(HSM, 2, 1UL << 32, 0, 0) == INVALID_PARAM);
    say("nor one that runs", sbi(HSM, 0, 0, (u64)zeros, 0) == ALREADY_AVAILABLE);
    say("a hart starts where there is no code", sbi(HSM, 0, 1, (u64)zeros, 7) == 0);
    while (sbi(HSM, 2, 1, 0, 0) == 0 && value != 0) /* until it has: it faults for ever from then on */
        ;
    say("and is running then", sbi(HSM, 0, 1, (u64)zeros, 0) == ALREADY_AVAILABLE);
    say("a fence reaches it", sbi(RFENCE, 1, 2, 0, 0) == 0);
    say("reserved kinds of suspension are refused",
        sbi(HSM, 3, 1, 0, 0) == INVALID_PARAM && sbi(HSM, 3, 0x7fffffff, 0, 0) == INVALID_PARAM
            && sbi(HSM, 3, 0x80000001, 0, 0) == INVALID_PARAM && sbi(HSM, 3, 0x80000000, RAM, 0) == NOT_SUPPORTED);
}

static void wrong_memory(void)
{
    static const u64 bad[] = { 0, 0x1000, 0x10000000, 0x40000000, RAM - 1, ~0UL, ~0UL - 3, 1UL << 63, 1UL << 55 };
    int good = 1;
    for (u64 fid = 0; fid < 2; fid++) {
        for (u32 k = 0; k < sizeof(bad) / sizeof(bad[0]); k++)
            good &= sbi(DBCN, fid, 4, bad[k], 0) == INVALID_PARAM;
        good &= sbi(DBCN, fid, 4, RAM, 1) == INVALID_PARAM && sbi(DBCN, fid, ~0UL, RAM, 0) == INVALID_PARAM
                && sbi(DBCN, fid, 1UL << 40, RAM, 0) == INVALID_PARAM && sbi(DBCN, fid, 0, RAM, 0) == 0;
    }
    say("the console moves nothing but memory", good);
}

static void wrong_ends(void)
{
    int good = sbi(SRST, 1, 0, 0, 0) == NOT_SUPPORTED;
    static const u64 types[] = { 3, 4, 0xefffffff, 0xf0000000, 0xffffffff, 1UL << 32, ~0UL };
    for (u32 k = 0; k < sizeof(types) / sizeof(types[0]); k++)
        good &= sbi(SRST, 0, types[k], 0, 0) == INVALID_PARAM;
    for (u32 k = 0; k < sizeof(types) / sizeof(types[0]); k++)
        good &= sbi(SRST, 0, 0, types[k], 0) == INVALID_PARAM;
    say("reserved kinds of reset are refused", good);
    say("counters that there are not have nothing to say",
        sbi(PMU, 0, 0, 0, 0) == 0 && value == 0 && sbi(PMU, 1, 0, 0, 0) == INVALID_PARAM
            && sbi(PMU, 5, ~0UL, 0, 0) == INVALID_PARAM && sbi(PMU, 2, 0, ~0UL, 0) < 0);
}

static void the_rest(void)
{
    u64 sip;
    int good = sbi(TIME, 0, 0, 0, 0) == 0;
    __asm__ volatile("csrr %0, sip" : "=r"(sip));
    good &= (sip >> 5 & 1) == 1 && sbi(TIME, 0, ~0UL, 0, 0) == 0;
    __asm__ volatile("csrr %0, sip" : "=r"(sip));
    say("a time that has passed is due at once, one that never comes never", good && (sip >> 5 & 1) == 0);
    in_mode(only_call, 0, 0);
    say("a call of U-mode is S-mode's", trap_cause == CAUSE_ECALL);
}

void guest_main(u64 hart, u64 fdt)
{
    (void)hart;
    (void)fdt;
    wrong_numbers();
    wrong_harts();
    wrong_starts();
    wrong_memory();
    wrong_ends();
    the_rest();
    power_off();
}
