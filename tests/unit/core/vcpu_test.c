/* SPDX-License-Identifier: MIT */
/*
 * Laws of a vCPU's life, with an engine of our own that sleeps, counts or spins as told.
 */
#include "core/vcpu.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/vm.h"

/* What the test engine does and saw. */
struct toy {
    _Atomic bool spin;      /* run until STOP or END, else sleep at once */
    _Atomic unsigned irqs;  /* IRQ requests it served */
    _Atomic unsigned steps; /* turns of its loop */
    _Atomic bool current_ok;
};

static int toy_cpu_new(struct vcpu *vcpu, const void *config, struct error *err)
{
    (void)config;
    vcpu->cpu = calloc(1, sizeof(struct toy));
    return vcpu->cpu ? 0 : error_set(err, -12, "no memory");
}

static void toy_cpu_free(struct vcpu *vcpu)
{
    free(vcpu->cpu);
}

static int toy_init(struct vcpu *vcpu, struct error *err)
{
    (void)vcpu;
    (void)err;
    return 0;
}

static void toy_done(struct vcpu *vcpu)
{
    (void)vcpu;
}

static enum vcpu_exit toy_run(struct vcpu *vcpu)
{
    struct toy *toy = vcpu->cpu;
    toy->current_ok = vcpu_current() == vcpu;
    for (;;) {
        toy->steps++;
        if (vcpu_take(vcpu, VCPU_REQ_IRQ))
            toy->irqs++;
        if (vcpu_requests(vcpu) & (VCPU_REQ_STOP | VCPU_REQ_END))
            return VCPU_EXIT_REQUEST;
        if (!toy->spin)
            return VCPU_EXIT_SLEEP;
        sched_yield();
    }
}

static const struct isa_ops toy_isa = { .name = "toy", .cpu_new = toy_cpu_new, .cpu_free = toy_cpu_free };
static const struct engine_ops toy_engine = { .name = "toy", .vcpu_init = toy_init, .vcpu_done = toy_done, .run = toy_run };

enum { CPUS = 2 };

struct fixture {
    struct vm vm;
    struct toy *toy[CPUS];
};

static int setup(void **state)
{
    static struct fixture f;
    memset(&f, 0, sizeof(f));
    *state = &f;
    if (vm_init(&f.vm, NULL, NULL) < 0)
        return -1;
    for (unsigned i = 0; i < CPUS; i++) {
        if (vcpu_new(&f.vm, i, &toy_isa, &toy_engine, NULL, &f.vm.vcpu[i], NULL) < 0)
            return -1;
        f.vm.nr_vcpus++;
        f.toy[i] = f.vm.vcpu[i]->cpu;
    }
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    vm_stop_vcpus(&f->vm);
    for (unsigned i = 0; i < CPUS; i++)
        vcpu_free(f->vm.vcpu[i]);
    vm_done(&f->vm);
    return 0;
}

/* Each request is one wake-up: none may be lost however the threads interleave. */
static void no_wake_up_is_lost(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(vm_start_vcpus(&f->vm, NULL), 0);
    for (unsigned i = 1; i <= 3000; i++) {
        vcpu_request(f->vm.vcpu[0], VCPU_REQ_IRQ);
        while (f->toy[0]->irqs < i) /* the meson timeout is the verdict */
            sched_yield();
    }
    assert_int_equal(f->toy[0]->irqs, 3000);
    assert_true(f->toy[0]->current_ok);
    assert_null(vcpu_current());
}

static void a_sleeping_vcpu_takes_no_steps(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(vm_start_vcpus(&f->vm, NULL), 0);
    while (!f->vm.vcpu[1]->sleeping)
        sched_yield();
    unsigned steps = f->toy[1]->steps;
    for (int i = 0; i < 100; i++)
        sched_yield();
    assert_int_equal(f->toy[1]->steps, steps);
    assert_int_equal(f->vm.vcpu[1]->halts, 1);
}

static void pause_stops_running_and_sleeping_vcpus_until_resume(void **state)
{
    struct fixture *f = *state;
    f->toy[0]->spin = true;
    assert_int_equal(vm_start_vcpus(&f->vm, NULL), 0);
    for (int round = 0; round < 50; round++) {
        vm_pause(&f->vm);
        unsigned steps[CPUS];
        for (int i = 0; i < CPUS; i++)
            steps[i] = f->toy[i]->steps;
        ns_t now = vm_clock_now(&f->vm.clock);
        for (int i = 0; i < 20; i++)
            sched_yield();
        for (int i = 0; i < CPUS; i++)
            assert_int_equal(f->toy[i]->steps, steps[i]);
        assert_true(vm_clock_now(&f->vm.clock) == now);
        vm_resume(&f->vm);
        while (f->toy[0]->steps == steps[0])
            sched_yield();
    }
}

static void stop_ends_paused_threads_and_start_works_again(void **state)
{
    struct fixture *f = *state;
    f->toy[0]->spin = true;
    assert_int_equal(vm_start_vcpus(&f->vm, NULL), 0);
    vm_pause(&f->vm);
    vm_stop_vcpus(&f->vm);
    vm_resume(&f->vm);
    unsigned steps = f->toy[0]->steps;
    assert_int_equal(vm_start_vcpus(&f->vm, NULL), 0);
    while (f->toy[0]->steps == steps)
        sched_yield();
}

static void the_first_reason_to_end_stays_and_stops_everyone(void **state)
{
    struct fixture *f = *state;
    f->toy[0]->spin = true;
    assert_int_equal(vm_start_vcpus(&f->vm, NULL), 0);
    vm_request_end(&f->vm, VM_END_EXIT, 3, "first %d", 1);
    vm_request_end(&f->vm, VM_END_QUIT, 0, "second");
    assert_int_equal(vm_wait_end(&f->vm), VM_END_EXIT);
    assert_int_equal(f->vm.end_status, 3);
    assert_string_equal(f->vm.end_why, "first 1");
    vm_pause(&f->vm); /* ended vCPUs count as standing */
}

static void who_waits_for_the_end_hears_once_that_memory_is_to_be_shared(void **state)
{
    struct fixture *f = *state;
    vm_request_share(&f->vm);
    vm_request_share(&f->vm);
    assert_int_equal(vm_wait_end(&f->vm), VM_END_NONE);
    vm_request_share(&f->vm);
    vm_request_end(&f->vm, VM_END_QUIT, 0, "now");
    assert_int_equal(vm_wait_end(&f->vm), VM_END_QUIT);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(no_wake_up_is_lost),
        T(a_sleeping_vcpu_takes_no_steps),
        T(pause_stops_running_and_sleeping_vcpus_until_resume),
        T(stop_ends_paused_threads_and_start_works_again),
        T(the_first_reason_to_end_stays_and_stops_everyone),
        T(who_waits_for_the_end_hears_once_that_memory_is_to_be_shared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
