/* SPDX-License-Identifier: MIT */
/*
 * The verdicts of `doppel classify x86-64` against what theory says of known instructions, and their stability.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/checked.h"
#include "classify/x86/lab.h"
#include "classify/x86/parts.h"
#include "core/state_desc.h"
#include "isa/x86/decode.h"

#include "support/experiments.h"
#include "support/sample.h"

enum { P = CLASSIFY_PRIVILEGED, C = CLASSIFY_CONTROL, L = CLASSIFY_LOCATION, M = CLASSIFY_MODE };

static struct experiment *start(uint64_t seed, bool umip)
{
    return experiments_start(&x86_lab_isa, seed, 0, umip);
}

/* The first word of the row's name, in lower case, is `name`. */
static bool is_called(unsigned row, const char *name)
{
    size_t n = strlen(name);
    return strncasecmp(x86_rows[row].name, name, n) == 0 && (!x86_rows[row].name[n] || x86_rows[row].name[n] == '/');
}

/* Classes of all rows of that name together; `rows`: how many there are. */
static unsigned classes_of(struct experiment *e, const char *name, unsigned *ret_rows)
{
    unsigned classes = 0;
    *ret_rows = 0;
    for (unsigned n = 0; n < x86_nr_rows; n++) {
        struct classify_insn v;
        if (!is_called(n, name))
            continue;
        experiment_subject(e, n, &v);
        assert_int_equal(v.row, n);
        assert_string_equal(v.name, name);
        classes |= v.classes;
        ++*ret_rows;
    }
    return classes;
}

struct known {
    const char *name;
    uint8_t classes, must; /* `must`: the bits that theory fixes */
};

static void expect(struct experiment *e, const struct known *k, unsigned nr)
{
    for (unsigned n = 0; n < nr; n++) {
        unsigned rows, got = classes_of(e, k[n].name, &rows);
        if (!rows || (got & k[n].must) != k[n].classes)
            fail_msg("%s (%u rows): classes %#x, expected %#x of %#x", k[n].name, rows, got, k[n].classes, k[n].must);
    }
}

static const unsigned ALL = P | C | L | M;

static void privileged_instructions_are_found(void **state)
{
    const struct known known[] = {
        { "hlt", P | C, ALL },       { "cli", P | C, P | C },  { "sti", P | C, P | C },       { "lgdt", P | C, P | C },
        { "lidt", P | C, ALL },      { "lldt", P | C, P | C }, { "ltr", P | C, P | C },       { "lmsw", P | C, P | C },
        { "clts", P | C, ALL },      { "wrmsr", P | C, ALL },  { "rdmsr", P | M, P | C | M }, { "in", P | C | M, ALL },
        { "out", P | C, ALL },       { "insb", P | C, P | C }, { "outsb", P | C, P | C },     { "swapgs", P | C, P | C },
        { "invlpg", P | C, ALL },    { "wbinvd", P, ALL },     { "invpcid", P | C, ALL },     { "sysret", P | C, P | C },
        { "sysexit", P | C, P | C }, { "xsetbv", P | C, ALL }, { "rdtsc", P | M, ALL },       { "clac", P | C, ALL },
        { "xrstors", P | M, ALL },   { "xsaves", P | M, ALL },
    };
    struct experiment *e = start(7, false);
    (void)state;
    expect(e, known, ARRAY_SIZE(known));
    experiment_free(e);
}

static void offenders_of_robin_and_irvine_are_found(void **state)
{
    const struct known known[] = {
        { "sgdt", L, P | C | L }, { "sidt", L, P | C | L },     { "sldt", L, P | C | L },     { "smsw", M, P | C | M },
        { "str", L, P | C | L },  { "pushf", M, P | C | M },    { "popf", C | M, P | C | M }, { "lar", M, P | C | M },
        { "lsl", M, P | C | M },  { "verr", M, P | C | M },     { "verw", M, P | C | M },     { "call", C, P | C },
        { "int", C, P | C },      { "jmp", C, P | C },          { "ret", C, P | C },          { "iret", C | M, P | C | M },
        { "pop", C, P | C },      { "push", L | M, P | L | M }, { "int3", C, P | C },
    };
    struct experiment *e = start(7, false);
    (void)state;
    expect(e, known, ARRAY_SIZE(known));
    experiment_free(e);
}

/* What came later than their list, and reads what the supervisor alone can write. */
static void later_offenders_are_found(void **state)
{
    const struct known known[] = {
        { "rdpid", M, ALL }, { "xgetbv", M, ALL }, { "cpuid", M, ALL }, { "syscall", C, P | C }, { "sysenter", C, P | C },
    };
    struct experiment *e = start(7, false);
    (void)state;
    expect(e, known, ARRAY_SIZE(known));
    experiment_free(e);
}

static void umip_makes_five_of_them_privileged(void **state)
{
    const struct known known[] = {
        { "sgdt", P | L, P | C | L }, { "sidt", P | L, P | C | L }, { "sldt", P | L, P | C | L }, { "smsw", P | M, P | C | M },
        { "str", P | L, P | C | L },  { "pushf", M, P | C | M },    { "lar", M, P | C | M },
    };
    struct experiment *e = start(7, true);
    (void)state;
    expect(e, known, ARRAY_SIZE(known));
    experiment_free(e);
}

static void innocuous_instructions_are_left_alone(void **state)
{
    const struct known known[] = {
        { "add", 0, ALL },  { "lea", 0, ALL },    { "movsb", 0, ALL },  { "cmpxchg", 0, ALL },  { "div", 0, ALL },
        { "lahf", 0, ALL }, { "rdrand", 0, ALL }, { "rdseed", 0, ALL }, { "rdfsbase", 0, ALL }, { "wrgsbase", 0, ALL },
        { "fadd", 0, ALL }, { "fxsave", 0, ALL }, { "addps", 0, ALL },  { "vaddps", 0, ALL },   { "arpl", 0, ALL },
        { "std", 0, ALL },  { "enter", 0, ALL },  { "ud2", 0, ALL },    { "nop", 0, ALL },      { "movnti", 0, ALL },
    };
    struct experiment *e = start(7, false);
    (void)state;
    expect(e, known, ARRAY_SIZE(known));
    experiment_free(e);
}

static bool is_among(unsigned row, const char *const *names, unsigned nr)
{
    for (unsigned n = 0; n < nr; n++)
        if (is_called(row, names[n]))
            return true;
    return false;
}

static void same_verdict(const struct classify_insn *a, const struct classify_insn *b, uint64_t seed)
{
    if (a->classes != b->classes || a->gate != b->gate || a->never != b->never)
        fail_msg("%s (row %u): classes %#x with one seed, %#x with %lu", a->name, a->row, a->classes, b->classes, seed);
}

/* Of all rows but those whose step function is the host CPU; under a sanitizer of those where deciding pairs are rarest, and of a
 * sample.
 */
static void verdicts_do_not_depend_on_the_seed(void **state)
{
    static const uint64_t seeds[] = { 6, 11, 12 };
    static const char *const rare[] = { "xrstors", "xrstor", "cpuid", "verr", "verw", "xsetbv" };
    struct experiment *e[ARRAY_SIZE(seeds)];
    (void)state;
    for (unsigned k = 0; k < ARRAY_SIZE(seeds); k++)
        e[k] = start(seeds[k], false);
    for (unsigned n = 0; n < x86_nr_rows; n++) {
        struct classify_insn first, v;
        if (x86_rows[n].flags & ROW_HOST || !(sample_has(23, n) || is_among(n, rare, ARRAY_SIZE(rare))))
            continue;
        experiment_subject(e[0], n, &first);
        for (unsigned k = 1; k < ARRAY_SIZE(seeds); k++) {
            experiment_subject(e[k], n, &v);
            same_verdict(&first, &v, seeds[k]);
        }
    }
    for (unsigned k = 0; k < ARRAY_SIZE(seeds); k++)
        experiment_free(e[k]);
}

static void a_witness_replays_what_decided(void **state)
{
    struct experiment *e = start(3, false);
    struct classify_insn v = { .row = 0 };
    struct classify_witness w[2];
    struct error err = { 0 };
    (void)state;
    for (unsigned n = 0; n < x86_nr_rows; n++)
        if (is_called(n, "popf"))
            experiment_subject(e, n, &v);
    for (unsigned k = 0; k < 2; k++)
        assert_int_equal(experiment_witness(e, &v, 3, &w[k], &err), 0);
    assert_string_equal(w[0].bytes, w[1].bytes);
    assert_int_equal(w[0].nr_facts, w[1].nr_facts);
    assert_memory_equal(w[0].fact, w[1].fact, w[0].nr_facts * sizeof(w[0].fact[0]));
    assert_string_equal(w[0].outcome[0], "completed");
    assert_string_equal(w[0].outcome[1], "completed");
    assert_string_equal(w[0].fact[0].field, "rflags");
    assert_string_not_equal(w[0].fact[0].after[0], w[0].fact[0].after[1]);
    assert_int_equal(experiment_witness(e, &v, 0, &w[1], &err), -EINVAL); /* popf is not privileged */
    classify_witness_done(&w[0]);
    classify_witness_done(&w[1]);
    experiment_free(e);
}

/* What the translator has the host execute as it stands is what it says of ADD, and nothing sensitive. */
static void the_translator_copies_no_offender(void **state)
{
    struct experiment *e = start(1, false);
    unsigned offenders = 0, copied = 0;
    (void)state;
    for (unsigned n = 0; n < x86_nr_rows; n++) {
        struct classify_insn v;
        if (x86_rows[n].flags & ROW_HOST || !sample_has(24, n))
            continue;
        experiment_subject(e, n, &v);
        offenders += classify_is_offender(&v);
        copied += v.copied;
        if (strcmp(v.name, "add") == 0 && !v.copied && !(x86_rows[n].flags & ROW_NO64))
            fail_msg("add (row %u) is not copied", n);
        if (v.copied && (v.classes & CLASSIFY_SENSITIVE))
            fail_msg("%s (row %u) is copied, but its classes are %#x", v.name, n, v.classes);
    }
    assert_true(offenders > 40 / SAMPLE_SHARE);
    assert_true(copied > 200 / SAMPLE_SHARE);
    experiment_free(e);
}

static void each_declared_part_of_the_state_is_the_programs_or_a_resource(void **state)
{
    (void)state;
    experiments_know_all_parts(&x86_state_desc, &x86_parts, offsetof(struct x86_world_state, cpu));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(privileged_instructions_are_found),
        cmocka_unit_test(offenders_of_robin_and_irvine_are_found),
        cmocka_unit_test(later_offenders_are_found),
        cmocka_unit_test(umip_makes_five_of_them_privileged),
        cmocka_unit_test(innocuous_instructions_are_left_alone),
        cmocka_unit_test(verdicts_do_not_depend_on_the_seed),
        cmocka_unit_test(a_witness_replays_what_decided),
        cmocka_unit_test(the_translator_copies_no_offender),
        cmocka_unit_test(each_declared_part_of_the_state_is_the_programs_or_a_resource),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
