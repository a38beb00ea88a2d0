/* SPDX-License-Identifier: MIT */
/*
 * The interpretation of a RISC-V hart: the run loop over decoded pages.
 *
 * Owned and used by the vCPU's thread.
 */
#ifndef DOPPEL_ISA_RISCV_RUN_H
#define DOPPEL_ISA_RISCV_RUN_H

#include "core/engine.h"
#include "isa/riscv/decode.h"

struct riscv_run;

/* Takes at most so many bytes for decoded code, but room for one page always; NULL when out of memory. */
struct riscv_run *riscv_run_new(size_t bytes);
void riscv_run_free(struct riscv_run *r);
/* Forgets all decoded code. */
void riscv_run_drop(struct riscv_run *r);
/* Runs until a request or sleep, or about `insns` instructions (UINT64_MAX: for ever), serving interrupts in between. */
enum vcpu_exit riscv_run(struct riscv_run *r, struct riscv_cpu *c, uint64_t insns);
/* What can only happen between instructions: requests, and an interrupt if one is to be taken. True: run() must return *ret_exit.
 */
bool riscv_run_boundary(struct riscv_run *r, struct riscv_cpu *c, enum vcpu_exit *ret_exit);
/* Delivers what was raised to c->trap_env. */
void riscv_run_trap(struct riscv_run *r, struct riscv_cpu *c);
/* Runs to the end of a block: behind the next instruction that may change more than registers and memory. Raises. *ret_taken: 1
 * when that was a conditional branch that was taken, 0 one that was not, else -1; at *ret_pc. */
void riscv_run_block(struct riscv_run *r, struct riscv_cpu *c, gva_t *ret_pc, int *ret_taken);
/* Runs one instruction. Raises. */
void riscv_run_one(struct riscv_run *r, struct riscv_cpu *c);
/* Executes exactly one instruction (or delivers what it raised). Interrupts are the caller's business. */
void riscv_run_step(struct riscv_run *r, struct riscv_cpu *c);
/*
 * Makes `target` forget its translations (or, with `code`, look at its code again; another hart does both), and waits until it
 * has: a remote fence. On self's vCPU thread, without locks; it serves such requests of others meanwhile. False: self was asked
 * to stop before that was certain; try again when it goes on.
 */
MUST_CHECK bool riscv_flush_hart(struct riscv_cpu *self, struct riscv_cpu *target, bool code);
/* Lines for --stats. */
size_t riscv_run_stats(const struct riscv_run *r, const struct riscv_cpu *c, char *text, size_t cap);

#endif
