/* SPDX-License-Identifier: MIT */
/*
 * Reads files from an ext2, ext3 or ext4 file system on a disk, by libext2fs.
 *
 * The file system is untrusted: before libext2fs sees it, its superblock is held against the disk's size; while libext2fs works,
 * disk_reader limits what it may read. A journal that was not replayed is not looked at.
 */
#ifndef DOPPEL_MACHINE_EXT4_H
#define DOPPEL_MACHINE_EXT4_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct blob;
struct disk_reader;
struct ext4;

enum { EXT4_NAME_MAX = 255 };

/* A superblock is there. -ENXIO (nothing can be there) counts as no. */
MUST_CHECK int ext4_detect(struct disk_reader *disk, uint64_t start, uint64_t size, bool *ret_is, struct error *err);
/* Opens what is at [start, start + size) of the disk, which outlives it. -EUCLEAN: damaged, or with features that libext2fs does
 * not know. */
MUST_CHECK int ext4_open(struct disk_reader *disk, uint64_t start, uint64_t size, struct ext4 **ret_fs, struct error *err);
/* NULL is fine. */
void ext4_close(struct ext4 *fs);

/* Calls fn for each name in a folder, the first 65536 at most. -ENOENT: no such folder; -EUCLEAN. */
typedef void (*ext4_name_fn)(void *opaque, const char *name);
MUST_CHECK int ext4_list(struct ext4 *fs, const char *folder, ext4_name_fn fn, void *opaque, struct error *err);
/* Reads a regular file, through symbolic links. -ENOENT; -E2BIG: over `max` bytes; -EINVAL: not a regular file, or empty;
 * -EUCLEAN. */
MUST_CHECK int ext4_read(struct ext4 *fs, const char *path, size_t max, struct blob *ret_blob, struct error *err);

#endif
