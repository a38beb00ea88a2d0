/* SPDX-License-Identifier: MIT */
/*
 * Finds the kernel and initrd that a disk brings along, as a boot loader would.
 *
 * The disk is one ext2, ext3 or ext4 file system, or has partitions; the first of Linux' with a kernel counts. Of several kernels
 * /boot/vmlinuz-RELEASE or vmlinux-RELEASE the one with the highest release is taken; without any, /vmlinuz, /boot/vmlinuz, and
 * the same with an x.
 */
#ifndef DOPPEL_MACHINE_DISKBOOT_H
#define DOPPEL_MACHINE_DISKBOOT_H

#include <stddef.h>

#include "base/error.h"
#include "machine/blob.h"

struct blockdev;

enum { DISKBOOT_NAME_MAX = 288 };
#define DISKBOOT_INITRD_MAX (1024UL << 20)

struct diskboot {
    struct blob kernel;                  /* owned */
    struct blob initrd;                  /* owned; empty: there is none */
    char kernel_name[DISKBOOT_NAME_MAX]; /* path on its file system */
    unsigned partition;                  /* 0: the file system is the whole disk */
};

/* Reads them. -ENOENT: no Linux system is on this disk (blank, another file system, data only); -EUCLEAN: there is one, but it is
 * damaged; -E2BIG and others as of ext4_read(). Blocks. The disk is idle. */
MUST_CHECK int diskboot_load(struct blockdev *disk, struct diskboot *ret_boot, struct error *err);
/* NULL is fine. */
void diskboot_done(struct diskboot *boot);

#endif
