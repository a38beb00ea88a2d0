/* SPDX-License-Identifier: MIT */
/*
 * The one table of instruction sets, boards and engines.
 */
#ifndef DOPPEL_MACHINE_REGISTRY_H
#define DOPPEL_MACHINE_REGISTRY_H

#include "machine/board.h"

struct isa_ops;

struct registry_arch {
    const char *name;
    const struct isa_ops *isa;
    const struct board_ops *board;
    const struct engine_ops *const *engines; /* best first, ends with NULL */
};

/* All of them; ends with a NULL name. */
const struct registry_arch *registry_archs(void);
/* -EINVAL; the message lists what there is. */
MUST_CHECK int registry_find_arch(const char *name, const struct registry_arch **ret_arch, struct error *err);
/* Whether there is such an engine, or it is "auto"; probes nothing. -EINVAL; the message lists what there is. */
MUST_CHECK int registry_check_engine(const struct registry_arch *arch, const char *name, struct error *err);
/* The engine called `name`, or for "auto" the first that a probe finds usable and not to be avoided (no probe when there is but
 * one). `why` takes a phrase about the choice, with what is wrong with those passed over, possibly empty. -EINVAL unknown,
 * -ENOTSUP none usable. */
MUST_CHECK int registry_pick_engine(const struct registry_arch *arch, const char *name, const struct engine_ops **ret_engine,
                                    char *why, size_t why_cap, struct error *err);

#endif
