/* SPDX-License-Identifier: MIT */
/*
 * Laws of the chardev back ends: order, bounds, flow control, ends. The fd back end is driven through pipes, with the loop
 * run until the test's own callback stops it.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "backend/chardev.h"
#include "base/loop.h"

enum { BIG = 300000 };

struct front {
    struct loop *loop;
    struct chardev *dev;
    unsigned notified;
    uint8_t got[BIG];
    size_t len, want; /* the loop stops when `want` bytes were read, or the input ended */
};

static void on_notify(void *opaque)
{
    struct front *f = opaque;
    f->notified++;
    while (chardev_readable(f->dev))
        f->len += chardev_read(f->dev, f->got + f->len, sizeof(f->got) - f->len);
    if (f->loop && (f->len >= f->want || chardev_ended(f->dev)))
        loop_quit(f->loop);
}

static void null_takes_all_and_gives_nothing(void **state)
{
    (void)state;
    struct chardev *dev;
    assert_int_equal(chardev_null_new(&dev, NULL), 0);
    struct chardev *both[] = { dev, NULL };
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(chardev_write(both[i], (const uint8_t *)"abc", 3), 3);
        assert_int_equal(chardev_readable(both[i]), 0);
        assert_true(chardev_ended(both[i]));
        chardev_free(both[i]);
    }
}

static void buffer_takes_what_fits_and_keeps_order(void **state)
{
    (void)state;
    static struct front f;
    char out[16] = { 0 };
    assert_int_equal(chardev_buffer_new(4, &f.dev, NULL), 0);
    chardev_attach(f.dev, NULL, on_notify, &f);
    assert_int_equal(chardev_write(f.dev, (const uint8_t *)"abcdef", 6), 4);
    assert_int_equal(chardev_buffer_take(f.dev, out, 2), 2);
    assert_int_equal(f.notified, 1); /* there is room again */
    assert_int_equal(chardev_write(f.dev, (const uint8_t *)"ef", 2), 2);
    assert_int_equal(chardev_buffer_take(f.dev, out + 2, 14), 4);
    assert_string_equal(out, "abcdef");
    assert_int_equal(chardev_buffer_feed(f.dev, "xyz", 3), 3);
    assert_int_equal(f.len, 3);
    assert_memory_equal(f.got, "xyz", 3);
    chardev_free(f.dev);
}

static void pipe_input_arrives_whole_and_ends(void **state)
{
    (void)state;
    static struct front f;
    int p[2];
    f = (struct front){ .want = BIG };
    assert_int_equal(pipe2(p, O_CLOEXEC), 0);
    assert_int_equal(loop_new(&f.loop, NULL), 0);
    assert_int_equal(chardev_fd_new(f.loop, p[0], -1, &f.dev, NULL), 0);
    assert_int_equal(write(p[1], "hello", 5), 5);
    chardev_attach(f.dev, NULL, on_notify, &f);
    assert_false(chardev_ended(f.dev));
    close(p[1]);
    loop_run(f.loop);
    assert_int_equal(f.len, 5);
    assert_memory_equal(f.got, "hello", 5);
    assert_true(chardev_ended(f.dev));
    chardev_free(f.dev);
    loop_free(f.loop);
    assert_int_equal(fcntl(p[0], F_GETFL) & O_NONBLOCK, 0); /* the caller's descriptor is as it was */
    close(p[0]);
}

static void file_input_needs_no_loop(void **state)
{
    (void)state;
    static struct front f;
    char name[] = "/tmp/chardev_test.XXXXXX";
    static uint8_t bytes[20000];
    for (unsigned i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * 31 >> 3);
    int fd = mkstemp(name);
    assert_true(fd >= 0);
    (void)unlink(name);
    assert_int_equal(write(fd, bytes, sizeof(bytes)), sizeof(bytes));
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    f = (struct front){ 0 };
    assert_int_equal(loop_new(&f.loop, NULL), 0);
    assert_int_equal(chardev_fd_new(f.loop, fd, -1, &f.dev, NULL), 0);
    chardev_attach(f.dev, NULL, on_notify, &f);
    on_notify(&f); /* the chip looks when its guest is ready */
    assert_int_equal(f.len, sizeof(bytes));
    assert_memory_equal(f.got, bytes, sizeof(bytes));
    assert_true(chardev_ended(f.dev));
    chardev_free(f.dev);
    loop_free(f.loop);
    close(fd);
}

struct sink {
    int fd;
    struct front *front;
    uint8_t *to;
    size_t len, sent, total;
    const uint8_t *from;
};

static void pump(void *opaque)
{
    struct sink *s = opaque;
    s->sent += chardev_write(s->front->dev, s->from + s->sent, s->total - s->sent);
}

static void on_sink(void *opaque, uint32_t events)
{
    struct sink *s = opaque;
    (void)events;
    ssize_t n = read(s->fd, s->to + s->len, 777);
    if (n > 0)
        s->len += (size_t)n;
    if (s->len == s->total)
        loop_quit(s->front->loop);
}

/* The front end offers what was refused again on each notification, as a UART does. */
static void slow_reader_loses_nothing(void **state)
{
    (void)state;
    static struct front f;
    static uint8_t from[BIG], to[BIG + 777];
    for (unsigned i = 0; i < BIG; i++)
        from[i] = (uint8_t)(i * 2654435761u >> 24);
    int p[2];
    f = (struct front){ 0 };
    assert_int_equal(pipe2(p, O_CLOEXEC), 0);
    assert_int_equal(loop_new(&f.loop, NULL), 0);
    assert_int_equal(chardev_fd_new(f.loop, -1, p[1], &f.dev, NULL), 0);
    struct sink s = { .fd = p[0], .front = &f, .to = to, .from = from, .total = BIG };
    chardev_attach(f.dev, NULL, pump, &s);
    pump(&s);
    assert_true(s.sent < BIG); /* bounded: pipe and ring are full */
    assert_int_equal(loop_add_fd(f.loop, p[0], 1 /* EPOLLIN */, on_sink, &s, NULL), 0);
    loop_run(f.loop);
    assert_int_equal(s.len, BIG);
    assert_memory_equal(from, to, BIG);
    loop_remove_fd(f.loop, p[0]);
    chardev_free(f.dev);
    loop_free(f.loop);
    close(p[0]);
    close(p[1]);
}

static void dead_reader_does_not_hold_up_the_guest(void **state)
{
    (void)state;
    static struct front f;
    static uint8_t bytes[200000];
    int p[2];
    (void)signal(SIGPIPE, SIG_IGN);
    f = (struct front){ 0 };
    assert_int_equal(pipe2(p, O_CLOEXEC), 0);
    assert_int_equal(loop_new(&f.loop, NULL), 0);
    assert_int_equal(chardev_fd_new(f.loop, -1, p[1], &f.dev, NULL), 0);
    chardev_attach(f.dev, NULL, on_notify, &f);
    close(p[0]);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(chardev_write(f.dev, bytes, sizeof(bytes)), sizeof(bytes));
    assert_int_equal(chardev_fd_unsent(f.dev), 0);
    chardev_free(f.dev);
    loop_free(f.loop);
    close(p[1]);
}

static void held_output_is_written_at_the_end(void **state)
{
    (void)state;
    static struct front f;
    static uint8_t bytes[100000], back[100000];
    int s[2];
    f = (struct front){ 0 };
    for (unsigned i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i >> 4);
    assert_int_equal(pipe2(s, O_CLOEXEC), 0);
    assert_int_equal(loop_new(&f.loop, NULL), 0);
    assert_int_equal(chardev_fd_new(f.loop, -1, s[1], &f.dev, NULL), 0);
    size_t taken = chardev_write(f.dev, bytes, sizeof(bytes));
    assert_int_equal(taken, sizeof(bytes));
    size_t unsent = chardev_fd_unsent(f.dev), len = 0;
    assert_true(unsent > 0);
    while (len < sizeof(bytes) - unsent) /* the reader wakes up */
        len += (size_t)read(s[0], back + len, sizeof(bytes) - unsent - len);
    chardev_free(f.dev);
    while (len < sizeof(bytes))
        len += (size_t)read(s[0], back + len, sizeof(bytes) - len);
    assert_memory_equal(bytes, back, sizeof(bytes));
    loop_free(f.loop);
    close(s[0]);
    close(s[1]);
}

static size_t drop_x(void *opaque, uint8_t *data, size_t len)
{
    (void)opaque;
    size_t n = 0;
    for (size_t i = 0; i < len; i++)
        if (data[i] != 'x')
            data[n++] = data[i];
    return n;
}

static void filter_edits_input_on_a_socket_used_both_ways(void **state)
{
    (void)state;
    static struct front f;
    int s[2];
    char back[8] = { 0 };
    f = (struct front){ .want = 4 };
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s), 0);
    assert_int_equal(loop_new(&f.loop, NULL), 0);
    assert_int_equal(chardev_fd_new(f.loop, s[0], s[0], &f.dev, NULL), 0);
    chardev_fd_set_filter(f.dev, drop_x, NULL);
    chardev_attach(f.dev, NULL, on_notify, &f);
    assert_int_equal(write(s[1], "axbxcxd", 7), 7);
    loop_run(f.loop);
    assert_int_equal(f.len, 4);
    assert_memory_equal(f.got, "abcd", 4);
    assert_int_equal(chardev_write(f.dev, (const uint8_t *)"out", 3), 3);
    assert_int_equal(read(s[1], back, 7), 3);
    assert_string_equal(back, "out");
    chardev_free(f.dev);
    loop_free(f.loop);
    close(s[0]);
    close(s[1]);
}

static void a_pseudo_terminal_has_the_size_that_its_user_gives_it(void **state)
{
    (void)state;
    static struct front f;
    char name[64];
    uint16_t cols = 1, rows = 2;
    assert_int_equal(loop_new(&f.loop, NULL), 0);
    assert_int_equal(chardev_pty_new(f.loop, name, sizeof(name), &f.dev, NULL), 0);
    int fd = open(name, O_RDWR | O_NOCTTY);
    assert_true(fd >= 0);
    assert_false(chardev_size(f.dev, &cols, &rows)); /* none so far */
    assert_true(cols == 1 && rows == 2);
    const struct winsize size = { .ws_col = 132, .ws_row = 43 };
    assert_int_equal(ioctl(fd, TIOCSWINSZ, &size), 0);
    assert_true(chardev_size(f.dev, &cols, &rows));
    assert_true(cols == 132 && rows == 43);
    assert_false(chardev_size(NULL, &cols, &rows));
    close(fd);
    chardev_free(f.dev);
    loop_free(f.loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(null_takes_all_and_gives_nothing),
        cmocka_unit_test(buffer_takes_what_fits_and_keeps_order),
        cmocka_unit_test(pipe_input_arrives_whole_and_ends),
        cmocka_unit_test(file_input_needs_no_loop),
        cmocka_unit_test(slow_reader_loses_nothing),
        cmocka_unit_test(dead_reader_does_not_hold_up_the_guest),
        cmocka_unit_test(held_output_is_written_at_the_end),
        cmocka_unit_test(filter_edits_input_on_a_socket_used_both_ways),
        cmocka_unit_test(a_pseudo_terminal_has_the_size_that_its_user_gives_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
