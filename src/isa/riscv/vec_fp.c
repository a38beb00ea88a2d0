/* SPDX-License-Identifier: MIT */
/*
 * Element functions of floating-point vector instructions.
 *
 * The tables of the two estimates are what the specification prints, by the rule that made them: the output is the value of the
 * middle of the input's interval, rounded to seven bits.
 */
#include "isa/riscv/vec_fp.h"

#include "isa/riscv/fp_num.h"

#define ELEMENT(name) uint64_t vec_fp_##name(struct vec_fp *v, uint64_t a, uint64_t b, uint64_t d)
#define UNUSED(x) ((void)(x))

static enum fp_format format_of(const struct vec_fp *v)
{
    return vec_fp_format(v->to);
}

static uint64_t low_bits(uint64_t v, unsigned bits)
{
    return bits == 64 ? v : v & ((1ULL << bits) - 1);
}

/* ---- arithmetic ---- */

static uint64_t arith(struct vec_fp *v, enum fp_op op, uint64_t a, uint64_t b)
{
    return fp_arith(format_of(v), op, a, b, 0, v->rm, &v->flags);
}

/* (a * b, perhaps negated) + (d, perhaps negated). */
static uint64_t fused(struct vec_fp *v, uint64_t a, uint64_t b, uint64_t d, bool negate_product, bool negate_d)
{
    uint64_t sign = fp_sign_bit(format_of(v));
    return fp_arith(format_of(v), FP_MADD, a ^ (negate_product ? sign : 0), b, d ^ (negate_d ? sign : 0), v->rm, &v->flags);
}

#define BINARY(name, op, x, y)                                                                                                   \
    ELEMENT(name)                                                                                                                \
    {                                                                                                                            \
        UNUSED(b);                                                                                                               \
        UNUSED(d);                                                                                                               \
        return arith(v, op, x, y);                                                                                               \
    }
BINARY(add, FP_ADD, a, b)
BINARY(sub, FP_SUB, a, b)
BINARY(rsub, FP_SUB, b, a)
BINARY(mul, FP_MUL, a, b)
BINARY(div, FP_DIV, a, b)
BINARY(rdiv, FP_DIV, b, a)
BINARY(sqrt, FP_SQRT, a, 0)

#define FUSED(name, x, y, z, negate_product, negate_addend)                                                                      \
    ELEMENT(name)                                                                                                                \
    {                                                                                                                            \
        return fused(v, x, y, z, negate_product, negate_addend);                                                                 \
    }
FUSED(macc, b, a, d, false, false)
FUSED(nmacc, b, a, d, true, true)
FUSED(msac, b, a, d, false, true)
FUSED(nmsac, b, a, d, true, false)
FUSED(madd, b, d, a, false, false)
FUSED(nmadd, b, d, a, true, true)
FUSED(msub, b, d, a, false, true)
FUSED(nmsub, b, d, a, true, false)

/* ---- minimum and maximum, signs, classes, comparisons ---- */

#define RETURNS(name, value)                                                                                                     \
    ELEMENT(name)                                                                                                                \
    {                                                                                                                            \
        UNUSED(b);                                                                                                               \
        UNUSED(d);                                                                                                               \
        return value;                                                                                                            \
    }
RETURNS(min, fp_select(format_of(v), a, b, false, false, &v->flags))
RETURNS(max, fp_select(format_of(v), a, b, true, false, &v->flags))
RETURNS(class, fp_classify(format_of(v), a))

static uint64_t with_sign(const struct vec_fp *v, uint64_t a, uint64_t b)
{
    uint64_t sign = fp_sign_bit(format_of(v));
    return (a & ~sign) | (b & sign);
}
RETURNS(sgnj, with_sign(v, a, b))
RETURNS(sgnjn, with_sign(v, a, ~b))
RETURNS(sgnjx, with_sign(v, a, a ^ b))

static bool compare(struct vec_fp *v, enum fp_relation relation, uint64_t a, uint64_t b)
{
    return fp_compare(format_of(v), relation, a, b, relation == FP_EQ, &v->flags);
}
RETURNS(eq, compare(v, FP_EQ, a, b))
RETURNS(ne, !compare(v, FP_EQ, a, b))
RETURNS(lt, compare(v, FP_LT, a, b))
RETURNS(le, compare(v, FP_LE, a, b))
RETURNS(gt, compare(v, FP_LT, b, a))
RETURNS(ge, compare(v, FP_LE, b, a))

/* ---- conversions ---- */

static uint64_t to_int(struct vec_fp *v, uint64_t a, bool is_signed, enum riscv_rm rm)
{
    uint8_t flags = 0;
    uint64_t r = fp_to_int(vec_fp_format(v->from), is_signed ? FP_L : FP_LU, a, rm, &flags);
    uint64_t max = low_bits(~0ULL, v->to) >> is_signed, min = is_signed ? ~max : 0;
    bool above = is_signed ? (int64_t)r > (int64_t)max : r > max, below = is_signed && (int64_t)r < (int64_t)min;
    if (above || below) {
        r = above ? max : min;
        flags = FFLAG_NV;
    }
    v->flags |= flags;
    return low_bits(r, v->to);
}
RETURNS(cvt_xu_f, to_int(v, a, false, v->rm))
RETURNS(cvt_x_f, to_int(v, a, true, v->rm))
RETURNS(cvt_rtz_xu_f, to_int(v, a, false, RM_RTZ))
RETURNS(cvt_rtz_x_f, to_int(v, a, true, RM_RTZ))

static uint64_t from_int(struct vec_fp *v, uint64_t a, bool is_signed)
{
    unsigned up = 64 - v->from;
    if (is_signed)
        a = (uint64_t)((int64_t)(a << up) >> up);
    return fp_from_int(is_signed ? FP_L : FP_LU, format_of(v), a, v->rm, &v->flags);
}
RETURNS(cvt_f_xu, from_int(v, a, false))
RETURNS(cvt_f_x, from_int(v, a, true))

static uint64_t convert(struct vec_fp *v, uint64_t a, enum riscv_rm rm, uint8_t *flags)
{
    return fp_convert(vec_fp_format(v->from), format_of(v), a, rm, flags);
}

/* Rounding to odd: towards zero, then the lowest bit stands for all that was lost. The largest finite number is odd. Spec:
 * V 13.19 */
static uint64_t convert_to_odd(struct vec_fp *v, uint64_t a)
{
    uint8_t flags = 0;
    uint64_t r = convert(v, a, RM_RTZ, &flags);
    v->flags |= flags;
    return r | (flags & FFLAG_NX ? 1 : 0);
}
RETURNS(cvt_f_f, convert(v, a, v->rm, &v->flags))
RETURNS(cvt_rod_f_f, convert_to_odd(v, a))

/* ---- estimates. Spec: V 13.9, 13.10 ---- */

enum { ESTIMATE_BITS = 7 };

/* A finite number other than 0 as (1 + fraction / 2^bits) * 2^(exp - bias); exp is 0 or less for subnormal ones. */
struct parts {
    int bits, bias, exp;
    uint64_t fraction;
};

static struct parts take_apart(enum fp_format format, uint64_t a)
{
    static const uint8_t fraction_bits[] = { [FP_H] = 10, [FP_S] = 23, [FP_D] = 52 };
    struct parts p = { .bits = fraction_bits[format] };
    uint64_t mask = (1ULL << p.bits) - 1;
    p.bias = (1 << (fp_bits(format) - 2U - (unsigned)p.bits)) - 1;
    p.exp = (int)(a >> p.bits) & (2 * p.bias + 1);
    p.fraction = a & mask;
    if (p.exp == 0) {
        int up = p.bits - fp_top_bit(p.fraction);
        p.exp = 1 - up;
        p.fraction = p.fraction << up & mask;
    }
    return p;
}

/* 1/x in units of 2^-8 where x is the middle of the n-th of 128 intervals in 1 to 2: from 128 to 255. */
static unsigned reciprocal(unsigned n)
{
    unsigned middle = 2 * n + 257; /* in 256ths */
    return (256 * 256 * 2 + middle) / (2 * middle);
}

/* 1/sqrt(x) likewise: x in 2 to 4 for the first 64 intervals, in 1 to 2 for the others. */
static unsigned reciprocal_root(unsigned n)
{
    unsigned middle = 2 * (n & 63) + 129, scale = n < 64 ? 64 : 128; /* x = middle / scale */
    unsigned y = 128;
    for (unsigned bit = 64; bit; bit /= 2) { /* the largest with y - 1/2 <= 256 / sqrt(x) */
        unsigned twice = 2 * (y + bit) - 1;
        if (twice * twice * middle <= 512 * 512 * scale)
            y += bit;
    }
    return y;
}

static uint64_t estimated_reciprocal(struct vec_fp *v, uint64_t a)
{
    enum fp_format format = format_of(v);
    struct parts p = take_apart(format, a);
    uint64_t sign = a & fp_sign_bit(format), infinity = (uint64_t)(2 * p.bias + 1) << p.bits;
    if (p.exp < -1) { /* the reciprocal is too large */
        bool to_max = v->rm == RM_RTZ || v->rm == (sign ? RM_RUP : RM_RDN);
        v->flags |= FFLAG_OF | FFLAG_NX;
        return sign | (infinity - to_max);
    }
    uint64_t significand = (uint64_t)reciprocal((unsigned)(p.fraction >> (p.bits - ESTIMATE_BITS))) << (p.bits - ESTIMATE_BITS);
    int exp = 2 * p.bias - 1 - p.exp;
    if (exp <= 0) /* subnormal: no flag is raised, whatever is lost */
        return sign | significand >> (1 - exp);
    return sign | ((uint64_t)exp << p.bits) | (significand & ((1ULL << p.bits) - 1));
}

static uint64_t rec7(struct vec_fp *v, uint64_t a)
{
    struct fp_num n = fp_unpack(format_of(v), a);
    switch (n.kind) {
    case FP_FINITE: return estimated_reciprocal(v, a);
    case FP_ZERO: v->flags |= FFLAG_DZ; break;
    case FP_INF: break;
    case FP_SNAN: v->flags |= FFLAG_NV; break;
    case FP_QNAN: break;
    }
    n.kind = n.kind == FP_ZERO ? FP_INF : n.kind == FP_INF ? FP_ZERO : FP_QNAN;
    return fp_pack(format_of(v), n, v->rm, &v->flags);
}
RETURNS(rec7, rec7(v, a))

static uint64_t rsqrt7(struct vec_fp *v, uint64_t a)
{
    enum fp_format format = format_of(v);
    struct fp_num n = fp_unpack(format, a);
    if (n.kind == FP_ZERO) {
        v->flags |= FFLAG_DZ;
        n.kind = FP_INF;
    } else if (n.kind == FP_INF && !n.sign) {
        n.kind = FP_ZERO;
    } else if (n.kind != FP_FINITE || n.sign) {
        v->flags |= n.kind != FP_QNAN ? FFLAG_NV : 0;
        n.kind = FP_QNAN;
    } else {
        struct parts p = take_apart(format, a);
        unsigned index = ((unsigned)p.exp & 1) << (ESTIMATE_BITS - 1) | (unsigned)(p.fraction >> (p.bits - ESTIMATE_BITS + 1));
        uint64_t fraction = (uint64_t)(reciprocal_root(index) - 128) << (p.bits - ESTIMATE_BITS);
        return (uint64_t)((3 * p.bias - 1 - p.exp) / 2) << p.bits | fraction;
    }
    return fp_pack(format, n, v->rm, &v->flags);
}
RETURNS(rsqrt7, rsqrt7(v, a))
