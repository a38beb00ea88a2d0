/* SPDX-License-Identifier: MIT */
/*
 * A tiny guest that shows whether an engine runs riscv64 on this host, and how fast it is.
 */
#ifndef DOPPEL_ISA_RISCV_PROBE_H
#define DOPPEL_ISA_RISCV_PROBE_H

#include "core/engine.h"

/* Takes 50 ms under `interp`. */
enum { RISCV_PROBE_ROUNDS = 200000 };

/*
 * Runs a loop of eleven instructions (arithmetic, memory, a call, a floating-point multiply-add) in S-mode with paging `rounds`
 * times, to its end, and checks what it computed. Fills ret_probe: `works` is the phrase about an engine that does; one that does
 * not says why itself.
 */
void riscv_probe_engine(const struct engine_ops *engine, const char *works, unsigned rounds, struct engine_probe *ret_probe);

#endif
