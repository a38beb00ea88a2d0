/* SPDX-License-Identifier: MIT */
/*
 * Where arithmetic flags do not matter: `bt` may have them wrong there (docs/decisions/0006).
 */
#ifndef DOPPEL_TESTS_DEAD_FLAGS_H
#define DOPPEL_TESTS_DEAD_FLAGS_H

#include "isa/x86/decode.h"
#include "isa/x86/insn_steps.h"
#include "isa/x86/mmu.h"

/* Decodes the instruction at linear rip, without side effects; false when there is none. */
static inline bool decode_at(const struct x86_cpu *c, gva_t rip, struct x86_insn *ret_insn)
{
    uint8_t bytes[X86_INSN_MAX];
    unsigned n = 0;
    for (gpa_t gpa; n < X86_INSN_MAX && x86_translate_quiet(c, rip + n, &gpa); n++) {
        const uint8_t *p = gmem_pin(c->gmem, gpa, 1);
        if (!p)
            break;
        bytes[n] = *p;
    }
    return n && x86_decode(bytes, n, (enum x86_mode)c->mode, ret_insn) > 0;
}

/* As many as a trace has, and what the translator looks at behind it. */
enum { DEAD_FLAGS_INSNS = 64 + 64 };

/* The flags of `open` that instructions from rip on write before any of them reads them; through `branches` direct branches, on
 * all their ways. */
static inline unsigned dead_flags_of(const struct x86_cpu *c, gva_t rip, unsigned open, unsigned branches)
{
    struct x86_insn i;
    unsigned dead = 0;
    for (unsigned k = 0; k < DEAD_FLAGS_INSNS && open && decode_at(c, rip, &i); k++, rip += i.len) {
        const struct x86_row *row = &x86_rows[i.row];
        bool shift = i.step == step_shl || i.step == step_shr || i.step == step_sar || i.step == step_shld || i.step == step_shrd;
        shift = shift && i.op[i.nr_opnds - 1].kind == OPND_IMM && (i.imm & (i.opsize == 8 ? 63 : 31)); /* by more than 0 */
        unsigned written = shift ? FLAGS_ARITH : (unsigned)(row->flags_written | row->flags_undef);
        open &= ~(unsigned)(shift ? 0 : row->flags_read);
        dead |= open & written;
        open &= ~written;
        bool jcc = i.step == step_jcc;
        if (branches && (jcc || i.step == step_jmp_near || i.step == step_call_near)) {
            unsigned there = dead_flags_of(c, rip + i.len + i.imm, open, branches - 1);
            return dead | (jcc ? there & dead_flags_of(c, rip + i.len, open, branches - 1) : there);
        }
        if (row->flags & (ROW_BRANCH | ROW_SYS))
            break;
    }
    return dead;
}

/* As far as the translator looks, and farther: a trace goes on behind up to seven branches. */
static inline unsigned dead_flags_at(const struct x86_cpu *c, gva_t rip)
{
    return dead_flags_of(c, rip, FLAGS_ARITH, 8);
}

#endif
