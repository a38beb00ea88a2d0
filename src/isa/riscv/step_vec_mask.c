/* SPDX-License-Identifier: MIT */
/*
 * Step functions of vector masks: logic, population, first bit, and what sets elements by a mask.
 *
 * A mask is a bit an element in one register, whatever LMUL is. Spec: volume I 30.15
 */
#include "isa/riscv/vec.h"

/* ---- logic ---- */

typedef unsigned (*logic_fn)(unsigned a, unsigned b);

static unsigned and (unsigned a, unsigned b)
{
    return a & b;
}

static unsigned nand(unsigned a, unsigned b)
{
    return ~(a & b);
}

static unsigned andn(unsigned a, unsigned b)
{
    return a & ~b;
}

static unsigned
        xor (unsigned a, unsigned b) { return a ^ b; }

        static unsigned
    or (unsigned a, unsigned b)
{
    return a | b;
}

static unsigned nor(unsigned a, unsigned b)
{
    return ~(a | b);
}

static unsigned orn(unsigned a, unsigned b)
{
    return a | ~b;
}

static unsigned xnor(unsigned a, unsigned b)
{
    return ~(a ^ b);
}

static void logic(struct riscv_cpu *c, const struct riscv_insn *i, logic_fn fn)
{
    struct vec v;
    vec_enter(&v, c, i);
    const uint8_t *a = vec_reg(&v, i->rs2), *b = vec_reg(&v, i->rs1);
    uint8_t *d = vec_reg(&v, i->rd);
    for (unsigned k = v.first; k < v.vl;) {
        unsigned at = k >> 3, end = 8 * (at + 1) < v.vl ? 8 * (at + 1) : v.vl;
        unsigned body = (0xffU << (k & 7) & 0xff) & 0xffU >> (8 * (at + 1) - end);
        d[at] = (uint8_t)((d[at] & ~body) | (fn(a[at], b[at]) & body));
        k = end;
    }
    vec_leave(&v);
}

/* ---- to a register ---- */

static bool is_set(const struct vec *v, unsigned k)
{
    return vec_active(v, k) && vec_bit(vec_reg(v, v->i->rs2), k);
}

static void begin(struct vec *v, struct riscv_cpu *c, const struct riscv_insn *i)
{
    vec_enter(v, c, i);
    vec_require(v, v->first == 0);
}

void rv_vcpop_m(struct riscv_cpu *c, const struct riscv_insn *i)
{
    uint64_t n = 0;
    struct vec v;
    begin(&v, c, i);
    for (unsigned k = 0; k < v.vl; k++)
        n += is_set(&v, k);
    set_rd(c, i, n);
    vec_leave(&v);
}

void rv_vfirst_m(struct riscv_cpu *c, const struct riscv_insn *i)
{
    struct vec v;
    begin(&v, c, i);
    unsigned k = 0;
    while (k < v.vl && !is_set(&v, k))
        k++;
    set_rd(c, i, k < v.vl ? k : ~0ULL);
    vec_leave(&v);
}

/* ---- to a mask, to elements ---- */

/* Bits of elements before the first that is set, of that one, of those behind. */
static void around_first(struct riscv_cpu *c, const struct riscv_insn *i, bool before, bool first)
{
    uint8_t out[VEC_GROUP_MAX];
    struct vec v;
    bool found = false;
    begin(&v, c, i);
    vec_require(&v, i->rd != i->rs2 && (!v.masked || i->rd != 0));
    for (unsigned k = 0; k < v.vl; k++) {
        bool this = !found && is_set(&v, k);
        out[k] = this ? first : before && !found;
        found |= this;
    }
    vec_write_mask(&v, out);
    vec_leave(&v);
}

/* How many bits of active elements were set before. */
void rv_viota_m(struct riscv_cpu *c, const struct riscv_insn *i)
{
    uint64_t out[VEC_GROUP_MAX / 8], n = 0;
    struct vec v;
    begin(&v, c, i);
    vec_check_dst(&v, v.sew);
    unsigned regs = v.lmul > 0 ? 1U << v.lmul : 1;
    vec_require(&v, i->rs2 < i->rd || i->rs2 >= i->rd + regs);
    for (unsigned k = 0; k < v.vl; k++) {
        vec_set(out, v.sew, k, n);
        n += is_set(&v, k);
    }
    vec_write(&v, v.sew, out);
    vec_leave(&v);
}

void rv_vid_v(struct riscv_cpu *c, const struct riscv_insn *i)
{
    uint64_t out[VEC_GROUP_MAX / 8];
    struct vec v;
    vec_enter(&v, c, i);
    vec_check_dst(&v, v.sew);
    for (unsigned k = 0; k < vec_count(&v); k++)
        vec_set(out, v.sew, k, v.first + k);
    vec_write(&v, v.sew, out);
    vec_leave(&v);
}

/* ---- the list ---- */

#define STEP(name, call)                                                                                                         \
    void rv_##name(struct riscv_cpu *c, const struct riscv_insn *i)                                                              \
    {                                                                                                                            \
        call;                                                                                                                    \
    }
STEP(vmand_mm, logic(c, i, and))
STEP(vmnand_mm, logic(c, i, nand))
STEP(vmandn_mm, logic(c, i, andn))
STEP(vmxor_mm, logic(c, i, xor))
STEP(vmor_mm, logic(c, i, or))
STEP(vmnor_mm, logic(c, i, nor))
STEP(vmorn_mm, logic(c, i, orn))
STEP(vmxnor_mm, logic(c, i, xnor))
STEP(vmsbf_m, around_first(c, i, true, false))
STEP(vmsif_m, around_first(c, i, true, true))
STEP(vmsof_m, around_first(c, i, false, true))
