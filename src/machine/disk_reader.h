/* SPDX-License-Identifier: MIT */
/*
 * Reads any bytes of a disk at once, before there is a machine: a small cache of windows, and a limit on the work.
 *
 * What asks for the bytes follows pointers that it found on the disk, so it may go in circles: after `bytes_left` bytes from the
 * disk, or `calls_left` reads, every read fails. Not for a disk that a running machine uses.
 */
#ifndef DOPPEL_MACHINE_DISK_READER_H
#define DOPPEL_MACHINE_DISK_READER_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct blockdev;

enum { DISK_READER_WINDOWS = 8, DISK_READER_WINDOW = 256 << 10 };

struct disk_window {
    uint64_t at, used; /* offset, a multiple of the window's size; when it was used last, 0: holds nothing */
    size_t len;
    uint8_t *data; /* borrowed: part of disk_reader.memory */
};

struct disk_reader {
    struct blockdev *disk; /* borrowed (the caller's, for our life) */
    uint64_t bytes_left, calls_left;
    struct disk_window window[DISK_READER_WINDOWS];
    uint8_t *memory; /* owned */
    uint64_t now;
};

MUST_CHECK int disk_reader_init(struct disk_reader *r, struct blockdev *disk, struct error *err);
/* NULL is fine. */
void disk_reader_done(struct disk_reader *r);
uint64_t disk_reader_size(const struct disk_reader *r);
/* -ENXIO: not all of it is on the disk; -E2BIG: the limit; errors of the host's disk. Blocks. */
MUST_CHECK int disk_reader_read(struct disk_reader *r, uint64_t offset, void *buf, size_t len, struct error *err);

#endif
