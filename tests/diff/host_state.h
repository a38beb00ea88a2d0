/* SPDX-License-Identifier: MIT */
/*
 * Register states and operands of host_test's cases: random ones, made to fit an instruction, compared.
 */
#ifndef DOPPEL_TESTS_HOST_STATE_H
#define DOPPEL_TESTS_HOST_STATE_H

#include "host_gen.h"
#include "host_native.h"

/* The memory that operands lie in: the last pages before unmapped ones. */
enum { HOT_SIZE = 8192 };
#define HOT_VA (NATIVE_DATA + NATIVE_DATA_SIZE - HOT_SIZE)

/* All registers, biased to corners: 0, -1, extremes, NaNs, infinities, denormals; mostly masked exceptions. */
void state_random(struct rng *r, struct native_state *ret_state);
void memory_random(struct rng *r, uint8_t *hot);
/*
 * Makes the registers (and a displacement in the bytes; *i is decoded again) such that memory operands lie in the hot
 * pages, sometimes beyond their end, sometimes misaligned or not canonical. False when this instruction cannot be made safe.
 */
bool state_fit(struct rng *r, const struct gen *g, struct x86_insn *i, struct native_state *s, uint8_t *hot);
/* RFLAGS bits that the instruction leaves defined. */
uint64_t flags_defined(const struct x86_insn *i, const struct native_state *before);
/* Evens out what CPUs may do differently and we know of. */
void state_forgive(const struct x86_insn *i, const struct native_state *before, struct native_state *ours,
                   struct native_state *theirs, uint8_t *ours_mem, uint8_t *theirs_mem);
bool state_equal(const struct native_state *a, const struct native_state *b, uint64_t flags);
/* Prints what differs. */
void state_report(const struct native_state *before, const struct native_state *ours, const struct native_state *theirs,
                  uint64_t flags);

#endif
