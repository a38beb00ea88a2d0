/* SPDX-License-Identifier: MIT */
/*
 * Random and directed states for experiments on RISC-V, and the ways in which the two states of a pair differ.
 *
 * What is directed is state, never an instruction: registers hold addresses of the program's memory and values for control
 * registers often enough. Everything follows from seed, instruction, kind and number, so any pair can be made again.
 */
#ifndef DOPPEL_CLASSIFY_RISCV_STATES_H
#define DOPPEL_CLASSIFY_RISCV_STATES_H

#include "classify/riscv/csrs.h"
#include "classify/riscv/world.h"

/* What the two states of a pair differ in. */
enum vary_kind {
    VARY_MODE,      /* S-mode, U-mode */
    VARY_INTERRUPT, /* interrupt enables and what is pending */
    VARY_STATUS,    /* bits of mstatus: SPP, MPP, SUM, MXR, FS */
    VARY_REGISTERS, /* registers of the trap handlers, of the supervisor and of the firmware; FIOM */
    VARY_DEVICES,   /* time, counters, what the firmware would answer */
    VARY_PLACE,     /* the physical pages of program and page tables; levels of these */
    VARY_PAGING,    /* paging off, on */
    VARY_LAST = VARY_PAGING
};
enum { VARY_NR = VARY_LAST + 1 };

/* Words and shares of them. */
extern const struct experiment_kind riscv_states_kinds[VARY_NR];

/*
 * Makes an instruction of that row (with one of the CSRs, NULL where it names none) and both states of a pair, for the worlds
 * world[0] (side 0) and world[1]; which world the second side runs in comes back in *ret_world. False when this number gives no
 * instruction of that row (try the next).
 */
bool riscv_states_make(struct riscv_world *const world[2], unsigned row, const struct riscv_csrs *csrs,
                       const struct experiment_id *id, struct riscv_world_state *const ret_state[2], unsigned *ret_world,
                       struct riscv_insn *ret_insn);

#endif
