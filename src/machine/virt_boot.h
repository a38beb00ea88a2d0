/* SPDX-License-Identifier: MIT */
/*
 * Loads a riscv64 kernel: an ELF file, a Linux Image, or an EFI zboot image around one; each may be compressed as a whole. And
 * the firmware that may run before it: an ELF file, or what goes to the start of RAM as it is.
 *
 * An ELF file goes to its physical addresses. Linux' own, vmlinux, has none that mean something: its first byte goes where an
 * Image would. Spec: Linux Documentation/arch/riscv/boot-image-header.rst, drivers/firmware/efi/libstub/zboot-header.S
 */
#ifndef DOPPEL_MACHINE_VIRT_BOOT_H
#define DOPPEL_MACHINE_VIRT_BOOT_H

#include "core/gmem.h"
#include "machine/x86_boot.h"

struct virt_kernel {
    gpa_t entry;
    struct load_extent extent; /* with what it clears behind its bytes */
    bool is_linux;             /* no memory below it is of use to it: kernels before 6.4 complain about such */
};

/*
 * Puts the kernel into RAM, which begins at ram; with firmware, anything else, too, goes where an Image would (a boot loader,
 * say). -ENOEXEC: not a kernel, broken, or for another instruction set (named); -ENOMEM: it does not fit; -ENOTSUP: a compression
 * that is not known; others of decompress().
 */
MUST_CHECK int virt_load_kernel(struct gmem *gm, gpa_t ram, bool firmware, const void *image, size_t len,
                                struct virt_kernel *ret_kernel, struct error *err);
/* The same for the firmware. */
MUST_CHECK int virt_load_firmware(struct gmem *gm, gpa_t ram, const void *image, size_t len, struct virt_kernel *ret_firmware,
                                  struct error *err);
/* Reads a file that is an Image (not compressed) to where it belongs, and no other. 1: it did; 0: the file is none, or cannot be
 * read, which virt_load_kernel() and who reads it for that have words for. -ENOEXEC, -ENOMEM, -ENODATA, what pread(2) says. */
MUST_CHECK int virt_load_image_file(struct gmem *gm, gpa_t ram, const char *path, struct virt_kernel *ret_kernel,
                                    struct error *err);

#endif
