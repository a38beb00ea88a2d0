/* SPDX-License-Identifier: MIT */
/*
 * Multiboot 1: finds the header, loads by ELF32 or by the header's address fields, and writes the boot information.
 *
 * Given to the kernel: memory sizes, command line, modules, memory map, loader name. Not given: boot device, symbols,
 * drives, BIOS configuration, APM, video (a request for a video mode is ignored, as the specification allows).
 *
 * Spec: Multiboot Specification 0.6.96, sections 3.1 to 3.3.
 */
#ifndef DOPPEL_MACHINE_MULTIBOOT_H
#define DOPPEL_MACHINE_MULTIBOOT_H

#include "machine/elfkernel.h"
#include "machine/kernel.h"

struct multiboot_header {
    size_t at; /* offset in the file, below 8192 */
    uint32_t flags;
    uint32_t header_addr; /* this and the next four: valid with MULTIBOOT_HEADER_ADDRESSES */
    uint32_t load_addr;
    uint32_t load_end_addr;
    uint32_t bss_end_addr;
    uint32_t entry_addr;
};

enum { MULTIBOOT_HEADER_ADDRESSES = 1 << 16 };

/* Finds a header with a good checksum in the first 8192 bytes. */
bool multiboot_find(const void *data, size_t len, struct multiboot_header *ret_header);

/*
 * Loads the image and everything around it. `elf` is the parsed file, NULL when it is no ELF file; the address fields,
 * where the header has them, come first, as the specification says. Errors: -ENOTSUP unknown required feature, -ENOEXEC
 * bad addresses, 64-bit ELF or no way to load, -ENOMEM, -E2BIG.
 */
MUST_CHECK int multiboot_load(struct gmem *gm, const void *data, size_t len, const struct multiboot_header *header,
                              const struct elfkernel *elf, const struct kernel_args *args, struct x86_boot *ret_boot,
                              struct error *err);

#endif
