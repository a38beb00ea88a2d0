/* SPDX-License-Identifier: MIT */
/*
 * RISC-V instructions as text, for logs and tests: mnemonics of the table, registers by number, offsets as they are encoded.
 */
#ifndef DOPPEL_ISA_RISCV_DISASM_H
#define DOPPEL_ISA_RISCV_DISASM_H

#include "isa/riscv/decode.h"

/* "addi x1, x2, -5"; "illegal" for what is reserved. Cut to cap; returns the whole length. */
size_t riscv_disasm(const struct riscv_insn *i, char *text, size_t cap);

#endif
