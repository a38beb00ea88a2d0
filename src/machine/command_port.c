/* SPDX-License-Identifier: MIT */
/*
 * The guest command's channel on host descriptors.
 *
 * Output frames are taken apart into one ring a stream, which is passed on at the end of a frame or when it is half full,
 * so that the UART's 16-byte pieces do not become as many writes; a full ring makes the UART wait. Input becomes frames
 * one at a time, as far as the guest has given credit. Credit arrives in the middle of the front end's own write, where
 * it must not be called back: an eventfd carries that to the loop.
 */
#include "machine/command_port.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "backend/byte_ring.h"
#include "base/checked.h"
#include "base/loop.h"
#include "machine/stdio_channel.h"

enum { RING_BYTES = 16 << 10 };

struct stream {
    struct chardev *to; /* owned */
    struct byte_ring ring;
};

struct port {
    struct chardev head;
    struct loop *loop; /* borrowed (the caller's, outlives us) */
    int kick_fd;       /* owned eventfd */
    bool kick_watched;
    struct stdio_channel channel;
    struct stream out, err; /* out.to also gives stdin */
    uint8_t frame[STDIO_FRAME_MAX];
    size_t frame_len, frame_at;
    command_event_fn fn;
    void *opaque; /* borrowed (the caller's) */
    bool broken;
    bool closed; /* COMMAND_CLOSED was reported */
    bool quit_when_sent;
};

static struct port *to_port(struct chardev *dev)
{
    return (struct port *)dev;
}

static void pass_on(struct stream *s)
{
    while (s->ring.len > 0) {
        const uint8_t *data;
        size_t len = byte_ring_front(&s->ring, &data);
        size_t n = chardev_write(s->to, data, len);
        byte_ring_drop(&s->ring, n);
        if (n < len)
            return; /* the rest goes when on_host() hears of room */
    }
}

static void pass_on_all(struct port *p)
{
    pass_on(&p->out);
    pass_on(&p->err);
    if (!p->closed && chardev_fd_closed(p->out.to)) {
        p->closed = true;
        p->fn(p->opaque, COMMAND_CLOSED, 0);
    }
}

static size_t unsent(const struct port *p)
{
    return p->out.ring.len + chardev_fd_unsent(p->out.to) + p->err.ring.len + chardev_fd_unsent(p->err.to);
}

/* Lets the loop call the front end soon. */
static void kick(struct port *p)
{
    uint64_t one = 1;
    if (write(p->kick_fd, &one, sizeof(one)) < 0)
        assert(errno == EAGAIN); /* kicked 2^64 times without a turn of the loop */
}

static void on_frame(void *opaque, const struct stdio_event *e)
{
    struct port *p = opaque;
    switch (e->type) {
    case STDIO_EVENT_READY:
        p->fn(p->opaque, COMMAND_READY, 0);
        kick(p);
        break;
    case STDIO_EVENT_STDOUT:
        (void)byte_ring_put(&p->out.ring, e->data, e->len); /* fits: see port_write */
        break;
    case STDIO_EVENT_STDERR: (void)byte_ring_put(&p->err.ring, e->data, e->len); break;
    case STDIO_EVENT_CREDIT: kick(p); break;
    case STDIO_EVENT_EXIT: p->fn(p->opaque, COMMAND_EXITED, e->status); break;
    }
}

static size_t port_write(struct chardev *dev, const uint8_t *data, size_t len)
{
    struct port *p = to_port(dev);
    if (p->broken)
        return len;
    size_t n = MIN(len, MIN(byte_ring_room(&p->out.ring), byte_ring_room(&p->err.ring)));
    int r = stdio_channel_receive(&p->channel, data, n, on_frame, p, NULL);
    if (r < 0) {
        p->broken = true;
        p->fn(p->opaque, COMMAND_BROKEN, r);
    }
    bool between_frames = p->channel.left == 0 && p->channel.header_len == 0;
    if (between_frames || p->out.ring.len > RING_BYTES / 2 || p->err.ring.len > RING_BYTES / 2)
        pass_on_all(p);
    return n;
}

/* Makes the next frame to the guest when there is something to say and it may be said. */
static void next_frame(struct port *p)
{
    uint8_t data[STDIO_DATA_MAX];
    p->frame_at = p->frame_len = 0;
    size_t room = MIN(stdio_channel_room(&p->channel), sizeof(data));
    size_t n = room && chardev_readable(p->out.to) ? chardev_read(p->out.to, data, room) : 0;
    if (n > 0) {
        size_t taken = stdio_channel_encode_stdin(&p->channel, data, n, p->frame);
        assert(taken == n); /* within room and STDIO_DATA_MAX */
        p->frame_len = STDIO_HEADER_LEN + taken;
    } else if (chardev_ended(p->out.to)) {
        p->frame_len = stdio_channel_encode_eof(&p->channel, p->frame);
    }
}

static size_t port_readable(struct chardev *dev)
{
    struct port *p = to_port(dev);
    if (p->frame_at == p->frame_len)
        next_frame(p);
    return p->frame_len - p->frame_at;
}

static size_t port_read(struct chardev *dev, uint8_t *data, size_t cap)
{
    struct port *p = to_port(dev);
    size_t n = MIN(port_readable(dev), cap);
    memcpy(data, p->frame + p->frame_at, n);
    p->frame_at += n;
    return n;
}

static bool port_ended(struct chardev *dev)
{
    (void)dev;
    return false; /* the end of stdin is a frame */
}

/* A host descriptor has input or room again; the front end's lock is held. */
static void on_host(void *opaque)
{
    struct port *p = opaque;
    pass_on_all(p);
    if (p->quit_when_sent && unsent(p) == 0)
        loop_quit(p->loop);
    if (p->head.notify)
        p->head.notify(p->head.opaque);
}

static void on_kick(void *opaque, uint32_t events)
{
    struct port *p = opaque;
    uint64_t count;
    (void)events;
    if (read(p->kick_fd, &count, sizeof(count)) < 0)
        return; /* somebody else's turn took it */
    if (p->head.lock)
        (void)pthread_mutex_lock(p->head.lock); /* a plain mutex never fails */
    if (p->head.notify)
        p->head.notify(p->head.opaque);
    if (p->head.lock)
        (void)pthread_mutex_unlock(p->head.lock);
}

static void port_attached(struct chardev *dev)
{
    struct port *p = to_port(dev);
    chardev_attach(p->out.to, dev->lock, on_host, p);
    chardev_attach(p->err.to, dev->lock, on_host, p);
}

static void port_free(struct chardev *dev)
{
    struct port *p = to_port(dev);
    if (p->kick_watched)
        loop_remove_fd(p->loop, p->kick_fd);
    if (p->kick_fd >= 0)
        (void)close(p->kick_fd); /* holds no data */
    chardev_free(p->out.to);
    chardev_free(p->err.to);
    byte_ring_done(&p->out.ring);
    byte_ring_done(&p->err.ring);
    free(p);
}

static const struct chardev_ops port_ops = {
    .write = port_write,
    .readable = port_readable,
    .read = port_read,
    .ended = port_ended,
    .attached = port_attached,
    .free = port_free,
};

int command_port_new(struct loop *loop, int fd_in, int fd_out, int fd_err, command_event_fn fn, void *opaque,
                     struct chardev **ret_dev, struct error *err)
{
    struct port *p = calloc(1, sizeof(*p));
    if (!p)
        return error_set(err, -ENOMEM, "out of memory for the command's channel");
    p->head.ops = &port_ops;
    p->loop = loop;
    p->fn = fn;
    p->opaque = opaque;
    stdio_channel_init(&p->channel);
    p->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int r = p->kick_fd < 0 ? error_set(err, -errno, "command's channel: eventfd: %s", strerror(errno)) : 0;
    if (r == 0 && (byte_ring_init(&p->out.ring, RING_BYTES) < 0 || byte_ring_init(&p->err.ring, RING_BYTES) < 0))
        r = error_set(err, -ENOMEM, "out of memory for the command's channel");
    if (r == 0)
        r = chardev_fd_new(loop, fd_in, fd_out, &p->out.to, err);
    if (r == 0)
        r = chardev_fd_new(loop, -1, fd_err, &p->err.to, err);
    if (r == 0)
        r = loop_add_fd(loop, p->kick_fd, EPOLLIN, on_kick, p, err);
    p->kick_watched = r == 0;
    if (r < 0) {
        port_free(&p->head);
        return r;
    }
    *ret_dev = &p->head;
    return 0;
}

size_t command_port_unsent(struct chardev *dev, bool quit_when_sent)
{
    struct port *p = to_port(dev);
    p->quit_when_sent = quit_when_sent;
    pass_on_all(p);
    return unsent(p);
}
