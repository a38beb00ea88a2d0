/* SPDX-License-Identifier: MIT */
/*
 * Random instructions for host_test: bytes of every row the host CPU and a step function can both execute, in user mode.
 *
 * The table has no encoder, so at start all combinations of prefix, map, opcode and ModRM are decoded once, and some
 * byte strings are kept for each row; cases are made from them by changing registers, masks, lengths and addressing.
 */
#ifndef DOPPEL_TESTS_HOST_GEN_H
#define DOPPEL_TESTS_HOST_GEN_H

#include "base/rng.h"
#include "isa/x86/profile.h"

struct gen; /* the templates */

/* NULL when out of memory. `profile` says what the host has. */
struct gen *gen_new(const struct x86_profile *profile);
void gen_free(struct gen *g);
/* Rows with at least one template. */
unsigned gen_rows(const struct gen *g);
unsigned gen_row(const struct gen *g, unsigned n);
/* A random instruction of (mostly) the n-th of those rows, decoded for 64-bit mode; false: try again. */
bool gen_make(const struct gen *g, struct rng *r, unsigned n, struct x86_insn *ret_insn);
/* Whether both sides can execute this one. */
bool gen_testable(const struct gen *g, const struct x86_insn *i);

#endif
