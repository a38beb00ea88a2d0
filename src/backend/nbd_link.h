/* SPDX-License-Identifier: MIT */
/*
 * A connection to an NBD server, ours (nbd_server.h) or one that a URI names, and what the server says of its disk.
 *
 * libnbd speaks the protocol. Everything that waits has an end: a server that is silent for `silence_ms` while we wait is given
 * up, as is one that hangs up; from then on `h` is NULL and every operation fails. One thread at a time. Spec: NBD protocol
 * (github.com/NetworkBlockDevice/nbd, doc/proto.md), NBD URI specification
 */
#ifndef DOPPEL_BACKEND_NBD_LINK_H
#define DOPPEL_BACKEND_NBD_LINK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "backend/nbd_server.h"
#include "base/error.h"

struct blockdev_config;
struct nbd_handle;

enum { NBD_SILENCE_MS = 60000, NBD_HANDSHAKE_MS = 10000 };

struct nbd_link {
    struct nbd_handle *h;     /* owned; NULL: given up */
    char *path;               /* owned: the disk's name, for messages */
    struct nbd_server server; /* owned */
    uint64_t size;            /* bytes, a multiple of 512, at least that */
    unsigned block_size;      /* what the server likes best: a power of two, 512..64 KiB */
    unsigned silence_ms;      /* NBD_SILENCE_MS, at first */
    unsigned transfer_max;    /* bytes of a read or write: a multiple of 512 */
    bool flush, trim, zero;   /* the server has these */
    bool force;               /* it cannot flush, but writes through where told to: every write is told */
};

/* Connects: format: NULL, config->path is a URI; else qemu's name of the format of the file config->path. Before the sandbox, on
 * the main thread. What nbd_server_start() says; -EROFS: the server does not let us write; -EINVAL: no URI, or a size that is no
 * disk's; -ETIMEDOUT; what the server said. */
MUST_CHECK int nbd_link_open(const struct blockdev_config *config, const char *format, struct nbd_link **ret_link,
                             struct error *err);
/* Says goodbye, waits (a server of ours has written everything then) and frees. NULL is fine. */
void nbd_link_close(struct nbd_link *link);
/* Hangs up, and says so once, with `why` or what libnbd said last: nothing of ours is in use by it any more. */
void nbd_link_give_up(struct nbd_link *link, const char *why);
/* Reads, and waits for it. -EIO when there is no server any more; what the server says. */
MUST_CHECK int nbd_link_read(struct nbd_link *link, const struct iovec *iov, unsigned nr, uint64_t offset);

#endif
