/* SPDX-License-Identifier: MIT */
/*
 * Laws of the choice of an engine: the first that works, and words about the others.
 */
#include "machine/registry.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void works(const struct isa_ops *isa, struct engine_probe *ret_probe)
{
    (void)isa;
    *ret_probe = (struct engine_probe){ .usable = true, .mips = 123 };
}

static void lacks_a_feature(const struct isa_ops *isa, struct engine_probe *ret_probe)
{
    (void)isa;
    *ret_probe = (struct engine_probe){ .usable = false, .why = "the host CPU lacks BMI2, AVX or SSE4.2" };
}

static void crawls(const struct isa_ops *isa, struct engine_probe *ret_probe)
{
    (void)isa;
    *ret_probe = (struct engine_probe){ .usable = true, .avoid = true, .mips = 2, .why = "ring 0 is emulated" };
}

static const struct engine_ops slow = { .name = "slow", .probe = crawls };
static const struct engine_ops good = { .name = "good", .probe = works }, other = { .name = "other", .probe = works },
                               bad = { .name = "bad", .probe = lacks_a_feature };

static const struct engine_ops *pick(const struct engine_ops *const *engines, const char *name, char why[256], int want)
{
    const struct registry_arch arch = { .name = "x86-64", .engines = engines };
    const struct engine_ops *engine = NULL;
    struct error err = { 0 };
    why[0] = '\0';
    assert_int_equal(registry_pick_engine(&arch, name, &engine, why, 200, &err), want);
    if (want < 0)
        (void)snprintf(why, 256, "%s", err.msg);
    return engine;
}

static void auto_takes_the_first_that_works_and_says_what_is_wrong_with_others(void **state)
{
    char why[256];
    (void)state;
    assert_ptr_equal(pick((const struct engine_ops *const[]){ &good, &other, NULL }, "auto", why, 0), &good);
    assert_string_equal(why, "123 million instructions a second");
    assert_ptr_equal(pick((const struct engine_ops *const[]){ &bad, &other, NULL }, "auto", why, 0), &other);
    assert_string_equal(why, "bad does not work here: the host CPU lacks BMI2, AVX or SSE4.2; 123 million instructions a second");
    assert_ptr_equal(pick((const struct engine_ops *const[]){ &slow, &good, NULL }, "auto", why, 0), &good);
    assert_string_equal(why, "slow is passed over: ring 0 is emulated; 123 million instructions a second");
    assert_ptr_equal(pick((const struct engine_ops *const[]){ &bad, &slow, NULL }, "auto", why, 0), &slow);
    (void)pick((const struct engine_ops *const[]){ &bad, &bad, NULL }, "auto", why, -ENOTSUP);
    assert_non_null(strstr(why, "lacks BMI2"));
}

static void a_name_is_taken_at_its_word(void **state)
{
    const struct engine_ops *const engines[] = { &good, &bad, NULL };
    char why[256];
    (void)state;
    assert_ptr_equal(pick(engines, "bad", why, 0), &bad); /* making a machine will say why not */
    (void)pick(engines, "steam", why, -EINVAL);
    assert_non_null(strstr(why, "auto, good, bad"));
}

static void every_engine_there_is_works_here_or_says_why_not(void **state)
{
    (void)state;
    for (const struct registry_arch *a = registry_archs(); a->name; a++)
        for (const struct engine_ops *const *e = a->engines; *e; e++) {
            struct engine_probe probe;
            (*e)->probe(a->isa, &probe);
            assert_true(probe.usable ? probe.avoid || probe.mips > 1 : probe.why[0] != '\0');
            if (strcmp((*e)->name, "interp") == 0)
                assert_true(probe.usable);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(auto_takes_the_first_that_works_and_says_what_is_wrong_with_others),
        cmocka_unit_test(a_name_is_taken_at_its_word),
        cmocka_unit_test(every_engine_there_is_works_here_or_says_why_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
