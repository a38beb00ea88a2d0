/* SPDX-License-Identifier: MIT */
/*
 * Implementation of the PVH boot protocol.
 */
#include "machine/pvh.h"

#include "base/checked.h"
#include "machine/initrd.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

enum {
    START_MAGIC = 0x336ec578,
    START_VERSION = 1, /* the first with a memory map */
    CMDLINE_MAX = 2047,
    INITRD_LIMIT = 0x7fffffff, /* as Linux' own header says */
};

struct hvm_start_info {
    uint32_t magic;
    uint32_t version;
    uint32_t flags;
    uint32_t nr_modules;
    uint64_t modlist_paddr;
    uint64_t cmdline_paddr;
    uint64_t rsdp_paddr;
    uint64_t memmap_paddr;
    uint32_t memmap_entries;
    uint32_t reserved;
};

struct hvm_module {
    uint64_t paddr;
    uint64_t size;
    uint64_t cmdline_paddr;
    uint64_t reserved;
};

struct hvm_memmap_entry {
    uint64_t addr;
    uint64_t size;
    uint32_t type;
    uint32_t reserved;
};

/* In X86_BOOT_TABLES. */
struct pvh_tables {
    struct hvm_module module;
    struct hvm_memmap_entry memmap[64];
};

static_assert(sizeof(struct hvm_start_info) == 56 && sizeof(struct hvm_memmap_entry) == 24, "layout of the protocol");
static_assert(sizeof(struct pvh_tables) <= GPAGE_SIZE, "the tables fit into their page");

static int write_tables(struct gmem *gm, const struct kernel_args *args, const struct load_extent *initrd, struct error *err)
{
    struct pvh_tables t = { .module = { .paddr = initrd->start, .size = initrd->end - initrd->start } };
    if (args->nr_map > ARRAY_SIZE(t.memmap))
        return error_set(err, -ENOMEM, "a memory map with more than %zu ranges", ARRAY_SIZE(t.memmap));
    for (unsigned i = 0; i < args->nr_map; i++)
        t.memmap[i] = (struct hvm_memmap_entry){ .addr = args->map[i].base,
                                                 .size = args->map[i].size,
                                                 .type = args->map[i].type };
    const struct hvm_start_info info = {
        .magic = START_MAGIC,
        .version = START_VERSION,
        .nr_modules = t.module.size != 0,
        .modlist_paddr = t.module.size ? X86_BOOT_TABLES + offsetof(struct pvh_tables, module) : 0,
        .cmdline_paddr = X86_BOOT_CMDLINE,
        .rsdp_paddr = args->rsdp,
        .memmap_paddr = X86_BOOT_TABLES + offsetof(struct pvh_tables, memmap),
        .memmap_entries = args->nr_map,
    };
    if (gmem_write(gm, X86_BOOT_TABLES, &t, sizeof(t)) < 0 || gmem_write(gm, X86_BOOT_PARAMS, &info, sizeof(info)) < 0)
        return error_set(err, -EFAULT, "no RAM at %#x for the start info", X86_BOOT_PARAMS);
    return 0;
}

int pvh_setup(struct gmem *gm, const struct kernel_args *args, const struct load_extent *kernel, gpa_t entry,
              struct x86_boot *ret_boot, struct error *err)
{
    struct load_extent initrd;
    struct x86_boot boot;
    int r = initrd_load(gm, args, INITRD_LIMIT, kernel, &initrd, err);
    if (r >= 0)
        r = write_tables(gm, args, &initrd, err);
    if (r >= 0)
        r = x86_boot_cmdline(gm, args->cmdline, CMDLINE_MAX, err);
    if (r >= 0)
        r = x86_boot_tables(gm, X86_BOOT_FLAT32, &boot, err);
    if (r < 0)
        return r;
    boot.entry = entry;
    boot.rbx = X86_BOOT_PARAMS;
    boot.protocol = "pvh";
    *ret_boot = boot;
    return 0;
}
