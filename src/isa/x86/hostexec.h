/* SPDX-License-Identifier: MIT */
/*
 * Innocuous vector and floating-point instructions, executed by the host CPU on guest state (step_host in step.h).
 */
#ifndef DOPPEL_ISA_X86_HOSTEXEC_H
#define DOPPEL_ISA_X86_HOSTEXEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* Installs the process-wide handlers of synchronous signals that turn an unmasked SIMD exception inside a trampoline into the
 * guest's #XM; elsewhere these signals get their default action. The first step_host() does it if
 * nobody has; call it early to see the error or to put a handler of your own in front, and again if another took its place. */
MUST_CHECK int hostexec_init(struct error *err);
bool hostexec_is_ready(void);

/* On the calling thread, a host fault at an address in [begin, begin + size), which is stored in *ret_pc, goes on at `resume`:
 * translated code that divides, or accesses what is no address. begin 0: no longer. */
void hostexec_watch(uintptr_t begin, size_t size, uintptr_t resume, uint64_t *ret_pc);

#endif
