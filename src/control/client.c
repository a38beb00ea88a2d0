/* SPDX-License-Identifier: MIT */
/*
 * The other end of a machine's control socket.
 */
#include "control/client.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/unixsock.h"

enum { REPLY_S = 10 };

static int dial(const char *name, int *ret_fd, struct error *err)
{
    char path[RUNDIR_PATH_MAX];
    int r = rundir_socket(name, path, err);
    if (r < 0)
        return r;
    r = unixsock_connect(path, ret_fd, err);
    if (r == -ECONNREFUSED && unixsock_remove_stale(path))
        return error_set(err, -ENOENT, "machine '%s' is gone (doppel ps shows which run)", name);
    if (r == -ENOENT || r == -ECONNREFUSED)
        return error_set(err, -ENOENT, "there is no machine '%s' (doppel ps shows which run)", name);
    return r;
}

/* Bytes come one by one, so that what follows the line stays in the socket. */
static int read_line(int fd, char *line, size_t cap, struct error *err)
{
    const struct timeval limit = { .tv_sec = REPLY_S };
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)); /* without it we wait longer */
    for (size_t n = 0; n < cap; n++) {
        ssize_t r;
        do
            r = read(fd, line + n, 1);
        while (r < 0 && errno == EINTR);
        if (r < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return error_set(err, -ETIMEDOUT, "no answer within %d s", REPLY_S);
        if (r <= 0)
            return error_set(err, -EPROTO, "it ended the connection");
        if (line[n] == '\n')
            return (int)n;
    }
    return error_set(err, -EPROTO, "its answer is too long");
}

int client_perform(const char *name, const struct action *action, struct reply *ret_reply, int *ret_fd, struct error *err)
{
    char line[ACTION_LINE_MAX];
    struct reply reply;
    AUTO_CLOSE int fd = -1;
    int r = dial(name, &fd, err);
    if (r < 0)
        return r;
    int len = action_encode(action, line, sizeof(line));
    if (len < 0)
        return error_set(err, len, "out of memory for a request");
    if (send(fd, line, (size_t)len, MSG_NOSIGNAL) != len) /* a fresh socket has room for a line */
        return error_set(err, -EPIPE, "machine '%s': it ended the connection", name);
    r = read_line(fd, line, sizeof(line), err);
    if (r >= 0)
        r = reply_decode(line, (size_t)r, &reply, err);
    if (r == 0 && !reply.ok)
        r = error_set(err, -EINVAL, "%s", reply.text);
    if (r < 0)
        return error_prefix(err, "machine '%s'", name);
    const struct timeval none = { 0 };
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &none, sizeof(none));
    *ret_reply = reply;
    if (ret_fd)
        *ret_fd = take_fd(&fd);
    return 0;
}

int client_wait_end(int fd, int seconds, struct error *err)
{
    ns_t end = clock_host_ns() + seconds * NS_PER_S;
    char rest[256];
    for (;;) {
        ns_t left = end - clock_host_ns();
        struct pollfd p = { .fd = fd, .events = POLLIN };
        if (left <= 0)
            return error_set(err, -ETIMEDOUT, "it did not end within %d s (use --force)", seconds);
        int n = poll(&p, 1, (int)(left / (NS_PER_S / 1000)) + 1);
        if (n > 0 && read(fd, rest, sizeof(rest)) <= 0)
            return 0;
    }
}
