/* SPDX-License-Identifier: MIT */
/*
 * The RISC-V decoder: finds the row, then takes out the fields that its format names.
 */
#include "isa/riscv/decode.h"

#include <string.h>

enum { X_RA = 1, X_SP = 2 };

/* `n` bits of v from bit `lo`, put at bit `to`. */
static uint32_t part(uint32_t v, unsigned lo, unsigned n, unsigned to)
{
    return (v >> lo & ((1U << n) - 1)) << to;
}

static int32_t sext(uint32_t v, unsigned bits)
{
    return (int32_t)(v << (32 - bits)) >> (32 - bits);
}

/* ---- immediates. Spec: volume I 2.3, 27.2 ---- */

static int32_t imm_i(uint32_t b)
{
    return (int32_t)b >> 20;
}

static int32_t imm_s(uint32_t b)
{
    return sext(part(b, 25, 7, 5) | part(b, 7, 5, 0), 12);
}

static int32_t imm_b(uint32_t b)
{
    return sext(part(b, 31, 1, 12) | part(b, 7, 1, 11) | part(b, 25, 6, 5) | part(b, 8, 4, 1), 13);
}

static int32_t imm_j(uint32_t b)
{
    return sext(part(b, 31, 1, 20) | part(b, 12, 8, 12) | part(b, 20, 1, 11) | part(b, 21, 10, 1), 21);
}

static uint32_t imm_c6(uint32_t b)
{
    return part(b, 12, 1, 5) | part(b, 2, 5, 0);
}

static int32_t imm_cj(uint32_t b)
{
    return sext(part(b, 12, 1, 11) | part(b, 11, 1, 4) | part(b, 9, 2, 8) | part(b, 8, 1, 10) | part(b, 7, 1, 6)
                    | part(b, 6, 1, 7) | part(b, 3, 3, 1) | part(b, 2, 1, 5),
                12);
}

static int32_t imm_cb(uint32_t b)
{
    return sext(part(b, 12, 1, 8) | part(b, 10, 2, 3) | part(b, 5, 2, 6) | part(b, 3, 2, 1) | part(b, 2, 1, 5), 9);
}

static uint32_t imm_c_by4(uint32_t b)
{
    return part(b, 10, 3, 3) | part(b, 6, 1, 2) | part(b, 5, 1, 6);
}

static uint32_t imm_c_by8(uint32_t b)
{
    return part(b, 10, 3, 3) | part(b, 5, 2, 6);
}

static uint32_t imm_lsp_by4(uint32_t b)
{
    return part(b, 12, 1, 5) | part(b, 4, 3, 2) | part(b, 2, 2, 6);
}

static uint32_t imm_lsp_by8(uint32_t b)
{
    return part(b, 12, 1, 5) | part(b, 5, 2, 3) | part(b, 2, 3, 6);
}

static uint32_t imm_ssp_by4(uint32_t b)
{
    return part(b, 9, 4, 2) | part(b, 7, 2, 6);
}

static uint32_t imm_ssp_by8(uint32_t b)
{
    return part(b, 10, 3, 3) | part(b, 7, 3, 6);
}

static uint32_t imm_addi4spn(uint32_t b)
{
    return part(b, 11, 2, 4) | part(b, 7, 4, 6) | part(b, 6, 1, 2) | part(b, 5, 1, 3);
}

static int32_t imm_addi16sp(uint32_t b)
{
    return sext(part(b, 12, 1, 9) | part(b, 6, 1, 4) | part(b, 5, 1, 6) | part(b, 3, 2, 7) | part(b, 2, 1, 5), 10);
}

/* ---- fields ---- */

static void set(struct riscv_insn *i, uint32_t rd, uint32_t rs1, uint32_t rs2, uint32_t imm)
{
    i->rd = (uint8_t)rd;
    i->rs1 = (uint8_t)rs1;
    i->rs2 = (uint8_t)rs2;
    i->imm = (int32_t)imm;
}

static uint32_t low3(uint32_t b)
{
    return 8 + part(b, 2, 3, 0);
}

static uint32_t high3(uint32_t b)
{
    return 8 + part(b, 7, 3, 0);
}

/* 32-bit formats: all register fields always, what the format does not use is harmless. */
static void fields32(struct riscv_insn *i, uint32_t b, enum riscv_format format)
{
    set(i, part(b, 7, 5, 0), part(b, 15, 5, 0), part(b, 20, 5, 0), 0);
    i->rs3 = (uint8_t)part(b, 27, 5, 0);
    i->rm = (uint8_t)part(b, 12, 3, 0);
    switch (format) {
    case RISCV_FMT_I:
    case RISCV_FMT_LD:
    case RISCV_FMT_FLD:
    case RISCV_FMT_FENCE: i->imm = imm_i(b); break;
    case RISCV_FMT_ST:
    case RISCV_FMT_FST: i->imm = imm_s(b); break;
    case RISCV_FMT_PREF: i->imm = imm_s(b & ~0xf80U); break;
    case RISCV_FMT_B: i->imm = imm_b(b); break;
    case RISCV_FMT_U: i->imm = (int32_t)(b & 0xfffff000); break;
    case RISCV_FMT_J: i->imm = imm_j(b); break;
    case RISCV_FMT_SH6: i->imm = (int32_t)part(b, 20, 6, 0); break;
    case RISCV_FMT_SH5: i->imm = (int32_t)part(b, 20, 5, 0); break;
    case RISCV_FMT_CSR:
    case RISCV_FMT_CSRI: i->imm = (int32_t)part(b, 20, 12, 0); break;
    case RISCV_FMT_VSETI: i->imm = (int32_t)part(b, 20, 11, 0); break;
    case RISCV_FMT_VSETII: i->imm = (int32_t)part(b, 20, 10, 0); break;
    case RISCV_FMT_VI:
    case RISCV_FMT_VIM:
    case RISCV_FMT_VMVI: i->imm = sext(part(b, 15, 5, 0), 5); break;
    case RISCV_FMT_VU6: i->imm = (int32_t)(part(b, 15, 5, 0) | part(b, 26, 1, 5)); break;
    case RISCV_FMT_VU: i->imm = (int32_t)part(b, 15, 5, 0); break;
    default: break; /* the others have none */
    }
}

static void fields16(struct riscv_insn *i, uint32_t b, enum riscv_format format)
{
    uint32_t rd = part(b, 7, 5, 0), rs2 = part(b, 2, 5, 0);
    int32_t imm6 = sext(imm_c6(b), 6);
    switch (format) {
    case RISCV_FMT_CIW: set(i, low3(b), X_SP, 0, imm_addi4spn(b)); break;
    case RISCV_FMT_CLW: set(i, low3(b), high3(b), 0, imm_c_by4(b)); break;
    case RISCV_FMT_CLD:
    case RISCV_FMT_CFLD: set(i, low3(b), high3(b), 0, imm_c_by8(b)); break;
    case RISCV_FMT_CSW: set(i, 0, high3(b), low3(b), imm_c_by4(b)); break;
    case RISCV_FMT_CSD:
    case RISCV_FMT_CFSD: set(i, 0, high3(b), low3(b), imm_c_by8(b)); break;
    case RISCV_FMT_CNOP: set(i, 0, 0, 0, (uint32_t)imm6); break;
    case RISCV_FMT_CI: set(i, rd, rd, 0, (uint32_t)imm6); break;
    case RISCV_FMT_CLI: set(i, rd, 0, 0, (uint32_t)imm6); break;
    case RISCV_FMT_CLUI: set(i, rd, 0, 0, (uint32_t)imm6 << 12); break;
    case RISCV_FMT_CI16: set(i, X_SP, X_SP, 0, (uint32_t)imm_addi16sp(b)); break;
    case RISCV_FMT_CBSH: set(i, high3(b), high3(b), 0, imm_c6(b)); break;
    case RISCV_FMT_CBI: set(i, high3(b), high3(b), 0, (uint32_t)imm6); break;
    case RISCV_FMT_CA: set(i, high3(b), high3(b), low3(b), 0); break;
    case RISCV_FMT_CJ: set(i, 0, 0, 0, (uint32_t)imm_cj(b)); break;
    case RISCV_FMT_CB: set(i, 0, high3(b), 0, (uint32_t)imm_cb(b)); break;
    case RISCV_FMT_CISH: set(i, rd, rd, 0, imm_c6(b)); break;
    case RISCV_FMT_CLWSP: set(i, rd, X_SP, 0, imm_lsp_by4(b)); break;
    case RISCV_FMT_CLDSP:
    case RISCV_FMT_CFLDSP: set(i, rd, X_SP, 0, imm_lsp_by8(b)); break;
    case RISCV_FMT_CSWSP: set(i, 0, X_SP, rs2, imm_ssp_by4(b)); break;
    case RISCV_FMT_CSDSP:
    case RISCV_FMT_CFSDSP: set(i, 0, X_SP, rs2, imm_ssp_by8(b)); break;
    case RISCV_FMT_CR: set(i, rd, rd, rs2, 0); break;
    case RISCV_FMT_CRMV: set(i, rd, 0, rs2, 0); break;
    case RISCV_FMT_CR1: set(i, part(b, 12, 1, 0) ? X_RA : 0, rd, 0, 0); break;
    default: break; /* N: no operands */
    }
}

static const struct riscv_row *find(uint32_t bits, const uint16_t *order, unsigned first, unsigned end)
{
    for (unsigned k = first; k < end; k++)
        if ((bits & riscv_rows[order[k]].mask) == riscv_rows[order[k]].match)
            return &riscv_rows[order[k]];
    return NULL;
}

static const struct riscv_row *find_row(uint32_t bits, unsigned len)
{
    unsigned n = len == 4 ? (bits >> 2 & 31) << 3 | (bits >> 12 & 7) : (bits & 3) << 3 | (bits >> 13 & 7);
    if (len == 4)
        return find(bits, riscv_order32, riscv_bucket32[n], riscv_bucket32[n + 1]);
    return find(bits, riscv_order16, riscv_bucket16[n], riscv_bucket16[n + 1]);
}

/* A reserved special case of the row's encoding. */
static bool reserved(const struct riscv_row *row, const struct riscv_insn *i)
{
    if ((row->flags & ROW_RD0) && i->rd == 0)
        return true;
    if ((row->flags & ROW_EVEN) && ((i->rd | i->rs2) & 1))
        return true;
    return (row->flags & ROW_NZ) && (row->format == RISCV_FMT_CR1 ? i->rs1 == 0 : i->imm == 0);
}

void riscv_decode(uint32_t bits, const struct riscv_profile *profile, struct riscv_insn *ret)
{
    unsigned len = riscv_insn_len((uint16_t)bits);
    if (len == 2)
        bits &= 0xffff;
    memset(ret, 0, sizeof(*ret));
    ret->bits = bits;
    ret->len = (uint8_t)len;
    ret->step = rv_illegal;
    ret->row = RISCV_ROW_NONE;
    const struct riscv_row *row = find_row(bits, len);
    if (!row || (profile && !profile->has[row->ext[0]] && !profile->has[row->ext[1]]))
        return;
    if (len == 2 && profile && !profile->has[RISCV_EXT_C])
        return;
    if (len == 4)
        fields32(ret, bits, row->format);
    else
        fields16(ret, bits, row->format);
    if (reserved(row, ret))
        return;
    ret->row = (uint16_t)(row - riscv_rows);
    ret->step = row->step;
}
