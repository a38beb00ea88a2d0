/* SPDX-License-Identifier: MIT */
/*
 * The verdicts of `doppel classify riscv64` against what theory says of known instructions, and their stability.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/checked.h"
#include "classify/riscv/csrs.h"
#include "classify/riscv/lab.h"
#include "classify/riscv/parts.h"
#include "core/state_desc.h"
#include "isa/riscv/csr.h"

enum { P = CLASSIFY_PRIVILEGED, C = CLASSIFY_CONTROL, L = CLASSIFY_LOCATION, M = CLASSIFY_MODE, CSRS = 4096 };

static struct experiment *start(uint64_t seed, bool open)
{
    struct experiment_options o = { .seed = seed, .option = open };
    struct experiment *e;
    struct error err = { 0 };
    if (experiment_new(&riscv_lab_isa, &o, &e, &err) < 0)
        fail_msg("%s", err.msg);
    return e;
}

/* The verdict on the instruction of exactly that name. */
static struct classify_insn verdict_on(struct experiment *e, const char *name)
{
    struct classify_insn v = { .row = 0 };
    for (unsigned n = 0; n < experiment_subjects(e); n++) {
        riscv_lab_isa.subject(experiment_lab(e), n, &v);
        if (strcmp(v.name, name) == 0) {
            experiment_subject(e, n, &v);
            return v;
        }
    }
    fail_msg("there is no %s", name);
    return v;
}

struct known {
    const char *name;
    uint8_t classes;
};

static void expect(uint64_t seed, bool open, const struct known *k, unsigned nr)
{
    struct experiment *e = start(seed, open);
    for (unsigned n = 0; n < nr; n++) {
        struct classify_insn v = verdict_on(e, k[n].name);
        if (v.classes != k[n].classes)
            fail_msg("%s: classes %#x, expected %#x", k[n].name, v.classes, k[n].classes);
    }
    experiment_free(e);
}

static void what_reaches_the_supervisors_state_is_privileged(void **state)
{
    static const struct known known[] = {
        { "ecall", P | C | M },
        { "sret", P | C | M },
        { "wfi", P | C | M },
        { "sfence.vma", P | C },
        { "sinval.vma", P | C },
        { "sfence.w.inval", P },
        { "csrrw satp", P | C | L },
        { "csrrsi satp", P | C | L },
        { "csrrw sstatus", P | C | M },
        { "csrrs sie", P | C | M },
        { "csrrc sip", P | C | M },
        { "csrrwi sscratch", P | C | M },
        { "csrrci stvec", P | C | M },
        { "csrrw stimecmp", P | C | M },
        { "csrrc scounteren", P | C | M },
        { "csrrs cycle", P | M },
        { "csrrs time", P | M },
        { "csrrci instret", P | M },
        { "cbo.inval", P },
        { "cbo.zero", P },
    };
    (void)state;
    expect(7, false, known, ARRAY_SIZE(known));
}

static void what_opens_to_user_mode_is_privileged_no_more(void **state)
{
    static const struct known known[] = {
        { "csrrs cycle", M }, { "csrrs time", M }, { "csrrc instret", M }, { "csrrs hpmcounter3..31", 0 },
        { "cbo.inval", 0 },   { "cbo.clean", 0 },  { "cbo.zero", 0 },      { "csrrw satp", P | C | L },
    };
    (void)state;
    expect(7, true, known, ARRAY_SIZE(known));
}

static void what_computes_is_innocuous(void **state)
{
    static const struct known known[] = {
        { "add", 0 },          { "ld", 0 },       { "sw", 0 },      { "auipc", 0 },   { "jalr", 0 },       { "lr.w", 0 },
        { "sc.d", 0 },         { "amoadd.w", 0 }, { "fadd.d", 0 },  { "fsw", 0 },     { "fcvt.w.s", 0 },   { "csrrw fcsr", 0 },
        { "csrrs fflags", 0 }, { "fence", 0 },    { "fence.i", 0 }, { "wrs.nto", 0 }, { "prefetch.r", 0 }, { "c.ldsp", 0 },
    };
    (void)state;
    expect(7, false, known, ARRAY_SIZE(known));
}

/* The firmware's, and those that trap in any mode. */
static void what_always_traps_is_innocuous(void **state)
{
    static const char *const names[] = { "ebreak", "c.ebreak", "mret", "csrrw mstatus", "csrrs mhartid", "csrrw cycle" };
    struct experiment *e = start(7, false);
    (void)state;
    for (unsigned n = 0; n < ARRAY_SIZE(names); n++) {
        struct classify_insn v = verdict_on(e, names[n]);
        assert_true(v.never);
        assert_int_equal(v.classes, 0);
    }
    experiment_free(e);
}

/* mstatus.FS becomes Dirty. */
static void using_floating_point_leaves_a_note(void **state)
{
    struct experiment *e = start(7, false);
    (void)state;
    assert_true(verdict_on(e, "fadd.d").notes);
    assert_true(verdict_on(e, "csrrw frm").notes);
    assert_false(verdict_on(e, "fsd").notes);
    assert_false(verdict_on(e, "add").notes);
    experiment_free(e);
}

static struct classify_result all_verdicts(uint64_t seed, bool open)
{
    struct experiment *e = start(seed, open);
    struct classify_result r;
    struct error err = { 0 };
    if (experiment_all(e, &r, &err) < 0)
        fail_msg("%s", err.msg);
    experiment_free(e);
    return r;
}

static void sensitive_is_a_subset_of_privileged_whatever_the_seed(void **state)
{
    struct classify_result r[2] = { all_verdicts(11, false), all_verdicts(12, false) };
    unsigned copied, sensitive = 0;
    (void)state;
    for (unsigned k = 0; k < 2; k++)
        assert_int_equal(classify_offenders(&r[k], &copied), 0);
    for (unsigned n = 0; n < r[0].nr; n++) {
        if (r[0].insn[n].classes != r[1].insn[n].classes)
            fail_msg("%s: the classes depend on the seed", r[0].insn[n].name);
        sensitive += !!(r[0].insn[n].classes & CLASSIFY_SENSITIVE);
    }
    assert_true(sensitive > 80);
    for (unsigned k = 0; k < 2; k++)
        classify_result_done(&r[k]);
}

/* Nothing but reads of what counts. */
static void with_open_counters_reads_of_them_are_the_offenders(void **state)
{
    struct classify_result r = all_verdicts(13, true);
    unsigned copied;
    (void)state;
    assert_int_equal(classify_offenders(&r, &copied), 12); /* three counters, by CSRRS, CSRRC and their immediate forms */
    for (unsigned n = 0; n < r.nr; n++) {
        const char *register_name = strchr(r.insn[n].name, ' ');
        if (!classify_is_offender(&r.insn[n]))
            continue;
        assert_non_null(register_name);
        assert_true(!strcmp(register_name, " cycle") || !strcmp(register_name, " time") || !strcmp(register_name, " instret"));
    }
    classify_result_done(&r);
}

static void a_witness_names_its_control_register(void **state)
{
    struct experiment *e = start(3, false);
    struct classify_insn v = verdict_on(e, "csrrs time");
    struct classify_witness w;
    struct error err = { 0 };
    (void)state;
    assert_int_equal(experiment_witness(e, &v, 3, &w, &err), 0);
    assert_non_null(strstr(w.text, "(time)"));
    assert_string_equal(w.outcome[0], "completed");
    assert_string_equal(w.outcome[1], "completed");
    assert_string_not_equal(w.fact[0].after[0], w.fact[0].after[1]);
    classify_witness_done(&w);
    experiment_free(e);
}

static const char *listed(unsigned csr)
{
    for (unsigned n = 0; n < riscv_nr_csrs; n++)
        for (unsigned k = 0; k < riscv_csrs[n].count; k++)
            if (csr == riscv_csrs[n].first + k * riscv_csrs[n].step)
                return riscv_csrs[n].name;
    return NULL;
}

static void each_control_register_of_the_machine_has_a_name(void **state)
{
    struct riscv_world *w = calloc(1, sizeof(*w));
    struct error err = { 0 };
    (void)state;
    assert_non_null(w);
    assert_int_equal(riscv_world_init(w, 0, true, &err), 0);
    struct riscv_cpu *c = w->vcpu.cpu;
    c->priv = RISCV_M;
    for (unsigned csr = 0; csr < CSRS; csr++) {
        uint64_t value;
        if (riscv_csr_read(c, csr, &value) != (listed(csr) != NULL))
            fail_msg("CSR %#x: %s", csr, listed(csr) ? "listed, but there is none" : "not listed");
    }
    riscv_world_done(w);
    free(w);
}

/* Whether the byte at `at` is in some line of the table of parts. */
static bool is_part(size_t at)
{
    at += offsetof(struct riscv_world_state, cpu);
    for (const struct field *f = riscv_parts.field; f->name; f++)
        if (at >= f->at && at < f->at + (size_t)f->size * f->count)
            return true;
    return false;
}

static void each_declared_part_of_the_state_is_the_programs_or_a_resource(void **state)
{
    (void)state;
    for (const struct state_field *f = riscv_state_desc.fields; f->name; f++)
        if (!is_part(f->offset))
            fail_msg("parts.c does not say what '%s' is", f->name);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_reaches_the_supervisors_state_is_privileged),
        cmocka_unit_test(what_opens_to_user_mode_is_privileged_no_more),
        cmocka_unit_test(what_computes_is_innocuous),
        cmocka_unit_test(what_always_traps_is_innocuous),
        cmocka_unit_test(using_floating_point_leaves_a_note),
        cmocka_unit_test(sensitive_is_a_subset_of_privileged_whatever_the_seed),
        cmocka_unit_test(with_open_counters_reads_of_them_are_the_offenders),
        cmocka_unit_test(a_witness_names_its_control_register),
        cmocka_unit_test(each_control_register_of_the_machine_has_a_name),
        cmocka_unit_test(each_declared_part_of_the_state_is_the_programs_or_a_resource),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
