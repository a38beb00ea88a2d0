/* SPDX-License-Identifier: MIT */
/*
 * Innocuous vector and floating-point instructions, executed by the host CPU on guest state (step_host in step.h).
 */
#ifndef DOPPEL_ISA_X86_HOSTEXEC_H
#define DOPPEL_ISA_X86_HOSTEXEC_H

#include <stdbool.h>

#include "base/error.h"

/* Installs the process-wide SIGFPE and SIGILL handlers that turn an unmasked SIMD exception inside a trampoline into the
 * guest's #XM; elsewhere these signals get their default action. The first step_host() does it if
 * nobody has; call it early to see the error or to put a handler of your own in front, and again if another took its place. */
MUST_CHECK int hostexec_init(struct error *err);
bool hostexec_is_ready(void);

#endif
