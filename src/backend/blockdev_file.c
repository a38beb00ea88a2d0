/* SPDX-License-Identifier: MIT */
/*
 * A file or block device as a disk, by threads that do blocking I/O: for hosts without io_uring, and for what it would
 * give to threads of the kernel anyway.
 */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#include "backend/blockdev.h"
#include "backend/blockdev_jobs.h"

struct file_dev {
    struct blockdev head;
    int fd;                  /* owned */
    struct workers *workers; /* owned */
};

static struct file_dev *to_file(struct blockdev *dev)
{
    return (struct file_dev *)dev;
}

static void file_submit(struct blockdev *dev, struct blockdev_request *req)
{
    workers_add(to_file(dev)->workers, &req->work);
}

static void file_drain(struct blockdev *dev)
{
    workers_drain(to_file(dev)->workers);
}

static void file_free(struct blockdev *dev)
{
    workers_free(to_file(dev)->workers);
    (void)close(to_file(dev)->fd); /* what the guest wanted on disk it has flushed */
    free(dev);
}

static const struct blockdev_ops file_ops = { .submit = file_submit, .drain = file_drain, .free = file_free };

int blockdev_file_new(struct loop *loop, int fd, struct blockdev **ret_dev, struct error *err)
{
    struct file_dev *d = calloc(1, sizeof(*d));
    if (!d)
        return error_set(err, -ENOMEM, "out of memory for a disk");
    d->head.ops = &file_ops;
    d->fd = fd;
    int r = blockdev_jobs_new(loop, &d->fd, &d->head.lock, &d->workers, err);
    if (r < 0) {
        free(d);
        return r;
    }
    *ret_dev = &d->head;
    return 0;
}
