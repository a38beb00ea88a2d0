/* SPDX-License-Identifier: MIT */
/*
 * Translation of slides: loads from the vector registers in memory, from where the elements were.
 *
 * They need opmasks. What is loaded from before or behind the registers is not written. Spec: volume I 30.16.3
 */
#include "base/checked.h"
#include "isa/riscv/insn_steps.h"
#include "isa/riscv/translate_vec.h"

enum { OP_KNOT = ASM_0F | 0x44, OP_KOR = ASM_0F | 0x45, OP_KANDN = ASM_0F | 0x42, OP_KMOV_FROM = ASM_0F | ASM_F2 | 0x92 };
enum { UP = 1, BY_X = 2, BY_F = 1 << 12 /* as in translate_vec_fp.c */, NEG = 3 };

static bool slide_can(const struct vx *v)
{
    return rvx_has_evex && rvx_vec_dst_ok(v, v->sew) && rvx_vec_src_ok(v, v->i->rs2, v->sew)
           && (!(v->arg & UP) || v->i->rd != v->i->rs2);
}

static bool float_slide_can(const struct vx *v)
{
    return rvx_vec_fp_can(v) && slide_can(v);
}

/* Chunk j of vs2, `by` elements on. */
static struct host_mem shifted(const struct vx *v, const struct rvx_chunks *ch, unsigned j, int by)
{
    struct host_mem m = rvx_vec_at(v, v->i->rs2, v->sew, ch->per, j);
    m.disp += by * (1 << v->sew);
    return m;
}

/* ---- by any number of elements ---- */

/* rax = the offset; one that is not below VLMAX is called out. */
static void put_offset(const struct vx *v, unsigned vlmax)
{
    struct codebuf *cb = v->x->cb;
    if (v->arg & BY_X)
        rvx_get(v->x, H_RAX, v->i->rs1);
    else
        asm_mov_imm(cb, HOST_RAX, (uint64_t)v->i->imm);
    asm_alu_imm(cb, HOST_CMP, 8, HOST_RAX, (int32_t)vlmax);
    rvx_vec_bail(v, asm_jcc(cb, CC_AE, NULL));
    asm_store(cb, 8, VEC_CONSTANT(scratch[1]), HOST_RAX);
}

/* k2 = what is not to be written of chunk j: also elements before the offset in rcx. */
static void put_before(const struct vx *v, const struct rvx_chunks *ch, unsigned j, bool masks)
{
    rvx_vec_inactive(v, K_SCRATCH, (int)(j * ch->per));
    rvx_vec_k(v, false, 1, OP_KNOT, masks ? (unsigned)K_SCRATCH : K_INACTIVE, 0, K_SCRATCH);
    if (masks)
        rvx_vec_k(v, true, 1, OP_KOR, K_INACTIVE, K_INACTIVE, K_SCRATCH);
}

/* Z0 = chunk j of vs2 from the offset in rcx on; 0 behind VLMAX. rax is lost. */
static void put_down(const struct vx *v, const struct rvx_chunks *ch, unsigned j, unsigned vlmax)
{
    struct codebuf *cb = v->x->cb;
    struct host_mem from = shifted(v, ch, j, 0);
    struct asm_form f = rvx_vec_form(ch->len, 0);
    unsigned op = rvx_vec_move(v->sew, false, &f);
    asm_mov(cb, 4, HOST_RAX, HOST_RCX);
    asm_insn_reg(cb, 8, 0xf7, NEG, H_RCX);
    asm_alu_imm(cb, HOST_ADD, 8, HOST_RCX, (int32_t)vlmax);
    rvx_vec_inactive(v, K_SCRATCH, (int)(j * ch->per));
    rvx_vec_k(v, false, 1, OP_KNOT, K_SCRATCH, 0, K_SCRATCH);
    from.index = HOST_RAX;
    from.scale = (uint8_t)(1U << v->sew);
    f.mask = K_SCRATCH;
    f.zero = true;
    asm_form_mem(cb, f, op, Z0, 0, from);
}

static void put_up(const struct vx *v, const struct rvx_chunks *ch, unsigned j)
{
    struct codebuf *cb = v->x->cb;
    struct host_mem from = shifted(v, ch, j, 0);
    asm_insn_reg(cb, 8, 0xf7, NEG, H_RCX);
    from.index = HOST_RCX;
    from.scale = (uint8_t)(1U << v->sew);
    rvx_vec_load(v, ch->len, Z0, from);
}

static void slide_put(const struct vx *v)
{
    struct rvx_chunks ch = rvx_vec_chunks(v, v->sew, 64);
    int lmul = v->lmul - (int)v->sew;
    unsigned vlenb = v->x->code->cpu->vlenb, vlmax = lmul < 0 ? vlenb >> -lmul : vlenb << lmul;
    put_offset(v, vlmax);
    for (unsigned j = 0; j < ch.nr; j++) {
        bool masks = rvx_vec_masks(v, &ch, j);
        asm_load(v->x->cb, 8, HOST_RCX, VEC_CONSTANT(scratch[1]));
        if (v->arg & UP) {
            put_before(v, &ch, j, masks);
            put_up(v, &ch, j);
        } else {
            put_down(v, &ch, j, vlmax);
        }
        rvx_vec_write(v, &ch, j, masks || (v->arg & UP));
    }
}

static bool slide(struct rvx *x, const struct riscv_insn *i, unsigned arg)
{
    static const struct rvx_vec_how how = { slide_can, NULL, slide_put, .any_vl = true };
    return rvx_vec_put(x, i, arg, &how);
}

/* ---- by one: the scalar goes to where none came from ---- */

/* k3 = the last body element, if it is in chunk j; false: it is not. */
static bool put_last(const struct vx *v, const struct rvx_chunks *ch, unsigned j)
{
    int from = (int)(j * ch->per);
    if (!v->partial) {
        unsigned last = v->n - 1;
        if (last / ch->per != j)
            return false;
        asm_mov_imm(v->x->cb, HOST_RAX, 1ULL << last % ch->per);
        rvx_vec_k(v, false, 1, OP_KMOV_FROM, K_SCRATCH, 0, H_RAX);
        return true;
    }
    asm_insn_mem(v->x->cb, 4, ASM_0F | 0xb7, H_RCX, at_rbp(FRAME(cpu.vl)));
    enum { K_OTHER = K_SCRATCH + 1 };
    rvx_vec_inactive(v, K_SCRATCH, from + 1); /* not among the first vl - 1 */
    rvx_vec_inactive(v, K_OTHER, from);       /* nor among the first vl */
    rvx_vec_k(v, true, 1, OP_KANDN, K_SCRATCH, K_OTHER, K_SCRATCH);
    return true;
}

static bool put_first(const struct vx *v, unsigned j)
{
    if (j)
        return false;
    asm_mov_imm(v->x->cb, HOST_RAX, 1);
    rvx_vec_k(v, false, 1, OP_KMOV_FROM, K_SCRATCH, 0, H_RAX);
    return true;
}

static void slide1_put(const struct vx *v)
{
    struct rvx_chunks ch = rvx_vec_chunks(v, v->sew, 64);
    if (v->arg & BY_F)
        rvx_vec_fp_scalar(v, ch.len);
    else
        rvx_vec_splat(v, v->sew, ch.len, rvx_use(v->x, v->i->rs1, H_RAX));
    for (unsigned j = 0; j < ch.nr; j++) {
        bool masks = rvx_vec_masks(v, &ch, j);
        struct asm_form f = rvx_vec_form(ch.len, 0);
        unsigned op = rvx_vec_move(v->sew, false, &f);
        f.mask = K_SCRATCH;
        rvx_vec_load(v, ch.len, Z0, shifted(v, &ch, j, v->arg & UP ? -1 : 1));
        if (v->arg & UP ? put_first(v, j) : put_last(v, &ch, j))
            asm_form_reg(v->x->cb, f, op, Z0, 0, Z1);
        rvx_vec_write(v, &ch, j, masks);
    }
}

static bool slide1(struct rvx *x, const struct riscv_insn *i, unsigned arg)
{
    static const struct rvx_vec_how how = { slide_can, NULL, slide1_put, .any_vl = true },
                                    floats = { float_slide_can, rvx_vec_fp_before, slide1_put, .any_vl = true };
    return rvx_vec_put(x, i, arg, arg & BY_F ? &floats : &how);
}

const struct rvx_rule rvx_vec_perm_rules[] = {
    { rv_vslideup_vi, slide, UP },           { rv_vslideup_vx, slide, UP | BY_X },   { rv_vslidedown_vi, slide, 0 },
    { rv_vslidedown_vx, slide, BY_X },       { rv_vslide1up_vx, slide1, UP | BY_X }, { rv_vslide1down_vx, slide1, BY_X },
    { rv_vfslide1up_vf, slide1, UP | BY_F }, { rv_vfslide1down_vf, slide1, BY_F },
};
const unsigned rvx_nr_vec_perm_rules = ARRAY_SIZE(rvx_vec_perm_rules);
