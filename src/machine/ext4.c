/* SPDX-License-Identifier: MIT */
/*
 * Implementation of reading from ext4: an I/O manager of libext2fs that reads a part of a disk, and never writes.
 */
#include "machine/ext4.h"

#include <errno.h>
#include <ext2fs/ext2fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "machine/blob.h"
#include "machine/disk_reader.h"

enum { SUPERBLOCK_AT = 1024, NAMES_MAX = 65536, READ_STEP = 1 << 20, BLOCKS_PER_GROUP_MIN = 256 };
/* For the group descriptors, which libext2fs keeps in memory: a disk of 64 TiB. */
#define DESCRIPTORS_MAX (32UL << 20)

struct ext4 {
    struct disk_reader *disk; /* borrowed (ext4_open()) */
    uint64_t start, size;
    ext2_filsys fs; /* owned */
};

/* ---- libext2fs' I/O ---- */

static errcode_t part_open(const char *name, int flags, io_channel *ret_channel);

static errcode_t part_close(io_channel channel)
{
    if (--channel->refcount > 0)
        return 0;
    free(channel->name);
    free(channel);
    return 0;
}

static errcode_t part_set_blksize(io_channel channel, int size)
{
    channel->block_size = size;
    return 0;
}

/* count: blocks, or minus bytes. */
static errcode_t part_read64(io_channel channel, unsigned long long block, int count, void *buf)
{
    const struct ext4 *x = channel->private_data;
    const uint64_t len = count < 0 ? (uint64_t) - (int64_t)count : (uint64_t)count * (uint64_t)channel->block_size;
    uint64_t offset;
    struct error err;
    if (ckd_mul(&offset, (uint64_t)block, (uint64_t)channel->block_size) || offset > x->size || len > x->size - offset)
        return EXT2_ET_SHORT_READ;
    return disk_reader_read(x->disk, x->start + offset, buf, len, &err) < 0 ? EXT2_ET_SHORT_READ : 0;
}

static errcode_t part_read(io_channel channel, unsigned long block, int count, void *buf)
{
    return part_read64(channel, block, count, buf);
}

static errcode_t part_write(io_channel channel, unsigned long block, int count, const void *buf)
{
    (void)channel;
    (void)block;
    (void)count;
    (void)buf;
    return EXT2_ET_RO_FILSYS;
}

static errcode_t part_flush(io_channel channel)
{
    (void)channel;
    return 0;
}

/* libext2fs does not change it, but its interface is not const. */
static struct struct_io_manager part_manager = {
    .magic = EXT2_ET_MAGIC_IO_MANAGER,
    .name = "doppel",
    .open = part_open,
    .close = part_close,
    .set_blksize = part_set_blksize,
    .read_blk = part_read,
    .read_blk64 = part_read64,
    .write_blk = part_write,
    .flush = part_flush,
};

/* The name is our struct ext4's address, as text: the only thing that libext2fs hands through. */
static errcode_t part_open(const char *name, int flags, io_channel *ret_channel)
{
    void *x = NULL;
    (void)flags;
    struct struct_io_channel *channel = calloc(1, sizeof(*channel));
    char *copy = strdup(name);
    if (!channel || !copy || sscanf(name, "%p", &x) != 1) {
        free(channel);
        free(copy);
        return EXT2_ET_NO_MEMORY;
    }
    channel->magic = EXT2_ET_MAGIC_IO_CHANNEL;
    channel->manager = &part_manager;
    channel->name = copy;
    channel->block_size = SUPERBLOCK_AT;
    channel->refcount = 1;
    channel->private_data = x;
    *ret_channel = channel;
    return 0;
}

/* ---- files ---- */

/* Errors of libext2fs as ours; what it says in general is in its numbers, and the words are ours. */
static int fail(errcode_t code, const char *what, struct error *err)
{
    if (code == EXT2_ET_FILE_NOT_FOUND)
        return error_set(err, -ENOENT, "%s is not there", what);
    if (code == EXT2_ET_NO_MEMORY)
        return error_set(err, -ENOMEM, "out of memory");
    return error_set(err, -EUCLEAN, "%s cannot be read: the file system is damaged (ext2fs error %ld; try e2fsck)", what,
                     (long)code);
}

int ext4_detect(struct disk_reader *disk, uint64_t start, uint64_t size, bool *ret_is, struct error *err)
{
    struct ext2_super_block sb;
    *ret_is = false;
    if (size < SUPERBLOCK_AT + sizeof(sb))
        return 0;
    int r = disk_reader_read(disk, start + SUPERBLOCK_AT, &sb, sizeof(sb), err);
    if (r == 0)
        *ret_is = sb.s_magic == EXT2_SUPER_MAGIC;
    return r == -ENXIO ? 0 : r;
}

/* libext2fs allocates and computes by what the superblock says. */
static int check_superblock(const struct ext4 *x, struct error *err)
{
    struct ext2_super_block sb;
    int r = disk_reader_read(x->disk, x->start + SUPERBLOCK_AT, &sb, sizeof(sb), err);
    if (r < 0)
        return r;
    if (sb.s_log_block_size > EXT2_MAX_BLOCK_LOG_SIZE - EXT2_MIN_BLOCK_LOG_SIZE)
        return error_set(err, -EUCLEAN, "its superblock names blocks of 2^%u KiB", sb.s_log_block_size);
    const uint64_t block = 1024UL << sb.s_log_block_size, blocks = ext2fs_blocks_count(&sb);
    if (blocks > x->size / block)
        return error_set(err, -EUCLEAN, "it should have %ju blocks of %ju bytes, which is more than the %ju bytes there are",
                         (uintmax_t)blocks, (uintmax_t)block, (uintmax_t)x->size);
    if (sb.s_blocks_per_group < BLOCKS_PER_GROUP_MIN
        || blocks / sb.s_blocks_per_group > DESCRIPTORS_MAX / EXT2_MIN_DESC_SIZE_64BIT)
        return error_set(err, -EUCLEAN, "its superblock names groups of %u blocks", sb.s_blocks_per_group);
    return 0;
}

int ext4_open(struct disk_reader *disk, uint64_t start, uint64_t size, struct ext4 **ret_fs, struct error *err)
{
    char name[32];
    struct ext4 *x = calloc(1, sizeof(*x));
    if (!x)
        return error_set(err, -ENOMEM, "out of memory");
    *x = (struct ext4){ .disk = disk, .start = start, .size = size };
    int r = check_superblock(x, err);
    if (r < 0)
        goto fail;
    (void)snprintf(name, sizeof(name), "%p", (void *)x);
    const errcode_t code = ext2fs_open2(name, NULL, EXT2_FLAG_64BITS, 0, 0, &part_manager, &x->fs);
    if (code != 0) {
        x->fs = NULL;
        r = fail(code, "its root", err);
        goto fail;
    }
    *ret_fs = x;
    return 0;
fail:
    ext4_close(x);
    return r;
}

void ext4_close(struct ext4 *x)
{
    if (!x)
        return;
    if (x->fs)
        ext2fs_free(x->fs); /* not ext2fs_close(), which writes */
    free(x);
}

struct listing {
    ext4_name_fn fn;
    void *opaque;
    unsigned nr;
};

static int on_entry(ext2_ino_t dir, int entry, struct ext2_dir_entry *d, int offset, int block_size, char *buf, void *opaque)
{
    struct listing *l = opaque;
    char name[EXT4_NAME_MAX + 1];
    (void)dir;
    (void)entry;
    (void)offset;
    (void)block_size;
    (void)buf;
    const int len = MIN(ext2fs_dirent_name_len(d), EXT4_NAME_MAX);
    memcpy(name, d->name, len);
    name[len] = '\0';
    l->fn(l->opaque, name);
    return ++l->nr >= NAMES_MAX ? DIRENT_ABORT : 0;
}

static int find(const struct ext4 *x, const char *path, ext2_ino_t *ret_ino, struct error *err)
{
    const errcode_t code = ext2fs_namei_follow(x->fs, EXT2_ROOT_INO, EXT2_ROOT_INO, path, ret_ino);
    if (code == EXT2_ET_NO_DIRECTORY)
        return error_set(err, -ENOENT, "%s is not there", path);
    return code ? fail(code, path, err) : 0;
}

int ext4_list(struct ext4 *x, const char *folder, ext4_name_fn fn, void *opaque, struct error *err)
{
    struct listing l = { .fn = fn, .opaque = opaque };
    ext2_ino_t ino;
    int r = find(x, folder, &ino, err);
    if (r < 0)
        return r;
    const errcode_t code = ext2fs_dir_iterate2(x->fs, ino, 0, NULL, on_entry, &l);
    if (code == EXT2_ET_NO_DIRECTORY)
        return error_set(err, -ENOENT, "%s is not a folder", folder);
    return code ? fail(code, folder, err) : 0;
}

static int read_whole(ext2_file_t file, const char *path, uint64_t size, struct blob *b, struct error *err)
{
    int r = blob_reserve(b, size, size, err);
    if (r < 0)
        return r;
    while (b->len < size) {
        unsigned got = 0;
        const errcode_t code = ext2fs_file_read(file, b->data + b->len, (unsigned)MIN((uint64_t)READ_STEP, size - b->len), &got);
        if (code || got == 0)
            return fail(code ? code : EXT2_ET_SHORT_READ, path, err);
        b->len += got;
    }
    return 0;
}

int ext4_read(struct ext4 *x, const char *path, size_t max, struct blob *ret_blob, struct error *err)
{
    struct ext2_inode inode;
    ext2_file_t file = NULL;
    ext2_ino_t ino;
    int r = find(x, path, &ino, err);
    if (r < 0)
        return r;
    errcode_t code = ext2fs_read_inode(x->fs, ino, &inode);
    if (code)
        return fail(code, path, err);
    const uint64_t size = EXT2_I_SIZE(&inode);
    if (!LINUX_S_ISREG(inode.i_mode) || size == 0)
        return error_set(err, -EINVAL, "%s is empty, or not a regular file", path);
    if (size > max)
        return error_set(err, -E2BIG, "%s has %ju bytes, more than %zu", path, (uintmax_t)size, max);
    code = ext2fs_file_open2(x->fs, ino, &inode, 0, &file);
    if (code)
        return fail(code, path, err);
    struct blob b = { 0 };
    r = read_whole(file, path, size, &b, err);
    (void)ext2fs_file_close(file); /* only read */
    if (r < 0)
        blob_done(&b);
    else
        *ret_blob = b;
    return r;
}
