/* SPDX-License-Identifier: MIT */
/*
 * Laws of looking before sleeping.
 */
#include "base/spin.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* A wait that has lasted `ns` when it ends. */
static void wait_of(struct spin *s, ns_t ns)
{
    spin_begin(s);
    s->begin -= ns;
    spin_end(s);
}

static void short_waits_open_the_window_up_to_its_limit(void **state)
{
    struct spin s;
    (void)state;
    spin_init(&s);
    s.useful = true;
    assert_int_equal(s.window, 0);
    for (ns_t before = 0, n = 0; n < 10; n++, before = s.window) {
        wait_of(&s, SPIN_MAX - SPIN_MAX / 10);
        assert_true(s.window >= before && s.window <= SPIN_MAX);
    }
    assert_true(s.window >= SPIN_MAX - SPIN_MAX / 10); /* such a wait is now caught */
}

static void a_wait_that_the_window_catches_does_not_change_it(void **state)
{
    struct spin s;
    (void)state;
    spin_init(&s);
    s.useful = true;
    s.window = SPIN_MAX / 2;
    wait_of(&s, 0);
    assert_int_equal(s.window, SPIN_MAX / 2);
}

static void a_long_wait_closes_it(void **state)
{
    struct spin s;
    (void)state;
    spin_init(&s);
    s.useful = true;
    s.window = SPIN_MAX;
    wait_of(&s, SPIN_MAX + 1);
    assert_int_equal(s.window, 0);
    assert_false(spin_again(&s)); /* to sleep at once */
}

static void looking_ends(void **state)
{
    struct spin s;
    (void)state;
    spin_init(&s);
    s.useful = true;
    s.window = 1000;
    spin_begin(&s);
    while (spin_again(&s)) {
    }
    assert_true(clock_host_ns() - s.begin >= s.window);
}

static void with_one_cpu_the_window_stays_closed(void **state)
{
    struct spin s;
    (void)state;
    spin_init(&s);
    s.useful = false;
    wait_of(&s, 1);
    assert_int_equal(s.window, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(short_waits_open_the_window_up_to_its_limit),
        cmocka_unit_test(a_wait_that_the_window_catches_does_not_change_it),
        cmocka_unit_test(a_long_wait_closes_it),
        cmocka_unit_test(looking_ends),
        cmocka_unit_test(with_one_cpu_the_window_stays_closed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
