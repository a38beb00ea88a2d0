/* SPDX-License-Identifier: MIT */
/*
 * The user-mode side of `doppel classify x86-64` against the host CPU, for rows on which every host agrees.
 *
 * Not under ASan: its runtime makes system calls at each longjmp, and the child may make none.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/checked.h"
#include "classify/x86/host.h"
#include "classify/x86/lab.h"
#include "isa/x86/decode.h"
#include "support/experiments.h"

/* All rows of that name together. */
static struct host_row try_name(struct experiment *e, const char *name)
{
    struct host_row sum = { 0 };
    struct error err = { 0 };
    for (unsigned n = 0; n < x86_nr_rows; n++) {
        struct host_row h;
        if (strcmp(x86_rows[n].name, name) != 0)
            continue;
        if (host_try(e, n, &h, &err) < 0)
            fail_msg("%s: %s", name, err.msg);
        sum.cases = (uint16_t)(sum.cases + h.cases);
        sum.host_completed = (uint16_t)(sum.host_completed + h.host_completed);
        sum.reference_completed = (uint16_t)(sum.reference_completed + h.reference_completed);
        sum.trap_differs = (uint16_t)(sum.trap_differs + h.trap_differs);
        sum.result_differs = (uint16_t)(sum.result_differs + h.result_differs);
        sum.lost = (uint16_t)(sum.lost + h.lost);
    }
    if (!sum.cases || sum.lost)
        fail_msg("%s: %u cases, %u lost", name, sum.cases, sum.lost);
    return sum;
}

static void privileged_instructions_trap(void **state)
{
    static const char *const names[] = { "HLT",   "CLI",   "STI", "LGDT", "LIDT",   "LLDT",   "LTR",   "CLTS",
                                         "WRMSR", "RDMSR", "OUT", "IN",   "INVLPG", "WBINVD", "SYSRET" };
    struct experiment *e = experiments_start(&x86_lab_isa, 1, 0, false);
    (void)state;
    for (unsigned n = 0; n < ARRAY_SIZE(names); n++)
        if (try_name(e, names[n]).host_completed)
            fail_msg("%s completed in user mode", names[n]);
    experiment_free(e);
}

static void offenders_complete(void **state)
{
    static const char *const names[] = {
        "POPF/POPFD/POPFQ", "PUSHF/PUSHFD/PUSHFQ", "LAR", "LSL", "VERR", "VERW", "CPUID", "SYSCALL", "INT"
    };
    struct experiment *e = experiments_start(&x86_lab_isa, 1, 0, false);
    (void)state;
    for (unsigned n = 0; n < ARRAY_SIZE(names); n++)
        if (!try_name(e, names[n]).host_completed)
            fail_msg("%s always trapped in user mode", names[n]);
    experiment_free(e);
}

static void innocuous_instructions_have_the_same_results(void **state)
{
    static const char *const names[] = {
        "ADD", "SBB", "LEA", "MOVSB", "XCHG", "CMPXCHG", "BSWAP", "JZ", "ADDPS", "PSHUFD", "PAND"
    };
    struct experiment *e = experiments_start(&x86_lab_isa, 1, 0, false);
    (void)state;
    for (unsigned n = 0; n < ARRAY_SIZE(names); n++) {
        struct host_row h = try_name(e, names[n]);
        if (!h.host_completed || h.trap_differs || h.result_differs)
            fail_msg("%s: %u of %u completed, %u traps and %u results differ", names[n], h.host_completed, h.cases,
                     h.trap_differs, h.result_differs);
    }
    experiment_free(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(privileged_instructions_trap),
        cmocka_unit_test(offenders_complete),
        cmocka_unit_test(innocuous_instructions_have_the_same_results),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
