/* SPDX-License-Identifier: MIT */
/*
 * The experiments of `doppel classify`, whatever the ISA: which class an instruction is in, decided by what the reference machine
 * did with pairs of states that are equal but for one thing.
 *
 * An ISA gives a laboratory: small machines, the instructions, how pairs are made and run, and which parts of the state are
 * resources. One thread. Spec: Popek and Goldberg, CACM 17(7), 1974, section 3; docs/theory.md
 */
#ifndef DOPPEL_CLASSIFY_EXPERIMENT_H
#define DOPPEL_CLASSIFY_EXPERIMENT_H

#include "classify/fields.h"
#include "classify/result.h"

enum { EXPERIMENT_PAIRS = 32 };

/* Which pair: everything about it follows from this. */
struct experiment_id {
    uint64_t seed;
    uint16_t subject; /* the instruction: 0 .. nr_subjects - 1 */
    uint8_t kind;     /* of difference: index into the ISA's kinds */
    uint32_t number;
};

/* A kind of difference between the two states of a pair. */
struct experiment_kind {
    const char *text;    /* "the mode: CPL 0, CPL 3" */
    const char *side[2]; /* names of the two sides */
    bool of_place;       /* differing results make the instruction sensitive to its location, not to the mode */
    uint8_t share;       /* how many times the usual number of pairs */
};

/* What became of one run. */
struct experiment_outcome {
    bool trapped; /* the instruction had no effect but that a handler got control */
    bool has_error;
    uint32_t cause, error; /* of the trap, as the ISA numbers them */
    uint64_t flushes;      /* of the translation cache, by this instruction */
};

/* States are memory of state_size bytes, aligned to 64. The laboratory remembers which pair it made last. */
struct experiment_isa {
    const char *name;   /* "x86-64" */
    const char *option; /* the one choice there is about the monitor's setting, as JSON names it: "umip" */
    const struct fields *fields;
    const struct experiment_kind *kinds; /* the first is the mode: side 0 supervisor, side 1 user */
    unsigned nr_kinds;
    size_t state_size;
    /* -ENOMEM, or what the CPU model says; option: the choice is made. */
    int (*lab_new)(bool option, void **ret_lab, struct error *err);
    void (*lab_free)(void *lab); /* half-made ones too */
    unsigned (*nr_subjects)(void *lab);
    /* What is known of the instruction without an experiment: row, name, skipped, copied. */
    void (*subject)(void *lab, unsigned n, struct classify_insn *insn);
    /* Makes both states. False when this number gives no instruction of that subject (try the next). */
    bool (*make)(void *lab, const struct experiment_id *id, void *const ret_state[2]);
    /* Runs the instruction on that side's machine; ret_state is written only when it did not trap. */
    void (*run)(void *lab, unsigned side, const void *from, struct experiment_outcome *ret_outcome, void *ret_state);
    bool (*is_user)(const void *state); /* its mode is not the supervisor's */
    void (*outcome_text)(const struct experiment_outcome *o, char *text, size_t cap);
    /* Text and bytes of the instruction of the pair made last. */
    void (*describe)(void *lab, struct classify_witness *w);
    /* Name of the part of the state that the nth operand of that instruction is; NULL: there are no more. */
    const char *(*operand)(void *lab, unsigned n);
    /* What the monitor is taken to have set, in words. */
    void (*setting)(void *lab, char *text, size_t cap);
};

struct experiment_options {
    uint64_t seed;
    unsigned pairs; /* of each kind and instruction, times the kind's share; 0: EXPERIMENT_PAIRS */
    bool option;    /* the ISA's choice about the monitor's setting is made */
};

struct experiment;

/* isa is borrowed (static). -ENOMEM, or what the CPU model says. */
MUST_CHECK int experiment_new(const struct experiment_isa *isa, const struct experiment_options *o, struct experiment **ret_e,
                              struct error *err);
void experiment_free(struct experiment *e);
/* The ISA's laboratory; borrowed, ends with the experiment. */
void *experiment_lab(struct experiment *e);
/* Instructions there are. */
unsigned experiment_subjects(struct experiment *e);
/* The verdict on one of them. */
void experiment_subject(struct experiment *e, unsigned n, struct classify_insn *ret_insn);
/* The verdicts on those that are called `only` (classify_is_called()), which may be none; NULL: on all. To be ended by
 * classify_result_done(). -ENOMEM. */
MUST_CHECK int experiment_all(struct experiment *e, const char *only, struct classify_result *ret_result, struct error *err);
/* Replays the pair that decided class n (0 .. CLASSIFY_CLASSES - 1) of an instruction that has it: a classify_replay_fn. -ENOMEM,
 * -EINVAL when the instruction is not in that class. */
MUST_CHECK int experiment_witness(void *e, const struct classify_insn *insn, unsigned n, struct classify_witness *ret_witness,
                                  struct error *err);

#endif
