/* SPDX-License-Identifier: MIT */
/*
 * The definition of multiplication, division, and decimal adjustment.
 *
 * Spec: Intel SDM 2A, 2B, the instruction's page
 */
#include "isa/x86/step_ops.h"

/* The double-width result of MUL and IMUL: AX for bytes, else rDX:rAX. */
static void product_write(struct x86_cpu *c, unsigned __int128 p, unsigned size)
{
    if (size == 1) {
        gpr_write(c, RAX, (uint64_t)p, 2);
        return;
    }
    gpr_write(c, RAX, (uint64_t)p, size);
    gpr_write(c, RDX, (uint64_t)(p >> (8 * size)), size);
}

void step_mul(struct x86_cpu *c, const struct x86_insn *i)
{
    unsigned size = i->op[0].size;
    unsigned __int128 p = (unsigned __int128)gpr_read(c, RAX, size) * rd(c, i, 0);
    product_write(c, p, size);
    flags_set(c, FLAG_CF | FLAG_OF, p >> (8 * size) ? FLAG_CF | FLAG_OF : 0);
}

void step_mulx(struct x86_cpu *c, const struct x86_insn *i)
{
    unsigned size = i->op[0].size;
    unsigned __int128 p = (unsigned __int128)gpr_read(c, RDX, size) * rd(c, i, 2);
    wr(c, i, 1, (uint64_t)p); /* the high half wins when both are the same register */
    wr(c, i, 0, (uint64_t)(p >> (8 * size)));
}

static void flags_imul(struct x86_cpu *c, __int128 p, unsigned size)
{
    bool fits = p == sign_extend((uint64_t)p, size);
    flags_set(c, FLAG_CF | FLAG_OF, fits ? 0 : FLAG_CF | FLAG_OF);
}

void step_imul_1op(struct x86_cpu *c, const struct x86_insn *i)
{
    unsigned size = i->op[0].size;
    __int128 p = (__int128)sign_extend(gpr_read(c, RAX, size), size) * sign_extend(rd(c, i, 0), size);
    product_write(c, (unsigned __int128)p, size);
    flags_imul(c, p, size);
}

/* The product of operands a and b, cut to the destination. */
ALWAYS_INLINE void imul_cut(struct x86_cpu *c, const struct x86_insn *i, unsigned a, unsigned b)
{
    unsigned size = i->op[0].size;
    __int128 p = (__int128)sign_extend(rd(c, i, a), size) * sign_extend(rd(c, i, b), size);
    wr(c, i, 0, (uint64_t)p);
    flags_imul(c, p, size);
}

void step_imul_2op(struct x86_cpu *c, const struct x86_insn *i)
{
    imul_cut(c, i, 0, 1);
}

void step_imul_3op(struct x86_cpu *c, const struct x86_insn *i)
{
    imul_cut(c, i, 1, 2);
}

static unsigned __int128 dividend(const struct x86_cpu *c, unsigned size)
{
    if (size == 1)
        return gpr_read(c, RAX, 2);
    return (unsigned __int128)gpr_read(c, RDX, size) << (8 * size) | gpr_read(c, RAX, size);
}

static void quotient_write(struct x86_cpu *c, uint64_t q, uint64_t r, unsigned size)
{
    if (size == 1) {
        gpr_write(c, RAX, (q & 0xff) | (r & 0xff) << 8, 2);
        return;
    }
    gpr_write(c, RAX, q, size);
    gpr_write(c, RDX, r, size);
}

void step_div(struct x86_cpu *c, const struct x86_insn *i)
{
    unsigned size = i->op[0].size;
    uint64_t d = rd(c, i, 0);
    unsigned __int128 n = dividend(c, size);
    if (!d || n / d > size_mask(size))
        x86_raise(c, X86_DE);
    quotient_write(c, (uint64_t)(n / d), (uint64_t)(n % d), size);
}

void step_idiv(struct x86_cpu *c, const struct x86_insn *i)
{
    unsigned size = i->op[0].size, sh = 128 - 16 * size;
    __int128 d = sign_extend(rd(c, i, 0), size), n = (__int128)(dividend(c, size) << sh) >> sh;
    if (!d || (d == -1 && n == (__int128)((unsigned __int128)1 << 127)))
        x86_raise(c, X86_DE);
    __int128 q = n / d;
    if (q != sign_extend((uint64_t)q, size))
        x86_raise(c, X86_DE);
    quotient_write(c, (uint64_t)q, (uint64_t)(n % d), size);
}

/* ---- decimal adjustment (not in 64-bit mode) ---- */

static void decimal_adjust(struct x86_cpu *c, bool subtract)
{
    uint8_t al = (uint8_t)c->gpr[RAX], old = al;
    bool af = (c->rflags & FLAG_AF) || (al & 15) > 9, cf = c->rflags & FLAG_CF, high = cf || old > 0x99;
    bool low_carry = af && (subtract ? old < 6 : old > 0xf9);
    if (af)
        al = subtract ? al - 6 : al + 6;
    if (high)
        al = subtract ? al - 0x60 : al + 0x60;
    gpr_write(c, RAX, al, 1);
    flags_set(c, FLAGS_ARITH, flags_szp(al, 1) | (af ? FLAG_AF : 0) | (high || low_carry ? FLAG_CF : 0));
}

void step_daa(struct x86_cpu *c, const struct x86_insn *i)
{
    (void)i;
    decimal_adjust(c, false);
}

void step_das(struct x86_cpu *c, const struct x86_insn *i)
{
    (void)i;
    decimal_adjust(c, true);
}

static void ascii_adjust(struct x86_cpu *c, bool subtract)
{
    uint16_t ax = (uint16_t)c->gpr[RAX];
    bool adjust = (ax & 15) > 9 || (c->rflags & FLAG_AF);
    if (adjust)
        ax = subtract ? (uint16_t)(ax - 0x106) : (uint16_t)(ax + 0x106);
    gpr_write(c, RAX, ax & 0xff0f, 2);
    flags_set(c, FLAGS_ARITH, flags_szp(ax & 15, 1) | (adjust ? FLAG_AF | FLAG_CF : 0));
}

void step_aaa(struct x86_cpu *c, const struct x86_insn *i)
{
    (void)i;
    ascii_adjust(c, false);
}

void step_aas(struct x86_cpu *c, const struct x86_insn *i)
{
    (void)i;
    ascii_adjust(c, true);
}

void step_aam(struct x86_cpu *c, const struct x86_insn *i)
{
    uint8_t base = (uint8_t)i->imm, al = (uint8_t)c->gpr[RAX];
    if (!base)
        x86_raise(c, X86_DE);
    gpr_write(c, RAX, (uint64_t)(al / base) << 8 | al % base, 2);
    flags_set(c, FLAGS_ARITH, flags_szp(al % base, 1));
}

void step_aad(struct x86_cpu *c, const struct x86_insn *i)
{
    uint8_t al = (uint8_t)(c->gpr[RAX] + (c->gpr[RAX] >> 8 & 0xff) * (uint8_t)i->imm);
    gpr_write(c, RAX, al, 2);
    flags_set(c, FLAGS_ARITH, flags_szp(al, 1));
}

void step_salc(struct x86_cpu *c, const struct x86_insn *i)
{
    (void)i;
    gpr_write(c, RAX, c->rflags & FLAG_CF ? 0xff : 0, 1);
}
