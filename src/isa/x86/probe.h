/* SPDX-License-Identifier: MIT */
/*
 * A tiny guest that shows whether an engine works on this host, and how fast it is.
 */
#ifndef DOPPEL_ISA_X86_PROBE_H
#define DOPPEL_ISA_X86_PROBE_H

#include "core/engine.h"

/* Takes 20 ms under `interp`. */
enum { X86_PROBE_ROUNDS = 250000 };

/*
 * Runs a 64-bit loop of nine instructions (arithmetic, memory, a call) `rounds` times, to its end, and checks what it computed.
 * Fills ret_probe: `works` is the phrase about an engine that does; one that does not says why itself.
 */
void x86_probe(const struct engine_ops *engine, const char *works, unsigned rounds, struct engine_probe *ret_probe);

/* Tries what a KVM may get wrong: SYSCALL from ring 3, feature bits of CPUID beyond the model's, an offset TSC. Writes the names
 * of those that are wrong, like "SYSCALL, TSC"; nothing: all are right. Takes a few microseconds under `interp`. */
void x86_probe_wrong(const struct engine_ops *engine, char *ret_names, size_t cap);

#endif
