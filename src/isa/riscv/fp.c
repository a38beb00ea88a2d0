/* SPDX-License-Identifier: MIT */
/*
 * Floating point by the host where it can, and what needs no arithmetic: conversions, comparisons, classes.
 *
 * Each host operation is one asm statement that sets MXCSR, computes, reads the flags and puts MXCSR back, so that no compiler
 * can move anything out of it.
 */
#include "isa/riscv/fp.h"

#include "isa/riscv/fp_num.h"

enum { MXCSR_MASKED = 0x1f80, MXCSR_RC_SHIFT = 13 };
static const uint8_t HOST_RC[] = { [RM_RNE] = 0, [RM_RDN] = 1, [RM_RUP] = 2, [RM_RTZ] = 3 };
static const uint32_t HOST_DEFAULT = MXCSR_MASKED;

uint8_t fp_flags_of_mxcsr(uint32_t mxcsr)
{
    return (uint8_t)((mxcsr & 1 ? FFLAG_NV : 0) | (mxcsr & 4 ? FFLAG_DZ : 0) | (mxcsr & 8 ? FFLAG_OF : 0)
                     | (mxcsr & 16 ? FFLAG_UF : 0) | (mxcsr & 32 ? FFLAG_NX : 0));
}

bool fp_host_has_fma(void)
{
    return __builtin_cpu_supports("fma");
}

/* v op= b (op= b, d). */
#define HOST_OP(insn, operands)                                                                                                  \
    __asm__ volatile("ldmxcsr %[set]\n\t" insn " " operands "\n\tstmxcsr %[get]\n\tldmxcsr %[standard]"                          \
                     : [v] "+x"(v), [get] "=m"(*mxcsr)                                                                           \
                     : [b] "x"(b), [d] "x"(d), [set] "m"(set), [standard] "m"(HOST_DEFAULT))

#define HOST_OPS(name, type, sfx)                                                                                                \
    static type name(enum fp_op op, type v, type b, type d, uint32_t set, uint32_t *mxcsr)                                       \
    {                                                                                                                            \
        switch (op) {                                                                                                            \
        case FP_ADD: HOST_OP("adds" sfx, "%[b], %[v]"); break;                                                                   \
        case FP_SUB: HOST_OP("subs" sfx, "%[b], %[v]"); break;                                                                   \
        case FP_MUL: HOST_OP("muls" sfx, "%[b], %[v]"); break;                                                                   \
        case FP_DIV: HOST_OP("divs" sfx, "%[b], %[v]"); break;                                                                   \
        case FP_SQRT: HOST_OP("sqrts" sfx, "%[v], %[v]"); break;                                                                 \
        case FP_MADD: HOST_OP("vfmadd213s" sfx, "%[d], %[b], %[v]"); break;                                                      \
        }                                                                                                                        \
        return v;                                                                                                                \
    }
HOST_OPS(host_s, float, "s")
HOST_OPS(host_d, double, "d")

union bits_s {
    uint32_t u;
    float f;
};
union bits_d {
    uint64_t u;
    double f;
};

uint64_t fp_host(enum fp_format format, enum fp_op op, uint64_t a, uint64_t b, uint64_t d, enum riscv_rm rm, uint8_t *flags)
{
    uint32_t set = MXCSR_MASKED | (uint32_t)HOST_RC[rm] << MXCSR_RC_SHIFT, mxcsr = 0;
    uint64_t v;
    if (format == FP_S) {
        const union bits_s x = { .u = (uint32_t)a }, y = { .u = (uint32_t)b }, z = { .u = (uint32_t)d };
        v = ((union bits_s){ .f = host_s(op, x.f, y.f, z.f, set, &mxcsr) }).u;
    } else {
        const union bits_d x = { .u = a }, y = { .u = b }, z = { .u = d };
        v = ((union bits_d){ .f = host_d(op, x.f, y.f, z.f, set, &mxcsr) }).u;
    }
    *flags |= fp_flags_of_mxcsr(mxcsr);
    if (!fp_is_nan(fp_unpack(format, v)))
        return v;
    if (op == FP_MADD) { /* the host does not raise it when a NaN is added */
        enum fp_kind x = fp_unpack(format, a).kind, y = fp_unpack(format, b).kind;
        if ((x == FP_INF && y == FP_ZERO) || (x == FP_ZERO && y == FP_INF))
            *flags |= FFLAG_NV;
    }
    return fp_nan(format);
}

uint64_t fp_arith(enum fp_format format, enum fp_op op, uint64_t a, uint64_t b, uint64_t d, enum riscv_rm rm, uint8_t *flags)
{
    if (format == FP_H || rm == RM_RMM || (op == FP_MADD && !fp_host_has_fma()))
        return fp_soft(format, op, a, b, d, rm, flags);
    return fp_host(format, op, a, b, d, rm, flags);
}

/* ---- conversions ---- */

static void note_snan(struct fp_num n, uint8_t *flags)
{
    if (n.kind == FP_SNAN)
        *flags |= FFLAG_NV;
}

uint64_t fp_convert(enum fp_format from, enum fp_format to, uint64_t a, enum riscv_rm rm, uint8_t *flags)
{
    struct fp_num n = fp_unpack(from, a);
    note_snan(n, flags);
    return fp_pack(to, n, rm, flags);
}

/* The magnitude as an integer, at most 2^64 (which stands for more, too). */
static u128 magnitude(struct fp_num n, enum riscv_rm rm, bool *ret_inexact)
{
    const u128 huge = (u128)1 << 64;
    *ret_inexact = false;
    if (n.exp < 0) {
        u128 v = fp_round_sig(n.sig, -n.exp, n.sign, rm, ret_inexact);
        return v > huge ? huge : v;
    }
    return n.exp + fp_top_bit(n.sig) >= 64 ? huge : n.sig << n.exp;
}

/* Largest magnitudes, positive and negative. */
static const struct int_range {
    u128 positive, negative;
} RANGE[] = {
    [FP_W] = { INT32_MAX, (u128)1 << 31 },
    [FP_WU] = { UINT32_MAX, 0 },
    [FP_L] = { INT64_MAX, (u128)1 << 63 },
    [FP_LU] = { UINT64_MAX, 0 },
};

static uint64_t int_result(enum fp_int to, bool sign, u128 v)
{
    uint64_t r = sign ? -(uint64_t)v : (uint64_t)v;
    return to == FP_W || to == FP_WU ? (uint64_t)(int32_t)r : r;
}

uint64_t fp_to_int(enum fp_format from, enum fp_int to, uint64_t a, enum riscv_rm rm, uint8_t *flags)
{
    struct fp_num n = fp_unpack(from, a);
    bool inexact = false;
    u128 v = 0;
    if (n.kind == FP_FINITE)
        v = magnitude(n, rm, &inexact);
    else if (n.kind != FP_ZERO)
        v = (u128)1 << 64;
    bool sign = n.sign && !fp_is_nan(n);
    u128 limit = sign ? RANGE[to].negative : RANGE[to].positive;
    if (v > limit) {
        *flags |= FFLAG_NV;
        return int_result(to, sign, limit);
    }
    *flags |= inexact ? FFLAG_NX : 0;
    return int_result(to, sign, v);
}

uint64_t fp_from_int(enum fp_int from, enum fp_format to, uint64_t a, enum riscv_rm rm, uint8_t *flags)
{
    int64_t s = from == FP_W ? (int32_t)a : (int64_t)a;
    bool sign = (from == FP_W || from == FP_L) && s < 0;
    uint64_t v = from == FP_WU ? (uint32_t)a : sign ? -(uint64_t)s : (uint64_t)s;
    struct fp_num n = { .kind = v ? FP_FINITE : FP_ZERO, .sign = sign, .sig = v };
    return fp_pack(to, n, rm, flags);
}

uint64_t fp_to_int_modular(uint64_t a, uint8_t *flags)
{
    struct fp_num n = fp_unpack(FP_D, a);
    bool inexact = false;
    u128 v = 0;
    if (n.kind == FP_INF || fp_is_nan(n)) {
        *flags |= FFLAG_NV;
        return 0;
    }
    if (n.kind == FP_FINITE && n.exp < 0)
        v = fp_round_sig(n.sig, -n.exp, n.sign, RM_RTZ, &inexact);
    else if (n.kind == FP_FINITE && n.exp < 32)
        v = n.sig << n.exp;
    bool outside = n.kind == FP_FINITE && (n.exp >= 32 || v > (n.sign ? RANGE[FP_W].negative : RANGE[FP_W].positive));
    *flags |= outside ? FFLAG_NV : inexact ? FFLAG_NX : 0;
    return int_result(FP_W, n.sign, v & UINT32_MAX);
}

uint64_t fp_round(enum fp_format format, uint64_t a, enum riscv_rm rm, bool inexact, uint8_t *flags)
{
    struct fp_num n = fp_unpack(format, a);
    bool lost = false;
    note_snan(n, flags);
    if (n.kind == FP_FINITE && n.exp < 0) {
        n.sig = fp_round_sig(n.sig, -n.exp, n.sign, rm, &lost);
        n.exp = 0;
        n.kind = n.sig ? FP_FINITE : FP_ZERO;
        *flags |= lost && inexact ? FFLAG_NX : 0;
    }
    return fp_pack(format, n, rm, flags);
}

/* ---- comparisons, classes ---- */

/* Bits of numbers as integers in the same order; both zeroes are 0. */
static int64_t order(enum fp_format format, uint64_t a)
{
    int64_t v = (int64_t)(a & ~fp_sign_bit(format));
    return a & fp_sign_bit(format) ? -v : v;
}

bool fp_compare(enum fp_format format, enum fp_relation relation, uint64_t a, uint64_t b, bool quiet, uint8_t *flags)
{
    struct fp_num x = fp_unpack(format, a), y = fp_unpack(format, b);
    if (fp_is_nan(x) || fp_is_nan(y)) {
        if (!quiet || x.kind == FP_SNAN || y.kind == FP_SNAN)
            *flags |= FFLAG_NV;
        return false;
    }
    int64_t l = order(format, a), r = order(format, b);
    switch (relation) {
    case FP_EQ: return l == r;
    case FP_LT: return l < r;
    case FP_LE: return l <= r;
    }
    return false;
}

uint64_t fp_select(enum fp_format format, uint64_t a, uint64_t b, bool max, bool nan, uint8_t *flags)
{
    struct fp_num x = fp_unpack(format, a), y = fp_unpack(format, b);
    note_snan(x, flags);
    note_snan(y, flags);
    if (fp_is_nan(x) || fp_is_nan(y))
        return nan || (fp_is_nan(x) && fp_is_nan(y)) ? fp_nan(format) : fp_is_nan(x) ? b : a;
    int64_t l = order(format, a), r = order(format, b);
    bool a_less = l < r || (l == r && (a & fp_sign_bit(format))); /* -0 is less than +0 */
    return a_less != max ? a : b;
}

uint64_t fp_classify(enum fp_format format, uint64_t a)
{
    enum { NEG_INF, NEG_NORMAL, NEG_SUBNORMAL, NEG_ZERO, POS_ZERO, POS_SUBNORMAL, POS_NORMAL, POS_INF, SNAN, QNAN };
    static const uint8_t fraction[] = { [FP_H] = 10, [FP_S] = 23, [FP_D] = 52 };
    struct fp_num n = fp_unpack(format, a);
    bool normal = n.sig >> fraction[format];
    switch (n.kind) {
    case FP_ZERO: return 1ULL << (n.sign ? NEG_ZERO : POS_ZERO);
    case FP_INF: return 1ULL << (n.sign ? NEG_INF : POS_INF);
    case FP_QNAN: return 1ULL << QNAN;
    case FP_SNAN: return 1ULL << SNAN;
    case FP_FINITE: break;
    }
    if (normal)
        return 1ULL << (n.sign ? NEG_NORMAL : POS_NORMAL);
    return 1ULL << (n.sign ? NEG_SUBNORMAL : POS_SUBNORMAL);
}

uint64_t fp_constant(enum fp_format format, unsigned n)
{
    /* sixteenths, then a power of two; 1 is the smallest normal number, 30 infinity, 31 the NaN. Spec: volume I table 24.1 */
    static const struct {
        int16_t sixteenths, exp;
    } value[32] = { { -16, 0 }, { 0, 0 },  { 16, -16 }, { 16, -15 }, { 16, -8 }, { 16, -7 }, { 1, 0 },  { 2, 0 },
                    { 4, 0 },   { 5, 0 },  { 6, 0 },    { 7, 0 },    { 8, 0 },   { 10, 0 },  { 12, 0 }, { 14, 0 },
                    { 16, 0 },  { 20, 0 }, { 24, 0 },   { 28, 0 },   { 32, 0 },  { 40, 0 },  { 48, 0 }, { 64, 0 },
                    { 16, 3 },  { 16, 4 }, { 16, 7 },   { 16, 8 },   { 16, 15 }, { 16, 16 }, { 0, 0 },  { 0, 0 } };
    static const uint8_t fraction[] = { [FP_H] = 10, [FP_S] = 23, [FP_D] = 52 };
    uint8_t unused = 0;
    int v = value[n].sixteenths;
    struct fp_num num = { .kind = FP_FINITE, .sign = v < 0, .exp = value[n].exp - 4, .sig = (u128)(v < 0 ? -v : v) };
    if (n == 1)
        return 1ULL << fraction[format];
    if (n >= 30)
        num.kind = n == 30 ? FP_INF : FP_QNAN;
    return fp_pack(format, num, RM_RNE, &unused); /* 2^16 in binary16 is infinity */
}
