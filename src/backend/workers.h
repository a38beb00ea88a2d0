/* SPDX-License-Identifier: MIT */
/*
 * A few threads that do blocking work for the loop: jobs go in, run on a thread, and end there.
 *
 * Without a front end's lock they end on the loop's thread. With one thread, jobs run one after another in the order in which
 * they came. workers_add() and workers_drain() are called with the front end's lock held, which is also taken around ends.
 */
#ifndef DOPPEL_BACKEND_WORKERS_H
#define DOPPEL_BACKEND_WORKERS_H

#include <pthread.h>

#include "base/error.h"

struct loop;
struct workers;

/* One piece of work, embedded in what it is about. */
struct work {
    struct work *next;
};

struct workers_ops {
    void (*run)(void *opaque, struct work *work);  /* on a worker's thread, no lock held; may block */
    void (*done)(void *opaque, struct work *work); /* any thread, front end's lock held */
};

/* The threads start with the first work; where none can start, work is done in workers_add(). lock: where the front end's lock
 * will be found (NULL in it: none). opaque: for the operations. -ENOMEM, what the host says. */
MUST_CHECK int workers_new(struct loop *loop, unsigned threads, const struct workers_ops *ops, void *opaque,
                           pthread_mutex_t *const *lock, struct workers **ret_workers, struct error *err);
/* Front end's lock held. */
void workers_add(struct workers *workers, struct work *work);
/* Waits until all work has run, and ends it. */
void workers_drain(struct workers *workers);
/* Ends the threads. Nothing is under way, no loop runs. NULL is fine. */
void workers_free(struct workers *workers);

#endif
