/* SPDX-License-Identifier: MIT */
/*
 * A disk in memory as a blockdev, and file systems for it, made by mke2fs.
 */
#ifndef DOPPEL_TESTS_MEMORY_DISK_H
#define DOPPEL_TESTS_MEMORY_DISK_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "backend/blockdev.h"

struct memory_disk {
    struct blockdev head; /* first */
    uint8_t *data;        /* owned */
    unsigned reads;
    int fail_with; /* what every read ends with */
    struct blockdev_request *pending;
};

static inline void memory_disk_submit(struct blockdev *dev, struct blockdev_request *req)
{
    ((struct memory_disk *)dev)->pending = req;
}

static inline void memory_disk_drain(struct blockdev *dev)
{
    struct memory_disk *d = (struct memory_disk *)dev;
    struct blockdev_request *req = d->pending;
    d->pending = NULL;
    if (!req)
        return;
    d->reads++;
    if (req->op != BLOCKDEV_READ || req->nr_iov != 1 || req->offset + req->len > dev->size || req->len % BLOCKDEV_SECTOR)
        abort();
    if (!d->fail_with)
        memcpy(req->iov[0].iov_base, d->data + req->offset, req->len);
    req->done(req, d->fail_with);
}

static inline void memory_disk_free(struct blockdev *dev)
{
    (void)dev;
}

static const struct blockdev_ops memory_disk_ops = { .submit = memory_disk_submit,
                                                     .drain = memory_disk_drain,
                                                     .free = memory_disk_free };

static inline struct memory_disk memory_disk(size_t size)
{
    return (struct memory_disk){ .head = { .ops = &memory_disk_ops, .size = size, .block_size = 512 }, .data = calloc(1, size) };
}

/* Fills [at, at + size) of the disk with a file system of the folder's files; false: no mke2fs here, or it failed. */
static inline bool memory_disk_mke2fs(struct memory_disk *d, size_t at, size_t size, const char *folder, const char *options)
{
    char path[] = "/tmp/doppel-fs-XXXXXX", command[1024];
    int fd = mkstemp(path);
    if (fd < 0)
        return false;
    (void)snprintf(command, sizeof(command), "PATH=$PATH:/sbin:/usr/sbin mke2fs -q -F %s -d '%s' %s %zuk >/dev/null 2>&1",
                   options, folder, path, size >> 10);
    bool good = ftruncate(fd, (off_t)size) == 0 && system(command) == 0 && pread(fd, d->data + at, size, 0) == (ssize_t)size;
    (void)close(fd);
    (void)unlink(path);
    return good;
}

/* A file in a folder, its size a pattern of bytes that `seed` begins; parents are made. */
static inline void memory_disk_file(const char *folder, const char *name, size_t size, uint32_t seed)
{
    char path[512];
    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    for (char *slash = path + strlen(folder) + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
        *slash = '\0';
        (void)mkdir(path, 0700);
        *slash = '/';
    }
    FILE *f = fopen(path, "w");
    if (!f)
        abort();
    for (size_t i = 0; i < size; i++)
        (void)fputc((int)((seed + i * i / 7) & 0xff), f);
    if (fclose(f) != 0)
        abort();
}

static inline bool memory_disk_file_is(const uint8_t *data, size_t len, size_t size, uint32_t seed)
{
    if (len != size)
        return false;
    for (size_t i = 0; i < size; i++)
        if (data[i] != ((seed + i * i / 7) & 0xff))
            return false;
    return true;
}

#endif
