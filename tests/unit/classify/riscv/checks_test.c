/* SPDX-License-Identifier: MIT */
/*
 * Mutation test of `doppel classify riscv64`: with one privilege check of the reference machine deleted, the verdict of exactly
 * that instruction changes.
 *
 * The step functions with privilege checks are compiled into this test once more (support/deletable_riscv_checks.h). What a
 * privilege check is comes from watching: a place that raised for an instruction in U-mode and never in S-mode, where the
 * instruction is privileged. That a CSR refuses a mode is one check for each instruction and CSR, of reading and writing
 * together: deleted, the access is made as from S-mode.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "classify/riscv/csrs.h"
#include "classify/riscv/lab.h"
#include "isa/riscv/csr.h"
#include "isa/riscv/mmu.h"
#include "isa/riscv/trap.h"

#include "support/deletable_riscv_checks.h"
#include "support/experiments.h"
#include "support/sample.h"
#undef riscv_csr_read
#undef riscv_csr_write

enum { PLACES_MAX = 1024, PAIRS = 8, LINE_CSR = 0, CSR_CHECKS_MIN = 80, OTHER_CHECKS_MIN = 10, CSR_SHARE = 8 };

/* A check that refused an instruction. */
struct place {
    int line; /* of step_sys.c; LINE_CSR: a CSR's */
    uint16_t subject;
    bool in_mode[RISCV_M + 1];
};

static struct {
    struct place place[PLACES_MAX];
    unsigned nr;
    bool watching;
    const struct place *deleted; /* NULL: none */
    uint64_t times;              /* that it was reached */
    struct classify_insn *verdict;
    unsigned nr_subjects;
} mutant;

static bool names_csr(const struct riscv_insn *i)
{
    return riscv_rows[i->row].format == RISCV_FMT_CSR || riscv_rows[i->row].format == RISCV_FMT_CSRI;
}

static const char *csr_name(unsigned csr)
{
    for (unsigned n = 0; n < riscv_nr_csrs; n++)
        for (unsigned k = 0; k < riscv_csrs[n].count; k++)
            if (csr == riscv_csrs[n].first + k * riscv_csrs[n].step)
                return riscv_csrs[n].name;
    return "?";
}

static unsigned subject_of(const struct riscv_insn *i)
{
    char name[sizeof(mutant.verdict->name)];
    (void)snprintf(name, sizeof(name), names_csr(i) ? "%s %s" : "%s", riscv_rows[i->row].name, csr_name((unsigned)i->imm));
    for (unsigned n = 0; n < mutant.nr_subjects; n++)
        if (mutant.verdict[n].row == i->row && strcmp(mutant.verdict[n].name, name) == 0)
            return n;
    fail_msg("an instruction of no verdict: %s", name);
    return 0;
}

static bool is_at(const struct place *p, int line, unsigned subject)
{
    return p->line == line && p->subject == subject;
}

static void watch(int line, unsigned subject, unsigned mode)
{
    unsigned n = 0;
    while (n < mutant.nr && !is_at(&mutant.place[n], line, subject))
        n++;
    assert_true(n < PLACES_MAX);
    if (n == mutant.nr)
        mutant.place[mutant.nr++] = (struct place){ .line = line, .subject = (uint16_t)subject };
    mutant.place[n].in_mode[mode] = true;
}

/* A check refuses the instruction. True: it is the one that is deleted. */
static bool refused(struct riscv_cpu *c, const struct riscv_insn *i, int line)
{
    if (mutant.watching)
        watch(line, subject_of(i), c->priv);
    if (!mutant.deleted || mutant.deleted->line != line || mutant.verdict[mutant.deleted->subject].row != i->row
        || !is_at(mutant.deleted, line, subject_of(i)))
        return false;
    mutant.times++;
    return true;
}

bool deletable_raise(struct riscv_cpu *c, const struct riscv_insn *i, int line)
{
    return !names_csr(i) && refused(c, i, line);
}

bool deletable_csr_read(struct riscv_cpu *c, const struct riscv_insn *i, unsigned csr, uint64_t *ret_value)
{
    uint8_t priv = c->priv;
    if (riscv_csr_read(c, csr, ret_value))
        return true;
    if (!refused(c, i, LINE_CSR))
        return false;
    c->priv = RISCV_S;
    bool done = riscv_csr_read(c, csr, ret_value);
    c->priv = priv;
    return done;
}

bool deletable_csr_write(struct riscv_cpu *c, const struct riscv_insn *i, unsigned csr, uint64_t value)
{
    uint8_t priv = c->priv;
    if (riscv_csr_write(c, csr, value))
        return true;
    if (!refused(c, i, LINE_CSR))
        return false;
    c->priv = RISCV_S;
    bool done = riscv_csr_write(c, csr, value);
    c->priv = priv;
    riscv_mode_update(c);
    return done;
}

/* ---- the test ---- */

static struct experiment *start(void)
{
    struct experiment *e = experiments_start(&riscv_lab_isa, 1, PAIRS, false);
    memset(&mutant, 0, sizeof(mutant));
    mutant.nr_subjects = experiment_subjects(e);
    mutant.verdict = calloc(mutant.nr_subjects, sizeof(*mutant.verdict));
    assert_non_null(mutant.verdict);
    for (unsigned n = 0; n < mutant.nr_subjects; n++)
        riscv_lab_isa.subject(experiment_lab(e), n, &mutant.verdict[n]);
    return e;
}

/* A CSR instruction reads only, or not at all, in some of its forms: what is refused in S-mode then is no business of the mode.
 */
static bool is_privilege_check(const struct place *p)
{
    return p->in_mode[RISCV_U] && (mutant.verdict[p->subject].classes & CLASSIFY_PRIVILEGED)
           && (p->line == LINE_CSR || !p->in_mode[RISCV_S]);
}

static bool same_register(const struct classify_insn *a, const struct classify_insn *b)
{
    const char *x = strchr(a->name, ' '), *y = strchr(b->name, ' ');
    return x && y && strcmp(x, y) == 0;
}

/* What this place refused, too, keeps its verdict; of CSR instructions, those of the same row or with the same CSR. Each of these
 * is held against a sample of them, another one each time; under a sanitizer all are. */
static void others_keep_theirs(struct experiment *e, const struct place *p)
{
    const struct classify_insn *own = &mutant.verdict[p->subject];
    for (unsigned n = 0; n < mutant.nr; n++) {
        const struct place *o = &mutant.place[n];
        const struct classify_insn *was = &mutant.verdict[o->subject];
        struct classify_insn now;
        if (o->line != p->line || o->subject == p->subject || was->never
            || !sample_of(p->subject, o->subject, p->line == LINE_CSR ? CSR_SHARE * SAMPLE_SHARE : SAMPLE_SHARE)
            || (p->line == LINE_CSR && own->row != was->row && !same_register(own, was)))
            continue;
        experiment_subject(e, o->subject, &now);
        if (now.classes != was->classes)
            fail_msg("without the check at %d for %s, %s is %#x, not %#x", p->line, own->name, now.name, now.classes,
                     was->classes);
    }
}

static void delete_check(struct experiment *e, const struct place *p)
{
    struct classify_insn now;
    mutant.deleted = p;
    mutant.times = 0;
    experiment_subject(e, p->subject, &now);
    if (!mutant.times || (now.classes & CLASSIFY_PRIVILEGED))
        fail_msg("without the check at %d (reached %lu times) %s is still privileged", p->line, mutant.times, now.name);
    others_keep_theirs(e, p);
    mutant.deleted = NULL;
}

static void deleting_a_privilege_check_changes_the_verdict_on_its_instruction_only(void **state)
{
    struct experiment *e = start();
    unsigned of_csrs = 0, others = 0;
    (void)state;
    mutant.watching = true;
    for (unsigned n = 0; n < mutant.nr_subjects; n++) {
        struct classify_insn v;
        experiment_subject(e, n, &v);
        mutant.verdict[n] = v;
    }
    mutant.watching = false;
    for (unsigned n = 0; n < mutant.nr; n++) {
        const struct place *p = &mutant.place[n];
        if (!is_privilege_check(p))
            continue;
        delete_check(e, p);
        of_csrs += p->line == LINE_CSR;
        others += p->line != LINE_CSR;
    }
    printf("%u privilege checks of CSRs and %u others deleted, one at a time\n", of_csrs, others);
    assert_true(of_csrs >= CSR_CHECKS_MIN);
    assert_true(others >= OTHER_CHECKS_MIN);
    free(mutant.verdict);
    experiment_free(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(deleting_a_privilege_check_changes_the_verdict_on_its_instruction_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
