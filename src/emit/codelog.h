/* SPDX-License-Identifier: MIT */
/*
 * What a translator made, for people: files in a folder with a listing of host code, and a map for perf(1).
 *
 * One log a CPU, used by the thread that translates for it. In the folder: cpuN.lst, and cpuN.hot if the translator has something
 * for it. /tmp/perf-PID.map is the process's: all CPUs append to it. Spec: tools/perf/Documentation/jit-interface.txt of Linux
 */
#ifndef DOPPEL_EMIT_CODELOG_H
#define DOPPEL_EMIT_CODELOG_H

#include <stdio.h>

#include "emit/codebuf.h"

struct codelog;

/* Makes the folder if need be, and new files in place of old ones; with `hot`, cpuN.hot too. CPU 0 begins a new map. -ENOMEM, or
 * what mkdir(2) and open(2) say. */
MUST_CHECK int codelog_new(const char *dir, unsigned cpu, bool hot, struct codelog **ret_log, struct error *err);
/* Closes the files; what could not be written is said. NULL is fine. */
void codelog_free(struct codelog *log);

/* Where the translator writes what it knows. */
FILE *codelog_listing(struct codelog *log);
FILE *codelog_hot(struct codelog *log);
/* Names the code from begin to end (exclusive) for perf. */
void codelog_map(struct codelog *log, const uint8_t *begin, const uint8_t *end, const char *name);
/* Lists host code, from position pos to end. */
void codelog_range(struct codelog *log, const struct codebuf *cb, size_t pos, size_t end);
/* Names and lists code that all translations share. */
void codelog_stub(struct codelog *log, const struct codebuf *cb, const char *name, const uint8_t *begin, const uint8_t *end);
/* All translations were forgotten: their code is used for others from now on. */
void codelog_reset(struct codelog *log);

#endif
