/* SPDX-License-Identifier: MIT */
/*
 * Requests of disks as work for threads, for back ends: what blocks is theirs.
 */
#ifndef DOPPEL_BACKEND_BLOCKDEV_JOBS_H
#define DOPPEL_BACKEND_BLOCKDEV_JOBS_H

#include "backend/blockdev.h"

/* Workers that carry out requests (their `work` is added) on the file whose descriptor is found at `fd`, which stays until the
 * workers' end. lock: where the front end's lock will be found. -ENOMEM, what the host says. */
MUST_CHECK int blockdev_jobs_new(struct loop *loop, int *fd, pthread_mutex_t *const *lock, struct workers **ret_workers,
                                 struct error *err);
/* For workers_ops.done: ends a request with its `result`. */
void blockdev_end_job(void *opaque, struct work *work);

#endif
