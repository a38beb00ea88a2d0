/* SPDX-License-Identifier: MIT */
/*
 * Laws of the command's serial port: frames become output and status, stdin becomes frames, nothing is lost.
 */
#include "machine/command_port.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/loop.h"
#include "machine/stdio_channel.h"

struct fixture {
    struct loop *loop;
    struct chardev *port;
    int in[2], out[2], err[2];
    int ready, status, closed, broken;
    int notified;
    int quit_after; /* notifications */
};

static void on_event(void *opaque, enum command_event event, int value)
{
    struct fixture *f = opaque;
    if (event == COMMAND_READY)
        f->ready++;
    else if (event == COMMAND_EXITED)
        f->status = value;
    else if (event == COMMAND_CLOSED)
        f->closed++;
    else
        f->broken++;
}

static void on_notify(void *opaque)
{
    struct fixture *f = opaque;
    if (++f->notified == f->quit_after)
        loop_quit(f->loop);
}

static int setup(void **state)
{
    static struct fixture f;
    f = (struct fixture){ .status = -1 };
    *state = &f;
    if (pipe2(f.in, O_CLOEXEC) < 0 || pipe2(f.out, O_CLOEXEC) < 0 || pipe2(f.err, O_CLOEXEC) < 0)
        return -1;
    (void)fcntl(f.out[0], F_SETFL, O_NONBLOCK);
    (void)fcntl(f.err[0], F_SETFL, O_NONBLOCK);
    if (loop_new(&f.loop, NULL) < 0 || command_port_new(f.loop, f.in[0], f.out[1], f.err[1], on_event, &f, &f.port, NULL) < 0)
        return -1;
    chardev_attach(f.port, NULL, on_notify, &f);
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    chardev_free(f->port);
    loop_free(f->loop);
    int *pipes[] = { f->in, f->out, f->err };
    for (int i = 0; i < 3; i++) {
        (void)close(pipes[i][0]);
        (void)close(pipes[i][1]);
    }
    return 0;
}

/* Sends one frame as a UART does, at most 16 bytes at a time; returns what was taken of it. */
static size_t send_frame(struct fixture *f, char type, const void *data, size_t len)
{
    uint8_t frame[STDIO_HEADER_LEN + 4096] = { (uint8_t)type, (uint8_t)len, (uint8_t)(len >> 8) };
    memcpy(frame + STDIO_HEADER_LEN, data, len);
    size_t total = len + STDIO_HEADER_LEN;
    for (size_t at = 0; at < total;) {
        size_t want = total - at < 16 ? total - at : 16;
        size_t n = chardev_write(f->port, frame + at, want);
        at += n;
        if (n < want)
            return at;
    }
    return total;
}

static void start(struct fixture *f, uint16_t credit)
{
    uint8_t version = STDIO_VERSION;
    uint8_t c[2] = { (uint8_t)credit, (uint8_t)(credit >> 8) };
    (void)send_frame(f, STDIO_FRAME_READY, &version, 1);
    (void)send_frame(f, STDIO_FRAME_CREDIT, c, 2);
}

/* Runs the loop until it has called the front end `times` times. */
static void turn(struct fixture *f, int times)
{
    f->quit_after = f->notified + times;
    loop_run(f->loop);
}

static void output_frames_reach_their_descriptors(void **state)
{
    struct fixture *f = *state;
    char got[64];
    start(f, 0);
    assert_int_equal(f->ready, 1);
    (void)send_frame(f, STDIO_FRAME_STDOUT, "to stdout, more than one UART write", 35);
    (void)send_frame(f, STDIO_FRAME_STDERR, "to stderr", 9);
    assert_int_equal(read(f->out[0], got, sizeof(got)), 35);
    assert_memory_equal(got, "to stdout, more than one UART write", 35);
    assert_int_equal(read(f->err[0], got, sizeof(got)), 9);
    assert_memory_equal(got, "to stderr", 9);
    (void)send_frame(f, STDIO_FRAME_EXIT, "\x07", 1);
    assert_int_equal(f->status, 7);
    assert_int_equal(command_port_unsent(f->port, false), 0);
}

static void input_waits_for_credit_and_comes_framed(void **state)
{
    struct fixture *f = *state;
    uint8_t got[64];
    assert_int_equal(write(f->in[1], "hello", 5), 5);
    turn(f, 3); /* the input, and both outputs are ready */
    assert_int_equal(chardev_readable(f->port), 0);
    start(f, 3);
    assert_int_equal(chardev_readable(f->port), STDIO_HEADER_LEN + 3);
    assert_int_equal(chardev_read(f->port, got, 4), 4); /* in pieces, as a UART's FIFO does */
    assert_int_equal(chardev_read(f->port, got + 4, 60), 2);
    assert_memory_equal(got, "I\x03\x00hel", 6);
    assert_int_equal(chardev_readable(f->port), 0);
    (void)send_frame(f, STDIO_FRAME_CREDIT, "\x10\x00", 2);
    assert_int_equal(chardev_read(f->port, got, 60), 5);
    assert_memory_equal(got, "I\x02\x00lo", 5);
}

static void the_end_of_input_is_one_frame_behind_the_data(void **state)
{
    struct fixture *f = *state;
    uint8_t got[64];
    assert_int_equal(write(f->in[1], "x", 1), 1);
    (void)close(f->in[1]);
    f->in[1] = open("/dev/null", O_WRONLY | O_CLOEXEC);
    turn(f, 3);
    start(f, 100);
    assert_int_equal(chardev_read(f->port, got, 4), 4);
    assert_memory_equal(got, "I\x01\x00x", 4);
    assert_int_equal(chardev_read(f->port, got, 60), STDIO_HEADER_LEN);
    assert_memory_equal(got, "F\x00\x00", 3);
    assert_int_equal(chardev_readable(f->port), 0);
}

/* Credit comes inside the front end's own write: the call back must wait for the loop. */
static void credit_notifies_from_the_loop_and_not_from_the_write(void **state)
{
    struct fixture *f = *state;
    turn(f, 2); /* both outputs are ready */
    int before = f->notified;
    start(f, 10);
    assert_int_equal(f->notified, before);
    turn(f, 1); /* meson's time limit is the verdict */
    assert_int_equal(f->notified, before + 1);
}

/* A reader that does not read holds the guest back; when it reads again it gets every byte in order. */
static void a_stuck_reader_loses_nothing(void **state)
{
    struct fixture *f = *state;
    static uint8_t line[4096], got[4096];
    size_t sent = 0, seen = 0;
    start(f, 0);
    f->quit_after = -1;
    for (;;) {
        for (size_t i = 0; i < sizeof(line); i++)
            line[i] = (uint8_t)((sent + i) * 7 >> 3);
        size_t n = send_frame(f, STDIO_FRAME_STDOUT, line, sizeof(line));
        sent += n > STDIO_HEADER_LEN ? n - STDIO_HEADER_LEN : 0;
        if (n < sizeof(line) + STDIO_HEADER_LEN)
            break;
        assert_true(sent < 10 << 20); /* it must get stuck some time */
    }
    while (seen < sent) {
        ssize_t n = read(f->out[0], got, sizeof(got));
        if (n < 0) { /* the pipe is empty: let the port fill it */
            assert_true(command_port_unsent(f->port, false) > 0);
            turn(f, 1);
            continue;
        }
        for (ssize_t i = 0; i < n; i++)
            assert_int_equal(got[i], (uint8_t)((seen + (size_t)i) * 7 >> 3));
        seen += (size_t)n;
    }
    assert_int_equal(command_port_unsent(f->port, false), 0);
}

static void a_reader_that_left_is_reported_once(void **state)
{
    struct fixture *f = *state;
    start(f, 0);
    (void)send_frame(f, STDIO_FRAME_STDOUT, "x", 1);
    assert_int_equal(f->closed, 0);
    (void)close(f->out[0]);
    f->out[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    for (int i = 0; i < 3; i++)
        (void)send_frame(f, STDIO_FRAME_STDOUT, "x", 1);
    assert_int_equal(f->closed, 1);
    assert_int_equal(command_port_unsent(f->port, false), 0);
}

static void nonsense_breaks_the_channel_once_and_for_all(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(chardev_write(f->port, (const uint8_t *)"nonsense", 8), 8);
    assert_int_equal(f->broken, 1);
    (void)send_frame(f, STDIO_FRAME_EXIT, "\x07", 1);
    assert_int_equal(f->status, -1);
    assert_int_equal(f->broken, 1);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN); /* as the program does */
    const struct CMUnitTest tests[] = {
        T(output_frames_reach_their_descriptors),
        T(input_waits_for_credit_and_comes_framed),
        T(the_end_of_input_is_one_frame_behind_the_data),
        T(credit_notifies_from_the_loop_and_not_from_the_write),
        T(a_stuck_reader_loses_nothing),
        T(a_reader_that_left_is_reported_once),
        T(nonsense_breaks_the_channel_once_and_for_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
