/* SPDX-License-Identifier: MIT */
/*
 * Implementation of the Multiboot 1 loader.
 */
#include "machine/multiboot.h"

#include "base/checked.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

enum {
    HEADER_MAGIC = 0x1badb002,
    LOADER_MAGIC = 0x2badb002,
    SEARCH_BYTES = 8192,
    FLAGS_KNOWN = 0x7,       /* page-aligned modules, memory information, video mode */
    FLAGS_REQUIRED = 0xffff, /* of these, unknown ones must be refused */
    ADDRESS_FIELDS_END = 32,
    KIB = 1024,
    LOW_MEMORY_MAX = 640, /* KiB */
    MMAP_MAX = 64,
    STRINGS_MAX = 2048, /* bytes for module command lines */
};
#define MIB1 0x100000UL

enum info_flag {
    INFO_MEMORY = 1 << 0,
    INFO_CMDLINE = 1 << 2,
    INFO_MODULES = 1 << 3,
    INFO_MMAP = 1 << 6,
    INFO_LOADER_NAME = 1 << 9,
};

struct mb_info {
    uint32_t flags;
    uint32_t mem_lower; /* KiB */
    uint32_t mem_upper; /* KiB from 1 MiB */
    uint32_t boot_device;
    uint32_t cmdline;
    uint32_t mods_count;
    uint32_t mods_addr;
    uint32_t syms[4];
    uint32_t mmap_length; /* bytes */
    uint32_t mmap_addr;
    uint32_t drives[2];
    uint32_t config_table;
    uint32_t boot_loader_name;
    uint32_t apm_table;
    uint32_t vbe[6];
    uint32_t framebuffer[7];
};

struct mb_module {
    uint32_t start;
    uint32_t end; /* exclusive */
    uint32_t cmdline;
    uint32_t reserved;
};

/* Packed: the 64-bit fields are at multiples of 4. */
struct mb_mmap_entry {
    uint32_t size; /* of the rest */
    uint64_t base;
    uint64_t length;
    uint32_t type;
} __attribute__((packed));

/* In X86_BOOT_TABLES. */
struct mb_tables {
    struct mb_mmap_entry mmap[MMAP_MAX];
    struct mb_module modules[KERNEL_MODULES_MAX];
    char loader_name[16];
    char strings[STRINGS_MAX];
};

static_assert(sizeof(struct mb_mmap_entry) == 24, "layout of the specification");
static_assert(offsetof(struct mb_info, boot_loader_name) == 64, "layout of the specification");
static_assert(sizeof(struct mb_tables) <= 2 * GPAGE_SIZE, "the tables fit before the command line");

static uint32_t le32(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* Copies [src, src+len) to gpa and zeroes up to mem_size. */
static int place(struct gmem *gm, const struct kernel_args *args, gpa_t gpa, const uint8_t *src, size_t len, uint64_t mem_size,
                 struct error *err)
{
    int r = elfkernel_check_range(args->map, args->nr_map, gpa, mem_size, err);
    if (r < 0)
        return r;
    uint8_t *p = gmem_pin(gm, gpa, mem_size); /* before the CPU runs: there are no code marks to note */
    if (!p)
        return error_set(err, -ENOMEM, "no RAM at %#" PRIx64, gpa);
    memcpy(p, src, len);
    memset(p + len, 0, mem_size - len);
    return 0;
}

/* Loads by the header's address fields (the specification's way for a.out). */
static int load_by_addresses(struct gmem *gm, const uint8_t *data, size_t len, const struct multiboot_header *h,
                             const struct kernel_args *args, struct load_extent *ret_extent, struct error *err)
{
    if (h->header_addr < h->load_addr || h->header_addr - h->load_addr > h->at)
        return error_set(err, -ENOEXEC, "broken Multiboot header: header at %#x, but loading starts at %#x", h->header_addr,
                         h->load_addr);
    const size_t start = h->at - (h->header_addr - h->load_addr);
    if (h->load_end_addr && h->load_end_addr <= h->load_addr)
        return error_set(err, -ENOEXEC, "broken Multiboot header: loading ends at %#x, before it starts at %#x", h->load_end_addr,
                         h->load_addr);
    const uint64_t load = h->load_end_addr ? h->load_end_addr - h->load_addr : len - start;
    if (load > len - start)
        return error_set(err, -ENOEXEC, "truncated: the Multiboot header wants %" PRIu64 " bytes, the file has %zu", load,
                         len - start);
    const uint64_t load_end = h->load_addr + load;
    if (h->bss_end_addr && h->bss_end_addr < load_end)
        return error_set(err, -ENOEXEC, "broken Multiboot header: bss ends at %#x, before the data at %#" PRIx64, h->bss_end_addr,
                         load_end);
    const uint64_t end = h->bss_end_addr ? h->bss_end_addr : load_end;
    if (h->entry_addr < h->load_addr || h->entry_addr >= end)
        return error_set(err, -ENOEXEC, "broken Multiboot header: entry %#x is outside of the kernel", h->entry_addr);
    *ret_extent = (struct load_extent){ .start = h->load_addr, .end = end };
    return place(gm, args, h->load_addr, data + start, load, end - h->load_addr, err);
}

static int load_elf(struct gmem *gm, const struct elfkernel *elf, const struct kernel_args *args, struct load_extent *ret_extent,
                    gpa_t *ret_entry, struct error *err)
{
    if (!elf)
        return error_set(err, -ENOEXEC, "a Multiboot header without address fields in a file that is not ELF");
    if (elf->is_64)
        return error_set(err, -ENOEXEC,
                         "a 64-bit ELF file with a Multiboot 1 header, which starts 32-bit code (objcopy -O elf32-i386 makes it "
                         "one that loads)");
    int r = elfkernel_entry(elf, ret_entry, err);
    if (r < 0)
        return r;
    *ret_extent = elf->extent;
    return elfkernel_load(gm, elf, args->map, args->nr_map, err);
}

/* Modules go behind the kernel, each on its own pages. */
static int load_modules(struct gmem *gm, const struct kernel_args *args, gpa_t at, struct mb_tables *t, struct error *err)
{
    size_t used = 0;
    for (unsigned i = 0; i < args->nr_modules; i++) {
        const struct kernel_module *m = &args->modules[i];
        const char *cmdline = m->cmdline ? m->cmdline : "";
        const size_t room = strlen(cmdline) + 1;
        at = ALIGN_UP(at, GPAGE_SIZE);
        if (at + m->len > UINT32_MAX || x86_boot_check_ram(args->map, args->nr_map, at, m->len) < 0
            || (m->len && gmem_write(gm, at, m->data, m->len) < 0))
            return error_set(err, -ENOMEM,
                             "the initrd or module of %zu bytes does not fit into RAM behind the kernel, at %#" PRIx64
                             " (give the machine more memory)",
                             m->len, at);
        if (room > sizeof(t->strings) - used)
            return error_set(err, -E2BIG, "the command lines of the modules have more than %zu bytes", sizeof(t->strings));
        memcpy(t->strings + used, cmdline, room);
        t->modules[i] = (struct mb_module){
            .start = at,
            .end = at + m->len,
            .cmdline = X86_BOOT_TABLES + offsetof(struct mb_tables, strings) + used,
        };
        used += room;
        at += m->len;
    }
    return 0;
}

/* KiB of RAM from `base` on without a hole, counting at most `max` KiB. */
static uint32_t memory_kib(const struct kernel_args *args, gpa_t base, uint64_t max)
{
    for (unsigned i = 0; i < args->nr_map; i++) {
        const struct mem_range *m = &args->map[i];
        if (m->type == MEM_TYPE_RAM && m->base <= base && base - m->base < m->size)
            return MIN((m->base + m->size - base) / KIB, max);
    }
    return 0;
}

static int write_info(struct gmem *gm, const struct kernel_args *args, struct mb_tables *t, struct error *err)
{
    if (args->nr_map > MMAP_MAX)
        return error_set(err, -ENOMEM, "a memory map with more than %d ranges", MMAP_MAX);
    for (unsigned i = 0; i < args->nr_map; i++)
        t->mmap[i] = (struct mb_mmap_entry){
            .size = sizeof(t->mmap[i]) - sizeof(t->mmap[i].size),
            .base = args->map[i].base,
            .length = args->map[i].size,
            .type = args->map[i].type,
        };
    memcpy(t->loader_name, "doppel", sizeof("doppel"));
    const struct mb_info info = {
        .flags = INFO_MEMORY | INFO_CMDLINE | INFO_MMAP | INFO_LOADER_NAME | (args->nr_modules ? INFO_MODULES : 0),
        .mem_lower = memory_kib(args, 0, LOW_MEMORY_MAX),
        .mem_upper = memory_kib(args, MIB1, UINT32_MAX),
        .cmdline = X86_BOOT_CMDLINE,
        .mods_count = args->nr_modules,
        .mods_addr = args->nr_modules ? X86_BOOT_TABLES + offsetof(struct mb_tables, modules) : 0,
        .mmap_length = args->nr_map * sizeof(t->mmap[0]),
        .mmap_addr = X86_BOOT_TABLES + offsetof(struct mb_tables, mmap),
        .boot_loader_name = X86_BOOT_TABLES + offsetof(struct mb_tables, loader_name),
    };
    if (gmem_write(gm, X86_BOOT_TABLES, t, sizeof(*t)) < 0 || gmem_write(gm, X86_BOOT_PARAMS, &info, sizeof(info)) < 0)
        return error_set(err, -EFAULT, "no RAM at %#x for the Multiboot information", X86_BOOT_PARAMS);
    return 0;
}

bool multiboot_find(const void *data, size_t len, struct multiboot_header *ret_header)
{
    const uint8_t *p = data;
    const size_t end = MIN(len, (size_t)SEARCH_BYTES);
    for (size_t at = 0; at + 12 <= end; at += 4) {
        if (le32(p + at) != HEADER_MAGIC || le32(p + at) + le32(p + at + 4) + le32(p + at + 8) != 0)
            continue;
        struct multiboot_header h = { .at = at, .flags = le32(p + at + 4) };
        if (h.flags & MULTIBOOT_HEADER_ADDRESSES) {
            if (at + ADDRESS_FIELDS_END > end)
                continue;
            h.header_addr = le32(p + at + 12);
            h.load_addr = le32(p + at + 16);
            h.load_end_addr = le32(p + at + 20);
            h.bss_end_addr = le32(p + at + 24);
            h.entry_addr = le32(p + at + 28);
        }
        *ret_header = h;
        return true;
    }
    return false;
}

int multiboot_load(struct gmem *gm, const void *data, size_t len, const struct multiboot_header *header,
                   const struct elfkernel *elf, const struct kernel_args *args, struct x86_boot *ret_boot, struct error *err)
{
    struct mb_tables tables = { 0 };
    struct load_extent extent = { 0 };
    struct x86_boot boot;
    gpa_t entry = header->entry_addr;
    int r;
    if (header->flags & FLAGS_REQUIRED & ~FLAGS_KNOWN)
        return error_set(err, -ENOTSUP, "its Multiboot header requires features (flags %#x) that Multiboot 1 does not have",
                         header->flags & FLAGS_REQUIRED & ~FLAGS_KNOWN);
    if (header->flags & MULTIBOOT_HEADER_ADDRESSES)
        r = load_by_addresses(gm, data, len, header, args, &extent, err);
    else
        r = load_elf(gm, elf, args, &extent, &entry, err);
    if (r >= 0)
        r = load_modules(gm, args, extent.end, &tables, err);
    if (r >= 0)
        r = write_info(gm, args, &tables, err);
    if (r >= 0)
        r = x86_boot_cmdline(gm, args->cmdline, X86_BOOT_CMDLINE_MAX, err);
    if (r >= 0)
        r = x86_boot_tables(gm, X86_BOOT_FLAT32, &boot, err);
    if (r < 0)
        return r;
    boot.entry = entry;
    boot.rax = LOADER_MAGIC;
    boot.rbx = X86_BOOT_PARAMS;
    boot.protocol = "multiboot";
    *ret_boot = boot;
    return 0;
}
