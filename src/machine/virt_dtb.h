/* SPDX-License-Identifier: MIT */
/*
 * A device tree that the user hands in for board `virt`, in place of the board's own.
 *
 * It is taken as it is but for /chosen, which gets the command line and where the initrd lies: what nobody knew who wrote it.
 */
#ifndef DOPPEL_MACHINE_VIRT_DTB_H
#define DOPPEL_MACHINE_VIRT_DTB_H

#include <stddef.h>

#include "machine/virt_fdt.h"

/*
 * Writes the tree `file` of len bytes, completed from args (cmdline, initrd), into buf, whose first ret_size bytes it takes; buf
 * is aligned to 8. The file is untrusted. -EINVAL: it is no flattened device tree, is broken, or says that there is memory where
 * the machine has none (args->ram, memory; from VIRT_RAM on); -E2BIG: it takes more than cap bytes. Spec: Devicetree
 * Specification 0.4, chapters 3.4, 3.6, 5
 */
MUST_CHECK int virt_dtb_complete(const void *file, size_t len, const struct virt_fdt_args *args, void *buf, size_t cap,
                                 size_t *ret_size, struct error *err);

#endif
