/* SPDX-License-Identifier: MIT */
/*
 * The picture of the sets: sensitive and privileged instructions as two ellipses, with their names.
 *
 * With offenders the ellipses overlap; without, the one lies in the other, as the theorem asks. An instruction that names a
 * control register is shown by the register.
 */
#include "classify/report.h"

#include <string.h>

enum { LINE_HEIGHT = 19, LINES_MAX = 24, LINE_CAP = 64, WIDTH = 1000, HEIGHT = 520 };

/* Where names stand. */
enum region { REGION_OFFENDER, REGION_GATE, REGION_BOTH, REGION_PRIVILEGED, REGION_NR };

/* A block of names: its middle, in units of the picture, and the width of its lines, in characters. */
struct block {
    int x, y;
    unsigned width;
};

struct geometry {
    const char *ellipses;
    struct block block[REGION_NR];
};

static const struct geometry overlapping = { "<ellipse cx=\"370\" cy=\"270\" rx=\"345\" ry=\"205\" class=\"sensitive\"/>\n"
                                             "<ellipse cx=\"700\" cy=\"270\" rx=\"270\" ry=\"180\" class=\"privileged\"/>\n"
                                             "<text class=\"set\" x=\"250\" y=\"52\">sensitive</text>\n"
                                             "<text class=\"set\" x=\"810\" y=\"78\">privileged</text>\n",
                                             { { 238, 232, 32 }, { 250, 396, 24 }, { 573, 276, 21 }, { 840, 276, 20 } } };

static const struct geometry nested = { "<ellipse cx=\"500\" cy=\"276\" rx=\"470\" ry=\"204\" class=\"privileged\"/>\n"
                                        "<ellipse cx=\"380\" cy=\"290\" rx=\"290\" ry=\"160\" class=\"sensitive\"/>\n"
                                        "<text class=\"set\" x=\"380\" y=\"160\">sensitive</text>\n"
                                        "<text class=\"set\" x=\"500\" y=\"100\">privileged</text>\n",
                                        { { 380, 300, 40 }, { 380, 300, 40 }, { 380, 300, 44 }, { 805, 286, 19 } } };

static bool is_in(const struct classify_insn *i, enum region region)
{
    bool sensitive = i->classes & CLASSIFY_SENSITIVE, privileged = i->classes & CLASSIFY_PRIVILEGED;
    switch (region) {
    case REGION_OFFENDER: return sensitive && !privileged && !i->gate;
    case REGION_GATE: return sensitive && !privileged && i->gate;
    case REGION_BOTH: return sensitive && privileged;
    default: return privileged && !sensitive;
    }
}

/* What stands for it: the control register it names, or its name. */
static const char *label(const struct classify_insn *i)
{
    const char *blank = strchr(i->name, ' ');
    return blank ? blank + 1 : i->name;
}

static bool is_first(const struct classify_result *r, unsigned n, enum region region)
{
    for (unsigned k = 0; k < n; k++)
        if (is_in(&r->insn[k], region) && strcmp(label(&r->insn[k]), label(&r->insn[n])) == 0)
            return false;
    return true;
}

/* Breaks the names of a region into lines. Returns how many; with a last one that says so when there is no room for all. */
static unsigned make_lines(const struct classify_result *r, enum region region, unsigned width, char line[LINES_MAX][LINE_CAP])
{
    unsigned nr = 0;
    for (unsigned n = 0; n < r->nr; n++) {
        const char *name = label(&r->insn[n]);
        if (!is_in(&r->insn[n], region) || !is_first(r, n, region))
            continue;
        if (!nr || strlen(line[nr - 1]) + 1 + strlen(name) > width) {
            if (nr == LINES_MAX) {
                (void)snprintf(line[nr - 1], LINE_CAP, "...");
                return nr;
            }
            line[nr++][0] = 0;
        }
        size_t at = strlen(line[nr - 1]);
        (void)snprintf(line[nr - 1] + at, LINE_CAP - at, at ? " %s" : "%s", name);
    }
    return nr;
}

/* Returns the top of what it has written. */
static int put_block(const struct classify_result *r, enum region region, const struct block *b, FILE *out)
{
    char line[LINES_MAX][LINE_CAP];
    unsigned nr = make_lines(r, region, b->width, line);
    int top = b->y - (int)nr * LINE_HEIGHT / 2;
    for (unsigned n = 0; n < nr; n++) {
        (void)fprintf(out, "<text class=\"r%d\" x=\"%d\" y=\"%d\">", region, b->x, top + (int)(n + 1) * LINE_HEIGHT - 5);
        report_escaped(line[n], out);
        (void)fprintf(out, "</text>\n");
    }
    return top;
}

static bool has(const struct classify_result *r, enum region region)
{
    for (unsigned n = 0; n < r->nr; n++)
        if (is_in(&r->insn[n], region))
            return true;
    return false;
}

void report_picture(const struct classify_result *r, FILE *out)
{
    unsigned innocuous = 0, copied;
    bool registers = false;
    for (unsigned n = 0; n < r->nr; n++) {
        innocuous += !r->insn[n].classes;
        registers |= strchr(r->insn[n].name, ' ') != NULL;
    }
    const struct geometry *g = classify_offenders(r, &copied) ? &overlapping : &nested;
    (void)fprintf(out,
                  "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"the sets of instructions\">\n"
                  "<rect x=\"4\" y=\"4\" width=\"%d\" height=\"%d\" rx=\"12\" class=\"all\"/>\n"
                  "%s<text class=\"set\" x=\"500\" y=\"36\">%u instructions</text>\n"
                  "<text class=\"note\" x=\"500\" y=\"504\">outside both: %u innocuous%s</text>\n",
                  WIDTH, HEIGHT, WIDTH - 8, HEIGHT - 8, g->ellipses, r->nr, innocuous,
                  registers ? "; a control register stands for the instructions that name it" : "");
    for (enum region region = REGION_OFFENDER; region < REGION_NR; region++) {
        int top = put_block(r, region, &g->block[region], out);
        if (region == REGION_GATE && has(r, region))
            (void)fprintf(out, "<text class=\"note\" x=\"%d\" y=\"%d\">these only enter the supervisor:</text>\n",
                          g->block[region].x, top - 6);
    }
    (void)fprintf(out, "</svg>\n");
}
