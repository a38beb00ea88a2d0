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
/* Executes exactly one instruction (or delivers what it raised). Interrupts are the caller's business. */
void riscv_run_step(struct riscv_run *r, struct riscv_cpu *c);
/*
 * Makes `target` forget its translations and look at its code again, and waits until it has: a remote fence. On self's vCPU
 * thread, without locks; it serves such requests of others meanwhile. False: self was asked to stop before that was certain; try
 * again when it goes on.
 */
MUST_CHECK bool riscv_flush_hart(struct riscv_cpu *self, struct riscv_cpu *target);
/* Lines for --stats. */
size_t riscv_run_stats(const struct riscv_run *r, const struct riscv_cpu *c, char *text, size_t cap);

#endif
