/* SPDX-License-Identifier: MIT */
/*
 * Engine `interp`: the definition of the ISA, executed one instruction at a time.
 */
#ifndef DOPPEL_ENGINE_INTERP_H
#define DOPPEL_ENGINE_INTERP_H

#include "core/engine.h"

/* engine_cpu is a struct x86_run (isa/x86/run.h). */
extern const struct engine_ops interp_engine_ops;

#endif
