/* SPDX-License-Identifier: MIT */
/*
 * Breakpoints of the debug registers, and the single-step trap.
 *
 * Matches of data and I/O breakpoints are traps: they gather in c->pending_dbg until the instruction is done. Instruction
 * breakpoints are faults. Only enabled breakpoints (DR7.Ln or Gn) set bits here, as the manual allows.
 *
 * Spec: Intel SDM 3B 17.2 (registers), 17.3.1 (conditions, RF); 3A 6.8.3 (MOV SS)
 */
#include "isa/x86/trap.h"

enum { DR6_BS = 1 << 14 };
enum rw { RW_EXEC, RW_WRITE, RW_IO, RW_READ_WRITE };

static bool enabled(const struct x86_cpu *c, unsigned n)
{
    return c->dr7 >> (2 * n) & 3;
}

static enum rw kind_of(const struct x86_cpu *c, unsigned n)
{
    return (enum rw)(c->dr7 >> (16 + 4 * n) & 3);
}

static unsigned length_of(const struct x86_cpu *c, unsigned n)
{
    static const uint8_t bytes[] = { 1, 2, 8, 4 };
    return bytes[c->dr7 >> (18 + 4 * n) & 3];
}

static bool wanted(const struct x86_cpu *c, unsigned n, bool write, bool io)
{
    switch (kind_of(c, n)) {
    case RW_EXEC: return false;
    case RW_WRITE: return write && !io;
    case RW_IO: return io && (c->cr4 & CR4_DE);
    case RW_READ_WRITE: return !io;
    }
    return false;
}

void x86_check_breakpoint_data(struct x86_cpu *c, gva_t lin, unsigned size, bool write, bool io)
{
    for (unsigned n = 0; n < 4; n++) {
        if (!enabled(c, n) || !wanted(c, n, write, io))
            continue;
        uint64_t len = length_of(c, n), at = c->dr[n] & ~(len - 1);
        if (lin <= at + (len - 1) && at <= lin + (size - 1))
            c->pending_dbg |= 1U << n;
    }
}

void x86_check_breakpoint_fetch(struct x86_cpu *c)
{
    gva_t lin = c->mode == X86_MODE_64 ? c->rip : (uint32_t)(c->seg[SEG_CS].base + c->rip);
    uint64_t hits = 0;
    if (!(c->rflags & FLAG_RF) && c->int_shadow != 2) {
        for (unsigned n = 0; n < 4; n++)
            if (enabled(c, n) && kind_of(c, n) == RW_EXEC && c->dr[n] == lin)
                hits |= 1U << n;
    }
    if (hits)
        x86_raise_db(c, hits);
    c->rflags &= ~(uint64_t)FLAG_RF;
    c->step_trap = c->rflags & FLAG_TF;
}

void x86_single_step(struct x86_cpu *c)
{
    if (c->step_trap)
        c->pending_dbg |= DR6_BS;
    x86_flags_update(c);
}
