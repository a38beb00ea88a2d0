/* SPDX-License-Identifier: MIT */
/*
 * doppel demo popf: the guest of Popek and Goldberg's theorem under every engine, side by side.
 *
 * guests/popf.c turns interrupts off with POPF and reads its mode from CS, and says what it saw; its paravirtualized build asks
 * the monitor instead. Only trap and emulate gets the first one wrong.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "cli/own_guest.h"
#include "cli/verbs.h"
#include "core/engine.h"
#include "machine/registry.h"

static const char help_text[] =
    "usage: doppel demo popf\n\n"
    "Runs a tiny kernel that turns interrupts off with POPF and reads its mode from CS, native and paravirtualized, under each\n"
    "engine for x86-64 that works here, and prints what it saw, how often it trapped, and the time.\n"
    "Exits with 0 when each engine was as right, or as wrong, as the theorem predicts (docs/direct.md), else with 1.\n";

enum { SECONDS = 20 };

struct row {
    const char *engine;
    bool paravirtual;
};

/* Trap and emulate without rewriting cannot be right where a sensitive instruction does not trap. */
static bool predicted_right(const struct row *row)
{
    return row->paravirtual || strcmp(row->engine, "direct") != 0;
}

static void print_traps(const struct own_guest_result *r)
{
    unsigned long traps, calls, privileged;
    bool traps_apart = own_guest_value(r->stats, "traps_privileged", &privileged)
                       || own_guest_value(r->stats, "exits_io", &privileged);
    if (!own_guest_value(r->stats, "exits", &traps))
        (void)own_guest_value(r->stats, "traps", &traps);
    (void)own_guest_value(r->stats, "hypercalls", &calls);
    if (traps_apart)
        (void)printf("%7lu %10lu", traps, calls);
    else
        (void)printf("%7s %10s", "-", "-"); /* nothing traps there */
}

/* Returns whether it was as predicted. */
static bool print_row(const struct row *row, const struct own_guest_result *r)
{
    unsigned long level, enabled, came;
    bool said = own_guest_value(r->console, "mode", &level) && own_guest_value(r->console, "interrupts_enabled", &enabled)
                && own_guest_value(r->console, "interrupts_came", &came);
    (void)printf("%-8s %-12s", row->engine, row->paravirtual ? "paravirtual" : "native");
    if (r->end != VM_END_EXIT || !said) {
        (void)printf(" did not get to the end: %s\n", r->why[0] ? r->why : "it said nothing");
        return false;
    }
    bool right = level == 0 && !enabled && !came;
    (void)printf("%5lu %8s %6s   %-8s", level, enabled ? "on" : "off", came ? "came" : "none", right ? "right" : "wrong");
    print_traps(r);
    (void)printf("%8.1f ms%s\n", (double)r->took / 1e6, right == predicted_right(row) ? "" : "   NOT AS PREDICTED");
    return right == predicted_right(row);
}

static int run_row(const struct row *row, bool *ret_as_predicted, struct error *err)
{
    const struct own_guest guest = {
        .name = row->paravirtual ? "popf (paravirtual)" : "popf (native)",
        .image = row->paravirtual ? guest_popf_pv : guest_popf_native,
        .len = row->paravirtual ? guest_popf_pv_len : guest_popf_native_len,
    };
    AUTO_FREE struct own_guest_result *result = calloc(1, sizeof(*result));
    if (!result)
        return error_set(err, -ENOMEM, "out of memory");
    int r = own_guest_run(&guest, row->engine, SECONDS, result, err);
    if (r < 0)
        return error_prefix(err, "engine %s", row->engine);
    *ret_as_predicted = print_row(row, result);
    (void)fflush(stdout);
    return 0;
}

static int demo_popf(void)
{
    const struct registry_arch *arch;
    struct error err = { 0 };
    bool all = true, one = true;
    if (registry_find_arch("x86-64", &arch, &err) < 0)
        return cli_fail(&err);
    (void)printf("After POPF with IF = 0, in a kernel (mode 0):\n"
                 "engine   build         mode  IF reads  ticks   it is      traps hypercalls    time\n");
    for (const struct engine_ops *const *e = arch->engines; *e; e++) {
        struct engine_probe probe = { .usable = false };
        (*e)->probe(arch->isa, &probe);
        if (!probe.usable) {
            (void)printf("%-8s does not work here: %s\n", (*e)->name, probe.why);
            continue;
        }
        for (int pv = 0; pv < 2; pv++) {
            const struct row row = { .engine = (*e)->name, .paravirtual = pv };
            if (run_row(&row, &one, &err) < 0)
                return cli_fail(&err);
            all &= one;
        }
    }
    return all ? EXIT_OK : EXIT_FAILED;
}

int verb_demo(int argc, char **argv)
{
    struct error err;
    if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        (void)printf("%s", help_text);
        return EXIT_OK;
    }
    if (argc != 2 || strcmp(argv[1], "popf") != 0) {
        if (argc < 2)
            (void)error_set(&err, -EINVAL, "which demo? (there is: popf)");
        else
            (void)error_set(&err, -EINVAL, "unknown demo '%s' (there is: popf)", argv[argc - 1]);
        return cli_usage(&err, "demo");
    }
    return demo_popf();
}
