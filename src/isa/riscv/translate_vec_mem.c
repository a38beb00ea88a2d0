/* SPDX-License-Identifier: MIT */
/*
 * Translation of vector loads and stores with unit stride: of elements, masks and whole registers; and of moves of whole
 * registers.
 *
 * All of an access must lie in one page that the TLB knows; the rest is called out, and the call-out enters the page. Accesses of
 * all elements go through windows where scalar ones do: one that faults is done again, from its beginning, by the interpreter.
 * Spec: volume I 30.7, 30.16.6
 */
#include "base/checked.h"
#include "isa/riscv/insn_steps.h"
#include "isa/riscv/translate_vec.h"

enum { OP_ADD_R_RM = 0x03, OP_SUB_R_RM = 0x2b, OP_CMP_R_RM = 0x3b, OP_SHIFT_IMM = 0xc1, OP_MOVZX16 = ASM_0F | 0xb7 };
enum { STORE = 1, MASK = 2, EEW_SHIFT = 4, REGS_SHIFT = 8 };

static bool is_store(const struct vx *v)
{
    return v->arg & STORE;
}

static unsigned eew_of(const struct vx *v)
{
    return v->arg >> EEW_SHIFT & 3;
}

/* ---- where ---- */

/* rcx = the limit of the offset in the page, kept in scratch[0]: vl elements are to lie before the page's end. */
static void put_limit(const struct vx *v)
{
    struct codebuf *cb = v->x->cb;
    asm_insn_mem(cb, 4, OP_MOVZX16, H_RAX, at_rbp(FRAME(cpu.vl)));
    if (v->arg & MASK) {
        asm_alu_imm(cb, HOST_ADD, 4, HOST_RAX, 7);
        asm_insn_reg(cb, 4, OP_SHIFT_IMM, 5, H_RAX);
        codebuf_put1(cb, 3);
    } else if (eew_of(v)) {
        asm_insn_reg(cb, 4, OP_SHIFT_IMM, 4, H_RAX);
        codebuf_put1(cb, (uint8_t)eew_of(v));
    }
    asm_insn_reg(cb, 4, 0xf7, 3, H_RAX); /* neg */
    asm_alu_imm(cb, HOST_ADD, 4, HOST_RAX, (int32_t)GPAGE_SIZE);
    asm_store(cb, 8, VEC_CONSTANT(scratch[0]), HOST_RAX);
}

/* The page that there is not (RISCV_SITE_NONE) must not be met out of line: nobody knows whose such code is. */
static void refuse_nowhere(const struct vx *v)
{
    struct codebuf *cb = v->x->cb;
    asm_mov(cb, 8, HOST_RAX, HOST_RCX);
    asm_insn_reg(cb, 8, OP_SHIFT_IMM, 5, H_RAX);
    codebuf_put1(cb, 62);
    asm_alu_imm(cb, HOST_CMP, 4, HOST_RAX, 1);
    rvx_vec_bail(v, asm_jcc(cb, CC_E, NULL));
}

/* rcx: rs1; rax = what leads from there to the host, by the TLB: of `bytes` bytes, or v->partial. */
static void look_at_tlb(const struct vx *v, unsigned bytes, enum riscv_access access)
{
    enum { ENTRY_SHIFT = 6, OP_RORX = ASM_0F3A | ASM_F2 | 0xf0 };
    struct codebuf *cb = v->x->cb;
    struct host_mem site = host_mem(HOST_RAX, rvx_site_of_entry(access));
    if (v->partial)
        refuse_nowhere(v);
    asm_vex_reg(cb, 0, OP_RORX, H_RAX, 0, H_RCX);
    codebuf_put1(cb, GPAGE_SHIFT - ENTRY_SHIFT);
    asm_alu_imm(cb, HOST_AND, 4, HOST_RAX, (RISCV_TLB_ENTRIES - 1) << ENTRY_SHIFT);
    asm_insn_mem(cb, 8, OP_ADD_R_RM, H_RAX, at_rbp(FRAME(shared.tlb) + 8 * (int32_t)v->x->bank));
    asm_insn_mem(cb, 8, OP_SUB_R_RM, H_RCX, site);
    if (v->partial)
        asm_insn_mem(cb, 8, OP_CMP_R_RM, H_RCX, VEC_CONSTANT(scratch[0]));
    else
        asm_alu_imm(cb, HOST_CMP, 8, HOST_RCX, (int32_t)(GPAGE_SIZE - bytes));
    rvx_vec_bail(v, asm_jcc(cb, CC_A, NULL));
    site.disp += (int32_t)offsetof(struct riscv_site, to_host);
    asm_load(cb, 8, HOST_RAX, site);
}

/* Where `bytes` bytes from rs1 on are in the host (vl elements if v->partial), relative to rax. A masked access may do nothing,
 * and then must not look for its page. */
static struct host_mem locate(const struct vx *v, unsigned bytes)
{
    struct rvx *x = v->x;
    struct codebuf *cb = x->cb;
    enum riscv_access access = is_store(v) ? RISCV_WRITE : RISCV_READ;
    unsigned base = v->i->rs1, host = base ? x_host(base) : (unsigned)IN_MEMORY;
    struct host_mem window;
    if (!v->partial && !v->masked && rvx_access_window(x, base, bytes, access, &window))
        return window;
    if (v->partial)
        put_limit(v);
    rvx_get(x, H_RCX, base);
    look_at_tlb(v, bytes, access);
    if (host != IN_MEMORY)
        return host_mem_indexed(hg(host), HOST_RAX, 1, 0);
    if (base)
        asm_insn_mem(cb, 8, OP_ADD_R_RM, H_RAX, x_mem(base));
    return host_mem(HOST_RAX, 0);
}

/* ---- what ---- */

/* Less than a vector register of the host's: `bytes` is 1 to 15. */
static void copy_little(const struct vx *v, struct host_mem guest, struct host_mem reg, unsigned bytes)
{
    static const struct {
        unsigned load, store;
    } op[] = {
        [1] = { ASM_0F | 0xb6, 0x88 }, [2] = { ASM_0F | 0xb7, ASM_66 | 0x89 }, [4] = { 0x8b, 0x89 }, [8] = { 0x8b, 0x89 }
    };
    while (bytes) {
        unsigned size = bytes >= 8 ? 8 : bytes >= 4 ? 4 : bytes >= 2 ? 2 : 1;
        asm_insn_mem(v->x->cb, size == 8 ? 8 : 4, op[size].load, H_RCX, is_store(v) ? reg : guest);
        asm_insn_mem(v->x->cb, size == 8 ? 8 : size == 1 ? 1 : 4, op[size].store, H_RCX, is_store(v) ? guest : reg);
        guest.disp += (int32_t)size;
        reg.disp += (int32_t)size;
        bytes -= size;
    }
}

/* Whole chunks of `bytes` bytes, then what is left. */
static void copy(const struct vx *v, struct host_mem guest, unsigned bytes)
{
    struct host_mem reg = at_rbp(FRAME(cpu.v) + (int32_t)(v->i->rd * v->x->code->cpu->vlenb));
    for (unsigned len = rvx_has_evex ? 64 : 32; len >= 16; len /= 2)
        for (; bytes >= len; bytes -= len) {
            rvx_vec_load(v, len, Z0, is_store(v) ? reg : guest);
            if (is_store(v))
                asm_form_mem(v->x->cb, rvx_vec_form(len, 0), OP_VMOV_STORE, Z0, 0, guest);
            else
                rvx_vec_store(v, len, reg);
            guest.disp += (int32_t)len;
            reg.disp += (int32_t)len;
        }
    copy_little(v, guest, reg, bytes);
    if (bytes && !is_store(v))
        rvx_vec_written(v, reg, bytes);
}

/* Active elements only. */
static void copy_active(const struct vx *v, struct host_mem guest)
{
    unsigned eew = eew_of(v);
    struct rvx_chunks ch = rvx_vec_chunks(v, eew, 64);
    for (unsigned j = 0; j < ch.nr; j++) {
        struct asm_form f = rvx_vec_form(ch.len, 0);
        struct host_mem m = guest, reg = rvx_vec_at(v, v->i->rd, eew, ch.per, j);
        m.disp += (int32_t)(j * ch.len);
        rvx_vec_load(v, ch.len, Z0, reg);
        asm_store(v->x->cb, 8, VEC_CONSTANT(scratch[1]), HOST_RAX); /* masks change it */
        bool masks = rvx_vec_masks(v, &ch, j);
        asm_load(v->x->cb, 8, HOST_RAX, VEC_CONSTANT(scratch[1]));
        unsigned op = rvx_vec_move(eew, is_store(v), &f);
        f.mask = masks ? K_ACTIVE : 0;
        asm_form_mem(v->x->cb, f, op, Z0, 0, m);
        if (!is_store(v))
            rvx_vec_store(v, ch.len, reg);
    }
}

static bool elements_can(const struct vx *v)
{
    unsigned eew = eew_of(v);
    return rvx_vec_src_ok(v, v->i->rd, eew) && (is_store(v) || rvx_vec_dst_ok(v, eew)) && (!v->masked || rvx_has_evex);
}

static void elements_put(const struct vx *v)
{
    struct host_mem m = locate(v, v->n << eew_of(v));
    if (v->partial || v->masked)
        copy_active(v, m);
    else
        copy(v, m, v->n << eew_of(v));
}

/* ---- masks, whole registers ---- */

static bool always(const struct vx *v)
{
    (void)v;
    return true;
}

static void mask_put(const struct vx *v)
{
    unsigned bytes = (v->n + 7) / 8;
    copy(v, locate(v, bytes), bytes);
}

static bool whole_can(const struct vx *v)
{
    unsigned nr = v->arg >> REGS_SHIFT;
    return !(v->i->rd & (nr - 1));
}

static void whole_put(const struct vx *v)
{
    unsigned bytes = (v->arg >> REGS_SHIFT) * v->x->code->cpu->vlenb;
    copy(v, locate(v, bytes), bytes);
}

static bool move_can(const struct vx *v)
{
    return !((v->i->rd | v->i->rs2) & (v->arg - 1));
}

static void move_put(const struct vx *v)
{
    unsigned bytes = v->arg * v->x->code->cpu->vlenb;
    for (unsigned at = 0, len = rvx_has_evex && bytes >= 64 ? 64 : bytes >= 32 ? 32 : 16; at < bytes; at += len) {
        rvx_vec_load(v, len, Z0, rvx_vec_at(v, v->i->rs2, 0, len, at / len));
        rvx_vec_store(v, len, rvx_vec_at(v, v->i->rd, 0, len, at / len));
    }
}

/* ---- rules ---- */

static bool elements(struct rvx *x, const struct riscv_insn *i, unsigned arg)
{
    static const struct rvx_vec_how how = { elements_can, NULL, elements_put, .any_vl = true };
    return rvx_vec_put(x, i, arg, &how);
}

static bool mask(struct rvx *x, const struct riscv_insn *i, unsigned arg)
{
    static const struct rvx_vec_how how = { always, NULL, mask_put, .any_vl = false };
    return rvx_vec_put(x, i, arg, &how);
}

static bool whole(struct rvx *x, const struct riscv_insn *i, unsigned arg)
{
    static const struct rvx_vec_how how = { whole_can, NULL, whole_put, .no_vl = true, .no_type = true };
    return rvx_vec_put(x, i, arg, &how);
}

static bool move_whole(struct rvx *x, const struct riscv_insn *i, unsigned arg)
{
    static const struct rvx_vec_how how = { move_can, NULL, move_put, .no_vl = true, .any_type = true };
    return rvx_vec_put(x, i, arg, &how);
}

#define OF_EEW(bits, eew)                                                                                                        \
    { rv_vle##bits##_v, elements, (eew) << EEW_SHIFT }, { rv_vle##bits##ff_v, elements, (eew) << EEW_SHIFT },                    \
        { rv_vse##bits##_v, elements, (eew) << EEW_SHIFT | STORE }, { rv_vl1re##bits##_v, whole, 1 << REGS_SHIFT },              \
        { rv_vl2re##bits##_v, whole, 2 << REGS_SHIFT }, { rv_vl4re##bits##_v, whole, 4 << REGS_SHIFT },                          \
    {                                                                                                                            \
        rv_vl8re##bits##_v, whole, 8 << REGS_SHIFT                                                                               \
    }

const struct rvx_rule rvx_vec_mem_rules[] = {
    OF_EEW(8, 0),
    OF_EEW(16, 1),
    OF_EEW(32, 2),
    OF_EEW(64, 3),
    { rv_vlm_v, mask, MASK },
    { rv_vsm_v, mask, MASK | STORE },
    { rv_vs1r_v, whole, 1 << REGS_SHIFT | STORE },
    { rv_vs2r_v, whole, 2 << REGS_SHIFT | STORE },
    { rv_vs4r_v, whole, 4 << REGS_SHIFT | STORE },
    { rv_vs8r_v, whole, 8 << REGS_SHIFT | STORE },
    { rv_vmv1r_v, move_whole, 1 },
    { rv_vmv2r_v, move_whole, 2 },
    { rv_vmv4r_v, move_whole, 4 },
    { rv_vmv8r_v, move_whole, 8 },
};
const unsigned rvx_nr_vec_mem_rules = ARRAY_SIZE(rvx_vec_mem_rules);
