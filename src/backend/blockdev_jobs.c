/* SPDX-License-Identifier: MIT */
/*
 * Requests of a file by threads.
 *
 * A large read is not done in parts by several of them: on two CPUs that made it slower (docs/disks.md).
 */
#include "backend/blockdev_jobs.h"

#include <errno.h>

#include "backend/hostfile.h"

enum { THREADS = 4 };

static int perform(int fd, struct blockdev_request *req)
{
    switch (req->op) {
    case BLOCKDEV_READ: return hostfile_read(fd, req->iov, req->nr_iov, req->offset);
    case BLOCKDEV_WRITE: return hostfile_write(fd, req->iov, req->nr_iov, req->offset);
    case BLOCKDEV_FLUSH: return hostfile_flush(fd);
    case BLOCKDEV_DISCARD: return hostfile_discard(fd, req->offset, req->len);
    case BLOCKDEV_ZERO: return hostfile_zero(fd, req->offset, req->len, req->unmap);
    }
    return -EINVAL;
}

static void run(void *opaque, struct work *work)
{
    const int *fd = opaque;
    struct blockdev_request *req = blockdev_request_of(work);
    req->result = perform(*fd, req);
}

void blockdev_end_job(void *opaque, struct work *work)
{
    struct blockdev_request *req = blockdev_request_of(work);
    (void)opaque;
    req->done(req, req->result);
}

int blockdev_jobs_new(struct loop *loop, int *fd, pthread_mutex_t *const *lock, struct workers **ret_workers, struct error *err)
{
    static const struct workers_ops ops = { .run = run, .done = blockdev_end_job };
    return workers_new(loop, THREADS, &ops, fd, lock, ret_workers, err);
}
