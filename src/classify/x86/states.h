/* SPDX-License-Identifier: MIT */
/*
 * Random and directed states for experiments, and the ways in which the two states of a pair differ.
 *
 * What is directed is state, never an instruction: registers hold addresses of the program's memory, selectors of the tables,
 * numbers of MSRs and values for control registers often enough; memory and stack hold far pointers, frames and images of
 * tables. Everything follows from seed, row, kind and number, so any pair can be made again.
 */
#ifndef DOPPEL_CLASSIFY_X86_STATES_H
#define DOPPEL_CLASSIFY_X86_STATES_H

#include "classify/x86/encodings.h"
#include "classify/x86/world.h"

/* What the two states of a pair differ in. */
enum vary_kind {
    VARY_MODE,      /* CPL 0, CPL 3, each with the CS and SS that belong to it */
    VARY_INTERRUPT, /* IF; at CPL 0 IOPL too, at CPL 3 not (there it decides what traps) */
    VARY_CONTROL,   /* a bit of CR0, CR4, EFER or XCR0 */
    VARY_REGISTERS, /* model-specific and debug registers, CR2 */
    VARY_DEVICES,   /* what ports and the interrupt controller would answer */
    VARY_PLACE,     /* the physical pages of program and page tables; where the supervisor's tables are */
    VARY_TABLES,    /* contents and bounds of descriptor tables, selectors in segment, task and LDT registers */
    VARY_LAST = VARY_TABLES
};
enum { VARY_NR = VARY_LAST + 1 };

/* Words and shares of them. */
extern const struct experiment_kind x86_states_kinds[VARY_NR];

/*
 * Makes both states of a pair (its subject is the row), for the worlds world[0] (side 0) and world[1]; which world the second
 * side runs in comes back in *ret_world. False when this number gives no instruction of that row (try the next).
 */
bool x86_states_make(struct x86_world *const world[2], const struct encodings_row *encodings, const struct experiment_id *id,
                     bool umip, struct x86_world_state *const ret_state[2], unsigned *ret_world, struct x86_insn *ret_insn);

#endif
