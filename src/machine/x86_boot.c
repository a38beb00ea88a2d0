/* SPDX-License-Identifier: MIT */
/*
 * Implementation of the parts every x86 boot protocol shares: GDT, identity page tables, command line, placement.
 */
#include "machine/x86_boot.h"

#include "base/checked.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

enum {
    PTE_P = 1 << 0,
    PTE_RW = 1 << 1,
    PTE_US = 1 << 2,
    PTE_PS = 1 << 7,
    PT_ENTRIES = 512,
    PD_COUNT = 4,    /* one maps 1 GiB */
    GDT_ENTRIES = 6, /* the TSS entry may be looked at as a 16-byte one in long mode */
};
#define LARGE_PAGE (2UL << 20)
#define GIB4 (4UL << 30)

/* Descriptors with base 0 and limit 0xfffff pages, accessed bit set. */
#define GDT_CODE64 0x00af9b000000ffffULL
#define GDT_CODE32 0x00cf9b000000ffffULL
#define GDT_DATA 0x00cf93000000ffffULL
#define GDT_TSS 0x00008b0000000067ULL

static int write_page_tables(struct gmem *gm, struct error *err)
{
    uint64_t *t = gmem_pin(gm, X86_BOOT_PAGES, (2 + PD_COUNT) * GPAGE_SIZE);
    if (!t)
        return error_set(err, -EFAULT, "no RAM at 0x%x for page tables", X86_BOOT_PAGES);
    memset(t, 0, 2 * GPAGE_SIZE);
    uint64_t *pdpt = t + PT_ENTRIES;
    uint64_t *pd = pdpt + PT_ENTRIES;
    t[0] = (X86_BOOT_PAGES + GPAGE_SIZE) | PTE_P | PTE_RW | PTE_US;
    for (unsigned i = 0; i < PD_COUNT; i++)
        pdpt[i] = (X86_BOOT_PAGES + (2 + i) * GPAGE_SIZE) | PTE_P | PTE_RW | PTE_US;
    for (unsigned i = 0; i < PD_COUNT * PT_ENTRIES; i++)
        pd[i] = i * LARGE_PAGE | PTE_P | PTE_RW | PTE_PS;
    return 0;
}

int x86_boot_check_ram(const struct mem_range *map, unsigned nr_map, gpa_t base, uint64_t size)
{
    gpa_t end;
    if (ckd_add(&end, base, size))
        return -ENOMEM;
    for (unsigned i = 0; i < nr_map && base < end; i++) {
        if (map[i].type == MEM_TYPE_RAM && map[i].base <= base && base - map[i].base < map[i].size)
            base = map[i].base + map[i].size;
    }
    return base >= end ? 0 : -ENOMEM;
}

int x86_boot_check_map(const struct mem_range *map, unsigned nr_map, struct error *err)
{
    if (x86_boot_check_ram(map, nr_map, X86_BOOT_BASE, X86_BOOT_END - X86_BOOT_BASE) < 0)
        return error_set(err, -ENOMEM, "too little memory: no RAM at 0x%x-0x%x for the boot tables", X86_BOOT_BASE,
                         X86_BOOT_END - 1);
    return 0;
}

int x86_boot_tables(struct gmem *gm, enum x86_boot_mode mode, struct x86_boot *ret_boot, struct error *err)
{
    const uint64_t gdt[GDT_ENTRIES] = {
        [X86_BOOT_CS / 8] = mode == X86_BOOT_LONG64 ? GDT_CODE64 : GDT_CODE32,
        [X86_BOOT_DS / 8] = GDT_DATA,
        [X86_BOOT_TSS / 8] = GDT_TSS,
    };
    if (gmem_write(gm, X86_BOOT_GDT, gdt, sizeof(gdt)) < 0)
        return error_set(err, -EFAULT, "no RAM at 0x%x for the GDT", X86_BOOT_GDT);
    if (mode == X86_BOOT_LONG64) {
        int r = write_page_tables(gm, err);
        if (r < 0)
            return r;
    }
    *ret_boot = (struct x86_boot){
        .mode = mode,
        .rsp = X86_BOOT_STACK,
        .cr3 = mode == X86_BOOT_LONG64 ? X86_BOOT_PAGES : 0,
        .gdt_base = X86_BOOT_GDT,
        .gdt_limit = sizeof(gdt) - 1,
    };
    return 0;
}

int x86_boot_cmdline(struct gmem *gm, const char *cmdline, size_t max, struct error *err)
{
    size_t len = strlen(cmdline);
    max = MIN(max, (size_t)X86_BOOT_CMDLINE_MAX - 1);
    if (len > max)
        return error_set(err, -E2BIG, "the command line has %zu bytes, the kernel takes at most %zu", len, max);
    if (gmem_write(gm, X86_BOOT_CMDLINE, cmdline, len + 1) < 0)
        return error_set(err, -EFAULT, "no RAM at 0x%x for the command line", X86_BOOT_CMDLINE);
    return 0;
}

/* Highest page-aligned place in [lo, hi) clear of taken, or 0. */
static gpa_t place_in(gpa_t lo, gpa_t hi, uint64_t size, const struct load_extent *taken)
{
    if (hi <= lo || hi - lo < size)
        return 0;
    gpa_t at = ALIGN_DOWN(hi - size, GPAGE_SIZE);
    if (at >= lo && (at >= taken->end || at + size <= taken->start))
        return at;
    if (taken->start >= hi || taken->start <= lo || taken->start - lo < size)
        return 0;
    at = ALIGN_DOWN(taken->start - size, GPAGE_SIZE);
    return at >= lo ? at : 0;
}

int x86_boot_place_high(const struct mem_range *map, unsigned nr_map, uint64_t size, uint64_t limit,
                        const struct load_extent *taken, gpa_t *ret_gpa)
{
    for (unsigned i = nr_map; i-- > 0;) {
        if (map[i].type != MEM_TYPE_RAM)
            continue;
        gpa_t lo = MAX(map[i].base, (gpa_t)1 << 20);
        gpa_t at = place_in(lo, MIN(map[i].base + map[i].size, limit), size, taken);
        if (at) {
            *ret_gpa = at;
            return 0;
        }
    }
    return -ENOMEM;
}

gpa_t x86_boot_low_ram_end(const struct mem_range *map, unsigned nr_map)
{
    gpa_t end = 0;
    for (unsigned i = 0; i < nr_map; i++) {
        if (map[i].type == MEM_TYPE_RAM && map[i].base < GIB4)
            end = MIN(map[i].base + map[i].size, GIB4);
    }
    return end;
}
