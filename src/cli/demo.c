/* SPDX-License-Identifier: MIT */
/*
 * doppel demo: our own kernels, native and paravirtualized, under every engine, side by side.
 *
 * popf: the guest of Popek and Goldberg's theorem. guests/popf.c turns interrupts off with POPF and reads its mode from CS, and
 * says what it saw; its paravirtualized build asks the monitor instead. Only trap and emulate gets the first one wrong.
 * tiny: guests/tiny does what kernels do, and avoids what does not trap: right everywhere; what it shows is what traps cost.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/cleanup.h"
#include "cli/own_guest.h"
#include "cli/verbs.h"
#include "core/engine.h"
#include "machine/registry.h"

static const char help_text[] =
    "usage: doppel demo popf|tiny\n\n"
    "Runs a kernel of ours, native and paravirtualized, under each engine for x86-64 that works here, and prints what became of\n"
    "it, how often it trapped, and the time.\n\n"
    "  popf   turns interrupts off with POPF and reads its mode from CS. Exits with 0 when each engine was as right, or as "
    "wrong,\n"
    "         as the theorem predicts (docs/direct.md), else with 1\n"
    "  tiny   threads, a timer, page tables, page faults, a user program with system calls. Exits with 0 when all was right\n"
    "         under each engine that doppel doctor does not call poor\n";

enum { SECONDS = 60, STATUS_GOOD = 1 };

struct build {
    const char *name;
    const void *image;
    const unsigned long *len;
};

struct row {
    const char *engine;
    bool paravirtual;
    bool avoid; /* the engine's probe said that it is not as it should be */
};

struct demo {
    const char *name, *heading;
    struct build build[2]; /* native, paravirtual */
    /* Prints what the guest saw; returns whether it is as it must be. It came to its end. */
    bool (*judge)(const struct row *row, const struct own_guest_result *r);
};

/* ---- popf ---- */

/* Trap and emulate without rewriting cannot be right where a sensitive instruction does not trap. */
static bool predicted_right(const struct row *row)
{
    return row->paravirtual || strcmp(row->engine, "direct") != 0;
}

static bool judge_popf(const struct row *row, const struct own_guest_result *r)
{
    unsigned long level, enabled, came;
    if (!own_guest_value(r->console, "mode", &level) || !own_guest_value(r->console, "interrupts_enabled", &enabled)
        || !own_guest_value(r->console, "interrupts_came", &came)) {
        (void)printf("%-30s", " it did not say what it saw");
        return false;
    }
    bool right = level == 0 && !enabled && !came;
    (void)printf("%5lu %8s %6s   %-8s", level, enabled ? "on" : "off", came ? "came" : "none", right ? "right" : "wrong");
    return right == predicted_right(row);
}

/* ---- tiny ---- */

/* The kernel checks what it does, and says at its end whether all was as it should be. */
static bool judge_tiny(const struct row *row, const struct own_guest_result *r)
{
    const char *failed = strstr(r->console, "FAILED: ");
    bool right = r->status == STATUS_GOOD && strstr(r->console, "\ntiny: all is well\n");
    if (right)
        (void)printf("%-31s", "right");
    else
        (void)printf("wrong: %-24.*s", failed ? (int)strcspn(failed + 8, "\n") : 0, failed ? failed + 8 : "");
    return right || row->avoid;
}

/* ---- both ---- */

static const struct demo demos[] = {
    { "popf",
      "After POPF with IF = 0, in a kernel (mode 0):\n"
      "engine   build         mode  IF reads  ticks   it is      traps hypercalls    time\n",
      { { "popf (native)", guest_popf_native, &guest_popf_native_len },
        { "popf (paravirtual)", guest_popf_pv, &guest_popf_pv_len } },
      judge_popf },
    { "tiny",
      "3 threads and a timer, 2560 changes of page tables, 24 pages on demand, a program with 105 system calls:\n"
      "engine   build       it is                            traps hypercalls    time\n",
      { { "tiny (native)", guest_tiny_native, &guest_tiny_native_len },
        { "tiny (paravirtual)", guest_tiny_pv, &guest_tiny_pv_len } },
      judge_tiny },
};

/* How often it trapped; 0 where nothing does. */
static unsigned long print_traps(const struct own_guest_result *r)
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
        (void)printf("%7s %10s", "-", "-");
    return traps_apart ? traps : 0;
}

/* ret_traps: 0 where nothing traps, or it did not get to the end. */
static bool print_row(const struct demo *d, const struct row *row, const struct own_guest_result *r, unsigned long *ret_traps)
{
    *ret_traps = 0;
    (void)printf("%-8s %-12s", row->engine, row->paravirtual ? "paravirtual" : "native");
    if (r->end != VM_END_EXIT) {
        (void)printf(" did not get to the end: %s%s\n", r->why[0] ? r->why : "it said nothing",
                     row->avoid ? " (see doppel doctor)" : "");
        return row->avoid;
    }
    bool right = d->judge(row, r);
    unsigned long traps = print_traps(r);
    (void)printf("%8.1f ms%s\n", (double)r->took / 1e6, right ? "" : "   NOT AS PREDICTED");
    *ret_traps = right ? traps : 0;
    return right;
}

static int run_row(const struct demo *d, const struct row *row, bool *ret_right, unsigned long *ret_traps, struct error *err)
{
    const struct build *b = &d->build[row->paravirtual];
    const struct own_guest guest = { .name = b->name, .image = b->image, .len = *b->len };
    AUTO_FREE struct own_guest_result *result = calloc(1, sizeof(*result));
    if (!result)
        return error_set(err, -ENOMEM, "out of memory");
    int r = own_guest_run(&guest, row->engine, SECONDS, result, err);
    if (r < 0)
        return error_prefix(err, "engine %s", row->engine);
    *ret_right = print_row(d, row, result, ret_traps);
    (void)fflush(stdout);
    return 0;
}

struct tally {
    bool all_right;
    unsigned long traps[2]; /* under direct: native, paravirtual */
};

static int run_engine(const struct demo *d, const struct isa_ops *isa, const struct engine_ops *engine, struct tally *t,
                      struct error *err)
{
    struct engine_probe probe = { .usable = false };
    engine->probe(isa, &probe);
    if (!probe.usable) {
        (void)printf("%-8s does not work here: %s\n", engine->name, probe.why);
        return 0;
    }
    for (int pv = 0; pv < 2; pv++) {
        const struct row row = { .engine = engine->name, .paravirtual = pv, .avoid = probe.avoid };
        bool right = false;
        unsigned long traps = 0;
        int r = run_row(d, &row, &right, &traps, err);
        if (r < 0)
            return r;
        t->all_right &= right;
        if (strcmp(engine->name, "direct") == 0)
            t->traps[pv] = traps;
    }
    return 0;
}

static int run_demo(const struct demo *d)
{
    const struct registry_arch *arch;
    struct error err = { 0 };
    struct tally t = { .all_right = true };
    if (registry_find_arch("x86-64", &arch, &err) < 0)
        return cli_fail(&err);
    (void)printf("%s", d->heading);
    for (const struct engine_ops *const *e = arch->engines; *e; e++)
        if (run_engine(d, arch->isa, *e, &t, &err) < 0)
            return cli_fail(&err);
    if (t.traps[0] && t.traps[1])
        (void)printf("Under direct the paravirtual build trapped %.1f times less often.\n",
                     (double)t.traps[0] / (double)t.traps[1]);
    return t.all_right ? EXIT_OK : EXIT_FAILED;
}

int verb_demo(int argc, char **argv)
{
    struct error err;
    if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        (void)printf("%s", help_text);
        return EXIT_OK;
    }
    for (unsigned k = 0; argc == 2 && k < ARRAY_SIZE(demos); k++)
        if (strcmp(argv[1], demos[k].name) == 0)
            return run_demo(&demos[k]);
    if (argc < 2)
        (void)error_set(&err, -EINVAL, "which demo? (there are: popf, tiny)");
    else
        (void)error_set(&err, -EINVAL, "unknown demo '%s' (there are: popf, tiny)", argv[argc - 1]);
    return cli_usage(&err, "demo");
}
