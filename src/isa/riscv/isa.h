/* SPDX-License-Identifier: MIT */
/*
 * The RISC-V 64-bit ISA, as the registry knows it.
 */
#ifndef DOPPEL_ISA_RISCV_ISA_H
#define DOPPEL_ISA_RISCV_ISA_H

#include "core/isa.h"

/* config of cpu_new: struct riscv_config. */
extern const struct isa_ops riscv_isa_ops;

#endif
