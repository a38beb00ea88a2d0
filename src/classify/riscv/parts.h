/* SPDX-License-Identifier: MIT */
/*
 * Which parts of a RISC-V hart's state are the program's, and which are resources that a monitor must keep: the one thing that is
 * said by hand (docs/theory.md says why each).
 */
#ifndef DOPPEL_CLASSIFY_RISCV_PARTS_H
#define DOPPEL_CLASSIFY_RISCV_PARTS_H

#include "classify/fields.h"
#include "classify/riscv/world.h"

/* Of a struct riscv_world_state. */
extern const struct fields riscv_parts;

#endif
