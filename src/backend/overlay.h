/* SPDX-License-Identifier: MIT */
/*
 * The file of an overlay: what was written over a base that is only read.
 *
 * Layout, little-endian: a header of OVERLAY_CLUSTER bytes; a map with one bit for each cluster of the disk, set when the
 * cluster's contents are here; from `data` on, a sparse image of the disk, with clusters at the places that they have on it. A
 * cluster's bit reaches the file only after its contents are on stable storage (overlay_flush() has that order), so that a crash
 * at any time leaves each cluster old or new. The header names the base by its size and a fingerprint of samples; another base is
 * refused. One thread at a time; blocking.
 */
#ifndef DOPPEL_BACKEND_OVERLAY_H
#define DOPPEL_BACKEND_OVERLAY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/error.h"

enum { OVERLAY_CLUSTER = 4096 };
#define OVERLAY_SIZE_MAX (1ULL << 44) /* of a disk: 16 TiB, whose map has 512 MiB */

/* What is only read. read: all of the range, or a negative errno; it may change the array. */
struct overlay_base {
    int (*read)(void *opaque, struct iovec *iov, unsigned nr, uint64_t offset);
    void (*close)(void *opaque);
    void *opaque;
};
/* A file's descriptor, which is the base's from now on. */
struct overlay_base overlay_base_file(int fd);

struct overlay {
    struct overlay_base base; /* owned */
    int fd;                   /* owned */
    uint64_t size;            /* of the disk, bytes */
    bool keep;                /* else the file is forgotten, and nothing in it needs to be durable */
    uint64_t clusters, map_bytes;
    uint64_t data;  /* offset of the image */
    uint8_t *map;   /* owned: a bit a cluster */
    uint8_t *dirty; /* owned: a byte for each OVERLAY_CLUSTER bytes of the map that differ from the file's */
    bool any_dirty;
};

/* Makes a new overlay in an empty file, or opens the one in there. On success base and descriptor are ours. -EINVAL: no overlay,
 * damaged, or of another base; -EFBIG; -ENOMEM; what the host says. */
MUST_CHECK int overlay_open(struct overlay *o, const struct overlay_base *base, uint64_t size, int fd, bool keep,
                            struct error *err);
/* Closes; what was not flushed is lost. Takes zeroed ones with fd -1. */
void overlay_close(struct overlay *o);

/* As hostfile_*: all of it, or a negative errno. Ranges lie inside the disk; the arrays are changed. */
MUST_CHECK int overlay_read(struct overlay *o, struct iovec *iov, unsigned nr, uint64_t offset, uint64_t len);
MUST_CHECK int overlay_write(struct overlay *o, struct iovec *iov, unsigned nr, uint64_t offset, uint64_t len);
MUST_CHECK int overlay_flush(struct overlay *o);
/* Whole clusters of the range give their place back and read as zeroes; the rest keeps its contents. */
MUST_CHECK int overlay_discard(struct overlay *o, uint64_t offset, uint64_t len);
MUST_CHECK int overlay_zero(struct overlay *o, uint64_t offset, uint64_t len);

#endif
