/* SPDX-License-Identifier: MIT */
/*
 * What the translator made, for people: each block as it is translated, by emit/codelog.h, and at the end the stretches of them
 * that ran most.
 */
#ifndef DOPPEL_ISA_X86_TRANSLATE_LOG_H
#define DOPPEL_ISA_X86_TRANSLATE_LOG_H

#include "emit/codelog.h"
#include "isa/x86/translate.h"

/* Writes the counts (NULL: none), and closes. NULL is fine. */
void x86_code_log_free(struct codelog *log, const struct x86_counts *counts);
/* Lists the block that was just translated. */
void x86_code_log_block(struct xl *x, const struct x86_native *n);

#endif
