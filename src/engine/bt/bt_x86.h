/* SPDX-License-Identifier: MIT */
/*
 * The x86 run loop of engine `bt`.
 *
 * Owned and used by the vCPU's thread; translations are not shared between CPUs.
 */
#ifndef DOPPEL_ENGINE_BT_X86_H
#define DOPPEL_ENGINE_BT_X86_H

#include "core/engine.h"
#include "isa/x86/state.h"

struct bt_x86;

/* Takes at most so many bytes (VM_CODE_CACHE_MIN or more) for code, decoded and translated. -ENOMEM; -ENOTSUP when the host CPU
 * lacks what translated code needs. */
MUST_CHECK int bt_x86_new(struct x86_cpu *c, size_t bytes, struct bt_x86 **ret_bt, struct error *err);
void bt_x86_free(struct bt_x86 *e);
/* Forgets everything derived from memory or state. */
void bt_x86_drop(struct bt_x86 *e);
enum vcpu_exit bt_x86_run(struct bt_x86 *e, struct x86_cpu *c);
/* For tests: `turns` entries into translated code or interpreted blocks at most, each followed by a look at the outside. With
 * single, a translated block never leads into another, so that each turn is one block, or trace, at most. */
enum vcpu_exit bt_x86_run_turns(struct bt_x86 *e, struct x86_cpu *c, uint64_t turns, bool single);
/* For tests: whether translations go on behind the end of a block (they do). */
void bt_x86_set_traces(struct bt_x86 *e, bool on);
/* For tests: evicts the oldest code. */
void bt_x86_evict(struct bt_x86 *e);
size_t bt_x86_stats(const struct bt_x86 *e, const struct x86_cpu *c, char *text, size_t cap);

#endif
