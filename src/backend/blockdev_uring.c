/* SPDX-License-Identifier: MIT */
/*
 * A file or block device as a disk, by io_uring, and by threads what the kernel would do by threads of its own.
 *
 * Up to DEPTH requests are with the kernel, the others wait in a list. What it can do at once (a read of what is in its page
 * cache) has ended when it was handed over, and is ended by the kick. Of later ends the ring tells by an eventfd that the loop
 * watches. For a regular file everything but reads, and reads too where the file system cannot say that it would have to wait
 * (tmpfs), blocks: our own threads do it, who are quicker to begin and to tell than the kernel's. A transfer that came back short
 * goes in again with the rest; an operation that the file does not have is done without (discard), or by writing zeroes.
 */
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "backend/blockdev.h"
#include "backend/blockdev_jobs.h"
#include "backend/hostfile.h"
#include "base/checked.h"
#include "base/loop.h"

enum { DEPTH = 128, ZEROES = 64 << 10, TURNS = 4 };

static const uint8_t zeroes[ZEROES];
static const int used_ops[] = { IORING_OP_READV, IORING_OP_WRITEV, IORING_OP_FSYNC, IORING_OP_FALLOCATE };

struct uring_dev {
    struct blockdev head;
    struct loop *loop; /* borrowed (freed after disks) */
    int fd;            /* owned */
    int event_fd;      /* owned */
    bool watched;
    struct io_uring ring; /* owned */
    bool ring_made;
    struct workers *workers;          /* owned; NULL: the ring does all */
    bool reads_block;                 /* reads are for workers, too */
    bool reaping;                     /* inside reap() */
    unsigned under_way;               /* requests with the kernel */
    struct work *waiting, **wait_end; /* requests behind them */
};

static struct uring_dev *to_uring(struct blockdev *dev)
{
    return (struct uring_dev *)dev;
}

/* Spec: io_uring_enter(2) */
static void prepare(const struct uring_dev *d, struct io_uring_sqe *sqe, struct blockdev_request *req)
{
    const int punch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, zero = FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE;
    switch (req->op) {
    case BLOCKDEV_READ: io_uring_prep_readv(sqe, d->fd, req->iov, req->nr_iov, req->offset); break;
    case BLOCKDEV_WRITE: io_uring_prep_writev(sqe, d->fd, req->iov, req->nr_iov, req->offset); break;
    case BLOCKDEV_FLUSH: io_uring_prep_fsync(sqe, d->fd, IORING_FSYNC_DATASYNC); break;
    case BLOCKDEV_DISCARD: io_uring_prep_fallocate(sqe, d->fd, punch, (off_t)req->offset, (off_t)req->len); break;
    case BLOCKDEV_ZERO:
        io_uring_prep_fallocate(sqe, d->fd, req->unmap ? punch : zero, (off_t)req->offset, (off_t)req->len);
        break;
    }
    io_uring_sqe_set_data(sqe, req);
}

/* Hands on what waits, as much as fits. */
static void feed(struct uring_dev *d)
{
    while (d->waiting && d->under_way < DEPTH) {
        struct io_uring_sqe *sqe = io_uring_get_sqe(&d->ring);
        if (!sqe)
            break; /* the kernel has not taken the last ones yet: an end brings us back */
        struct work *work = d->waiting;
        if (!(d->waiting = work->next))
            d->wait_end = &d->waiting;
        prepare(d, sqe, blockdev_request_of(work));
        d->under_way++;
    }
    int r;
    do
        r = io_uring_submit(&d->ring); /* what it does not take now (-EAGAIN, -EBUSY) it takes with the next call */
    while (r == -EINTR);
}

static void enqueue(struct uring_dev *d, struct blockdev_request *req)
{
    req->work.next = NULL;
    *d->wait_end = &req->work;
    d->wait_end = &req->work.next;
}

/* Zeroes by writing, for files that cannot do better. */
static int turn_into_write(struct blockdev_request *req)
{
    size_t nr = (size_t)((req->len + ZEROES - 1) / ZEROES);
    req->owned_iov = calloc(nr, sizeof(*req->owned_iov));
    if (!req->owned_iov)
        return -ENOMEM;
    for (size_t i = 0; i < nr; i++)
        req->owned_iov[i] = (struct iovec){ .iov_base = (void *)zeroes, .iov_len = ZEROES };
    req->owned_iov[nr - 1].iov_len = (size_t)(req->len - (nr - 1) * ZEROES);
    req->iov = req->owned_iov;
    req->nr_iov = (unsigned)nr;
    req->op = BLOCKDEV_WRITE;
    return 0;
}

/* Looks at what the kernel says of a request: true when it is over, with *result; else it is to go in again. */
static bool is_over(struct blockdev_request *req, int *result)
{
    bool transfer = req->op == BLOCKDEV_READ || req->op == BLOCKDEV_WRITE;
    if (*result == -EINTR || *result == -EAGAIN)
        return false;
    if (hostfile_unsupported(*result) && req->op == BLOCKDEV_ZERO) {
        *result = turn_into_write(req);
        return *result < 0;
    }
    if (hostfile_unsupported(*result) && req->op == BLOCKDEV_DISCARD)
        *result = 0;
    if (!transfer || *result < 0)
        return true;
    size_t n = (size_t)*result;
    if (n == 0 && req->len > 0) {
        *result = -EIO; /* the file has become shorter */
        return true;
    }
    req->offset += n;
    req->len -= n;
    hostfile_advance(&req->iov, &req->nr_iov, n);
    *result = 0;
    return req->len == 0;
}

/* Ends what the kernel has done by now. Front end's lock held. */
static void end_some(struct uring_dev *d)
{
    struct io_uring_cqe *cqe;
    while (io_uring_peek_cqe(&d->ring, &cqe) == 0) {
        struct blockdev_request *req = io_uring_cqe_get_data(cqe);
        int result = cqe->res;
        io_uring_cqe_seen(&d->ring, cqe);
        d->under_way--;
        if (!is_over(req, &result)) {
            enqueue(d, req);
            continue;
        }
        free(req->owned_iov);
        req->done(req, result);
    }
}

/* Ends what the kernel has done, also of what is handed on meanwhile, which the eventfd would not tell of. */
static void reap(struct uring_dev *d)
{
    const uint64_t one = 1;
    if (d->reaping)
        return; /* a callback handed something on: the outer one sees to it */
    d->reaping = true;
    for (int turn = 0; turn < TURNS && io_uring_cq_ready(&d->ring) > 0; turn++) {
        end_some(d);
        if (d->waiting || io_uring_sq_ready(&d->ring))
            feed(d);
    }
    d->reaping = false;
    if (io_uring_cq_ready(&d->ring) > 0 && write(d->event_fd, &one, sizeof(one)) < 0)
        return; /* the counter is full: the loop comes anyway */
}

static void on_event(void *opaque, uint32_t events)
{
    struct uring_dev *d = opaque;
    uint64_t count;
    (void)events;
    if (read(d->event_fd, &count, sizeof(count)) < 0 && errno != EAGAIN && errno != EINTR)
        return;
    if (d->head.lock)
        (void)pthread_mutex_lock(d->head.lock);
    reap(d);
    if (d->head.lock)
        (void)pthread_mutex_unlock(d->head.lock);
}

/* ---- the back end's operations ---- */

static void uring_submit(struct blockdev *dev, struct blockdev_request *req)
{
    struct uring_dev *d = to_uring(dev);
    if (d->workers && (req->op != BLOCKDEV_READ || d->reads_block))
        workers_add(d->workers, &req->work);
    else
        enqueue(d, req);
}

static void uring_kick(struct blockdev *dev)
{
    struct uring_dev *d = to_uring(dev);
    if (d->waiting)
        feed(d);
    reap(d);
}

static void uring_drain(struct blockdev *dev)
{
    struct uring_dev *d = to_uring(dev);
    do {
        feed(d);
        while (d->under_way || d->waiting) {
            (void)io_uring_submit_and_wait(&d->ring, 1); /* on a signal or a full kernel: again */
            reap(d);
        }
        if (d->workers)
            workers_drain(d->workers);
    } while (d->under_way || d->waiting);
}

static void uring_free(struct blockdev *dev)
{
    struct uring_dev *d = to_uring(dev);
    if (d->watched)
        loop_remove_fd(d->loop, d->event_fd);
    workers_free(d->workers);
    if (d->ring_made)
        io_uring_queue_exit(&d->ring);
    if (d->event_fd >= 0)
        (void)close(d->event_fd);
    if (d->fd >= 0)
        (void)close(d->fd); /* what the guest wanted on disk it has flushed */
    free(d);
}

static const struct blockdev_ops uring_ops = {
    .submit = uring_submit, .kick = uring_kick, .drain = uring_drain, .free = uring_free
};

static bool knows_all(struct io_uring *ring)
{
    struct io_uring_probe *probe = io_uring_get_probe_ring(ring);
    bool good = probe != NULL;
    for (unsigned i = 0; good && i < ARRAY_SIZE(used_ops); i++)
        good = io_uring_opcode_supported(probe, used_ops[i]);
    io_uring_free_probe(probe);
    return good;
}

/* From now on the ring does only this: it could open files and sockets, past any seccomp filter.
 * Spec: io_uring_register(2), IORING_REGISTER_RESTRICTIONS */
static int restrict_ring(struct io_uring *ring)
{
    struct io_uring_restriction only[ARRAY_SIZE(used_ops)] = { 0 };
    for (unsigned i = 0; i < ARRAY_SIZE(used_ops); i++) {
        only[i].opcode = IORING_RESTRICTION_SQE_OP;
        only[i].sqe_op = (uint8_t)used_ops[i];
    }
    /* by system call: Debian 12's liburing declares the functions, and lacks them */
    if (syscall(SYS_io_uring_register, ring->ring_fd, IORING_REGISTER_RESTRICTIONS, only, ARRAY_SIZE(only)) < 0
        || syscall(SYS_io_uring_register, ring->ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0) < 0)
        return -errno;
    return 0;
}

/* Whatever goes wrong with the ring: there is another way. */
static int make_ring(struct uring_dev *d)
{
    if (io_uring_queue_init(DEPTH, &d->ring, IORING_SETUP_R_DISABLED) < 0)
        return -ENOTSUP;
    d->ring_made = true;
    if (!knows_all(&d->ring))
        return -ENOTSUP;
    d->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    bool good = d->event_fd >= 0 && io_uring_register_eventfd_async(&d->ring, d->event_fd) == 0 && restrict_ring(&d->ring) == 0;
    return good ? 0 : -ENOTSUP;
}

/* Finds out what of this file would block. */
static int make_workers(struct uring_dev *d, int fd, struct error *err)
{
    uint8_t byte;
    const struct iovec iov = { .iov_base = &byte, .iov_len = sizeof(byte) };
    struct stat st;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return 0;
    d->reads_block = preadv2(fd, &iov, 1, 0, RWF_NOWAIT) < 0 && errno == EOPNOTSUPP;
    return blockdev_jobs_new(d->loop, &d->fd, &d->head.lock, &d->workers, err);
}

int blockdev_uring_new(struct loop *loop, int fd, struct blockdev **ret_dev, struct error *err)
{
    struct uring_dev *d = calloc(1, sizeof(*d));
    if (!d)
        return error_set(err, -ENOMEM, "out of memory for a disk");
    *d = (struct uring_dev){ .head.ops = &uring_ops, .loop = loop, .fd = -1, .event_fd = -1 };
    d->wait_end = &d->waiting;
    int r = make_ring(d);
    if (r < 0)
        error_set(err, r, "io_uring does not work here");
    if (r == 0)
        r = loop_add_fd(loop, d->event_fd, EPOLLIN, on_event, d, err);
    d->watched = r == 0;
    if (r == 0)
        r = make_workers(d, fd, err);
    if (r < 0) {
        uring_free(&d->head);
        return r;
    }
    d->fd = fd;
    *ret_dev = &d->head;
    return 0;
}
