/* SPDX-License-Identifier: MIT */
/*
 * Laws of virtual sockets as Unix sockets: both directions, what clients may say, and ends. The loop runs on the test's thread
 * until the front end has seen what the test waits for.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "backend/vsock_broker.h"
#include "backend/vsockdev.h"
#include "base/loop.h"
#include "base/unixsock.h"

static char folder[] = "/tmp/vsockdev_test.XXXXXX";
static char path[64], path_of_7[64];
static struct loop *loop;
static struct vsockdev *dev;
static struct {
    bool refuse;
    unsigned incoming, stream, events, want;
    uint32_t port;
} seen;

static bool on_incoming(void *opaque, unsigned stream, uint32_t port)
{
    (void)opaque;
    seen.incoming++;
    seen.stream = stream;
    seen.port = port;
    loop_quit(loop);
    return !seen.refuse;
}

static void on_ready(void *opaque, unsigned stream, unsigned events)
{
    (void)opaque;
    assert_int_equal(stream, seen.stream);
    seen.events |= events;
    if (seen.events & seen.want)
        loop_quit(loop);
}

static const struct vsockdev_front front = { .incoming = on_incoming, .ready = on_ready };

static int setup(void **state)
{
    (void)state;
    memset(&seen, 0, sizeof(seen));
    assert_int_equal(loop_new(&loop, NULL), 0);
    assert_int_equal(vsockdev_unix_new(loop, path, &dev, NULL), 0);
    vsockdev_attach(dev, NULL, &front, NULL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    vsockdev_free(dev);
    loop_free(loop);
    return access(path, F_OK) == 0; /* it was removed */
}

static void wait_for(unsigned events)
{
    seen.want = events;
    seen.events = 0;
    loop_run(loop);
}

static int dial(const char *say)
{
    int fd;
    assert_int_equal(unixsock_connect(path, &fd, NULL), 0);
    assert_int_equal(write(fd, say, strlen(say)), strlen(say));
    return fd;
}

static void a_client_names_a_port_and_what_follows_is_the_streams(void **state)
{
    (void)state;
    char got[32] = "";
    int fd = dial("CONNECT 1234\nhello");
    loop_run(loop);
    assert_int_equal(seen.port, 1234);
    const struct iovec iov = { .iov_base = got, .iov_len = sizeof(got) };
    assert_int_equal(dev->ops->read(dev, seen.stream, &iov, 1), 5);
    assert_string_equal(got, "hello");
    assert_int_equal(dev->ops->read(dev, seen.stream, &iov, 1), -EAGAIN);
    dev->ops->accepted(dev, seen.stream, 77);
    char text[] = "there";
    const struct iovec out = { .iov_base = text, .iov_len = 5 };
    assert_int_equal(dev->ops->write(dev, seen.stream, &out, 1), 5);
    assert_int_equal(read(fd, got, sizeof(got)), 11);
    assert_memory_equal(got, "OK 77\nthere", 11);
    assert_int_equal(write(fd, "x", 1), 1);
    wait_for(VSOCKDEV_READABLE);
    (void)close(fd);
    wait_for(VSOCKDEV_GONE);
    assert_int_equal(dev->ops->read(dev, seen.stream, &iov, 1), 1);
    assert_int_equal(dev->ops->read(dev, seen.stream, &iov, 1), 0);
    assert_int_equal(dev->ops->write(dev, seen.stream, &out, 1), -EPIPE);
    dev->ops->close(dev, seen.stream);
}

static void a_line_may_come_in_pieces(void **state)
{
    (void)state;
    int fd = dial("CONN");
    int other = dial("CONNECT 5\n");
    loop_run(loop);
    assert_int_equal(seen.port, 5);
    assert_int_equal(write(fd, "ECT 4294967295\n", 15), 15);
    loop_run(loop);
    assert_int_equal(seen.port, 4294967295U);
    (void)close(fd);
    (void)close(other);
}

static void clients_that_say_anything_else_are_disconnected(void **state)
{
    (void)state;
    static const char *const nonsense[] = {
        "\n",
        "CONNECT\n",
        "CONNECT \n",
        "CONNECT 4294967296\n",
        "CONNECT 99999999999999999999\n",
        "CONNECT -1\n",
        "CONNECT 1 \n",
        "connect 1\n",
        "GET / HTTP/1.1\r\nHost: somewhere.else\r\n",
        "CONNECT 00000000000000000000000000000000000001\n",
    };
    int fd[sizeof(nonsense) / sizeof(nonsense[0])];
    char byte;
    for (unsigned i = 0; i < sizeof(fd) / sizeof(fd[0]); i++)
        fd[i] = dial(nonsense[i]);
    int good = dial("CONNECT 1\n");
    loop_run(loop);
    assert_int_equal(seen.port, 1);
    assert_int_equal(seen.incoming, 1);
    for (unsigned i = 0; i < sizeof(fd) / sizeof(fd[0]); i++) {
        assert_true(read(fd[i], &byte, 1) <= 0);
        (void)close(fd[i]);
    }
    (void)close(good);
}

static void who_is_refused_finds_the_end(void **state)
{
    (void)state;
    char byte;
    seen.refuse = true;
    int fd = dial("CONNECT 9\n");
    loop_run(loop);
    assert_int_equal(read(fd, &byte, 1), 0);
    (void)close(fd);
}

static void the_guest_reaches_the_socket_of_its_port(void **state)
{
    (void)state;
    int listener;
    char got[8] = "";
    assert_int_equal(dev->ops->connect(dev, 7), -ENOENT);
    assert_int_equal(unixsock_listen(path_of_7, &listener, NULL), 0);
    int stream = dev->ops->connect(dev, 7);
    assert_true(stream >= 0);
    seen.stream = (unsigned)stream;
    int fd = accept(listener, NULL, NULL);
    assert_true(fd >= 0);
    char text[] = "abc";
    const struct iovec out = { .iov_base = text, .iov_len = 3 };
    assert_int_equal(dev->ops->write(dev, seen.stream, &out, 1), 3);
    dev->ops->shutdown(dev, seen.stream, false, true);
    assert_int_equal(read(fd, got, sizeof(got)), 3);
    assert_int_equal(read(fd, got, sizeof(got)), 0);
    assert_int_equal(write(fd, "back", 4), 4);
    wait_for(VSOCKDEV_READABLE);
    (void)close(fd);
    (void)close(listener);
    (void)unlink(path_of_7);
    assert_int_equal(dev->ops->connect(dev, 7), -ENOENT);
}

static void there_are_so_many_streams_and_no_more(void **state)
{
    (void)state;
    int listener, fd[VSOCKDEV_STREAMS_MAX + 1];
    assert_int_equal(unixsock_listen(path_of_7, &listener, NULL), 0);
    for (int i = 0; i < VSOCKDEV_STREAMS_MAX; i++) {
        assert_int_equal(dev->ops->connect(dev, 7), i);
        fd[i] = accept(listener, NULL, NULL);
        assert_true(fd[i] >= 0);
    }
    assert_int_equal(dev->ops->connect(dev, 7), -ENOSPC);
    dev->ops->close(dev, 100);
    assert_int_equal(dev->ops->connect(dev, 7), 100);
    for (int i = 0; i < VSOCKDEV_STREAMS_MAX; i++)
        (void)close(fd[i]);
    (void)close(listener);
    (void)unlink(path_of_7);
}

/* Found by tests/fuzz/vsock_fuzz.c. */
static void who_leaves_within_the_line_leaves_no_stream_behind(void **state)
{
    (void)state;
    for (unsigned half = 0; half < 2; half++) {
        int listener, fd = dial("CONNECT 12");
        if (half)
            (void)shutdown(fd, SHUT_WR);
        else
            (void)close(fd);
        seen.refuse = true;
        int other = dial("CONNECT 34\n");
        loop_run(loop);
        assert_int_equal(seen.incoming, half + 1);
        assert_int_equal(seen.port, 34);
        assert_int_equal(unixsock_listen(path_of_7, &listener, NULL), 0);
        assert_int_equal(dev->ops->connect(dev, 7), 0); /* the first place is free again */
        dev->ops->close(dev, 0);
        (void)close(other);
        if (half)
            (void)close(fd);
        (void)close(listener);
        (void)unlink(path_of_7);
    }
}

static void bad_paths_are_refused(void **state)
{
    (void)state;
    struct vsockdev *other;
    struct error err;
    char longest[120];
    memset(longest, 'a', sizeof(longest) - 1);
    longest[0] = '/';
    longest[97] = '\0'; /* would do for itself, but not with a port behind it */
    assert_int_equal(vsockdev_unix_new(loop, longest, &other, &err), -ENAMETOOLONG);
    assert_int_equal(vsockdev_unix_new(loop, path, &other, &err), -EADDRINUSE);
    assert_int_equal(vsockdev_unix_new(loop, "/nonexistent/x", &other, &err), -ENOENT);
    assert_int_equal(access(path, F_OK), 0); /* the one that listens there keeps it */
}

static int set_up_all(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    (void)snprintf(path, sizeof(path), "%s/v", folder);
    (void)snprintf(path_of_7, sizeof(path_of_7), "%s/v_7", folder);
    return 0;
}

static int tear_down_all(void **state)
{
    (void)state;
    return rmdir(folder);
}

/* Found by tests/fuzz/vsock_fuzz.c: it kept what came with an error, and a second one. */
static void a_broker_that_answers_too_much_costs_no_descriptor(void **state)
{
    (void)state;
    for (int32_t error = 0; error < 2; error++) {
        int pair[2], fds[2] = { 0, 0 };
        _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(fds))];
        struct iovec iov = { .iov_base = &error, .iov_len = sizeof(error) };
        struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
        struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
        *c = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(fds)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS };
        memcpy(CMSG_DATA(c), fds, sizeof(fds));
        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
        assert_int_equal(sendmsg(pair[1], &msg, 0), sizeof(error));
        int next = dup(0); /* the lowest that is free */
        close(next);
        int fd = vsock_broker_connect(pair[0], 7);
        assert_int_equal(fd, error ? -error : next);
        if (fd >= 0)
            close(fd);
        fd = dup(0);
        assert_int_equal(fd, next);
        for (int later = next + 1; later < next + 3; later++)
            assert_int_equal(fcntl(later, F_GETFD), -1);
        close(fd);
        close(pair[0]);
        close(pair[1]);
    }
}

static void a_broker_hears_questions_of_four_bytes_only(void **state)
{
    (void)state;
    int listener, broker;
    assert_int_equal(unixsock_listen(path_of_7, &listener, NULL), 0);
    assert_int_equal(vsock_broker_new(path, &broker, NULL), 0);
    assert_int_equal(send(broker, "12345", 5, 0), 5);
    assert_int_equal(send(broker, "123", 3, 0), 3);
    int fd = vsock_broker_connect(broker, 7); /* not the answer to one of these */
    assert_true(fd >= 0);
    (void)close(fd);
    (void)close(broker);
    (void)close(listener);
    (void)unlink(path_of_7);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_client_names_a_port_and_what_follows_is_the_streams),
        T(a_line_may_come_in_pieces),
        T(clients_that_say_anything_else_are_disconnected),
        T(who_is_refused_finds_the_end),
        T(the_guest_reaches_the_socket_of_its_port),
        T(there_are_so_many_streams_and_no_more),
        T(who_leaves_within_the_line_leaves_no_stream_behind),
        T(bad_paths_are_refused),
        cmocka_unit_test(a_broker_that_answers_too_much_costs_no_descriptor),
        cmocka_unit_test(a_broker_hears_questions_of_four_bytes_only),
    };
    return cmocka_run_group_tests(tests, set_up_all, tear_down_all);
}
