/* SPDX-License-Identifier: MIT */
/*
 * The definition of shifts, rotates, bit tests and scans, and the BMI instructions.
 *
 * Where the manual leaves a flag undefined, the value here is one that processors give; tests mask it out.
 *
 * Spec: Intel SDM 2A, 2B, the instruction's page
 */
#include "isa/x86/step_ops.h"

/* ---- shifts and rotates ---- */

enum shift { SHIFT_ROL, SHIFT_ROR, SHIFT_RCL, SHIFT_RCR, SHIFT_SHL, SHIFT_SHR, SHIFT_SAR };

/* One rotate by n (1..63); *f gets CF and OF. */
static uint64_t rotate(uint64_t a, unsigned n, unsigned size, bool left, uint64_t *f)
{
    unsigned bits = 8 * size, k = n % bits;
    uint64_t r = a;
    if (k)
        r = (left ? a << k | a >> (bits - k) : a >> k | a << (bits - k)) & size_mask(size);
    if (left)
        *f = (r & 1) | (sign_bit(r, size) ^ (r & 1)) << 11;
    else
        *f = sign_bit(r, size) | (sign_bit(r, size) ^ (r >> (bits - 2) & 1)) << 11;
    return r;
}

/* Rotate through carry by n (already reduced to 0..bits). */
static uint64_t rotate_carry(uint64_t a, unsigned n, unsigned size, bool left, uint64_t *f)
{
    unsigned bits = 8 * size;
    uint64_t cf = *f & FLAG_CF;
    unsigned __int128 w = (unsigned __int128)cf << bits | a, mask = ((unsigned __int128)1 << (bits + 1)) - 1;
    if (n)
        w = (left ? w << n | w >> (bits + 1 - n) : w >> n | w << (bits + 1 - n)) & mask;
    uint64_t r = (uint64_t)w & size_mask(size);
    cf = (uint64_t)(w >> bits) & 1;
    uint64_t of = left ? sign_bit(r, size) ^ cf : sign_bit(r, size) ^ (r >> (bits - 2) & 1);
    *f = cf | of << 11;
    return r;
}

/* A shift by n (1..63); *f gets all arithmetic flags. */
static uint64_t shift(uint64_t a, unsigned n, unsigned size, enum shift op, uint64_t *f)
{
    unsigned bits = 8 * size;
    uint64_t r, cf, of;
    if (op == SHIFT_SHL) {
        r = n < bits ? (a << n) & size_mask(size) : 0;
        cf = n <= bits ? a >> (bits - n) & 1 : 0;
        of = sign_bit(r, size) ^ cf;
    } else if (op == SHIFT_SHR) {
        r = n < bits ? a >> n : 0;
        cf = n <= bits ? a >> (n - 1) & 1 : 0;
        of = sign_bit(a, size) & (n == 1);
    } else {
        int64_t s = sign_extend(a, size);
        r = (uint64_t)(s >> n) & size_mask(size);
        cf = (uint64_t)(s >> (n - 1)) & 1;
        of = 0;
    }
    *f = flags_szp(r, size) | cf | of << 11;
    return r;
}

ALWAYS_INLINE void shift_or_rotate(struct x86_cpu *c, const struct x86_insn *i, enum shift op)
{
    unsigned size = i->op[0].size, n = (unsigned)rd(c, i, 1) & (size == 8 ? 63 : 31);
    bool carry = op == SHIFT_RCL || op == SHIFT_RCR, plain = op == SHIFT_ROL || op == SHIFT_ROR;
    uint64_t a, r = 0, f = 0;
    struct rmw m;
    unsigned turns = carry ? n % (8 * size + 1) : n;
    do {
        a = rmw_load(c, i, &m);
        f = c->rflags;
        if (!n)
            r = a;
        else if (plain)
            r = rotate(a, n, size, op == SHIFT_ROL, &f);
        else if (carry)
            r = rotate_carry(a, turns, size, op == SHIFT_RCL, &f);
        else
            r = shift(a, n, size, op, &f);
    } while (!rmw_store(c, i, &m, r));
    if (n)
        flags_set(c, plain || carry ? FLAG_CF | FLAG_OF : FLAGS_ARITH, f & (plain || carry ? FLAG_CF | FLAG_OF : FLAGS_ARITH));
}

void step_rol(struct x86_cpu *c, const struct x86_insn *i)
{
    shift_or_rotate(c, i, SHIFT_ROL);
}

void step_ror(struct x86_cpu *c, const struct x86_insn *i)
{
    shift_or_rotate(c, i, SHIFT_ROR);
}

void step_rcl(struct x86_cpu *c, const struct x86_insn *i)
{
    shift_or_rotate(c, i, SHIFT_RCL);
}

void step_rcr(struct x86_cpu *c, const struct x86_insn *i)
{
    shift_or_rotate(c, i, SHIFT_RCR);
}

void step_shl(struct x86_cpu *c, const struct x86_insn *i)
{
    shift_or_rotate(c, i, SHIFT_SHL);
}

void step_shr(struct x86_cpu *c, const struct x86_insn *i)
{
    shift_or_rotate(c, i, SHIFT_SHR);
}

void step_sar(struct x86_cpu *c, const struct x86_insn *i)
{
    shift_or_rotate(c, i, SHIFT_SAR);
}

/* SHLD and SHRD: the destination's bits, then the source's, seen through a window. */
static void shift_double(struct x86_cpu *c, const struct x86_insn *i, bool left)
{
    unsigned size = i->op[0].size, bits = 8 * size, n = (unsigned)rd(c, i, 2) & (size == 8 ? 63 : 31);
    uint64_t b = rd(c, i, 1), a, r, cf = 0;
    struct rmw m;
    do {
        a = rmw_load(c, i, &m);
        /* 16-bit counts over 16 are undefined; the source then comes around again */
        unsigned __int128 w = left ? (unsigned __int128)a << bits | b : (unsigned __int128)b << bits | a;
        if (!n) {
            r = a;
        } else if (n > bits) {
            unsigned k = n - bits;
            r = left ? b << k | a >> (bits - k) : b >> k | a << (bits - k);
            cf = left ? b >> (bits - k) : b >> (k - 1);
        } else {
            r = (uint64_t)(left ? w >> (bits - n) : w >> n);
            cf = left ? a >> (bits - n) : a >> (n - 1);
        }
        r &= size_mask(size);
    } while (!rmw_store(c, i, &m, r));
    if (n)
        flags_set(c, FLAGS_ARITH, flags_szp(r, size) | (cf & 1) | (sign_bit(r, size) ^ sign_bit(a, size)) << 11);
}

void step_shld(struct x86_cpu *c, const struct x86_insn *i)
{
    shift_double(c, i, true);
}

void step_shrd(struct x86_cpu *c, const struct x86_insn *i)
{
    shift_double(c, i, false);
}

/* ---- bit tests ---- */

enum bit_op { BIT_TEST, BIT_SET, BIT_RESET, BIT_COMPLEMENT };

static uint64_t bit_apply(uint64_t a, uint64_t bit, enum bit_op op)
{
    switch (op) {
    case BIT_TEST: break;
    case BIT_SET: return a | bit;
    case BIT_RESET: return a & ~bit;
    case BIT_COMPLEMENT: return a ^ bit;
    }
    return a;
}

/* With a register as bit number and a memory operand, the bit string reaches beyond the operand in both directions. */
static void bit_string(struct x86_cpu *c, const struct x86_insn *i, enum bit_op op)
{
    unsigned size = i->op[0].size;
    int64_t n = sign_extend(rd(c, i, 1), size);
    struct x86_insn at = *i;
    at.disp += (n >> 3) & -(int64_t)size;
    uint64_t bit = 1ULL << (n & (8 * size - 1)), a;
    struct rmw m;
    if (op == BIT_TEST) {
        a = rd(c, &at, 0);
    } else {
        do
            a = rmw_load(c, &at, &m);
        while (!rmw_store(c, &at, &m, bit_apply(a, bit, op)));
    }
    flags_set(c, FLAG_CF, !!(a & bit));
}

ALWAYS_INLINE void bit_op(struct x86_cpu *c, const struct x86_insn *i, enum bit_op op)
{
    if (i->op[0].kind == OPND_MEM && i->op[1].kind == OPND_REG) {
        bit_string(c, i, op);
        return;
    }
    uint64_t bit = 1ULL << (rd(c, i, 1) & (8 * i->op[0].size - 1)), a;
    struct rmw m;
    if (op == BIT_TEST) {
        a = rd(c, i, 0);
    } else {
        do
            a = rmw_load(c, i, &m);
        while (!rmw_store(c, i, &m, bit_apply(a, bit, op)));
    }
    flags_set(c, FLAG_CF, !!(a & bit));
}

void step_bt(struct x86_cpu *c, const struct x86_insn *i)
{
    bit_op(c, i, BIT_TEST);
}

void step_bts(struct x86_cpu *c, const struct x86_insn *i)
{
    bit_op(c, i, BIT_SET);
}

void step_btr(struct x86_cpu *c, const struct x86_insn *i)
{
    bit_op(c, i, BIT_RESET);
}

void step_btc(struct x86_cpu *c, const struct x86_insn *i)
{
    bit_op(c, i, BIT_COMPLEMENT);
}

/* ---- scans and counts ---- */

void step_bsf(struct x86_cpu *c, const struct x86_insn *i)
{
    uint64_t v = rd(c, i, 1);
    if (v) /* 0: all processors leave the destination alone, all 64 bits of it */
        wr(c, i, 0, (uint64_t)__builtin_ctzll(v));
    flags_set(c, FLAG_ZF, v ? 0 : FLAG_ZF);
}

void step_bsr(struct x86_cpu *c, const struct x86_insn *i)
{
    uint64_t v = rd(c, i, 1);
    if (v)
        wr(c, i, 0, 63 - (uint64_t)__builtin_clzll(v));
    flags_set(c, FLAG_ZF, v ? 0 : FLAG_ZF);
}

void step_tzcnt(struct x86_cpu *c, const struct x86_insn *i)
{
    uint64_t v = rd(c, i, 1), r = v ? (uint64_t)__builtin_ctzll(v) : 8 * i->op[1].size;
    wr(c, i, 0, r);
    flags_set(c, FLAG_CF | FLAG_ZF, (v ? 0 : FLAG_CF) | (r ? 0 : FLAG_ZF));
}

void step_lzcnt(struct x86_cpu *c, const struct x86_insn *i)
{
    unsigned bits = 8 * i->op[1].size;
    uint64_t v = rd(c, i, 1), r = v ? (uint64_t)__builtin_clzll(v) - (64 - bits) : bits;
    wr(c, i, 0, r);
    flags_set(c, FLAG_CF | FLAG_ZF, (v ? 0 : FLAG_CF) | (r ? 0 : FLAG_ZF));
}

void step_popcnt(struct x86_cpu *c, const struct x86_insn *i)
{
    uint64_t v = rd(c, i, 1);
    wr(c, i, 0, (uint64_t)__builtin_popcountll(v));
    flags_set(c, FLAGS_ARITH, v ? 0 : FLAG_ZF);
}

/* CRC-32C, bit by bit: polynomial 0x11edc6f41, reflected. Spec: SDM 2A CRC32 */
void step_crc32(struct x86_cpu *c, const struct x86_insn *i)
{
    unsigned size = i->op[1].size;
    uint64_t v = rd(c, i, 1);
    uint32_t crc = (uint32_t)rd(c, i, 0);
    for (unsigned k = 0; k < size; k++) {
        crc ^= (uint8_t)(v >> (8 * k));
        for (unsigned b = 0; b < 8; b++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78U : 0);
    }
    c->gpr[i->op[0].reg] = crc;
}

/* ---- BMI1, BMI2 ---- */

static void flags_bmi(struct x86_cpu *c, uint64_t r, unsigned size, bool carry)
{
    flags_set(c, FLAGS_ARITH, (flags_szp(r, size) & ~(uint64_t)FLAG_PF) | carry);
}

void step_andn(struct x86_cpu *c, const struct x86_insn *i)
{
    uint64_t r = ~rd(c, i, 1) & rd(c, i, 2) & size_mask(i->op[0].size);
    wr(c, i, 0, r);
    flags_bmi(c, r, i->op[0].size, false);
}

void step_bextr(struct x86_cpu *c, const struct x86_insn *i)
{
    uint64_t v = rd(c, i, 1), control = rd(c, i, 2);
    unsigned start = control & 0xff, len = control >> 8 & 0xff;
    uint64_t r = start < 64 ? v >> start : 0;
    if (len < 64)
        r &= (1ULL << len) - 1;
    wr(c, i, 0, r);
    flags_set(c, FLAGS_ARITH, r ? 0 : FLAG_ZF);
}

void step_blsi(struct x86_cpu *c, const struct x86_insn *i)
{
    uint64_t v = rd(c, i, 1), r = v & -v;
    wr(c, i, 0, r);
    flags_bmi(c, r, i->op[0].size, v != 0);
}

void step_blsmsk(struct x86_cpu *c, const struct x86_insn *i)
{
    uint64_t v = rd(c, i, 1), r = (v ^ (v - 1)) & size_mask(i->op[0].size);
    wr(c, i, 0, r);
    flags_bmi(c, r, i->op[0].size, v == 0);
}

void step_blsr(struct x86_cpu *c, const struct x86_insn *i)
{
    uint64_t v = rd(c, i, 1), r = v & (v - 1) & size_mask(i->op[0].size);
    wr(c, i, 0, r);
    flags_bmi(c, r, i->op[0].size, v == 0);
}

void step_bzhi(struct x86_cpu *c, const struct x86_insn *i)
{
    unsigned size = i->op[0].size, n = (unsigned)rd(c, i, 2) & 0xff;
    uint64_t r = rd(c, i, 1);
    if (n < 8 * size)
        r &= (1ULL << n) - 1;
    wr(c, i, 0, r);
    flags_bmi(c, r, size, n >= 8 * size);
}

void step_pdep(struct x86_cpu *c, const struct x86_insn *i)
{
    uint64_t v = rd(c, i, 1), mask = rd(c, i, 2), r = 0;
    for (; mask; mask &= mask - 1, v >>= 1)
        if (v & 1)
            r |= mask & -mask;
    wr(c, i, 0, r);
}

void step_pext(struct x86_cpu *c, const struct x86_insn *i)
{
    uint64_t v = rd(c, i, 1), mask = rd(c, i, 2), r = 0;
    for (unsigned k = 0; mask; mask &= mask - 1, k++)
        if (v & mask & -mask)
            r |= 1ULL << k;
    wr(c, i, 0, r);
}

void step_rorx(struct x86_cpu *c, const struct x86_insn *i)
{
    unsigned size = i->op[0].size, bits = 8 * size, n = i->imm & (bits - 1);
    uint64_t v = rd(c, i, 1);
    wr(c, i, 0, n ? (v >> n | v << (bits - n)) & size_mask(size) : v);
}

static unsigned shift_count(struct x86_cpu *c, const struct x86_insn *i)
{
    return rd(c, i, 2) & (8 * i->op[0].size - 1);
}

void step_sarx(struct x86_cpu *c, const struct x86_insn *i)
{
    wr(c, i, 0, (uint64_t)(sign_extend(rd(c, i, 1), i->op[1].size) >> shift_count(c, i)));
}

void step_shlx(struct x86_cpu *c, const struct x86_insn *i)
{
    wr(c, i, 0, rd(c, i, 1) << shift_count(c, i));
}

void step_shrx(struct x86_cpu *c, const struct x86_insn *i)
{
    wr(c, i, 0, rd(c, i, 1) >> shift_count(c, i));
}
