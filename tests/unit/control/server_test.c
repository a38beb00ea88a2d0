/* SPDX-License-Identifier: MIT */
/*
 * Laws of the control socket's server, with a controller that performs nothing and clients that misbehave.
 */
#include "control/server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/checked.h"
#include "base/loop.h"
#include "control/controller.h"
#include "machine/console.h"

static struct {
    struct loop *loop;
    struct chardev *below, *console;
    struct server *server;
    pthread_mutex_t lock;
    struct sockaddr_un address;
    socklen_t address_len;
} t;

/* Stands in for control/controller.c. */
void controller_perform(struct controller *c, const struct action *action, struct reply *ret_reply)
{
    (void)c;
    *ret_reply = (struct reply){
        .ok = action->id != ACTION_RESUME,
        .info = { .name = "t", .pid = 1, .arch = "a", .engine = "e", .cpus = 1, .memory = 1 },
    };
    (void)snprintf(ret_reply->text, sizeof(ret_reply->text), "%s", action_name(action->id));
}

static void nothing(void *opaque)
{
    (void)opaque;
}

static int setup(void **state)
{
    (void)state;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    t.address = (struct sockaddr_un){ .sun_family = AF_UNIX };
    t.address_len = sizeof(sa_family_t); /* autobind: an abstract name, no file */
    if (bind(fd, (struct sockaddr *)&t.address, t.address_len) < 0 || listen(fd, 64) < 0)
        return 1;
    t.address_len = sizeof(t.address);
    (void)getsockname(fd, (struct sockaddr *)&t.address, &t.address_len);
    (void)pthread_mutex_init(&t.lock, NULL);
    if (loop_new(&t.loop, NULL) < 0 || chardev_buffer_new(1 << 20, &t.below, NULL) < 0
        || console_new(t.below, &t.console, NULL) < 0)
        return 1;
    chardev_attach(t.console, &t.lock, nothing, NULL);
    const struct server_args args = { .loop = t.loop, .console = t.console, .lock = &t.lock };
    return server_new(&args, fd, &t.server, NULL);
}

static int teardown(void **state)
{
    (void)state;
    server_free(t.server);
    chardev_free(t.console);
    loop_free(t.loop);
    return 0;
}

static int64_t quit_soon(void *turns)
{
    if (--*(int *)turns <= 0)
        loop_quit(t.loop);
    loop_wake(t.loop);
    return INT64_MAX;
}

static void turn(int turns)
{
    loop_set_timer(t.loop, quit_soon, &turns);
    loop_run(t.loop);
    loop_set_timer(t.loop, NULL, NULL);
}

static int dial(void)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&t.address, t.address_len), 0);
    turn(3);
    return fd;
}

static void say(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
    turn(8);
}

/* What is there to read; -1: the connection has ended. */
static ssize_t hear(int fd, char *text, size_t cap)
{
    ssize_t n = recv(fd, text, cap - 1, MSG_DONTWAIT);
    text[n > 0 ? n : 0] = '\0';
    return n == 0 || (n < 0 && errno != EAGAIN) ? -1 : MAX(n, 0);
}

static void each_line_gets_one_back(void **state)
{
    (void)state;
    char text[4096];
    int fd = dial();
    say(fd, "{\"action\":\"info\"}\n{\"action\":\"pa");
    assert_true(hear(fd, text, sizeof(text)) > 0);
    assert_non_null(strstr(text, "\"ok\":true,\"text\":\"info\""));
    say(fd, "use\"}\n{\"action\":\"resume\"}\n");
    assert_true(hear(fd, text, sizeof(text)) > 0);
    assert_non_null(strstr(text, "\"ok\":true,\"text\":\"pause\""));
    assert_non_null(strstr(text, "\"ok\":false,\"text\":\"resume\""));
    (void)shutdown(fd, SHUT_WR);
    turn(4);
    assert_int_equal(hear(fd, text, sizeof(text)), -1);
    (void)close(fd);
}

static void nonsense_and_endless_lines_end_the_connection(void **state)
{
    (void)state;
    char text[4096], line[1001];
    int fd = dial();
    say(fd, "hello\n");
    assert_true(hear(fd, text, sizeof(text)) > 0);
    assert_non_null(strstr(text, "bad request"));
    assert_int_equal(hear(fd, text, sizeof(text)), -1);
    (void)close(fd);
    fd = dial();
    memset(line, 'x', 1000);
    line[1000] = '\0';
    for (int i = 0; i < 4; i++)
        say(fd, line);
    assert_int_equal(hear(fd, text, sizeof(text)), 0);
    say(fd, line);
    assert_true(hear(fd, text, sizeof(text)) > 0);
    assert_non_null(strstr(text, "too long"));
    (void)close(fd);
}

static void one_client_too_many_is_turned_away(void **state)
{
    (void)state;
    int fd[SERVER_CLIENTS_MAX + 1];
    char text[64];
    for (unsigned i = 0; i <= SERVER_CLIENTS_MAX; i++)
        fd[i] = dial();
    assert_int_equal(hear(fd[0], text, sizeof(text)), 0);
    assert_int_equal(hear(fd[SERVER_CLIENTS_MAX], text, sizeof(text)), -1);
    (void)close(fd[0]);
    turn(3);
    (void)close(fd[SERVER_CLIENTS_MAX]);
    fd[0] = dial();
    say(fd[0], "{\"action\":\"info\"}\n");
    assert_true(hear(fd[0], text, sizeof(text)) > 0);
    fd[SERVER_CLIENTS_MAX] = -1;
    for (unsigned i = 0; i < SERVER_CLIENTS_MAX; i++)
        (void)close(fd[i]);
}

static void console_bytes_go_both_ways_and_below_sees_them_too(void **state)
{
    (void)state;
    char text[4096];
    uint8_t typed[64];
    int fd = dial();
    assert_int_equal(chardev_write(t.console, (const uint8_t *)"old\n# ", 6), 6);
    say(fd, "{\"action\":\"console\"}\nls");
    assert_true(hear(fd, text, sizeof(text)) > 0);
    assert_string_equal(strchr(text, '\n'), "\n# "); /* the prompt, nothing older */
    assert_int_equal(chardev_read(t.console, typed, sizeof(typed)), 2);
    assert_memory_equal(typed, "ls", 2);
    assert_int_equal(chardev_write(t.console, (const uint8_t *)"new", 3), 3);
    turn(4);
    assert_int_equal(hear(fd, text, sizeof(text)), 3);
    assert_string_equal(text, "new");
    assert_int_equal(chardev_buffer_take(t.below, text, sizeof(text)), 9);
    (void)close(fd);
}

static void input_waits_for_the_guest_and_is_not_lost(void **state)
{
    (void)state;
    enum { ALL = 20000 };
    static char sent[ALL], got[ALL];
    size_t out = 0, in = 0;
    int fd = dial();
    say(fd, "{\"action\":\"console\"}\n");
    for (size_t i = 0; i < ALL; i++)
        sent[i] = (char)(i * 7 + i / 251);
    for (int i = 0; i < 1000 && in < ALL; i++) {
        ssize_t n = send(fd, sent + out, ALL - out, MSG_DONTWAIT | MSG_NOSIGNAL);
        out += n > 0 ? (size_t)n : 0;
        turn(4);
        in += chardev_read(t.console, (uint8_t *)got + in, MIN((size_t)100, ALL - in));
    }
    assert_int_equal(in, ALL);
    assert_memory_equal(sent, got, ALL);
    (void)close(fd);
}

static void a_client_that_does_not_read_holds_nobody_up(void **state)
{
    (void)state;
    static uint8_t data[10000];
    int fd = dial();
    say(fd, "{\"action\":\"console\"}\n");
    for (int i = 0; i < 100; i++) {
        assert_int_equal(chardev_write(t.console, data, sizeof(data)), sizeof(data));
        (void)chardev_buffer_take(t.below, data, sizeof(data));
        turn(2);
    }
    (void)close(fd);
    turn(3);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(each_line_gets_one_back),
        T(nonsense_and_endless_lines_end_the_connection),
        T(one_client_too_many_is_turned_away),
        T(console_bytes_go_both_ways_and_below_sees_them_too),
        T(input_waits_for_the_guest_and_is_not_lost),
        T(a_client_that_does_not_read_holds_nobody_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
