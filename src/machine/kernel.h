/* SPDX-License-Identifier: MIT */
/*
 * Recognises a kernel file and loads it into guest memory by the boot protocol it wants.
 *
 * bzImage: the payload is decompressed here and entered by Linux' 64-bit protocol. ELF: PVH when it has the note, else
 * Multiboot 1 when it has that header, else the 64-bit protocol. Anything else with a Multiboot header: Multiboot 1 with
 * address fields. A whole file that is compressed (vmlinux.gz) is decompressed first. All input is untrusted.
 */
#ifndef DOPPEL_MACHINE_KERNEL_H
#define DOPPEL_MACHINE_KERNEL_H

#include "machine/x86_boot.h"

enum { KERNEL_MODULES_MAX = 32 };
/* Largest kernel file and largest decompressed kernel, in bytes. */
#define KERNEL_SIZE_MAX (1024UL << 20)

enum kernel_protocol {
    KERNEL_PROTOCOL_AUTO,
    KERNEL_PROTOCOL_LINUX64, /* ELF64 and bzImage */
    KERNEL_PROTOCOL_PVH,     /* ELF and bzImage whose vmlinux has the note */
    KERNEL_PROTOCOL_MULTIBOOT,
};

/* An initrd (Linux, PVH: several are put behind each other) or a Multiboot module. */
struct kernel_module {
    const void *data; /* borrowed for the call */
    size_t len;
    const char *cmdline; /* borrowed for the call; Multiboot only; NULL: "" */
};

struct kernel_args {
    const char *cmdline;         /* borrowed; NULL: "" */
    const struct mem_range *map; /* borrowed; sorted memory map for the guest, at most 64 ranges */
    unsigned nr_map;
    const struct kernel_module *modules; /* borrowed */
    unsigned nr_modules;                 /* at most KERNEL_MODULES_MAX */
    gpa_t rsdp;                          /* ACPI root pointer, 0: none */
    enum kernel_protocol protocol;
};

/*
 * Loads the kernel file at `path`. Errors, each one line naming the file: -ENOENT and other errno of opening and
 * reading; -ENOEXEC not a kernel, truncated or corrupt, 32-bit, for another ISA; -ENOTSUP protocol or compression not
 * known; -ENOMEM kernel or initrd does not fit into the map; -E2BIG command line or file too long.
 */
MUST_CHECK int kernel_load_file(struct gmem *gm, const char *path, const struct kernel_args *args, struct x86_boot *ret_boot,
                                struct error *err);

/* The same from memory; messages do not name a file. */
MUST_CHECK int kernel_load(struct gmem *gm, const void *image, size_t len, const struct kernel_args *args,
                           struct x86_boot *ret_boot, struct error *err);

#endif
