/* SPDX-License-Identifier: MIT */
/*
 * A tiny guest that shows whether an engine works on this host, and how fast it is.
 */
#ifndef DOPPEL_ISA_X86_PROBE_H
#define DOPPEL_ISA_X86_PROBE_H

#include "core/engine.h"

/*
 * Runs a 64-bit loop of 2.25 million instructions (arithmetic, memory, calls) to its end and checks what it computed: 20 ms under
 * `interp`. Fills ret_probe: `works` is the phrase about an engine that does; one that does not says why itself.
 */
void x86_probe(const struct engine_ops *engine, const char *works, struct engine_probe *ret_probe);

#endif
