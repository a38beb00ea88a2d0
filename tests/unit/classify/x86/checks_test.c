/* SPDX-License-Identifier: MIT */
/*
 * Mutation test of `doppel classify x86-64`: with one privilege check of the reference machine deleted, the verdict of exactly
 * that instruction changes.
 *
 * The step functions with privilege checks are compiled into this test once more, with deletable raises
 * (support/deletable_checks.h). What a privilege check is comes from watching: a place that raised for a row at CPL 3 and never
 * at CPL 0, where the row is privileged.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "classify/x86/encodings.h"
#include "classify/x86/lab.h"
#include "isa/x86/mmu.h"
#include "support/deletable_checks.h"
#include "support/experiments.h"

enum { PLACES_MAX = 4096, PAIRS = 8, CHECKS_MIN = 35 };

/* A place that raised while a row was executed. */
struct place {
    const char *file;
    int line;
    uint16_t row;
    bool at_cpl[4];
};

static struct {
    struct place place[PLACES_MAX];
    unsigned nr;
    bool watching;
    const struct place *deleted; /* NULL: none */
    uint64_t times;              /* that it was reached */
} mutant;

/* The row of the instruction that the CPU executes: whose bytes stand at its rip. */
static unsigned row_at(const struct x86_cpu *c)
{
    struct x86_insn i;
    gpa_t gpa;
    if (!x86_translate_quiet(c, c->rip, &gpa))
        return 0;
    const uint8_t *bytes = gmem_pin(c->gmem, gpa, X86_INSN_MAX);
    return bytes && x86_decode(bytes, X86_INSN_MAX, c->mode, &i) > 0 ? i.row : 0;
}

static bool is_at(const struct place *p, const char *file, int line, unsigned row)
{
    return p->line == line && p->row == row && strcmp(p->file, file) == 0;
}

static void watch(const char *file, int line, unsigned row, unsigned cpl)
{
    unsigned n = 0;
    while (n < mutant.nr && !is_at(&mutant.place[n], file, line, row))
        n++;
    if (n == PLACES_MAX)
        return;
    if (n == mutant.nr)
        mutant.place[mutant.nr++] = (struct place){ .file = file, .line = line, .row = (uint16_t)row };
    mutant.place[n].at_cpl[cpl & 3] = true;
}

bool deletable_raise(struct x86_cpu *c, const char *file, int line)
{
    if (mutant.watching)
        watch(file, line, row_at(c), c->cpl);
    if (!mutant.deleted || !is_at(mutant.deleted, file, line, row_at(c)))
        return false;
    mutant.times++;
    return true;
}

/* Verdicts on all rows but those the host executes (they check no privilege: their step function is one). */
static struct classify_insn *all_verdicts(struct experiment *e)
{
    struct classify_insn *v = calloc(x86_nr_rows, sizeof(*v));
    assert_non_null(v);
    for (unsigned n = 0; n < x86_nr_rows; n++)
        if (!(x86_rows[n].flags & ROW_HOST))
            experiment_subject(e, n, &v[n]);
    return v;
}

static bool is_privilege_check(const struct place *p, const struct classify_insn *v)
{
    return p->at_cpl[3] && !p->at_cpl[0] && (v[p->row].classes & CLASSIFY_PRIVILEGED);
}

/* The rows that this place raised for, other than its own, keep their verdict. */
static void others_keep_theirs(struct experiment *e, const struct place *p, const struct classify_insn *v)
{
    for (unsigned n = 0; n < mutant.nr; n++) {
        const struct place *o = &mutant.place[n];
        struct classify_insn now;
        if (o->row == p->row || !is_at(o, p->file, p->line, o->row))
            continue;
        experiment_subject(e, o->row, &now);
        if (now.classes != v[o->row].classes)
            fail_msg("without the check at %s:%d for %s, %s (row %u) is %#x, not %#x", p->file, p->line, v[p->row].name, now.name,
                     o->row, now.classes, v[o->row].classes);
    }
}

static unsigned delete_each(bool umip)
{
    struct experiment *e = experiments_start(&x86_lab_isa, 1, PAIRS, umip);
    unsigned checks = 0;
    memset(&mutant, 0, sizeof(mutant));
    mutant.watching = true;
    struct classify_insn *v = all_verdicts(e);
    mutant.watching = false;
    for (unsigned n = 0; n < mutant.nr; n++) {
        const struct place *p = &mutant.place[n];
        struct classify_insn now;
        if (!is_privilege_check(p, v))
            continue;
        checks++;
        mutant.deleted = p;
        mutant.times = 0;
        experiment_subject(e, p->row, &now);
        if (!mutant.times || (now.classes & CLASSIFY_PRIVILEGED))
            fail_msg("without the check at %s:%d (reached %lu times) %s (row %u) is still privileged", p->file, p->line,
                     mutant.times, now.name, p->row);
        others_keep_theirs(e, p, v);
        mutant.deleted = NULL;
    }
    free(v);
    experiment_free(e);
    return checks;
}

static unsigned without_umip; /* checks there were in the first test */

static void deleting_a_privilege_check_changes_the_verdict_on_its_instruction_only(void **state)
{
    (void)state;
    without_umip = delete_each(false);
    printf("%u privilege checks deleted, one at a time\n", without_umip);
    assert_true(without_umip >= CHECKS_MIN);
}

/* SGDT, SIDT, SLDT, STR, SMSW have one more each. */
static void with_umip_there_are_five_more(void **state)
{
    (void)state;
    assert_int_equal(delete_each(true), without_umip + 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(deleting_a_privilege_check_changes_the_verdict_on_its_instruction_only),
        cmocka_unit_test(with_umip_there_are_five_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
