/* SPDX-License-Identifier: MIT */
/*
 * Step functions of vector reductions on integers: vd[0] = vs1[0] and all active elements of vs2 together.
 *
 * vd and vs1 are single registers, vd may be any other's. Spec: volume I 30.14
 */
#include "isa/riscv/vec.h"

/* x and n elements together. */
typedef uint64_t (*reduce_fn)(uint64_t x, const void *elements, unsigned n);

struct reduction {
    reduce_fn fn[4]; /* by SEW */
    bool is_signed, wide;
    uint64_t nothing; /* what an element that is not active counts as; its low SEW bits */
};

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int8_t s8;
typedef int16_t s16;
typedef int32_t s32;
typedef int64_t s64;

/* A loop over elements of type A; x, of type R, is what they come to. */
#define LOOP(name, R, A, value)                                                                                                  \
    static uint64_t name(uint64_t x_, const void *elements, unsigned n)                                                          \
    {                                                                                                                            \
        const A *as = elements;                                                                                                  \
        R x = (R)x_;                                                                                                             \
        for (unsigned k = 0; k < n; k++) {                                                                                       \
            A a = as[k];                                                                                                         \
            x = (R)(value);                                                                                                      \
        }                                                                                                                        \
        return (uint64_t)x;                                                                                                      \
    }
#define AT_EACH_SEW(name, T, value)                                                                                              \
    LOOP(name##8, T##8, T##8, value)                                                                                             \
    LOOP(name##16, T##16, T##16, value)                                                                                          \
    LOOP(name##32, T##32, T##32, value)                                                                                          \
    LOOP(name##64, T##64, T##64, value)
AT_EACH_SEW(sum, u, x + a)
AT_EACH_SEW(and, u, x &a)
AT_EACH_SEW(or, u, x | a)
AT_EACH_SEW(xor, u, x ^ a)
AT_EACH_SEW(minu, u, a < x ? a : x)
AT_EACH_SEW(min, s, a < x ? a : x)
AT_EACH_SEW(maxu, u, a > x ? a : x)
AT_EACH_SEW(max, s, a > x ? a : x)
LOOP(wsumu8, u16, u8, x + a)
LOOP(wsumu16, u32, u16, x + a)
LOOP(wsumu32, u64, u32, x + a)
LOOP(wsum8, u16, s8, x + (u16)a)
LOOP(wsum16, u32, s16, x + (u32)a)
LOOP(wsum32, u64, s32, x + (u64)a)

static void reduce(struct riscv_cpu *c, const struct riscv_insn *i, const struct reduction *r)
{
    uint64_t elements[VEC_GROUP_MAX / 8];
    uint8_t active[VEC_GROUP_MAX];
    struct vec v;
    vec_enter(&v, c, i);
    vec_require(&v, v.first == 0 && r->fn[v.sew]);
    vec_check_src(&v, i->rs2, v.sew);
    const void *a = vec_src(&v, i->rs2, v.sew);
    unsigned eew = v.sew + r->wide;
    if (v.masked) {
        vec_splat(elements, v.sew, r->is_signed ? r->nothing >> (64 - (8U << v.sew)) : r->nothing, v.vl);
        vec_bits_to_bytes(&v, 0, active);
        vec_select(elements, v.sew, a, active, v.vl);
        a = elements;
    }
    if (v.vl)
        vec_set(vec_reg(&v, i->rd), eew, 0, r->fn[v.sew](vec_get(vec_reg(&v, i->rs1), eew, 0), a, v.vl));
    vec_leave(&v);
}

/* `nothing` of signed ones: its upper SEW bits. */
#define STEP(step, name, is_signed, nothing)                                                                                     \
    void rv_##step##_vs(struct riscv_cpu *c, const struct riscv_insn *i)                                                         \
    {                                                                                                                            \
        static const struct reduction r = { { name##8, name##16, name##32, name##64 }, is_signed, false, nothing };              \
        reduce(c, i, &r);                                                                                                        \
    }
#define STEP_WIDE(step, name)                                                                                                    \
    void rv_##step##_vs(struct riscv_cpu *c, const struct riscv_insn *i)                                                         \
    {                                                                                                                            \
        static const struct reduction r = { { name##8, name##16, name##32 }, false, true, 0 };                                   \
        reduce(c, i, &r);                                                                                                        \
    }
STEP(vredsum, sum, false, 0)
STEP(vredand, and, false, ~0ULL)
STEP(vredor, or, false, 0)
STEP(vredxor, xor, false, 0)
STEP(vredminu, minu, false, ~0ULL)
STEP(vredmin, min, true, ~0ULL >> 1)
STEP(vredmaxu, maxu, false, 0)
STEP(vredmax, max, true, 1ULL << 63)
STEP_WIDE(vwredsumu, wsumu)
STEP_WIDE(vwredsum, wsum)
