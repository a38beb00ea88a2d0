/* SPDX-License-Identifier: MIT */
/*
 * A machine's state as bytes: header, time, CPUs, chips, then the pages of memory that are not zero.
 */
#ifndef DOPPEL_MACHINE_MACHINE_STATE_H
#define DOPPEL_MACHINE_MACHINE_STATE_H

#include "core/state_desc.h"
#include "core/vm.h"
#include "machine/board.h"

/* All vCPUs stand and the clock is paused. -ENOMEM. */
MUST_CHECK int machine_state_save(struct vm *vm, const struct board_chip *chips, unsigned nr_chips, struct state_buf *buf);
/* -EINVAL when the bytes are not such a state or the machine has other CPUs or another memory size. */
MUST_CHECK int machine_state_load(struct vm *vm, const struct board_chip *chips, unsigned nr_chips, struct state_buf *buf,
                                  struct error *err);

/* Makes the guest's memory shared (gmem_share()). All vCPUs stand; requests under way are waited for. -errno: it is as it was. */
MUST_CHECK int machine_state_share(struct vm *vm, const struct board_chip *chips, unsigned nr_chips, struct error *err);

#endif
