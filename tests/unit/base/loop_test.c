/* SPDX-License-Identifier: MIT */
/*
 * Laws of the event loop: sources, timers, wake-ups, removal inside callbacks, regular files.
 */
#include "base/loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"

struct fixture {
    struct loop *loop;
    int pipe[2];
    int calls;
    int64_t deadline;
    int timer_calls;
    int64_t fired_at;
};

static int setup(void **state)
{
    static struct fixture f;
    f = (struct fixture){ .deadline = INT64_MAX };
    *state = &f;
    return loop_new(&f.loop, NULL) < 0 || pipe2(f.pipe, O_CLOEXEC) < 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    loop_free(f->loop);
    (void)close(f->pipe[0]);
    (void)close(f->pipe[1]);
    return 0;
}

static void read_and_quit(void *opaque, uint32_t events)
{
    struct fixture *f = opaque;
    char c;
    assert_true(events & EPOLLIN);
    assert_int_equal(read(f->pipe[0], &c, 1), 1);
    f->calls++;
    loop_quit(f->loop);
}

static void a_ready_descriptor_calls_its_function(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(loop_add_fd(f->loop, f->pipe[0], EPOLLIN, read_and_quit, f, NULL), 0);
    assert_int_equal(write(f->pipe[1], "x", 1), 1);
    loop_run(f->loop);
    assert_int_equal(f->calls, 1);
}

static void quit_before_run_ends_the_run_at_once(void **state)
{
    struct fixture *f = *state;
    loop_quit(f->loop);
    loop_run(f->loop);
    assert_int_equal(f->calls, 0);
}

static int64_t timer(void *opaque)
{
    struct fixture *f = opaque;
    f->timer_calls++;
    if (clock_host_ns() >= f->deadline) {
        f->fired_at = clock_host_ns();
        loop_quit(f->loop);
        return INT64_MAX;
    }
    return f->deadline;
}

static void the_timer_hook_runs_at_its_deadline_and_not_in_between(void **state)
{
    struct fixture *f = *state;
    f->deadline = clock_host_ns() + 20 * 1000 * 1000;
    loop_set_timer(f->loop, timer, f);
    loop_run(f->loop);
    assert_true(f->fired_at >= f->deadline);
    assert_in_range(f->timer_calls, 2, 4); /* once before the wait, once at the deadline */
}

static void *wake_later(void *opaque)
{
    struct fixture *f = opaque;
    char c;
    assert_int_equal(read(f->pipe[0], &c, 1), 1); /* until the loop's thread has seen no deadline */
    __atomic_store_n(&f->deadline, 0, __ATOMIC_SEQ_CST);
    loop_wake(f->loop);
    return NULL;
}

static int64_t timer_from_elsewhere(void *opaque)
{
    struct fixture *f = opaque;
    if (__atomic_load_n(&f->deadline, __ATOMIC_SEQ_CST) == 0)
        loop_quit(f->loop);
    else if (f->timer_calls++ == 0)
        assert_int_equal(write(f->pipe[1], "x", 1), 1);
    return INT64_MAX;
}

static void wake_from_another_thread_asks_the_hook_again(void **state)
{
    struct fixture *f = *state;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, wake_later, f), 0);
    loop_set_timer(f->loop, timer_from_elsewhere, f);
    loop_run(f->loop);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(f->timer_calls, 1);
}

static void remove_both(void *opaque, uint32_t events)
{
    struct fixture *f = opaque;
    (void)events;
    f->calls++;
    loop_remove_fd(f->loop, f->pipe[0]);
    loop_remove_fd(f->loop, f->pipe[1]);
    loop_quit(f->loop);
}

static void a_source_removed_in_a_callback_is_not_called_in_the_same_turn(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(write(f->pipe[1], "x", 1), 1);
    assert_int_equal(loop_add_fd(f->loop, f->pipe[0], EPOLLIN, remove_both, f, NULL), 0);
    assert_int_equal(loop_add_fd(f->loop, f->pipe[1], EPOLLOUT, remove_both, f, NULL), 0);
    loop_run(f->loop);
    assert_int_equal(f->calls, 1);
}

struct file {
    struct fixture *f;
    int fd;
};

static void read_file(void *opaque, uint32_t events)
{
    struct file *file = opaque;
    char c;
    assert_true(events & EPOLLIN);
    if (read(file->fd, &c, 1) == 1) {
        file->f->calls++;
    } else {
        loop_remove_fd(file->f->loop, file->fd);
        loop_quit(file->f->loop);
    }
}

static void a_regular_file_is_served_until_it_is_removed(void **state)
{
    struct fixture *f = *state;
    char path[] = "/tmp/doppel-loop-XXXXXX";
    struct file file = { f, mkostemp(path, O_CLOEXEC) };
    assert_true(file.fd >= 0);
    (void)unlink(path);
    assert_int_equal(write(file.fd, "abc", 3), 3);
    assert_int_equal(lseek(file.fd, 0, SEEK_SET), 0);
    assert_int_equal(loop_add_fd(f->loop, file.fd, EPOLLIN, read_file, &file, NULL), 0);
    loop_run(f->loop);
    assert_int_equal(f->calls, 3);
    (void)close(file.fd);
}

static void a_bad_descriptor_is_refused(void **state)
{
    struct fixture *f = *state;
    struct error err = { 0 };
    assert_true(loop_add_fd(f->loop, -1, EPOLLIN, read_and_quit, f, &err) < 0);
    assert_true(err.msg[0] != '\0');
}

static void the_tsc_rate_is_stable(void **state)
{
    (void)state;
    uint64_t hz = clock_host_tsc_hz();
    assert_in_range(hz, 100 * 1000 * 1000ULL, 20 * 1000 * 1000 * 1000ULL);
    assert_int_equal(clock_host_tsc_hz(), hz);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_ready_descriptor_calls_its_function),
        T(quit_before_run_ends_the_run_at_once),
        T(the_timer_hook_runs_at_its_deadline_and_not_in_between),
        T(wake_from_another_thread_asks_the_hook_again),
        T(a_source_removed_in_a_callback_is_not_called_in_the_same_turn),
        T(a_regular_file_is_served_until_it_is_removed),
        T(a_bad_descriptor_is_refused),
        T(the_tsc_rate_is_stable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
