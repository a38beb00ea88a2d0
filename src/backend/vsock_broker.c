/* SPDX-License-Identifier: MIT */
/*
 * The broker: a port comes by a socket pair, an errno goes back, with a connected socket when that is 0.
 *
 * It is a grandchild, so that nobody has to wait for it, and keeps no descriptor but its end of the pair: no disk stays locked
 * and no pipe open because of it. It has our signal mask and ignores what a terminal sends; the end of the pair is its end. It
 * reads four bytes of a process that may have been subverted, and believes nothing else.
 */
#include "backend/vsock_broker.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"

/* A message of the broker with room for a descriptor. */
struct answer {
    int32_t error; /* 0, or an errno */
    struct iovec iov;
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))];
    struct msghdr msg;
};

static void answer_init(struct answer *a)
{
    memset(a, 0, sizeof(*a));
    a->iov = (struct iovec){ .iov_base = &a->error, .iov_len = sizeof(a->error) };
    a->msg = (struct msghdr){ .msg_iov = &a->iov, .msg_iovlen = 1 };
    a->msg.msg_control = a->control;
    a->msg.msg_controllen = CMSG_LEN(sizeof(int)); /* not a second one in what is left of the space */
}

/* ---- the broker ---- */

static int connect_to(const char *path, uint32_t port)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s_%" PRIu32, path, port); /* it fits: see vsock_broker_new() */
    AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
        return -errno; /* -EAGAIN, too: there are too many who wait already */
    return take_fd(&fd);
}

static void answer_one(int fd, const char *path, uint32_t port)
{
    struct answer a;
    answer_init(&a);
    AUTO_CLOSE int stream = connect_to(path, port);
    if (stream >= 0) {
        struct cmsghdr *c = CMSG_FIRSTHDR(&a.msg);
        *c = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS };
        memcpy(CMSG_DATA(c), &stream, sizeof(stream));
    } else {
        a.error = -stream;
        a.msg.msg_controllen = 0;
    }
    (void)sendmsg(fd, &a.msg, MSG_NOSIGNAL); /* if nobody hears it, the next read says so */
}

static void serve(int fd, const char *path)
{
    uint32_t port;
    ssize_t n;
    while ((n = recv(fd, &port, sizeof(port), MSG_TRUNC)) > 0 || (n < 0 && errno == EINTR))
        if (n == (ssize_t)sizeof(port)) /* what is longer, or shorter, is no question */
            answer_one(fd, path, port);
}

static _Noreturn void be_broker(int fd, const char *path)
{
    const int ignored[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE };
    for (unsigned i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
        (void)signal(ignored[i], SIG_IGN); /* cannot fail for these */
    (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    (void)prctl(PR_SET_NAME, "doppel-vsock", 0, 0, 0);
    if (fd > 0)
        (void)close_range(0, (unsigned)fd - 1, 0);
    (void)close_range((unsigned)fd + 1, ~0U, 0);
    serve(fd, path);
    _exit(0);
}

/* ---- who asks ---- */

int vsock_broker_new(const char *path, int *ret_fd, struct error *err)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return error_set(err, -errno, "socket pair: %s", strerror(errno));
    AUTO_CLOSE int ours = pair[0];
    AUTO_CLOSE int theirs = pair[1];
    pid_t child = fork();
    if (child == 0) {
        pid_t broker = fork();
        if (broker == 0)
            be_broker(theirs, path);
        _exit(broker < 0 ? errno : 0);
    }
    int status = 0;
    if (child < 0 || (waitpid(child, &status, 0) == child && WEXITSTATUS(status))) {
        int code = child < 0 ? errno : WEXITSTATUS(status);
        return error_set(err, -code, "cannot start a process for virtual sockets: %s", strerror(code));
    }
    *ret_fd = take_fd(&ours);
    return 0;
}

/* The descriptor that came with an answer; -1: none. */
static int descriptor_of(struct answer *a)
{
    const struct cmsghdr *c = CMSG_FIRSTHDR(&a->msg);
    int fd;
    if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS || c->cmsg_len < CMSG_LEN(sizeof(fd)))
        return -1;
    memcpy(&fd, CMSG_DATA(c), sizeof(fd));
    return fd;
}

int vsock_broker_connect(int fd, uint32_t port)
{
    struct answer a;
    ssize_t n;
    answer_init(&a);
    if (send(fd, &port, sizeof(port), MSG_NOSIGNAL) != (ssize_t)sizeof(port))
        return -ECONNREFUSED;
    do
        n = recvmsg(fd, &a.msg, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    AUTO_CLOSE int stream = n < 0 ? -1 : descriptor_of(&a);
    if (n != (ssize_t)sizeof(a.error))
        return -ECONNREFUSED;
    if (a.error || stream < 0)
        return a.error > 0 ? -a.error : -EMFILE; /* no descriptor came: we have no room for one */
    return take_fd(&stream);
}
