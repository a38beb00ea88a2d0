/* SPDX-License-Identifier: MIT */
/*
 * One of lockstep_test's two machines: RAM, one CPU under some engine, a device page, an interrupt line; and the comparison of
 * two.
 */
#ifndef DOPPEL_TESTS_LOCKSTEP_MACHINE_H
#define DOPPEL_TESTS_LOCKSTEP_MACHINE_H

#include "lockstep_gen.h"
#include "support/bare_x86.h"

struct ls_machine {
    struct bare b;
    struct x86_run *other; /* owned; interprets in turns with the engine under test; NULL: never */
    uint64_t device_accesses, device_sum;
    bool irq; /* the line is up */
    struct x86_profile small, max;
};

/* Aborts the test when something is missing. */
void ls_machine_init(struct ls_machine *m, const struct engine_ops *engine, uint64_t code_cache);
void ls_machine_done(struct ls_machine *m);
/* Puts the program and the state it begins with in place. */
void ls_machine_load(struct ls_machine *m, const struct ls_program *p);
static inline struct x86_cpu *ls_cpu(const struct ls_machine *m)
{
    return m->b.c;
}
static inline uint8_t *ls_ram(const struct ls_machine *m)
{
    return m->b.vm.gmem.host;
}
/* The program ran to its end. */
bool ls_finished(const struct ls_machine *m);
/* Raises the line; both machines take it at the same boundary. */
void ls_raise_irq(struct ls_machine *m);

enum ls_scope { LS_STATE, LS_HOT, LS_ALL }; /* registers; and the memory that changes; and all memory */
/* NULL when a and b are equal, else what differs first. A dirty bit that only `a` has set, because its right to write was checked
 * before a fault, is copied to b. With forgive_flags arithmetic flags are not looked at. */
const char *ls_differ(struct ls_machine *a, struct ls_machine *b, enum ls_scope scope, bool forgive_flags);
/* Prints all that differs. */
void ls_print_difference(struct ls_machine *a, struct ls_machine *b);
void ls_print_code(const struct ls_machine *m, gva_t rip, unsigned count);

#endif
