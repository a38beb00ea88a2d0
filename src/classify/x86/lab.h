/* SPDX-License-Identifier: MIT */
/*
 * The laboratory of `doppel classify x86-64`: what the experiments (classify/experiment.h) need to know of x86.
 *
 * An instruction here is a row of the instruction table, and has its number. The choice about the monitor's setting is CR4.UMIP.
 */
#ifndef DOPPEL_CLASSIFY_X86_LAB_H
#define DOPPEL_CLASSIFY_X86_LAB_H

#include "classify/experiment.h"

struct x86_world;
struct encodings_row;

extern const struct experiment_isa x86_lab_isa;

/* For those that try the same states elsewhere; of an experiment on x86_lab_isa: world n (0, 1), the encodings by row. Borrowed.
 */
struct x86_world *x86_lab_world(struct experiment *e, unsigned n);
const struct encodings_row *x86_lab_encodings(struct experiment *e);

#endif
