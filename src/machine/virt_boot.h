/* SPDX-License-Identifier: MIT */
/*
 * Loads a riscv64 kernel: an ELF file by its physical addresses, or a Linux Image; either may be compressed as a whole.
 *
 * Spec: Linux Documentation/arch/riscv/boot-image-header.rst
 */
#ifndef DOPPEL_MACHINE_VIRT_BOOT_H
#define DOPPEL_MACHINE_VIRT_BOOT_H

#include "core/gmem.h"

/*
 * Puts the kernel into RAM, which begins at ram. -ENOEXEC: not a kernel, broken, or for another instruction set (named); -ENOMEM:
 * it does not fit; -ENOTSUP: a compression that is not known.
 */
MUST_CHECK int virt_load_kernel(struct gmem *gm, gpa_t ram, const void *image, size_t len, gpa_t *ret_entry, struct error *err);

#endif
