/* SPDX-License-Identifier: MIT */
/*
 * Verdicts on an instruction set as text.
 */
#include "classify/report.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

static const char *innocuous_text(const struct classify_insn *i)
{
    return i->skipped ? "not tried" : i->never ? "innocuous (always traps)" : "innocuous";
}

static void put_classes(const struct classify_insn *i, FILE *out)
{
    bool any = false;
    for (unsigned n = 0; n < CLASSIFY_CLASSES; n++)
        if (i->classes >> n & 1) {
            (void)fprintf(out, "%s%s", any ? ", " : "", classify_class_name(n));
            any = true;
        }
    if (!any)
        (void)fprintf(out, "%s", innocuous_text(i));
}

static const char *after_of(const struct classify_fact *f, unsigned side)
{
    return f->after[side][0] ? f->after[side] : "-";
}

/* "zf: here 0x1, there 0x0" */
static void put_fact(const struct classify_witness *w, const struct classify_fact *f, FILE *out)
{
    (void)fprintf(out, "    %-18s", f->field);
    for (unsigned side = 0; side < 2 && w->side[side]; side++) {
        if (strcmp(f->before[side], after_of(f, side)) == 0)
            (void)fprintf(out, "  %s %s", w->side[side], f->before[side]);
        else
            (void)fprintf(out, "  %s %s -> %s", w->side[side], f->before[side], after_of(f, side));
    }
    (void)fprintf(out, "\n");
}

static void put_witness(const struct classify_witness *w, unsigned n, FILE *out)
{
    (void)fprintf(out, "  %s: %s (%s)\n", classify_class_name(n), w->text, w->bytes);
    if (w->side[1])
        (void)fprintf(out, "    equal but for %s: %s %s, %s %s\n", w->varied, w->side[0], w->outcome[0], w->side[1],
                      w->outcome[1]);
    else
        (void)fprintf(out, "    in %s mode: %s, and changed resources\n", w->side[0], w->outcome[0]);
    for (unsigned k = 0; k < w->nr_facts; k++)
        put_fact(w, &w->fact[k], out);
    if (w->more)
        (void)fprintf(out, "    and %u more parts of the state\n", w->more);
}

static int put_witnesses(const struct classify_insn *i, classify_replay_fn replay, void *opaque, FILE *out, struct error *err)
{
    for (unsigned n = 0; n < CLASSIFY_CLASSES; n++) {
        struct classify_witness w;
        if (!(i->classes >> n & 1))
            continue;
        int r = replay(opaque, i, n, &w, err);
        if (r < 0)
            return r;
        put_witness(&w, n, out);
        classify_witness_done(&w);
    }
    return 0;
}

int report_witness(const struct classify_result *r, const char *name, classify_replay_fn replay, void *opaque, FILE *out,
                   struct error *err)
{
    bool found = false;
    for (unsigned n = 0; n < r->nr; n++) {
        const struct classify_insn *i = &r->insn[n];
        if (!classify_is_called(i, name))
            continue;
        found = true;
        (void)fprintf(out, "%s (row %u): ", i->name, i->row);
        put_classes(i, out);
        (void)fprintf(
            out,
            "\n  %" PRIu32 " pairs of modes: %" PRIu32 " completed in both, %" PRIu32 " in supervisor mode only, %" PRIu32
            " in user mode only, %" PRIu32 " in neither; %" PRIu32 " pairs that differ otherwise completed\n",
            i->counts.pairs, i->counts.both, i->counts.supervisor_only, i->counts.user_only, i->counts.neither, i->counts.others);
        int k = put_witnesses(i, replay, opaque, out, err);
        if (k < 0)
            return k;
    }
    return found ? 0 : error_set(err, -ENOENT, "no instruction of %s is called '%s'", r->isa, name);
}

/* ---- the whole ---- */

static void put_counts(const struct classify_result *r, FILE *out)
{
    unsigned of[CLASSIFY_CLASSES] = { 0 }, innocuous = 0, sensitive = 0, never = 0, skipped = 0, notes = 0;
    for (unsigned k = 0; k < r->nr; k++) {
        const struct classify_insn *i = &r->insn[k];
        for (unsigned n = 0; n < CLASSIFY_CLASSES; n++)
            of[n] += i->classes >> n & 1;
        sensitive += !!(i->classes & CLASSIFY_SENSITIVE);
        innocuous += !(i->classes & CLASSIFY_SENSITIVE);
        never += i->never && !i->skipped;
        skipped += i->skipped;
        notes += i->notes;
    }
    (void)fprintf(out, "%u instructions: %u sensitive, %u innocuous (%u of them always trap here", r->nr, sensitive, innocuous,
                  never);
    if (skipped)
        (void)fprintf(out, ", %u have no encoding in 64- and 32-bit code", skipped);
    (void)fprintf(out, ")\n");
    if (notes)
        (void)fprintf(out, "%u leave a note of what was used, for the supervisor to read: not counted as a change of resources\n",
                      notes);
    for (unsigned n = 0; n < CLASSIFY_CLASSES; n++)
        (void)fprintf(out, "  %-20s %u\n", classify_class_name(n), of[n]);
}

static void put_names(const struct classify_result *r, bool gates, FILE *out)
{
    unsigned column = 0;
    for (unsigned n = 0; n < r->nr; n++) {
        const struct classify_insn *i = &r->insn[n];
        if (!classify_is_offender(i) || i->gate != gates || classify_named_before(r, n))
            continue;
        if (column + strlen(i->name) > 100)
            column = 0, (void)fprintf(out, "\n");
        column += (unsigned)fprintf(out, "%s%s", column ? " " : "  ", i->name);
    }
    (void)fprintf(out, column ? "\n" : "  none\n");
}

static void put_verdict(const struct classify_result *r, FILE *out)
{
    unsigned copied, offenders = classify_offenders(r, &copied);
    (void)fprintf(
        out,
        "theorem 1: sensitive instructions are %sa subset of the privileged ones: %s is %svirtualizable by trap and emulate\n",
        offenders ? "not " : "", r->isa, offenders ? "not " : "");
    (void)fprintf(out, "theorem 2: %s is %srecursively virtualizable\n", r->isa, offenders ? "not " : "");
    if (!offenders)
        return;
    (void)fprintf(out, "offenders, sensitive but not privileged (%u rows):\n", offenders);
    put_names(r, false, out);
    (void)fprintf(out, "of a milder kind, in user mode they only enter the supervisor where it chose to be entered:\n");
    put_names(r, true, out);
    (void)fprintf(out, "a binary translator must rewrite them all; ours has the host execute %u of them as they stand%s\n",
                  copied, copied ? ": THAT IS WRONG" : "");
}

/* The class whose witness says most: why it is sensitive, or else that it traps. */
static unsigned telling_class(const struct classify_insn *i)
{
    for (unsigned n = 1; n < CLASSIFY_CLASSES; n++)
        if (i->classes >> n & 1)
            return n;
    return 0;
}

static void put_short_witness(const struct classify_witness *w, unsigned n, FILE *out)
{
    const struct classify_fact *f = &w->fact[0];
    (void)fprintf(out, "  %s", w->text);
    if (n == 0)
        (void)fprintf(out, ": %s %s, %s %s", w->side[0], w->outcome[0], w->side[1], w->outcome[1]);
    else if (w->nr_facts && w->side[1])
        (void)fprintf(out, ": %s becomes %s or %s", f->field, after_of(f, 0), after_of(f, 1));
    else if (w->nr_facts)
        (void)fprintf(out, ": %s %s -> %s in %s mode", f->field, f->before[0], after_of(f, 0), w->side[0]);
}

static int put_row(const struct classify_insn *i, int width, classify_replay_fn replay, void *opaque, FILE *out,
                   struct error *err)
{
    char classes[100] = "";
    struct classify_witness w;
    for (unsigned n = 0; n < CLASSIFY_CLASSES; n++)
        if (i->classes >> n & 1)
            (void)snprintf(classes + strlen(classes), sizeof(classes) - strlen(classes), "%s%s", classes[0] ? ", " : "",
                           classify_class_name(n));
    (void)fprintf(out, "%c %-*s %-69s", classify_is_offender(i) ? '*' : ' ', width, i->name,
                  i->classes ? classes : innocuous_text(i));
    if (i->classes) {
        int r = replay(opaque, i, telling_class(i), &w, err);
        if (r < 0)
            return r;
        put_short_witness(&w, telling_class(i), out);
        classify_witness_done(&w);
    }
    (void)fprintf(out, "\n");
    return 0;
}

int report_text(const struct classify_result *r, bool all, classify_replay_fn replay, void *opaque, FILE *out, struct error *err)
{
    (void)fprintf(out, "%s, seed %" PRIu64 "; the monitor's setting: %s\n", r->isa, r->seed, r->setting);
    put_counts(r, out);
    int width = (int)strlen("instruction");
    for (unsigned k = 0; k < r->nr; k++)
        if ((all || r->insn[k].classes) && (int)strlen(r->insn[k].name) > width)
            width = (int)strlen(r->insn[k].name);
    (void)fprintf(out, "\n  %-*s %-69s  a witness (* is an offender)\n", width, "instruction", "classes");
    for (unsigned k = 0; k < r->nr; k++) {
        if (!r->insn[k].classes && !all)
            continue;
        int e = put_row(&r->insn[k], width, replay, opaque, out, err);
        if (e < 0)
            return e;
    }
    (void)fprintf(out, "\n");
    put_verdict(r, out);
    return 0;
}
