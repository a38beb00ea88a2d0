/* SPDX-License-Identifier: MIT */
/*
 * What the RISC-V translator made, for people: stubs and each translation as it is made, by emit/codelog.h.
 */
#ifndef DOPPEL_ISA_RISCV_TRANSLATE_LOG_H
#define DOPPEL_ISA_RISCV_TRANSLATE_LOG_H

#include "emit/codelog.h"
#include "isa/riscv/translate_emit.h"

/* Begins code->log in the folder, with the stubs, which are there. Errors of codelog_new(). */
MUST_CHECK int riscv_code_log_new(struct riscv_code *code, const char *dir, unsigned cpu, struct error *err);
/* Lists the translation that was just made; its code for rare cases goes from position `cold` to code->cold. */
void riscv_code_log(const struct rvx *x, const struct riscv_native *n, size_t cold);

#endif
