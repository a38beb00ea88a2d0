/* SPDX-License-Identifier: MIT */
/*
 * Translation of vector instructions on integers that change widths, and of reductions.
 *
 * Sources are extended as they are loaded; chunks are those of the result. Spec: volume I 30.11.2, 30.11.3, 30.11.7, 30.14
 */
#include "base/checked.h"
#include "isa/riscv/insn_steps.h"
#include "isa/riscv/translate_vec.h"

enum { M0F = ASM_0F | ASM_66, M38 = ASM_0F38 | ASM_66, W1 = 1 << 16, OP_VMOVD_IN = M0F | 0x6e, OP_VMOVD_OUT = M0F | 0x7e };
enum { VV, VX, VI, OPERAND_SHIFT = 8 };

static unsigned operand(const struct vx *v)
{
    return v->arg >> OPERAND_SHIFT;
}

static void put_reg(const struct vx *v, unsigned len, uint32_t op, unsigned d, unsigned a, unsigned b)
{
    asm_form_reg(v->x->cb, rvx_vec_form(len, !!(op & W1)), op & 0xffff, d, a, b);
}

static void put_mem(const struct vx *v, unsigned len, uint32_t op, unsigned d, unsigned a, struct host_mem b)
{
    rvx_vec_op(v, rvx_vec_form(len, !!(op & W1)), op & 0xffff, d, a, b, len);
}

/* VPMOVSX and VPMOVZX to elements of `to`, `times` doublings wider. */
static unsigned extension(unsigned to, unsigned times, bool is_signed)
{
    static const uint8_t op[4][4] = { [1] = { 0, 0 }, [2] = { 0, 3, 1 }, [3] = { 0, 5, 4, 2 } };
    return M38 | (is_signed ? 0x20U : 0x30U) | op[to][times];
}

static uint32_t add_op(unsigned eew)
{
    static const uint32_t op[] = { M0F | 0xfc, M0F | 0xfd, M0F | 0xfe, M0F | 0xd4 | W1 };
    return op[eew];
}

/* ---- widening ---- */

enum { SIGNED_A = 1, SIGNED_B = 2, SUB = 4, MUL = 8, MACC = 16, WIDE_A = 32 };

static bool wide_can(const struct vx *v)
{
    unsigned eew = v->sew + 1, a = v->arg & WIDE_A ? eew : v->sew;
    bool product = v->arg & MUL;
    if (eew > 3 || !rvx_vec_host_writes(v, eew) || !rvx_vec_dst_ok(v, eew) || !rvx_vec_src_ok(v, v->i->rs2, a)
        || !rvx_vec_overlap_ok(v, eew, v->i->rs2, a))
        return false;
    if (!rvx_has_evex && product && eew == 3 && !(v->arg & SIGNED_A) != !(v->arg & SIGNED_B))
        return false;
    return operand(v) != VV || (rvx_vec_src_ok(v, v->i->rs1, v->sew) && rvx_vec_overlap_ok(v, eew, v->i->rs1, v->sew));
}

static uint32_t product_op(const struct vx *v)
{
    bool a = v->arg & SIGNED_A, b = v->arg & SIGNED_B;
    if (v->sew == 0)
        return M0F | 0xd5; /* vpmullw */
    if (v->sew == 1)
        return M38 | 0x40;                                                          /* vpmulld */
    return a && b ? M38 | 0x28 | W1 : !a && !b ? M0F | 0xf4 | W1 : M38 | 0x40 | W1; /* vpmuldq, vpmuludq, vpmullq */
}

/* Z1 = rs1's low SEW bits, extended. */
static void put_wide_scalar(const struct vx *v, const struct rvx_chunks *ch)
{
    static const unsigned op[2][3] = { { ASM_0F | 0xb6, ASM_0F | 0xb7, 0x8b }, { ASM_0F | 0xbe, ASM_0F | 0xbf, 0x63 } };
    bool is_signed = v->arg & SIGNED_B;
    unsigned r = rvx_use(v->x, v->i->rs1, H_RAX);
    if (v->sew == 0) { /* sil and the like need a prefix that size 1 gives */
        asm_mov(v->x->cb, 4, HOST_RAX, hg(r));
        r = H_RAX;
    }
    asm_insn_reg(v->x->cb, is_signed ? 8 : 4, op[is_signed][v->sew], H_RAX, r);
    rvx_vec_splat(v, ch->eew, ch->len, H_RAX);
}

/* Z0 = the result for chunk j. */
static void put_wide(const struct vx *v, const struct rvx_chunks *ch, unsigned j)
{
    unsigned eew = ch->eew;
    uint32_t op = v->arg & MUL ? product_op(v) : v->arg & SUB ? (M0F | (eew == 3 ? 0xfb | W1 : 0xf8U + eew)) : add_op(eew);
    if (v->arg & WIDE_A)
        rvx_vec_load(v, ch->len, Z0, rvx_vec_at(v, v->i->rs2, eew, ch->per, j));
    else
        put_mem(v, ch->len, extension(eew, 1, v->arg & SIGNED_A), Z0, 0, rvx_vec_at(v, v->i->rs2, v->sew, ch->per, j));
    if (operand(v) == VV)
        put_mem(v, ch->len, extension(eew, 1, v->arg & SIGNED_B), Z1, 0, rvx_vec_at(v, v->i->rs1, v->sew, ch->per, j));
    put_reg(v, ch->len, op, Z0, Z0, Z1);
    if (v->arg & MACC)
        put_mem(v, ch->len, add_op(eew), Z0, Z0, rvx_vec_at(v, v->i->rd, eew, ch->per, j));
}

static void wide_put(const struct vx *v)
{
    struct rvx_chunks ch = rvx_vec_chunks(v, v->sew + 1, 64);
    if (operand(v) != VV)
        put_wide_scalar(v, &ch);
    for (unsigned j = 0; j < ch.nr; j++) {
        bool masks = rvx_vec_masks(v, &ch, j);
        put_wide(v, &ch, j);
        rvx_vec_write(v, &ch, j, masks);
    }
}

static bool wide(struct rvx *x, const struct riscv_insn *i, unsigned arg)
{
    static const struct rvx_vec_how how = { wide_can, NULL, wide_put, .any_vl = true };
    return rvx_vec_put(x, i, arg, &how);
}

/* ---- narrowing: shifts of elements twice as wide ---- */

enum { NARROW_SRL, NARROW_SRA };

static bool narrow_can(const struct vx *v)
{
    unsigned a = v->sew + 1;
    return rvx_has_evex && a <= 3 && rvx_vec_dst_ok(v, v->sew) && rvx_vec_src_ok(v, v->i->rs2, a)
           && rvx_vec_overlap_ok(v, v->sew, v->i->rs2, a) && (operand(v) != VV || rvx_vec_src_ok(v, v->i->rs1, v->sew));
}

static void put_narrow(const struct vx *v, const struct rvx_chunks *ch, unsigned j)
{
    static const uint32_t all[2][4] = { { 0, M0F | 0xd1, M0F | 0xd2, M0F | 0xd3 | W1 },
                                        { 0, M0F | 0xe1, M0F | 0xe2, M0F | 0xe2 | W1 } };
    static const uint32_t each[2][4] = { { 0, M38 | 0x10 | W1, M38 | 0x45, M38 | 0x45 | W1 },
                                         { 0, M38 | 0x11 | W1, M38 | 0x46, M38 | 0x46 | W1 } };
    static const uint32_t narrow[] = { 0, 0x30, 0x33, 0x35 };
    unsigned a = v->sew + 1, len = 2U * ch->len, sra = (v->arg & 0xff) == NARROW_SRA;
    rvx_vec_load(v, len, Z0, rvx_vec_at(v, v->i->rs2, a, ch->per, j));
    if (operand(v) == VV) {
        struct asm_form f = rvx_vec_form(len, 1);
        f.bcast = true;
        put_mem(v, len, extension(a, 1, false), Z1, 0, rvx_vec_at(v, v->i->rs1, v->sew, ch->per, j));
        asm_form_mem(v->x->cb, f, M0F | 0xdb, Z1, Z1, VEC_CONSTANT(count[a])); /* vpandq */
        put_reg(v, len, each[sra][a], Z0, Z0, Z1);
    } else {
        put_reg(v, len, all[sra][a], Z0, Z0, Z1);
    }
    asm_form_reg(v->x->cb, rvx_vec_form(len, 0), ASM_0F38 | ASM_F3 | narrow[a], Z0, 0, Z0);
}

static void narrow_put(const struct vx *v)
{
    struct rvx_chunks ch = rvx_vec_chunks(v, v->sew, 32);
    struct codebuf *cb = v->x->cb;
    if (operand(v) == VX)
        rvx_get(v->x, H_RAX, v->i->rs1);
    else if (operand(v) == VI)
        asm_mov_imm(cb, HOST_RAX, (uint64_t)v->i->imm);
    if (operand(v) != VV) {
        asm_alu_imm(cb, HOST_AND, 4, HOST_RAX, (int32_t)(16U << v->sew) - 1);
        asm_vex_reg(cb, 0, OP_VMOVD_IN, Z1, 0, H_RAX);
    }
    for (unsigned j = 0; j < ch.nr; j++) {
        bool masks = rvx_vec_masks(v, &ch, j);
        put_narrow(v, &ch, j);
        rvx_vec_write(v, &ch, j, masks);
    }
}

static bool narrow(struct rvx *x, const struct riscv_insn *i, unsigned arg)
{
    static const struct rvx_vec_how how = { narrow_can, NULL, narrow_put, .any_vl = true };
    return rvx_vec_put(x, i, arg, &how);
}

/* ---- extension: arg: doublings, | 4: signed ---- */

static bool extend_can(const struct vx *v)
{
    unsigned times = v->arg & 3, a = v->sew - times;
    return v->sew >= times && rvx_vec_host_writes(v, v->sew) && rvx_vec_dst_ok(v, v->sew) && rvx_vec_src_ok(v, v->i->rs2, a)
           && rvx_vec_overlap_ok(v, v->sew, v->i->rs2, a);
}

static void extend_put(const struct vx *v)
{
    struct rvx_chunks ch = rvx_vec_chunks(v, v->sew, 64);
    unsigned times = v->arg & 3;
    for (unsigned j = 0; j < ch.nr; j++) {
        bool masks = rvx_vec_masks(v, &ch, j);
        put_mem(v, ch.len, extension(v->sew, times, v->arg & 4), Z0, 0, rvx_vec_at(v, v->i->rs2, v->sew - times, ch.per, j));
        rvx_vec_write(v, &ch, j, masks);
    }
}

static bool extend(struct rvx *x, const struct riscv_insn *i, unsigned arg)
{
    static const struct rvx_vec_how how = { extend_can, NULL, extend_put, .any_vl = true };
    return rvx_vec_put(x, i, arg, &how);
}

/* ---- reductions ---- */

enum { R_SUM, R_AND, R_OR, R_XOR, R_MINU, R_MIN, R_MAXU, R_MAX, R_WIDE = 16, R_SIGNED = 32 };

static uint32_t reduction_op(unsigned what, unsigned eew)
{
    static const uint32_t op[][4] = {
        [R_AND] = { M0F | 0xdb, M0F | 0xdb, M0F | 0xdb, M0F | 0xdb },
        [R_OR] = { M0F | 0xeb, M0F | 0xeb, M0F | 0xeb, M0F | 0xeb },
        [R_XOR] = { M0F | 0xef, M0F | 0xef, M0F | 0xef, M0F | 0xef },
        [R_MINU] = { M0F | 0xda, M38 | 0x3a, M38 | 0x3b, M38 | 0x3b | W1 },
        [R_MIN] = { M38 | 0x38, M0F | 0xea, M38 | 0x39, M38 | 0x39 | W1 },
        [R_MAXU] = { M0F | 0xde, M38 | 0x3e, M38 | 0x3f, M38 | 0x3f | W1 },
        [R_MAX] = { M38 | 0x3c, M0F | 0xee, M38 | 0x3d, M38 | 0x3d | W1 },
    };
    return what == R_SUM ? add_op(eew) : op[what][eew];
}

static bool reduce_can(const struct vx *v)
{
    return rvx_has_evex && v->sew + !!(v->arg & R_WIDE) <= 3 && rvx_vec_src_ok(v, v->i->rs2, v->sew);
}

/* Adding vs1[0] to each element would count it often: it is added to what the others come to. */
static bool begins_with_0(const struct vx *v)
{
    return (v->arg & 15) == R_SUM || (v->arg & 15) == R_XOR;
}

/* Z0 = what it begins with. */
static void put_begin(const struct vx *v, const struct rvx_chunks *ch)
{
    static const uint8_t splat[] = { 0x78, 0x79, 0x58, 0x59 };
    if (begins_with_0(v))
        put_reg(v, 16, M0F | 0xef, Z0, Z0, Z0);
    else
        put_mem(v, ch->len, M38 | splat[ch->eew] | (ch->eew == 3 ? W1 : 0U), Z0, 0, rvx_vec_at(v, v->i->rs1, 0, 0, 0));
}

/* Z0 op= chunk j of vs2, where it is active. */
static void put_reduced(const struct vx *v, const struct rvx_chunks *ch, unsigned j)
{
    bool masks = rvx_vec_masks(v, ch, j);
    uint32_t op = reduction_op(v->arg & 15, ch->eew);
    struct asm_form f = rvx_vec_form(ch->len, 0);
    if (v->arg & R_WIDE)
        put_mem(v, ch->len, extension(ch->eew, 1, v->arg & R_SIGNED), Z1, 0, rvx_vec_at(v, v->i->rs2, v->sew, ch->per, j));
    else
        rvx_vec_load(v, ch->len, Z1, rvx_vec_at(v, v->i->rs2, v->sew, ch->per, j));
    if (masks) { /* others become what Z0 has already, or 0 */
        unsigned move = rvx_vec_move(ch->eew, false, &f);
        f.mask = begins_with_0(v) ? K_ACTIVE : K_INACTIVE;
        f.zero = begins_with_0(v);
        asm_form_reg(v->x->cb, f, move, Z1, 0, begins_with_0(v) ? Z1 : Z0);
    }
    put_reg(v, ch->len, op, Z0, Z0, Z1);
}

/* Element 0 of Z0 = all of them, from `len` bytes. */
static void put_fold(const struct vx *v, uint32_t op, unsigned len, unsigned eew)
{
    struct codebuf *cb = v->x->cb;
    for (; len > 16; len /= 2) {
        put_reg(v, len, len == 64 ? ASM_0F3A | ASM_66 | 0x3b | W1 : ASM_0F3A | ASM_66 | 0x39, Z0, 0,
                Z1); /* vextracti: the upper half */
        codebuf_put1(cb, 1);
        put_reg(v, len / 2, op, Z0, Z0, Z1);
    }
    for (unsigned n = 8; n >= 1U << eew; n /= 2) {
        asm_vex_reg(cb, 0, M0F | 0x73, 3, Z1, Z0); /* vpsrldq */
        codebuf_put1(cb, (uint8_t)n);
        put_reg(v, 16, op, Z0, Z0, Z1);
    }
}

static void reduce_put(const struct vx *v)
{
    static const unsigned store[] = { 0x88, ASM_66 | 0x89, 0x89, 0x89 };
    unsigned eew = v->sew + !!(v->arg & R_WIDE);
    struct rvx_chunks ch = rvx_vec_chunks(v, eew, 64);
    uint32_t op = reduction_op(v->arg & 15, eew);
    put_begin(v, &ch);
    for (unsigned j = 0; j < ch.nr; j++)
        put_reduced(v, &ch, j);
    put_fold(v, op, ch.len, eew);
    if (begins_with_0(v))
        put_mem(v, 16, op, Z0, Z0, rvx_vec_at(v, v->i->rs1, 0, 0, 0));
    asm_vex_reg(v->x->cb, 1, OP_VMOVD_OUT, Z0, 0, H_RAX);
    asm_insn_mem(v->x->cb, eew == 3 ? 8 : eew == 0 ? 1 : 4, store[eew], H_RAX, rvx_vec_at(v, v->i->rd, 0, 0, 0));
    rvx_vec_written(v, rvx_vec_at(v, v->i->rd, 0, 0, 0), 8);
}

static bool reduce(struct rvx *x, const struct riscv_insn *i, unsigned arg)
{
    static const struct rvx_vec_how how = { reduce_can, NULL, reduce_put, .any_vl = true };
    return rvx_vec_put(x, i, arg, &how);
}

/* ---- rules ---- */

#define BY(name, suffix, emit, operand, arg)                                                                                     \
    {                                                                                                                            \
        rv_##name##_##suffix, emit, (arg) | (operand) << OPERAND_SHIFT                                                           \
    }
#define RULE_VX(name, arg) BY(name, vv, wide, VV, arg), BY(name, vx, wide, VX, arg)
#define RULE_W(name, arg) BY(name, wv, wide, VV, (arg) | WIDE_A), BY(name, wx, wide, VX, (arg) | WIDE_A)
#define RULE_NARROW(name, arg) BY(name, wv, narrow, VV, arg), BY(name, wx, narrow, VX, arg), BY(name, wi, narrow, VI, arg)

const struct rvx_rule rvx_vec_width_rules[] = {
    RULE_VX(vwaddu, 0),
    RULE_VX(vwadd, SIGNED_A | SIGNED_B),
    RULE_VX(vwsubu, SUB),
    RULE_VX(vwsub, SUB | SIGNED_A | SIGNED_B),
    RULE_W(vwaddu, 0),
    RULE_W(vwadd, SIGNED_B),
    RULE_W(vwsubu, SUB),
    RULE_W(vwsub, SUB | SIGNED_B),
    RULE_VX(vwmulu, MUL),
    RULE_VX(vwmul, MUL | SIGNED_A | SIGNED_B),
    RULE_VX(vwmulsu, MUL | SIGNED_A),
    RULE_VX(vwmaccu, MUL | MACC),
    RULE_VX(vwmacc, MUL | MACC | SIGNED_A | SIGNED_B),
    RULE_VX(vwmaccsu, MUL | MACC | SIGNED_B),
    BY(vwmaccus, vx, wide, VX, MUL | MACC | SIGNED_A),
    RULE_NARROW(vnsrl, NARROW_SRL),
    RULE_NARROW(vnsra, NARROW_SRA),
    { rv_vzext_vf2, extend, 1 },
    { rv_vsext_vf2, extend, 1 | 4 },
    { rv_vzext_vf4, extend, 2 },
    { rv_vsext_vf4, extend, 2 | 4 },
    { rv_vzext_vf8, extend, 3 },
    { rv_vsext_vf8, extend, 3 | 4 },
    { rv_vredsum_vs, reduce, R_SUM },
    { rv_vredand_vs, reduce, R_AND },
    { rv_vredor_vs, reduce, R_OR },
    { rv_vredxor_vs, reduce, R_XOR },
    { rv_vredminu_vs, reduce, R_MINU },
    { rv_vredmin_vs, reduce, R_MIN },
    { rv_vredmaxu_vs, reduce, R_MAXU },
    { rv_vredmax_vs, reduce, R_MAX },
    { rv_vwredsumu_vs, reduce, R_SUM | R_WIDE },
    { rv_vwredsum_vs, reduce, R_SUM | R_WIDE | R_SIGNED },
};
const unsigned rvx_nr_vec_width_rules = ARRAY_SIZE(rvx_vec_width_rules);
