/* SPDX-License-Identifier: MIT */
/*
 * The chardev back ends whose other side comes and goes: a pseudo-terminal, and a Unix socket with one client at a time.
 *
 * While nobody is there, output is thrown away, so that a guest does not wait for a reader. The front end may read and write on
 * any thread; what must be done on the loop's (closing, accepting the next) waits for it, woken by an eventfd. A pseudo-terminal
 * does not tell when it is opened: while it is not, a timer looks.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <termios.h>
#include <unistd.h>

#include "backend/byte_ring.h"
#include "backend/chardev.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/loop.h"
#include "base/unixsock.h"

enum { OUT_CAP = 1 << 16, IN_CAP = 1 << 12, LOOK_MS = 100 };

struct link_dev {
    struct chardev head;
    struct loop *loop;                            /* borrowed (outlives us) */
    int fd, listen_fd, timer_fd, poke_fd;         /* owned; fd: the peer, a pseudo-terminal's master */
    bool fd_watched, other_watched, poke_watched; /* other: whichever of listen_fd and timer_fd is used */
    bool there;                                   /* somebody is at the other side */
    bool gone;                                    /* it has left: the loop is to see to it */
    bool eof;                                     /* it sends no more */
    char *path;                                   /* owned: of the socket */
    struct byte_ring rx, tx;
};

static struct link_dev *to_link(struct chardev *dev)
{
    return (struct link_dev *)dev;
}

static bool would_block(int err)
{
    return err == EAGAIN || err == EWOULDBLOCK;
}

/* The peer has left: tells the loop. */
static void note_gone(struct link_dev *d)
{
    uint64_t one = 1;
    d->gone = true;
    byte_ring_drop(&d->tx, d->tx.len);
    (void)!write(d->poke_fd, &one, sizeof(one)); /* full: the loop is awake */
}

static void fill(struct link_dev *d)
{
    while (d->there && !d->gone && !d->eof && byte_ring_room(&d->rx) > 0) {
        uint8_t chunk[512];
        ssize_t n = read(d->fd, chunk, MIN(sizeof(chunk), byte_ring_room(&d->rx)));
        if (n > 0)
            (void)byte_ring_put(&d->rx, chunk, (size_t)n); /* fits: we read no more than the room */
        else if (n == 0)
            d->eof = true; /* half closed: it may still read */
        else if (would_block(errno))
            return;
        else if (errno != EINTR)
            note_gone(d);
    }
}

static void drain(struct link_dev *d)
{
    while (d->there && !d->gone && d->tx.len > 0) {
        const uint8_t *data;
        size_t len = byte_ring_front(&d->tx, &data);
        ssize_t n = write(d->fd, data, len); /* SIGPIPE is ignored (main.c) */
        if (n > 0)
            byte_ring_drop(&d->tx, (size_t)n);
        else if (n < 0 && would_block(errno))
            return;
        else if (n == 0 || errno != EINTR)
            note_gone(d);
    }
}

static size_t link_write(struct chardev *dev, const uint8_t *data, size_t len)
{
    struct link_dev *d = to_link(dev);
    if (!d->there || d->gone)
        return len;
    size_t n = byte_ring_put(&d->tx, data, len);
    drain(d);
    return n;
}

static size_t link_readable(struct chardev *dev)
{
    struct link_dev *d = to_link(dev);
    if (d->rx.len == 0)
        fill(d);
    return d->rx.len;
}

static size_t link_read(struct chardev *dev, uint8_t *data, size_t cap)
{
    struct link_dev *d = to_link(dev);
    size_t n = byte_ring_take(&d->rx, data, cap);
    fill(d);
    return n;
}

static bool link_ended(struct chardev *dev)
{
    (void)dev;
    return false; /* the next one may come */
}

/* Who opened a pseudo-terminal may give it a size, and nothing tells the master of that. */
static bool link_size(struct chardev *dev, uint16_t *ret_cols, uint16_t *ret_rows)
{
    struct link_dev *d = to_link(dev);
    struct winsize w;
    if (d->listen_fd >= 0 || ioctl(d->fd, TIOCGWINSZ, &w) < 0 || w.ws_col == 0 || w.ws_row == 0)
        return false;
    *ret_cols = w.ws_col;
    *ret_rows = w.ws_row;
    return true;
}

static void notify(struct link_dev *d)
{
    if (d->head.notify)
        d->head.notify(d->head.opaque);
}

/* ---- on the loop's thread ---- */

static void on_peer(void *opaque, uint32_t events)
{
    struct link_dev *d = opaque;
    chardev_lock(&d->head);
    fill(d);
    drain(d);
    if ((events & (EPOLLHUP | EPOLLERR)) && d->there && !d->gone && (d->eof || d->listen_fd < 0) && byte_ring_room(&d->rx) > 0)
        note_gone(d);
    notify(d);
    chardev_unlock(&d->head);
}

static void accept_next(struct link_dev *d)
{
    int fd = d->fd < 0 ? accept4(d->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK) : -1;
    if (fd < 0)
        return;
    chardev_lock(&d->head);
    d->fd = fd;
    d->there = true;
    d->eof = d->gone = false;
    chardev_unlock(&d->head);
    d->fd_watched = loop_add_fd(d->loop, fd, EPOLLIN | EPOLLOUT | EPOLLET, on_peer, d, NULL) == 0;
    if (d->fd_watched)
        return;
    chardev_lock(&d->head);
    note_gone(d); /* out of memory */
    chardev_unlock(&d->head);
}

static void on_listen(void *opaque, uint32_t events)
{
    (void)events;
    accept_next(opaque); /* who comes second waits in the backlog */
}

static void set_timer(struct link_dev *d, int ms)
{
    const struct timespec ts = { .tv_nsec = ms * (NS_PER_S / 1000) };
    const struct itimerspec spec = { .it_interval = ts, .it_value = ts };
    (void)timerfd_settime(d->timer_fd, 0, &spec, NULL); /* our own descriptor and a valid time */
}

/* Has somebody opened the pseudo-terminal? */
static void on_timer(void *opaque, uint32_t events)
{
    struct link_dev *d = opaque;
    struct pollfd p = { .fd = d->fd, .events = POLLIN };
    uint64_t count;
    (void)events;
    if (read(d->timer_fd, &count, sizeof(count)) < 0 || poll(&p, 1, 0) < 0 || (p.revents & POLLHUP))
        return;
    set_timer(d, 0);
    chardev_lock(&d->head);
    d->there = true;
    d->eof = d->gone = false;
    fill(d);
    notify(d);
    chardev_unlock(&d->head);
}

static void on_poke(void *opaque, uint32_t events)
{
    struct link_dev *d = opaque;
    uint64_t count;
    (void)events;
    (void)!read(d->poke_fd, &count, sizeof(count)); /* only to be quiet again */
    chardev_lock(&d->head);
    bool left = d->gone && d->there;
    if (left) {
        d->there = false;
        if (d->listen_fd >= 0) {
            if (d->fd_watched)
                loop_remove_fd(d->loop, d->fd);
            (void)close(d->fd);
            d->fd = -1;
        }
    }
    notify(d); /* there is room now */
    chardev_unlock(&d->head);
    if (left && d->listen_fd >= 0)
        accept_next(d);
    else if (left)
        set_timer(d, LOOK_MS);
}

/* ---- life ---- */

static void link_free(struct chardev *dev)
{
    struct link_dev *d = to_link(dev);
    drain(d); /* what is taken at once */
    if (d->fd_watched && d->fd >= 0)
        loop_remove_fd(d->loop, d->fd);
    if (d->other_watched)
        loop_remove_fd(d->loop, d->listen_fd >= 0 ? d->listen_fd : d->timer_fd);
    if (d->poke_watched)
        loop_remove_fd(d->loop, d->poke_fd);
    if (d->path)
        (void)unlink(d->path); /* where that is forbidden by now, the next to listen there replaces it */
    const int fds[] = { d->fd, d->listen_fd, d->timer_fd, d->poke_fd };
    for (unsigned i = 0; i < ARRAY_SIZE(fds); i++)
        if (fds[i] >= 0)
            (void)close(fds[i]);
    byte_ring_done(&d->rx);
    byte_ring_done(&d->tx);
    free(d->path);
    free(d);
}

static const struct chardev_ops link_ops = {
    .write = link_write,
    .readable = link_readable,
    .read = link_read,
    .ended = link_ended,
    .size = link_size,
    .free = link_free,
};

static int link_new(struct loop *loop, struct link_dev **ret_dev, struct error *err)
{
    struct link_dev *d = calloc(1, sizeof(*d));
    if (!d)
        return error_set(err, -ENOMEM, "out of memory for a character device");
    *d = (struct link_dev){ .head.ops = &link_ops, .loop = loop, .fd = -1, .listen_fd = -1, .timer_fd = -1 };
    int r = byte_ring_init(&d->rx, IN_CAP);
    if (r == 0)
        r = byte_ring_init(&d->tx, OUT_CAP);
    if (r < 0)
        (void)error_set(err, r, "out of memory for a character device's buffers");
    d->poke_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (r == 0 && d->poke_fd < 0)
        r = error_set(err, -errno, "eventfd: %s", strerror(errno));
    if (r == 0)
        r = loop_add_fd(loop, d->poke_fd, EPOLLIN, on_poke, d, err);
    d->poke_watched = r == 0;
    if (r < 0) {
        link_free(&d->head);
        return r;
    }
    *ret_dev = d;
    return 0;
}

int chardev_unix_new(struct loop *loop, const char *path, struct chardev **ret_dev, struct error *err)
{
    struct link_dev *d;
    int r = link_new(loop, &d, err);
    if (r < 0)
        return r;
    r = unixsock_listen(path, &d->listen_fd, err);
    if (r == 0 && !(d->path = strdup(path)))
        r = error_set(err, -ENOMEM, "out of memory for a character device");
    if (r == 0)
        r = loop_add_fd(loop, d->listen_fd, EPOLLIN | EPOLLET, on_listen, d, err);
    d->other_watched = r == 0;
    if (r < 0) {
        link_free(&d->head);
        return r;
    }
    *ret_dev = &d->head;
    return 0;
}

/* The other side is a byte pipe until somebody sets it otherwise; having been opened once, it shows when nobody has it open. */
static int open_pty(struct link_dev *d, char *name, size_t cap, struct error *err)
{
    struct termios raw;
    d->fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (d->fd < 0 || grantpt(d->fd) < 0 || unlockpt(d->fd) < 0 || ptsname_r(d->fd, name, cap) != 0)
        return error_set(err, -errno, "cannot make a pseudo-terminal: %s", strerror(errno));
    AUTO_CLOSE int slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (slave < 0 || tcgetattr(slave, &raw) < 0)
        return error_set(err, -errno, "cannot open the pseudo-terminal %s: %s", name, strerror(errno));
    cfmakeraw(&raw);
    (void)tcsetattr(slave, TCSANOW, &raw); /* else whoever opens it sees an echo */
    (void)fcntl(d->fd, F_SETFL, O_RDWR | O_NONBLOCK);
    return 0;
}

int chardev_pty_new(struct loop *loop, char *ret_name, size_t cap, struct chardev **ret_dev, struct error *err)
{
    struct link_dev *d;
    int r = link_new(loop, &d, err);
    if (r < 0)
        return r;
    r = open_pty(d, ret_name, cap, err);
    d->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (r == 0 && d->timer_fd < 0)
        r = error_set(err, -errno, "timer: %s", strerror(errno));
    if (r == 0)
        r = loop_add_fd(loop, d->timer_fd, EPOLLIN, on_timer, d, err);
    d->other_watched = r == 0;
    if (r == 0)
        r = loop_add_fd(loop, d->fd, EPOLLIN | EPOLLOUT | EPOLLET, on_peer, d, err);
    d->fd_watched = r == 0;
    if (r < 0) {
        link_free(&d->head);
        return r;
    }
    set_timer(d, LOOK_MS);
    *ret_dev = &d->head;
    return 0;
}
