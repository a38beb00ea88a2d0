/* SPDX-License-Identifier: MIT */
/*
 * Laws of guest time and its timers.
 */
#include "core/vm_clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

struct probe {
    struct vm_timer timer;
    ns_t period; /* re-arms when not 0 */
    ns_t fired[8];
    unsigned n;
};

static void fire(void *opaque, ns_t now)
{
    struct probe *p = opaque;
    if (p->n < 8)
        p->fired[p->n] = now;
    p->n++;
    if (p->period)
        vm_timer_arm(&p->timer, now + p->period);
}

struct fixture {
    pthread_mutex_t lock;
    struct vm_clock clock;
    struct probe a, b;
};

static int setup(void **state)
{
    static struct fixture f;
    memset(&f, 0, sizeof(f));
    (void)pthread_mutex_init(&f.lock, NULL);
    vm_clock_init(&f.clock, &f.lock, NULL);
    vm_timer_init(&f.a.timer, &f.clock, fire, &f.a);
    vm_timer_init(&f.b.timer, &f.clock, fire, &f.b);
    *state = &f;
    return 0;
}

static int setup_manual(void **state)
{
    int r = setup(state);
    vm_clock_set_manual(&((struct fixture *)*state)->clock);
    return r;
}

static void timers_fire_at_their_deadlines_in_order(void **state)
{
    struct fixture *f = *state;
    vm_timer_arm(&f->a.timer, 200);
    vm_timer_arm(&f->b.timer, 100);
    vm_clock_advance(&f->clock, 99);
    assert_int_equal(f->a.n + f->b.n, 0);
    vm_clock_advance(&f->clock, 1);
    assert_int_equal(f->b.n, 1);
    vm_clock_advance(&f->clock, 1000);
    assert_int_equal(f->b.fired[0], 100);
    assert_int_equal(f->a.fired[0], 200);
    assert_int_equal(vm_clock_now(&f->clock), 1100);
    assert_int_equal(f->a.n + f->b.n, 2);
}

static void a_disarmed_timer_does_not_fire(void **state)
{
    struct fixture *f = *state;
    vm_timer_arm(&f->a.timer, 100);
    vm_timer_arm(&f->b.timer, 100);
    vm_timer_disarm(&f->a.timer);
    vm_timer_disarm(&f->a.timer);
    vm_clock_advance(&f->clock, 200);
    assert_int_equal(f->a.n, 0);
    assert_int_equal(f->b.n, 1);
}

static void arming_again_moves_the_deadline(void **state)
{
    struct fixture *f = *state;
    vm_timer_arm(&f->a.timer, 100);
    vm_timer_arm(&f->a.timer, 300);
    vm_clock_advance(&f->clock, 200);
    assert_int_equal(f->a.n, 0);
    vm_clock_advance(&f->clock, 200);
    assert_int_equal(f->a.n, 1);
    vm_timer_arm(&f->a.timer, 50); /* past: at once */
    vm_clock_advance(&f->clock, 0);
    assert_int_equal(f->a.n, 2);
    vm_timer_arm(&f->a.timer, VM_TIME_NEVER);
    assert_null(f->clock.head);
}

static void a_callback_may_arm_its_timer_again(void **state)
{
    struct fixture *f = *state;
    f->a.period = 10;
    vm_timer_arm(&f->a.timer, 10);
    vm_clock_advance(&f->clock, 35);
    assert_int_equal(f->a.n, 3);
    assert_int_equal(f->a.fired[2], 30);
}

static void the_manual_tsc_counts_nanoseconds(void **state)
{
    struct fixture *f = *state;
    vm_clock_advance(&f->clock, 12345);
    assert_int_equal(vm_clock_tsc(&f->clock), 12345);
    assert_int_equal(vm_clock_tsc_to_ns(&f->clock, 20000), 20000);
    assert_int_equal(vm_clock_tsc_to_ns(&f->clock, 100), 100);
}

static void tsc_conversion_saturates(void **state)
{
    struct fixture *f = *state;
    assert_true(vm_clock_tsc_to_ns(&f->clock, UINT64_MAX) == VM_TIME_NEVER);
    vm_clock_set(&f->clock, 5, 1000000);
    assert_true(vm_clock_tsc_to_ns(&f->clock, 0) == 0);
}

/* A guest that arms a timer in the past again and again must not keep the I/O thread. */
static void a_run_with_endless_due_timers_returns(void **state)
{
    struct fixture *f = *state;
    vm_clock_advance(&f->clock, 1000);
    f->a.period = -1;
    vm_timer_arm(&f->a.timer, 1);
    assert_true(vm_clock_run(&f->clock) <= 1000);
    assert_in_range(f->a.n, 1, 1000);
}

static void nap(long ns)
{
    struct timespec ts = { .tv_nsec = ns };
    (void)nanosleep(&ts, NULL);
}

static void time_and_tsc_stand_while_paused_and_go_on_without_a_jump(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(vm_clock_now(&f->clock), 0);
    vm_clock_resume(&f->clock);
    nap(1000000);
    vm_clock_pause(&f->clock);
    ns_t now = vm_clock_now(&f->clock);
    uint64_t tsc = vm_clock_tsc(&f->clock);
    assert_true(now >= 1000000);
    nap(5000000);
    assert_true(vm_clock_now(&f->clock) == now);
    assert_true(vm_clock_tsc(&f->clock) == tsc);
    ns_t host = clock_host_ns();
    vm_clock_resume(&f->clock);
    ns_t after = vm_clock_now(&f->clock);
    ns_t passed = clock_host_ns() - host;
    assert_true(after >= now && after - now <= passed); /* the 5 ms do not count */
    assert_true(vm_clock_tsc(&f->clock) >= tsc);
}

static void due_timers_wait_for_the_clock_to_run(void **state)
{
    struct fixture *f = *state;
    vm_timer_arm(&f->a.timer, 0);
    assert_true(vm_clock_run(&f->clock) == INT64_MAX);
    assert_int_equal(f->a.n, 0);
    vm_clock_resume(&f->clock);
    (void)vm_clock_run(&f->clock);
    assert_int_equal(f->a.n, 1);
    vm_timer_arm(&f->a.timer, vm_clock_now(&f->clock) + NS_PER_S);
    int64_t at = vm_clock_run(&f->clock);
    assert_true(at > clock_host_ns() && at < clock_host_ns() + 2 * NS_PER_S);
}

static void a_saved_time_is_restored(void **state)
{
    struct fixture *f = *state;
    vm_clock_set(&f->clock, 7 * NS_PER_S, 1ULL << 40);
    assert_true(vm_clock_now(&f->clock) == 7 * NS_PER_S);
    assert_true(vm_clock_tsc(&f->clock) == 1ULL << 40);
    vm_clock_resume(&f->clock);
    assert_true(vm_clock_now(&f->clock) >= 7 * NS_PER_S);
    assert_true(vm_clock_tsc(&f->clock) >= 1ULL << 40);
    /* the two clocks are read one after the other, so neither is surely ahead */
    assert_true(llabs(vm_clock_wall(&f->clock) - clock_host_wall_ns()) < NS_PER_S);
}

#define M(name) cmocka_unit_test_setup(name, setup_manual)
#define R(name) cmocka_unit_test_setup(name, setup)
int main(void)
{
    const struct CMUnitTest tests[] = {
        M(timers_fire_at_their_deadlines_in_order), M(a_disarmed_timer_does_not_fire),
        M(arming_again_moves_the_deadline),         M(a_callback_may_arm_its_timer_again),
        M(the_manual_tsc_counts_nanoseconds),       M(tsc_conversion_saturates),
        M(a_run_with_endless_due_timers_returns),   R(time_and_tsc_stand_while_paused_and_go_on_without_a_jump),
        R(due_timers_wait_for_the_clock_to_run),    R(a_saved_time_is_restored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
