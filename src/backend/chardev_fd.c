/* SPDX-License-Identifier: MIT */
/*
 * The chardev back end on host descriptors.
 *
 * Output goes straight to the descriptor; what it does not take waits in a ring that the loop empties on EPOLLOUT. Input is
 * read into a ring on EPOLLIN. Both are watched edge-triggered, so a guest that does not read costs nothing: what
 * the ring had no room for is fetched when the front end has read. Files that epoll does not take (regular files,
 * /dev/null) never block and are not watched at all. The host's EOF or error ends input; an error ends output, and
 * everything written after it is forgotten.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backend/byte_ring.h"
#include "backend/chardev.h"
#include "base/clock.h"
#include "base/loop.h"

enum { OUT_CAP = 1 << 16, IN_CAP = 1 << 12, FLUSH_MS = 1000 };

/* One direction. */
struct side {
    int fd; /* ours (owned when `reopened`), -1: nothing there */
    bool reopened;
    bool made_nonblock; /* O_NONBLOCK is ours to take away */
    bool watched;
    bool dead; /* EOF or error */
};

struct fd_dev {
    struct chardev head;
    struct loop *loop; /* borrowed (outlives us) */
    struct side in, out;
    bool more; /* the host may have more input than was read */
    struct byte_ring rx, tx;
    chardev_filter_fn filter;
    void *filter_opaque; /* borrowed (whoever set it) */
};

static struct fd_dev *to_fd(struct chardev *dev)
{
    return (struct fd_dev *)dev;
}

static bool would_block(int err)
{
    return err == EAGAIN || err == EWOULDBLOCK || err == EINTR;
}

/* Moves host input into the ring until there is no more of either. */
static void fill(struct fd_dev *d)
{
    while (d->more && !d->in.dead && byte_ring_room(&d->rx) > 0) {
        uint8_t chunk[512];
        ssize_t n = read(d->in.fd, chunk, MIN(sizeof(chunk), byte_ring_room(&d->rx)));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && would_block(errno)) {
            d->more = false;
        } else if (n <= 0) {
            d->in.dead = true;
        } else {
            size_t keep = d->filter ? d->filter(d->filter_opaque, chunk, (size_t)n) : (size_t)n;
            (void)byte_ring_put(&d->rx, chunk, keep); /* fits: we read no more than the room */
        }
    }
}

/* Writes what waits; false when the descriptor does not take it all now. */
static bool drain(struct fd_dev *d)
{
    while (d->tx.len > 0 && !d->out.dead) {
        const uint8_t *data;
        size_t len = byte_ring_front(&d->tx, &data);
        ssize_t n = write(d->out.fd, data, len);
        if (n > 0)
            byte_ring_drop(&d->tx, (size_t)n);
        else if (n < 0 && errno == EINTR)
            continue;
        else if (n < 0 && would_block(errno))
            return false;
        else
            d->out.dead = true;
    }
    if (d->out.dead)
        byte_ring_drop(&d->tx, d->tx.len);
    return true;
}

static size_t fd_write(struct chardev *dev, const uint8_t *data, size_t len)
{
    struct fd_dev *d = to_fd(dev);
    if (d->out.fd < 0 || d->out.dead)
        return len;
    size_t done = 0;
    if (d->tx.len == 0) {
        ssize_t n = write(d->out.fd, data, len);
        if (n < 0 && !would_block(errno)) {
            d->out.dead = true;
            return len;
        }
        done = n > 0 ? (size_t)n : 0;
    }
    size_t kept = byte_ring_put(&d->tx, data + done, len - done);
    if (kept > 0)
        (void)drain(d); /* after a short write only a refused one promises an edge */
    return done + kept;
}

static size_t fd_readable(struct chardev *dev)
{
    struct fd_dev *d = to_fd(dev);
    if (d->rx.len == 0)
        fill(d);
    return d->rx.len;
}

static size_t fd_read(struct chardev *dev, uint8_t *data, size_t cap)
{
    struct fd_dev *d = to_fd(dev);
    size_t n = byte_ring_take(&d->rx, data, cap);
    fill(d);
    return n;
}

static bool fd_ended(struct chardev *dev)
{
    struct fd_dev *d = to_fd(dev);
    return (d->in.fd < 0 || d->in.dead) && d->rx.len == 0;
}

static void on_input(void *opaque, uint32_t events)
{
    struct fd_dev *d = opaque;
    (void)events; /* EPOLLIN, or EPOLLHUP and EPOLLERR, which a read tells apart */
    chardev_lock(&d->head);
    d->more = true;
    fill(d);
    if (d->head.notify)
        d->head.notify(d->head.opaque);
    chardev_unlock(&d->head);
}

static void on_output(void *opaque, uint32_t events)
{
    struct fd_dev *d = opaque;
    (void)events;
    chardev_lock(&d->head);
    (void)drain(d); /* the next edge comes when there is room again */
    if (d->head.notify)
        d->head.notify(d->head.opaque);
    chardev_unlock(&d->head);
}

static void fd_attached(struct chardev *dev)
{
    struct fd_dev *d = to_fd(dev);
    if (d->in.fd < 0)
        return;
    d->more = true;
    fill(d);
}

static void side_done(struct loop *loop, struct side *s)
{
    if (s->fd < 0)
        return;
    if (s->watched)
        loop_remove_fd(loop, s->fd);
    if (s->made_nonblock) {
        int flags = fcntl(s->fd, F_GETFL);
        if (flags >= 0)
            (void)fcntl(s->fd, F_SETFL, flags & ~O_NONBLOCK); /* best effort: the descriptor is the caller's */
    }
    if (s->reopened)
        (void)close(s->fd); /* all that could be written was */
    s->fd = -1;
}

static void fd_free(struct chardev *dev)
{
    struct fd_dev *d = to_fd(dev);
    ns_t end = clock_host_ns() + FLUSH_MS * (NS_PER_S / 1000);
    while (d->out.fd >= 0 && d->tx.data && !drain(d)) {
        int left = (int)((end - clock_host_ns()) / (NS_PER_S / 1000));
        struct pollfd p = { .fd = d->out.fd, .events = POLLOUT };
        if (left <= 0 || poll(&p, 1, left) == 0)
            break;
    }
    side_done(d->loop, &d->in);
    side_done(d->loop, &d->out);
    byte_ring_done(&d->rx);
    byte_ring_done(&d->tx);
    free(d);
}

static const struct chardev_ops fd_ops = {
    .write = fd_write,
    .readable = fd_readable,
    .read = fd_read,
    .ended = fd_ended,
    .attached = fd_attached,
    .free = fd_free,
};

/* Whether reads and writes of this file can block, that is, whether epoll is any use for it. */
static bool can_wait(int fd)
{
    int ep = epoll_create1(EPOLL_CLOEXEC);
    if (ep < 0)
        return false;
    struct epoll_event ev = { .events = EPOLLIN };
    bool ok = epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev) == 0;
    (void)close(ep);
    return ok;
}

/* Makes a non-blocking descriptor for one direction. Terminals, pipes and devices get an open file of their own, because
 * O_NONBLOCK belongs to the open file, which we share with our parent. */
static void side_open(struct side *s, int fd, int mode)
{
    s->fd = fd;
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0 || S_ISREG(st.st_mode))
        return;
    if (S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode)) {
        char path[64];
        (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        int own = open(path, mode | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        if (own >= 0) {
            s->fd = own;
            s->reopened = true;
            return;
        }
    }
    int flags = fcntl(fd, F_GETFL);
    if (flags >= 0 && !(flags & O_NONBLOCK))
        s->made_nonblock = fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0;
}

static int side_watch(struct fd_dev *d, struct side *s, uint32_t events, loop_fd_fn fn, struct error *err)
{
    if (s->fd < 0 || !d->loop || !can_wait(s->fd))
        return 0;
    int r = loop_add_fd(d->loop, s->fd, events | EPOLLET, fn, d, err);
    s->watched = r == 0;
    return r;
}

/* One socket for both directions, which epoll takes only once. */
static void on_both(void *opaque, uint32_t events)
{
    if (events & EPOLLOUT)
        on_output(opaque, events);
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
        on_input(opaque, events);
}

int chardev_fd_new(struct loop *loop, int fd_in, int fd_out, struct chardev **ret_dev, struct error *err)
{
    struct fd_dev *d = calloc(1, sizeof(*d));
    if (!d)
        return error_set(err, -ENOMEM, "out of memory for a character device");
    d->head.ops = &fd_ops;
    d->loop = loop;
    d->in.fd = d->out.fd = -1;
    int r = byte_ring_init(&d->rx, IN_CAP);
    if (r == 0)
        r = byte_ring_init(&d->tx, OUT_CAP);
    if (r < 0) {
        error_set(err, r, "out of memory for a character device's buffers");
        goto fail;
    }
    side_open(&d->in, fd_in, O_RDONLY);
    side_open(&d->out, fd_out, O_WRONLY);
    if (d->in.fd >= 0 && d->in.fd == d->out.fd) {
        r = side_watch(d, &d->in, EPOLLIN | EPOLLOUT, on_both, err);
    } else {
        r = side_watch(d, &d->in, EPOLLIN, on_input, err);
        if (r == 0)
            r = side_watch(d, &d->out, EPOLLOUT, on_output, err);
    }
    if (r < 0)
        goto fail;
    *ret_dev = &d->head;
    return 0;
fail:
    fd_free(&d->head);
    return r;
}

void chardev_fd_set_filter(struct chardev *dev, chardev_filter_fn fn, void *opaque)
{
    to_fd(dev)->filter = fn;
    to_fd(dev)->filter_opaque = opaque;
}

size_t chardev_fd_unsent(const struct chardev *dev)
{
    return ((const struct fd_dev *)dev)->tx.len;
}

bool chardev_fd_closed(const struct chardev *dev)
{
    return ((const struct fd_dev *)dev)->out.dead;
}
