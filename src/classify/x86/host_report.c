/* SPDX-License-Identifier: MIT */
/*
 * The verdicts beside what the real CPU does in user mode: see host_report.h.
 *
 * The host's kernel is the supervisor there, with resources of its own, so of sensitive instructions only that they trap or not
 * is compared; innocuous ones must have the same result, too.
 */
#include "classify/x86/host_report.h"

#include "classify/x86/host.h"

enum group { GROUP_PRIVILEGED, GROUP_OFFENDERS, GROUP_INNOCUOUS, GROUP_NR };

struct tally {
    unsigned rows, agree, cases, lost, untried;
};

static enum group group_of(const struct classify_insn *i)
{
    if (i->classes & CLASSIFY_PRIVILEGED)
        return GROUP_PRIVILEGED;
    return classify_is_offender(i) ? GROUP_OFFENDERS : GROUP_INNOCUOUS;
}

static bool agrees(enum group g, const struct host_row *h)
{
    switch (g) {
    case GROUP_PRIVILEGED: return h->host_completed == 0;
    case GROUP_OFFENDERS: return h->host_completed > 0 || h->reference_completed == 0;
    default: return h->trap_differs == 0 && h->result_differs == 0;
    }
}

static void put_row(const struct classify_insn *i, const struct host_row *h, FILE *out)
{
    (void)fprintf(out, "  %-16s row %4u: of %u cases the host completed %u, the reference machine %u", i->name, i->row, h->cases,
                  h->host_completed, h->reference_completed);
    if (h->result_differs)
        (void)fprintf(out, "; %u results differ, first %s", h->result_differs, h->example);
    if (h->lost)
        (void)fprintf(out, "; %u lost", h->lost);
    (void)fprintf(out, "\n");
}

int host_report(struct experiment *e, const struct classify_result *r, FILE *out, struct error *err)
{
    static const char *const names[GROUP_NR] = { "privileged: all trap", "offenders: some case completes",
                                                 "innocuous: same traps, same results" };
    struct tally t[GROUP_NR] = { { 0 } };
    (void)fprintf(out, "the user-mode side on this CPU; rows on which it does not agree:\n");
    for (unsigned n = 0; n < r->nr; n++) {
        struct host_row h;
        enum group g = group_of(&r->insn[n]);
        int k = host_try(e, n, &h, err);
        if (k < 0)
            return k;
        bool tried = h.cases > h.lost;
        t[g].rows += tried;
        t[g].untried += !tried;
        t[g].cases += h.cases;
        t[g].lost += h.lost;
        t[g].agree += tried && agrees(g, &h);
        if (tried && !agrees(g, &h))
            put_row(&r->insn[n], &h, out);
    }
    for (unsigned g = 0; g < GROUP_NR; g++)
        (void)fprintf(out, "%s: %u of %u rows agree (%u cases, %u lost; %u rows not tried)\n", names[g], t[g].agree, t[g].rows,
                      t[g].cases, t[g].lost, t[g].untried);
    return 0;
}
