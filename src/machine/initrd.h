/* SPDX-License-Identifier: MIT */
/*
 * Places the initrd of a Linux kernel in guest memory.
 */
#ifndef DOPPEL_MACHINE_INITRD_H
#define DOPPEL_MACHINE_INITRD_H

#include "machine/kernel.h"

/* All modules behind each other (each from a multiple of 4 bytes, as the kernel's cpio reader wants), page aligned, as
 * high as possible below `limit` (exclusive) and clear of the kernel. Size 0 when there are none. -ENOMEM. */
MUST_CHECK int initrd_load(struct gmem *gm, const struct kernel_args *args, uint64_t limit, const struct load_extent *kernel,
                           struct load_extent *ret_initrd, struct error *err);

#endif
