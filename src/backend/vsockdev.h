/* SPDX-License-Identifier: MIT */
/*
 * The host's side of a virtual socket device: streams of bytes, told apart by a number below VSOCKDEV_STREAMS_MAX.
 *
 * A stream begins when the guest connects to a port of the host (connect), or when somebody on the host asks for a port of the
 * guest (the front end's incoming). It lasts until the front end closes it. Everything is called with the front end's lock (the
 * machine's) held, and nothing blocks. The front end hears once that something may be there to read, that there may be room to
 * write, or that the other side is gone: it reads until -EAGAIN, and is told again after that only.
 */
#ifndef DOPPEL_BACKEND_VSOCKDEV_H
#define DOPPEL_BACKEND_VSOCKDEV_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "base/error.h"

struct loop;
struct vsockdev;

enum { VSOCKDEV_STREAMS_MAX = 256 };

/* What may have happened to a stream. */
enum { VSOCKDEV_READABLE = 1 << 0, VSOCKDEV_WRITABLE = 1 << 1, VSOCKDEV_GONE = 1 << 2 };

/* The device. On the loop's thread. */
struct vsockdev_front {
    /* Somebody asks for the guest's port; false: there is nobody, the back end closes the stream. */
    bool (*incoming)(void *opaque, unsigned stream, uint32_t port);
    /* events: bits from above; GONE: the other side is closed both ways (what it sent before can still be read). */
    void (*ready)(void *opaque, unsigned stream, unsigned events);
};

struct vsockdev_ops {
    /* The guest asks for a port of the host: a stream, or a negative errno (-ENOSPC: too many). */
    int (*connect)(struct vsockdev *dev, uint32_t port);
    /* The guest accepted the incoming stream, which is port `port` of the host to it. */
    void (*accepted)(struct vsockdev *dev, unsigned stream, uint32_t port);
    /* Bytes moved, 0: the other side sends no more, -EAGAIN, or what the host says. */
    ssize_t (*read)(struct vsockdev *dev, unsigned stream, const struct iovec *iov, unsigned nr);
    ssize_t (*write)(struct vsockdev *dev, unsigned stream, const struct iovec *iov, unsigned nr);
    /* No more is read from it, or written to it. */
    void (*shutdown)(struct vsockdev *dev, unsigned stream, bool read, bool write);
    void (*close)(struct vsockdev *dev, unsigned stream);
    void (*free)(struct vsockdev *dev);
};

/* Head of every back end's struct. */
struct vsockdev {
    const struct vsockdev_ops *ops;     /* borrowed (static tables) */
    const struct vsockdev_front *front; /* borrowed (static); NULL: not attached */
    void *opaque;                       /* borrowed (the back end is freed after it) */
    pthread_mutex_t *lock;              /* borrowed (the machine's); NULL in tests without threads */
};

/* Connects the front end; before the loop runs. */
void vsockdev_attach(struct vsockdev *dev, pthread_mutex_t *lock, const struct vsockdev_front *front, void *opaque);
/* Takes NULL. No loop runs. */
void vsockdev_free(struct vsockdev *dev);

/*
 * Unix sockets, as Firecracker has them. A guest that connects to port P is connected to whoever listens at PATH_P. Who connects
 * to PATH and sends "CONNECT P\n" is connected to the guest's port P, and gets "OK PORT\n" (the host's port, as the guest sees
 * it) when the guest accepts, else the end. -ENOMEM, -ENAMETOOLONG, what unixsock_listen() says.
 */
MUST_CHECK int vsockdev_unix_new(struct loop *loop, const char *path, struct vsockdev **ret_dev, struct error *err);

#endif
