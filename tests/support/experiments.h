/* SPDX-License-Identifier: MIT */
/*
 * Experiments of `doppel classify`, for tests.
 */
#ifndef DOPPEL_TESTS_SUPPORT_EXPERIMENTS_H
#define DOPPEL_TESTS_SUPPORT_EXPERIMENTS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "classify/experiment.h"
#include "core/state_desc.h"
#include "support/env_number.h"

/* pairs 0: as many as the program makes. CLASSIFY_SEED is added to the seed. Fails the test when it cannot be. */
static inline struct experiment *experiments_start(const struct experiment_isa *isa, uint64_t seed, unsigned pairs, bool option)
{
    struct experiment_options o = { .seed = seed + env_number("CLASSIFY_SEED", 0), .pairs = pairs, .option = option };
    struct experiment *e;
    struct error err = { 0 };
    if (experiment_new(isa, &o, &e, &err) < 0)
        fail_msg("%s", err.msg);
    return e;
}

/* Every field that an ISA declares as state of its CPU is in some line of its table of parts (the program's, or a resource);
 * cpu_at: where in the laboratory's state the CPU is. */
static inline void experiments_know_all_parts(const struct state_desc *desc, const struct fields *parts, size_t cpu_at)
{
    for (const struct state_field *d = desc->fields; d->name; d++) {
        const struct field *f = parts->field;
        size_t at = cpu_at + d->offset;
        while (f->name && (at < f->at || at >= f->at + (size_t)f->size * f->count))
            f++;
        if (!f->name)
            fail_msg("parts.c does not say what '%s' is", d->name);
    }
}

#endif
