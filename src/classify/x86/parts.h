/* SPDX-License-Identifier: MIT */
/*
 * Which parts of an x86 CPU's state are the program's, and which are resources that a monitor must keep: the one thing that is
 * said by hand (docs/theory.md says why each).
 */
#ifndef DOPPEL_CLASSIFY_X86_PARTS_H
#define DOPPEL_CLASSIFY_X86_PARTS_H

#include "classify/fields.h"
#include "classify/x86/world.h"

/* Of a struct x86_world_state. */
extern const struct fields x86_parts;

#endif
