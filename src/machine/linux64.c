/* SPDX-License-Identifier: MIT */
/*
 * Implementation of the Linux 64-bit boot protocol.
 */
#include "machine/linux64.h"

#include "base/checked.h"
#include "machine/initrd.h"

#include <asm/bootparam.h>
#include <assert.h>
#include <errno.h>
#include <string.h>

enum {
    BOOT_FLAG = 0xaa55,
    HEADER_MAGIC = 0x53726448, /* "HdrS" */
    LOADER_UNDEFINED = 0xff,   /* "no ID assigned" */
    CMDLINE_SIZE_DEFAULT = 255,
    CMDLINE_SIZE_VMLINUX = 2047, /* COMMAND_LINE_SIZE - 1 of every x86-64 kernel */
    INITRD_MAX_DEFAULT = 0x37ffffff,
    INITRD_MAX_VMLINUX = 0x7fffffff,
};

/* What a bzImage of a current kernel would say. */
static const struct setup_header vmlinux_header = {
    .boot_flag = BOOT_FLAG,
    .header = HEADER_MAGIC,
    .version = 0x020f,
    .loadflags = LOADED_HIGH,
    .kernel_alignment = 0x200000,
    .relocatable_kernel = 1,
    .xloadflags = XLF_KERNEL_64,
    .initrd_addr_max = INITRD_MAX_VMLINUX,
    .cmdline_size = CMDLINE_SIZE_VMLINUX,
};

static int write_e820(struct boot_params *bp, const struct kernel_args *args, struct error *err)
{
    if (args->nr_map > E820_MAX_ENTRIES_ZEROPAGE)
        return error_set(err, -ENOMEM, "a memory map with more than %d ranges", E820_MAX_ENTRIES_ZEROPAGE);
    for (unsigned i = 0; i < args->nr_map; i++)
        bp->e820_table[i] = (struct boot_e820_entry){ .addr = args->map[i].base,
                                                      .size = args->map[i].size,
                                                      .type = args->map[i].type };
    bp->e820_entries = args->nr_map;
    return 0;
}

int linux64_setup(struct gmem *gm, const struct setup_header *header, const struct kernel_args *args,
                  const struct load_extent *kernel, gpa_t entry, struct x86_boot *ret_boot, struct error *err)
{
    static_assert(sizeof(struct boot_params) == GPAGE_SIZE, "the zero page is a page");
    struct boot_params bp = { .hdr = header ? *header : vmlinux_header };
    struct load_extent initrd;
    struct x86_boot boot;
    uint64_t initrd_limit = (uint64_t)(bp.hdr.initrd_addr_max ? bp.hdr.initrd_addr_max : INITRD_MAX_DEFAULT) + 1;
    int r = write_e820(&bp, args, err);
    if (r >= 0)
        r = initrd_load(gm, args, initrd_limit, kernel, &initrd, err);
    if (r >= 0)
        r = x86_boot_cmdline(gm, args->cmdline, bp.hdr.cmdline_size ? bp.hdr.cmdline_size : CMDLINE_SIZE_DEFAULT, err);
    if (r >= 0)
        r = x86_boot_tables(gm, X86_BOOT_LONG64, &boot, err);
    if (r < 0)
        return r;
    bp.hdr.type_of_loader = LOADER_UNDEFINED;
    bp.hdr.cmd_line_ptr = X86_BOOT_CMDLINE;
    bp.hdr.ramdisk_image = initrd.start;
    bp.hdr.ramdisk_size = initrd.end - initrd.start;
    bp.hdr.setup_data = 0;
    bp.acpi_rsdp_addr = args->rsdp;
    if (gmem_write(gm, X86_BOOT_PARAMS, &bp, sizeof(bp)) < 0)
        return error_set(err, -EFAULT, "no RAM at %#x for the boot parameters", X86_BOOT_PARAMS);
    boot.entry = entry;
    boot.rsi = X86_BOOT_PARAMS;
    boot.protocol = "linux 64-bit";
    *ret_boot = boot;
    return 0;
}
