/* SPDX-License-Identifier: MIT */
/*
 * A disk of the host, as a disk controller (front end) uses it: requests that end later, by a callback.
 *
 * The front end calls with its lock (the machine's) held. Nothing ends inside blockdev_submit(); requests end inside
 * blockdev_kick() (what the host has in memory), or on the loop's or another thread of ours with the lock taken, or inside
 * blockdev_drain(). They may end in any order. A flush covers the writes that had ended
 * when it was submitted. Back ends: a file or block device (blockdev_file.c by threads, blockdev_uring.c by io_uring), an NBD
 * server's disk (blockdev_nbd.c), among them images that a qemu-nbd of ours reads (imageformat.h says which), and writes kept
 * apart from a base that is only read (blockdev_overlay.c).
 */
#ifndef DOPPEL_BACKEND_BLOCKDEV_H
#define DOPPEL_BACKEND_BLOCKDEV_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "backend/workers.h"
#include "base/error.h"

struct blockdev;
struct blockdev_request;
struct loop;
struct nbd_link;
struct overlay_base;

enum { BLOCKDEV_SECTOR = 512 };

enum blockdev_op {
    BLOCKDEV_READ,
    BLOCKDEV_WRITE,
    BLOCKDEV_FLUSH,   /* everything written is on stable storage; no range */
    BLOCKDEV_DISCARD, /* the range's contents do not matter any more */
    BLOCKDEV_ZERO,    /* the range reads as zeroes; with `unmap` it may lose its place on the disk */
};

/* result: 0, or a negative errno. Front end's lock held; the request is the front end's again. Must not block. */
typedef void (*blockdev_fn)(struct blockdev_request *req, int result);

struct blockdev_request {
    /* the front end's */
    enum blockdev_op op;
    bool unmap;
    uint64_t offset, len; /* bytes, multiples of BLOCKDEV_SECTOR, inside the disk */
    struct iovec
        *iov; /* READ, WRITE: memory of `len` bytes; array and memory stay until the end, the back end may change the array */
    unsigned nr_iov;
    blockdev_fn done;
    /* the back end's */
    struct blockdev *dev;
    struct work work;        /* its place in a queue */
    struct iovec *owned_iov; /* owned, NULL: none */
    uint64_t sent;           /* bytes of `len` that are under way, or over */
    int result;
};

/* The request that `work` is part of. */
static inline struct blockdev_request *blockdev_request_of(struct work *work)
{
    return (struct blockdev_request *)((char *)work - offsetof(struct blockdev_request, work));
}

/* A back end. All called with the front end's lock held; free: no loop may run. */
struct blockdev_ops {
    void (*submit)(struct blockdev *dev, struct blockdev_request *req); /* mandatory; must not block, cannot fail */
    void (*kick)(struct blockdev *dev);                                 /* optional; after some submits */
    void (*drain)(struct blockdev *dev);                                /* mandatory; may block; ends everything submitted */
    void (*free)(struct blockdev *dev);                                 /* mandatory; nothing is under way */
};

/* Head of every back end's struct. */
struct blockdev {
    const struct blockdev_ops *ops; /* borrowed (static tables) */
    pthread_mutex_t *lock;          /* borrowed: the front end's; NULL in tests without threads */
    uint64_t size;                  /* bytes, a multiple of BLOCKDEV_SECTOR */
    bool read_only;
    unsigned block_size; /* the host's: what it writes in one go, at least BLOCKDEV_SECTOR; a power of two */
};

/* Which file, and how. Strings are borrowed, for the time of the call. */
struct blockdev_config {
    const char *path;   /* a file, or a URI of an NBD server */
    const char *format; /* "raw", or what qemu calls another one; NULL: found out */
    bool read_only;
    bool overlay;             /* writes go elsewhere: path is only read */
    const char *overlay_path; /* where to: a file that is made when it is not there; NULL: they are forgotten at the end */
};

/* Opens and locks the files, starts or connects to a server. Before the sandbox, on the main thread. -ENOENT and the like,
 * -EISDIR, -EINVAL (size, kind of file, an overlay of another base, no image), -EBUSY (another process uses it), -EROFS, -ENOMEM,
 * -ETIMEDOUT; -ENOTSUP: built without libnbd. */
MUST_CHECK int blockdev_open(const struct blockdev_config *config, struct loop *loop, struct blockdev **ret_dev,
                             struct error *err);
/* `lock` is taken around the ends of requests. Before the loop runs. */
void blockdev_attach(struct blockdev *dev, pthread_mutex_t *lock);
/* Begins a request; blockdev_kick() after the last of some. Both are fine in a callback. */
void blockdev_submit(struct blockdev *dev, struct blockdev_request *req);
void blockdev_kick(struct blockdev *dev);
/* Waits for all requests and ends them. Their callbacks must not submit for ever. */
void blockdev_drain(struct blockdev *dev);
/* Drains, flushes what an overlay has to remember, and closes. NULL is fine. No loop may run. */
void blockdev_free(struct blockdev *dev);

/* --- the back ends; they take descriptor, base or link on success --- */
MUST_CHECK int blockdev_file_new(struct loop *loop, int fd, struct blockdev **ret_dev, struct error *err);
/* -ENOTSUP: this host does not let us. */
MUST_CHECK int blockdev_uring_new(struct loop *loop, int fd, struct blockdev **ret_dev, struct error *err);
MUST_CHECK int blockdev_overlay_new(struct loop *loop, const struct overlay_base *base, uint64_t size, int overlay_fd, bool keep,
                                    struct blockdev **ret_dev, struct error *err);
MUST_CHECK int blockdev_nbd_new(struct loop *loop, struct nbd_link *link, struct blockdev **ret_dev, struct error *err);

#endif
