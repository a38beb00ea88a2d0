/* SPDX-License-Identifier: MIT */
/*
 * Implementation of the search for a kernel on a disk.
 */
#include "machine/diskboot.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "backend/blockdev.h"
#include "base/checked.h"
#include "machine/disk_reader.h"
#include "machine/ext4.h"
#include "machine/kernel.h"
#include "machine/partition.h"

/* How a kernel's name begins before its release; Debian calls those that are not compressed (riscv64's) the second. */
static const char *const kernel_prefixes[] = { "vmlinuz-", "vmlinux-" };

/* Where an initrd of a kernel of this release may be. */
static const char *const initrd_names[][2] = { { "initrd.img-", "" }, { "initramfs-", ".img" }, { "initrd-", "" } };
/* Kernel and initrd without a release in their names. */
static const char *const plain_names[][2] = { { "/vmlinuz", "/initrd.img" },
                                              { "/boot/vmlinuz", "/boot/initrd.img" },
                                              { "/vmlinux", "/initrd.img" },
                                              { "/boot/vmlinux", "/boot/initrd.img" } };

/* The newest kernel so far; of one release, the one with the earlier prefix. */
struct newest {
    char release[EXT4_NAME_MAX + 1]; /* empty: none */
    unsigned prefix;
};

static void consider(void *opaque, const char *name)
{
    struct newest *newest = opaque;
    for (unsigned i = 0; i < ARRAY_SIZE(kernel_prefixes); i++) {
        const size_t len = strlen(kernel_prefixes[i]);
        if (strncmp(name, kernel_prefixes[i], len) != 0 || !name[len] || strchr(name + len, '/'))
            continue;
        const int order = strverscmp(name + len, newest->release);
        if (order < 0 || (order == 0 && i >= newest->prefix))
            continue;
        (void)snprintf(newest->release, sizeof(newest->release), "%s", name + len);
        newest->prefix = i;
    }
}

static int load_initrd(struct ext4 *fs, const char *path, struct diskboot *boot, struct error *err)
{
    int r = ext4_read(fs, path, DISKBOOT_INITRD_MAX, &boot->initrd, err);
    return r == -ENOENT ? 0 : r;
}

static int load_release(struct ext4 *fs, const struct newest *newest, struct diskboot *boot, struct error *err)
{
    const char *release = newest->release;
    (void)snprintf(boot->kernel_name, sizeof(boot->kernel_name), "/boot/%s%s", kernel_prefixes[newest->prefix], release);
    int r = ext4_read(fs, boot->kernel_name, KERNEL_SIZE_MAX, &boot->kernel, err);
    for (unsigned i = 0; r == 0 && !boot->initrd.len && i < ARRAY_SIZE(initrd_names); i++) {
        char path[DISKBOOT_NAME_MAX];
        (void)snprintf(path, sizeof(path), "/boot/%s%s%s", initrd_names[i][0], release, initrd_names[i][1]);
        r = load_initrd(fs, path, boot, err);
    }
    return r;
}

static int load_plain(struct ext4 *fs, struct diskboot *boot, struct error *err)
{
    int r = -ENOENT;
    for (unsigned i = 0; r == -ENOENT && i < ARRAY_SIZE(plain_names); i++) {
        (void)snprintf(boot->kernel_name, sizeof(boot->kernel_name), "%s", plain_names[i][0]);
        r = ext4_read(fs, plain_names[i][0], KERNEL_SIZE_MAX, &boot->kernel, err);
        if (r == 0)
            r = load_initrd(fs, plain_names[i][1], boot, err);
    }
    return r;
}

static int load_from(struct disk_reader *disk, const struct partition *part, struct diskboot *boot, struct error *err)
{
    struct newest newest = { .release = "" };
    struct ext4 *fs = NULL;
    bool is = false;
    int r = ext4_detect(disk, part->start, part->size, &is, err);
    if (r < 0 || !is)
        return r < 0 ? r : error_set(err, -ENOENT, "no ext4 file system");
    r = ext4_open(disk, part->start, part->size, &fs, err);
    if (r < 0)
        return r;
    r = ext4_list(fs, "/boot", consider, &newest, err);
    if (r == 0 && newest.release[0])
        r = load_release(fs, &newest, boot, err);
    else if (r == 0 || r == -ENOENT)
        r = load_plain(fs, boot, err);
    ext4_close(fs);
    boot->partition = part->number;
    return r;
}

/* The whole disk, if it is a file system, is what counts: its first sector, which it does not use, may hold anything. */
static int load(struct disk_reader *disk, struct diskboot *boot, struct error *err)
{
    struct partition list[PARTITIONS_MAX], whole = { .size = disk_reader_size(disk) };
    bool is = false;
    int r = ext4_detect(disk, 0, whole.size, &is, err);
    if (r < 0 || is)
        return r < 0 ? r : load_from(disk, &whole, boot, err);
    int nr = partition_find(disk, list, err);
    if (nr < 0)
        return nr;
    r = error_set(err, -ENOENT, "neither an ext4 file system nor a partition table with Linux in it");
    for (int i = 0; r == -ENOENT && i < nr; i++) {
        r = load_from(disk, &list[i], boot, err);
        if (r < 0)
            r = error_prefix(err, "partition %u", list[i].number);
    }
    return r;
}

int diskboot_load(struct blockdev *disk, struct diskboot *ret_boot, struct error *err)
{
    struct disk_reader reader;
    struct diskboot boot = { 0 };
    int r = disk_reader_init(&reader, disk, err);
    if (r < 0)
        return r;
    r = load(&reader, &boot, err);
    disk_reader_done(&reader);
    if (r < 0)
        diskboot_done(&boot);
    else
        *ret_boot = boot;
    return r;
}

void diskboot_done(struct diskboot *boot)
{
    if (!boot)
        return;
    blob_done(&boot->kernel);
    blob_done(&boot->initrd);
}
