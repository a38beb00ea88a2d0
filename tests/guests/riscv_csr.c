/* SPDX-License-Identifier: MIT */
/*
 * A bare riscv64 guest that reads and writes every CSR number, in S-mode or, with -DMACHINE, in M-mode: what is not there, or not
 * for this mode, or read-only, is an illegal instruction, and what is takes only legal values.
 *
 * Spec: volume II, version 1.12, 2.1, 2.2 and each register's chapter
 */
#include "riscv_bare.h"

static u32 code[4] __attribute__((aligned(16)));

/* Runs "op rd=a0, csr, rs1=a1; then; ret" with a1 = value; ret_old gets a0. False: it is an illegal instruction, and nothing
 * else. */
static int access(u32 csr, u32 op, u32 rs1, u32 then, u64 value, u64 *ret_old)
{
    register u64 a0 __asm__("a0") = 0;
    register u64 a1 __asm__("a1") = value;
    code[0] = csr << 20 | rs1 << 15 | op << 12 | 10 << 7 | 0x73;
    code[1] = then;
    code[2] = 0x00008067;
    trap_count = 0;
    __asm__ volatile("fence.i\n\tjalr %2" : "+r"(a0), "+r"(a1) : "r"(code) : "ra", "t0", "t1", "memory");
    *ret_old = a0;
    if (trap_count && (trap_cause != CAUSE_ILLEGAL || (trap_value != 0 && trap_value != code[0])))
        blame("an odd trap of CSR", csr);
    return trap_count == 0;
}

enum { CSRRW = 1, CSRRS = 2, NOP = 0x13 };

static int read_csr(u32 csr, u64 *ret_value)
{
    return access(csr, CSRRS, 0, NOP, 0, ret_value);
}

/* Writes a value, reads what came of it, and writes the old one back, by two instructions: csrrw a0, csr, a1; csrrw a1, csr, a0.
 */
static int write_csr(u32 csr, u64 value, u64 *ret_new)
{
    register u64 a0 __asm__("a0") = 0;
    register u64 a1 __asm__("a1") = value;
    code[0] = csr << 20 | 11 << 15 | CSRRW << 12 | 10 << 7 | 0x73;
    code[1] = csr << 20 | 10 << 15 | CSRRW << 12 | 11 << 7 | 0x73;
    code[2] = 0x00008067;
    trap_count = 0;
    __asm__ volatile("fence.i\n\tjalr %2" : "+r"(a0), "+r"(a1) : "r"(code) : "ra", "t0", "t1", "memory");
    *ret_new = a1;
    return trap_count == 0;
}

static int in(u32 csr, u32 first, u32 last)
{
    return csr >= first && csr <= last;
}

/* The registers of an RV64GC hart with S-mode, Sstc, PMP (entries behind the 16th stay 0), all counters and no triggers. */
static int is_there(u32 csr)
{
    if (in(csr, 0x001, 0x003) || csr == 0x100 || in(csr, 0x104, 0x106) || csr == 0x10a || in(csr, 0x140, 0x144) || csr == 0x14d
        || csr == 0x180 || in(csr, 0xc00, 0xc1f))
        return 1;
#ifdef MACHINE
    if (in(csr, 0x300, 0x306) || csr == 0x30a || csr == 0x320 || in(csr, 0x323, 0x33f) || in(csr, 0x340, 0x344)
        || (in(csr, 0x3a0, 0x3af) && !(csr & 1)) || in(csr, 0x3b0, 0x3ef) || in(csr, 0x7a0, 0x7a3)
        || (in(csr, 0xb00, 0xb1f) && csr != 0xb01) || in(csr, 0xf11, 0xf15))
        return 1;
#endif
    return 0;
}

static void all_are_there_or_illegal(void)
{
    int good = 1;
    for (u32 csr = 0; csr < 4096; csr++) {
        u64 v;
        if (read_csr(csr, &v) != is_there(csr)) {
            blame(is_there(csr) ? "missing CSR" : "a CSR there should not be", csr);
            good = 0;
        }
    }
    say("every CSR is there or illegal", good);
}

static void read_only_ones_take_no_write(void)
{
    int good = 1;
    for (u32 csr = 0xc00; csr < 0x1000; csr++) {
        u64 v;
        if (access(csr, CSRRW, 11, NOP, 0, &v) || access(csr, CSRRS, 11, NOP, 0, &v)) {
            blame("a write to CSR", csr);
            good = 0;
        }
        if (read_csr(csr, &v) != is_there(csr))
            good = 0;
    }
    say("read-only ones take no write, not even of no bit", good);
}

/* What may come of any write. */
static int is_legal(u32 csr, u64 v)
{
    const u64 status = 0x80000003000de762, of_m = 0x0000000c007e9888; /* with UXL, SXL and the trap bits of M-mode */
    switch (csr) {
    case 0x001: return !(v >> 5);
    case 0x002: return !(v >> 3);
    case 0x003: return !(v >> 8);
    case 0x100: return !(v & ~status) && (v >> 32 & 3) == 2;
    case 0x104:
    case 0x144: return !(v & ~0x222UL);
    case 0x105:
    case 0x305: return !(v & 2);
    case 0x141:
    case 0x341: return !(v & 1);
    case 0x180: return v >> 60 == 0 || v >> 60 == 8 || v >> 60 == 9;
    case 0x300: return !(v & ~(status | of_m)) && (v >> 32 & 3) == 2 && (v >> 34 & 3) == 2 && (v >> 11 & 3) != 2;
    case 0x301: return v >> 62 == 2 && (v & 1 << 8);
    case 0x302: return !(v & 1 << 11);
    case 0x304:
    case 0x344: return !(v & ~0xaaaUL);
    case 0x306:
    case 0x106: return !(v >> 32);
    case 0x320: return !(v & 2) && !(v >> 32);
    }
    return 1;
}

static int may_try(u32 csr, u64 value)
{
    if (csr == 0x180) /* satp: only what is no mode, which has no effect */
        return value >> 60 != 8 && value >> 60 != 9 && value >> 60 != 10 && value >> 60 != 0;
    if (in(csr, 0x3a0, 0x3af)) /* nothing that locks */
        return !(value & 0x8080808080808080);
    return 1;
}

static void writable_ones_take_legal_values(void)
{
    static const u64 values[] = { 0,      ~0UL,  0x5555555555555555, 0xaaaaaaaaaaaaaaaa, 1UL << 63, 1, 2, 3, 0x7f7f7f7f7f7f7f7f,
                                  0x1800, 0x1000 };
    int good = 1;
    for (u32 csr = 0; csr < 0xc00; csr++)
        for (u32 k = 0; is_there(csr) && k < sizeof(values) / sizeof(values[0]); k++) {
            u64 before, new, after;
            if (!may_try(csr, values[k]) || !read_csr(csr, &before))
                continue;
            int taken = write_csr(csr, values[k], &new);
            int back = read_csr(csr, &after);
            int moves = csr == 0x144 || csr == 0x344 || in(csr, 0xb00, 0xb02); /* by themselves */
            if (!taken || !is_legal(csr, new) || !back || (!moves && after != before)) {
                blame("CSR", csr);
                blame("  write of", values[k]);
                blame("  gives", new);
                blame("  after", before);
                blame("  then", after);
                good = 0;
            }
        }
    say("writable ones take legal values only", good);
}

static void floating_point_ones_need_fs(void)
{
    u64 v;
    __asm__ volatile("csrc " X "status, %0" ::"r"(3UL << 13));
    int good = !read_csr(1, &v) && !read_csr(2, &v) && !read_csr(3, &v) && !write_csr(3, 0, &v);
    __asm__ volatile("csrs " X "status, %0" ::"r"(3UL << 13));
    say("floating-point ones need mstatus.FS", good && read_csr(3, &v));
}

#ifndef MACHINE
static u64 user_reads_cycle(u32 bits)
{
    code[0] = 0xc00u << 20 | CSRRS << 12 | 10 << 7 | 0x73;
    code[1] = 0x00000073; /* ecall */
    __asm__ volatile("csrw scounteren, %0\n\tfence.i" ::"r"((u64)bits) : "memory");
    in_mode((void (*)(u64))(void *)code, 0, 0);
    return trap_cause;
}

static void counters_follow_scounteren(void)
{
    say("counters of U-mode follow scounteren", user_reads_cycle(~1u) == CAUSE_ILLEGAL && user_reads_cycle(1) == CAUSE_ECALL);
    code[0] = 0x100u << 20 | CSRRS << 12 | 10 << 7 | 0x73;
    __asm__ volatile("fence.i" ::: "memory");
    in_mode((void (*)(u64))(void *)code, 0, 0);
    say("U-mode has no right to sstatus", trap_cause == CAUSE_ILLEGAL);
}
#else
static void tvm_and_tsr_trap(void)
{
    static const struct {
        u64 bit;
        u32 insn;
    } rows[] = { { 1UL << 20, 0x18002573 /* csrr a0, satp */ },
                 { 1UL << 20, 0x12000073 /* sfence.vma */ },
                 { 1UL << 22, 0x10200073 /* sret */ } };
    int good = 1;
    __asm__ volatile("csrw pmpaddr15, %0\n\tcsrw pmpcfg2, %1" ::"r"(~0UL), "r"(0x1fUL << 56)); /* S-mode may use all of memory */
    for (u32 k = 0; k < 3; k++) {
        code[0] = rows[k].insn;
        code[1] = 0x00000073;
        __asm__ volatile("fence.i\n\tcsrs mstatus, %0" ::"r"(rows[k].bit) : "memory");
        in_mode((void (*)(u64))(void *)code, 0, 1UL << 11);
        good &= trap_cause == CAUSE_ILLEGAL;
        __asm__ volatile("csrc mstatus, %0" ::"r"(rows[k].bit));
    }
    in_mode((void (*)(u64))(void *)only_call, 0, 1UL << 11);
    say("mstatus.TVM and TSR make S-mode trap", good && trap_cause == CAUSE_ECALL + 1);
}
#endif

void guest_main(u64 hart, u64 fdt)
{
    (void)hart;
    (void)fdt;
    __asm__ volatile("csrs " X "status, %0" ::"r"(3UL << 13));
    all_are_there_or_illegal();
    read_only_ones_take_no_write();
    writable_ones_take_legal_values();
    floating_point_ones_need_fs();
#ifdef MACHINE
    tvm_and_tsr_trap();
#else
    counters_follow_scounteren();
#endif
    power_off();
}
