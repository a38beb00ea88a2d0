/* SPDX-License-Identifier: MIT */
/*
 * What `doppel classify` found out about an instruction set: a verdict an instruction, whatever the ISA.
 *
 * Names are those of Popek and Goldberg, CACM 17(7), 1974, as docs/theory.md applies them.
 */
#ifndef DOPPEL_CLASSIFY_RESULT_H
#define DOPPEL_CLASSIFY_RESULT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/* Classes, as bits. An instruction that has none of the last three is innocuous. */
enum {
    CLASSIFY_PRIVILEGED = 1 << 0, /* traps in user mode wherever it completes in supervisor mode */
    CLASSIFY_CONTROL = 1 << 1,    /* control-sensitive: it changed resource state without a trap */
    CLASSIFY_LOCATION = 1 << 2,   /* behaviour-sensitive by location */
    CLASSIFY_MODE = 1 << 3,       /* behaviour-sensitive by mode */
    CLASSIFY_SENSITIVE = CLASSIFY_CONTROL | CLASSIFY_LOCATION | CLASSIFY_MODE,
};
enum { CLASSIFY_CLASSES = 4 };

/* A part of the state in a witness: its value before and after, on both sides of the pair. Empty: the same as to its left. */
struct classify_fact {
    char field[32];
    char before[2][40];
    char after[2][40];
};

/* One pair of states that decided: equal but for what was varied. */
struct classify_witness {
    const char *varied;  /* what the two sides differ in: "the mode (CPL 0, CPL 3)"; static */
    const char *side[2]; /* names of the two sides; side[1] is NULL when there is one only; static */
    char outcome[2][40]; /* "completed", "#GP(0)" */
    char text[160];      /* the instruction, disassembled */
    char bytes[48];      /* in hex */
    uint64_t seed;
    uint32_t number;            /* of the pair, for this instruction, kind and seed */
    struct classify_fact *fact; /* owned; classify_witness_done() */
    unsigned nr_facts, more;    /* more: facts there was no room for */
};

/* Pairs of one instruction by what became of them; supervisor and user mode. */
struct classify_counts {
    uint32_t pairs, both, supervisor_only, user_only, neither;
    uint32_t others; /* pairs in which something else than the mode was varied, both sides completed */
};

struct classify_insn {
    char name[40];    /* lower case; of an instruction that names a control register, with that: "csrrw satp" */
    uint16_t row;     /* in the ISA's table */
    uint16_t subject; /* the ISA's number of it among all it has experiments for */
    uint8_t classes;
    bool never;  /* completed in no state: it always traps */
    bool gate;   /* in user mode, it changed resource state only by entering supervisor mode at an address the supervisor chose */
    bool copied; /* the binary translator executes it on the host as it stands (with other registers) */
    bool notes;  /* it changes no resource, but a record that the hardware keeps for the supervisor of what was used */
    bool skipped; /* no state was tried: it has no encoding in the modes tried */
    struct classify_counts counts;
    struct {
        uint8_t kind;    /* the ISA's number of what was varied */
        uint8_t at;      /* the ISA's: more of how */
        uint32_t number; /* of the pair */
    } decided[CLASSIFY_CLASSES];
};

struct classify_result {
    const char *isa;
    char setting[160]; /* what the monitor is taken to have set, in words */
    uint64_t seed;
    const char *option; /* the one choice there is about that setting, as JSON names it; static */
    bool has_option;    /* it is made */
    unsigned nr;
    struct classify_insn *insn; /* owned; by subject */
};

static inline bool classify_is_offender(const struct classify_insn *i)
{
    return (i->classes & CLASSIFY_SENSITIVE) && !(i->classes & CLASSIFY_PRIVILEGED);
}

/* Name of the class whose bit is 1 << n: "control-sensitive". */
const char *classify_class_name(unsigned n);
/* Offenders there are, and of them those that are copied by the translator. */
unsigned classify_offenders(const struct classify_result *r, unsigned *ret_copied);
/* Its name is that, or begins with that word. */
bool classify_is_called(const struct classify_insn *i, const char *name);
/* True when an earlier row of the same name is an offender too. */
bool classify_named_before(const struct classify_result *r, unsigned n);
void classify_result_done(struct classify_result *r);
void classify_witness_done(struct classify_witness *w);

/* How the reports get at the ISA's witnesses: replays the pair that decided class n of that instruction. */
typedef int (*classify_replay_fn)(void *opaque, const struct classify_insn *i, unsigned n, struct classify_witness *ret_witness,
                                  struct error *err);

#endif
