/* SPDX-License-Identifier: MIT */
/*
 * What the translator made, for people: a listing of guest and host instructions, counts, and a map for perf(1).
 *
 * One log a CPU, used by the thread that translates for it. In the folder: cpuN.lst, each block as it is translated; cpuN.hot, at
 * the end, the stretches of them that ran most. /tmp/perf-PID.map is the process's: all CPUs append to it.
 */
#ifndef DOPPEL_ISA_X86_TRANSLATE_LOG_H
#define DOPPEL_ISA_X86_TRANSLATE_LOG_H

#include "base/error.h"
#include "isa/x86/translate.h"

struct x86_code_log;

/* Makes the folder if need be, and the files. CPU 0 begins a new map. -ENOMEM, or what mkdir(2) and open(2) say. */
MUST_CHECK int x86_code_log_new(const char *dir, unsigned cpu, struct x86_code_log **ret_log, struct error *err);
/* Writes the counts. NULL is fine. */
void x86_code_log_free(struct x86_code_log *log, const struct x86_counts *counts);

/* Names and lists code that all blocks share. */
void x86_code_log_stub(struct x86_code *code, const char *name, const uint8_t *begin, const uint8_t *end);
/* Lists the block that was just translated. */
void x86_code_log_block(struct xl *x, const struct x86_native *n);
/* All blocks were forgotten: their code is used for others from now on. */
void x86_code_log_reset(struct x86_code_log *log);

#endif
