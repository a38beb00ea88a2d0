/* SPDX-License-Identifier: MIT */
/*
 * Exceptions and interrupts: raising them, entering their handlers, double and triple faults.
 *
 * Entry has two halves: everything that can fault (gate, code segment, stack, limits, then the writes of the frame),
 * and the commit, which cannot. So a fault in delivery leaves the state as it was, and the double-fault rules can start
 * over from it. The one exception is a task gate, whose second half runs inside the new task, as in the hardware.
 *
 * Spec: Intel SDM 3A 6.3 to 6.15, 2A INT n; 3A 20.1.4 (real mode), 20.3 (virtual-8086); 3B 17.2.3 (DR6)
 */
#include "isa/x86/trap.h"

#include "isa/x86/far.h"

enum { DR6_B = 0xf, DR6_BD = 1 << 13, DR7_GD = 1 << 13, DEBUGCTL_LBR_BTF = 3 };

struct entry {
    unsigned vector;
    enum x86_event event;
    bool has_error;
    bool set_rf; /* fault class: the frame's RF is 1 */
    uint32_t error;
    unsigned ext; /* bit 0 of error codes raised on the way */
    uint64_t ret_ip;
};

_Noreturn void x86_raise(struct x86_cpu *c, unsigned vector)
{
    c->trap = (struct x86_trap){ .vector = (uint8_t)vector };
    longjmp(*c->trap_env, 1);
}

_Noreturn void x86_raise_err(struct x86_cpu *c, unsigned vector, uint32_t error)
{
    c->trap = (struct x86_trap){ .vector = (uint8_t)vector, .has_error = true, .error = error };
    longjmp(*c->trap_env, 1);
}

_Noreturn void x86_raise_pf(struct x86_cpu *c, gva_t lin, uint32_t error)
{
    c->trap = (struct x86_trap){ .vector = X86_PF, .has_error = true, .error = error, .cr2 = lin };
    longjmp(*c->trap_env, 1);
}

_Noreturn void x86_raise_db(struct x86_cpu *c, uint64_t dr6)
{
    c->trap = (struct x86_trap){ .vector = X86_DB, .dr6 = dr6 };
    longjmp(*c->trap_env, 1);
}

_Noreturn void x86_raise_seg(struct x86_cpu *c, enum x86_seg_reg seg)
{
    x86_raise_err(c, seg == SEG_SS ? X86_SS : X86_GP, 0);
}

/* ---- entry ---- */

static bool is_soft(const struct entry *e)
{
    return e->event == X86_EVENT_SOFT || e->event == X86_EVENT_SOFT_EXC;
}

static uint64_t frame_flags(const struct x86_cpu *c, const struct entry *e)
{
    return e->set_rf ? c->rflags | FLAG_RF : c->rflags;
}

static void push_flags_cs_ip(const struct x86_cpu *c, const struct entry *e, struct x86_frame *f)
{
    x86_frame_push(f, frame_flags(c, e));
    x86_frame_push(f, c->seg[SEG_CS].sel);
    x86_frame_push(f, e->ret_ip);
}

/* What every entry does last; CS, SS and the stack pointer are loaded. */
static void commit(struct x86_cpu *c, const struct entry *e, uint64_t ip, uint64_t sp, bool clear_if)
{
    c->rflags &= ~(uint64_t)(FLAG_TF | FLAG_RF | FLAG_VM | (clear_if ? FLAG_IF : 0));
    if (c->cr0 & CR0_PE)
        c->rflags &= ~(uint64_t)FLAG_NT;
    c->rip = ip;
    x86_mode_update(c);
    x86_stack_set(c, sp);
    if (e->event == X86_EVENT_NMI)
        c->nmi_blocked = true;
}

static void enter_real(struct x86_cpu *c, const struct entry *e)
{
    struct x86_frame f;
    uint32_t at = e->vector * 4;
    if (at + 3 > c->idtr.limit)
        x86_raise_err(c, X86_GP, e->vector * 8 + 2 + e->ext);
    uint32_t to = (uint32_t)x86_lin_read(c, (uint32_t)(c->idtr.base + at), 4, X86_BANK_KERNEL);
    x86_frame_init_current(c, &f, 2, e->ext);
    push_flags_cs_ip(c, e, &f);
    x86_frame_check(c, &f);
    x86_check_target(c, &c->seg[SEG_CS], to & 0xffff, e->ext);
    uint64_t sp = x86_frame_write(c, &f);
    c->rflags &= ~(uint64_t)FLAG_AC;
    x86_load_seg_real(c, SEG_CS, (uint16_t)(to >> 16));
    commit(c, e, to & 0xffff, sp, true);
}

/* Reads the gate of the vector and checks what all protected modes check. `long_gate`: 16 bytes. */
static struct x86_desc gate_read(struct x86_cpu *c, const struct entry *e, bool long_gate)
{
    uint32_t error = e->vector * 8 + 2 + e->ext;
    uint32_t size = long_gate ? 16 : 8, at = e->vector * size;
    struct x86_desc g = { 0 };
    bool ok = false;
    if (at + size - 1 > c->idtr.limit)
        x86_raise_err(c, X86_GP, error);
    g.lin = c->idtr.base + at;
    g.lo = x86_lin_read(c, g.lin, 8, X86_BANK_KERNEL);
    if (long_gate)
        g.hi = x86_lin_read(c, g.lin + 8, 8, X86_BANK_KERNEL);
    switch (desc_type(&g)) {
    case SYS_INT:
    case SYS_TRAP: ok = true; break;
    case SYS_INT16:
    case SYS_TRAP16:
    case SYS_TASK_GATE: ok = !long_gate; break;
    default: break;
    }
    if (!ok || (is_soft(e) && desc_dpl(&g) < c->cpl))
        x86_raise_err(c, X86_GP, error);
    if (!desc_present(&g))
        x86_raise_err(c, X86_NP, error);
    return g;
}

/* The code segment of an interrupt or trap gate. ret_cpl: the level its handler runs at. */
static struct x86_desc handler_code(struct x86_cpu *c, const struct entry *e, uint16_t sel, unsigned *ret_cpl)
{
    struct x86_desc d;
    if (sel_is_null(sel))
        x86_raise_err(c, X86_GP, e->ext);
    if (!x86_desc_read(c, sel, &d) || !desc_is_code(&d) || desc_dpl(&d) > c->cpl)
        x86_raise_err(c, X86_GP, sel_error(sel, e->ext));
    if (c->long_mode && (desc_attr(&d) & (SEG_L | SEG_DB)) != SEG_L)
        x86_raise_err(c, X86_GP, sel_error(sel, e->ext));
    if (!desc_present(&d))
        x86_raise_err(c, X86_NP, sel_error(sel, e->ext));
    *ret_cpl = desc_is_conforming(&d) ? c->cpl : desc_dpl(&d);
    if (x86_in_vm86(c) && *ret_cpl != 0)
        x86_raise_err(c, X86_GP, sel_error(sel, e->ext));
    return d;
}

static void push_vm86_segs(const struct x86_cpu *c, struct x86_frame *f)
{
    x86_frame_push(f, c->seg[SEG_GS].sel);
    x86_frame_push(f, c->seg[SEG_FS].sel);
    x86_frame_push(f, c->seg[SEG_DS].sel);
    x86_frame_push(f, c->seg[SEG_ES].sel);
}

static void null_vm86_segs(struct x86_cpu *c)
{
    c->seg[SEG_GS] = c->seg[SEG_FS] = c->seg[SEG_DS] = c->seg[SEG_ES] = x86_seg_null(0, 0);
}

/* 16- and 32-bit interrupt and trap gates. */
static void enter_gate(struct x86_cpu *c, const struct entry *e, const struct x86_desc *gate)
{
    bool wide = desc_type(gate) & 8, vm86 = x86_in_vm86(c);
    uint64_t ip = (gate->lo & 0xffff) | (wide ? gate->lo >> 32 & 0xffff0000 : 0);
    unsigned cpl, size = wide ? 4 : 2;
    struct x86_desc code = handler_code(c, e, (uint16_t)(gate->lo >> 16), &cpl);
    struct x86_seg cs = x86_code_seg(&code, cpl), ss = c->seg[SEG_SS];
    struct x86_new_stack stack;
    struct x86_frame f;
    bool inner = cpl < c->cpl;
    if (inner) {
        x86_tss_stack(c, cpl, e->ext, &stack);
        ss = x86_desc_to_seg(&stack.desc, stack.sel);
        x86_frame_init(&f, &ss, stack.sp, ss.attr & SEG_DB ? 4 : 2, size, sel_error(stack.sel, e->ext));
        if (vm86)
            push_vm86_segs(c, &f);
        x86_frame_push(&f, c->seg[SEG_SS].sel);
        x86_frame_push(&f, c->gpr[RSP]);
    } else {
        x86_frame_init_current(c, &f, size, e->ext);
    }
    push_flags_cs_ip(c, e, &f);
    if (e->has_error)
        x86_frame_push(&f, e->error);
    x86_frame_check(c, &f);
    x86_check_target(c, &cs, ip, e->ext);
    x86_desc_set_accessed(c, &code);
    if (inner) {
        x86_desc_set_accessed(c, &stack.desc);
        ss = x86_desc_to_seg(&stack.desc, stack.sel);
    }
    uint64_t sp = x86_frame_write(c, &f);
    cs.attr |= SEG_TYPE_A;
    c->seg[SEG_CS] = cs;
    c->seg[SEG_SS] = ss;
    if (vm86)
        null_vm86_segs(c);
    commit(c, e, ip, sp, !(desc_type(gate) & 1));
}

static void enter_task(struct x86_cpu *c, const struct entry *e, const struct x86_desc *gate)
{
    x86_task_switch(c, (uint16_t)(gate->lo >> 16), X86_TASK_CALL, e->ret_ip, frame_flags(c, e), e->ext);
    if (e->event == X86_EVENT_NMI)
        c->nmi_blocked = true;
    if (e->has_error)
        x86_task_push_error(c, e->error);
}

/* Interrupt and trap gates of long mode. Spec: SDM 3A 6.14 */
static void enter_long(struct x86_cpu *c, const struct entry *e)
{
    struct x86_desc gate = gate_read(c, e, true);
    uint64_t ip = (gate.lo & 0xffff) | (gate.lo >> 32 & 0xffff0000) | gate.hi << 32;
    unsigned cpl, ist = gate.lo >> 32 & 7;
    struct x86_desc code = handler_code(c, e, (uint16_t)(gate.lo >> 16), &cpl);
    struct x86_seg cs = x86_code_seg(&code, cpl), ss = c->seg[SEG_SS];
    uint64_t rsp = c->gpr[RSP];
    struct x86_frame f;
    if (ist)
        rsp = x86_tss_rsp(c, 28 + ist * 8, e->ext);
    else if (cpl < c->cpl)
        rsp = x86_tss_rsp(c, 4 + cpl * 8, e->ext);
    if (cpl < c->cpl)
        ss = x86_seg_null((uint16_t)cpl, cpl);
    x86_frame_init(&f, &ss, rsp & ~15ULL, 8, 8, e->ext);
    if (cpl == c->cpl)
        f.bank = c->bank;
    x86_frame_push(&f, c->seg[SEG_SS].sel);
    x86_frame_push(&f, c->gpr[RSP]);
    push_flags_cs_ip(c, e, &f);
    if (e->has_error)
        x86_frame_push(&f, e->error);
    x86_frame_check(c, &f);
    x86_check_target(c, &cs, ip, e->ext);
    x86_desc_set_accessed(c, &code);
    uint64_t sp = x86_frame_write(c, &f);
    cs.attr |= SEG_TYPE_A;
    c->seg[SEG_CS] = cs;
    c->seg[SEG_SS] = ss;
    commit(c, e, ip, sp, !(desc_type(&gate) & 1));
}

static void enter(struct x86_cpu *c, const struct entry *e)
{
    if (!(c->cr0 & CR0_PE)) {
        enter_real(c, e);
    } else if (c->long_mode) {
        enter_long(c, e);
    } else {
        struct x86_desc gate = gate_read(c, e, false);
        if (desc_type(&gate) == SYS_TASK_GATE)
            enter_task(c, e, &gate);
        else
            enter_gate(c, e, &gate);
    }
    c->next_rip = c->rip;
    c->int_shadow = 0;
    c->step_trap = false;
    if (e->vector == X86_DB && (e->event == X86_EVENT_EXCEPTION || e->event == X86_EVENT_ICEBP)) {
        c->dr7 &= ~(uint64_t)DR7_GD;
        c->debugctl &= ~(uint64_t)DEBUGCTL_LBR_BTF;
    }
    x86_flags_update(c);
}

/* Fault-class vectors; #DB and the traps are not among them. Spec: SDM 3A table 6-1, 3B 17.3.1.1 */
static bool is_fault(unsigned vector)
{
    enum {
        FAULTS = 1 << X86_DE | 1 << X86_BR | 1 << X86_UD | 1 << X86_NM | 1 << X86_TS | 1 << X86_NP | 1 << X86_SS | 1 << X86_GP
                 | 1 << X86_PF | 1 << X86_MF | 1 << X86_AC | 1 << X86_XM
    };
    return vector < 32 && (FAULTS >> vector & 1);
}

static struct entry make_entry(unsigned vector, enum x86_event event, bool has_error, uint32_t error)
{
    bool soft = event == X86_EVENT_SOFT || event == X86_EVENT_SOFT_EXC;
    return (struct entry){ .vector = vector,
                           .event = event,
                           .has_error = has_error,
                           .error = error,
                           .ext = !soft,
                           .set_rf = event == X86_EVENT_EXCEPTION && is_fault(vector) };
}

void x86_enter(struct x86_cpu *c, unsigned vector, enum x86_event event, bool has_error, uint32_t error)
{
    struct entry e = make_entry(vector, event, has_error, error);
    e.ret_ip = c->rip;
    enter(c, &e);
}

void x86_enter_soft(struct x86_cpu *c, unsigned vector, enum x86_event event)
{
    struct entry e = make_entry(vector, event, false, 0);
    uint64_t rip = c->rip;
    e.ret_ip = c->next_rip;
    enter(c, &e);
    c->rip = rip; /* the run loop goes on at next_rip */
}

/* ---- delivery ---- */

/* Enters; false when that raised, with c->trap saying what. */
static bool try_enter(struct x86_cpu *c, const struct entry *e)
{
    jmp_buf env, *outer = c->trap_env;
    c->trap_env = &env;
    if (setjmp(env) != 0) {
        c->trap_env = outer;
        return false;
    }
    enter(c, e);
    c->trap_env = outer;
    return true;
}

static bool is_contributory(unsigned vector)
{
    return vector == X86_DE || (vector >= X86_TS && vector <= X86_GP);
}

/* Spec: SDM 3A table 6-5; only exceptions count as the first, interrupts are benign */
static bool makes_double_fault(const struct entry *first, unsigned second)
{
    if (first->event != X86_EVENT_EXCEPTION)
        return false;
    if (is_contributory(first->vector))
        return is_contributory(second);
    return first->vector == X86_PF && (is_contributory(second) || second == X86_PF);
}

/* The entry for c->trap; what the CPU does when it notices the exception is done here. */
static struct entry entry_of_trap(struct x86_cpu *c)
{
    const struct x86_trap *t = &c->trap;
    struct entry e = make_entry(t->vector, X86_EVENT_EXCEPTION, t->has_error, t->error);
    if (t->vector == X86_PF)
        c->cr2 = t->cr2;
    if (t->vector == X86_DB) {
        c->dr6 = (c->dr6 & ~(uint64_t)DR6_B) | t->dr6;
        e.set_rf = t->dr6 & DR6_BD;
    }
    return e;
}

static void deliver(struct x86_cpu *c, struct entry e)
{
    /* By table 6-5 a chain ends after four; the bound keeps a guest from hanging us whatever entries may raise one day. */
    enum { ROUNDS = 8 };
    for (unsigned n = 0; n < ROUNDS; n++) {
        e.ret_ip = c->rip;
        if (try_enter(c, &e))
            return;
        if (e.event == X86_EVENT_EXCEPTION && e.vector == X86_DF)
            break;
        struct entry second = entry_of_trap(c);
        e = makes_double_fault(&e, second.vector) ? make_entry(X86_DF, X86_EVENT_EXCEPTION, true, 0) : second;
    }
    c->activity = X86_SHUTDOWN; /* rip stays where it happened */
}

void x86_deliver_trap(struct x86_cpu *c)
{
    struct entry e = entry_of_trap(c);
    c->pending_dbg = 0; /* the instruction did not complete: its breakpoints match again when it is restarted */
    c->step_trap = false;
    deliver(c, e);
}

void x86_deliver_event(struct x86_cpu *c, unsigned vector, enum x86_event event)
{
    if (vector == X86_DB && event == X86_EVENT_EXCEPTION) {
        c->dr6 = (c->dr6 & ~(uint64_t)DR6_B) | c->pending_dbg;
        c->pending_dbg = 0;
    }
    if (c->activity == X86_HALTED)
        c->activity = X86_RUNNING;
    deliver(c, make_entry(vector, event, false, 0));
}
