/* SPDX-License-Identifier: MIT */
/*
 * Verdicts on an instruction set: names, counts, and their end.
 */
#include "classify/result.h"

#include <stdlib.h>
#include <string.h>

const char *classify_class_name(unsigned n)
{
    static const char *const names[CLASSIFY_CLASSES] = { "privileged", "control-sensitive", "location-sensitive",
                                                         "mode-sensitive" };
    return n < CLASSIFY_CLASSES ? names[n] : "?";
}

unsigned classify_offenders(const struct classify_result *r, unsigned *ret_copied)
{
    unsigned nr = 0, copied = 0;
    for (unsigned n = 0; n < r->nr; n++) {
        nr += classify_is_offender(&r->insn[n]);
        copied += classify_is_offender(&r->insn[n]) && r->insn[n].copied;
    }
    *ret_copied = copied;
    return nr;
}

bool classify_named_before(const struct classify_result *r, unsigned n)
{
    for (unsigned k = 0; k < n; k++)
        if (classify_is_offender(&r->insn[k]) && strcmp(r->insn[k].name, r->insn[n].name) == 0)
            return true;
    return false;
}

bool classify_is_called(const struct classify_insn *i, const char *name)
{
    size_t len = strlen(name);
    return len && strncmp(i->name, name, len) == 0 && (!i->name[len] || i->name[len] == ' ');
}

void classify_result_done(struct classify_result *r)
{
    free(r->insn);
    r->insn = NULL;
    r->nr = 0;
}

void classify_witness_done(struct classify_witness *w)
{
    free(w->fact);
    w->fact = NULL;
    w->nr_facts = 0;
}
