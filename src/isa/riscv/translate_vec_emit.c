/* SPDX-License-Identifier: MIT */
/*
 * Short emitters for vector instructions: chunks, masks, what is written. See translate_vec.h.
 */
#include "isa/riscv/translate_vec.h"

enum {
    OP_KMOV_LOAD = ASM_0F | 0x90,
    OP_KMOV_FROM = ASM_0F | ASM_F2 | 0x92,
    OP_KNOT = ASM_0F | 0x44,
    OP_KOR = ASM_0F | 0x45,
    OP_KAND = ASM_0F | 0x41,
    OP_KSHIFTR = ASM_0F3A | ASM_66 | 0x31
};
enum { OP_MOVZX16 = ASM_0F | 0xb7, OP_NOT = 0xf7, OP_AND_R_RM = 0x23, OP_XOR_R_RM = 0x33, OP_XOR_RM_R = 0x31 };

struct rvx_chunks rvx_vec_chunks(const struct vx *v, unsigned eew, unsigned len_max)
{
    unsigned bytes = v->n << eew, max = rvx_has_evex ? 64 : 32, len = 16;
    max = max < len_max ? max : len_max;
    while (len < max && len < bytes)
        len *= 2;
    if (!rvx_has_evex && bytes % len) /* 48 bytes */
        len = 16;
    return (struct rvx_chunks){ .eew = eew, .len = (uint8_t)len, .per = len >> eew, .nr = (bytes + len - 1) / len };
}

/* ---- copies ---- */

/* Bytes from the beginning of v0; -1: it is no vector register. */
static int place(struct host_mem m)
{
    int at = m.disp - FRAME(cpu.v);
    return rvx_has_evex && m.base.n == H_RBP && !m.scale && at >= 0 && at < (int)sizeof(((struct riscv_cpu *)0)->v) ? at : -1;
}

/* The host register with a copy of so many bytes from there; 0: none. */
static unsigned find_copy(const struct vx *v, struct host_mem m, unsigned bytes)
{
    int at = place(m);
    for (unsigned k = 0; k < RVX_COPIES && at >= 0; k++)
        if (v->x->vec.copy[k].len >= bytes && v->x->vec.copy[k].at == at)
            return RVX_FIRST_COPY + k;
    return 0;
}

/* Z0 or Z1 is a copy of what lies there: keeps it in another register. */
static void keep_copy(const struct vx *v, unsigned len, unsigned reg, struct host_mem m)
{
    struct rvx_vec *known = &v->x->vec;
    unsigned k = known->next_copy;
    known->next_copy = (uint8_t)((k + 1) % RVX_COPIES);
    known->copy[k] = (struct rvx_copy){ .at = (uint16_t)place(m), .len = (uint8_t)len };
    asm_form_reg(v->x->cb, rvx_vec_form(len, 0), OP_VMOV_LOAD, RVX_FIRST_COPY + k, 0, reg);
}

void rvx_vec_copy_again(struct rvx *x, const struct rvx_vec *known)
{
    for (unsigned k = 0; k < RVX_COPIES; k++)
        if (known->copy[k].len)
            asm_form_mem(x->cb, rvx_vec_form(known->copy[k].len, 0), OP_VMOV_LOAD, RVX_FIRST_COPY + k, 0,
                         at_rbp(FRAME(cpu.v) + known->copy[k].at));
}

void rvx_vec_spoil_copies(void)
{
    static const uint8_t ones[64] = { 1, 1, 1, 1, 1, 1, 1, 1 };
    if (rvx_has_evex)
        __asm__ volatile("vmovdqu8 %0, %%zmm26; vmovdqu8 %0, %%zmm27; vmovdqu8 %0, %%zmm28; vmovdqu8 %0, %%zmm29;"
                         "vmovdqu8 %0, %%zmm30; vmovdqu8 %0, %%zmm31" ::"m"(ones));
}

void rvx_vec_written(const struct vx *v, struct host_mem m, unsigned bytes)
{
    int at = place(m);
    for (unsigned k = 0; k < RVX_COPIES && at >= 0; k++) {
        struct rvx_copy *c = &v->x->vec.copy[k];
        if (c->len && at < c->at + c->len && c->at < at + (int)bytes)
            c->len = 0;
    }
}

void rvx_vec_load(const struct vx *v, unsigned len, unsigned reg, struct host_mem m)
{
    unsigned copy = find_copy(v, m, len);
    if (copy) {
        asm_form_reg(v->x->cb, rvx_vec_form(len, 0), OP_VMOV_LOAD, reg, 0, copy);
        return;
    }
    asm_form_mem(v->x->cb, rvx_vec_form(len, 0), OP_VMOV_LOAD, reg, 0, m);
    if (place(m) >= 0)
        keep_copy(v, len, reg, m);
}

void rvx_vec_op(const struct vx *v, struct asm_form f, unsigned opcode, unsigned reg, unsigned a, struct host_mem m,
                unsigned bytes)
{
    unsigned copy = find_copy(v, m, bytes);
    if (copy)
        asm_form_reg(v->x->cb, f, opcode, reg, a, copy);
    else
        asm_form_mem(v->x->cb, f, opcode, reg, a, m);
}

void rvx_vec_store(const struct vx *v, unsigned len, struct host_mem m)
{
    asm_form_mem(v->x->cb, rvx_vec_form(len, 0), OP_VMOV_STORE, Z0, 0, m);
    rvx_vec_written(v, m, len);
    if (place(m) >= 0)
        keep_copy(v, len, Z0, m);
}

unsigned rvx_vec_move(unsigned eew, bool store, struct asm_form *f)
{
    f->w = eew & 1;
    return ASM_0F | (eew < 2 ? ASM_F2 : ASM_F3) | (store ? 0x7f : 0x6f);
}

void rvx_vec_k(const struct vx *v, bool l1, unsigned w, unsigned opcode, unsigned reg, unsigned vvvv, unsigned rm)
{
    asm_form_reg(v->x->cb, (struct asm_form){ .len = l1 ? 32 : 16, .w = (uint8_t)w }, opcode, reg, vvvv, rm);
}

/* ---- masks ---- */

static void k_load(const struct vx *v, unsigned k, struct host_mem m)
{
    asm_form_mem(v->x->cb, (struct asm_form){ .len = 16, .w = 1 }, OP_KMOV_LOAD, k, 0, m);
}

/* What says which of the elements from `from` on are not among the first vl; rcx is vl, or what stands for it. */
static struct host_mem inactive(int from)
{
    struct host_mem m = VEC_CONSTANT(inactive[RISCV_VL_MAX]);
    m.disp -= 8 * from;
    m.index = HOST_RCX;
    m.scale = 8;
    return m;
}

static void load_vl(const struct vx *v)
{
    asm_insn_mem(v->x->cb, 4, OP_MOVZX16, H_RCX, at_rbp(FRAME(cpu.vl)));
}

void rvx_vec_inactive(const struct vx *v, unsigned k, int from)
{
    k_load(v, k, inactive(from));
}

void rvx_vec_mask_bits(const struct vx *v, const struct rvx_chunks *ch, unsigned j, unsigned k)
{
    unsigned from = j * ch->per;
    k_load(v, k, at_rbp(FRAME(cpu.v) + (int32_t)(from / 8)));
    if (from % 8) {
        rvx_vec_k(v, false, 1, OP_KSHIFTR, k, 0, k);
        codebuf_put1(v->x->cb, (uint8_t)(from % 8));
    }
}

bool rvx_vec_masks(const struct vx *v, const struct rvx_chunks *ch, unsigned j)
{
    unsigned from = j * ch->per, left = v->n - from;
    bool tail = v->partial || left < ch->per;
    if (!tail && !v->masked)
        return false;
    if (v->partial) {
        load_vl(v);
        k_load(v, K_INACTIVE, inactive((int)from));
    } else if (tail) {
        asm_mov_imm(v->x->cb, HOST_RAX, ~0ULL << left);
        rvx_vec_k(v, false, 1, OP_KMOV_FROM, K_INACTIVE, 0, H_RAX);
    }
    if (v->masked) {
        rvx_vec_mask_bits(v, ch, j, K_ACTIVE);
        rvx_vec_k(v, false, 1, OP_KNOT, tail ? (unsigned)K_ACTIVE : K_INACTIVE, 0, K_ACTIVE);
        if (tail)
            rvx_vec_k(v, true, 1, OP_KOR, K_INACTIVE, K_INACTIVE, K_ACTIVE);
    }
    if (tail)
        rvx_vec_k(v, false, 1, OP_KNOT, K_ACTIVE, 0, K_INACTIVE);
    return true;
}

void rvx_vec_write(const struct vx *v, const struct rvx_chunks *ch, unsigned j, bool masks)
{
    struct host_mem to = rvx_vec_at(v, v->i->rd, ch->eew, ch->per, j);
    if (masks) {
        struct asm_form f = rvx_vec_form(ch->len, 0);
        unsigned op = rvx_vec_move(ch->eew, false, &f);
        f.mask = K_INACTIVE;
        rvx_vec_op(v, f, op, Z0, 0, to, ch->len);
    }
    rvx_vec_store(v, ch->len, to);
}

/* ---- masks as operands ---- */

void rvx_vec_body(const struct vx *v, unsigned q, unsigned bits)
{
    struct codebuf *cb = v->x->cb;
    struct host_mem v0 = at_rbp(FRAME(cpu.v) + 8 * (int32_t)q);
    if (!v->partial) {
        asm_mov_imm(cb, HOST_RCX, bits == 64 ? ~0ULL : (1ULL << bits) - 1);
    } else {
        load_vl(v);
        asm_load(cb, 8, HOST_RCX, inactive(64 * (int)q));
        asm_insn_reg(cb, 8, OP_NOT, 2, H_RCX);
    }
    if (v->masked)
        asm_insn_mem(cb, 8, OP_AND_R_RM, H_RCX, v0);
}

/* 64 bits of vd = rax. The whole register is stored: who loads it next would wait for a part of it. */
static void replace_quad(const struct vx *v, unsigned q)
{
    struct codebuf *cb = v->x->cb;
    struct host_mem to = rvx_vec_at(v, v->i->rd, 0, 0, 0);
    struct asm_form all = rvx_vec_form(v->x->code->cpu->vlenb, 0), one = all;
    asm_mov_imm(cb, HOST_RCX, 1U << q);
    rvx_vec_k(v, false, 1, OP_KMOV_FROM, K_ACTIVE, 0, H_RCX);
    one.w = 1;
    one.mask = K_ACTIVE;
    rvx_vec_load(v, all.len, Z0, to);
    asm_form_reg(cb, one, ASM_0F38 | ASM_66 | 0x7c, Z0, 0, H_RAX); /* vpbroadcastq */
    rvx_vec_store(v, all.len, to);
}

void rvx_vec_write_bits(const struct vx *v, unsigned q, unsigned bits)
{
    struct codebuf *cb = v->x->cb;
    struct host_mem to = at_rbp(FRAME(cpu.v) + (int32_t)(v->i->rd * v->x->code->cpu->vlenb + 8 * q));
    if (!v->partial && !v->masked && bits == 64) {
        asm_store(cb, 8, to, HOST_RAX);
        rvx_vec_written(v, to, 8);
        return;
    }
    rvx_vec_body(v, q, bits);
    asm_insn_mem(cb, 8, OP_XOR_R_RM, H_RAX, to);
    asm_alu(cb, HOST_AND, 8, HOST_RAX, HOST_RCX);
    asm_insn_mem(cb, 8, rvx_has_evex ? OP_XOR_R_RM : OP_XOR_RM_R, H_RAX, to);
    if (rvx_has_evex)
        replace_quad(v, q);
}

/* ---- scalars ---- */

void rvx_vec_splat(const struct vx *v, unsigned eew, unsigned len, unsigned gpr)
{
    static const uint8_t from_gpr[] = { 0x7a, 0x7b, 0x7c, 0x7c }, from_vec[] = { 0x78, 0x79, 0x58, 0x59 };
    struct codebuf *cb = v->x->cb;
    if (rvx_has_evex) {
        asm_form_reg(cb, rvx_vec_form(len, eew == 3), ASM_0F38 | ASM_66 | from_gpr[eew], Z1, 0, gpr);
        return;
    }
    asm_vex_reg(cb, 1, ASM_0F | ASM_66 | 0x6e, Z1, 0, gpr); /* vmovq */
    asm_form_reg(cb, rvx_vec_form(len, 0), ASM_0F38 | ASM_66 | from_vec[eew], Z1, 0, Z1);
}
