/* SPDX-License-Identifier: MIT */
/*
 * Step functions that move elements of vectors: to and from scalar registers, slides, gathers, compression, whole registers.
 *
 * Spec: volume I 30.16
 */
#include "isa/riscv/vec.h"

/* ---- element 0; vd and vs2 are single registers, whatever LMUL is ---- */

/* Whatever vl and vstart are. */
void rv_vmv_x_s(struct riscv_cpu *c, const struct riscv_insn *i)
{
    struct vec v;
    vec_enter(&v, c, i);
    unsigned up = 64 - (8U << v.sew);
    set_rd(c, i, (uint64_t)((int64_t)(vec_get(vec_reg(&v, i->rs2), v.sew, 0) << up) >> up));
    vec_leave(&v);
}

void rv_vmv_s_x(struct riscv_cpu *c, const struct riscv_insn *i)
{
    struct vec v;
    vec_enter(&v, c, i);
    if (v.first < v.vl)
        vec_set(vec_reg(&v, i->rd), v.sew, 0, c->x[i->rs1]);
    vec_leave(&v);
}

/* ---- slides ---- */

static uint64_t scalar(const struct riscv_cpu *c, const struct riscv_insn *i, enum vec_operand operand)
{
    return operand == VEC_X ? c->x[i->rs1] : (uint64_t)(int64_t)i->imm;
}

/* The body of vd as it is, for results that leave some of it. */
static void old_body(const struct vec *v, uint64_t *out)
{
    memcpy(out, vec_src(v, v->i->rd, v->sew), (size_t)vec_count(v) << v->sew);
}

/* Elements before the offset stay. */
static void slide_up(struct riscv_cpu *c, const struct riscv_insn *i, enum vec_operand operand)
{
    uint64_t out[VEC_GROUP_MAX / 8], offset = scalar(c, i, operand);
    struct vec v;
    vec_enter(&v, c, i);
    vec_check_form(&v, VEC_SAME, VEC_NONE);
    vec_check_apart(&v, v.sew, i->rs2, v.sew);
    old_body(&v, out);
    uint64_t from = offset > v.first ? offset : v.first; /* the first element that changes */
    if (from < v.vl)
        memcpy((uint8_t *)out + ((from - v.first) << v.sew), vec_reg(&v, i->rs2) + ((from - offset) << v.sew),
               (v.vl - from) << v.sew);
    vec_write(&v, v.sew, out);
    vec_leave(&v);
}

/* What comes from behind VLMAX is 0. */
static void slide_down(struct riscv_cpu *c, const struct riscv_insn *i, enum vec_operand operand)
{
    uint64_t out[VEC_GROUP_MAX / 8] = { 0 }, offset = scalar(c, i, operand);
    struct vec v;
    vec_enter(&v, c, i);
    vec_check_form(&v, VEC_SAME, VEC_NONE);
    uint64_t max = vec_vlmax(&v), n = vec_count(&v);
    if (n && offset < max - v.first) {
        uint64_t there = max - v.first - offset; /* elements from the first source on */
        memcpy(out, vec_reg(&v, i->rs2) + ((v.first + offset) << v.sew), (n < there ? n : there) << v.sew);
    }
    vec_write(&v, v.sew, out);
    vec_leave(&v);
}

void rv_vslide1up_vx(struct riscv_cpu *c, const struct riscv_insn *i)
{
    uint64_t out[VEC_GROUP_MAX / 8];
    struct vec v;
    vec_enter(&v, c, i);
    vec_check_form(&v, VEC_SAME, VEC_NONE);
    vec_check_apart(&v, v.sew, i->rs2, v.sew);
    for (unsigned k = 0; k < vec_count(&v); k++) {
        unsigned at = v.first + k;
        vec_set(out, v.sew, k, at ? vec_get(vec_reg(&v, i->rs2), v.sew, at - 1) : c->x[i->rs1]);
    }
    vec_write(&v, v.sew, out);
    vec_leave(&v);
}

void rv_vslide1down_vx(struct riscv_cpu *c, const struct riscv_insn *i)
{
    uint64_t out[VEC_GROUP_MAX / 8];
    struct vec v;
    vec_enter(&v, c, i);
    vec_check_form(&v, VEC_SAME, VEC_NONE);
    for (unsigned k = 0; k < vec_count(&v); k++) {
        unsigned next = v.first + k + 1;
        vec_set(out, v.sew, k, next < v.vl ? vec_get(vec_reg(&v, i->rs2), v.sew, next) : c->x[i->rs1]);
    }
    vec_write(&v, v.sew, out);
    vec_leave(&v);
}

/* ---- gathers ---- */

/* Element `from` of vs2, 0 behind VLMAX. */
static uint64_t pick(const struct vec *v, uint64_t from)
{
    return from < vec_vlmax(v) ? vec_get(vec_reg(v, v->i->rs2), v->sew, from) : 0;
}

/* out[k] = as[indices[k]], or 0 where there is none. */
#define GATHER(name, T, I)                                                                                                       \
    static void name(void *restrict out, const void *restrict as, const void *restrict indices, unsigned n, unsigned max)        \
    {                                                                                                                            \
        const I *at = indices;                                                                                                   \
        for (unsigned k = 0; k < n; k++)                                                                                         \
            ((T *)out)[k] = at[k] < max ? ((const T *)as)[at[k]] : 0;                                                            \
    }
GATHER(gather8, uint8_t, uint8_t)
GATHER(gather16, uint16_t, uint16_t)
GATHER(gather32, uint32_t, uint32_t)
GATHER(gather64, uint64_t, uint64_t)
GATHER(gather8_by16, uint8_t, uint16_t)
GATHER(gather32_by16, uint32_t, uint16_t)
GATHER(gather64_by16, uint64_t, uint16_t)

/* By indices eew wide in vs1. */
static void gather(const struct riscv_insn *i, const struct vec *v, unsigned eew, bool by16)
{
    static void (*const fn[2][4])(void *, const void *, const void *, unsigned, unsigned) = {
        { gather8, gather16, gather32, gather64 },
        { gather8_by16, gather16, gather32_by16, gather64_by16 },
    };
    uint64_t out[VEC_GROUP_MAX / 8];
    vec_check_form(v, VEC_SAME, VEC_NONE);
    vec_check_src(v, i->rs1, eew);
    vec_check_apart(v, v->sew, i->rs2, v->sew);
    vec_check_apart(v, v->sew, i->rs1, eew);
    fn[by16][v->sew](out, vec_reg(v, i->rs2), vec_src(v, i->rs1, eew), vec_count(v), vec_vlmax(v));
    vec_write(v, v->sew, out);
    vec_leave(v);
}

void rv_vrgather_vv(struct riscv_cpu *c, const struct riscv_insn *i)
{
    struct vec v;
    vec_enter(&v, c, i);
    gather(i, &v, v.sew, false);
}

void rv_vrgatherei16_vv(struct riscv_cpu *c, const struct riscv_insn *i)
{
    struct vec v;
    vec_enter(&v, c, i);
    gather(i, &v, 1, true);
}

static void gather_one(struct riscv_cpu *c, const struct riscv_insn *i, enum vec_operand operand)
{
    uint64_t out[VEC_GROUP_MAX / 8];
    struct vec v;
    vec_enter(&v, c, i);
    vec_check_form(&v, VEC_SAME, VEC_NONE);
    vec_check_apart(&v, v.sew, i->rs2, v.sew);
    vec_splat(out, v.sew, pick(&v, scalar(c, i, operand)), vec_count(&v));
    vec_write(&v, v.sew, out);
    vec_leave(&v);
}

/* vs2's elements whose bits in vs1 are set, one behind the other. */
void rv_vcompress_vm(struct riscv_cpu *c, const struct riscv_insn *i)
{
    struct vec v;
    unsigned n = 0;
    vec_enter(&v, c, i);
    vec_require(&v, v.first == 0);
    vec_check_form(&v, VEC_SAME, VEC_NONE);
    vec_check_apart(&v, v.sew, i->rs2, v.sew);
    unsigned regs = v.lmul > 0 ? 1U << v.lmul : 1;
    vec_require(&v, i->rs1 < i->rd || i->rs1 >= i->rd + regs);
    for (unsigned k = 0; k < v.vl; k++)
        if (vec_bit(vec_reg(&v, i->rs1), k))
            vec_set(vec_reg(&v, i->rd), v.sew, n++, vec_get(vec_reg(&v, i->rs2), v.sew, k));
    vec_leave(&v);
}

/* ---- whole registers: vl does not matter, vstart does ---- */

static void move_whole(struct riscv_cpu *c, const struct riscv_insn *i, unsigned nr)
{
    struct vec v;
    vec_enter(&v, c, i);
    vec_require(&v, !((i->rd | i->rs2) & (nr - 1)));
    size_t len = (size_t)nr * c->vlenb, done = (size_t)v.first << v.sew;
    if (done < len)
        memmove(vec_reg(&v, i->rd) + done, vec_reg(&v, i->rs2) + done, len - done);
    vec_leave(&v);
}

/* ---- the list ---- */

#define STEP(name, call)                                                                                                         \
    void rv_##name(struct riscv_cpu *c, const struct riscv_insn *i)                                                              \
    {                                                                                                                            \
        call;                                                                                                                    \
    }
STEP(vslideup_vx, slide_up(c, i, VEC_X))
STEP(vslideup_vi, slide_up(c, i, VEC_I))
STEP(vslidedown_vx, slide_down(c, i, VEC_X))
STEP(vslidedown_vi, slide_down(c, i, VEC_I))
STEP(vrgather_vx, gather_one(c, i, VEC_X))
STEP(vrgather_vi, gather_one(c, i, VEC_I))
STEP(vmv1r_v, move_whole(c, i, 1))
STEP(vmv2r_v, move_whole(c, i, 2))
STEP(vmv4r_v, move_whole(c, i, 4))
STEP(vmv8r_v, move_whole(c, i, 8))
