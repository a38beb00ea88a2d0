/* SPDX-License-Identifier: MIT */
/*
 * Exceptions and interrupts: how they are raised, and how they enter their handlers.
 *
 * A step function that cannot complete calls x86_raise*(); that fills c->trap and longjmps to c->trap_env, so memory
 * accesses need no check after each. The rule that makes this exact: a step function changes architectural state only
 * after the last access that can fault.
 */
#ifndef DOPPEL_ISA_X86_TRAP_H
#define DOPPEL_ISA_X86_TRAP_H

#include "isa/x86/state.h"

/* Spec: SDM 3A table 6-1 */
enum {
    X86_DE = 0,
    X86_DB = 1,
    X86_NMI = 2,
    X86_BP = 3,
    X86_OF = 4,
    X86_BR = 5,
    X86_UD = 6,
    X86_NM = 7,
    X86_DF = 8,
    X86_TS = 10,
    X86_NP = 11,
    X86_SS = 12,
    X86_GP = 13,
    X86_PF = 14,
    X86_MF = 16,
    X86_AC = 17,
    X86_MC = 18,
    X86_XM = 19,
};

/* Page-fault error code bits. Spec: SDM 3A 4.7 */
enum { PF_P = 1, PF_W = 2, PF_U = 4, PF_RSVD = 8, PF_I = 16 };

/* The segment-register load, far transfers and interrupt entry share one rule book (SDM 3A chapter 5 and 6); the
 * exported step functions are in step_far.c. */

_Noreturn void x86_raise(struct x86_cpu *c, unsigned vector);                     /* no error code */
_Noreturn void x86_raise_err(struct x86_cpu *c, unsigned vector, uint32_t error); /* with one */
_Noreturn void x86_raise_pf(struct x86_cpu *c, gva_t lin, uint32_t error);
_Noreturn void x86_raise_db(struct x86_cpu *c, uint64_t dr6); /* fault-class #DB */
/* #GP(0), or #SS(0) when the segment is SS: what a bad address through `seg` raises. */
_Noreturn void x86_raise_seg(struct x86_cpu *c, enum x86_seg_reg seg);

enum x86_event {
    X86_EVENT_EXCEPTION,
    X86_EVENT_EXTERNAL,
    X86_EVENT_NMI,
    X86_EVENT_SOFT /* INT n */,
    X86_EVENT_ICEBP /* INT1 */,
    X86_EVENT_SOFT_EXC /* INT3, INTO */
};

/*
 * Enters the handler of `vector`: pushes a frame that returns to c->rip (the run loop has set it: faults point at the
 * instruction, traps and interrupts at the next one). Raises through c->trap_env if the entry itself faults; the caller
 * (x86_deliver_trap) then turns that into a double fault or shutdown.
 */
void x86_enter(struct x86_cpu *c, unsigned vector, enum x86_event event, bool has_error, uint32_t error);

/* Delivers c->trap (set by x86_raise*), with the double and triple fault rules. Never raises. Sets c->activity to
 * X86_SHUTDOWN on a triple fault. Spec: SDM 3A 6.15, table 6-5 */
void x86_deliver_trap(struct x86_cpu *c);
/* Delivers an external interrupt, NMI or pending #DB trap at an instruction boundary (c->rip is the return address); same rules,
 * never raises. */
void x86_deliver_event(struct x86_cpu *c, unsigned vector, enum x86_event event);

/* Loads a data or stack segment register with a selector, with all checks of the mode. Spec: SDM 2B MOV, 3A 5.6-5.7 */
void x86_load_seg(struct x86_cpu *c, enum x86_seg_reg reg, uint16_t sel);
/* Real-mode / virtual-8086 load: base = sel * 16. */
void x86_load_seg_real(struct x86_cpu *c, enum x86_seg_reg reg, uint16_t sel);

/*
 * Debug exceptions. The run loop, when c->slow, does for each instruction: x86_check_breakpoint_fetch(); the step;
 * x86_single_step(); and at the boundary delivers c->pending_dbg (unless int_shadow is 2) by x86_deliver_event(X86_DB).
 */
/* A data or I/O access happened: sets pending_dbg bits of the breakpoints it touched. Spec: SDM 3B 17.2.5 */
void x86_check_breakpoint_data(struct x86_cpu *c, gva_t lin, unsigned size, bool write, bool io);
/* Before an instruction (c->slow only): raises fault-class #DB for instruction breakpoints at c->rip unless RF is set; then
 * clears RF (a fault of the instruction pushes it as 1 anyway) and notes TF in c->step_trap. */
void x86_check_breakpoint_fetch(struct x86_cpu *c);
/* After an instruction completed (c->slow only): a pending single-step trap if TF was set before it; recomputes c->slow. */
void x86_single_step(struct x86_cpu *c);

#endif
