/* SPDX-License-Identifier: MIT */
/*
 * Engine `interp`: the definition of the ISA, executed one instruction at a time.
 */
#ifndef DOPPEL_ENGINE_INTERP_H
#define DOPPEL_ENGINE_INTERP_H

#include "core/engine.h"

extern const struct engine_ops interp_engine_ops;

struct x86_cpu;
struct interp_x86;

/* What the x86 run loop keeps for one CPU (decoded code, counters). NULL when out of memory. */
struct interp_x86 *interp_x86_new(void);
void interp_x86_free(struct interp_x86 *e);
/* Forgets all decoded code. */
void interp_x86_drop(struct interp_x86 *e);
/* Runs until a request, sleep or shutdown; serves interrupts and start-up messages on the way. */
enum vcpu_exit interp_x86_run(struct interp_x86 *e, struct x86_cpu *c);
/* Runs `blocks` basic blocks at most (fewer on a request), serving interrupts before each; for lockstep tests. */
enum vcpu_exit interp_x86_run_blocks(struct interp_x86 *e, struct x86_cpu *c, uint64_t blocks);
/* Executes exactly one instruction (or delivers what it raised). Interrupts are the caller's business. */
void interp_x86_step(struct interp_x86 *e, struct x86_cpu *c);
size_t interp_x86_stats(const struct interp_x86 *e, const struct x86_cpu *c, char *text, size_t cap);

#endif
