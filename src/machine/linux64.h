/* SPDX-License-Identifier: MIT */
/*
 * The 64-bit boot protocol of Linux: zero page, command line, initrd, e820 map.
 *
 * Spec: Linux Documentation/arch/x86/boot.rst, zero-page.rst.
 */
#ifndef DOPPEL_MACHINE_LINUX64_H
#define DOPPEL_MACHINE_LINUX64_H

#include "machine/kernel.h"

struct setup_header;

/*
 * Prepares everything but the kernel itself, which the caller loaded into `kernel` and whose startup_64 is at `entry`.
 * `header` is that of the bzImage, NULL for a bare vmlinux. Errors: -E2BIG command line, -ENOMEM initrd or memory map.
 */
MUST_CHECK int linux64_setup(struct gmem *gm, const struct setup_header *header, const struct kernel_args *args,
                             const struct load_extent *kernel, gpa_t entry, struct x86_boot *ret_boot, struct error *err);

#endif
