/* SPDX-License-Identifier: MIT */
/*
 * The interpretation of an x86 CPU: the run loop over decoded blocks, and the pieces of it that other engines share.
 *
 * Owned and used by the vCPU's thread.
 */
#ifndef DOPPEL_ISA_X86_RUN_H
#define DOPPEL_ISA_X86_RUN_H

#include "core/engine.h"
#include "isa/x86/blocks.h"

struct x86_run {
    struct x86_blocks *blocks; /* owned */
    jmp_buf env;               /* where raised exceptions come back to */
    uint64_t nr_blocks, nr_slow, nr_traps, nr_irqs;
};

/* Takes at most so many bytes for decoded code, in at most so many regions (see x86_blocks_new); NULL when out of memory. */
struct x86_run *x86_run_new(size_t bytes, unsigned regions);
void x86_run_free(struct x86_run *r);
/* Forgets all decoded code. */
void x86_run_drop(struct x86_run *r);
/* Runs `blocks` basic blocks at most (fewer on a request), serving interrupts before each; UINT64_MAX: until a request,
 * sleep or shutdown. */
enum vcpu_exit x86_run_blocks(struct x86_run *r, struct x86_cpu *c, uint64_t blocks);
/* Executes exactly one instruction (or delivers what it raised). Interrupts are the caller's business. */
void x86_run_step(struct x86_run *r, struct x86_cpu *c);
/* Lines for --stats; translated: instructions that were executed otherwise. */
size_t x86_run_stats(const struct x86_run *r, const struct x86_cpu *c, uint64_t translated, char *text, size_t cap);

/* ---- pieces, for engines with a loop of their own ---- */

/* At an instruction boundary: serves requests, pending traps, interrupts, start-up and sleep. Returns true when run() must
 * return *ret_exit; false when instructions can be executed (the CPU is running). */
bool x86_run_boundary(struct x86_run *r, struct x86_cpu *c, enum vcpu_exit *ret_exit);
/* Interprets the block at rip, or one instruction where that is called for. Raises through c->trap_env. */
void x86_run_interpret(struct x86_run *r, struct x86_cpu *c);
/* Interprets a block found by x86_blocks_find() at c->rip; not when c->slow. Raises through c->trap_env. */
void x86_run_block(struct x86_cpu *c, const struct x86_block *b);

/* ---- for engines whose guest writes to memory behind the back of any cache of decoded code ---- */

/* The instruction at rip, decoded anew; comes after x86_check_breakpoint_fetch(). Raises through c->trap_env. */
void x86_run_fetch(struct x86_cpu *c, struct x86_insn *ret_insn);
/* Executes it, and what belongs behind it; shadow: c->int_shadow as it was before x86_check_breakpoint_fetch(). Raises. */
void x86_run_insn(struct x86_cpu *c, const struct x86_insn *i, uint8_t shadow);

#endif
