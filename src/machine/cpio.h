/* SPDX-License-Identifier: MIT */
/*
 * Writes cpio archives in the "newc" format, the one Linux unpacks as initramfs.
 *
 * Owner is root, times are 0, inode numbers count up: the same calls give the same bytes. Directories must be added before
 * what is in them.
 *
 * Spec: Linux Documentation/driver-api/early-userspace/buffer-format.rst.
 */
#ifndef DOPPEL_MACHINE_CPIO_H
#define DOPPEL_MACHINE_CPIO_H

#include "machine/blob.h"

enum { CPIO_NAME_MAX = 4095 }; /* bytes without the NUL; Linux skips longer ones */

struct cpio {
    struct blob out; /* the archive so far */
    size_t max;      /* bytes the archive may have */
    uint32_t next_ino;
};

/* An empty archive that may grow to `max` bytes. */
void cpio_init(struct cpio *c, size_t max);
void cpio_done(struct cpio *c);

/* Names are relative to the root, without '/' at either end ("bin/sh"). `mode` holds permission bits. Errors of all:
 * -EINVAL a bad name, -E2BIG the archive or the file (4 GiB) would be too large, -ENOMEM. */
MUST_CHECK int cpio_add_file(struct cpio *c, const char *name, unsigned mode, const void *data, size_t len, struct error *err);
MUST_CHECK int cpio_add_dir(struct cpio *c, const char *name, unsigned mode, struct error *err);
MUST_CHECK int cpio_add_symlink(struct cpio *c, const char *name, const char *target, struct error *err);
MUST_CHECK int cpio_add_char_device(struct cpio *c, const char *name, unsigned mode, unsigned major, unsigned minor,
                                    struct error *err);

/* Writes the trailer and hands the archive over; *c is empty then. */
MUST_CHECK int cpio_finish(struct cpio *c, struct blob *ret_archive, struct error *err);

#endif
