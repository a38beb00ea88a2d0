/* SPDX-License-Identifier: MIT */
/*
 * Step functions of vector reductions on integers: vd[0] = vs1[0] and all active elements of vs2 together.
 *
 * vd and vs1 are single registers, vd may be any other's. Spec: volume I 30.14
 */
#include "isa/riscv/vec.h"

typedef uint64_t (*reduce_fn)(uint64_t a, uint64_t b);

/* On elements extended to 64 bits. */
struct reduction {
    reduce_fn fn;
    bool is_signed, wide;
};

static uint64_t sum(uint64_t a, uint64_t b)
{
    return a + b;
}

static uint64_t and (uint64_t a, uint64_t b)
{
    return a & b;
}

static uint64_t or (uint64_t a, uint64_t b)
{
    return a | b;
}

static uint64_t
    xor (uint64_t a, uint64_t b) { return a ^ b; }

    static uint64_t minu(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t maxu(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static uint64_t min(uint64_t a, uint64_t b)
{
    return (int64_t)a < (int64_t)b ? a : b;
}

static uint64_t max(uint64_t a, uint64_t b)
{
    return (int64_t)a > (int64_t)b ? a : b;
}

static uint64_t element(const struct vec *v, unsigned reg, unsigned eew, unsigned k, bool is_signed)
{
    unsigned up = 64 - (8U << eew);
    uint64_t x = vec_get(vec_reg(v, reg), eew, k);
    return is_signed ? (uint64_t)((int64_t)(x << up) >> up) : x;
}

static void reduce(struct riscv_cpu *c, const struct riscv_insn *i, struct reduction r)
{
    struct vec v;
    vec_enter(&v, c, i);
    vec_require(&v, v.first == 0 && (!r.wide || v.sew < 3));
    vec_check_src(&v, i->rs2, v.sew);
    unsigned eew = v.sew + r.wide;
    uint64_t x = element(&v, i->rs1, eew, 0, r.is_signed);
    for (unsigned k = 0; k < v.vl; k++)
        if (vec_active(&v, k))
            x = r.fn(x, element(&v, i->rs2, v.sew, k, r.is_signed));
    if (v.vl)
        vec_set(vec_reg(&v, i->rd), eew, 0, x);
    vec_leave(&v);
}

#define STEP(name, fn, is_signed, wide)                                                                                          \
    void rv_##name##_vs(struct riscv_cpu *c, const struct riscv_insn *i)                                                         \
    {                                                                                                                            \
        reduce(c, i, (struct reduction){ fn, is_signed, wide });                                                                 \
    }
STEP(vredsum, sum, false, false)
STEP(vredand, and, false, false)
STEP(vredor, or, false, false)
STEP(vredxor, xor, false, false)
STEP(vredminu, minu, false, false)
STEP(vredmin, min, true, false)
STEP(vredmaxu, maxu, false, false)
STEP(vredmax, max, true, false)
STEP(vwredsumu, sum, false, true)
STEP(vwredsum, sum, true, true)
