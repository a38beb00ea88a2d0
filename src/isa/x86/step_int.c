/* SPDX-License-Identifier: MIT */
/*
 * The definition of the software interrupts, IRET, BOUND, and the instructions on the interrupt flag and RFLAGS.
 *
 * IRET unblocks NMIs first, since it does so even when it faults; all else is read and checked before anything changes.
 *
 * Spec: Intel SDM 2A BOUND, CLI, INT n, IRET; 2B POPF, PUSHF, STI; 3A 6.7.1 (NMI), 6.8.3 (shadow), 20.2.7 (virtual-8086)
 */
#include "isa/x86/far.h"
#include "isa/x86/insn_steps.h"
#include "isa/x86/step.h"

enum {
    FLAGS_ALWAYS = FLAGS_ARITH | FLAG_TF | FLAG_DF | FLAG_NT, /* what POPF and IRET write at any level */
    FLAGS_HIGH = FLAG_AC | FLAG_ID,                           /* ... with operand size 32 and 64 */
};

static void need_iopl_in_vm86(struct x86_cpu *c)
{
    if (x86_in_vm86(c) && x86_iopl(c) < 3)
        x86_raise_err(c, X86_GP, 0);
}

static void flags_write(struct x86_cpu *c, uint64_t image, uint64_t mask)
{
    c->rflags = (c->rflags & ~mask) | (image & mask);
}

/* ---- INT, INTO, INT1, BOUND ---- */

void step_int(struct x86_cpu *c, const struct x86_insn *i)
{
    need_iopl_in_vm86(c);
    x86_enter_soft(c, i->imm & 0xff, X86_EVENT_SOFT);
}

void step_int3(struct x86_cpu *c, const struct x86_insn *i)
{
    (void)i;
    x86_enter_soft(c, X86_BP, X86_EVENT_SOFT_EXC);
}

void step_into(struct x86_cpu *c, const struct x86_insn *i)
{
    if (c->mode == X86_MODE_64)
        step_ud(c, i);
    else if (c->rflags & FLAG_OF)
        x86_enter_soft(c, X86_OF, X86_EVENT_SOFT_EXC);
}

void step_int1(struct x86_cpu *c, const struct x86_insn *i)
{
    (void)i;
    x86_enter_soft(c, X86_DB, X86_EVENT_ICEBP);
}

void step_bound(struct x86_cpu *c, const struct x86_insn *i)
{
    unsigned size = i->opsize;
    uint64_t ea = insn_ea(c, i);
    if (c->mode == X86_MODE_64 || i->op[1].kind != OPND_MEM)
        x86_raise(c, X86_UD);
    int64_t index = sign_extend(gpr_read(c, i->op[0].reg, size), size);
    int64_t lower = sign_extend(x86_mem_read(c, i->seg, ea, size), size);
    int64_t upper = sign_extend(x86_mem_read(c, i->seg, (ea + size) & size_mask(i->addrsize), size), size);
    if (index < lower || index > upper)
        x86_raise(c, X86_BR);
}

/* ---- IRET ---- */

/* Real mode, and virtual-8086 mode with IOPL 3. */
static void iret_real(struct x86_cpu *c, unsigned size)
{
    uint64_t ip = x86_stack_peek(c, 0, size), image = x86_stack_peek(c, 2 * size, size);
    uint16_t sel = (uint16_t)x86_stack_peek(c, size, size);
    uint64_t mask = FLAGS_ALWAYS | FLAG_IF | (size == 2 ? 0 : FLAGS_HIGH | FLAG_RF);
    if (!x86_in_vm86(c))
        mask |= FLAG_IOPL;
    x86_check_target(c, &c->seg[SEG_CS], ip, 0);
    x86_stack_set(c, c->gpr[RSP] + 3 * size);
    flags_write(c, image, mask);
    x86_load_seg_real(c, SEG_CS, sel);
    c->next_rip = ip;
}

static void iret_to_vm86(struct x86_cpu *c, uint64_t ip, uint64_t image)
{
    static const uint8_t order[] = { SEG_CS, SEG_SS, SEG_ES, SEG_DS, SEG_FS, SEG_GS };
    uint16_t sel[sizeof(order)];
    uint64_t sp = x86_stack_peek(c, 12, 4);
    sel[0] = (uint16_t)x86_stack_peek(c, 4, 4);
    for (unsigned n = 1; n < sizeof(order); n++)
        sel[n] = (uint16_t)x86_stack_peek(c, 12 + 4 * n, 4);
    if (ip > 0xffff)
        x86_raise_err(c, X86_GP, 0);
    flags_write(c, image, FLAGS_ALWAYS | FLAGS_HIGH | FLAG_RF | FLAG_IF | FLAG_IOPL | FLAG_VM | FLAG_VIF | FLAG_VIP);
    for (unsigned n = 0; n < sizeof(order); n++)
        x86_load_seg_real(c, order[n], sel[n]);
    c->gpr[RSP] = sp;
    c->next_rip = ip;
}

static void iret_protected(struct x86_cpu *c, unsigned size)
{
    struct x86_return r = { .size = size, .off = 3 * size, .always_stack = c->mode == X86_MODE_64 };
    r.ip = x86_stack_peek(c, 0, size);
    r.cs_sel = (uint16_t)x86_stack_peek(c, size, size);
    uint64_t image = x86_stack_peek(c, 2 * size, size), mask = FLAGS_ALWAYS;
    if (size == 4 && image & FLAG_VM && c->cpl == 0 && !c->long_mode) {
        iret_to_vm86(c, r.ip, image);
        return;
    }
    if (size > 2)
        mask |= FLAGS_HIGH | FLAG_RF;
    if (c->cpl <= x86_iopl(c))
        mask |= FLAG_IF;
    if (c->cpl == 0)
        mask |= FLAG_IOPL | (size > 2 ? FLAG_VIF | FLAG_VIP : 0);
    x86_return_check(c, &r);
    flags_write(c, image, mask);
    x86_return_commit(c, &r);
}

void step_iret(struct x86_cpu *c, const struct x86_insn *i)
{
    c->nmi_blocked = false;
    need_iopl_in_vm86(c);
    if (x86_real_style(c)) {
        iret_real(c, i->opsize);
    } else if (c->rflags & FLAG_NT) {
        if (c->long_mode)
            x86_raise_err(c, X86_GP, 0);
        x86_task_return(c, c->next_rip);
    } else {
        iret_protected(c, i->opsize);
    }
}

/* ---- PUSHF, POPF, CLI, STI ---- */

void step_pushf(struct x86_cpu *c, const struct x86_insn *i)
{
    need_iopl_in_vm86(c);
    x86_push(c, c->rflags & ~(uint64_t)(FLAG_VM | FLAG_RF), i->opsize);
}

void step_popf(struct x86_cpu *c, const struct x86_insn *i)
{
    unsigned size = i->opsize;
    uint64_t mask = FLAGS_ALWAYS;
    need_iopl_in_vm86(c);
    uint64_t image = x86_stack_peek(c, 0, size), before = c->rflags;
    if (size > 2)
        mask |= FLAGS_HIGH;
    if (c->cpl == 0)
        mask |= FLAG_IOPL;
    if (c->cpl <= x86_iopl(c))
        mask |= FLAG_IF;
    flags_write(c, image, mask);
    c->rflags &= ~(uint64_t)FLAG_RF;
    if (size > 2 && !x86_in_vm86(c))
        c->rflags &= ~(uint64_t)(FLAG_VIF | FLAG_VIP);
    x86_stack_set(c, c->gpr[RSP] + size);
    x86_flags_update(c);
    if (((c->rflags ^ before) & (FLAG_TF | FLAG_AC)) || (c->rflags & ~before & FLAG_IF))
        c->code_written = true; /* what happens at boundaries has changed */
}

static void need_interrupt_rights(struct x86_cpu *c)
{
    if ((c->cr0 & CR0_PE) && c->cpl > x86_iopl(c))
        x86_raise_err(c, X86_GP, 0);
}

void step_cli(struct x86_cpu *c, const struct x86_insn *i)
{
    (void)i;
    need_interrupt_rights(c);
    c->rflags &= ~(uint64_t)FLAG_IF;
}

void step_sti(struct x86_cpu *c, const struct x86_insn *i)
{
    (void)i;
    need_interrupt_rights(c);
    if (c->rflags & FLAG_IF)
        return;
    c->rflags |= FLAG_IF;
    c->int_shadow = 1;
    c->code_written = true; /* the next instruction is stepped */
    x86_flags_update(c);
}
