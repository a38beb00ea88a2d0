/* SPDX-License-Identifier: MIT */
/*
 * The PVH boot protocol: hvm_start_info, entered in flat 32-bit mode.
 *
 * Spec: Xen docs/misc/pvh.pandoc, xen/include/public/arch-x86/hvm/start_info.h (version 1).
 */
#ifndef DOPPEL_MACHINE_PVH_H
#define DOPPEL_MACHINE_PVH_H

#include "machine/kernel.h"

/* Prepares everything but the kernel, which the caller loaded into `kernel` and whose PVH entry is `entry`. The modules
 * become one initrd, the first and only module. Errors: -E2BIG command line, -ENOMEM initrd or memory map. */
MUST_CHECK int pvh_setup(struct gmem *gm, const struct kernel_args *args, const struct load_extent *kernel, gpa_t entry,
                         struct x86_boot *ret_boot, struct error *err);

#endif
