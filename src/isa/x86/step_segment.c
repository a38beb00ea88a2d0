/* SPDX-License-Identifier: MIT */
/*
 * The definition of the instructions on segment registers, descriptor tables, the machine status word, and FS/GS bases.
 *
 * Spec: Intel SDM 2A ARPL, LAR, LDS, LGDT, LLDT, LMSW, LSL, LTR; 2B MOV, POP, PUSH, RDFSBASE, SGDT, SIDT, SLDT, SMSW, STR,
 * SWAPGS, VERR, WRFSBASE; 3A 5.10 (checking instructions); 1 for UMIP: 3A 2.5
 */
#include "isa/x86/insn_steps.h"
#include "isa/x86/seg.h"
#include "isa/x86/step.h"
#include "isa/x86/sysreg.h"
#include "isa/x86/trap.h"

/* Offset `plus` bytes into the memory operand. */
static uint64_t operand_off(const struct x86_cpu *c, const struct x86_insn *i, unsigned plus)
{
    return (insn_ea(c, i) + plus) & size_mask(i->addrsize);
}

/* The low 16 bits of operand n, register or memory: memory is always accessed as 2 bytes. */
static uint16_t read16(struct x86_cpu *c, const struct x86_insn *i, unsigned n)
{
    if (i->op[n].kind == OPND_MEM)
        return (uint16_t)x86_mem_read(c, i->seg, insn_ea(c, i), 2);
    return (uint16_t)c->gpr[i->op[n].reg];
}

/* Operand 0: a register gets `v` in the operand size, memory its low 16 bits. */
static void write16(struct x86_cpu *c, const struct x86_insn *i, uint64_t v)
{
    if (i->op[0].kind == OPND_MEM)
        x86_mem_write(c, i->seg, insn_ea(c, i), v & 0xffff, 2);
    else
        gpr_write(c, i->op[0].reg, v, i->opsize);
}

static void need_ring0(struct x86_cpu *c)
{
    if (c->cpl != 0)
        x86_raise_err(c, X86_GP, 0);
}

static void need_protected(struct x86_cpu *c)
{
    if (x86_real_style(c))
        x86_raise(c, X86_UD);
}

static void need_umip_rights(struct x86_cpu *c)
{
    if (c->cr4 & CR4_UMIP && c->cpl != 0)
        x86_raise_err(c, X86_GP, 0);
}

/* ---- MOV, PUSH, POP of segment registers; far pointer loads ---- */

static void shadow_after_ss(struct x86_cpu *c, unsigned reg)
{
    if (reg != SEG_SS)
        return;
    c->int_shadow = 2;
    x86_flags_update(c);
}

void step_mov_to_sreg(struct x86_cpu *c, const struct x86_insn *i)
{
    unsigned reg = i->op[0].reg;
    if (reg == SEG_CS || reg > SEG_GS)
        x86_raise(c, X86_UD);
    x86_load_seg(c, reg, read16(c, i, 1));
    shadow_after_ss(c, reg);
}

void step_mov_from_sreg(struct x86_cpu *c, const struct x86_insn *i)
{
    if (i->op[1].reg > SEG_GS)
        x86_raise(c, X86_UD);
    write16(c, i, c->seg[i->op[1].reg].sel);
}

void step_push_sreg(struct x86_cpu *c, const struct x86_insn *i)
{
    x86_push(c, c->seg[i->op[0].reg].sel, i->opsize);
}

void step_pop_sreg(struct x86_cpu *c, const struct x86_insn *i)
{
    unsigned reg = i->op[0].reg, width = c->stack_size;
    uint64_t off = c->gpr[RSP] & size_mask(width);
    uint16_t sel = (uint16_t)x86_mem_read(c, SEG_SS, off, i->opsize);
    x86_load_seg(c, reg, sel);
    gpr_write(c, RSP, c->gpr[RSP] + i->opsize, width); /* by the width of the stack it was popped from */
    shadow_after_ss(c, reg);
}

static enum x86_seg_reg far_load_reg(const struct x86_insn *i)
{
    switch (i->bytes[i->layout.opcode]) {
    case 0xc4: return SEG_ES;
    case 0xc5: return SEG_DS;
    case 0xb2: return SEG_SS;
    case 0xb4: return SEG_FS;
    default: return SEG_GS;
    }
}

void step_load_far(struct x86_cpu *c, const struct x86_insn *i)
{
    if (i->op[1].kind != OPND_MEM)
        x86_raise(c, X86_UD);
    uint64_t off = x86_mem_read(c, i->seg, operand_off(c, i, 0), i->opsize);
    uint16_t sel = (uint16_t)x86_mem_read(c, i->seg, operand_off(c, i, i->opsize), 2);
    x86_load_seg(c, far_load_reg(i), sel);
    gpr_write(c, i->op[0].reg, off, i->opsize);
}

/* ---- LAR, LSL, VERR, VERW, ARPL ---- */

static void set_zf(struct x86_cpu *c, bool v)
{
    c->rflags = (c->rflags & ~(uint64_t)FLAG_ZF) | (v ? FLAG_ZF : 0);
}

/* System descriptor types that LAR and LSL know, as bit sets. Spec: SDM 2A tables 3-53 (LAR) and 3-56 (LSL) */
enum {
    HAVE_LIMIT_LONG = 1 << SYS_LDT | 1 << SYS_TSS | 1 << SYS_TSS_BUSY,
    HAVE_LIMIT = HAVE_LIMIT_LONG | 1 << SYS_TSS16 | 1 << SYS_TSS16_BUSY,
    HAVE_RIGHTS_LONG = HAVE_LIMIT_LONG | 1 << SYS_CALL,
    HAVE_RIGHTS = HAVE_LIMIT | 1 << SYS_CALL | 1 << SYS_CALL16 | 1 << SYS_TASK_GATE,
};

/* Reads the descriptor of `sel` if the program may look at it. `types`: system types that count. */
static bool visible_desc(struct x86_cpu *c, uint16_t sel, unsigned types, struct x86_desc *d)
{
    if (sel_is_null(sel) || !x86_desc_read(c, sel, d))
        return false;
    if (!(desc_type(d) & SEG_S)) {
        if (!(types >> desc_type(d) & 1))
            return false;
        if (c->long_mode && (!x86_desc_read_upper(c, d) || (d->hi >> 40 & 0x1f)))
            return false;
    }
    return desc_is_conforming(d) || (c->cpl <= desc_dpl(d) && (sel & 3u) <= desc_dpl(d));
}

void step_lar(struct x86_cpu *c, const struct x86_insn *i)
{
    struct x86_desc d;
    need_protected(c);
    bool ok = visible_desc(c, read16(c, i, 1), c->long_mode ? HAVE_RIGHTS_LONG : HAVE_RIGHTS, &d);
    if (ok)
        gpr_write(c, i->op[0].reg, d.lo >> 32 & 0x00f0ff00, i->opsize);
    set_zf(c, ok);
}

void step_lsl(struct x86_cpu *c, const struct x86_insn *i)
{
    struct x86_desc d;
    need_protected(c);
    bool ok = visible_desc(c, read16(c, i, 1), c->long_mode ? HAVE_LIMIT_LONG : HAVE_LIMIT, &d);
    if (ok)
        gpr_write(c, i->op[0].reg, x86_desc_to_seg(&d, 0).limit, i->opsize);
    set_zf(c, ok);
}

void step_verr(struct x86_cpu *c, const struct x86_insn *i)
{
    struct x86_desc d;
    need_protected(c);
    set_zf(c, visible_desc(c, read16(c, i, 0), 0, &d) && desc_is_readable(&d));
}

void step_verw(struct x86_cpu *c, const struct x86_insn *i)
{
    struct x86_desc d;
    need_protected(c);
    set_zf(c, visible_desc(c, read16(c, i, 0), 0, &d) && desc_is_writable_data(&d));
}

void step_arpl(struct x86_cpu *c, const struct x86_insn *i)
{
    need_protected(c);
    uint16_t sel = read16(c, i, 0);
    unsigned rpl = c->gpr[i->op[1].reg] & 3;
    bool raise = (sel & 3u) < rpl;
    if (raise && i->op[0].kind == OPND_MEM)
        x86_mem_write(c, i->seg, insn_ea(c, i), (sel & ~3u) | rpl, 2);
    else if (raise)
        gpr_write(c, i->op[0].reg, (sel & ~3u) | rpl, 2);
    set_zf(c, raise);
}

/* ---- descriptor table registers ---- */

static void store_table(struct x86_cpu *c, const struct x86_insn *i, const struct x86_table_reg *t)
{
    uint8_t image[10];
    need_umip_rights(c);
    for (unsigned n = 0; n < 2; n++)
        image[n] = (uint8_t)(t->limit >> 8 * n);
    for (unsigned n = 0; n < 8; n++)
        image[2 + n] = (uint8_t)(t->base >> 8 * n);
    x86_mem_write_bytes(c, i->seg, insn_ea(c, i), image, c->mode == X86_MODE_64 ? 10 : 6);
}

static void load_table(struct x86_cpu *c, const struct x86_insn *i, struct x86_table_reg *t)
{
    bool wide = c->mode == X86_MODE_64;
    need_ring0(c);
    uint16_t limit = (uint16_t)x86_mem_read(c, i->seg, insn_ea(c, i), 2);
    uint64_t base = x86_mem_read(c, i->seg, operand_off(c, i, 2), wide ? 8 : 4);
    if (wide && !x86_canonical(base))
        x86_raise_err(c, X86_GP, 0);
    if (!wide && i->opsize == 2)
        base &= 0xffffff;
    *t = (struct x86_table_reg){ .base = base, .limit = limit };
}

void step_sgdt(struct x86_cpu *c, const struct x86_insn *i)
{
    store_table(c, i, &c->gdtr);
}

void step_sidt(struct x86_cpu *c, const struct x86_insn *i)
{
    store_table(c, i, &c->idtr);
}

void step_lgdt(struct x86_cpu *c, const struct x86_insn *i)
{
    load_table(c, i, &c->gdtr);
}

void step_lidt(struct x86_cpu *c, const struct x86_insn *i)
{
    load_table(c, i, &c->idtr);
}

void step_sldt(struct x86_cpu *c, const struct x86_insn *i)
{
    need_protected(c);
    need_umip_rights(c);
    write16(c, i, c->seg[SEG_LDTR].sel);
}

void step_str(struct x86_cpu *c, const struct x86_insn *i)
{
    need_protected(c);
    need_umip_rights(c);
    write16(c, i, c->seg[SEG_TR].sel);
}

/* A GDT descriptor of one of two system types, for LLDT and LTR. */
static struct x86_desc system_desc(struct x86_cpu *c, uint16_t sel, unsigned type, unsigned other_type)
{
    struct x86_desc d;
    bool ok = !(sel & 4) && x86_desc_read(c, sel, &d) && (desc_type(&d) == type || desc_type(&d) == other_type);
    if (ok && c->long_mode)
        ok = x86_desc_read_upper(c, &d) && !(d.hi >> 40 & 0x1f) && x86_canonical(x86_desc_to_seg(&d, sel).base);
    if (!ok)
        x86_raise_err(c, X86_GP, sel_error(sel, 0));
    if (!desc_present(&d))
        x86_raise_err(c, X86_NP, sel_error(sel, 0));
    d.hi &= 0xffffffff;
    return d;
}

void step_lldt(struct x86_cpu *c, const struct x86_insn *i)
{
    need_protected(c);
    need_ring0(c);
    uint16_t sel = read16(c, i, 0);
    if (sel_is_null(sel)) {
        c->seg[SEG_LDTR] = x86_seg_null(sel, 0);
        return;
    }
    struct x86_desc d = system_desc(c, sel, SYS_LDT, SYS_LDT);
    c->seg[SEG_LDTR] = x86_desc_to_seg(&d, sel);
}

void step_ltr(struct x86_cpu *c, const struct x86_insn *i)
{
    need_protected(c);
    need_ring0(c);
    uint16_t sel = read16(c, i, 0);
    if (sel_is_null(sel))
        x86_raise_err(c, X86_GP, 0);
    struct x86_desc d = system_desc(c, sel, SYS_TSS, c->long_mode ? SYS_TSS : SYS_TSS16);
    x86_desc_set_bits(c, &d, 2); /* busy */
    c->seg[SEG_TR] = x86_desc_to_seg(&d, sel);
}

/* ---- machine status word ---- */

void step_smsw(struct x86_cpu *c, const struct x86_insn *i)
{
    need_umip_rights(c);
    write16(c, i, c->cr0);
}

void step_lmsw(struct x86_cpu *c, const struct x86_insn *i)
{
    need_ring0(c);
    uint64_t low = read16(c, i, 0) & (CR0_PE | CR0_MP | CR0_EM | CR0_TS);
    uint64_t kept = c->cr0 & ~(uint64_t)(CR0_MP | CR0_EM | CR0_TS); /* PE can be set, not cleared */
    x86_cr0_write(c, kept | low);
}

/* ---- FS and GS bases ---- */

void step_swapgs(struct x86_cpu *c, const struct x86_insn *i)
{
    (void)i;
    if (c->mode != X86_MODE_64)
        x86_raise(c, X86_UD);
    need_ring0(c);
    uint64_t base = c->seg[SEG_GS].base;
    c->seg[SEG_GS].base = c->kernel_gs_base;
    c->kernel_gs_base = base;
}

static void need_fsgsbase(struct x86_cpu *c)
{
    if (c->mode != X86_MODE_64 || !(c->cr4 & CR4_FSGSBASE))
        x86_raise(c, X86_UD);
}

static void write_base(struct x86_cpu *c, const struct x86_insn *i, enum x86_seg_reg reg)
{
    need_fsgsbase(c);
    uint64_t base = gpr_read(c, i->op[0].reg, i->opsize);
    if (!x86_canonical(base))
        x86_raise_err(c, X86_GP, 0);
    c->seg[reg].base = base;
}

void step_rdfsbase(struct x86_cpu *c, const struct x86_insn *i)
{
    need_fsgsbase(c);
    gpr_write(c, i->op[0].reg, c->seg[SEG_FS].base, i->opsize);
}

void step_rdgsbase(struct x86_cpu *c, const struct x86_insn *i)
{
    need_fsgsbase(c);
    gpr_write(c, i->op[0].reg, c->seg[SEG_GS].base, i->opsize);
}

void step_wrfsbase(struct x86_cpu *c, const struct x86_insn *i)
{
    write_base(c, i, SEG_FS);
}

void step_wrgsbase(struct x86_cpu *c, const struct x86_insn *i)
{
    write_base(c, i, SEG_GS);
}
