/* SPDX-License-Identifier: MIT */
/*
 * Step functions of vector instructions on integers, element by element: arithmetic, comparisons, multiplication and division,
 * widening and narrowing, carries, moves; Zvbb and Zvkb.
 *
 * An operation is a loop for each SEW; d, a and b are vd's, vs2's and the third operand's elements. Spec: volume I 30.11; vector
 * cryptography 1.0, 3
 */
#include "isa/riscv/vec.h"

/* A loop over elements of types D, A and B. */
#define LOOP(name, D, A, B, value)                                                                                               \
    static void name(void *restrict d_, const void *restrict a_, const void *restrict b_, unsigned n)                            \
    {                                                                                                                            \
        D *restrict to = d_;                                                                                                     \
        const A *restrict as = a_;                                                                                               \
        const B *restrict bs = b_;                                                                                               \
        (void)bs;                                                                                                                \
        for (unsigned k = 0; k < n; k++) {                                                                                       \
            D d = to[k];                                                                                                         \
            A a = as[k];                                                                                                         \
            B b = bs[k];                                                                                                         \
            (void)a, (void)b, (void)d;                                                                                           \
            to[k] = (D)(value);                                                                                                  \
        }                                                                                                                        \
    }

/* The same operation at each SEW; U and S: on unsigned or signed elements. `bits` is SEW. */
#define AT_EACH_SEW(name, T, value)                                                                                              \
    LOOP(name##8, T##8, T##8, T##8, value)                                                                                       \
    LOOP(name##16, T##16, T##16, T##16, value)                                                                                   \
    LOOP(name##32, T##32, T##32, T##32, value)                                                                                   \
    LOOP(name##64, T##64, T##64, T##64, value)                                                                                   \
    static const struct vec_fns name = { { name##8, name##16, name##32, name##64 } };
#define TO_MASK(name, T, value)                                                                                                  \
    LOOP(name##8, u8, T##8, T##8, value)                                                                                         \
    LOOP(name##16, u8, T##16, T##16, value)                                                                                      \
    LOOP(name##32, u8, T##32, T##32, value)                                                                                      \
    LOOP(name##64, u8, T##64, T##64, value)                                                                                      \
    static const struct vec_fns name = { { name##8, name##16, name##32, name##64 } };
/* vd is wide (of type T), vs2 is A and vs1 is B. */
#define WIDENING(name, T, A, B, value)                                                                                           \
    LOOP(name##8, T##16, A##8, B##8, value)                                                                                      \
    LOOP(name##16, T##32, A##16, B##16, value)                                                                                   \
    LOOP(name##32, T##64, A##32, B##32, value)                                                                                   \
    static const struct vec_fns name = { { name##8, name##16, name##32 } };
/* vd and vs2 are wide. */
#define WIDENING_A(name, T, B, value)                                                                                            \
    LOOP(name##8, T##16, T##16, B##8, value)                                                                                     \
    LOOP(name##16, T##32, T##32, B##16, value)                                                                                   \
    LOOP(name##32, T##64, T##64, B##32, value)                                                                                   \
    static const struct vec_fns name = { { name##8, name##16, name##32 } };
/* vs2 is wide. */
#define NARROWING(name, A, value)                                                                                                \
    LOOP(name##8, u8, A##16, u8, value)                                                                                          \
    LOOP(name##16, u16, A##32, u16, value)                                                                                       \
    LOOP(name##32, u32, A##64, u32, value)                                                                                       \
    static const struct vec_fns name = { { name##8, name##16, name##32 } };

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int8_t s8;
typedef int16_t s16;
typedef int32_t s32;
typedef int64_t s64;

/* Bits of b's type, less 1: what counts of a shift. */
#define SHIFT (8 * sizeof(b) - 1)
/* Products and sums that may wrap are unsigned and not promoted to int. */
#define WRAP(x) ((u64)(x))

/* ---- the operations ---- */

AT_EACH_SEW(add, u, a + b)
AT_EACH_SEW(subtract, u, a - b)
AT_EACH_SEW(reverse_subtract, u, b - a)
AT_EACH_SEW(minu, u, a < b ? a : b)
AT_EACH_SEW(min, s, a < b ? a : b)
AT_EACH_SEW(maxu, u, a > b ? a : b)
AT_EACH_SEW(max, s, a > b ? a : b)
AT_EACH_SEW(and, u, a &b)
AT_EACH_SEW(or, u, a | b)
AT_EACH_SEW(xor, u, a ^ b)
AT_EACH_SEW(sll, u, WRAP(a) << (b & SHIFT))
AT_EACH_SEW(srl, u, a >> (b & SHIFT))
AT_EACH_SEW(sra, s, a >> (b & (s64)SHIFT))
AT_EACH_SEW(copy, u, b)

AT_EACH_SEW(adc, u, a + b + d)
AT_EACH_SEW(sbc, u, a - b - d)
AT_EACH_SEW(merge, u, d ? b : a)
TO_MASK(carry, u, ((__typeof__(a))(a + b) < a) | (d && (__typeof__(a))(a + b) == (__typeof__(a))-1))
TO_MASK(borrow, u, (a < b) | (d && a == b))

TO_MASK(equal, u, a == b)
TO_MASK(differ, u, a != b)
TO_MASK(lessu, u, a < b)
TO_MASK(less, s, a < b)
TO_MASK(less_equalu, u, a <= b)
TO_MASK(less_equal, s, a <= b)
TO_MASK(greateru, u, a > b)
TO_MASK(greater, s, a > b)

AT_EACH_SEW(mul, u, 1U * a * b)
AT_EACH_SEW(madd, u, 1U * b * d + a)
AT_EACH_SEW(nmsub, u, a - 1U * b * d)
AT_EACH_SEW(macc, u, d + 1U * a * b)
AT_EACH_SEW(nmsac, u, d - 1U * a * b)
AT_EACH_SEW(divu, u, b ? a / b : (__typeof__(a))-1)
AT_EACH_SEW(div, s, b == 0 ? -1 : b == -1 ? (__typeof__(a))(0 - WRAP(a)) : a / b)
AT_EACH_SEW(remu, u, b ? a % b : a)
AT_EACH_SEW(rem, s, b == 0 ? a : b == -1 ? 0 : a % b)

/* The upper half of a product of types A and B; W8 to W64 are types that hold it. */
#define HIGH(name, A, B, W)                                                                                                      \
    LOOP(name##8, u8, A##8, B##8, (W##16)a *b >> 8)                                                                              \
    LOOP(name##16, u16, A##16, B##16, (W##32)a *b >> 16)                                                                         \
    LOOP(name##32, u32, A##32, B##32, (W##64)a *b >> 32)                                                                         \
    LOOP(name##64, u64, A##64, B##64, (W##128)a *b >> 64)                                                                        \
    static const struct vec_fns name = { { name##8, name##16, name##32, name##64 } };
typedef __int128 s128;
typedef unsigned __int128 u128;
HIGH(mulhu, u, u, u)
HIGH(mulh, s, s, s)
HIGH(mulhsu, s, u, s)

#define WIDE(x) ((__typeof__(d))(x))
WIDENING(waddu, u, u, u, WIDE(a) + WIDE(b))
WIDENING(wadd, u, s, s, WIDE(a) + WIDE(b))
WIDENING(wsubu, u, u, u, WIDE(a) - WIDE(b))
WIDENING(wsub, u, s, s, WIDE(a) - WIDE(b))
WIDENING(wmulu, u, u, u, 1U * WIDE(a) * WIDE(b))
WIDENING(wmul, u, s, s, 1U * WIDE(a) * WIDE(b))
WIDENING(wmulsu, u, s, u, 1U * WIDE(a) * WIDE(b))
WIDENING(wmaccu, u, u, u, d + 1U * WIDE(a) * WIDE(b))
WIDENING(wmacc, u, s, s, d + 1U * WIDE(a) * WIDE(b))
WIDENING(wmaccsu, u, u, s, d + 1U * WIDE(a) * WIDE(b)) /* vs1 is the signed one */
WIDENING(wmaccus, u, s, u, d + 1U * WIDE(a) * WIDE(b))
WIDENING_A(wide_addu, u, u, a + WIDE(b))
WIDENING_A(wide_add, u, s, a + WIDE(b))
WIDENING_A(wide_subu, u, u, a - WIDE(b))
WIDENING_A(wide_sub, u, s, a - WIDE(b))
NARROWING(narrow_srl, u, a >> (b & (2 * SHIFT + 1)))
NARROWING(narrow_sra, s, a >> (b & (s64)(2 * SHIFT + 1)))

/* ---- Zvbb, Zvkb ---- */

#define BITS (8 * (unsigned)sizeof(a))

static uint64_t reverse_in_bytes(uint64_t v)
{
    v = (v >> 1 & 0x5555555555555555) | (v & 0x5555555555555555) << 1;
    v = (v >> 2 & 0x3333333333333333) | (v & 0x3333333333333333) << 2;
    return (v >> 4 & 0x0f0f0f0f0f0f0f0f) | (v & 0x0f0f0f0f0f0f0f0f) << 4;
}

AT_EACH_SEW(andn, u, a & ~b)
AT_EACH_SEW(rol, u, WRAP(a) << (b & SHIFT) | a >> ((0 - WRAP(b)) & SHIFT))
AT_EACH_SEW(ror, u, a >> (b & SHIFT) | WRAP(a) << ((0 - WRAP(b)) & SHIFT))
AT_EACH_SEW(turn_in_bytes, u, reverse_in_bytes(a))
AT_EACH_SEW(turn_bytes, u, __builtin_bswap64(a) >> (64 - BITS))
AT_EACH_SEW(turn_bits, u, reverse_in_bytes(__builtin_bswap64(a)) >> (64 - BITS))
AT_EACH_SEW(clz, u, a ? (unsigned)__builtin_clzll(a) - (64 - BITS) : BITS)
AT_EACH_SEW(ctz, u, a ? (unsigned)__builtin_ctzll(a) : BITS)
AT_EACH_SEW(cpop, u, __builtin_popcountll(a))
WIDENING(wsll, u, u, u, WRAP(a) << (b & (2 * SHIFT + 1)))

/* ---- extension: vs2's elements are 2, 4 or 8 times narrower. Spec: 30.11.3 ---- */

static void extend(struct riscv_cpu *c, const struct riscv_insn *i, unsigned times, bool is_signed)
{
    uint64_t out[VEC_GROUP_MAX / 8];
    struct vec v;
    vec_enter(&v, c, i);
    vec_require(&v, v.sew >= times);
    unsigned eew = v.sew - times, up = 64 - (8U << eew), n = vec_count(&v);
    vec_check_src(&v, i->rs2, eew);
    vec_check_dst(&v, v.sew);
    vec_check_overlap(&v, v.sew, i->rs2, eew);
    const void *a = vec_src(&v, i->rs2, eew);
    for (unsigned k = 0; k < n; k++) {
        uint64_t x = vec_get(a, eew, k);
        vec_set(out, v.sew, k, is_signed ? (uint64_t)((int64_t)(x << up) >> up) : x);
    }
    vec_write(&v, v.sew, out);
    vec_leave(&v);
}

/* ---- the list ---- */

#define STEP(name, call)                                                                                                         \
    void rv_##name(struct riscv_cpu *c, const struct riscv_insn *i)                                                              \
    {                                                                                                                            \
        call;                                                                                                                    \
    }
#define STEP_VX(name, fns, form)                                                                                                 \
    STEP(name##_vv, vec_each(c, i, &(fns), form, VEC_V))                                                                         \
    STEP(name##_vx, vec_each(c, i, &(fns), form, VEC_X))
#define STEP_VXI(name, fns, form)                                                                                                \
    STEP_VX(name, fns, form)                                                                                                     \
    STEP(name##_vi, vec_each(c, i, &(fns), form, VEC_I))
#define STEP_VXM(name, fns, form)                                                                                                \
    STEP(name##_vvm, vec_each(c, i, &(fns), form, VEC_V))                                                                        \
    STEP(name##_vxm, vec_each(c, i, &(fns), form, VEC_X))
#define STEP_W(name, fns, form)                                                                                                  \
    STEP(name##_wv, vec_each(c, i, &(fns), form, VEC_V))                                                                         \
    STEP(name##_wx, vec_each(c, i, &(fns), form, VEC_X))

STEP_VXI(vadd, add, VEC_SAME)
STEP_VX(vsub, subtract, VEC_SAME)
STEP(vrsub_vx, vec_each(c, i, &reverse_subtract, VEC_SAME, VEC_X))
STEP(vrsub_vi, vec_each(c, i, &reverse_subtract, VEC_SAME, VEC_I))
STEP_VX(vminu, minu, VEC_SAME)
STEP_VX(vmin, min, VEC_SAME)
STEP_VX(vmaxu, maxu, VEC_SAME)
STEP_VX(vmax, max, VEC_SAME)
STEP_VXI(vand, and, VEC_SAME)
STEP_VXI(vor, or, VEC_SAME)
STEP_VXI(vxor, xor, VEC_SAME)
STEP_VXI(vsll, sll, VEC_SAME)
STEP_VXI(vsrl, srl, VEC_SAME)
STEP_VXI(vsra, sra, VEC_SAME)

STEP_VXM(vadc, adc, VEC_CARRY)
STEP(vadc_vim, vec_each(c, i, &adc, VEC_CARRY, VEC_I))
STEP_VXM(vsbc, sbc, VEC_CARRY)
STEP_VXM(vmadc, carry, VEC_MASK_CARRY)
STEP(vmadc_vim, vec_each(c, i, &carry, VEC_MASK_CARRY, VEC_I))
STEP_VXI(vmadc, carry, VEC_MASK_CARRY)
STEP_VXM(vmsbc, borrow, VEC_MASK_CARRY)
STEP_VX(vmsbc, borrow, VEC_MASK_CARRY)
STEP_VXM(vmerge, merge, VEC_CARRY)
STEP(vmerge_vim, vec_each(c, i, &merge, VEC_CARRY, VEC_I))
STEP(vmv_v_v, vec_each(c, i, &copy, VEC_SAME, VEC_V))
STEP(vmv_v_x, vec_each(c, i, &copy, VEC_SAME, VEC_X))
STEP(vmv_v_i, vec_each(c, i, &copy, VEC_SAME, VEC_I))

STEP_VXI(vmseq, equal, VEC_MASK)
STEP_VXI(vmsne, differ, VEC_MASK)
STEP_VX(vmsltu, lessu, VEC_MASK)
STEP_VX(vmslt, less, VEC_MASK)
STEP_VXI(vmsleu, less_equalu, VEC_MASK)
STEP_VXI(vmsle, less_equal, VEC_MASK)
STEP(vmsgtu_vx, vec_each(c, i, &greateru, VEC_MASK, VEC_X))
STEP(vmsgtu_vi, vec_each(c, i, &greateru, VEC_MASK, VEC_I))
STEP(vmsgt_vx, vec_each(c, i, &greater, VEC_MASK, VEC_X))
STEP(vmsgt_vi, vec_each(c, i, &greater, VEC_MASK, VEC_I))

STEP_VX(vdivu, divu, VEC_SAME)
STEP_VX(vdiv, div, VEC_SAME)
STEP_VX(vremu, remu, VEC_SAME)
STEP_VX(vrem, rem, VEC_SAME)
STEP_VX(vmulhu, mulhu, VEC_SAME)
STEP_VX(vmul, mul, VEC_SAME)
STEP_VX(vmulhsu, mulhsu, VEC_SAME)
STEP_VX(vmulh, mulh, VEC_SAME)
STEP_VX(vmadd, madd, VEC_SAME)
STEP_VX(vnmsub, nmsub, VEC_SAME)
STEP_VX(vmacc, macc, VEC_SAME)
STEP_VX(vnmsac, nmsac, VEC_SAME)

STEP_VX(vwaddu, waddu, VEC_WIDE)
STEP_VX(vwadd, wadd, VEC_WIDE)
STEP_VX(vwsubu, wsubu, VEC_WIDE)
STEP_VX(vwsub, wsub, VEC_WIDE)
STEP_W(vwaddu, wide_addu, VEC_WIDE_A)
STEP_W(vwadd, wide_add, VEC_WIDE_A)
STEP_W(vwsubu, wide_subu, VEC_WIDE_A)
STEP_W(vwsub, wide_sub, VEC_WIDE_A)
STEP_VX(vwmulu, wmulu, VEC_WIDE)
STEP_VX(vwmulsu, wmulsu, VEC_WIDE)
STEP_VX(vwmul, wmul, VEC_WIDE)
STEP_VX(vwmaccu, wmaccu, VEC_WIDE)
STEP_VX(vwmacc, wmacc, VEC_WIDE)
STEP_VX(vwmaccsu, wmaccsu, VEC_WIDE)
STEP(vwmaccus_vx, vec_each(c, i, &wmaccus, VEC_WIDE, VEC_X))
STEP_W(vnsrl, narrow_srl, VEC_NARROW)
STEP(vnsrl_wi, vec_each(c, i, &narrow_srl, VEC_NARROW, VEC_I))
STEP_W(vnsra, narrow_sra, VEC_NARROW)
STEP(vnsra_wi, vec_each(c, i, &narrow_sra, VEC_NARROW, VEC_I))

STEP(vzext_vf2, extend(c, i, 1, false))
STEP(vsext_vf2, extend(c, i, 1, true))
STEP(vzext_vf4, extend(c, i, 2, false))
STEP(vsext_vf4, extend(c, i, 2, true))
STEP(vzext_vf8, extend(c, i, 3, false))
STEP(vsext_vf8, extend(c, i, 3, true))

STEP_VX(vandn, andn, VEC_SAME)
STEP_VX(vrol, rol, VEC_SAME)
STEP_VXI(vror, ror, VEC_SAME)
STEP(vbrev8_v, vec_each(c, i, &turn_in_bytes, VEC_SAME, VEC_NONE))
STEP(vrev8_v, vec_each(c, i, &turn_bytes, VEC_SAME, VEC_NONE))
STEP(vbrev_v, vec_each(c, i, &turn_bits, VEC_SAME, VEC_NONE))
STEP(vclz_v, vec_each(c, i, &clz, VEC_SAME, VEC_NONE))
STEP(vctz_v, vec_each(c, i, &ctz, VEC_SAME, VEC_NONE))
STEP(vcpop_v, vec_each(c, i, &cpop, VEC_SAME, VEC_NONE))
STEP_VXI(vwsll, wsll, VEC_WIDE)
