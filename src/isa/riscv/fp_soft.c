/* SPDX-License-Identifier: MIT */
/*
 * Arithmetic in integers: for binary16, for rounding to nearest with ties away from zero, and as what tests compare the host
 * with.
 *
 * Every operation makes an exact result, or one with more than 60 bits whose lowest stands for the rest, and then rounds once.
 */
#include "isa/riscv/fp_num.h"

enum { TOP = 124, SQRT_BITS = 62 };

static struct fp_num special(enum fp_kind kind, bool sign)
{
    return (struct fp_num){ .kind = kind, .sign = sign };
}

static struct fp_num invalid(uint8_t *flags)
{
    *flags |= FFLAG_NV;
    return special(FP_QNAN, false);
}

/* The same number with its highest bit at TOP. */
static struct fp_num normalized(struct fp_num n)
{
    int up = TOP - fp_top_bit(n.sig);
    n.sig <<= up;
    n.exp -= up;
    return n;
}

static struct fp_num add_finite(struct fp_num x, struct fp_num y, enum riscv_rm rm)
{
    x = normalized(x);
    y = normalized(y);
    if (x.exp < y.exp || (x.exp == y.exp && x.sig < y.sig)) {
        struct fp_num t = x;
        x = y;
        y = t;
    }
    y.sig = fp_jam(y.sig, x.exp - y.exp);
    x.sig = x.sign == y.sign ? x.sig + y.sig : x.sig - y.sig;
    return x.sig ? x : special(FP_ZERO, rm == RM_RDN);
}

static struct fp_num add(struct fp_num x, struct fp_num y, enum riscv_rm rm, uint8_t *flags)
{
    if (x.kind == FP_INF || y.kind == FP_INF) {
        if (x.kind == y.kind && x.sign != y.sign)
            return invalid(flags);
        return x.kind == FP_INF ? x : y;
    }
    if (x.kind == FP_ZERO && y.kind == FP_ZERO)
        return special(FP_ZERO, x.sign == y.sign ? x.sign : rm == RM_RDN);
    if (x.kind == FP_ZERO || y.kind == FP_ZERO)
        return x.kind == FP_ZERO ? y : x;
    return add_finite(x, y, rm);
}

static struct fp_num multiply(struct fp_num x, struct fp_num y, uint8_t *flags)
{
    bool sign = x.sign != y.sign;
    if ((x.kind == FP_INF && y.kind == FP_ZERO) || (x.kind == FP_ZERO && y.kind == FP_INF))
        return invalid(flags);
    if (x.kind == FP_INF || y.kind == FP_INF)
        return special(FP_INF, sign);
    if (x.kind == FP_ZERO || y.kind == FP_ZERO)
        return special(FP_ZERO, sign);
    return (struct fp_num){ .kind = FP_FINITE, .sign = sign, .exp = x.exp + y.exp, .sig = x.sig * y.sig };
}

static struct fp_num divide(struct fp_num x, struct fp_num y, uint8_t *flags)
{
    bool sign = x.sign != y.sign;
    if (x.kind == y.kind && x.kind != FP_FINITE)
        return invalid(flags); /* 0 / 0, infinity / infinity */
    if (x.kind == FP_FINITE && y.kind == FP_ZERO)
        *flags |= FFLAG_DZ;
    if (x.kind == FP_INF || y.kind == FP_ZERO)
        return special(FP_INF, sign);
    if (x.kind == FP_ZERO || y.kind == FP_INF)
        return special(FP_ZERO, sign);
    x = normalized(x);
    u128 quotient = x.sig / y.sig;
    quotient |= x.sig % y.sig != 0;
    return (struct fp_num){ .kind = FP_FINITE, .sign = sign, .exp = x.exp - y.exp, .sig = quotient };
}

static struct fp_num square_root(struct fp_num x, uint8_t *flags)
{
    if (x.kind == FP_ZERO || (x.kind == FP_INF && !x.sign))
        return x;
    if (x.sign)
        return invalid(flags);
    x = normalized(x);
    if (x.exp & 1) {
        x.sig >>= 1; /* its lowest bits are 0 */
        x.exp++;
    }
    u128 root = 0, rest = x.sig;
    for (int k = SQRT_BITS; k >= 0; k--) { /* bit by bit: (root + 2^k)^2 - root^2 */
        u128 step = (root << (k + 1)) + ((u128)1 << 2 * k);
        if (step <= rest) {
            rest -= step;
            root |= (u128)1 << k;
        }
    }
    return (struct fp_num){ .kind = FP_FINITE, .exp = x.exp / 2 - 1, .sig = root << 1 | (rest != 0), .sign = false };
}

static struct fp_num nan_of(const struct fp_num *n, unsigned nr, uint8_t *flags)
{
    for (unsigned k = 0; k < nr; k++)
        if (n[k].kind == FP_SNAN)
            *flags |= FFLAG_NV;
    return special(FP_QNAN, false);
}

static struct fp_num madd(struct fp_num a, struct fp_num b, struct fp_num d, enum riscv_rm rm, uint8_t *flags)
{
    struct fp_num product = multiply(a, b, flags);
    return fp_is_nan(product) ? product : add(product, d, rm, flags);
}

/* Of no NaNs. */
static struct fp_num compute(enum fp_op op, struct fp_num a, struct fp_num b, struct fp_num d, enum riscv_rm rm, uint8_t *flags)
{
    switch (op) {
    case FP_SUB: b.sign = !b.sign; return add(a, b, rm, flags);
    case FP_ADD: return add(a, b, rm, flags);
    case FP_MUL: return multiply(a, b, flags);
    case FP_DIV: return divide(a, b, flags);
    case FP_SQRT: return square_root(a, flags);
    case FP_MADD: return madd(a, b, d, rm, flags);
    }
    return a; /* there is no other */
}

uint64_t fp_soft(enum fp_format format, enum fp_op op, uint64_t a, uint64_t b, uint64_t d, enum riscv_rm rm, uint8_t *flags)
{
    static const uint8_t operands[] = { [FP_ADD] = 2, [FP_SUB] = 2, [FP_MUL] = 2, [FP_DIV] = 2, [FP_SQRT] = 1, [FP_MADD] = 3 };
    const struct fp_num n[3] = { fp_unpack(format, a), fp_unpack(format, b), fp_unpack(format, d) };
    bool nan = false;
    for (unsigned k = 0; k < operands[op]; k++)
        nan |= fp_is_nan(n[k]);
    if (!nan)
        return fp_pack(format, compute(op, n[0], n[1], n[2], rm, flags), rm, flags);
    if (op == FP_MADD && !fp_is_nan(n[0]) && !fp_is_nan(n[1]))
        (void)multiply(n[0], n[1], flags); /* infinity * 0 is invalid whatever is added. Spec: volume I 20.6 */
    return fp_pack(format, nan_of(n, operands[op], flags), rm, flags);
}
