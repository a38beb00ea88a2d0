/* SPDX-License-Identifier: MIT */
/*
 * A stream of bytes between a serial chip (front end) and the host (back end).
 *
 * The front end calls write and read with its lock (the machine's) held; neither ever blocks. Each back end holds a
 * bounded amount in either direction. Nothing is dropped here while the back end is alive: write takes what fits and
 * says how much, so the front end can show its guest a transmitter that is still busy; what a guest writes regardless
 * is the chip's to drop. A back end that has died (EPIPE, EIO) takes and forgets everything, so a guest never hangs on
 * it. The front end is notified when input arrives and when room comes back.
 */
#ifndef DOPPEL_BACKEND_CHARDEV_H
#define DOPPEL_BACKEND_CHARDEV_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct chardev;
struct loop;

/* Input arrived, ended, or room for output came back. Front end's lock held; on the loop's thread (or in a test's own
 * call). Must not block. */
typedef void (*chardev_fn)(void *opaque);
/* Looks at input before the front end sees it and edits it in place; returns the bytes left of it, at most len. On the
 * thread that reads, front end's lock held. Must not block. */
typedef size_t (*chardev_filter_fn)(void *opaque, uint8_t *data, size_t len);

/* A back end. All called with the front end's lock held; must not block and cannot fail. */
struct chardev_ops {
    size_t (*write)(struct chardev *dev, const uint8_t *data, size_t len); /* mandatory; returns bytes taken */
    size_t (*readable)(struct chardev *dev);                               /* mandatory; bytes a read gives now */
    size_t (*read)(struct chardev *dev, uint8_t *data, size_t cap);        /* mandatory; returns bytes given */
    bool (*ended)(struct chardev *dev);                                    /* mandatory; no input will ever come again */
    void (*attached)(struct chardev *dev);                                 /* optional; a front end is there: input may start */
    bool (*size)(struct chardev *dev, uint16_t *ret_cols, uint16_t *ret_rows); /* optional; see chardev_size() */
    void (*free)(struct chardev *dev);                                         /* mandatory */
};

/* Head of every back end's struct. */
struct chardev {
    const struct chardev_ops *ops; /* borrowed (static tables) */
    chardev_fn notify;             /* NULL: nobody attached */
    void *opaque;                  /* borrowed (the front end detaches or outlives the loop) */
    pthread_mutex_t *lock;         /* borrowed: the front end's; NULL in tests without threads */
};

/* For back ends: the front end's lock, around what they do on the loop's thread. */
static inline void chardev_lock(struct chardev *dev)
{
    if (dev->lock)
        (void)pthread_mutex_lock(dev->lock); /* a plain mutex never fails */
}

static inline void chardev_unlock(struct chardev *dev)
{
    if (dev->lock)
        (void)pthread_mutex_unlock(dev->lock);
}

/* Connects the front end; `lock` is taken around back-end events and guards the chardev from now on. fn NULL detaches.
 * Set-up only, before the loop runs. */
void chardev_attach(struct chardev *dev, pthread_mutex_t *lock, chardev_fn fn, void *opaque);

/* The operations; dev NULL behaves as the null back end. */
size_t chardev_write(struct chardev *dev, const uint8_t *data, size_t len);
size_t chardev_readable(struct chardev *dev);
size_t chardev_read(struct chardev *dev, uint8_t *data, size_t cap);
bool chardev_ended(struct chardev *dev);
/* The size of the terminal at the other side, columns and rows; false: none is known. Worth a question with each notification. */
bool chardev_size(struct chardev *dev, uint16_t *ret_cols, uint16_t *ret_rows);
/* Takes NULL. The fd back end writes out what it holds first, for at most one second. No loop may run. */
void chardev_free(struct chardev *dev);

/* Takes all output, has no input, ended from the start. -ENOMEM. */
MUST_CHECK int chardev_null_new(struct chardev **ret_dev, struct error *err);

/* For tests: output is kept up to `cap` bytes, input is what the test feeds (up to `cap` waiting). -ENOMEM, -EINVAL. */
MUST_CHECK int chardev_buffer_new(size_t cap, struct chardev **ret_dev, struct error *err);
/* Queues input and notifies; returns bytes taken. */
size_t chardev_buffer_feed(struct chardev *dev, const void *data, size_t len);
/* Moves out up to cap bytes of what the front end wrote and notifies; returns how many. */
size_t chardev_buffer_take(struct chardev *dev, void *data, size_t cap);

/*
 * Host descriptors, served by the loop; either may be -1, both stay the caller's and must outlive the chardev. Terminals
 * and pipes are opened a second time where possible, so that the caller's (and the shell's) stay blocking; else they are
 * made non-blocking until chardev_free(). Terminal mode is not touched. -ENOMEM, or what the loop says.
 */
MUST_CHECK int chardev_fd_new(struct loop *loop, int fd_in, int fd_out, struct chardev **ret_dev, struct error *err);
/* A Unix socket at path that takes one client after the other. What unixsock_listen() says. */
MUST_CHECK int chardev_unix_new(struct loop *loop, const char *path, struct chardev **ret_dev, struct error *err);
/* A new pseudo-terminal; ret_name gets the path to open, NUL-terminated. -ENOMEM, what the host says. Output of both is thrown
 * away while nobody is at the other side. */
MUST_CHECK int chardev_pty_new(struct loop *loop, char *ret_name, size_t cap, struct chardev **ret_dev, struct error *err);
/* Bytes the host has not taken yet. Front end's lock held, or no loop running. */
size_t chardev_fd_unsent(const struct chardev *dev);
/* The host takes no more output (closed pipe, error); what is written is forgotten. Locking as above. */
bool chardev_fd_closed(const struct chardev *dev);
/* Puts fn in front of all input (escape keys). Before chardev_attach(). */
void chardev_fd_set_filter(struct chardev *dev, chardev_filter_fn fn, void *opaque);

#endif
