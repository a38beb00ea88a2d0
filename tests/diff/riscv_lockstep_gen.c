/* SPDX-License-Identifier: MIT */
/*
 * Generates programs for the lockstep test. See riscv_lockstep_gen.h.
 *
 * Instructions are drawn by row of the table, their free bits at random, and kept if they do nothing that would end the program
 * at once: x1 holds addresses of code, x30 and x31 values of satp, eight registers mostly hold addresses of data.
 */
#include "riscv_lockstep_gen.h"

#include <string.h>

#include "base/checked.h"
#include "isa/riscv/insn_steps.h"

enum { X_RA = 1, X_SP = 2, X_MIXED = 9, X_SATP_A = 30, X_SATP_B = 31 };

bool rl_is_pointer(unsigned reg)
{
    return reg == X_SP || (reg >= 8 && reg <= 13) || reg == 20;
}

uint64_t rl_address(struct rng *r, unsigned reg, bool paged)
{
    static const uint64_t odd[] = { 1ULL << 62, (1ULL << 62) + 0xff9, (1ULL << 62) - 8, ~0ULL,
                                    1ULL << 38, 0xffffffc000000000,   RL_LOW,           1ULL << 63,
                                    1ULL << 47, 0xffff800000000000,   1ULL << 56,       0xff00000000000000 };
    if (reg == X_MIXED)
        return (rng_percent(r, 50) || !paged ? RL_CODE : RL_CODE_S) + RL_CODE_END + 0x100 + rng_below(r, 0x100);
    if (rng_percent(r, reg == X_SP ? 1 : 4))
        return odd[rng_below(r, ARRAY_SIZE(odd))] + (rng_percent(r, 50) ? 0 : rng_below(r, 64));
    uint64_t base = RL_DATA;
    if (paged && rng_percent(r, 40))
        base = rng_percent(r, 60) ? RL_DATA_S : RL_GLOBAL_DATA;
    uint64_t page = base + 4096 * (1 + rng_below(r, RL_DATA_PAGES - 2));
    if (rng_percent(r, 30))
        return page + rng_below(r, 32) - 16;
    return page + (rng_below(r, 4096) & (rng_percent(r, 75) ? ~7U : ~0U));
}

uint64_t rl_float(struct rng *r)
{
    static const uint64_t odd64[] = { 0,
                                      1ULL << 63,
                                      0x7ff0000000000000,
                                      0xfff0000000000000,
                                      0x7ff8000000000000,
                                      0x7ff0000000000001,
                                      0x3ff0000000000000,
                                      0xbff0000000000000,
                                      1,
                                      0x000fffffffffffff,
                                      0x0010000000000000,
                                      0x7fefffffffffffff,
                                      0x41dfffffffc00000,
                                      0xc1e0000000000000,
                                      0x43e0000000000000,
                                      0xc3e0000000000000,
                                      0x3fe0000000000000 };
    static const uint32_t odd32[] = { 0,          0x80000000, 0x7f800000, 0xff800000, 0x7fc00000, 0x7f800001,
                                      0x3f800000, 0xbf800000, 1,          0x007fffff, 0x00800000, 0x7f7fffff,
                                      0x4f000000, 0xcf000000, 0x5f000000, 0xdf000000, 0x3f000000 };
    const uint64_t box = 0xffffffff00000000;
    switch (rng_below(r, 7)) {
    case 0: return rng_next(r);
    case 1: return odd64[rng_below(r, ARRAY_SIZE(odd64))];
    case 2: return box | odd32[rng_below(r, ARRAY_SIZE(odd32))];
    case 3: return box | (uint32_t)rng_next(r);
    case 4: return box | 0x3f000000 | (uint32_t)(rng_next(r) & 0x81ffffff);
    case 5: return 0x3f00000000000000 | (rng_next(r) & 0x81ffffffffffffff);
    default: return odd32[rng_below(r, ARRAY_SIZE(odd32))] | (rng_next(r) & 0x7fffffff00000000); /* not boxed */
    }
}

uint64_t rl_code_address(struct rng *r, unsigned priv, bool paged)
{
    uint64_t off = rng_below(r, RL_CODE_END) & ~1U;
    if (rng_percent(r, 15))
        off = (off & ~0xfffULL) + (rng_percent(r, 50) ? 0xffe : 0xff0);
    if (off >= RL_CODE_END)
        off -= 0x1000;
    if (priv == RISCV_S && paged)
        return (rng_percent(r, 50) ? (uint64_t)RL_CODE_S : RL_GLOBAL_CODE) + off;
    return RL_CODE + off;
}

uint64_t rl_leaf(struct rng *r, enum rl_region region, unsigned space, unsigned n)
{
    enum { V = 1, R = 2, W = 4, X = 8, U = 16, G = 32, A = 64, D = 128 };
    static const uint8_t order[2][8] = { { 0, 1, 2, 3, 4, 5, 6, 7 }, { 0, 2, 1, 3, 6, 5, 4, 7 } };
    static const uint8_t bits[RL_REGIONS] = { V | R | X | U | A | D, V | R | X | A | D,     V | R | W | U | A | D,
                                              V | R | W | A | D,     V | R | X | G | A | D, V | R | W | G | A | D };
    bool code = region == RL_U_CODE || region == RL_SUP_CODE || region == RL_G_CODE, global = region >= RL_G_CODE;
    unsigned page = global ? n : order[space][n];
    uint64_t pa = (code ? RL_CODE : RL_DATA) + 4096ULL * page, rights = bits[region];
    if (code && n == RL_CODE_PAGES - 1 && !global)
        rights |= W;
    if (!code && rng_percent(r, 12))
        rights &= ~(uint64_t)(rng_percent(r, 50) ? W : rng_percent(r, 50) ? D : V);
    if (!code && !global && rng_percent(r, 8))
        rights ^= U;
    return (0x80000000 + pa) >> 12 << 10 | rights;
}

/* ---- instructions ---- */

struct writer {
    struct rng *r;
    uint8_t *code;
    unsigned at;
};

static void put16(struct writer *w, uint32_t v)
{
    memcpy(w->code + w->at, &v, 2);
    w->at += 2;
}

static void put32(struct writer *w, uint32_t v)
{
    memcpy(w->code + w->at, &v, 4);
    w->at += 4;
}

static uint32_t i_type(unsigned opcode, unsigned f3, unsigned rd, unsigned rs1, int32_t imm)
{
    return (uint32_t)imm << 20 | rs1 << 15 | f3 << 12 | rd << 7 | opcode;
}

static uint32_t lui(unsigned rd, uint32_t v)
{
    return (v & 0xfffff000) | rd << 7 | 0x37;
}

static uint32_t jal(unsigned rd, int32_t d)
{
    uint32_t v = (uint32_t)d;
    return (v >> 20 & 1) << 31 | (v >> 1 & 0x3ff) << 21 | (v >> 11 & 1) << 20 | (v >> 12 & 0xff) << 12 | rd << 7 | 0x6f;
}

static uint32_t branch(unsigned f3, unsigned a, unsigned b, int32_t d)
{
    uint32_t v = (uint32_t)d;
    return (v >> 12 & 1) << 31 | (v >> 5 & 0x3f) << 25 | b << 20 | a << 15 | f3 << 12 | (v >> 1 & 15) << 8 | (v >> 11 & 1) << 7
           | 0x63;
}

/* rd is no x register. */
static bool other_rd(unsigned format)
{
    if (format >= RISCV_FMT_VL && format <= RISCV_FMT_VD)
        return format != RISCV_FMT_X2;
    switch (format) {
    case RISCV_FMT_FLD:
    case RISCV_FMT_F1:
    case RISCV_FMT_F3:
    case RISCV_FMT_F3N:
    case RISCV_FMT_F4:
    case RISCV_FMT_XMVF:
    case RISCV_FMT_X2F:
    case RISCV_FMT_FLI:
    case RISCV_FMT_CFLD:
    case RISCV_FMT_CFLDSP: return true;
    default: return false;
    }
}

static bool accesses(const struct riscv_insn *i, unsigned format)
{
    switch (format) {
    case RISCV_FMT_LD: return i->step != rv_jalr;
    case RISCV_FMT_ST:
    case RISCV_FMT_LR:
    case RISCV_FMT_AMO:
    case RISCV_FMT_CBO:
    case RISCV_FMT_FLD:
    case RISCV_FMT_FST:
    case RISCV_FMT_VL:
    case RISCV_FMT_VLN:
    case RISCV_FMT_VLS:
    case RISCV_FMT_VLX:
    case RISCV_FMT_CLW:
    case RISCV_FMT_CLD:
    case RISCV_FMT_CSW:
    case RISCV_FMT_CSD:
    case RISCV_FMT_CFLD:
    case RISCV_FMT_CFSD:
    case RISCV_FMT_CLWSP:
    case RISCV_FMT_CLDSP:
    case RISCV_FMT_CFLDSP:
    case RISCV_FMT_CSWSP:
    case RISCV_FMT_CSDSP:
    case RISCV_FMT_CFSDSP: return true;
    default: return false;
    }
}

static bool good_csr(struct rng *r, const struct riscv_insn *i)
{
    static const uint16_t any[] = { 1,     2,     3,     0x100, 0x104, 0x140, 0x141, 0x142, 0x143, 0x144, 0x304,
                                    0x341, 0x342, 0x343, 0x344, 0xb00, 0xb02, 0xc00, 0xc01, 0xc02, 0x106, 0x306,
                                    0x301, 0xf14, 8,     9,     10,    15,    0xc20, 0xc21, 0xc22 };
    if ((i->imm == 0x300 || i->imm == 0x302 || i->imm == 0x303) && rng_percent(r, 10))
        return true;
    if (i->imm == 0x180)
        return (i->step == rv_csrrw && i->rs1 >= X_SATP_A) || ((i->step == rv_csrrs || i->step == rv_csrrc) && i->rs1 == 0);
    for (unsigned k = 0; k < ARRAY_SIZE(any); k++)
        if (i->imm == any[k])
            return true;
    return false;
}

/* Whether a drawn instruction leaves the program something to do. */
static bool good(struct writer *w, const struct riscv_insn *i)
{
    if (i->row == RISCV_ROW_NONE)
        return rng_percent(w->r, 5);
    const struct riscv_row *row = &riscv_rows[i->row];
    unsigned format = row->format;
    int32_t to = (int32_t)w->at + i->imm;
    if (i->step == rv_jalr)
        return i->rs1 == X_RA && i->rd <= 5 && i->rd != X_SP && i->imm > -64 && i->imm < 64;
    if (i->step == rv_jal)
        return (i->rd <= 1 || i->rd == 5) && to >= 0 && to < RL_CODE_END && rng_percent(w->r, 50);
    if (format == RISCV_FMT_B || format == RISCV_FMT_CB)
        return to >= 0 && to < RL_CODE_END;
    if (accesses(i, format)) {
        if (!rl_is_pointer(i->rs1) || (i->rs1 == X_MIXED && (i->imm < -200 || i->imm > 200)))
            return false;
        if (format == RISCV_FMT_CBO && i->rs1 == X_MIXED)
            return false;
    }
    if (format == RISCV_FMT_CSR || format == RISCV_FMT_CSRI) {
        if (!good_csr(w->r, i))
            return false;
    } else if ((i->step == rv_wfi || i->step == rv_mret || i->step == rv_sret || i->step == rv_ebreak) && rng_percent(w->r, 60)) {
        return false;
    }
    if (other_rd(format))
        return true;
    if (i->rd == X_RA || i->rd >= X_SATP_A)
        return false;
    return !rl_is_pointer(i->rd) || (format == RISCV_FMT_LD && rng_percent(w->r, 10))
           || (i->step == rv_addi && i->rs1 == i->rd && i->rd != X_MIXED && i->imm > -256 && i->imm < 256);
}

/* Vector instructions: a vtype that mostly is legal, registers that groups may begin at, small strides. */
static uint32_t tame_vector(struct rng *r, const struct riscv_row *row, uint32_t bits)
{
    static const uint8_t lmul[] = { 0, 0, 1, 1, 2, 3, 5, 6, 7 };
    if (row->format == RISCV_FMT_VSETI || row->format == RISCV_FMT_VSETII)
        return rng_percent(r, 5) ? bits
                                 : (bits & ~(0x3ffU << 20)) | (rng_below(r, 4) << 3 | lmul[rng_below(r, ARRAY_SIZE(lmul))]) << 20;
    if (row->format == RISCV_FMT_VLS && rng_percent(r, 80))
        bits &= ~(31U << 20); /* x0: all from one place */
    if (rng_percent(r, 60)) {
        uint32_t low = rng_percent(r, 50) ? 1 : 3; /* groups of 2, 4 */
        bits &= ~((low << 20 | low << 7) & ~row->mask);
        if (row->format == RISCV_FMT_VV || row->format == RISCV_FMT_VVA || row->format == RISCV_FMT_VVM)
            bits &= ~(low << 15 & ~row->mask);
    }
    return bits;
}

static void put_any(struct writer *w, unsigned from, unsigned nr)
{
    for (;;) {
        const struct riscv_row *row = &riscv_rows[from + rng_below(w->r, nr)];
        uint32_t bits = row->match | ((uint32_t)rng_next(w->r) & ~row->mask);
        struct riscv_insn i;
        if (row->format >= RISCV_FMT_VSETI && row->format <= RISCV_FMT_VD) {
            if (rng_percent(w->r, row->step == rv_vsetvl ? 90 : 50))
                continue; /* they are half of the table */
            bits = tame_vector(w->r, row, bits);
        }
        if (row->format == RISCV_FMT_CSR || row->format == RISCV_FMT_CSRI) {
            static const uint16_t csr[] = { 0x100, 0x100, 0x100, 0x140, 0x141, 0x142, 0x143, 0x104, 0x144, 2,    3,
                                            1,     0x180, 0x180, 0x300, 0x344, 8,     8,     15,    0xc20, 0xc21 };
            if (rng_percent(w->r, 80))
                bits = (bits & 0xfffff) | (uint32_t)csr[rng_below(w->r, ARRAY_SIZE(csr))] << 20;
            if ((bits >> 20) == 0x180) /* only what satp may be: global pages must stay */
                bits = (bits & ~(31U << 15)) | (uint32_t)(X_SATP_A + rng_below(w->r, 2)) << 15;
            else if (row->format == RISCV_FMT_CSRI && rng_percent(w->r, 50))
                bits = (bits & ~(31U << 15)) | 2U << 15;
        }
        riscv_decode(bits, NULL, &i);
        if (accesses(&i, row->format) && i.len == 4) /* a register that may do */
            bits = (bits & ~(31U << 15))
                   | (uint32_t)(rng_percent(w->r, 50) ? X_SP + 6 * rng_below(w->r, 2) : 8 + rng_below(w->r, 6)) << 15;
        if ((row->format == RISCV_FMT_F3 || row->format == RISCV_FMT_F1 || row->format == RISCV_FMT_F4) && rng_percent(w->r, 75))
            bits |= 7U << 12; /* rounds as frm says */
        riscv_decode(bits, NULL, &i);
        if ((i.row == RISCV_ROW_NONE && rng_percent(w->r, 98)) || !good(w, &i))
            continue;
        if (i.len == 4)
            put32(w, bits);
        else
            put16(w, bits);
        return;
    }
}

/* Accesses off one register, which may move in between. */
static void put_accesses(struct writer *w)
{
    unsigned base = rng_percent(w->r, 50) ? X_SP : 8 + rng_below(w->r, 6), n = 2 + rng_below(w->r, 6);
    int32_t spread = base == X_MIXED ? 60 : rng_percent(w->r, 60) ? 64 : 400;
    while (n--) {
        int32_t imm = (int32_t)rng_below(w->r, 2U * (unsigned)spread) - spread;
        unsigned reg = rng_percent(w->r, 80) ? 14 + rng_below(w->r, 6) : 21 + rng_below(w->r, 8), f = rng_below(w->r, 32);
        if (rng_percent(w->r, 70))
            imm &= ~7;
        switch (rng_below(w->r, 6)) {
        case 0:
        case 1: put32(w, i_type(0x03, rng_below(w->r, 7), reg, base, imm)); break;
        case 2:
        case 3:
            put32(w, ((uint32_t)imm & 31) << 7 | ((uint32_t)imm >> 5 & 127) << 25 | reg << 20 | base << 15
                         | rng_below(w->r, 4) << 12 | 0x23);
            break;
        case 4: put32(w, i_type(0x07, 2 + rng_below(w->r, 2), f, base, imm)); break;
        default:
            if (base != X_MIXED)
                put32(w, i_type(0x13, 0, base, base, (int32_t)rng_below(w->r, 128) - 64));
            break;
        }
    }
}

static uint32_t r_type(unsigned f7, unsigned f3, unsigned rd, unsigned rs1, unsigned rs2)
{
    return f7 << 25 | rs2 << 20 | rs1 << 15 | f3 << 12 | rd << 7 | 0x33;
}

/* Two instructions that the translator makes one of. */
static void put_pair(struct writer *w)
{
    static const uint8_t by[] = { 32, 32, 48, 56, 1, 2, 3, 0 };
    unsigned rd = 14 + rng_below(w->r, 6), a = rng_percent(w->r, 30) ? rd : 8 + rng_below(w->r, 22), b = 8 + rng_below(w->r, 22);
    unsigned n = by[rng_below(w->r, ARRAY_SIZE(by))];
    int32_t imm = (int32_t)rng_below(w->r, 4096) - 2048;
    switch (rng_below(w->r, 6)) {
    case 0:
        put32(w, i_type(0x13, 1, rd, a, (int32_t)n));
        put32(w, i_type(0x13, 5, rd, rd, (int32_t)(rng_percent(w->r, 60) ? n : rng_below(w->r, 64)) | (imm & 0x400)));
        break;
    case 1:
        put32(w, i_type(0x13, 1, rd, a, 1 + (imm & 3)));
        put32(w, rng_percent(w->r, 50) ? r_type(0, 0, rd, rd, b) : r_type(0, 0, rd, b, rd));
        break;
    case 2:
        put32(w, i_type(0x13, 4, rd, a, -1));
        put32(w, rng_percent(w->r, 50) ? r_type(0, 7, rd, rd, b) : r_type(0, 7, rd, b, rd));
        break;
    case 3:
        put32(w, i_type(0x03, 0, rd, 8, imm));
        put32(w, i_type(0x13, 7, rd, rd, 255));
        break;
    case 4:
        put32(w, lui(rd, (uint32_t)rng_next(w->r)) ^ (rng_percent(w->r, 30) ? 0x20 : 0)); /* or auipc */
        put32(w, i_type(rng_percent(w->r, 50) ? 0x13 : 0x1b, 0, rd, rd, imm));
        break;
    default: /* comparisons with 0, and of a register with itself */
        put32(w, rng_percent(w->r, 50) ? r_type(0, 2 + rng_below(w->r, 2), rd, rng_percent(w->r, 50) ? 0 : a, b)
                                       : i_type(0x13, 2 + rng_below(w->r, 2), rd, a, imm % 3));
        break;
    }
}

/* A call that returns behind itself, or one instruction later. */
static void put_return(struct writer *w)
{
    put32(w, jal(X_RA, 16));
    put32(w, i_type(0x13, 0, 14, 14, 1));
    put32(w, i_type(0x13, 0, 15, 15, 1));
    put32(w, jal(0, 16));
    put32(w, i_type(0x13, 7, 16, 17, rng_percent(w->r, 50) ? 4 : 0));
    put32(w, rng_percent(w->r, 70) ? r_type(0, 0, X_RA, X_RA, 16) : 0x13);
    put32(w, i_type(0x67, 0, 0, X_RA, 0));
}

/* li reg, v; csr sstatus */
static void put_status(struct writer *w)
{
    static const uint32_t bits[] = { 2, 0x40000, 0x6000, 0x2000, 0x80000, 0x22, 0x100, 0x600, 0x200 };
    uint32_t v = bits[rng_below(w->r, ARRAY_SIZE(bits))];
    unsigned rd = 14 + rng_below(w->r, 4), to = rng_percent(w->r, 50) ? 0 : 21;
    put32(w, lui(rd, v + 0x800));
    put32(w, i_type(0x13, 0, rd, rd, (int32_t)(v << 20) >> 20));
    if (rng_percent(w->r, 30))
        put32(w, i_type(0x33, 0, rd, rd, 0)); /* add rd, rd, x0: not known any more */
    put32(w, i_type(0x73, 2 + rng_below(w->r, 2), to, rd, 0x100));
}

/* A call to where the page's code begins, by jal or by auipc and jalr. */
static void put_call(struct writer *w)
{
    int32_t d = (int32_t)(rng_below(w->r, RL_CODE_END) & ~1U) - (int32_t)w->at;
    if (rng_percent(w->r, 50)) {
        put32(w, jal(X_RA, d));
        return;
    }
    put32(w, ((uint32_t)(d + 0x800) & 0xfffff000) | X_RA << 7 | 0x17);
    put32(w, i_type(0x67, 0, X_RA, X_RA, (int32_t)((uint32_t)d << 20) >> 20));
}

/* A new value for a pointer. */
static void put_pointer(struct writer *w)
{
    unsigned rd = rng_percent(w->r, 30) ? X_SP : 8 + rng_below(w->r, 6);
    uint64_t v = rl_address(w->r, rd, rng_percent(w->r, 50));
    if (v == (1ULL << 62)) {
        put32(w, i_type(0x13, 0, rd, 0, 1));
        put32(w, i_type(0x13, 1, rd, rd, 62));
        return;
    }
    put32(w, lui(rd, (uint32_t)v + 0x800));
    put32(w, i_type(0x13, 0, rd, rd, (int32_t)((uint32_t)v << 20) >> 20));
}

/* A short loop, by a counter. */
static void put_loop(struct writer *w)
{
    unsigned counter = 22 + rng_below(w->r, 2), n = 1 + rng_below(w->r, 5);
    put32(w, i_type(0x13, 0, counter, 0, 1 + (int32_t)rng_below(w->r, 12)));
    unsigned top = w->at;
    while (n--) {
        struct writer before = *w;
        put_any(w, 0, riscv_nr_rows);
        struct riscv_insn i;
        uint32_t bits;
        memcpy(&bits, w->code + before.at, 4);
        riscv_decode(bits, NULL, &i);
        if (i.row != RISCV_ROW_NONE && !other_rd(riscv_rows[i.row].format) && i.rd == counter)
            w->at = before.at;
    }
    put32(w, i_type(0x13, 0, counter, counter, -1));
    put32(w, branch(1, counter, 0, (int32_t)top - (int32_t)w->at));
}

/* VSETVLI or VSETIVLI, and what vl is to be. */
static void put_vset(struct writer *w, unsigned sew, unsigned lmul)
{
    uint32_t vtype = sew << 3 | lmul | (rng_below(w->r, 4) << 6);
    unsigned avl = 14 + rng_below(w->r, 6), rd = rng_percent(w->r, 50) ? 0 : 14 + rng_below(w->r, 6);
    switch (rng_below(w->r, 5)) {
    case 0: put32(w, 3U << 30 | vtype << 20 | rng_below(w->r, 32) << 15 | 7U << 12 | rd << 7 | 0x57); return;
    case 1: put32(w, vtype << 20 | 7U << 12 | (14 + rng_below(w->r, 6)) << 7 | 0x57); return; /* as much as there is */
    case 2: put32(w, vtype << 20 | 7U << 12 | 0x57); return;                                  /* what it was */
    default: break;
    }
    if (rng_percent(w->r, 70))
        put32(w, i_type(0x13, 0, avl, 0, (int32_t)rng_below(w->r, rng_percent(w->r, 70) ? 24 : 600)));
    if (rng_percent(w->r, 30))
        put32(w, i_type(0x33, 0, avl, avl, 0)); /* add avl, avl, x0: not known any more */
    put32(w, vtype << 20 | avl << 15 | 7U << 12 | rd << 7 | 0x57);
}

/* Any vector instruction, with registers that groups of that LMUL may begin at, or twice that. */
static void put_vector(struct writer *w, unsigned lmul)
{
    bool fp = rng_percent(w->r, 25);
    for (;;) {
        const struct riscv_row *row = &riscv_rows[rng_below(w->r, riscv_nr_rows)];
        if (fp && strncmp(row->name, "vf", 2) != 0)
            continue;
        if (row->format <= RISCV_FMT_VSETII || row->format > RISCV_FMT_VD)
            continue;
        bool memory = row->format <= RISCV_FMT_VLX, unit = row->format <= RISCV_FMT_VLN;
        if (memory && rng_percent(w->r, unit ? row->format == RISCV_FMT_VL ? 0 : 60 : 90))
            continue;
        uint32_t bits = row->match | ((uint32_t)rng_next(w->r) & ~row->mask), low = lmul < 4 ? (1U << lmul) - 1 : 0;
        if (rng_percent(w->r, 30) && low < 7)
            low = 2 * low + 1;
        if (rng_percent(w->r, 90)) {
            bits &= ~((low << 7) & ~row->mask);
            bits &= ~((low << 20) & ~row->mask);
            if (row->format == RISCV_FMT_VV || row->format == RISCV_FMT_VVA || row->format == RISCV_FMT_VVM
                || row->format == RISCV_FMT_VMVV)
                bits &= ~((low << 15) & ~row->mask);
        }
        if (rng_percent(w->r, 60))
            bits |= 1U << 25 & ~row->mask;
        if (memory)
            bits = (bits & ~(31U << 15)) | (uint32_t)(rng_percent(w->r, 30) ? X_SP : 8 + rng_below(w->r, 6)) << 15;
        struct riscv_insn i;
        riscv_decode(bits, NULL, &i);
        if (i.row == RISCV_ROW_NONE || !good(w, &i))
            continue;
        put32(w, bits);
        return;
    }
}

/* A vtype and what works with it, perhaps in a loop, and with what is in the way of it. */
static void put_vectors(struct writer *w)
{
    static const uint8_t lmuls[] = { 0, 0, 1, 2, 3, 5, 6, 7 };
    unsigned counter = 22 + rng_below(w->r, 2), sew = rng_below(w->r, 4), n = 2 + rng_below(w->r, 8);
    unsigned lmul = lmuls[rng_below(w->r, 4 + (sew == 0 ? 4 : sew == 1 ? 3 : sew == 2 ? 4 : 1))];
    bool loop = rng_percent(w->r, 30), inside = rng_percent(w->r, 50);
    if (lmul >= 5 && lmul < 5 + sew)
        lmul = 0;
    if (loop)
        put32(w, i_type(0x13, 0, counter, 0, 1 + (int32_t)rng_below(w->r, 12)));
    if (!inside)
        put_vset(w, sew, lmul);
    unsigned top = w->at;
    if (inside)
        put_vset(w, sew, lmul);
    while (n--) {
        if (rng_percent(w->r, 4)) /* csrwi vstart */
            put32(w, i_type(0x73, 5, 0, rng_below(w->r, 6), 8));
        if (rng_percent(w->r, 5)) /* csrwi fflags */
            put32(w, i_type(0x73, 5, 0, 0, 1));
        if (rng_percent(w->r, 6))
            put_any(w, 0, riscv_nr_rows);
        if (rng_percent(w->r, 6))
            put_vset(w, sew, lmul);
        if (rng_percent(w->r, 10)) /* perhaps to a page's end */
            put_pointer(w);
        if (rng_percent(w->r, 10)) /* a pointer moves on */
            put32(w, i_type(0x13, 0, 10, 10, (int32_t)rng_below(w->r, 128) - 64));
        put_vector(w, lmul);
    }
    if (loop) {
        put32(w, i_type(0x13, 0, counter, counter, -1));
        put32(w, branch(5, 0, counter, 8)); /* bge x0: whatever has become of it */
        put32(w, jal(0, (int32_t)top - (int32_t)w->at));
    }
}

/* Writes an instruction to a slot behind the code, fences, calls it. */
static void put_patch(struct writer *w, bool global)
{
    unsigned slot = RL_PATCHED + 4 * rng_below(w->r, 8);
    uint32_t insn = i_type(0x13, 0, 14 + rng_below(w->r, 6), 14, (int32_t)rng_below(w->r, 2048));
    uint32_t base = global ? RL_CODE_S : RL_CODE;
    put32(w, lui(16, base + slot + 0x800));
    put32(w, i_type(0x13, 0, 16, 16, (int32_t)((base + slot) << 20) >> 20));
    put32(w, lui(17, insn + 0x800));
    put32(w, i_type(0x13, 0, 17, 17, (int32_t)(insn << 20) >> 20));
    put32(w, 17U << 20 | 16U << 15 | 2U << 12 | 0x23); /* sw x17, 0(x16) */
    put32(w, 0x100f);                                  /* fence.i */
    put32(w, jal(X_RA, (int32_t)slot - (int32_t)w->at));
}

void rl_generate(struct rng *r, uint8_t *code, uint8_t *data)
{
    struct writer w = { .r = r, .code = code };
    unsigned style = rng_below(r, 6), focus = rng_below(r, riscv_nr_rows - 24);
    const struct riscv_row *vset = riscv_rows;
    while (vset->step != rv_vsetvli)
        vset++;
    memset(code, 0, RL_CODE_PAGES * 4096);
    while (w.at < RL_PATCHED - 60) {
        if (rng_percent(r, 2))
            put32(&w, tame_vector(r, vset, vset->match | ((uint32_t)rng_next(r) & 0x1f << 15) | 14 << 7));
        if (style == 5 && rng_percent(r, 70) && w.at < RL_PATCHED - 500) {
            put_vectors(&w);
            continue;
        }
        unsigned kind = rng_below(r, 100);
        if (kind < 16)
            put_accesses(&w);
        else if (kind < 22)
            put_pointer(&w);
        else if (kind < 26)
            put_call(&w);
        else if (kind < 31)
            put_loop(&w);
        else if (kind < 33)
            put_status(&w);
        else if (kind < 34 && (w.at & 0xfff) < 0xfc0)
            put_patch(&w, rng_percent(r, 50));
        else if (kind < 36)
            put32(&w, i_type(0x67, 0, 0, X_RA, 0)); /* ret */
        else if (kind < 46)
            put_pair(&w);
        else if (kind < 48)
            put_return(&w);
        else if (kind < 52 && w.at < RL_PATCHED - 500)
            put_vectors(&w);
        else if (style == 0)
            put_any(&w, focus, 24);
        else
            put_any(&w, 0, riscv_nr_rows);
    }
    while (w.at < RL_PATCHED)
        put16(&w, 1); /* c.nop */
    for (unsigned k = 0; k < 8; k++)
        put32(&w, 0x13);
    put32(&w, i_type(0x67, 0, 0, X_RA, 0));
    while (w.at < RL_CODE_END)
        put32(&w, jal(0, (int32_t)(rng_below(r, RL_PATCHED) & ~1U) - (int32_t)w.at));
    for (unsigned k = 0; k < RL_DATA_PAGES * 4096; k += 8) {
        uint64_t v = rng_percent(r, 50) ? rng_next(r) : rl_float(r);
        memcpy(data + k, &v, 8);
    }
}

unsigned rl_handler(bool machine, uint32_t *code)
{
    uint32_t scratch = machine ? 0x340 : 0x140;
    unsigned n = 0;
    code[n++] = i_type(0x73, 1, 5, 5, (int32_t)scratch);     /* csrrw x5, scratch, x5 */
    code[n++] = i_type(0x73, 2, 5, 0, (int32_t)scratch + 2); /* csrr x5, cause */
    code[n++] = branch(4, 5, 0, 16);                         /* bltz x5, +16 */
    code[n++] = i_type(0x73, 2, 5, 0, (int32_t)scratch + 1); /* csrr x5, epc */
    code[n++] = i_type(0x13, 0, 5, 5, 4);
    code[n++] = i_type(0x73, 1, 0, 5, (int32_t)scratch + 1);
    code[n++] = i_type(0x73, 1, 5, 5, (int32_t)scratch);
    code[n++] = machine ? 0x30200073 : 0x10200073;
    return n;
}
