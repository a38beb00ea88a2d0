/* SPDX-License-Identifier: MIT */
/*
 * Floating point of many vector elements at once: the host's packed SSE and FMA, 16 bytes an instruction.
 *
 * The statements between the two ldmxcsr are asm volatile, all of them: no compiler moves one past another, nor puts arithmetic
 * of its own there. Results that are NaNs are left to the element functions, which make them canonical and know the flags of FMA.
 */
#include <string.h>

#include "isa/riscv/vec_fp.h"

typedef uint64_t lanes __attribute__((vector_size(16), may_alias));
typedef uint32_t lane_s __attribute__((may_alias));
typedef uint64_t lane_d __attribute__((may_alias));
enum { LANES = VEC_FP_MANY_BYTES / 16, MXCSR_MASKED = 0x1f80, MXCSR_RC_SHIFT = 13 };

/* A function as an operation of x, y and z, each of which is one of a, b, d; z is the addend. */
static const struct recipe {
    vec_fp_fn fn;
    enum fp_op op;
    char operands[4];
    bool negate_product, negate_addend;
} RECIPES[] = {
    { vec_fp_add, FP_ADD, "ab", false, false },    { vec_fp_sub, FP_SUB, "ab", false, false },
    { vec_fp_rsub, FP_SUB, "ba", false, false },   { vec_fp_mul, FP_MUL, "ab", false, false },
    { vec_fp_div, FP_DIV, "ab", false, false },    { vec_fp_rdiv, FP_DIV, "ba", false, false },
    { vec_fp_sqrt, FP_SQRT, "a", false, false },   { vec_fp_macc, FP_MADD, "bad", false, false },
    { vec_fp_nmacc, FP_MADD, "bad", true, true },  { vec_fp_msac, FP_MADD, "bad", false, true },
    { vec_fp_nmsac, FP_MADD, "bad", true, false }, { vec_fp_madd, FP_MADD, "bda", false, false },
    { vec_fp_nmadd, FP_MADD, "bda", true, true },  { vec_fp_msub, FP_MADD, "bda", false, true },
    { vec_fp_nmsub, FP_MADD, "bda", true, false },
};

static const struct recipe *recipe_of(vec_fp_fn fn)
{
    for (unsigned k = 0; k < sizeof(RECIPES) / sizeof(RECIPES[0]); k++)
        if (RECIPES[k].fn == fn)
            return &RECIPES[k];
    return NULL;
}

struct operands {
    lanes x[LANES], y[LANES], z[LANES];
};

/* x = x op y (op z) for n lanes. */
#define EACH(insn, operands)                                                                                                     \
    for (unsigned k = 0; k < n; k++)                                                                                             \
    __asm__ volatile(insn " " operands : [x] "+x"(o->x[k]) : [y] "x"(o->y[k]), [z] "x"(o->z[k]))

#define COMPUTE(name, sfx)                                                                                                       \
    static void name(enum fp_op op, struct operands *o, unsigned n)                                                              \
    {                                                                                                                            \
        switch (op) {                                                                                                            \
        case FP_ADD: EACH("addp" sfx, "%[y], %[x]"); break;                                                                      \
        case FP_SUB: EACH("subp" sfx, "%[y], %[x]"); break;                                                                      \
        case FP_MUL: EACH("mulp" sfx, "%[y], %[x]"); break;                                                                      \
        case FP_DIV: EACH("divp" sfx, "%[y], %[x]"); break;                                                                      \
        case FP_SQRT: EACH("sqrtp" sfx, "%[x], %[x]"); break;                                                                    \
        case FP_MADD: EACH("vfmadd213p" sfx, "%[z], %[y], %[x]"); break;                                                         \
        }                                                                                                                        \
    }
COMPUTE(compute_s, "s")
COMPUTE(compute_d, "d")

/* Whether one of the elements is a NaN: the exponent all ones and a fraction. */
static bool any_nan(enum fp_format format, const lanes *v, unsigned n)
{
    typedef int64_t lanes_d __attribute__((vector_size(16)));
    typedef int32_t lanes_s __attribute__((vector_size(16)));
    lanes_d found = { 0 };
    for (unsigned k = 0; k < n; k++) {
        if (format == FP_D)
            found |= ((lanes_d)v[k] & INT64_MAX) > 0x7ff0000000000000;
        else
            found |= (lanes_d)(((lanes_s)v[k] & INT32_MAX) > 0x7f800000);
    }
    return found[0] | found[1];
}

/* What stands for elements that do not count: whatever the operation, its result is exact and no NaN. */
static void put_ones(enum fp_format format, lanes *v, const uint8_t *active, unsigned bytes)
{
    lane_s *s = (lane_s *)v;
    lane_d *d = (lane_d *)v;
    unsigned n = bytes >> (format + 1), end = (bytes + 15) / 16 * 16 >> (format + 1);
    if (format == FP_D) {
        for (unsigned k = 0; active && k < n; k++)
            d[k] = active[k] ? d[k] : 0x3ff0000000000000;
        for (unsigned k = n; k < end; k++)
            d[k] = 0x3ff0000000000000;
    } else {
        for (unsigned k = 0; active && k < n; k++)
            s[k] = active[k] ? s[k] : 0x3f800000;
        for (unsigned k = n; k < end; k++)
            s[k] = 0x3f800000;
    }
}

static void negate(enum fp_format format, lanes *v, unsigned n)
{
    const uint64_t sign = format == FP_D ? 1ULL << 63 : 1ULL << 63 | 1ULL << 31;
    for (unsigned k = 0; k < n; k++)
        v[k] ^= (lanes){ sign, sign };
}

/* The host rounds so; not for RM_RMM. Between this and end() stand asm statements only. */
static void begin(enum riscv_rm rm)
{
    static const uint8_t host_rc[] = { [RM_RNE] = 0, [RM_RDN] = 1, [RM_RUP] = 2, [RM_RTZ] = 3 };
    const uint32_t set = MXCSR_MASKED | (uint32_t)host_rc[rm] << MXCSR_RC_SHIFT;
    __asm__ volatile("ldmxcsr %0" ::"m"(set));
}

/* FFLAG_* of what was done since. */
static uint8_t end(void)
{
    static const uint32_t standard = MXCSR_MASKED;
    uint32_t got;
    __asm__ volatile("stmxcsr %0\n\tldmxcsr %1" : "=m"(got) : "m"(standard));
    return fp_flags_of_mxcsr(got);
}

bool vec_fp_many(struct vec_fp *v, vec_fp_fn fn, void *ret, const void *a, const void *b, const void *d, const uint8_t *active,
                 unsigned bytes)
{
    enum fp_format format = vec_fp_format(v->to);
    const struct recipe *recipe = recipe_of(fn);
    unsigned n = (bytes + 15) / 16;
    if (!recipe || format == FP_H || v->rm == RM_RMM || bytes > VEC_FP_MANY_BYTES)
        return false;
    if (recipe->op == FP_MADD && !fp_host_has_fma())
        return false;
    struct operands o;
    lanes *to[] = { o.x, o.y, o.z };
    for (unsigned k = 0; k < 3 && recipe->operands[k]; k++) {
        char from = recipe->operands[k];
        memcpy(to[k], from == 'a' ? a : from == 'b' ? b : d, bytes);
        put_ones(format, to[k], active, bytes);
    }
    if (recipe->negate_product)
        negate(format, o.x, n);
    if (recipe->negate_addend)
        negate(format, o.z, n);
    begin(v->rm);
    if (format == FP_D)
        compute_d(recipe->op, &o, n);
    else
        compute_s(recipe->op, &o, n);
    uint8_t flags = end();
    if (any_nan(format, o.x, n))
        return false;
    v->flags |= flags;
    memcpy(ret, o.x, bytes);
    return true;
}

void vec_fp_widen(enum fp_format from, void *restrict ret, const void *restrict a, unsigned n)
{
    if (from == FP_S) {
        const float *s = a;
        double *d = ret;
        for (unsigned k = 0; k < n; k++)
            d[k] = (double)s[k];
        return;
    }
    const uint16_t *h = a;
    union {
        uint32_t u;
        float f;
    } *s = ret;
    for (unsigned k = 0; k < n; k++) { /* as a fraction far below 1, scaled up: so subnormal ones are no special case */
        s[k].u = (uint32_t)(h[k] & 0x7fff) << 13;
        s[k].f *= 0x1p112F;
        s[k].u |= (uint32_t)(h[k] & 0x8000) << 16 | ((h[k] & 0x7c00) == 0x7c00 ? 0x7f800000 : 0);
    }
}

/* ---- conversions, one element after the other ---- */

static uint64_t element(const void *v, unsigned bits, unsigned k)
{
    switch (bits) {
    case 8: return ((const uint8_t *)v)[k];
    case 16: return ((const uint16_t *)v)[k];
    case 32: return ((const uint32_t *)v)[k];
    default: return ((const uint64_t *)v)[k];
    }
}

static void put_element(void *v, unsigned bits, unsigned k, uint64_t x)
{
    switch (bits) {
    case 8: ((uint8_t *)v)[k] = (uint8_t)x; break;
    case 16: ((uint16_t *)v)[k] = (uint16_t)x; break;
    case 32: ((uint32_t *)v)[k] = (uint32_t)x; break;
    default: ((uint64_t *)v)[k] = x;
    }
}

/* `bits` of a, zero- or sign-extended. */
static int64_t extended(uint64_t a, unsigned bits, bool is_signed)
{
    return is_signed ? (int64_t)(a << (64 - bits)) >> (64 - bits) : (int64_t)a;
}

#define CONVERT(insn, from_type, to_type, to)                                                                                    \
    static to_type insn##_of(from_type x)                                                                                        \
    {                                                                                                                            \
        to_type r;                                                                                                               \
        __asm__ volatile(#insn " %1, %0" : to(r) : "x"(x));                                                                      \
        return r;                                                                                                                \
    }
CONVERT(cvtss2si, lanes, int64_t, "=r")
CONVERT(cvttss2si, lanes, int64_t, "=r")
CONVERT(cvtsd2si, lanes, int64_t, "=r")
CONVERT(cvttsd2si, lanes, int64_t, "=r")
CONVERT(cvtss2sd, lanes, lanes, "=x")
CONVERT(cvtsd2ss, lanes, lanes, "=x")

/* To integers: all that do not fit are left. */
static bool to_ints(struct vec_fp *v, void *ret, const void *a, unsigned n, bool is_signed, bool rtz)
{
    const int64_t max = (int64_t)((v->to == 64 ? UINT64_MAX : (1ULL << v->to) - 1) >> (is_signed || v->to == 64));
    const int64_t min = !is_signed ? 0 : v->to == 64 ? -max /* INT64_MIN stands for all that does not fit */ : -max - 1;
    bool fit = true;
    begin(v->rm);
    for (unsigned k = 0; k < n; k++) {
        lanes x = { element(a, v->from, k) };
        int64_t r;
        if (v->from == 32)
            r = rtz ? cvttss2si_of(x) : cvtss2si_of(x);
        else
            r = rtz ? cvttsd2si_of(x) : cvtsd2si_of(x);
        fit &= r >= min && r <= max;
        put_element(ret, v->to, k, (uint64_t)r);
    }
    uint8_t flags = end();
    if (fit)
        v->flags |= flags;
    return fit;
}

static bool from_ints(struct vec_fp *v, void *ret, const void *a, unsigned n, bool is_signed)
{
    bool fit = true;
    begin(v->rm);
    for (unsigned k = 0; k < n; k++) {
        int64_t x = extended(element(a, v->from, k), v->from, is_signed);
        lanes r = { 0 };
        if (v->to == 32)
            __asm__ volatile("cvtsi2ssq %1, %0" : "+x"(r) : "r"(x));
        else
            __asm__ volatile("cvtsi2sdq %1, %0" : "+x"(r) : "r"(x));
        fit &= is_signed || x >= 0;
        put_element(ret, v->to, k, r[0]);
    }
    uint8_t flags = end();
    if (fit)
        v->flags |= flags;
    return fit;
}

static bool resize(struct vec_fp *v, void *ret, const void *a, unsigned n)
{
    const uint64_t infinity = v->to == 64 ? 0x7ff0000000000000 : 0x7f800000, magnitude = v->to == 64 ? INT64_MAX : INT32_MAX;
    bool nan = false;
    begin(v->rm);
    for (unsigned k = 0; k < n; k++) {
        lanes x = { element(a, v->from, k) }, r = v->from == 32 ? cvtss2sd_of(x) : cvtsd2ss_of(x);
        nan |= (r[0] & magnitude) > infinity;
        put_element(ret, v->to, k, r[0]);
    }
    uint8_t flags = end();
    if (!nan)
        v->flags |= flags;
    return !nan;
}

bool vec_fp_convert_many(struct vec_fp *v, vec_fp_fn fn, void *restrict ret, const void *restrict a, unsigned n)
{
    bool from = v->from >= 32, to = v->to >= 32; /* the host has no binary16 */
    if (v->rm == RM_RMM)
        return false;
    if (fn == vec_fp_cvt_x_f || fn == vec_fp_cvt_rtz_x_f)
        return from && to_ints(v, ret, a, n, true, fn == vec_fp_cvt_rtz_x_f);
    if (fn == vec_fp_cvt_xu_f || fn == vec_fp_cvt_rtz_xu_f)
        return from && to_ints(v, ret, a, n, false, fn == vec_fp_cvt_rtz_xu_f);
    if (fn == vec_fp_cvt_f_x || fn == vec_fp_cvt_f_xu)
        return to && from_ints(v, ret, a, n, fn == vec_fp_cvt_f_x);
    return fn == vec_fp_cvt_f_f && from && to && resize(v, ret, a, n);
}

/* ---- sums ---- */

bool vec_fp_sum(struct vec_fp *v, uint64_t *sum, const void *a, unsigned n)
{
    lanes s = { *sum };
    if (v->to == 16 || v->rm == RM_RMM)
        return false;
    begin(v->rm);
    for (unsigned k = 0; k < n; k++) {
        lanes x = { element(a, v->to, k) };
        if (v->to == 32)
            __asm__ volatile("addss %1, %0" : "+x"(s) : "x"(x));
        else
            __asm__ volatile("addsd %1, %0" : "+x"(s) : "x"(x));
    }
    uint8_t flags = end();
    if ((s[0] & (v->to == 64 ? INT64_MAX : INT32_MAX)) > (v->to == 64 ? 0x7ff0000000000000 : 0x7f800000))
        return false; /* a NaN: to be made canonical */
    v->flags |= flags;
    *sum = v->to == 64 ? s[0] : (uint32_t)s[0];
    return true;
}
