/* SPDX-License-Identifier: MIT */
/*
 * A disk that an NBD server has, by libnbd's asynchronous calls.
 *
 * Requests go to the server in parts of at most transfer_max bytes, SLOTS of them at a time, from whatever thread kicks; the loop
 * hears of answers. All of it happens with the front end's lock held, so the connection needs none of its own. libnbd takes
 * contiguous memory only: a part that lies in several pieces of the guest's memory goes through a buffer of its slot.
 *
 * Which events the connection waits for changes with each part, and the loop's descriptors are its own thread's to change: so the
 * loop watches an epoll of ours, which any thread may change, and in which the connection is.
 *
 * When the server is gone, what was under way ends with -EIO, and so does everything later. What the server cannot do is done
 * without (discard), or by writing zeroes.
 * Spec: NBD protocol, "Transmission phase"; libnbd(3), "Asynchronous API"
 */
#include <errno.h>
#include <libnbd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "backend/blockdev.h"
#include "backend/nbd_link.h"
#include "base/checked.h"
#include "base/iovec.h"
#include "base/loop.h"

enum { SLOTS = 32, RANGE_MAX = 32 << 20, ZEROES = 64 << 10 };

static const uint8_t zeroes[ZEROES];

/* A part of a request that is with the server. */
struct slot {
    struct blockdev_request *req; /* borrowed (the front end's until it ends); NULL: the slot is free */
    uint64_t at;                  /* offset in the request */
    size_t len;                   /* bytes of a read or write */
    bool bounced;                 /* through `buffer` */
    bool over;                    /* with `result` */
    int result;
    uint8_t *buffer; /* owned: transfer_max bytes, made when needed */
};

struct nbd_dev {
    struct blockdev head;
    struct loop *loop;     /* borrowed (freed after disks) */
    struct nbd_link *link; /* owned */
    int epoll_fd;          /* owned: watches the connection, with `events` */
    uint32_t events;
    bool watched;                     /* epoll_fd, by the loop */
    bool pumping;                     /* inside pump() */
    unsigned under_way;               /* slots that are not free */
    struct work *waiting, **wait_end; /* requests of which a part has yet to go out */
    struct slot slot[SLOTS];
};

static struct nbd_dev *to_nbd(struct blockdev *dev)
{
    return (struct nbd_dev *)dev;
}

/* ---- parts go out ---- */

/* libnbd's callback, inside its functions: nothing of it may be called. */
static int on_over(void *opaque, int *error)
{
    struct slot *s = opaque;
    s->over = true;
    s->result = -*error;
    return 1; /* it need not remember */
}

/* Memory for a read or write: the guest's, or the slot's. */
static void *memory_of(struct nbd_dev *d, struct slot *s)
{
    struct blockdev_request *req = s->req;
    void *flat = iovec_flat(req->iov, req->nr_iov, s->at, s->len);
    s->bounced = !flat;
    if (flat)
        return flat;
    if (!s->buffer)
        s->buffer = malloc(d->link->transfer_max);
    if (s->buffer && req->op == BLOCKDEV_WRITE)
        iovec_gather(req->iov, req->nr_iov, s->at, s->buffer, s->len);
    return s->buffer;
}

static int64_t command(struct nbd_dev *d, struct slot *s, uint64_t len)
{
    const struct nbd_link *link = d->link;
    const struct blockdev_request *req = s->req;
    const uint64_t offset = req->offset + s->at;
    const uint32_t flags = link->force ? LIBNBD_CMD_FLAG_FUA : 0;
    const nbd_completion_callback over = { .callback = on_over, .user_data = s };
    void *memory = s->len && req->op != BLOCKDEV_ZERO ? memory_of(d, s) : (void *)zeroes;
    if (!memory) {
        s->result = -ENOMEM;
        return -1;
    }
    switch (req->op) {
    case BLOCKDEV_READ: return nbd_aio_pread(link->h, memory, s->len, offset, over, 0);
    case BLOCKDEV_WRITE: return nbd_aio_pwrite(link->h, memory, s->len, offset, over, flags);
    case BLOCKDEV_FLUSH: return nbd_aio_flush(link->h, over, 0);
    case BLOCKDEV_DISCARD: return nbd_aio_trim(link->h, len, offset, over, flags);
    case BLOCKDEV_ZERO:
        if (!link->zero)
            return nbd_aio_pwrite(link->h, memory, s->len, offset, over, flags);
        return nbd_aio_zero(link->h, len, offset, over, flags | (req->unmap ? 0 : LIBNBD_CMD_FLAG_NO_HOLE));
    }
    return -1;
}

/* There is nothing for the server to do. */
static bool is_idle(const struct nbd_link *link, enum blockdev_op op)
{
    return (op == BLOCKDEV_FLUSH && !link->flush) || (op == BLOCKDEV_DISCARD && !link->trim);
}

static uint64_t part_max(const struct nbd_link *link, enum blockdev_op op)
{
    switch (op) {
    case BLOCKDEV_READ:
    case BLOCKDEV_WRITE: return link->transfer_max;
    case BLOCKDEV_ZERO: return link->zero ? RANGE_MAX : MIN(link->transfer_max, (unsigned)ZEROES);
    case BLOCKDEV_FLUSH:
    case BLOCKDEV_DISCARD: break;
    }
    return RANGE_MAX;
}

/* The next part of a request goes out, in a free slot; what is wrong with that it hears as the part's result. */
static void send_part(struct nbd_dev *d, struct slot *s, struct blockdev_request *req)
{
    const uint64_t len = MIN(req->len - req->sent, part_max(d->link, req->op));
    const bool data = req->op == BLOCKDEV_READ || req->op == BLOCKDEV_WRITE || (req->op == BLOCKDEV_ZERO && !d->link->zero);
    s->req = req;
    s->at = req->sent;
    s->len = data ? (size_t)len : 0;
    s->over = s->bounced = false;
    s->result = -EIO;
    req->sent += len;
    d->under_way++;
    if (d->link->h && !is_idle(d->link, req->op)) {
        if (command(d, s, len) < 0)
            s->over = true;
    } else {
        s->over = true;
        s->result = d->link->h ? 0 : -EIO;
    }
}

static void unqueue_first(struct nbd_dev *d)
{
    if (!(d->waiting = d->waiting->next))
        d->wait_end = &d->waiting;
}

static void feed(struct nbd_dev *d)
{
    for (unsigned i = 0; i < SLOTS && d->waiting; i++) {
        if (d->slot[i].req)
            continue;
        struct blockdev_request *req = blockdev_request_of(d->waiting);
        send_part(d, &d->slot[i], req);
        if (req->sent >= req->len)
            unqueue_first(d);
    }
}

/* ---- and come back ---- */

static bool has_parts(const struct nbd_dev *d, const struct blockdev_request *req)
{
    for (unsigned i = 0; i < SLOTS; i++)
        if (d->slot[i].req == req)
            return true;
    return false;
}

static void end_part(struct nbd_dev *d, struct slot *s)
{
    struct blockdev_request *req = s->req;
    if (s->result == 0 && s->bounced && req->op == BLOCKDEV_READ)
        iovec_scatter(req->iov, req->nr_iov, s->at, s->buffer, s->len);
    if (s->result < 0 && req->result == 0)
        req->result = s->result;
    s->req = NULL;
    d->under_way--;
    if (req->result < 0 && d->waiting == &req->work)
        unqueue_first(d); /* the rest of it does not matter any more */
    if (d->waiting != &req->work && !has_parts(d, req))
        req->done(req, req->result);
}

/* True when there were some. */
static bool end_parts(struct nbd_dev *d)
{
    bool any = false;
    for (unsigned i = 0; i < SLOTS; i++) {
        if (!d->slot[i].req || !d->slot[i].over)
            continue;
        any = true;
        end_part(d, &d->slot[i]);
    }
    return any;
}

/* Once the server is gone, its parts will not come back. */
static void lose_parts(struct nbd_dev *d)
{
    for (unsigned i = 0; i < SLOTS; i++) {
        if (!d->slot[i].req || d->slot[i].over)
            continue;
        d->slot[i].over = true;
        d->slot[i].result = -EIO;
    }
}

static void give_up(struct nbd_dev *d, const char *why)
{
    nbd_link_give_up(d->link, why); /* its descriptor leaves our epoll by being closed */
    lose_parts(d);
}

/* Has the loop told of what the connection waits for. */
static void watch(struct nbd_dev *d)
{
    if (!d->link->h)
        return;
    unsigned direction = nbd_aio_get_direction(d->link->h);
    struct epoll_event ev = { .events = (direction & LIBNBD_AIO_DIRECTION_READ ? EPOLLIN : 0U)
                                        | (direction & LIBNBD_AIO_DIRECTION_WRITE ? EPOLLOUT : 0U) };
    int fd = nbd_aio_get_fd(d->link->h);
    if (nbd_aio_is_dead(d->link->h) == 1 || nbd_aio_is_closed(d->link->h) == 1)
        give_up(d, NULL);
    else if (ev.events != d->events && epoll_ctl(d->epoll_fd, EPOLL_CTL_MOD, fd, &ev) < 0)
        give_up(d, strerror(errno));
    d->events = ev.events;
}

/* Sends what there is room for and ends what is over, until neither leads to more. Front end's lock held. */
static void pump(struct nbd_dev *d)
{
    if (d->pumping)
        return; /* a callback submitted something: the outer one sees to it */
    d->pumping = true;
    do {
        feed(d);
        watch(d);
    } while (end_parts(d));
    d->pumping = false;
}

/* Takes what the server has sent; waits for that up to `ms`. False: nothing came, or nothing can. */
static bool take_in(struct nbd_dev *d, int ms)
{
    int r = d->link->h ? nbd_poll(d->link->h, ms) : 0;
    if (r < 0)
        give_up(d, NULL);
    return r > 0;
}

static void on_ready(void *opaque, uint32_t events)
{
    struct nbd_dev *d = opaque;
    (void)events;
    if (d->head.lock)
        (void)pthread_mutex_lock(d->head.lock);
    for (unsigned i = 0; i < SLOTS && take_in(d, 0); i++) {
    }
    pump(d);
    if (d->head.lock)
        (void)pthread_mutex_unlock(d->head.lock);
}

/* ---- the back end's operations ---- */

static void nbd_submit(struct blockdev *dev, struct blockdev_request *req)
{
    struct nbd_dev *d = to_nbd(dev);
    req->sent = 0;
    req->work.next = NULL;
    *d->wait_end = &req->work;
    d->wait_end = &req->work.next;
}

static void nbd_kick(struct blockdev *dev)
{
    pump(to_nbd(dev));
}

static void nbd_drain(struct blockdev *dev)
{
    struct nbd_dev *d = to_nbd(dev);
    pump(d);
    while (d->under_way || d->waiting) {
        if (!take_in(d, (int)d->link->silence_ms) && d->link->h)
            give_up(d, "it does not answer");
        pump(d);
    }
}

static void nbd_free(struct blockdev *dev)
{
    struct nbd_dev *d = to_nbd(dev);
    if (d->watched)
        loop_remove_fd(d->loop, d->epoll_fd);
    if (d->epoll_fd >= 0)
        (void)close(d->epoll_fd);
    nbd_link_close(d->link);
    for (unsigned i = 0; i < SLOTS; i++)
        free(d->slot[i].buffer);
    free(d);
}

static const struct blockdev_ops nbd_ops = { .submit = nbd_submit, .kick = nbd_kick, .drain = nbd_drain, .free = nbd_free };

int blockdev_nbd_new(struct loop *loop, struct nbd_link *link, struct blockdev **ret_dev, struct error *err)
{
    struct nbd_dev *d = calloc(1, sizeof(*d));
    if (!d)
        return error_set(err, -ENOMEM, "out of memory for a disk");
    d->head = (struct blockdev){ .ops = &nbd_ops, .size = link->size, .block_size = link->block_size };
    d->loop = loop;
    d->wait_end = &d->waiting;
    d->events = EPOLLIN;
    d->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event ev = { .events = d->events };
    int r = 0;
    if (d->epoll_fd < 0 || epoll_ctl(d->epoll_fd, EPOLL_CTL_ADD, nbd_aio_get_fd(link->h), &ev) < 0)
        r = error_set(err, -errno, "epoll: %s", strerror(errno));
    if (r == 0)
        r = loop_add_fd(loop, d->epoll_fd, EPOLLIN, on_ready, d, err);
    d->watched = r == 0;
    if (r < 0) {
        nbd_free(&d->head);
        return r;
    }
    d->link = link;
    *ret_dev = &d->head;
    return 0;
}
