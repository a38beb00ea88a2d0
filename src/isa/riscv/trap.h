/* SPDX-License-Identifier: MIT */
/*
 * Exceptions and interrupts: how they are raised, which mode takes them, and how they enter its handler.
 *
 * A step function that cannot complete calls riscv_raise(); that fills c->trap and longjmps to c->trap_env. The rule that makes
 * this exact: a step function changes architectural state only after the last access that can fault.
 * Spec: volume II 3.1.8, 3.1.9, 3.1.14, 3.1.15
 */
#ifndef DOPPEL_ISA_RISCV_TRAP_H
#define DOPPEL_ISA_RISCV_TRAP_H

#include "isa/riscv/decode.h"

enum {
    RISCV_FETCH_MISALIGNED = 0,
    RISCV_FETCH_ACCESS_FAULT = 1,
    RISCV_ILLEGAL = 2,
    RISCV_BREAKPOINT = 3,
    RISCV_LOAD_MISALIGNED = 4,
    RISCV_LOAD_ACCESS_FAULT = 5,
    RISCV_STORE_MISALIGNED = 6,
    RISCV_STORE_ACCESS_FAULT = 7,
    RISCV_ECALL_U = 8,
    RISCV_ECALL_S = 9,
    RISCV_ECALL_VS = 10,
    RISCV_ECALL_M = 11,
    RISCV_FETCH_PAGE_FAULT = 12,
    RISCV_LOAD_PAGE_FAULT = 13,
    RISCV_STORE_PAGE_FAULT = 15,
    RISCV_FETCH_GUEST_PAGE_FAULT = 20,
    RISCV_LOAD_GUEST_PAGE_FAULT = 21,
    RISCV_VIRTUAL = 22,
    RISCV_STORE_GUEST_PAGE_FAULT = 23,
};
#define RISCV_CAUSE_IRQ (1ULL << 63)

_Noreturn void riscv_raise(struct riscv_cpu *c, uint64_t cause, uint64_t tval);
_Noreturn void riscv_raise_illegal(struct riscv_cpu *c, const struct riscv_insn *i);

/* Enters the handler of cause (an exception, or RISCV_CAUSE_IRQ | number) at c->pc. Never raises. */
void riscv_enter_trap(struct riscv_cpu *c, uint64_t cause, uint64_t tval);
/* The interrupt to be taken now, as a cause; 0: none. Spec: volume II 3.1.9 */
uint64_t riscv_pending_interrupt(const struct riscv_cpu *c);
/* MRET and SRET: the mode and pc that were. Callers have checked the right to. */
void riscv_return(struct riscv_cpu *c, enum riscv_priv from);

#endif
