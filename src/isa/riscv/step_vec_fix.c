/* SPDX-License-Identifier: MIT */
/*
 * Step functions of fixed-point vector instructions: saturating, averaging, scaling, clipping.
 *
 * An operation is a function of one pair of elements, sign- or zero-extended to 64 bits. vxsat is set by active elements only.
 * Spec: volume I 30.12
 */
#include "isa/riscv/vec.h"

typedef __int128 s128;
typedef unsigned __int128 u128;

/* What an operation works with. */
struct fixed {
    unsigned bits; /* SEW */
    unsigned vxrm;
    bool saturated;
};

typedef uint64_t (*fixed_fn)(struct fixed *x, uint64_t a, uint64_t b);

struct fixed_op {
    fixed_fn fn;
    bool is_signed;
};

/* ---- rounding, saturation ---- */

enum { RNU, RNE, RDN, ROD };

/* What rounding adds to v >> shift. Spec: 30.3.8 */
static unsigned increment(unsigned vxrm, u128 v, unsigned shift)
{
    if (!shift)
        return 0;
    bool half = v >> (shift - 1) & 1, odd = v >> shift & 1;
    bool below = v & (((u128)1 << (shift - 1)) - 1); /* bits under the half */
    switch (vxrm) {
    case RNU: return half;
    case RNE: return half && (below || odd);
    case RDN: return 0;
    default: return !odd && (half || below);
    }
}

static uint64_t round_u(const struct fixed *x, u128 v, unsigned shift)
{
    return (uint64_t)(v >> shift) + increment(x->vxrm, v, shift);
}

static s128 round_s(const struct fixed *x, s128 v, unsigned shift)
{
    return (v >> shift) + increment(x->vxrm, (u128)v, shift);
}

static uint64_t top_u(const struct fixed *x)
{
    return ~0ULL >> (64 - x->bits);
}

static uint64_t clamp_s(struct fixed *x, s128 v)
{
    s128 max = (s128)(top_u(x) >> 1), min = -max - 1;
    x->saturated |= v > max || v < min;
    return (uint64_t)(v > max ? max : v < min ? min : v);
}

/* ---- the operations ---- */

static uint64_t saddu(struct fixed *x, uint64_t a, uint64_t b)
{
    u128 sum = (u128)a + b;
    bool over = sum > top_u(x);
    x->saturated |= over;
    return over ? top_u(x) : (uint64_t)sum;
}

static uint64_t ssubu(struct fixed *x, uint64_t a, uint64_t b)
{
    x->saturated |= a < b;
    return a < b ? 0 : a - b;
}

static uint64_t sadd(struct fixed *x, uint64_t a, uint64_t b)
{
    return clamp_s(x, (s128)(int64_t)a + (int64_t)b);
}

static uint64_t ssub(struct fixed *x, uint64_t a, uint64_t b)
{
    return clamp_s(x, (s128)(int64_t)a - (int64_t)b);
}

static uint64_t aaddu(struct fixed *x, uint64_t a, uint64_t b)
{
    return round_u(x, (u128)a + b, 1);
}

static uint64_t aadd(struct fixed *x, uint64_t a, uint64_t b)
{
    return (uint64_t)round_s(x, (s128)(int64_t)a + (int64_t)b, 1);
}

/* The difference of unsigned elements has a sign. */
static uint64_t asubu(struct fixed *x, uint64_t a, uint64_t b)
{
    return (uint64_t)round_s(x, (s128)a - (s128)b, 1);
}

static uint64_t asub(struct fixed *x, uint64_t a, uint64_t b)
{
    return (uint64_t)round_s(x, (s128)(int64_t)a - (int64_t)b, 1);
}

static uint64_t smul(struct fixed *x, uint64_t a, uint64_t b)
{
    return clamp_s(x, round_s(x, (s128)(int64_t)a * (int64_t)b, x->bits - 1));
}

static uint64_t scale_u(struct fixed *x, uint64_t a, uint64_t b)
{
    return round_u(x, a, b & (x->bits - 1));
}

static uint64_t scale_s(struct fixed *x, uint64_t a, uint64_t b)
{
    return (uint64_t)round_s(x, (int64_t)a, b & (x->bits - 1));
}

/* a has twice the bits. */
static uint64_t clip_u(struct fixed *x, uint64_t a, uint64_t b)
{
    u128 v = (a >> (b & (2 * x->bits - 1))) + (u128)increment(x->vxrm, a, b & (2 * x->bits - 1));
    bool over = v > top_u(x);
    x->saturated |= over;
    return over ? top_u(x) : (uint64_t)v;
}

static uint64_t clip_s(struct fixed *x, uint64_t a, uint64_t b)
{
    return clamp_s(x, round_s(x, (int64_t)a, b & (2 * x->bits - 1)));
}

/* ---- element by element ---- */

static uint64_t extended(uint64_t v, unsigned eew, bool is_signed)
{
    unsigned up = 64 - (8U << eew);
    return is_signed ? (uint64_t)((int64_t)(v << up) >> up) : v << up >> up;
}

static void each(struct riscv_cpu *c, const struct riscv_insn *i, struct fixed_op op, enum vec_form form,
                 enum vec_operand operand)
{
    struct vec v;
    vec_enter(&v, c, i);
    vec_require(&v, form == VEC_SAME || v.sew < 3);
    vec_check_form(&v, form, operand);
    struct fixed x = { .bits = 8U << v.sew, .vxrm = c->vxrm };
    uint64_t out[VEC_GROUP_MAX / 8] = { 0 }, scalar = operand == VEC_X ? c->x[i->rs1] : (uint64_t)(int64_t)i->imm;
    unsigned a_eew = vec_a_eew(&v, form), n = vec_count(&v);
    const void *a = vec_src(&v, i->rs2, a_eew), *b = operand == VEC_V ? vec_src(&v, i->rs1, v.sew) : NULL;
    uint8_t active[VEC_GROUP_MAX];
    vec_bits_to_bytes(&v, 0, active);
    for (unsigned k = 0; k < n; k++) {
        if (v.masked && !active[k])
            continue;
        uint64_t second = extended(b ? vec_get(b, v.sew, k) : scalar, v.sew, op.is_signed);
        vec_set(out, v.sew, k, op.fn(&x, extended(vec_get(a, a_eew, k), a_eew, op.is_signed), second));
    }
    vec_write(&v, v.sew, out);
    c->vxsat |= x.saturated;
    vec_leave(&v);
}

/* ---- the list ---- */

#define STEP(name, call)                                                                                                         \
    void rv_##name(struct riscv_cpu *c, const struct riscv_insn *i)                                                              \
    {                                                                                                                            \
        call;                                                                                                                    \
    }
#define STEP_VX(name, fn, is_signed)                                                                                             \
    STEP(name##_vv, each(c, i, (struct fixed_op){ fn, is_signed }, VEC_SAME, VEC_V))                                             \
    STEP(name##_vx, each(c, i, (struct fixed_op){ fn, is_signed }, VEC_SAME, VEC_X))
#define STEP_VXI(name, fn, is_signed)                                                                                            \
    STEP_VX(name, fn, is_signed)                                                                                                 \
    STEP(name##_vi, each(c, i, (struct fixed_op){ fn, is_signed }, VEC_SAME, VEC_I))
#define STEP_W(name, fn, is_signed)                                                                                              \
    STEP(name##_wv, each(c, i, (struct fixed_op){ fn, is_signed }, VEC_NARROW, VEC_V))                                           \
    STEP(name##_wx, each(c, i, (struct fixed_op){ fn, is_signed }, VEC_NARROW, VEC_X))                                           \
    STEP(name##_wi, each(c, i, (struct fixed_op){ fn, is_signed }, VEC_NARROW, VEC_I))

STEP_VXI(vsaddu, saddu, false)
STEP_VXI(vsadd, sadd, true)
STEP_VX(vssubu, ssubu, false)
STEP_VX(vssub, ssub, true)
STEP_VX(vaaddu, aaddu, false)
STEP_VX(vaadd, aadd, true)
STEP_VX(vasubu, asubu, false)
STEP_VX(vasub, asub, true)
STEP_VX(vsmul, smul, true)
STEP_VXI(vssrl, scale_u, false)
STEP_VXI(vssra, scale_s, true)
STEP_W(vnclipu, clip_u, false)
STEP_W(vnclip, clip_s, true)
