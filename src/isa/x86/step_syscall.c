/* SPDX-License-Identifier: MIT */
/*
 * The definition of SYSCALL, SYSRET, SYSENTER, SYSEXIT: fast calls with fixed flat segments.
 *
 * As on Intel CPUs: SYSRET to a non-canonical address raises #GP at CPL 0, and loads all of SS; both instructions need
 * long mode. SYSCALL in compatibility mode works as on AMD's once the kernel has set CSTAR; kernels that
 * believe in an Intel CPU leave it 0, and then it is #UD as there.
 *
 * Spec: Intel SDM 2B SYSCALL, SYSENTER, SYSEXIT, SYSRET; 3A 5.8.7, 5.8.8; AMD APM 3 SYSCALL
 */
#include "isa/x86/far.h"
#include "isa/x86/insn_steps.h"
#include "isa/x86/step.h"

enum {
    ATTR_CODE = SEG_P | SEG_S | SEG_TYPE_CODE | SEG_TYPE_RW | SEG_TYPE_A | SEG_G,
    ATTR_CODE32 = ATTR_CODE | SEG_DB,
    ATTR_CODE64 = ATTR_CODE | SEG_L,
    ATTR_STACK = SEG_P | SEG_S | SEG_TYPE_RW | SEG_TYPE_A | SEG_G | SEG_DB,
    DR6_BS = 1 << 14,
};

/* Loads CS and SS with flat segments of ring `cpl`. */
static void load_flat(struct x86_cpu *c, unsigned cs_sel, unsigned ss_sel, bool wide, unsigned cpl)
{
    uint32_t dpl = cpl << SEG_DPL_SHIFT;
    c->seg[SEG_CS] = x86_seg_flat((uint16_t)((cs_sel & ~3u) | cpl), (wide ? ATTR_CODE64 : ATTR_CODE32) | dpl);
    c->seg[SEG_SS] = x86_seg_flat((uint16_t)((ss_sel & ~3u) | cpl), ATTR_STACK | dpl);
    x86_mode_update(c);
}

/* Unlike other instructions, these two sample TF when they are done. */
static void sample_tf(struct x86_cpu *c)
{
    c->step_trap = c->rflags & FLAG_TF;
    if (c->step_trap)
        c->pending_dbg |= DR6_BS;
    x86_flags_update(c);
}

void step_syscall(struct x86_cpu *c, const struct x86_insn *i)
{
    uint64_t target = c->mode == X86_MODE_64 ? c->lstar : c->cstar;
    (void)i;
    if (!(c->efer & EFER_SCE) || !c->long_mode || (c->mode != X86_MODE_64 && !target))
        x86_raise(c, X86_UD);
    c->gpr[RCX] = c->next_rip;
    c->gpr[R11] = c->rflags & ~(uint64_t)FLAG_RF;
    c->rflags = (c->rflags & ~c->fmask & ~(uint64_t)FLAG_RF) | FLAG_ONE;
    unsigned sel = c->star >> 32 & 0xffff;
    load_flat(c, sel, sel + 8, true, 0);
    c->next_rip = target;
    sample_tf(c);
}

void step_sysret(struct x86_cpu *c, const struct x86_insn *i)
{
    enum { LOADED = FLAGS_ARITH | FLAG_TF | FLAG_IF | FLAG_DF | FLAG_IOPL | FLAG_NT | FLAG_AC | FLAG_VIF | FLAG_VIP | FLAG_ID };
    bool wide = i->opsize == 8;
    if (!(c->efer & EFER_SCE) || c->mode != X86_MODE_64)
        x86_raise(c, X86_UD);
    if (c->cpl != 0)
        x86_raise_err(c, X86_GP, 0);
    if (wide && !x86_canonical(c->gpr[RCX]))
        x86_raise_err(c, X86_GP, 0);
    unsigned sel = c->star >> 48;
    c->rflags = (c->gpr[R11] & LOADED) | FLAG_ONE;
    c->next_rip = wide ? c->gpr[RCX] : (uint32_t)c->gpr[RCX];
    load_flat(c, wide ? sel + 16 : sel, sel + 8, wide, 3);
    sample_tf(c);
}

void step_sysenter(struct x86_cpu *c, const struct x86_insn *i)
{
    unsigned sel = c->sysenter_cs & 0xfffc;
    bool wide = c->long_mode;
    (void)i;
    if (!(c->cr0 & CR0_PE) || !sel)
        x86_raise_err(c, X86_GP, 0);
    c->rflags &= ~(uint64_t)(FLAG_VM | FLAG_IF | FLAG_RF);
    c->gpr[RSP] = wide ? c->sysenter_esp : (uint32_t)c->sysenter_esp;
    c->next_rip = wide ? c->sysenter_eip : (uint32_t)c->sysenter_eip;
    load_flat(c, sel, sel + 8, wide, 0);
}

void step_sysexit(struct x86_cpu *c, const struct x86_insn *i)
{
    unsigned sel = c->sysenter_cs & 0xfffc;
    bool wide = i->opsize == 8;
    if (!(c->cr0 & CR0_PE) || !sel)
        x86_raise_err(c, X86_GP, 0);
    if (c->cpl != 0)
        x86_raise_err(c, X86_GP, 0);
    if (wide && (!x86_canonical(c->gpr[RCX]) || !x86_canonical(c->gpr[RDX])))
        x86_raise_err(c, X86_GP, 0);
    c->gpr[RSP] = wide ? c->gpr[RCX] : (uint32_t)c->gpr[RCX];
    c->next_rip = wide ? c->gpr[RDX] : (uint32_t)c->gpr[RDX];
    sel += wide ? 32 : 16;
    load_flat(c, sel, sel + 8, wide, 3);
}
