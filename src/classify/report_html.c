/* SPDX-License-Identifier: MIT */
/*
 * Verdicts on an instruction set as one page of HTML, with the picture of the sets (report_picture.c).
 *
 * Everything is inline: style, an SVG, no script, nothing from the network. Text that comes from tables is escaped.
 */
#include "classify/report.h"

#include <inttypes.h>
#include <string.h>

void report_escaped(const char *text, FILE *out)
{
    for (; *text; text++) {
        switch (*text) {
        case '<': (void)fputs("&lt;", out); break;
        case '>': (void)fputs("&gt;", out); break;
        case '&': (void)fputs("&amp;", out); break;
        case '"': (void)fputs("&quot;", out); break;
        default: (void)fputc(*text, out);
        }
    }
}

static void put_head(const struct classify_result *r, FILE *out)
{
    (void)fprintf(
        out,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>doppel classify %s</title>\n<style>\n"
        "body{font:15px/1.5 system-ui,sans-serif;max-width:1080px;margin:2em auto;padding:0 1em;color:#222;background:#fff}\n"
        "svg{width:100%%;height:auto}text{text-anchor:middle;font:15px ui-monospace,monospace}\n"
        ".all{fill:#f4f6f8;stroke:#889}.sensitive{fill:#e2574c33;stroke:#b33}.privileged{fill:#3b7dd833;stroke:#36b}\n"
        ".set{font:600 18px system-ui}.note{font:italic 14px system-ui;fill:#555}.r0{fill:#a11;font-weight:600}.r1{fill:#a60}"
        ".r2,.r3{fill:#222}\n"
        "table{border-collapse:collapse;width:100%%}td,th{text-align:left;padding:.2em .6em;vertical-align:top;"
        "border-bottom:1px solid #ddd}code,td.v{font:13px ui-monospace,monospace}.no{color:#a11}.yes{color:#171}\n"
        "</style></head><body>\n<h1>%s and the theorem of Popek and Goldberg</h1>\n<p>The monitor is taken to have set: ",
        r->isa, r->isa);
    report_escaped(r->setting, out);
    (void)fprintf(out, ". Random states from seed %" PRIu64 ".</p>\n", r->seed);
}

static void put_verdict(const struct classify_result *r, FILE *out)
{
    unsigned copied, offenders = classify_offenders(r, &copied);
    const char *word = offenders ? "no" : "yes";
    (void)fprintf(
        out,
        "<ul>\n<li>sensitive &sube; privileged, so that trap and emulate suffices: <b class=\"%s\">%s</b> (%u offenders)</li>\n"
        "<li>recursively virtualizable: <b class=\"%s\">%s</b></li>\n"
        "<li>offenders that this program's binary translator leaves as they are: <b class=\"%s\">%u</b></li>\n</ul>\n",
        word, word, offenders, word, word, copied ? "no" : "yes", copied);
}

static void put_value(const char *before, const char *after, FILE *out)
{
    report_escaped(before, out);
    if (after[0] && strcmp(before, after) != 0) {
        (void)fprintf(out, " &rarr; ");
        report_escaped(after, out);
    }
}

static void put_witness(const struct classify_witness *w, FILE *out)
{
    (void)fprintf(out, "<details><summary><code>");
    report_escaped(w->text, out);
    (void)fprintf(out, "</code> (%s)</summary>", w->bytes);
    if (w->side[1])
        (void)fprintf(out, "equal but for %s<table><tr><th></th><th>%s: %s</th><th>%s: %s</th></tr>", w->varied, w->side[0],
                      w->outcome[0], w->side[1], w->outcome[1]);
    else
        (void)fprintf(out, "<table><tr><th></th><th>%s mode: %s</th></tr>", w->side[0], w->outcome[0]);
    for (unsigned n = 0; n < w->nr_facts; n++) {
        const struct classify_fact *f = &w->fact[n];
        (void)fprintf(out, "<tr><td>");
        report_escaped(f->field, out);
        for (unsigned side = 0; side < 2 && w->side[side]; side++) {
            (void)fprintf(out, "</td><td class=\"v\">");
            put_value(f->before[side], f->after[side], out);
        }
        (void)fprintf(out, "</td></tr>");
    }
    (void)fprintf(out, "</table></details>\n");
}

static int put_row(const struct classify_insn *i, classify_replay_fn replay, void *opaque, FILE *out, struct error *err)
{
    (void)fprintf(out, "<tr><td><b class=\"%s\">", classify_is_offender(i) ? "no" : "yes");
    report_escaped(i->name, out);
    (void)fprintf(out, "</b></td><td>");
    for (unsigned n = 0; n < CLASSIFY_CLASSES; n++)
        if (i->classes >> n & 1)
            (void)fprintf(out, "%s<br>", classify_class_name(n));
    (void)fprintf(out, "</td><td>");
    for (unsigned n = 0; n < CLASSIFY_CLASSES; n++) {
        struct classify_witness w;
        if (!(i->classes >> n & 1))
            continue;
        int r = replay(opaque, i, n, &w, err);
        if (r < 0)
            return r;
        (void)fprintf(out, "%s: ", classify_class_name(n));
        put_witness(&w, out);
        classify_witness_done(&w);
    }
    (void)fprintf(out, "</td></tr>\n");
    return 0;
}

int report_html(const struct classify_result *r, classify_replay_fn replay, void *opaque, FILE *out, struct error *err)
{
    put_head(r, out);
    put_verdict(r, out);
    report_picture(r, out);
    (void)fprintf(out, "<h2>Privileged and sensitive instructions</h2>\n<table><tr><th>instruction</th><th>classes</th>"
                       "<th>witnesses</th></tr>\n");
    for (unsigned offender = 2; offender-- > 0;) /* those first */
        for (unsigned n = 0; n < r->nr; n++) {
            if (!r->insn[n].classes || classify_is_offender(&r->insn[n]) != (offender == 1))
                continue;
            int e = put_row(&r->insn[n], replay, opaque, out, err);
            if (e < 0)
                return e;
        }
    (void)fprintf(out, "</table>\n</body></html>\n");
    return 0;
}
