/* SPDX-License-Identifier: MIT */
/*
 * doppel console: this terminal on a running machine's console, until Ctrl-A x or the machine's end.
 *
 * Without a terminal it copies stdin to the console and the console to stdout; the end of stdin does not end it.
 */
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cli/monitor.h"
#include "cli/terminal.h"
#include "cli/verbs.h"
#include "control/client.h"

struct session {
    const char *name; /* borrowed (argv) */
    int fd;           /* owned: the connection */
    struct monitor monitor;
    bool left;
    bool no_input; /* stdin has ended */
    struct escape_keys keys;
    bool filter;
};

static const char help[] =
    "usage: doppel console NAME\n\n"
    "Connects this terminal to the machine's console. Ctrl-A x leaves (the machine runs on), Ctrl-A h tells more.\n";

static void on_leave_key(void *opaque)
{
    ((struct session *)opaque)->left = true;
}

static int perform(void *opaque, const struct action *action, struct reply *ret_reply, struct error *err)
{
    return client_perform(((struct session *)opaque)->name, action, ret_reply, NULL, err);
}

static void on_line(void *opaque, const char *line)
{
    struct session *s = opaque;
    monitor_execute(&s->monitor, line, perform, s);
}

/* False when the other side is gone. */
static bool write_all(int fd, const uint8_t *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, data, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN) { /* our stdout is somebody's who does not want to block */
            struct pollfd p = { .fd = fd, .events = POLLOUT };
            (void)poll(&p, 1, -1);
            continue;
        }
        if (n <= 0)
            return false;
        data += n;
        len -= (size_t)n;
    }
    return true;
}

static bool take_keys(struct session *s)
{
    uint8_t data[512];
    ssize_t n = read(STDIN_FILENO, data, sizeof(data));
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return true;
    if (n <= 0) {
        s->no_input = true;
        return true;
    }
    size_t len = s->filter ? escape_keys_filter(&s->keys, data, (size_t)n) : (size_t)n;
    return write_all(s->fd, data, len) && !s->left;
}

/* True: go on. */
static bool copy_output(const struct session *s)
{
    uint8_t data[4096];
    ssize_t n = read(s->fd, data, sizeof(data));
    if (n < 0 && errno == EINTR)
        return true;
    return n > 0 && write_all(STDOUT_FILENO, data, (size_t)n);
}

static void attend(struct session *s)
{
    for (;;) {
        struct pollfd p[] = { { .fd = s->fd, .events = POLLIN }, { .fd = s->no_input ? -1 : STDIN_FILENO, .events = POLLIN } };
        if (poll(p, 2, -1) < 0 && errno != EINTR)
            return;
        if (p[0].revents && !copy_output(s))
            return;
        if (p[1].revents && !take_keys(s))
            return;
    }
}

int verb_console(int argc, char **argv)
{
    const struct action action = { .id = ACTION_CONSOLE };
    struct session s = { .filter = isatty(STDIN_FILENO) };
    const char *name;
    struct reply reply;
    struct error err;
    if (cli_machine_name(argc, argv, help, &name, &err) < 0)
        return cli_usage(&err, "console");
    if (!name)
        return EXIT_OK;
    if (client_perform(name, &action, &reply, &s.fd, &err) < 0)
        return cli_fail(&err);
    s.name = name;
    s.monitor = (struct monitor){ .submit = on_line, .opaque = &s };
    s.keys = (struct escape_keys){ .quit = on_leave_key, .quit_does = "leave the console", .opaque = &s, .monitor = &s.monitor };
    terminal_raw();
    terminal_restore_on_signals();
    if (s.filter)
        (void)fprintf(stderr, "doppel: the console of '%s'; Ctrl-A x leaves it, Ctrl-A h helps\r\n", name);
    attend(&s);
    terminal_restore();
    if (s.filter)
        (void)fprintf(stderr, "\ndoppel: %s\n", s.left ? "left the console; the machine runs on" : "the machine has ended");
    (void)close(s.fd);
    return EXIT_OK;
}
