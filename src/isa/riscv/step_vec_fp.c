/* SPDX-License-Identifier: MIT */
/*
 * Step functions of floating-point vector instructions: which widths they have, masks, rounding mode, flags; the arithmetic is in
 * vec_fp.c.
 *
 * Only active elements raise flags, so elements are done one after the other, unless vec_fp_many() can do all at once. A rounding
 * mode in frm that is reserved makes all of them illegal, also those that do not round. Reductions add in order, also the
 * unordered ones. Spec: volume I 30.13, 30.14.3, 30.14.4, 30.16.2, 30.16.3; Zvfh and Zvfhmin: 30.19
 */
#include "isa/riscv/vec.h"
#include "isa/riscv/vec_fp.h"

/* What stands for b: vs1, f[rs1], nothing. */
enum fp_operand { FP_VECTOR, FP_SCALAR, FP_NONE };

/* ---- legality ---- */

/* Illegal where floating point is off or frm is reserved. */
static void enter(struct vec *v, struct vec_fp *e, struct riscv_cpu *c, const struct riscv_insn *i)
{
    vec_enter(v, c, i);
    vec_require(v, riscv_unit_on(c, MSTATUS_FS) && c->frm <= RM_RMM);
    *e = (struct vec_fp){ .from = (uint8_t)(8U << v->sew), .to = (uint8_t)(8U << v->sew), .rm = (enum riscv_rm)c->frm };
}

/* Illegal unless there are numbers eew wide; of 16 bits with `half` only. */
static void check_float(const struct vec *v, unsigned eew, enum riscv_ext half)
{
    vec_require(v, eew == 2 || eew == 3 || (eew == 1 && v->c->profile->has[half]));
}

static void leave(const struct vec *v, const struct vec_fp *e)
{
    if (e->flags) {
        v->c->fflags |= e->flags;
        riscv_fp_dirty(v->c);
    }
    vec_leave(v);
}

static enum vec_operand operand_of(enum fp_operand operand)
{
    return operand == FP_VECTOR ? VEC_V : operand == FP_SCALAR ? VEC_X : VEC_NONE;
}

/* ---- elements ---- */

/* f[rs1] as an element of SEW; what is not NaN-boxed is the canonical NaN. Spec: 30.13 */
static uint64_t scalar(const struct vec *v)
{
    unsigned bits = 8U << v->sew;
    uint64_t x = v->c->f[v->i->rs1], box = bits == 64 ? 0 : ~0ULL << bits;
    return (x & box) == box ? x & ~box : fp_nan(vec_fp_format(bits));
}

static uint64_t widened(struct vec_fp *e, uint64_t x, unsigned eew)
{
    return fp_convert(vec_fp_format(8U << eew), vec_fp_format(16U << eew), x, e->rm, &e->flags);
}

/* Three arrays of operands, where they are, each element `eew` wide. */
struct operands {
    const void *a, *b, *d;
    unsigned a_eew, b_eew, d_eew;
};

/* out[k] = f of the operands, for active elements. */
static void one_by_one(const struct vec *v, struct vec_fp *e, vec_fp_fn fn, const struct operands *o, void *out, unsigned out_eew)
{
    unsigned n = vec_count(v);
    for (unsigned k = 0; k < n; k++)
        if (vec_active(v, v->first + k))
            vec_set(out, out_eew, k, fn(e, vec_get(o->a, o->a_eew, k), vec_get(o->b, o->b_eew, k), vec_get(o->d, o->d_eew, k)));
}

/* The same for arithmetic in one width, all at once; false where that cannot be. */
static bool at_once(const struct vec *v, struct vec_fp *e, vec_fp_fn fn, const struct operands *o, void *out)
{
    uint8_t active[VEC_GROUP_MAX + 8];
    if (v->masked)
        vec_bits_to_bytes(v, 0, active);
    return vec_fp_many(e, fn, out, o->a, o->b, o->d, v->masked ? active : NULL, vec_count(v) << o->d_eew);
}

/* ---- arithmetic ---- */

static const void *b_of(const struct vec *v, enum fp_operand operand, uint64_t *buf)
{
    if (operand == FP_VECTOR)
        return vec_src(v, v->i->rs1, v->sew);
    if (operand == FP_SCALAR)
        vec_splat(buf, v->sew, scalar(v), vec_count(v));
    return buf;
}

static void arith(struct riscv_cpu *c, const struct riscv_insn *i, vec_fp_fn fn, enum fp_operand operand)
{
    uint64_t out[VEC_GROUP_MAX / 8], buf[VEC_GROUP_MAX / 8];
    struct vec v;
    struct vec_fp e;
    enter(&v, &e, c, i);
    check_float(&v, v.sew, RISCV_EXT_ZVFH);
    vec_check_form(&v, VEC_SAME, operand_of(operand));
    struct operands o = {
        .a = vec_src(&v, i->rs2, v.sew), .d = vec_src(&v, i->rd, v.sew), .a_eew = v.sew, .b_eew = v.sew, .d_eew = v.sew
    };
    o.b = operand == FP_NONE ? o.a : b_of(&v, operand, buf);
    if (!at_once(&v, &e, fn, &o, out) && !vec_fp_plain(&e, fn, out, o.a, o.b, vec_count(&v)))
        one_by_one(&v, &e, fn, &o, out, v.sew);
    vec_write(&v, v.sew, out);
    leave(&v, &e);
}

/* The active elements of `from`, eew wide, in twice the width. */
static void widen(const struct vec *v, struct vec_fp *e, const void *from, unsigned eew, void *to)
{
    unsigned n = vec_count(v);
    for (unsigned k = 0; k < n; k++)
        if (vec_active(v, v->first + k))
            vec_set(to, eew + 1, k, widened(e, vec_get(from, eew, k), eew));
}

static void wide(struct riscv_cpu *c, const struct riscv_insn *i, vec_fp_fn fn, enum vec_form form, enum fp_operand operand)
{
    uint64_t out[VEC_GROUP_MAX / 8], buf[VEC_GROUP_MAX / 8], a[VEC_GROUP_MAX / 8], b[VEC_GROUP_MAX / 8];
    struct vec v;
    struct vec_fp e;
    enter(&v, &e, c, i);
    check_float(&v, v.sew, RISCV_EXT_ZVFH);
    vec_check_form(&v, form, operand_of(operand));
    unsigned eew = v.sew + 1;
    e.from = e.to = (uint8_t)(8U << eew);
    struct operands o = {
        .a = vec_src(&v, i->rs2, vec_a_eew(&v, form)), .d = vec_src(&v, i->rd, eew), .a_eew = eew, .b_eew = eew, .d_eew = eew
    };
    const void *narrow_a = o.a, *narrow_b = b_of(&v, operand, buf);
    if (form == VEC_WIDE) {
        vec_fp_widen(vec_fp_format(8U << v.sew), a, narrow_a, vec_count(&v));
        o.a = a;
    }
    vec_fp_widen(vec_fp_format(8U << v.sew), b, narrow_b, vec_count(&v));
    o.b = b;
    if (!at_once(&v, &e, fn, &o, out)) {
        if (form == VEC_WIDE)
            widen(&v, &e, narrow_a, v.sew, a);
        widen(&v, &e, narrow_b, v.sew, b);
        one_by_one(&v, &e, fn, &o, out, eew);
    }
    vec_write(&v, eew, out);
    leave(&v, &e);
}

static void compare(struct riscv_cpu *c, const struct riscv_insn *i, vec_fp_fn fn, enum fp_operand operand)
{
    uint8_t out[VEC_GROUP_MAX];
    uint64_t buf[VEC_GROUP_MAX / 8];
    struct vec v;
    struct vec_fp e;
    enter(&v, &e, c, i);
    check_float(&v, v.sew, RISCV_EXT_ZVFH);
    vec_check_form(&v, VEC_MASK, operand_of(operand));
    struct operands o = { .a = vec_src(&v, i->rs2, v.sew), .a_eew = v.sew, .b_eew = v.sew, .d_eew = v.sew };
    o.b = b_of(&v, operand, buf);
    o.d = o.a; /* not used */
    if (!vec_fp_plain(&e, fn, out, o.a, o.b, vec_count(&v)))
        one_by_one(&v, &e, fn, &o, out, 0);
    vec_write_mask(&v, out);
    leave(&v, &e);
}

/* ---- conversions ---- */

/* Which of the two are numbers, the others are integers. */
enum floats { FLOAT_FROM = 1, FLOAT_TO = 2 };

static void convert(struct riscv_cpu *c, const struct riscv_insn *i, vec_fp_fn fn, enum vec_form form, unsigned floats,
                    enum riscv_ext half)
{
    uint64_t out[VEC_GROUP_MAX / 8];
    struct vec v;
    struct vec_fp e;
    enter(&v, &e, c, i);
    unsigned from = vec_a_eew(&v, form), to = vec_dst_eew(&v, form);
    if (floats & FLOAT_FROM)
        check_float(&v, from, half);
    if (floats & FLOAT_TO)
        check_float(&v, to, half);
    vec_check_form(&v, form, VEC_NONE);
    e.from = (uint8_t)(8U << from);
    e.to = (uint8_t)(8U << to);
    struct operands o = { .a = vec_src(&v, i->rs2, from), .a_eew = from, .b_eew = from, .d_eew = from };
    o.b = o.d = o.a; /* not used */
    if (v.masked || !vec_fp_convert_many(&e, fn, out, o.a, vec_count(&v)))
        one_by_one(&v, &e, fn, &o, out, to);
    vec_write(&v, to, out);
    leave(&v, &e);
}

/* ---- reductions ---- */

/* The active elements of vs2 one behind the other, widened if `wider`; returns how many there are. */
static unsigned gather(const struct vec *v, bool wider, void *ret)
{
    const void *a = vec_reg(v, v->i->rs2);
    uint64_t buf[VEC_GROUP_MAX / 8];
    unsigned n = v->vl;
    if (v->masked) {
        n = 0;
        for (unsigned k = 0; k < v->vl; k++)
            if (vec_active(v, k))
                vec_set(buf, v->sew, n++, vec_get(a, v->sew, k));
        a = buf;
    }
    if (wider)
        vec_fp_widen(vec_fp_format(8U << v->sew), ret, a, n);
    else
        memcpy(ret, a, n << v->sew);
    return n;
}

/* The sum of *sum and the active elements by the host; false, with nothing done, where it cannot. */
static bool sum_by_host(const struct vec *v, struct vec_fp *e, bool wider, uint64_t *sum)
{
    uint64_t buf[VEC_GROUP_MAX / 4];
    unsigned n = gather(v, wider, buf);
    return n && vec_fp_sum(e, sum, buf, n);
}

/* vd[0] = vs1[0] and all active elements of vs2; both scalars in twice the width if `wider`. Spec: 30.14.3, 30.14.4 */
static void reduce(struct riscv_cpu *c, const struct riscv_insn *i, vec_fp_fn fn, bool wider)
{
    struct vec v;
    struct vec_fp e;
    enter(&v, &e, c, i);
    unsigned eew = v.sew + wider;
    check_float(&v, v.sew, RISCV_EXT_ZVFH);
    vec_require(&v, eew <= 3 && v.first == 0);
    vec_check_src(&v, i->rs2, v.sew);
    e.from = e.to = (uint8_t)(8U << eew);
    uint64_t sum = vec_get(vec_reg(&v, i->rs1), eew, 0);
    const void *a = vec_reg(&v, i->rs2);
    bool done = fn == vec_fp_add && sum_by_host(&v, &e, wider, &sum);
    for (unsigned k = 0; !done && k < v.vl; k++) {
        if (!vec_active(&v, k))
            continue;
        uint64_t x = vec_get(a, v.sew, k);
        sum = fn(&e, sum, wider ? widened(&e, x, v.sew) : x, 0);
    }
    if (v.vl)
        vec_set(vec_reg(&v, i->rd), eew, 0, sum);
    leave(&v, &e);
}

/* ---- moves ---- */

void rv_vfmerge_vfm(struct riscv_cpu *c, const struct riscv_insn *i)
{
    uint64_t out[VEC_GROUP_MAX / 8];
    struct vec v;
    struct vec_fp e;
    enter(&v, &e, c, i);
    check_float(&v, v.sew, RISCV_EXT_ZVFH);
    vec_check_form(&v, VEC_SAME, VEC_X);
    const void *a = vec_src(&v, i->rs2, v.sew);
    uint64_t x = scalar(&v);
    for (unsigned k = 0; k < vec_count(&v); k++)
        vec_set(out, v.sew, k, vec_active(&v, v.first + k) ? x : vec_get(a, v.sew, k));
    v.masked = false;
    vec_write(&v, v.sew, out);
    leave(&v, &e);
}

void rv_vfmv_v_f(struct riscv_cpu *c, const struct riscv_insn *i)
{
    uint64_t out[VEC_GROUP_MAX / 8];
    struct vec v;
    struct vec_fp e;
    enter(&v, &e, c, i);
    check_float(&v, v.sew, RISCV_EXT_ZVFH);
    vec_check_dst(&v, v.sew);
    vec_splat(out, v.sew, scalar(&v), vec_count(&v));
    vec_write(&v, v.sew, out);
    leave(&v, &e);
}

/* Whatever vl, vstart and LMUL are. Spec: 30.16.2 */
void rv_vfmv_f_s(struct riscv_cpu *c, const struct riscv_insn *i)
{
    struct vec v;
    struct vec_fp e;
    enter(&v, &e, c, i);
    check_float(&v, v.sew, RISCV_EXT_ZVFH);
    c->f[i->rd] = vec_get(vec_reg(&v, i->rs2), v.sew, 0) | (v.sew == 3 ? 0 : ~0ULL << (8U << v.sew));
    riscv_fp_dirty(c);
    leave(&v, &e);
}

void rv_vfmv_s_f(struct riscv_cpu *c, const struct riscv_insn *i)
{
    struct vec v;
    struct vec_fp e;
    enter(&v, &e, c, i);
    check_float(&v, v.sew, RISCV_EXT_ZVFH);
    if (vec_count(&v))
        vec_set(vec_reg(&v, i->rd), v.sew, 0, scalar(&v));
    leave(&v, &e);
}

/* By one element; f[rs1] goes to where none came from. Spec: 30.16.3 */
static void slide(struct riscv_cpu *c, const struct riscv_insn *i, bool up)
{
    uint64_t out[VEC_GROUP_MAX / 8];
    struct vec v;
    struct vec_fp e;
    enter(&v, &e, c, i);
    check_float(&v, v.sew, RISCV_EXT_ZVFH);
    vec_check_form(&v, VEC_SAME, VEC_X);
    if (up)
        vec_check_apart(&v, v.sew, i->rs2, v.sew);
    const void *a = vec_reg(&v, i->rs2);
    uint64_t x = scalar(&v);
    for (unsigned k = v.first; k < v.vl; k++) {
        bool end = up ? k == 0 : k == v.vl - 1;
        vec_set(out, v.sew, k - v.first, end ? x : vec_get(a, v.sew, up ? k - 1 : k + 1));
    }
    vec_write(&v, v.sew, out);
    leave(&v, &e);
}

/* ---- the list ---- */

#define STEP(name, call)                                                                                                         \
    void rv_##name(struct riscv_cpu *c, const struct riscv_insn *i)                                                              \
    {                                                                                                                            \
        call;                                                                                                                    \
    }
#define VV_VF(name, fn)                                                                                                          \
    STEP(name##_vv, arith(c, i, vec_fp_##fn, FP_VECTOR))                                                                         \
    STEP(name##_vf, arith(c, i, vec_fp_##fn, FP_SCALAR))
VV_VF(vfadd, add)
VV_VF(vfsub, sub)
STEP(vfrsub_vf, arith(c, i, vec_fp_rsub, FP_SCALAR))
VV_VF(vfmul, mul)
VV_VF(vfdiv, div)
STEP(vfrdiv_vf, arith(c, i, vec_fp_rdiv, FP_SCALAR))
VV_VF(vfmin, min)
VV_VF(vfmax, max)
VV_VF(vfsgnj, sgnj)
VV_VF(vfsgnjn, sgnjn)
VV_VF(vfsgnjx, sgnjx)
VV_VF(vfmadd, madd)
VV_VF(vfnmadd, nmadd)
VV_VF(vfmsub, msub)
VV_VF(vfnmsub, nmsub)
VV_VF(vfmacc, macc)
VV_VF(vfnmacc, nmacc)
VV_VF(vfmsac, msac)
VV_VF(vfnmsac, nmsac)
STEP(vfsqrt_v, arith(c, i, vec_fp_sqrt, FP_NONE))
STEP(vfrsqrt7_v, arith(c, i, vec_fp_rsqrt7, FP_NONE))
STEP(vfrec7_v, arith(c, i, vec_fp_rec7, FP_NONE))
STEP(vfclass_v, arith(c, i, vec_fp_class, FP_NONE))

#define WIDE_VV_VF(name, fn)                                                                                                     \
    STEP(name##_vv, wide(c, i, vec_fp_##fn, VEC_WIDE, FP_VECTOR))                                                                \
    STEP(name##_vf, wide(c, i, vec_fp_##fn, VEC_WIDE, FP_SCALAR))
#define WIDE_WV_WF(name, fn)                                                                                                     \
    STEP(name##_wv, wide(c, i, vec_fp_##fn, VEC_WIDE_A, FP_VECTOR))                                                              \
    STEP(name##_wf, wide(c, i, vec_fp_##fn, VEC_WIDE_A, FP_SCALAR))
WIDE_VV_VF(vfwadd, add)
WIDE_VV_VF(vfwsub, sub)
WIDE_VV_VF(vfwmul, mul)
WIDE_WV_WF(vfwadd, add)
WIDE_WV_WF(vfwsub, sub)
WIDE_VV_VF(vfwmacc, macc)
WIDE_VV_VF(vfwnmacc, nmacc)
WIDE_VV_VF(vfwmsac, msac)
WIDE_VV_VF(vfwnmsac, nmsac)

#define COMPARE_VV_VF(name, fn)                                                                                                  \
    STEP(name##_vv, compare(c, i, vec_fp_##fn, FP_VECTOR))                                                                       \
    STEP(name##_vf, compare(c, i, vec_fp_##fn, FP_SCALAR))
COMPARE_VV_VF(vmfeq, eq)
COMPARE_VV_VF(vmfle, le)
COMPARE_VV_VF(vmflt, lt)
COMPARE_VV_VF(vmfne, ne)
STEP(vmfgt_vf, compare(c, i, vec_fp_gt, FP_SCALAR))
STEP(vmfge_vf, compare(c, i, vec_fp_ge, FP_SCALAR))

STEP(vfslide1up_vf, slide(c, i, true))
STEP(vfslide1down_vf, slide(c, i, false))

#define TO_INT(name, fn, form) STEP(name, convert(c, i, vec_fp_cvt_##fn, form, FLOAT_FROM, RISCV_EXT_ZVFH))
#define FROM_INT(name, fn, form) STEP(name, convert(c, i, vec_fp_cvt_##fn, form, FLOAT_TO, RISCV_EXT_ZVFH))
#define RESIZE(name, fn, form, half) STEP(name, convert(c, i, vec_fp_cvt_##fn, form, FLOAT_FROM | FLOAT_TO, half))
TO_INT(vfcvt_xu_f_v, xu_f, VEC_SAME)
TO_INT(vfcvt_x_f_v, x_f, VEC_SAME)
FROM_INT(vfcvt_f_xu_v, f_xu, VEC_SAME)
FROM_INT(vfcvt_f_x_v, f_x, VEC_SAME)
TO_INT(vfcvt_rtz_xu_f_v, rtz_xu_f, VEC_SAME)
TO_INT(vfcvt_rtz_x_f_v, rtz_x_f, VEC_SAME)
TO_INT(vfwcvt_xu_f_v, xu_f, VEC_WIDE)
TO_INT(vfwcvt_x_f_v, x_f, VEC_WIDE)
FROM_INT(vfwcvt_f_xu_v, f_xu, VEC_WIDE)
FROM_INT(vfwcvt_f_x_v, f_x, VEC_WIDE)
RESIZE(vfwcvt_f_f_v, f_f, VEC_WIDE, RISCV_EXT_ZVFHMIN)
TO_INT(vfwcvt_rtz_xu_f_v, rtz_xu_f, VEC_WIDE)
TO_INT(vfwcvt_rtz_x_f_v, rtz_x_f, VEC_WIDE)
TO_INT(vfncvt_xu_f_w, xu_f, VEC_NARROW)
TO_INT(vfncvt_x_f_w, x_f, VEC_NARROW)
FROM_INT(vfncvt_f_xu_w, f_xu, VEC_NARROW)
FROM_INT(vfncvt_f_x_w, f_x, VEC_NARROW)
RESIZE(vfncvt_f_f_w, f_f, VEC_NARROW, RISCV_EXT_ZVFHMIN)
RESIZE(vfncvt_rod_f_f_w, rod_f_f, VEC_NARROW, RISCV_EXT_ZVFH)
TO_INT(vfncvt_rtz_xu_f_w, rtz_xu_f, VEC_NARROW)
TO_INT(vfncvt_rtz_x_f_w, rtz_x_f, VEC_NARROW)

STEP(vfredusum_vs, reduce(c, i, vec_fp_add, false))
STEP(vfredosum_vs, reduce(c, i, vec_fp_add, false))
STEP(vfredmin_vs, reduce(c, i, vec_fp_min, false))
STEP(vfredmax_vs, reduce(c, i, vec_fp_max, false))
STEP(vfwredusum_vs, reduce(c, i, vec_fp_add, true))
STEP(vfwredosum_vs, reduce(c, i, vec_fp_add, true))
