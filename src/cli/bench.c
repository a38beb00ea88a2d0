/* SPDX-License-Identifier: MIT */
/*
 * doppel bench exits: the nanobenchmarks of Adams and Agesen under every engine, in cycles, beside the bare host where that can
 * be.
 *
 * guests/exits.c measures, by the TSC, which runs at the host's rate under every engine. Engines take turns; the figures are
 * medians over the rounds.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <unistd.h>
#include <x86intrin.h>

#include "base/checked.h"
#include "base/cleanup.h"
#include "cli/own_guest.h"
#include "cli/verbs.h"
#include "core/engine.h"
#include "machine/registry.h"

static const char help_text[] = "usage: doppel bench exits\n\n"
                                "Measures what leaves the guest, in cycles: a system call that does nothing, IN, a write to CR8, "
                                "a call and return, a page fault\n"
                                "and a divide error with handlers that skip them, and a change of a page-table entry (native: "
                                "with INVLPG; paravirtual: 64 in a\n"
                                "batch). In a tiny kernel under each engine for x86-64 that works here; `host` is this process: "
                                "a call and return, a system\n"
                                "call that Linux does not know, and IN, if the kernel allows it (to root, by ioperm).\n";

enum { SECONDS = 60, ROUNDS = 5, ENGINES_MAX = 6, HOST_CALLS = 2000, HOST_INS = 200, NO_SUCH_CALL = -1, PIC_MASK = 0x21 };
enum { ROWS_NATIVE = 7, ROWS = ROWS_NATIVE + 1, ROW_SYSCALL = 0, ROW_IN = 1, ROW_CALL = 3 };
static const struct {
    const char *name, *words;
    bool paravirtual;
} rows[ROWS] = {
    { "syscall", "system call", false },          { "in", "in", false },
    { "cr8_write", "CR8 write", false },          { "call_return", "call and return", false },
    { "page_fault", "page fault", false },        { "divide_by_zero", "divide by zero", false },
    { "pte_change", "page-table change", false }, { "pte_change", "the same, paravirtual", true },
};

struct column {
    const char *name;
    unsigned long cycles[ROWS][ROUNDS];
    bool known[ROWS];
    bool avoid;       /* its probe said that it is not as it should be */
    char failed[256]; /* a sentence, when a guest failed */
};

struct table {
    struct column column[ENGINES_MAX + 1];
    unsigned nr;
};

/* ---- the bare host ---- */

static void __attribute__((noinline)) nothing(void)
{
    __asm__ volatile("");
}

static unsigned long host_calls(void)
{
    uint64_t begin = __rdtsc();
    for (unsigned k = 0; k < HOST_CALLS; k++)
        __asm__ volatile("");
    uint64_t empty = __rdtsc() - begin;
    begin = __rdtsc();
    for (unsigned k = 0; k < HOST_CALLS; k++) {
        nothing();
        __asm__ volatile("");
    }
    uint64_t took = __rdtsc() - begin;
    return took > empty ? (took - empty) / HOST_CALLS : 0;
}

/* Of a number that Linux has no call for: what is left is the way in and out, as in the guest. */
static unsigned long host_syscalls(void)
{
    uint64_t begin = __rdtsc();
    for (unsigned k = 0; k < HOST_CALLS; k++)
        (void)syscall(NO_SUCH_CALL);
    return (__rdtsc() - begin) / HOST_CALLS;
}

/* The port that the guest reads. False where the kernel does not let us at it: only root, and not everywhere. */
static bool host_in(unsigned long *ret_cycles)
{
    if (ioperm(PIC_MASK, 1, 1) < 0)
        return false;
    uint64_t begin = __rdtsc();
    for (unsigned k = 0; k < HOST_INS; k++)
        (void)inb(PIC_MASK);
    *ret_cycles = (__rdtsc() - begin) / HOST_INS;
    (void)ioperm(PIC_MASK, 1, 0); /* takes back what it gave: cannot fail */
    return true;
}

static void measure_host(struct column *c, unsigned round)
{
    c->known[ROW_SYSCALL] = c->known[ROW_CALL] = true;
    c->cycles[ROW_SYSCALL][round] = host_syscalls();
    c->cycles[ROW_CALL][round] = host_calls();
    c->known[ROW_IN] = host_in(&c->cycles[ROW_IN][round]);
}

/* ---- engines ---- */

static int measure_build(struct column *c, unsigned round, bool paravirtual, struct own_guest_result *result, struct error *err)
{
    const struct own_guest guest = {
        .name = paravirtual ? "exits (paravirtual)" : "exits (native)",
        .image = paravirtual ? guest_exits_pv : guest_exits_native,
        .len = paravirtual ? guest_exits_pv_len : guest_exits_native_len,
    };
    int r = own_guest_run(&guest, c->name, SECONDS, result, err);
    if (r < 0)
        return error_prefix(err, "engine %s", c->name);
    unsigned long no_syscall;
    if (own_guest_value(result->console, "no_syscall", &no_syscall))
        (void)snprintf(c->failed, sizeof(c->failed), "SYSCALL does not enter ring 0");
    else if (result->end != VM_END_EXIT || result->status != 1) /* what it said before is good */
        (void)snprintf(c->failed, sizeof(c->failed), "%s did not get to its end: %s", guest.name,
                       result->why[0] ? result->why : "it failed");
    for (unsigned k = 0; k < ROWS; k++)
        if (rows[k].paravirtual == paravirtual)
            c->known[k] = own_guest_value(result->console, rows[k].name, &c->cycles[k][round]);
    return 0;
}

static int measure_all(struct table *t, struct error *err)
{
    AUTO_FREE struct own_guest_result *result = calloc(1, sizeof(*result));
    if (!result)
        return error_set(err, -ENOMEM, "out of memory");
    for (unsigned round = 0; round < ROUNDS; round++) {
        measure_host(&t->column[0], round);
        for (unsigned k = 1; k < t->nr; k++)
            for (int pv = 0; pv < 2; pv++) {
                int r = measure_build(&t->column[k], round, pv, result, err);
                if (r < 0)
                    return r;
            }
    }
    return 0;
}

/* ---- the table ---- */

static int by_value(const void *a, const void *b)
{
    unsigned long x = *(const unsigned long *)a, y = *(const unsigned long *)b;
    return x < y ? -1 : x > y;
}

static void print_table(struct table *t)
{
    (void)printf("%-24s", "cycles (median of 5)");
    for (unsigned k = 0; k < t->nr; k++)
        (void)printf("%10s", t->column[k].name);
    (void)printf("\n");
    for (unsigned row = 0; row < ROWS; row++) {
        (void)printf("%-24s", rows[row].words);
        for (unsigned k = 0; k < t->nr; k++) {
            struct column *c = &t->column[k];
            qsort(c->cycles[row], ROUNDS, sizeof(c->cycles[row][0]), by_value);
            if (c->known[row])
                (void)printf("%10lu", c->cycles[row][ROUNDS / 2]);
            else
                (void)printf("%10s", "-");
        }
        (void)printf("\n");
    }
    for (unsigned k = 0; k < t->nr; k++)
        if (t->column[k].failed[0])
            (void)printf("%s: %s%s\n", t->column[k].name, t->column[k].failed, t->column[k].avoid ? " (see doppel doctor)" : "");
}

static int bench_exits(void)
{
    const struct registry_arch *arch;
    struct error err = { 0 };
    if (registry_find_arch("x86-64", &arch, &err) < 0)
        return cli_fail(&err);
    struct table t = { .nr = 0 };
    t.column[t.nr++].name = "host";
    for (const struct engine_ops *const *e = arch->engines; *e && t.nr <= ENGINES_MAX; e++) {
        struct engine_probe probe = { .usable = false };
        (*e)->probe(arch->isa, &probe);
        if (probe.usable) {
            t.column[t.nr].avoid = probe.avoid;
            t.column[t.nr++].name = (*e)->name;
        } else
            (void)printf("%s does not work here: %s\n", (*e)->name, probe.why);
    }
    if (measure_all(&t, &err) < 0)
        return cli_fail(&err);
    print_table(&t);
    for (unsigned k = 0; k < t.nr; k++)
        if (t.column[k].failed[0] && !t.column[k].avoid)
            return EXIT_FAILED;
    return EXIT_OK;
}

int verb_bench(int argc, char **argv)
{
    struct error err;
    if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        (void)printf("%s", help_text);
        return EXIT_OK;
    }
    if (argc != 2 || strcmp(argv[1], "exits") != 0) {
        if (argc < 2)
            (void)error_set(&err, -EINVAL, "which benchmark? (there is: exits)");
        else
            (void)error_set(&err, -EINVAL, "unknown benchmark '%s' (there is: exits)", argv[argc - 1]);
        return cli_usage(&err, "bench");
    }
    return bench_exits();
}
