/* SPDX-License-Identifier: MIT */
/*
 * Translation of vector instructions on binary32 and binary64: conversions, arithmetic that widens, and ordered sums.
 *
 * A product of two binary32 numbers is exact in binary64, so that what is fused is a product and a sum. Where the host says of an
 * integer that it cannot be (which may be right), the instruction is called out; so vd must not be what is read again then. Spec:
 * volume I 30.13.2, 30.13.5, 30.13.7, 30.13.17, 30.14.3
 */
#include "base/checked.h"
#include "isa/riscv/insn_steps.h"
#include "isa/riscv/translate_vec.h"

enum { M0F = ASM_0F | ASM_66, M38 = ASM_0F38 | ASM_66, F3 = ASM_0F | ASM_F3, F2 = ASM_0F | ASM_F2, OP_CVTPS2PD = ASM_0F | 0x5a };
enum { VV, VF, OPERAND_SHIFT = 12 };

/* ---- conversions ---- */

/* arg: an index here. Sizes are those of SEW 4 and 8: 0 where there is none. */
static const struct conversion {
    int8_t from, to; /* eew less SEW */
    bool numbers;    /* results are numbers that may be NaNs */
    uint8_t check;   /* integers: which one says that it could not be */
    uint32_t op[2];  /* by SEW: 32, 64 */
} conversions[] = {
    { 0, 0, false, 0, { ASM_0F | 0x5b, F3 | 0xe6 } },  /* vfcvt.f.x.v */
    { 0, 0, false, 0, { F2 | 0x7a, F3 | 0x7a } },      /* vfcvt.f.xu.v */
    { 0, 0, false, 1, { M0F | 0x5b, M0F | 0x7b } },    /* vfcvt.x.f.v */
    { 0, 0, false, 2, { ASM_0F | 0x79, M0F | 0x79 } }, /* vfcvt.xu.f.v */
    { 0, 0, false, 1, { F3 | 0x5b, M0F | 0x7a } },     /* vfcvt.rtz.x.f.v */
    { 0, 0, false, 2, { ASM_0F | 0x78, M0F | 0x78 } }, /* vfcvt.rtz.xu.f.v */
    { 0, 1, true, 0, { OP_CVTPS2PD, 0 } },             /* vfwcvt.f.f.v */
    { 0, 1, false, 0, { F3 | 0xe6, 0 } },              /* vfwcvt.f.x.v */
    { 0, 1, false, 0, { F3 | 0x7a, 0 } },              /* vfwcvt.f.xu.v */
    { 1, 0, true, 0, { M0F | 0x5a, 0 } },              /* vfncvt.f.f.w */
    { 1, 0, false, 0, { ASM_0F | 0x5b, 0 } },          /* vfncvt.f.x.w */
    { 1, 0, false, 0, { F2 | 0x7a, 0 } },              /* vfncvt.f.xu.w */
    { 1, 0, false, 1, { F2 | 0xe6, 0 } },              /* vfncvt.x.f.w */
    { 1, 0, false, 1, { M0F | 0xe6, 0 } },             /* vfncvt.rtz.x.f.w */
};
enum { F_X, F_XU, X_F, XU_F, RTZ_X_F, RTZ_XU_F, W_F_F, W_F_X, W_F_XU, N_F_F, N_F_X, N_F_XU, N_X_F, N_RTZ_X_F };

static const struct conversion *conversion(const struct vx *v)
{
    return &conversions[v->arg];
}

static bool convert_can(const struct vx *v)
{
    const struct conversion *o = conversion(v);
    unsigned from = v->sew + (unsigned)o->from, to = v->sew + (unsigned)o->to;
    if (!rvx_vec_fp_can(v) || !o->op[v->sew - 2] || !rvx_vec_dst_ok(v, to) || !rvx_vec_src_ok(v, v->i->rs2, from)
        || !rvx_vec_overlap_ok(v, to, v->i->rs2, from))
        return false;
    return !o->check || v->i->rd != v->i->rs2 || rvx_vec_chunks(v, to, o->from ? 32 : 64).nr == 1;
}

/* What cannot be an integer is called out: k3 = elements of Z0 that say so. */
static void put_check(const struct vx *v, struct asm_form f, unsigned eew)
{
    struct host_mem sign = eew == 3 ? VEC_CONSTANT(sign64) : VEC_CONSTANT(sign32);
    f.bcast = true;
    f.w = eew == 3;
    asm_form_mem(v->x->cb, f, eew == 3 ? M38 | 0x29U : M0F | 0x76U, K_SCRATCH, Z0,
                 conversion(v)->check == 1 ? sign : VEC_CONSTANT(ones)); /* vpcmpeq */
    rvx_vec_bail(v, rvx_vec_fp_jump_if_any(v));
}

static void convert_put(const struct vx *v)
{
    const struct conversion *o = conversion(v);
    unsigned from = v->sew + (unsigned)o->from, to = v->sew + (unsigned)o->to;
    struct rvx_chunks ch = rvx_vec_chunks(v, to, o->from ? 32 : 64);
    for (unsigned j = 0; j < ch.nr; j++) {
        bool masks = rvx_vec_masks(v, &ch, j);
        struct asm_form f = rvx_vec_fp_form(o->from ? 2U * ch.len : ch.len, o->to ? v->sew : from, masks), result = f;
        rvx_vec_op(v, f, o->op[v->sew - 2], Z0, 0, rvx_vec_at(v, v->i->rs2, from, ch.per, j), ch.per << from);
        result.len = ch.len;
        result.w = to == 3;
        if (o->numbers)
            rvx_vec_fp_canonical(v, result, to);
        if (o->check)
            put_check(v, result, to);
        rvx_vec_write(v, &ch, j, masks);
    }
}

static bool convert(struct rvx *x, const struct riscv_insn *i, unsigned arg)
{
    static const struct rvx_vec_how how = { convert_can, NULL, convert_put, .any_vl = true };
    return rvx_vec_put(x, i, arg, &how);
}

/* ---- widening arithmetic: arg: the operation on binary64, and what is added to its product ---- */

enum { WIDE_A = 0x100, ADD_VD = 0x200, SUB_VD = 0x400, NEGATED = 0x800 };

static bool wide_can(const struct vx *v)
{
    unsigned a = v->arg & WIDE_A ? 3 : 2;
    return rvx_vec_fp_can(v) && v->sew == 2 && rvx_vec_dst_ok(v, 3) && rvx_vec_src_ok(v, v->i->rs2, a)
           && rvx_vec_overlap_ok(v, 3, v->i->rs2, a)
           && (v->arg >> OPERAND_SHIFT == VF || (rvx_vec_src_ok(v, v->i->rs1, 2) && rvx_vec_overlap_ok(v, 3, v->i->rs1, 2)));
}

/* scratch[2] = f[rs1] */
static void keep_scalar(const struct vx *v)
{
    struct codebuf *cb = v->x->cb;
    unsigned f = v->i->rs1;
    if (f_host(f) != IN_MEMORY) {
        rvx_vec_mem(cb, 0, ASM_0F | ASM_F2 | 0x11, f_host(f), 0, VEC_CONSTANT(scratch[2])); /* vmovsd */
        return;
    }
    asm_load(cb, 8, HOST_RAX, f_mem(f));
    asm_store(cb, 8, VEC_CONSTANT(scratch[2]), HOST_RAX);
}

/* Z0 = the product of Z0 and Z1, with vd's chunk. */
static void put_accumulated(const struct vx *v, struct asm_form f, struct host_mem d)
{
    struct asm_form sign = f;
    sign.bcast = true;
    sign.mask = 0;
    asm_form_reg(v->x->cb, f, M0F | 0x59, Z0, Z0, Z1);
    if (v->arg & NEGATED)
        asm_form_mem(v->x->cb, sign, M0F | 0x57, Z0, Z0, VEC_CONSTANT(sign64)); /* vxorpd */
    rvx_vec_op(v, f, M0F | (v->arg & ADD_VD ? 0x58U : 0x5cU), Z0, Z0, d, f.len);
}

static void wide_put(const struct vx *v)
{
    struct rvx_chunks ch = rvx_vec_chunks(v, 3, 64);
    struct codebuf *cb = v->x->cb;
    bool scalar = v->arg >> OPERAND_SHIFT == VF;
    if (scalar)
        keep_scalar(v);
    for (unsigned j = 0; j < ch.nr; j++) {
        bool masks = rvx_vec_masks(v, &ch, j);
        struct asm_form f = rvx_vec_fp_form(ch.len, 3, masks), from = rvx_vec_fp_form(ch.len, 2, masks), one = from;
        one.bcast = true;
        if (v->arg & WIDE_A)
            rvx_vec_load(v, ch.len, Z0, rvx_vec_at(v, v->i->rs2, 3, ch.per, j));
        else
            rvx_vec_op(v, from, OP_CVTPS2PD, Z0, 0, rvx_vec_at(v, v->i->rs2, 2, ch.per, j), ch.len / 2U);
        if (scalar)
            asm_form_mem(cb, one, OP_CVTPS2PD, Z1, 0, VEC_CONSTANT(scratch[2]));
        else
            rvx_vec_op(v, from, OP_CVTPS2PD, Z1, 0, rvx_vec_at(v, v->i->rs1, 2, ch.per, j), ch.len / 2U);
        if (v->arg & (ADD_VD | SUB_VD))
            put_accumulated(v, f, rvx_vec_at(v, v->i->rd, 3, ch.per, j));
        else
            asm_form_reg(cb, f, M0F | (v->arg & 0xff), Z0, Z0, Z1);
        rvx_vec_fp_canonical(v, f, 3);
        rvx_vec_write(v, &ch, j, masks);
    }
}

static bool wide(struct rvx *x, const struct riscv_insn *i, unsigned arg)
{
    static const struct rvx_vec_how how = { wide_can, rvx_vec_fp_before, wide_put, .any_vl = true };
    return rvx_vec_put(x, i, arg, &how);
}

/* ---- sums, in order ---- */

enum { SUM_MAX = 32 };

static bool sum_can(const struct vx *v)
{
    return rvx_vec_fp_can(v) && !v->masked && v->n <= SUM_MAX && rvx_vec_src_ok(v, v->i->rs2, v->sew);
}

static void sum_put(const struct vx *v)
{
    struct codebuf *cb = v->x->cb;
    unsigned prefix = v->sew == 3 ? F2 : F3;
    struct asm_form f = rvx_vec_fp_form(16, v->sew, true);
    asm_mov_imm(cb, HOST_RAX, 1);
    rvx_vec_k(v, false, 1, ASM_0F | ASM_F2 | 0x92, K_ACTIVE, 0, H_RAX); /* kmovq: one element */
    rvx_vec_mem(cb, 0, prefix | 0x10, Z0, 0, rvx_vec_at(v, v->i->rs1, 0, 0, 0));
    for (unsigned k = 0; k < v->n; k++)
        rvx_vec_mem(cb, 0, prefix | 0x58, Z0, Z0, rvx_vec_at(v, v->i->rs2, v->sew, 1, k));
    rvx_vec_fp_canonical(v, f, v->sew);
    rvx_vec_mem(cb, 0, prefix | 0x11, Z0, 0, rvx_vec_at(v, v->i->rd, 0, 0, 0));
    rvx_vec_written(v, rvx_vec_at(v, v->i->rd, 0, 0, 0), 8);
}

static bool sum(struct rvx *x, const struct riscv_insn *i, unsigned arg)
{
    static const struct rvx_vec_how how = { sum_can, NULL, sum_put, .any_vl = false };
    return rvx_vec_put(x, i, arg, &how);
}

/* ---- rules ---- */

#define BY(name, suffix, operand, arg)                                                                                           \
    {                                                                                                                            \
        rv_##name##_##suffix, wide, (arg) | (operand) << OPERAND_SHIFT                                                           \
    }
#define RULE_VF(name, arg) BY(name, vv, VV, arg), BY(name, vf, VF, arg)

const struct rvx_rule rvx_vec_fp_width_rules[] = {
    { rv_vfcvt_f_x_v, convert, F_X },
    { rv_vfcvt_f_xu_v, convert, F_XU },
    { rv_vfcvt_x_f_v, convert, X_F },
    { rv_vfcvt_xu_f_v, convert, XU_F },
    { rv_vfcvt_rtz_x_f_v, convert, RTZ_X_F },
    { rv_vfcvt_rtz_xu_f_v, convert, RTZ_XU_F },
    { rv_vfwcvt_f_f_v, convert, W_F_F },
    { rv_vfwcvt_f_x_v, convert, W_F_X },
    { rv_vfwcvt_f_xu_v, convert, W_F_XU },
    { rv_vfncvt_f_f_w, convert, N_F_F },
    { rv_vfncvt_f_x_w, convert, N_F_X },
    { rv_vfncvt_f_xu_w, convert, N_F_XU },
    { rv_vfncvt_x_f_w, convert, N_X_F },
    { rv_vfncvt_rtz_x_f_w, convert, N_RTZ_X_F },
    RULE_VF(vfwadd, 0x58),
    RULE_VF(vfwsub, 0x5c),
    RULE_VF(vfwmul, 0x59),
    BY(vfwadd, wv, VV, 0x58 | WIDE_A),
    BY(vfwadd, wf, VF, 0x58 | WIDE_A),
    BY(vfwsub, wv, VV, 0x5c | WIDE_A),
    BY(vfwsub, wf, VF, 0x5c | WIDE_A),
    RULE_VF(vfwmacc, ADD_VD),
    RULE_VF(vfwmsac, SUB_VD),
    RULE_VF(vfwnmacc, SUB_VD | NEGATED),
    RULE_VF(vfwnmsac, ADD_VD | NEGATED),
    { rv_vfredusum_vs, sum, 0 },
    { rv_vfredosum_vs, sum, 0 },
};
const unsigned rvx_nr_vec_fp_width_rules = ARRAY_SIZE(rvx_vec_fp_width_rules);
