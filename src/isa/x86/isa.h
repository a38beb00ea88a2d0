/* SPDX-License-Identifier: MIT */
/*
 * The x86-64 instruction set as a whole, for the registry.
 */
#ifndef DOPPEL_ISA_X86_ISA_H
#define DOPPEL_ISA_X86_ISA_H

#include "core/isa.h"

/* cpu_new's config is a const struct x86_profile * that outlives the CPU, or NULL for x86_profile_default(). */
extern const struct isa_ops x86_isa_ops;

#endif
