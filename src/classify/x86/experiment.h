/* SPDX-License-Identifier: MIT */
/*
 * The experiments of `doppel classify x86-64`: which class each row of the instruction table is in, decided by what the reference
 * machine did with pairs of states.
 *
 * One thread. Spec: Popek and Goldberg, CACM 17(7), 1974, sections 4 and 5; docs/theory.md
 */
#ifndef DOPPEL_CLASSIFY_X86_EXPERIMENT_H
#define DOPPEL_CLASSIFY_X86_EXPERIMENT_H

#include "classify/result.h"

enum { EXPERIMENT_PAIRS = 32 };

struct experiment_options {
    uint64_t seed;
    unsigned pairs; /* of each kind and row (of kinds with many ways to differ, some times as many); 0: EXPERIMENT_PAIRS */
    bool umip;      /* the monitor sets CR4.UMIP */
};

struct experiment; /* two small machines, and the encodings of all rows */
struct world;
struct encodings_row;

/* -ENOMEM, or what the CPU model says. */
MUST_CHECK int experiment_new(const struct experiment_options *o, struct experiment **ret_e, struct error *err);
void experiment_free(struct experiment *e);
/* The verdict on one row (0 .. x86_nr_rows - 1). */
void experiment_row(struct experiment *e, unsigned row, struct classify_insn *ret_insn);
/* The verdicts on all rows; to be ended by classify_result_done(). -ENOMEM. */
MUST_CHECK int experiment_all(struct experiment *e, struct classify_result *ret_result, struct error *err);
/* Replays the pair that decided class n (0 .. CLASSIFY_CLASSES - 1) of an instruction that has it: a classify_replay_fn. -ENOMEM,
 * -EINVAL when the instruction is not in that class. */
MUST_CHECK int experiment_witness(void *e, const struct classify_insn *insn, unsigned n, struct classify_witness *ret_witness,
                                  struct error *err);

/* For those that try the same states elsewhere: the first world, the encodings by row. Borrowed. */
struct world *experiment_world(struct experiment *e, unsigned n);
const struct encodings_row *experiment_encodings(const struct experiment *e);

#endif
