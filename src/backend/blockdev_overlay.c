/* SPDX-License-Identifier: MIT */
/*
 * A disk whose writes go into an overlay, by one thread: requests run one after another, so the map needs no lock.
 */
#include <errno.h>
#include <stdlib.h>

#include "backend/blockdev_jobs.h"
#include "backend/overlay.h"
#include "base/log.h"

struct overlay_dev {
    struct blockdev head;
    struct overlay overlay;  /* the worker's while requests are under way */
    struct workers *workers; /* owned */
};

static struct overlay_dev *to_overlay(struct blockdev *dev)
{
    return (struct overlay_dev *)dev;
}

static int perform(struct overlay *o, struct blockdev_request *req)
{
    switch (req->op) {
    case BLOCKDEV_READ: return overlay_read(o, req->iov, req->nr_iov, req->offset, req->len);
    case BLOCKDEV_WRITE: return overlay_write(o, req->iov, req->nr_iov, req->offset, req->len);
    case BLOCKDEV_FLUSH: return overlay_flush(o);
    case BLOCKDEV_DISCARD: return overlay_discard(o, req->offset, req->len);
    case BLOCKDEV_ZERO: return overlay_zero(o, req->offset, req->len);
    }
    return -EINVAL;
}

static void run(void *opaque, struct work *work)
{
    struct overlay_dev *d = opaque;
    struct blockdev_request *req = blockdev_request_of(work);
    req->result = perform(&d->overlay, req);
}

static const struct workers_ops work_ops = { .run = run, .done = blockdev_end_job };

static void overlay_submit(struct blockdev *dev, struct blockdev_request *req)
{
    workers_add(to_overlay(dev)->workers, &req->work);
}

static void overlay_drain(struct blockdev *dev)
{
    workers_drain(to_overlay(dev)->workers);
}

static void overlay_free(struct blockdev *dev)
{
    struct overlay_dev *d = to_overlay(dev);
    workers_free(d->workers);
    int r = overlay_flush(&d->overlay); /* a guest that was ended, not shut down, has not flushed */
    if (r < 0)
        log_warn("overlay: what was written last is lost: error %d", -r);
    overlay_close(&d->overlay);
    free(d);
}

static const struct blockdev_ops overlay_ops = { .submit = overlay_submit, .drain = overlay_drain, .free = overlay_free };

int blockdev_overlay_new(struct loop *loop, const struct overlay_base *base, uint64_t size, int overlay_fd, bool keep,
                         struct blockdev **ret_dev, struct error *err)
{
    struct overlay_dev *d = calloc(1, sizeof(*d));
    if (!d)
        return error_set(err, -ENOMEM, "out of memory for a disk");
    d->head = (struct blockdev){ .ops = &overlay_ops, .size = size, .block_size = OVERLAY_CLUSTER };
    int r = workers_new(loop, 1, &work_ops, d, &d->head.lock, &d->workers, err);
    if (r == 0)
        r = overlay_open(&d->overlay, base, size, overlay_fd, keep, err);
    if (r < 0) {
        workers_free(d->workers);
        free(d);
        return r;
    }
    *ret_dev = &d->head;
    return 0;
}
