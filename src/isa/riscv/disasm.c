/* SPDX-License-Identifier: MIT */
/*
 * Implementation of the RISC-V disassembler: a template of operands for each format.
 */
#include "isa/riscv/disasm.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

/*
 * Letters stand for operands: d s t registers rd, rs1, rs2; D S T U the same (and rs3) as floating-point registers; i the
 * immediate; u its bits 31:12; c the immediate as a CSR's number; z rs1 as a number; m the rounding mode; f the sets of a fence.
 * All else is written as it is.
 */
static const char *const TEMPLATE[] = {
    [RISCV_FMT_R] = "d, s, t",
    [RISCV_FMT_R1] = "d, s",
    [RISCV_FMT_I] = "d, s, i",
    [RISCV_FMT_LD] = "d, i(s)",
    [RISCV_FMT_ST] = "t, i(s)",
    [RISCV_FMT_B] = "s, t, i",
    [RISCV_FMT_U] = "d, u",
    [RISCV_FMT_J] = "d, i",
    [RISCV_FMT_SH6] = "d, s, i",
    [RISCV_FMT_SH5] = "d, s, i",
    [RISCV_FMT_CSR] = "d, c, s",
    [RISCV_FMT_CSRI] = "d, c, z",
    [RISCV_FMT_FENCE] = "f",
    [RISCV_FMT_N] = "",
    [RISCV_FMT_SF] = "s, t",
    [RISCV_FMT_LR] = "d, (s)",
    [RISCV_FMT_AMO] = "d, t, (s)",
    [RISCV_FMT_CBO] = "(s)",
    [RISCV_FMT_PREF] = "i(s)",
    [RISCV_FMT_FLD] = "D, i(s)",
    [RISCV_FMT_FST] = "T, i(s)",
    [RISCV_FMT_F1] = "D, S, m",
    [RISCV_FMT_F3] = "D, S, T, m",
    [RISCV_FMT_F3N] = "D, S, T",
    [RISCV_FMT_F4] = "D, S, T, U, m",
    [RISCV_FMT_FCMP] = "d, S, T",
    [RISCV_FMT_FMVX] = "d, S",
    [RISCV_FMT_XMVF] = "D, s",
    [RISCV_FMT_F2X] = "d, S, m",
    [RISCV_FMT_X2F] = "D, s, m",
    [RISCV_FMT_FLI] = "D, z",
    [RISCV_FMT_CIW] = "d, s, i",
    [RISCV_FMT_CLW] = "d, i(s)",
    [RISCV_FMT_CLD] = "d, i(s)",
    [RISCV_FMT_CSW] = "t, i(s)",
    [RISCV_FMT_CSD] = "t, i(s)",
    [RISCV_FMT_CFLD] = "D, i(s)",
    [RISCV_FMT_CFSD] = "T, i(s)",
    [RISCV_FMT_CNOP] = "",
    [RISCV_FMT_CI] = "d, i",
    [RISCV_FMT_CLI] = "d, i",
    [RISCV_FMT_CLUI] = "d, u",
    [RISCV_FMT_CI16] = "d, i",
    [RISCV_FMT_CBSH] = "d, i",
    [RISCV_FMT_CBI] = "d, i",
    [RISCV_FMT_CA] = "d, t",
    [RISCV_FMT_CJ] = "i",
    [RISCV_FMT_CB] = "s, i",
    [RISCV_FMT_CISH] = "d, i",
    [RISCV_FMT_CLWSP] = "d, i(s)",
    [RISCV_FMT_CLDSP] = "d, i(s)",
    [RISCV_FMT_CFLDSP] = "D, i(s)",
    [RISCV_FMT_CSWSP] = "t, i(s)",
    [RISCV_FMT_CSDSP] = "t, i(s)",
    [RISCV_FMT_CFSDSP] = "T, i(s)",
    [RISCV_FMT_CR] = "d, t",
    [RISCV_FMT_CRMV] = "d, t",
    [RISCV_FMT_CR1] = "s",
};

struct out {
    char *text;
    size_t cap, at;
};

__attribute__((format(printf, 2, 3))) static void put(struct out *o, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(o->at < o->cap ? o->text + o->at : NULL, o->at < o->cap ? o->cap - o->at : 0, format, args);
    va_end(args);
    o->at += n > 0 ? (size_t)n : 0;
}

/* A set of i, o, r, w. */
static void put_set(struct out *o, unsigned set)
{
    static const char letters[] = "iorw";
    if (!set)
        put(o, "unknown");
    for (unsigned k = 0; k < 4; k++)
        if (set >> (3 - k) & 1)
            put(o, "%c", letters[k]);
}

static void put_operand(struct out *o, const struct riscv_insn *i, char letter)
{
    static const char *const modes[] = { "rne", "rtz", "rdn", "rup", "rmm", "5", "6", "dyn" };
    switch (letter) {
    case 'd': put(o, "x%u", i->rd); break;
    case 's': put(o, "x%u", i->rs1); break;
    case 't': put(o, "x%u", i->rs2); break;
    case 'D': put(o, "f%u", i->rd); break;
    case 'S': put(o, "f%u", i->rs1); break;
    case 'T': put(o, "f%u", i->rs2); break;
    case 'U': put(o, "f%u", i->rs3); break;
    case 'i': put(o, "%" PRId32, i->imm); break;
    case 'u': put(o, "%u", (uint32_t)i->imm >> 12); break;
    case 'c': put(o, "%" PRId32, i->imm); break;
    case 'z': put(o, "%u", i->rs1); break;
    case 'm': put(o, "%s", modes[i->rm]); break;
    case 'f':
        put_set(o, (unsigned)i->imm >> 4 & 15);
        put(o, ", ");
        put_set(o, (unsigned)i->imm & 15);
        break;
    default: put(o, "%c", letter);
    }
}

size_t riscv_disasm(const struct riscv_insn *i, char *text, size_t cap)
{
    struct out o = { .text = text, .cap = cap };
    if (i->row == RISCV_ROW_NONE) {
        put(&o, "illegal");
        return o.at;
    }
    const struct riscv_row *row = &riscv_rows[i->row];
    put(&o, "%s", row->name);
    if (row->format == RISCV_FMT_LR || row->format == RISCV_FMT_AMO)
        put(&o, "%s%s%s", i->bits >> 25 & 3 ? "." : "", i->bits >> 26 & 1 ? "aq" : "", i->bits >> 25 & 1 ? "rl" : "");
    if (*TEMPLATE[row->format])
        put(&o, " ");
    for (const char *t = TEMPLATE[row->format]; *t; t++)
        put_operand(&o, i, *t);
    return o.at;
}
