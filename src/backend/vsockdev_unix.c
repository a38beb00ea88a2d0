/* SPDX-License-Identifier: MIT */
/*
 * Streams of a virtual socket device as Unix sockets.
 *
 * All sockets hang in an epoll instance of our own, which the loop watches: so streams can be made and closed on any thread.
 * Events are edge-triggered and name a stream by its place and its generation; they are fetched and delivered with the lock held,
 * so those of a stream that was closed meanwhile are known by their generation.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "backend/vsock_broker.h"
#include "backend/vsockdev.h"
#include "base/checked.h"
#include "base/loop.h"
#include "base/unixsock.h"

enum { REQUEST_MAX = 32, EVENTS = 16, TURNS = 16, LISTENER = VSOCKDEV_STREAMS_MAX };

struct stream {
    int fd;              /* owned; -1: free */
    bool greeting;       /* its client has not said which port it wants */
    uint32_t generation; /* of this place */
};

struct unix_dev {
    struct vsockdev head;
    struct loop *loop;       /* borrowed (outlives us) */
    char *path;              /* owned */
    int listen_fd, epoll_fd; /* owned */
    int broker_fd;           /* owned: who connects for us */
    bool watched;
    struct stream stream[VSOCKDEV_STREAMS_MAX];
};

static struct unix_dev *to_unix(struct vsockdev *dev)
{
    return (struct unix_dev *)dev;
}

static void lock(struct unix_dev *d)
{
    if (d->head.lock)
        (void)pthread_mutex_lock(d->head.lock); /* a plain mutex never fails */
}

static void unlock(struct unix_dev *d)
{
    if (d->head.lock)
        (void)pthread_mutex_unlock(d->head.lock);
}

static int watch(struct unix_dev *d, int fd, uint32_t events, unsigned place, uint32_t generation)
{
    struct epoll_event ev = { .events = events, .data.u64 = (uint64_t)generation << 32 | place };
    return epoll_ctl(d->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0 ? -errno : 0;
}

static void unix_close(struct vsockdev *dev, unsigned n)
{
    struct stream *s = &to_unix(dev)->stream[n];
    (void)close(s->fd); /* which takes it out of the epoll instance */
    s->fd = -1;
    s->generation++;
}

/* Takes the socket, also on failure. The stream's number, or -ENOSPC and the like. */
static int add_stream(struct unix_dev *d, int fd, bool greeting)
{
    int r = -ENOSPC;
    for (unsigned n = 0; n < VSOCKDEV_STREAMS_MAX; n++) {
        struct stream *s = &d->stream[n];
        if (s->fd >= 0)
            continue;
        r = watch(d, fd, EPOLLIN | EPOLLOUT | EPOLLET, n, s->generation);
        if (r < 0)
            break;
        s->fd = fd;
        s->greeting = greeting;
        return (int)n;
    }
    (void)close(fd);
    return r;
}

static int unix_connect(struct vsockdev *dev, uint32_t port)
{
    struct unix_dev *d = to_unix(dev);
    int fd = vsock_broker_connect(d->broker_fd, port);
    return fd < 0 ? fd : add_stream(d, fd, false);
}

static void unix_accepted(struct vsockdev *dev, unsigned n, uint32_t port)
{
    char line[REQUEST_MAX];
    int len = snprintf(line, sizeof(line), "OK %" PRIu32 "\n", port);
    (void)send(to_unix(dev)->stream[n].fd, line, (size_t)len, MSG_NOSIGNAL); /* a fresh socket has room; if it is gone, we hear */
}

static ssize_t unix_read(struct vsockdev *dev, unsigned n, const struct iovec *iov, unsigned nr)
{
    ssize_t r;
    do
        r = readv(to_unix(dev)->stream[n].fd, iov, (int)nr);
    while (r < 0 && errno == EINTR);
    return r < 0 ? -errno : r;
}

static ssize_t unix_write(struct vsockdev *dev, unsigned n, const struct iovec *iov, unsigned nr)
{
    const struct msghdr m = { .msg_iov = (struct iovec *)iov, .msg_iovlen = nr };
    ssize_t r;
    do
        r = sendmsg(to_unix(dev)->stream[n].fd, &m, MSG_NOSIGNAL);
    while (r < 0 && errno == EINTR);
    return r < 0 ? -errno : r;
}

static void unix_shutdown(struct vsockdev *dev, unsigned n, bool read, bool write)
{
    if (read || write)
        (void)shutdown(to_unix(dev)->stream[n].fd, read && write ? SHUT_RDWR : read ? SHUT_RD : SHUT_WR); /* or it is gone */
}

/* ---- on the loop's thread ---- */

/* "CONNECT P" without its end; false: it is something else. */
static bool parse_request(const char *line, size_t len, uint32_t *ret_port)
{
    static const char word[] = "CONNECT ";
    const size_t skip = sizeof(word) - 1;
    uint64_t port = 0;
    if (len <= skip || memcmp(line, word, skip) != 0)
        return false;
    for (size_t i = skip; i < len; i++) {
        if (line[i] < '0' || line[i] > '9' || port > UINT32_MAX)
            return false;
        port = port * 10 + (uint64_t)(line[i] - '0');
    }
    *ret_port = (uint32_t)port;
    return port <= UINT32_MAX;
}

/* Whether the client will say no more than is there. */
static bool has_left(int fd)
{
    struct pollfd p = { .fd = fd, .events = POLLRDHUP };
    return poll(&p, 1, 0) > 0;
}

/* A client says which port it wants. What follows the line is the stream's and stays in the socket. */
static void greet(struct unix_dev *d, unsigned n)
{
    struct stream *s = &d->stream[n];
    char line[REQUEST_MAX];
    uint32_t port;
    const bool last = has_left(s->fd); /* before we look: what comes between the two is not lost */
    ssize_t len = recv(s->fd, line, sizeof(line), MSG_PEEK | MSG_DONTWAIT);
    const char *end = len > 0 ? memchr(line, '\n', (size_t)len) : NULL;
    if ((len < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        || (len > 0 && len < REQUEST_MAX && !end && !last))
        return; /* there is more to come */
    if (!end || !parse_request(line, (size_t)(end - line), &port)) {
        unix_close(&d->head, n);
        return;
    }
    (void)!recv(s->fd, line, (size_t)(end - line) + 1, MSG_DONTWAIT); /* the bytes we have seen */
    s->greeting = false;
    if (!d->head.front->incoming(d->head.opaque, n, port))
        unix_close(&d->head, n);
}

static void accept_all(struct unix_dev *d)
{
    for (;;) {
        int fd = accept4(d->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0)
            return;
        (void)add_stream(d, fd, true); /* too many: it finds itself disconnected */
    }
}

static void on_event(struct unix_dev *d, const struct epoll_event *ev)
{
    const unsigned n = (uint32_t)ev->data.u64;
    if (n == LISTENER) {
        accept_all(d);
        return;
    }
    const struct stream *s = &d->stream[n];
    const unsigned events = (ev->events & (EPOLLIN | EPOLLHUP | EPOLLERR) ? VSOCKDEV_READABLE : 0U)
                            | (ev->events & EPOLLOUT ? VSOCKDEV_WRITABLE : 0U)
                            | (ev->events & (EPOLLHUP | EPOLLERR) ? VSOCKDEV_GONE : 0U);
    if (s->fd < 0 || s->generation != ev->data.u64 >> 32)
        return;
    if (s->greeting)
        greet(d, n);
    else
        d->head.front->ready(d->head.opaque, n, events);
}

static void on_epoll(void *opaque, uint32_t events)
{
    struct unix_dev *d = opaque;
    struct epoll_event ev[EVENTS];
    (void)events;
    for (unsigned turn = 0, nr = EVENTS; turn < TURNS && nr == EVENTS; turn++) { /* what is left over wakes the loop again */
        lock(d);
        int n = epoll_wait(d->epoll_fd, ev, EVENTS, 0);
        nr = n > 0 ? (unsigned)n : 0;
        for (unsigned i = 0; i < nr; i++)
            on_event(d, &ev[i]);
        unlock(d);
    }
}

/* ---- life ---- */

static void unix_free(struct vsockdev *dev)
{
    struct unix_dev *d = to_unix(dev);
    if (d->watched)
        loop_remove_fd(d->loop, d->epoll_fd);
    for (unsigned n = 0; n < VSOCKDEV_STREAMS_MAX; n++)
        if (d->stream[n].fd >= 0)
            unix_close(dev, n);
    if (d->listen_fd >= 0) {
        (void)unlink(d->path); /* where that is forbidden by now, the next to listen there replaces it */
        (void)close(d->listen_fd);
    }
    if (d->epoll_fd >= 0)
        (void)close(d->epoll_fd);
    if (d->broker_fd >= 0)
        (void)close(d->broker_fd);
    free(d->path);
    free(d);
}

static const struct vsockdev_ops unix_ops = {
    .connect = unix_connect,
    .accepted = unix_accepted,
    .read = unix_read,
    .write = unix_write,
    .shutdown = unix_shutdown,
    .close = unix_close,
    .free = unix_free,
};

static int unix_open(struct unix_dev *d, const char *path, struct error *err)
{
    static const char longest[] = "_4294967295";
    struct sockaddr_un address;
    if (strlen(path) + sizeof(longest) > sizeof(address.sun_path))
        return error_set(err, -ENAMETOOLONG, "socket '%s': with the number of a port behind it, it has at most %zu characters",
                         path, sizeof(address.sun_path) - sizeof(longest));
    d->path = strdup(path);
    if (!d->path)
        return error_set(err, -ENOMEM, "out of memory for virtual sockets");
    d->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (d->epoll_fd < 0)
        return error_set(err, -errno, "epoll: %s", strerror(errno));
    int r = unixsock_listen(path, &d->listen_fd, err);
    if (r < 0)
        return r;
    r = vsock_broker_new(path, &d->broker_fd, err);
    if (r < 0)
        return r;
    r = watch(d, d->listen_fd, EPOLLIN | EPOLLET, LISTENER, 0);
    if (r < 0)
        return error_set(err, r, "epoll: %s", strerror(-r));
    r = loop_add_fd(d->loop, d->epoll_fd, EPOLLIN, on_epoll, d, err);
    d->watched = r == 0;
    return r;
}

int vsockdev_unix_new(struct loop *loop, const char *path, struct vsockdev **ret_dev, struct error *err)
{
    struct unix_dev *d = calloc(1, sizeof(*d));
    if (!d)
        return error_set(err, -ENOMEM, "out of memory for virtual sockets");
    *d = (struct unix_dev){ .head.ops = &unix_ops, .loop = loop, .listen_fd = -1, .epoll_fd = -1, .broker_fd = -1 };
    for (unsigned n = 0; n < VSOCKDEV_STREAMS_MAX; n++)
        d->stream[n].fd = -1;
    int r = unix_open(d, path, err);
    if (r < 0) {
        unix_free(&d->head);
        return r;
    }
    *ret_dev = &d->head;
    return 0;
}

void vsockdev_attach(struct vsockdev *dev, pthread_mutex_t *lk, const struct vsockdev_front *front, void *opaque)
{
    dev->lock = lk;
    dev->front = front;
    dev->opaque = opaque;
}

void vsockdev_free(struct vsockdev *dev)
{
    if (dev)
        dev->ops->free(dev);
}
