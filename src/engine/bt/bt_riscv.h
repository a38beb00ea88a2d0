/* SPDX-License-Identifier: MIT */
/*
 * Engine `bt` for a RISC-V hart.
 *
 * Owned and used by the vCPU's thread.
 */
#ifndef DOPPEL_ENGINE_BT_RISCV_H
#define DOPPEL_ENGINE_BT_RISCV_H

#include "core/engine.h"
#include "isa/riscv/state.h"

struct bt_riscv;

/* Takes about so many bytes for code and what belongs to it; with the hypervisor extension up to twice as many. -ENOMEM, -ENOTSUP
 * (the host CPU cannot), -EINVAL. */
MUST_CHECK int bt_riscv_new(struct riscv_cpu *c, size_t bytes, struct bt_riscv **ret_bt, struct error *err);
void bt_riscv_free(struct bt_riscv *e);
/* For tests: translates blocks when they are met for the first time, and comes back to the loop wherever code looks for requests,
 * so that a turn ends. */
void bt_riscv_set_eager(struct bt_riscv *e);
/* For tests: engines made from now on, of any hart, do without AVX-512, as on hosts that lack it. */
void bt_riscv_without_avx512(bool without);
/* Forgets all code. */
void bt_riscv_drop(struct bt_riscv *e);
/* Runs until a request or sleep, or so many turns of the loop (each a run of translated code, or of a block interpreted). */
enum vcpu_exit bt_riscv_run(struct bt_riscv *e, struct riscv_cpu *c, uint64_t turns);
/* Lines for --stats. */
size_t bt_riscv_stats(const struct bt_riscv *e, const struct riscv_cpu *c, char *text, size_t cap);

#endif
