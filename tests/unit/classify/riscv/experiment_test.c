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

#include "support/experiments.h"
#include "support/sample.h"

enum { P = CLASSIFY_PRIVILEGED, C = CLASSIFY_CONTROL, L = CLASSIFY_LOCATION, M = CLASSIFY_MODE, CSRS = 4096 };

static struct experiment *start(uint64_t seed, bool open)
{
    return experiments_start(&riscv_lab_isa, seed, 0, open);
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
        { "add", 0 },     { "ld", 0 },       { "sw", 0 },      { "auipc", 0 },      { "jalr", 0 },     { "lr.w", 0 },
        { "sc.d", 0 },    { "amoadd.w", 0 }, { "fadd.d", 0 },  { "fsw", 0 },        { "fcvt.w.s", 0 }, { "csrrw fcsr", 0 },
        { "vadd.vv", 0 }, { "vle32.v", 0 },  { "vsetvli", 0 }, { "csrrw vxrm", 0 }, { "vsse16.v", 0 }, { "csrrs fflags", 0 },
        { "fence", 0 },   { "fence.i", 0 },  { "wrs.nto", 0 }, { "prefetch.r", 0 }, { "c.ldsp", 0 },
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

/* mstatus.FS, or VS, becomes Dirty. */
static void using_floating_point_or_vectors_leaves_a_note(void **state)
{
    struct experiment *e = start(7, false);
    (void)state;
    assert_true(verdict_on(e, "fadd.d").notes);
    assert_true(verdict_on(e, "csrrw frm").notes);
    assert_true(verdict_on(e, "vadd.vv").notes); /* VS */
    assert_false(verdict_on(e, "fsd").notes);
    assert_false(verdict_on(e, "add").notes);
    experiment_free(e);
}

/* The verdicts on a sample of the instructions, which the seed of it chooses; on all but under a sanitizer. */
static struct classify_result verdicts(uint64_t seed, bool open, uint64_t of_sample)
{
    struct experiment *e = start(seed, open);
    unsigned nr = experiment_subjects(e);
    struct classify_result r = { .isa = riscv_lab_isa.name, .seed = seed, .has_option = open };
    r.insn = calloc(nr, sizeof(*r.insn));
    assert_non_null(r.insn);
    for (unsigned n = 0; n < nr; n++)
        if (sample_has(of_sample, n))
            experiment_subject(e, n, &r.insn[r.nr++]);
    experiment_free(e);
    return r;
}

static void sensitive_is_a_subset_of_privileged_whatever_the_seed(void **state)
{
    enum { SEEDS = 4, SAMPLE = 21 };
    struct classify_result r[SEEDS];
    unsigned copied, sensitive = 0;
    (void)state;
    for (unsigned k = 0; k < SEEDS; k++) {
        r[k] = verdicts(11 + k, false, SAMPLE);
        assert_int_equal(classify_offenders(&r[k], &copied), 0);
        assert_int_equal(r[k].nr, r[0].nr);
    }
    for (unsigned n = 0; n < r[0].nr; n++) {
        for (unsigned k = 1; k < SEEDS; k++)
            if (r[0].insn[n].classes != r[k].insn[n].classes || r[0].insn[n].never != r[k].insn[n].never)
                fail_msg("%s: the classes depend on the seed", r[0].insn[n].name);
        sensitive += !!(r[0].insn[n].classes & CLASSIFY_SENSITIVE);
    }
    assert_true(sensitive > 80 / SAMPLE_SHARE / 2);
    for (unsigned k = 0; k < SEEDS; k++)
        classify_result_done(&r[k]);
}

/* CSRRS, CSRRC and their immediate forms: the others write, which traps. */
static bool reads_a_counter(const struct classify_insn *v)
{
    const char *csr = strchr(v->name, ' ');
    return csr && (!strncmp(v->name, "csrrs", 5) || !strncmp(v->name, "csrrc", 5))
           && (!strcmp(csr, " cycle") || !strcmp(csr, " time") || !strcmp(csr, " instret"));
}

static void with_open_counters_reads_of_them_are_the_offenders(void **state)
{
    struct experiment *e = start(13, true);
    unsigned counters = 0;
    (void)state;
    for (unsigned n = 0; n < experiment_subjects(e); n++) {
        struct classify_insn v;
        riscv_lab_isa.subject(experiment_lab(e), n, &v);
        bool reads = reads_a_counter(&v);
        counters += reads;
        if (!reads && !sample_has(22, n))
            continue;
        experiment_subject(e, n, &v);
        if (classify_is_offender(&v) != reads)
            fail_msg("%s: classes %#x", v.name, v.classes);
    }
    assert_int_equal(counters, 12);
    experiment_free(e);
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

static void each_declared_part_of_the_state_is_the_programs_or_a_resource(void **state)
{
    (void)state;
    experiments_know_all_parts(&riscv_state_desc, &riscv_parts, offsetof(struct riscv_world_state, cpu));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_reaches_the_supervisors_state_is_privileged),
        cmocka_unit_test(what_opens_to_user_mode_is_privileged_no_more),
        cmocka_unit_test(what_computes_is_innocuous),
        cmocka_unit_test(what_always_traps_is_innocuous),
        cmocka_unit_test(using_floating_point_or_vectors_leaves_a_note),
        cmocka_unit_test(sensitive_is_a_subset_of_privileged_whatever_the_seed),
        cmocka_unit_test(with_open_counters_reads_of_them_are_the_offenders),
        cmocka_unit_test(a_witness_names_its_control_register),
        cmocka_unit_test(each_control_register_of_the_machine_has_a_name),
        cmocka_unit_test(each_declared_part_of_the_state_is_the_programs_or_a_resource),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
