/* SPDX-License-Identifier: MIT */
/*
 * The definition of far CALL, JMP and RET: to code segments, through call gates, to tasks.
 *
 * Spec: Intel SDM 2A CALL, JMP; 2B RET; 3A 5.8 (privilege), 7.3 (tasks)
 */
#include "isa/x86/far.h"
#include "isa/x86/insn_steps.h"
#include "isa/x86/step.h"

/* A far transfer under way. */
struct far {
    uint64_t off;
    uint16_t sel;
    unsigned size; /* operand size: of what CALL pushes, unless a gate says otherwise */
    bool call;
};

/* Goes to ip in cs; CS.DPL and SS are consistent already. */
static void go(struct x86_cpu *c, const struct x86_seg *cs, uint64_t ip)
{
    c->seg[SEG_CS] = *cs;
    c->next_rip = ip;
    x86_mode_update(c);
}

/* Pushes CS and the return address on the stack in use; the pointer moves before CS may change its width. */
static void push_return(struct x86_cpu *c, const struct x86_seg *cs, uint64_t ip, unsigned size)
{
    struct x86_frame f;
    x86_frame_init_current(c, &f, size, 0);
    x86_frame_push(&f, c->seg[SEG_CS].sel);
    x86_frame_push(&f, c->next_rip);
    x86_frame_check(c, &f);
    x86_check_target(c, cs, ip, 0);
    x86_stack_set(c, x86_frame_write(c, &f));
}

static void far_real(struct x86_cpu *c, const struct far *t)
{
    if (t->call)
        push_return(c, &c->seg[SEG_CS], t->off, t->size);
    else
        x86_check_target(c, &c->seg[SEG_CS], t->off, 0);
    x86_load_seg_real(c, SEG_CS, t->sel);
    c->next_rip = t->off;
}

/* Straight to a code segment: the level stays. */
static void far_code(struct x86_cpu *c, const struct far *t, struct x86_desc *d)
{
    bool ok = desc_is_code(d);
    if (ok && desc_is_conforming(d))
        ok = desc_dpl(d) <= c->cpl;
    else if (ok)
        ok = (t->sel & 3) <= c->cpl && desc_dpl(d) == c->cpl;
    if (!ok)
        x86_raise_err(c, X86_GP, sel_error(t->sel, 0));
    x86_check_code_width(c, d, 0);
    if (!desc_present(d))
        x86_raise_err(c, X86_NP, sel_error(t->sel, 0));
    struct x86_seg cs = x86_code_seg(d, c->cpl);
    cs.attr |= SEG_TYPE_A;
    x86_check_target(c, &cs, t->off, 0);
    x86_desc_set_accessed(c, d);
    if (t->call)
        push_return(c, &cs, t->off, t->size);
    go(c, &cs, t->off);
}

/* ---- call gates ---- */

/* The code segment a call gate names, checked for the gate's use. */
static struct x86_desc gate_code(struct x86_cpu *c, uint16_t sel, bool call)
{
    struct x86_desc d;
    if (sel_is_null(sel))
        x86_raise_err(c, X86_GP, 0);
    bool ok = x86_desc_read(c, sel, &d) && desc_is_code(&d) && desc_dpl(&d) <= c->cpl;
    if (ok && !call && !desc_is_conforming(&d))
        ok = desc_dpl(&d) == c->cpl;
    if (ok && c->long_mode)
        ok = (desc_attr(&d) & (SEG_L | SEG_DB)) == SEG_L;
    if (!ok)
        x86_raise_err(c, X86_GP, sel_error(sel, 0));
    if (!desc_present(&d))
        x86_raise_err(c, X86_NP, sel_error(sel, 0));
    return d;
}

static void copy_parameters(struct x86_cpu *c, struct x86_frame *f, unsigned count)
{
    for (unsigned n = count; n-- > 0;)
        x86_frame_push(f, x86_stack_peek(c, (uint64_t)n * f->size, f->size));
}

/* CALL through a gate to an inner level: on the stack that the TSS names. */
static void gate_inner(struct x86_cpu *c, struct x86_desc *code, uint64_t ip, unsigned size, unsigned parameters)
{
    unsigned cpl = desc_dpl(code);
    struct x86_seg cs = x86_code_seg(code, cpl), ss;
    struct x86_new_stack stack;
    struct x86_frame f;
    if (c->long_mode) {
        ss = x86_seg_null((uint16_t)cpl, cpl);
        x86_frame_init(&f, &ss, x86_tss_rsp(c, 4 + cpl * 8, 0), 8, 8, 0);
    } else {
        x86_tss_stack(c, cpl, 0, &stack);
        ss = x86_desc_to_seg(&stack.desc, stack.sel);
        x86_frame_init(&f, &ss, stack.sp, ss.attr & SEG_DB ? 4 : 2, size, sel_error(stack.sel, 0));
    }
    x86_frame_push(&f, c->seg[SEG_SS].sel);
    x86_frame_push(&f, c->gpr[RSP]);
    copy_parameters(c, &f, parameters);
    x86_frame_push(&f, c->seg[SEG_CS].sel);
    x86_frame_push(&f, c->next_rip);
    x86_frame_check(c, &f);
    x86_check_target(c, &cs, ip, 0);
    x86_desc_set_accessed(c, code);
    if (!c->long_mode) {
        x86_desc_set_accessed(c, &stack.desc);
        ss = x86_desc_to_seg(&stack.desc, stack.sel);
    }
    uint64_t sp = x86_frame_write(c, &f);
    cs.attr |= SEG_TYPE_A;
    c->seg[SEG_SS] = ss;
    go(c, &cs, ip);
    x86_stack_set(c, sp);
}

static void far_gate(struct x86_cpu *c, const struct far *t, struct x86_desc *gate)
{
    unsigned size = c->long_mode ? 8 : desc_type(gate) == SYS_CALL ? 4 : 2;
    uint64_t ip = (gate->lo & 0xffff) | (size > 2 ? gate->lo >> 32 & 0xffff0000 : 0);
    if (c->long_mode) {
        /* the upper half must say type 0, so that nobody uses it as a descriptor */
        if (!x86_desc_read_upper(c, gate) || (gate->hi >> 40 & 0x1f))
            x86_raise_err(c, X86_GP, sel_error(t->sel, 0));
        ip |= gate->hi << 32;
    }
    if (!desc_present(gate))
        x86_raise_err(c, X86_NP, sel_error(t->sel, 0));
    struct x86_desc code = gate_code(c, (uint16_t)(gate->lo >> 16), t->call);
    if (t->call && !desc_is_conforming(&code) && desc_dpl(&code) < c->cpl) {
        gate_inner(c, &code, ip, size, c->long_mode ? 0 : gate->lo >> 32 & 31);
        return;
    }
    struct x86_seg cs = x86_code_seg(&code, c->cpl);
    cs.attr |= SEG_TYPE_A;
    x86_check_target(c, &cs, ip, 0);
    x86_desc_set_accessed(c, &code);
    if (t->call)
        push_return(c, &cs, ip, size);
    go(c, &cs, ip);
}

static void far_task(struct x86_cpu *c, const struct far *t, const struct x86_desc *d)
{
    uint16_t sel = t->sel;
    if (desc_type(d) == SYS_TASK_GATE) {
        if (!desc_present(d))
            x86_raise_err(c, X86_NP, sel_error(sel, 0));
        sel = (uint16_t)(d->lo >> 16);
    }
    x86_task_switch(c, sel, t->call ? X86_TASK_CALL : X86_TASK_JMP, c->next_rip, c->rflags, 0);
}

static void far_transfer(struct x86_cpu *c, const struct far *t)
{
    struct x86_desc d;
    if (x86_real_style(c)) {
        far_real(c, t);
        return;
    }
    if (sel_is_null(t->sel))
        x86_raise_err(c, X86_GP, 0);
    if (!x86_desc_read(c, t->sel, &d))
        x86_raise_err(c, X86_GP, sel_error(t->sel, 0));
    if (desc_type(&d) & SEG_S) {
        far_code(c, t, &d);
        return;
    }
    if (desc_dpl(&d) < c->cpl || (t->sel & 3) > desc_dpl(&d))
        x86_raise_err(c, X86_GP, sel_error(t->sel, 0));
    unsigned type = desc_type(&d);
    if (type == SYS_CALL || (type == SYS_CALL16 && !c->long_mode))
        far_gate(c, t, &d);
    else if ((type == SYS_TASK_GATE || type == SYS_TSS || type == SYS_TSS16) && !c->long_mode)
        far_task(c, t, &d);
    else
        x86_raise_err(c, X86_GP, sel_error(t->sel, 0));
}

/* ---- CALL, JMP ---- */

static struct far far_immediate(const struct x86_insn *i, bool call)
{
    return (struct far){ .off = i->imm & size_mask(i->opsize), .sel = i->imm2, .size = i->opsize, .call = call };
}

static struct far far_memory(struct x86_cpu *c, const struct x86_insn *i, bool call)
{
    uint64_t ea = insn_ea(c, i);
    struct far t = { .size = i->opsize, .call = call };
    t.off = x86_mem_read(c, i->seg, ea, i->opsize);
    t.sel = (uint16_t)x86_mem_read(c, i->seg, (ea + i->opsize) & size_mask(i->addrsize), 2);
    return t;
}

void step_call_far(struct x86_cpu *c, const struct x86_insn *i)
{
    struct far t = far_immediate(i, true);
    far_transfer(c, &t);
}

void step_call_far_ind(struct x86_cpu *c, const struct x86_insn *i)
{
    struct far t = far_memory(c, i, true);
    far_transfer(c, &t);
}

void step_jmp_far(struct x86_cpu *c, const struct x86_insn *i)
{
    struct far t = far_immediate(i, false);
    far_transfer(c, &t);
}

void step_jmp_far_ind(struct x86_cpu *c, const struct x86_insn *i)
{
    struct far t = far_memory(c, i, false);
    far_transfer(c, &t);
}

/* ---- RET ---- */

static void return_code(struct x86_cpu *c, struct x86_return *r)
{
    struct x86_desc *d = &r->cs_desc;
    unsigned rpl = r->cs_sel & 3;
    if (sel_is_null(r->cs_sel))
        x86_raise_err(c, X86_GP, 0);
    bool ok = x86_desc_read(c, r->cs_sel, d) && desc_is_code(d) && rpl >= c->cpl;
    if (!ok || (desc_is_conforming(d) ? desc_dpl(d) > rpl : desc_dpl(d) != rpl))
        x86_raise_err(c, X86_GP, sel_error(r->cs_sel, 0));
    x86_check_code_width(c, d, 0);
    if (!desc_present(d))
        x86_raise_err(c, X86_NP, sel_error(r->cs_sel, 0));
    r->cpl = rpl;
    r->cs = x86_code_seg(d, rpl);
    r->cs.attr |= SEG_TYPE_A;
}

static void return_stack(struct x86_cpu *c, struct x86_return *r)
{
    struct x86_desc *d = &r->ss_desc;
    r->sp = x86_stack_peek(c, r->off, r->size) + r->extra;
    uint16_t sel = (uint16_t)x86_stack_peek(c, r->off + r->size, r->size);
    if (sel_is_null(sel)) {
        bool to64 = c->long_mode && r->cs.attr & SEG_L;
        if (!to64 || r->cpl == 3 || (sel & 3) != r->cpl)
            x86_raise_err(c, X86_GP, 0);
        r->ss = x86_seg_null(sel, r->cpl);
        return;
    }
    if (!x86_desc_read(c, sel, d) || (sel & 3) != r->cpl || !desc_is_writable_data(d) || desc_dpl(d) != r->cpl)
        x86_raise_err(c, X86_GP, sel_error(sel, 0));
    if (!desc_present(d))
        x86_raise_err(c, X86_SS, sel_error(sel, 0));
    r->ss = x86_desc_to_seg(d, sel);
    r->ss.attr |= SEG_TYPE_A;
}

void x86_return_check(struct x86_cpu *c, struct x86_return *r)
{
    return_code(c, r);
    r->load_ss = r->always_stack || r->cpl > c->cpl;
    if (r->load_ss)
        return_stack(c, r);
    else
        r->sp = c->gpr[RSP] + r->off;
    x86_check_target(c, &r->cs, r->ip, 0);
    x86_desc_set_accessed(c, &r->cs_desc);
    if (r->load_ss && !(r->ss.attr & SEG_UNUSABLE))
        x86_desc_set_accessed(c, &r->ss_desc);
}

void x86_return_commit(struct x86_cpu *c, const struct x86_return *r)
{
    bool outer = r->cpl > c->cpl;
    if (!r->load_ss)
        x86_stack_set(c, r->sp); /* by the width of the stack it was popped from */
    c->seg[SEG_CS] = r->cs;
    if (r->load_ss)
        c->seg[SEG_SS] = r->ss;
    c->next_rip = r->ip;
    x86_mode_update(c);
    if (r->load_ss)
        x86_stack_set(c, r->sp);
    if (outer) {
        x86_seg_drop_inner(c);
        x86_mode_update(c);
    }
}

void step_ret_far(struct x86_cpu *c, const struct x86_insn *i)
{
    unsigned size = i->opsize;
    uint64_t extra = i->nr_opnds ? i->imm & 0xffff : 0;
    uint64_t ip = x86_stack_peek(c, 0, size);
    uint16_t sel = (uint16_t)x86_stack_peek(c, size, size);
    if (x86_real_style(c)) {
        x86_check_target(c, &c->seg[SEG_CS], ip, 0);
        x86_stack_set(c, c->gpr[RSP] + 2 * size + extra);
        x86_load_seg_real(c, SEG_CS, sel);
        c->next_rip = ip;
        return;
    }
    struct x86_return r = { .ip = ip, .cs_sel = sel, .size = size, .off = 2 * size + extra, .extra = extra };
    x86_return_check(c, &r);
    x86_return_commit(c, &r);
}
