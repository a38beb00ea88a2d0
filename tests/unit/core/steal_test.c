/* SPDX-License-Identifier: MIT */
/*
 * Stolen time: what counts and what does not. The thread's own sleep stands for a host that is busy.
 */
#include "core/steal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

enum { MS = 1000000, AWAY = 5 * MS, CPU_CLOCK_STEP = MS };

static void away(void)
{
    const struct timespec t = { .tv_nsec = AWAY };
    (void)nanosleep(&t, NULL);
}

static void busy(ns_t ns)
{
    ns_t end = clock_host_ns() + ns;
    while (clock_host_ns() < end)
        ;
}

static void time_in_which_the_thread_did_not_run_is_stolen(void **state)
{
    (void)state;
    struct steal s = { 0 };
    ns_t begin = clock_host_ns();
    steal_start(&s);
    away();
    ns_t stolen = steal_take(&s), all = clock_host_ns() - begin;
    assert_in_range(stolen, AWAY - CPU_CLOCK_STEP, all);
    assert_int_equal(steal_take(&s), 0); /* it was taken */
}

static void rest_is_not_stolen(void **state)
{
    (void)state;
    struct steal s = { 0 };
    ns_t begin = clock_host_ns();
    steal_start(&s);
    steal_rest(&s);
    away();
    steal_go_on(&s);
    busy(2 * STEAL_DUE);
    ns_t stolen = steal_take(&s);
    assert_in_range(stolen, 0, clock_host_ns() - begin - AWAY); /* the host may well be busy */
}

static void what_was_stolen_before_a_rest_is_kept(void **state)
{
    (void)state;
    struct steal s = { 0 };
    steal_start(&s);
    away();
    steal_rest(&s);
    steal_go_on(&s);
    assert_true(steal_take(&s) >= AWAY - CPU_CLOCK_STEP);
}

static void time_on_a_cpu_is_not_stolen(void **state)
{
    (void)state;
    struct steal s = { 0 };
    ns_t best = INT64_MAX;
    for (unsigned k = 0; k < 50 && best > MS; k++) { /* on a busy host some tries are interrupted */
        steal_start(&s);
        busy(2 * STEAL_DUE);
        ns_t stolen = steal_take(&s);
        best = stolen < best ? stolen : best;
    }
    assert_in_range(best, 0, MS);
}

static void nothing_is_measured_when_off(void **state)
{
    (void)state;
    struct steal s = { 0 };
    away();
    steal_go_on(&s);
    assert_int_equal(steal_take(&s), 0);
    steal_start(&s);
    steal_stop(&s);
    away();
    assert_int_equal(steal_take(&s), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(time_in_which_the_thread_did_not_run_is_stolen),
        cmocka_unit_test(rest_is_not_stolen),
        cmocka_unit_test(what_was_stolen_before_a_rest_is_kept),
        cmocka_unit_test(time_on_a_cpu_is_not_stolen),
        cmocka_unit_test(nothing_is_measured_when_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
