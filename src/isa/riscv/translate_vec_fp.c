/* SPDX-License-Identifier: MIT */
/*
 * Translation of vector instructions on binary32 and binary64: the host's packed instructions, with the guest's rounding mode and
 * flags in MXCSR, as in translate_fp.c.
 *
 * Only active elements are computed (opmasks), so that others raise nothing. Results that are NaNs become the canonical one at
 * once. What the host does otherwise (minima of NaNs, conversions out of range) is found before anything is written, and called
 * out; doing again what was written already must do no harm then. Spec: volume I 30.13, 30.14.3, 30.16.2
 */
#include "base/checked.h"
#include "isa/riscv/insn_steps.h"
#include "isa/riscv/translate_vec.h"

enum { M0F = ASM_0F | ASM_66, M38 = ASM_0F38 | ASM_66, M3A = ASM_0F3A | ASM_66 };
enum { OP_PCMPEQD = M0F | 0x76, OP_PCMPEQQ = M38 | 0x29, OP_KORTEST = ASM_0F | 0x98, OP_PEXTRD = M3A | 0x16 };
enum {
    OP_MOVSD_LOAD = ASM_0F | ASM_F2 | 0x10,
    OP_MOVSD_STORE = ASM_0F | ASM_F2 | 0x11,
    OP_MOVSS_LOAD = ASM_0F | ASM_F3 | 0x10,
    OP_MOVSS_STORE = ASM_0F | ASM_F3 | 0x11,
    OP_ORPD = M0F | 0x56
};
enum { VV, VF, OPERAND_SHIFT = 12, UNORDERED = 3 };

static unsigned operand(const struct vx *v)
{
    return v->arg >> OPERAND_SHIFT;
}

/* ---- one chunk ---- */

/* A form for numbers `eew` wide, of the active elements if `masks`. */
struct asm_form rvx_vec_fp_form(unsigned len, unsigned eew, bool masks)
{
    struct asm_form f = rvx_vec_form(len, eew == 3);
    f.mask = masks ? K_ACTIVE : 0;
    return f;
}

/* Packed arithmetic, which has no prefix for binary32. */
unsigned rvx_vec_fp_packed(unsigned eew, unsigned op)
{
    return ASM_0F | (eew == 3 ? ASM_66 : 0) | op;
}

/* k3 = active elements of Z0 where it compares so with `b`. */
static void put_compare(const struct vx *v, struct asm_form f, unsigned eew, unsigned b, unsigned how)
{
    asm_form_reg(v->x->cb, f, rvx_vec_fp_packed(eew, 0xc2), K_SCRATCH, Z0, b);
    codebuf_put1(v->x->cb, (uint8_t)how);
}

/* Z0's elements in k3 become the pattern. */
static void put_pattern(const struct vx *v, struct asm_form f, unsigned eew, struct host_mem pattern)
{
    f.mask = K_SCRATCH;
    asm_form_mem(v->x->cb, f, M38 | (eew == 3 ? 0x59U : 0x58U), Z0, 0, pattern); /* vpbroadcast */
}

static struct host_mem nan_of(unsigned eew)
{
    return eew == 3 ? VEC_CONSTANT(nan64[0]) : VEC_CONSTANT(nan32[0]);
}

/* Without opmasks: Z1 = which elements of Z0 are NaNs. */
static void put_nans(struct codebuf *cb, struct asm_form f, unsigned eew)
{
    asm_form_reg(cb, f, rvx_vec_fp_packed(eew, 0xc2), Z1, Z0, Z0);
    codebuf_put1(cb, UNORDERED);
}

/* Those become the canonical one. */
static void put_blended(struct codebuf *cb, struct asm_form f, unsigned eew)
{
    f.w = 0;
    asm_form_mem(cb, f, M3A | (eew == 3 ? 0x4bU : 0x4aU), Z0, Z0, nan_of(eew)); /* vblendv */
    codebuf_put1(cb, Z1 << 4);
}

/* NaNs in Z0 become the canonical one; without opmasks, Z1 is lost. */
void rvx_vec_fp_canonical(const struct vx *v, struct asm_form f, unsigned eew)
{
    if (!rvx_has_evex) {
        put_nans(v->x->cb, f, eew);
        put_blended(v->x->cb, f, eew);
        return;
    }
    put_compare(v, f, eew, Z0, UNORDERED);
    put_pattern(v, f, eew, nan_of(eew));
}

/* Leads away if k3 has elements; returns the rel32. */
size_t rvx_vec_fp_jump_if_any(const struct vx *v)
{
    rvx_vec_k(v, false, 1, OP_KORTEST, K_SCRATCH, 0, K_SCRATCH);
    return asm_jcc(v->x->cb, CC_NE, NULL);
}

static struct host_mem chunk(const struct vx *v, unsigned reg, const struct rvx_chunks *ch, unsigned j)
{
    return rvx_vec_at(v, reg, ch->eew, ch->per, j);
}

/* ---- scalars ---- */

/* Nobody gets behind it with what is not NaN-boxed, so that others know. */
void rvx_vec_fp_before(const struct vx *v)
{
    struct codebuf *cb = v->x->cb;
    unsigned f = v->i->rs1;
    if (operand(v) == VV || v->sew == 3 || (v->x->boxed >> f & 1))
        return;
    if (f_host(f) == IN_MEMORY) {
        struct host_mem m = f_mem(f);
        m.disp += 4;
        asm_alu_mem_imm(cb, HOST_CMP, 4, m, -1);
    } else {
        rvx_vec_reg(cb, 0, OP_PEXTRD, f_host(f), 0, H_RAX);
        codebuf_put1(cb, 1);
        asm_alu_imm(cb, HOST_CMP, 4, HOST_RAX, -1);
    }
    struct rvx_tail *t = rvx_tail(v->x, RVX_STEP, asm_jcc(cb, CC_NE, NULL));
    if (t)
        t->insns = rvx_uncounted(v->x, false);
    v->x->boxed |= 1U << f;
}

static void splat_float(struct codebuf *cb, unsigned len, unsigned eew, unsigned reg)
{
    struct asm_form f = rvx_vec_fp_form(len, eew, false);
    unsigned op = M38 | (eew == 3 ? 0x59U : 0x58U); /* vpbroadcast */
    f.w = f.w && f.evex;
    if (f_host(reg) == IN_MEMORY)
        asm_form_mem(cb, f, op, Z1, 0, f_mem(reg));
    else
        asm_form_reg(cb, f, op, Z1, 0, f_host(reg));
}

/* Z1 = f[rs1] in all elements. */
void rvx_vec_fp_scalar(const struct vx *v, unsigned len)
{
    splat_float(v->x->cb, len, v->sew, v->i->rs1);
}

/* ---- legality ---- */

static bool is_float(unsigned eew)
{
    return eew == 2 || eew == 3;
}

bool rvx_vec_fp_can(const struct vx *v)
{
    return v->x->fp && rvx_has_evex && is_float(v->sew);
}

/* The same, or all of the host's registers is written. */
static bool simple_can(const struct vx *v)
{
    return v->x->fp && is_float(v->sew) && rvx_vec_host_writes(v, v->sew);
}

static bool same_can(const struct vx *v)
{
    return simple_can(v) && rvx_vec_dst_ok(v, v->sew) && rvx_vec_src_ok(v, v->i->rs2, v->sew)
           && (operand(v) != VV || rvx_vec_src_ok(v, v->i->rs1, v->sew));
}

/* ---- arithmetic ---- */

enum { REVERSED = 0x100, ROOT = 0x200 };

static void arith_put(const struct vx *v)
{
    struct rvx_chunks ch = rvx_vec_chunks(v, v->sew, 64);
    unsigned op = rvx_vec_fp_packed(v->sew, v->arg & 0xff);
    if (operand(v) != VV && !(v->arg & ROOT))
        rvx_vec_fp_scalar(v, ch.len);
    for (unsigned j = 0; j < ch.nr; j++) {
        bool masks = rvx_vec_masks(v, &ch, j);
        struct asm_form f = rvx_vec_fp_form(ch.len, v->sew, masks);
        struct host_mem a = chunk(v, v->i->rs2, &ch, j);
        if (j && operand(v) != VV && !(v->arg & ROOT) && !rvx_has_evex)
            rvx_vec_fp_scalar(v, ch.len);
        if (v->arg & REVERSED) {
            rvx_vec_op(v, f, op, Z0, Z1, a, ch.len);
        } else if (v->arg & ROOT) {
            rvx_vec_op(v, f, op, Z0, 0, a, ch.len);
        } else {
            rvx_vec_load(v, ch.len, Z0, a);
            if (operand(v) == VV)
                rvx_vec_op(v, f, op, Z0, Z0, chunk(v, v->i->rs1, &ch, j), ch.len);
            else
                asm_form_reg(v->x->cb, f, op, Z0, Z0, Z1);
        }
        rvx_vec_fp_canonical(v, f, v->sew);
        rvx_vec_write(v, &ch, j, masks);
    }
}

static bool arith(struct rvx *x, const struct riscv_insn *i, unsigned arg)
{
    static const struct rvx_vec_how how = { same_can, rvx_vec_fp_before, arith_put, .any_vl = true };
    return rvx_vec_put(x, i, arg, &how);
}

static bool root_can(const struct vx *v)
{
    return simple_can(v) && rvx_vec_dst_ok(v, v->sew) && rvx_vec_src_ok(v, v->i->rs2, v->sew);
}

static bool root(struct rvx *x, const struct riscv_insn *i, unsigned arg)
{
    static const struct rvx_vec_how how = { root_can, NULL, arith_put, .any_vl = true };
    return rvx_vec_put(x, i, arg, &how);
}

/* ---- fused: vd = vd op Z1 * vs2 (231), or vd = Z1 * vd op vs2 (213) ---- */

/* Some results are NaNs. The host does not raise NV for infinity times 0 when a NaN is added: so that product is made alone, with
 * other flags out of the way. */
static void put_invalid_products(struct rvx *x, const struct rvx_tail *t)
{
    struct codebuf *cb = x->cb;
    struct asm_form f = t->vec.form;
    unsigned eew = f.w ? 3 : 2;
    asm_stmxcsr(cb, VEC_CONSTANT(scratch[0]));
    asm_ldmxcsr(cb, VEC_CONSTANT(mxcsr));
    f.mask = K_SCRATCH;
    asm_form_mem(cb, f, rvx_vec_fp_packed(eew, 0x10), Z0, 0, t->vec.mem);
    asm_form_reg(cb, f, rvx_vec_fp_packed(eew, 0x59), Z0, Z0, Z1);
    asm_stmxcsr(cb, VEC_CONSTANT(scratch[1]));
    asm_load(cb, 4, HOST_RAX, VEC_CONSTANT(scratch[1]));
    asm_alu_imm(cb, HOST_AND, 4, HOST_RAX, 1);
    asm_alu_mem(cb, HOST_OR, 4, VEC_CONSTANT(scratch[0]), HOST_RAX);
    asm_ldmxcsr(cb, VEC_CONSTANT(scratch[0]));
    asm_form_mem(cb, f, M38 | (eew == 3 ? 0x59U : 0x58U), Z0, 0, nan_of(eew));
    (void)asm_jmp(cb, cb->rx + t->again);
}

/* The operands of chunk j, and the operation. */
static void put_fused(struct rvx *x, const struct vx *v, struct asm_form f, const struct rvx_chunks *ch, unsigned j)
{
    rvx_vec_load(v, ch->len, Z0, chunk(v, v->i->rd, ch, j));
    if (operand(v) == VV)
        rvx_vec_load(v, ch->len, Z1, chunk(v, v->i->rs1, ch, j));
    else if (!rvx_has_evex)
        splat_float(x->cb, ch->len, v->sew, v->i->rs1);
    rvx_vec_op(v, f, M38 | (v->arg & 0xff), Z0, Z1, chunk(v, v->i->rs2, ch, j), ch->len);
}

/* The same as put_invalid_products() without opmasks: of elements that are no NaNs, no product is invalid. All is done again
 * then. */
static void put_invalid_again(struct rvx *x, const struct rvx_tail *t)
{
    const struct rvx_vec_again *g = &t->vec.all;
    const struct riscv_insn *i = &x->insn[t->k].i;
    const struct vx v = { .x = x, .i = i, .arg = t->vec.arg, .sew = g->sew };
    const struct rvx_chunks ch = { .eew = g->sew, .len = t->vec.form.len, .per = (unsigned)t->vec.form.len >> g->sew };
    struct codebuf *cb = x->cb;
    asm_stmxcsr(cb, VEC_CONSTANT(scratch[0]));
    asm_ldmxcsr(cb, VEC_CONSTANT(mxcsr));
    if (operand(&v) == VV)
        rvx_vec_load(&v, ch.len, Z1, chunk(&v, i->rs1, &ch, g->chunk));
    else
        splat_float(cb, ch.len, v.sew, i->rs1);
    asm_form_mem(cb, t->vec.form, rvx_vec_fp_packed(v.sew, 0x59), Z0, Z1, t->vec.mem);
    asm_stmxcsr(cb, VEC_CONSTANT(scratch[1]));
    asm_load(cb, 4, HOST_RAX, VEC_CONSTANT(scratch[1]));
    asm_alu_imm(cb, HOST_AND, 4, HOST_RAX, 1);
    asm_alu_mem(cb, HOST_OR, 4, VEC_CONSTANT(scratch[0]), HOST_RAX);
    asm_ldmxcsr(cb, VEC_CONSTANT(scratch[0]));
    put_fused(x, &v, t->vec.form, &ch, g->chunk);
    put_nans(cb, t->vec.form, v.sew);
    put_blended(cb, t->vec.form, v.sew);
    (void)asm_jmp(cb, cb->rx + t->again);
}

/* Leads away if there are NaNs in Z0. */
static size_t jump_if_nans(const struct vx *v, struct asm_form f)
{
    struct codebuf *cb = v->x->cb;
    if (rvx_has_evex) {
        put_compare(v, f, v->sew, Z0, UNORDERED);
        return rvx_vec_fp_jump_if_any(v);
    }
    put_nans(cb, f, v->sew);
    asm_form_reg(cb, f, rvx_vec_fp_packed(v->sew, 0x50), H_RAX, 0, Z1); /* vmovmsk */
    asm_insn_reg(cb, 4, 0x85, H_RAX, H_RAX);
    return asm_jcc(cb, CC_NE, NULL);
}

static void fused_put(const struct vx *v)
{
    struct rvx_chunks ch = rvx_vec_chunks(v, v->sew, 64);
    bool adds_to_vd = (v->arg & 0xf0) == 0xb0;
    if (operand(v) != VV)
        rvx_vec_fp_scalar(v, ch.len);
    for (unsigned j = 0; j < ch.nr; j++) {
        bool masks = rvx_vec_masks(v, &ch, j);
        struct asm_form f = rvx_vec_fp_form(ch.len, v->sew, masks);
        put_fused(v->x, v, f, &ch, j);
        struct rvx_tail *t = rvx_tail(v->x, RVX_VEC, jump_if_nans(v, f));
        if (t) {
            t->again = v->x->cb->pos;
            t->k = v->x->k;
            t->vec.fix = rvx_has_evex ? put_invalid_products : put_invalid_again;
            t->vec.arg = v->arg;
            t->vec.mem = chunk(v, adds_to_vd ? v->i->rs2 : v->i->rd, &ch, j);
            t->vec.form = f;
            t->vec.all = (struct rvx_vec_again){ .sew = (uint8_t)v->sew, .chunk = (uint8_t)j };
        }
        rvx_vec_store(v, ch.len, chunk(v, v->i->rd, &ch, j)); /* other elements are what they were */
    }
}

static bool fused(struct rvx *x, const struct riscv_insn *i, unsigned arg)
{
    static const struct rvx_vec_how how = { same_can, rvx_vec_fp_before, fused_put, .any_vl = true };
    return rvx_vec_put(x, i, arg, &how);
}

/* ---- minima, signs: Z0 and Z1 are the operands ---- */

/* Minima and maxima, of which NaNs are called out; doing it twice is doing it once. */
static void put_range(const struct vx *v, struct asm_form f)
{
    put_compare(v, f, v->sew, Z1, UNORDERED);
    rvx_vec_bail(v, rvx_vec_fp_jump_if_any(v));
    asm_form_reg(v->x->cb, f, M3A | 0x50, Z0, Z0, Z1); /* vrange: with the result's sign */
    codebuf_put1(v->x->cb, (uint8_t)(4 | (v->arg & 1)));
}

/* By a table: bit 4 of the index is Z0's, 2 is Z1's, 1 says that it is the sign. */
static void put_signs(const struct vx *v, struct asm_form f)
{
    f.bcast = true;
    f.mask = 0;
    asm_form_mem(v->x->cb, f, M3A | 0x25, Z0, Z1, v->sew == 3 ? VEC_CONSTANT(sign64) : VEC_CONSTANT(sign32)); /* vpternlog */
    codebuf_put1(v->x->cb, (uint8_t)v->arg);
}

enum { RANGE = 0x100, TAKE_SIGN = 0xd8, TAKE_NOT_SIGN = 0x72, XOR_SIGN = 0x78 };

static void two_put(const struct vx *v)
{
    struct rvx_chunks ch = rvx_vec_chunks(v, v->sew, 64);
    if (operand(v) != VV)
        rvx_vec_fp_scalar(v, ch.len);
    for (unsigned j = 0; j < ch.nr; j++) {
        bool masks = rvx_vec_masks(v, &ch, j);
        struct asm_form f = rvx_vec_fp_form(ch.len, v->sew, masks);
        rvx_vec_load(v, ch.len, Z0, chunk(v, v->i->rs2, &ch, j));
        if (operand(v) == VV)
            rvx_vec_load(v, ch.len, Z1, chunk(v, v->i->rs1, &ch, j));
        if (v->arg & RANGE)
            put_range(v, f);
        else
            put_signs(v, f);
        rvx_vec_write(v, &ch, j, masks);
    }
}

static bool two_can(const struct vx *v)
{
    return rvx_has_evex && same_can(v);
}

static bool two(struct rvx *x, const struct riscv_insn *i, unsigned arg)
{
    static const struct rvx_vec_how how = { two_can, rvx_vec_fp_before, two_put, .any_vl = true };
    return rvx_vec_put(x, i, arg, &how);
}

/* ---- comparisons ---- */

static bool compare_can(const struct vx *v)
{
    return rvx_vec_fp_can(v) && rvx_vec_src_ok(v, v->i->rs2, v->sew) && rvx_vec_mask_overlap_ok(v, v->i->rs2, v->sew)
           && (operand(v) != VV || (rvx_vec_src_ok(v, v->i->rs1, v->sew) && rvx_vec_mask_overlap_ok(v, v->i->rs1, v->sew)));
}

/* k3 = the comparison of chunk j, of active elements; rax stays. */
static void put_compared(const struct vx *v, const struct rvx_chunks *ch, unsigned j)
{
    struct codebuf *cb = v->x->cb;
    asm_store(cb, 8, VEC_CONSTANT(scratch[1]), HOST_RAX);
    bool masks = rvx_vec_masks(v, ch, j);
    asm_load(cb, 8, HOST_RAX, VEC_CONSTANT(scratch[1]));
    struct asm_form f = rvx_vec_fp_form(ch->len, v->sew, masks);
    rvx_vec_load(v, ch->len, Z0, chunk(v, v->i->rs2, ch, j));
    if (operand(v) == VV)
        rvx_vec_op(v, f, rvx_vec_fp_packed(v->sew, 0xc2), K_SCRATCH, Z0, chunk(v, v->i->rs1, ch, j), ch->len);
    else
        asm_form_reg(cb, f, rvx_vec_fp_packed(v->sew, 0xc2), K_SCRATCH, Z0, Z1);
    codebuf_put1(cb, (uint8_t)v->arg);
}

static void compare_put(const struct vx *v)
{
    struct rvx_chunks ch = rvx_vec_chunks(v, v->sew, 64);
    if (operand(v) != VV)
        rvx_vec_fp_scalar(v, ch.len);
    rvx_vec_put_bits(v, &ch, put_compared);
}

static bool compare(struct rvx *x, const struct riscv_insn *i, unsigned arg)
{
    static const struct rvx_vec_how how = { compare_can, rvx_vec_fp_before, compare_put, .any_vl = true };
    return rvx_vec_put(x, i, arg, &how);
}

/* ---- moves ---- */

static bool splat_can(const struct vx *v)
{
    return simple_can(v) && rvx_vec_dst_ok(v, v->sew);
}

/* VFMV.V.F, VFMERGE */
static void splat_put(const struct vx *what)
{
    struct vx v = *what;
    struct rvx_chunks ch = rvx_vec_chunks(&v, v.sew, 64);
    v.masked = false;
    rvx_vec_fp_scalar(&v, ch.len);
    for (unsigned j = 0; j < ch.nr; j++) {
        struct asm_form f = rvx_vec_form(ch.len, 0);
        unsigned op = rvx_vec_move(v.sew, false, &f);
        bool masks = rvx_vec_masks(&v, &ch, j);
        if (what->masked) {
            rvx_vec_load(&v, ch.len, Z0, chunk(&v, v.i->rs2, &ch, j));
            rvx_vec_mask_bits(&v, &ch, j, K_SCRATCH);
            f.mask = K_SCRATCH;
        }
        asm_form_reg(v.x->cb, f, op, Z0, 0, Z1);
        rvx_vec_write(&v, &ch, j, masks);
    }
}

static bool splat(struct rvx *x, const struct riscv_insn *i, unsigned arg)
{
    static const struct rvx_vec_how how = { splat_can, rvx_vec_fp_before, splat_put, .any_vl = true };
    return rvx_vec_put(x, i, arg, &how);
}

static bool merge_can(const struct vx *v)
{
    return splat_can(v) && rvx_vec_src_ok(v, v->i->rs2, v->sew);
}

static bool merge(struct rvx *x, const struct riscv_insn *i, unsigned arg)
{
    static const struct rvx_vec_how how = { merge_can, rvx_vec_fp_before, splat_put, .any_vl = true };
    return rvx_vec_put(x, i, arg, &how);
}

static bool element_can(const struct vx *v)
{
    return v->x->fp && is_float(v->sew);
}

static void move_out_put(const struct vx *v)
{
    struct rvx *x = v->x;
    unsigned rd = v->i->rd, d = f_host(rd) == IN_MEMORY ? (unsigned)Z0 : f_host(rd);
    rvx_vec_mem(x->cb, 0, v->sew == 3 ? OP_MOVSD_LOAD : OP_MOVSS_LOAD, d, 0, rvx_vec_at(v, v->i->rs2, 0, 0, 0));
    if (v->sew == 2)
        rvx_vec_mem(x->cb, 0, OP_ORPD, d, d, at_rbp(FRAME(shared.box)));
    if (f_host(rd) == IN_MEMORY)
        rvx_vec_mem(x->cb, 0, OP_MOVSD_STORE, d, 0, f_mem(rd));
    x->boxed = (x->boxed & ~(1U << rd)) | (uint32_t)(v->sew == 2) << rd;
}

static bool move_out(struct rvx *x, const struct riscv_insn *i, unsigned arg)
{
    static const struct rvx_vec_how how = { element_can, NULL, move_out_put, .no_vl = true };
    return rvx_vec_put(x, i, arg, &how);
}

static void move_in_put(const struct vx *v)
{
    unsigned f = v->i->rs1, s = f_host(f) == IN_MEMORY ? (unsigned)Z0 : f_host(f);
    if (f_host(f) == IN_MEMORY)
        rvx_vec_mem(v->x->cb, 0, OP_MOVSD_LOAD, Z0, 0, f_mem(f));
    rvx_vec_mem(v->x->cb, 0, v->sew == 3 ? OP_MOVSD_STORE : OP_MOVSS_STORE, s, 0, rvx_vec_at(v, v->i->rd, 0, 0, 0));
    rvx_vec_written(v, rvx_vec_at(v, v->i->rd, 0, 0, 0), 8);
}

static bool move_in(struct rvx *x, const struct riscv_insn *i, unsigned arg)
{
    static const struct rvx_vec_how how = { element_can, rvx_vec_fp_before, move_in_put, .any_vl = true };
    return rvx_vec_put(x, i, arg, &how);
}

/* ---- rules ---- */

#define BY(name, suffix, emit, operand, arg)                                                                                     \
    {                                                                                                                            \
        rv_##name##_##suffix, emit, (arg) | (operand) << OPERAND_SHIFT                                                           \
    }
#define RULE_VF(name, emit, arg) BY(name, vv, emit, VV, arg), BY(name, vf, emit, VF, arg)

const struct rvx_rule rvx_vec_fp_rules[] = {
    RULE_VF(vfadd, arith, 0x58),          RULE_VF(vfsub, arith, 0x5c),      BY(vfrsub, vf, arith, VF, 0x5c | REVERSED),
    RULE_VF(vfmul, arith, 0x59),          RULE_VF(vfdiv, arith, 0x5e),      BY(vfrdiv, vf, arith, VF, 0x5e | REVERSED),
    { rv_vfsqrt_v, root, 0x51 | ROOT },   RULE_VF(vfmacc, fused, 0xb8),     RULE_VF(vfmsac, fused, 0xba),
    RULE_VF(vfnmsac, fused, 0xbc),        RULE_VF(vfnmacc, fused, 0xbe),    RULE_VF(vfmadd, fused, 0xa8),
    RULE_VF(vfmsub, fused, 0xaa),         RULE_VF(vfnmsub, fused, 0xac),    RULE_VF(vfnmadd, fused, 0xae),
    RULE_VF(vfmin, two, RANGE | 0),       RULE_VF(vfmax, two, RANGE | 1),   RULE_VF(vfsgnj, two, TAKE_SIGN),
    RULE_VF(vfsgnjn, two, TAKE_NOT_SIGN), RULE_VF(vfsgnjx, two, XOR_SIGN),  RULE_VF(vmfeq, compare, 0x00),
    RULE_VF(vmflt, compare, 0x01),        RULE_VF(vmfle, compare, 0x02),    RULE_VF(vmfne, compare, 0x04),
    BY(vmfgt, vf, compare, VF, 0x0e),     BY(vmfge, vf, compare, VF, 0x0d), BY(vfmv_v, f, splat, VF, 0),
    BY(vfmerge, vfm, merge, VF, 0),       { rv_vfmv_f_s, move_out, 0 },     { rv_vfmv_s_f, move_in, VF << OPERAND_SHIFT },
};
const unsigned rvx_nr_vec_fp_rules = ARRAY_SIZE(rvx_vec_fp_rules);
