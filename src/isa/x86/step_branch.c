/* SPDX-License-Identifier: MIT */
/*
 * The definition of near branches: jumps, calls, returns, loops.
 *
 * A target is checked before anything is pushed or counted, so that a bad one leaves the CPU at the branch.
 *
 * Spec: Intel SDM 2A, 2B, the instruction's page; 3A 5.3 (limit), 1 3.3.7.1 (canonical)
 */
#include "isa/x86/step_ops.h"

/* A near target cut to the operand size; #GP(0) when execution cannot go on there. */
ALWAYS_INLINE uint64_t target_check(struct x86_cpu *c, uint64_t target, unsigned opsize)
{
    if (__builtin_expect(c->mode == X86_MODE_64, 1)) {
        if (__builtin_expect((uint64_t)((int64_t)(target << 16) >> 16) != target, 0))
            x86_raise_err(c, X86_GP, 0);
        return target;
    }
    target &= opsize == 2 ? 0xffff : 0xffffffff;
    if (target > c->seg[SEG_CS].limit)
        x86_raise_err(c, X86_GP, 0);
    return target;
}

ALWAYS_INLINE uint64_t relative(struct x86_cpu *c, const struct x86_insn *i)
{
    return target_check(c, c->next_rip + i->imm, i->opsize);
}

void step_jcc(struct x86_cpu *c, const struct x86_insn *i)
{
    if (condition(c, insn_cc(i)))
        c->next_rip = relative(c, i);
}

void step_jmp_near(struct x86_cpu *c, const struct x86_insn *i)
{
    c->next_rip = relative(c, i);
}

void step_jmp_near_ind(struct x86_cpu *c, const struct x86_insn *i)
{
    c->next_rip = target_check(c, rd(c, i, 0), i->opsize);
}

void step_call_near(struct x86_cpu *c, const struct x86_insn *i)
{
    uint64_t target = relative(c, i);
    push(c, c->next_rip, i->opsize);
    c->next_rip = target;
}

void step_call_near_ind(struct x86_cpu *c, const struct x86_insn *i)
{
    uint64_t target = target_check(c, rd(c, i, 0), i->opsize);
    push(c, c->next_rip, i->opsize);
    c->next_rip = target;
}

void step_ret_near(struct x86_cpu *c, const struct x86_insn *i)
{
    uint64_t target = target_check(c, mem_read(c, SEG_SS, stack_ptr(c, 0), i->opsize), i->opsize);
    stack_move(c, i->opsize + (i->nr_opnds ? (int64_t)(i->imm & 0xffff) : 0));
    c->next_rip = target;
}

/* LOOP, LOOPE, LOOPNE: rCX by address size; taken while it is not 0 and (kin) ZF agrees. */
ALWAYS_INLINE void loop_while(struct x86_cpu *c, const struct x86_insn *i, bool zf_agrees)
{
    uint64_t n = (gpr_read(c, RCX, i->addrsize) - 1) & size_mask(i->addrsize);
    uint64_t target = n && zf_agrees ? relative(c, i) : c->next_rip;
    gpr_write(c, RCX, n, i->addrsize);
    c->next_rip = target;
}

void step_loop(struct x86_cpu *c, const struct x86_insn *i)
{
    loop_while(c, i, true);
}

void step_loope(struct x86_cpu *c, const struct x86_insn *i)
{
    loop_while(c, i, c->rflags & FLAG_ZF);
}

void step_loopne(struct x86_cpu *c, const struct x86_insn *i)
{
    loop_while(c, i, !(c->rflags & FLAG_ZF));
}

void step_jcxz(struct x86_cpu *c, const struct x86_insn *i)
{
    if (!gpr_read(c, RCX, i->addrsize))
        c->next_rip = relative(c, i);
}
