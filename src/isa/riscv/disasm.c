/* SPDX-License-Identifier: MIT */
/*
 * Implementation of the RISC-V disassembler: a template of operands for each format.
 */
#include "isa/riscv/disasm.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/*
 * Letters stand for operands: d s t registers rd, rs1, rs2; D S T U the same (and rs3) as floating-point registers; i the
 * immediate; u its bits 31:12; c the immediate as a CSR's number; z rs1 as a number; m the rounding mode; f the sets of a fence;
 * a b v vector registers rs1, rs2, rd; k the mask, if there is one; 0 the register of masks; y the immediate as a vtype.
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
    [RISCV_FMT_HLV] = "d, (s)",
    [RISCV_FMT_HSV] = "t, (s)",
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
    [RISCV_FMT_VSETI] = "d, s, y",
    [RISCV_FMT_VSETII] = "d, z, y",
    [RISCV_FMT_VL] = "v, (s)k",
    [RISCV_FMT_VLN] = "v, (s)",
    [RISCV_FMT_VLS] = "v, (s), tk",
    [RISCV_FMT_VLX] = "v, (s), bk",
    [RISCV_FMT_VV] = "v, b, ak",
    [RISCV_FMT_VX] = "v, b, sk",
    [RISCV_FMT_VI] = "v, b, ik",
    [RISCV_FMT_VU] = "v, b, ik",
    [RISCV_FMT_VU6] = "v, b, ik",
    [RISCV_FMT_VF] = "v, b, Sk",
    [RISCV_FMT_VVA] = "v, a, bk",
    [RISCV_FMT_VXA] = "v, s, bk",
    [RISCV_FMT_VFA] = "v, S, bk",
    [RISCV_FMT_VVM] = "v, b, a, 0",
    [RISCV_FMT_VXM] = "v, b, s, 0",
    [RISCV_FMT_VIM] = "v, b, i, 0",
    [RISCV_FMT_VFM] = "v, b, S, 0",
    [RISCV_FMT_VMVV] = "v, a",
    [RISCV_FMT_VMVX] = "v, s",
    [RISCV_FMT_VMVI] = "v, i",
    [RISCV_FMT_VMVF] = "v, S",
    [RISCV_FMT_V2] = "v, bk",
    [RISCV_FMT_X2] = "d, bk",
    [RISCV_FMT_F2V] = "D, b",
    [RISCV_FMT_VD] = "vk",
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

/* e8, m1, ta, ma; what has no name is a number. */
static void put_vtype(struct out *o, unsigned vtype)
{
    static const char *const lmul[] = { "1", "2", "4", "8", NULL, "f8", "f4", "f2" };
    if (vtype >> 8 || (vtype >> 3 & 7) > 3 || !lmul[vtype & 7])
        put(o, "%u", vtype);
    else
        put(o, "e%u, m%s, t%c, m%c", 8U << (vtype >> 3 & 7), lmul[vtype & 7], vtype >> 6 & 1 ? 'a' : 'u',
            vtype >> 7 & 1 ? 'a' : 'u');
}

/* Of a vector instruction. False: the letter is none of its. */
static bool put_vector_operand(struct out *o, const struct riscv_insn *i, char letter)
{
    switch (letter) {
    case 'v': put(o, "v%u", i->rd); return true;
    case 'a': put(o, "v%u", i->rs1); return true;
    case 'b': put(o, "v%u", i->rs2); return true;
    case '0': put(o, "v0"); return true;
    case 'k': put(o, "%s", i->bits >> 25 & 1 ? "" : ", v0.t"); return true;
    case 'y': put_vtype(o, (unsigned)i->imm); return true;
    default: return false;
    }
}

/* Rows of segments stand for all numbers of fields. */
static void put_name(struct out *o, const struct riscv_insn *i, const struct riscv_row *row)
{
    const char *seg = row->format >= RISCV_FMT_VL && row->format <= RISCV_FMT_VLX ? strstr(row->name, "seg") : NULL;
    if (seg)
        put(o, "%.*s%u%s", (int)(seg + 3 - row->name), row->name, (i->bits >> 29) + 1, seg + 3);
    else
        put(o, "%s", row->name);
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
    default:
        if (!put_vector_operand(o, i, letter))
            put(o, "%c", letter);
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
    put_name(&o, i, row);
    if (row->format == RISCV_FMT_LR || row->format == RISCV_FMT_AMO)
        put(&o, "%s%s%s", i->bits >> 25 & 3 ? "." : "", i->bits >> 26 & 1 ? "aq" : "", i->bits >> 25 & 1 ? "rl" : "");
    if (*TEMPLATE[row->format])
        put(&o, " ");
    for (const char *t = TEMPLATE[row->format]; *t; t++)
        put_operand(&o, i, *t);
    return o.at;
}
