/* SPDX-License-Identifier: MIT */
/*
 * The verdicts beside what the real CPU does in user mode, as text.
 */
#ifndef DOPPEL_CLASSIFY_X86_HOST_REPORT_H
#define DOPPEL_CLASSIFY_X86_HOST_REPORT_H

#include <stdio.h>

#include "classify/experiment.h"

/* Tries every row on this CPU and writes where it agrees with the verdicts, and each row where it does not. What host_try()
 * returns. */
MUST_CHECK int host_report(struct experiment *e, const struct classify_result *r, FILE *out, struct error *err);

#endif
