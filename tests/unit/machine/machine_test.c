/* SPDX-License-Identifier: MIT */
/*
 * Laws of a whole machine, shown with tests/guests/board.S (its path is GUEST_BOARD): how it ends, that it restarts, and
 * that a machine paused, saved and loaded into a fresh one goes on as if nothing had been.
 */
#include "machine/machine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sched.h>
#include <string.h>

#include <cmocka.h>

#include "backend/chardev.h"
#include "base/loop.h"
#include "core/vcpu.h"
#include "machine/console.h"

enum { OUT_MAX = 4096, LETTERS = 40 };

/* A machine with its serial port in a buffer. */
struct box {
    struct vm_config config;
    struct loop *loop;
    struct chardev *serial, *console;
    struct machine *machine;
    char out[OUT_MAX];
    size_t len;
};

static void open_box(struct box *b, const char *cmdline, bool reboot)
{
    struct error err = { 0 };
    *b = (struct box){
        .config = { .arch = "x86-64",
                    .engine = "interp",
                    .cpus = 2,
                    .memory = 16 << 20,
                    .kernel = GUEST_BOARD,
                    .cmdline = cmdline,
                    .reboot = reboot },
    };
    assert_int_equal(loop_new(&b->loop, NULL), 0);
    assert_int_equal(chardev_buffer_new(OUT_MAX, &b->serial, NULL), 0);
    assert_int_equal(console_new(b->serial, &b->console, NULL), 0);
    const struct machine_ports ports = { .loop = b->loop, .serial = { b->console, NULL } };
    if (machine_new(&b->config, &ports, &b->machine, &err) < 0)
        fail_msg("%s", err.msg);
}

static void take_output(struct box *b)
{
    struct vm *vm = machine_vm(b->machine);
    vm_lock(vm);
    b->len += chardev_buffer_take(b->serial, b->out + b->len, OUT_MAX - b->len);
    vm_unlock(vm);
}

static void close_box(struct box *b)
{
    machine_free(b->machine);
    chardev_free(b->console);
    loop_free(b->loop);
}

static enum vm_end run(struct box *b)
{
    struct error err = { 0 };
    if (machine_run(b->machine, &err) < 0)
        fail_msg("%s", err.msg);
    take_output(b);
    return machine_vm(b->machine)->end;
}

static void each_way_to_end_is_told_apart(void **state)
{
    static const struct {
        const char *what;
        enum vm_end end;
    } ways[] = {
        { "o", VM_END_POWEROFF }, { "r", VM_END_RESET },    { "8", VM_END_RESET },
        { "p", VM_END_PANIC },    { "t", VM_END_SHUTDOWN }, { "j", VM_END_SHUTDOWN },
    };
    (void)state;
    for (unsigned i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        struct box b;
        open_box(&b, ways[i].what, false);
        assert_int_equal(run(&b), ways[i].end);
        assert_true(machine_vm(b.machine)->end_why[0] != '\0');
        close_box(&b);
    }
}

static void *quit_soon(void *opaque)
{
    struct box *b = opaque;
    while (machine_vm(b->machine)->vcpu[1]->halts == 0) /* CPU 1 waits for its start: the threads run */
        sched_yield();
    machine_quit(b->machine, VM_END_TIMEOUT, "enough");
    return NULL;
}

/* Flooding a port, halting for ever, looping, and restarting all the time. */
static void no_guest_can_hold_up_an_end_from_outside(void **state)
{
    static const char *const guests[] = { "f", "h", "l", "r" };
    (void)state;
    for (unsigned i = 0; i < sizeof(guests) / sizeof(guests[0]); i++) {
        struct box b;
        pthread_t thread;
        open_box(&b, guests[i], true);
        assert_int_equal(pthread_create(&thread, NULL, quit_soon, &b), 0);
        assert_int_equal(run(&b), VM_END_TIMEOUT);
        assert_int_equal(pthread_join(thread, NULL), 0);
        close_box(&b);
    }
}

/* The k guest's letters and status, from a run without interruption. */
static int whole_run(char letters[LETTERS])
{
    struct box b;
    open_box(&b, "k", false);
    assert_int_equal(run(&b), VM_END_EXIT);
    assert_int_equal(b.len, LETTERS);
    memcpy(letters, b.out, LETTERS);
    int status = machine_vm(b.machine)->end_status;
    close_box(&b);
    return status;
}

/* Runs the k guest until it has printed `letters`, pauses and saves it. */
static void run_and_save(struct box *b, size_t letters, struct state_buf *buf)
{
    open_box(b, "k", false);
    assert_int_equal(machine_start(b->machine, NULL), 0);
    while (b->len < letters) {
        take_output(b);
        sched_yield();
    }
    vm_pause(machine_vm(b->machine));
    take_output(b);
    assert_int_equal(machine_save(b->machine, buf), 0);
}

static void a_saved_machine_goes_on_in_a_fresh_one(void **state)
{
    char want[LETTERS];
    (void)state;
    int status = whole_run(want);
    for (size_t at = 1; at < LETTERS; at += 9) {
        struct box a, b;
        struct state_buf buf = { 0 };
        struct error err = { 0 };
        run_and_save(&a, at, &buf);
        assert_in_range(a.len, at, LETTERS);
        memset(machine_vm(a.machine)->gmem.host, 0xee, machine_vm(a.machine)->gmem.size); /* its memory is its own */
        open_box(&b, "k", false);
        if (machine_load(b.machine, &buf, &err) < 0)
            fail_msg("%s", err.msg);
        assert_int_equal(run(&b), VM_END_EXIT);
        memcpy(a.out + a.len, b.out, b.len);
        assert_int_equal(a.len + b.len, LETTERS);
        assert_memory_equal(a.out, want, LETTERS);
        assert_int_equal(machine_vm(b.machine)->end_status, status);
        close_box(&a);
        close_box(&b);
        state_buf_done(&buf);
    }
}

static void a_paused_machine_goes_on_where_it_was(void **state)
{
    char want[LETTERS];
    (void)state;
    int status = whole_run(want);
    struct box b;
    struct state_buf buf = { 0 };
    run_and_save(&b, 5, &buf);
    vm_resume(machine_vm(b.machine));
    assert_int_equal(machine_finish(b.machine, NULL), 0);
    take_output(&b);
    assert_int_equal(b.len, LETTERS);
    assert_memory_equal(b.out, want, LETTERS);
    assert_int_equal(machine_vm(b.machine)->end_status, status);
    close_box(&b);
    state_buf_done(&buf);
}

/* All but the RTC's idea of the host's time: one u64, `checked`. */
static void save_of_load_is_the_same_but_for_the_hosts_time(void **state)
{
    struct box a, b;
    struct state_buf one = { 0 }, two = { 0 };
    (void)state;
    run_and_save(&a, 3, &one);
    open_box(&b, "k", false);
    assert_int_equal(machine_load(b.machine, &one, NULL), 0);
    assert_int_equal(machine_save(b.machine, &two), 0);
    assert_int_equal(one.len, two.len);
    size_t first = 0, end = one.len;
    while (first < end && one.data[first] == two.data[first])
        first++;
    while (end > first && one.data[end - 1] == two.data[end - 1])
        end--;
    assert_true(end - first <= sizeof(uint64_t));
    close_box(&a);
    close_box(&b);
    state_buf_done(&one);
    state_buf_done(&two);
}

static void another_machine_or_cut_bytes_are_refused(void **state)
{
    struct box a, b;
    struct state_buf buf = { 0 };
    struct error err = { 0 };
    (void)state;
    run_and_save(&a, 1, &buf);
    close_box(&a);
    open_box(&b, "k", false);
    size_t full = buf.len;
    for (buf.len = 0; buf.len < full; buf.len += 1 + buf.len / 3) {
        buf.pos = 0;
        err.msg[0] = '\0';
        assert_int_equal(machine_load(b.machine, &buf, &err), -22);
        assert_true(err.msg[0] != '\0');
    }
    buf.len = full;
    close_box(&b);

    open_box(&b, "k", false); /* the same, with less memory */
    machine_free(b.machine);
    b.config.memory = 18 << 20;
    const struct machine_ports ports = { .loop = b.loop, .serial = { b.console, NULL } };
    assert_int_equal(machine_new(&b.config, &ports, &b.machine, NULL), 0);
    buf.pos = 0;
    assert_int_equal(machine_load(b.machine, &buf, &err), -22);
    close_box(&b);
    state_buf_done(&buf);
}

static void a_bad_config_is_refused_in_words(void **state)
{
    static const struct vm_config good = { .arch = "x86-64", .engine = "auto", .cpus = 1, .memory = 16 << 20, .kernel = "/nope" };
    struct vm_config bad[] = { good, good, good, good, good, good, good };
    const struct machine_ports ports = { .loop = NULL };
    (void)state;
    bad[0].arch = "vax";
    bad[1].engine = "steam";
    bad[2].cpus = 0;
    bad[3].cpus = 65;
    bad[4].memory = (16 << 20) + 1;
    bad[5].memory = 4096;
    bad[6].cpu_model = "8086";
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct error err = { 0 };
        struct machine *m = NULL;
        assert_int_equal(vm_config_check(&bad[i], &err), -22);
        assert_true(err.msg[0] != '\0');
        assert_true(machine_new(&bad[i], &ports, &m, &err) < 0);
        assert_null(m);
    }
    struct error err = { 0 };
    struct machine *m = NULL;
    assert_int_equal(vm_config_check(&good, &err), 0);
    assert_int_equal(machine_new(&good, &ports, &m, &err), -2); /* the kernel is not there */
    assert_null(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_way_to_end_is_told_apart),
        cmocka_unit_test(no_guest_can_hold_up_an_end_from_outside),
        cmocka_unit_test(a_saved_machine_goes_on_in_a_fresh_one),
        cmocka_unit_test(a_paused_machine_goes_on_where_it_was),
        cmocka_unit_test(save_of_load_is_the_same_but_for_the_hosts_time),
        cmocka_unit_test(another_machine_or_cut_bytes_are_refused),
        cmocka_unit_test(a_bad_config_is_refused_in_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
