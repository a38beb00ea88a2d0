/* SPDX-License-Identifier: MIT */
/*
 * How CPU 0 of an x86 board starts: what a loader hands to the board, free of any CPU type.
 *
 * A loader puts a kernel into guest memory and describes the state the kernel's boot protocol wants in struct x86_boot;
 * the board turns that into register state. All structures a protocol needs besides the kernel itself (boot parameters,
 * command line, GDT, page tables, start infos) lie in one fixed block of low memory, X86_BOOT_BASE..X86_BOOT_END,
 * inside the RAM below 640 KiB; the board keeps its own tables (ACPI, MP) out of that block. The guest may reuse it
 * once it has read it.
 *
 * Spec: Linux Documentation/arch/x86/boot.rst "64-bit Boot Protocol"; Multiboot 0.6.96 section 3.2;
 * Xen docs/misc/pvh.pandoc.
 */
#ifndef DOPPEL_MACHINE_X86_BOOT_H
#define DOPPEL_MACHINE_X86_BOOT_H

#include "core/gmem.h"

/* Values are those of the ACPI / e820 / Multiboot / PVH memory maps, which agree. */
enum mem_type { MEM_TYPE_RAM = 1, MEM_TYPE_RESERVED = 2, MEM_TYPE_ACPI = 3, MEM_TYPE_NVS = 4 };

/* One range of the memory map the board gives to the guest. Ranges are sorted by base and do not overlap. */
struct mem_range {
    gpa_t base;
    uint64_t size; /* bytes */
    enum mem_type type;
};

enum x86_boot_mode { X86_BOOT_REAL16, X86_BOOT_FLAT32, X86_BOOT_LONG64 };

/* Guest physical addresses of the low block. */
enum {
    X86_BOOT_BASE = 0x10000,
    X86_BOOT_PARAMS = 0x10000, /* zero page, hvm_start_info or Multiboot information; one page */
    X86_BOOT_GDT = 0x11000,
    X86_BOOT_PAGES = 0x12000,   /* PML4, PDPT and 4 page directories mapping 0..4 GiB with 2 MiB pages */
    X86_BOOT_TABLES = 0x18000,  /* memory map, module list and strings of PVH and Multiboot; up to the command line */
    X86_BOOT_CMDLINE = 0x20000, /* up to X86_BOOT_CMDLINE_MAX bytes with the final NUL */
    X86_BOOT_CMDLINE_MAX = 0x10000,
    X86_BOOT_STACK = 0x31000, /* initial stack pointer; one page below it is free */
    X86_BOOT_END = 0x31000,   /* exclusive */
};

/* Selectors in the GDT at X86_BOOT_GDT: __BOOT_CS and __BOOT_DS of Linux, and a busy TSS. */
enum { X86_BOOT_CS = 0x10, X86_BOOT_DS = 0x18, X86_BOOT_TSS = 0x20 };

/*
 * The state to give to CPU 0, in addition to the CPU's reset state; interrupts are off, RFLAGS = 2.
 *
 * LONG64: CR0 = PE|ET|NE|WP|PG, CR4 = PAE, EFER = LME|LMA, CS = X86_BOOT_CS (64-bit code, base 0), DS = ES = SS = FS = GS =
 *   X86_BOOT_DS (flat data).
 * FLAT32: CR0 = PE|ET|NE, CS = X86_BOOT_CS (32-bit code, base 0, limit 4 GiB), data segments X86_BOOT_DS (flat), TR =
 *   X86_BOOT_TSS (base 0, limit 0x67, as PVH asks for). A20 open.
 * REAL16: CS base = entry & ~0xf, IP = entry & 0xf.
 */
struct x86_boot {
    enum x86_boot_mode mode;
    uint64_t entry; /* RIP: physical and, under the identity mapping, linear address */
    uint64_t rax;
    uint64_t rbx;
    uint64_t rsi;
    uint64_t rsp;
    gpa_t cr3; /* 0 when paging is off */
    gpa_t gdt_base;
    uint16_t gdt_limit;
    const char *protocol; /* static text for logs: "linux 64-bit", "pvh", "multiboot" */
};

/* The address range a loader occupied: [start, end). */
struct load_extent {
    gpa_t start;
    gpa_t end;
};

/* Checks that the low block is RAM in the map. -ENOMEM when it is not. */
MUST_CHECK int x86_boot_check_map(const struct mem_range *map, unsigned nr_map, struct error *err);

/* Writes the GDT for `mode` (LONG64 or FLAT32), and for LONG64 the identity page tables; fills every field of *ret_boot
 * but entry, rax, rbx and rsi, which become 0. -EFAULT when the low block is not RAM. */
MUST_CHECK int x86_boot_tables(struct gmem *gm, enum x86_boot_mode mode, struct x86_boot *ret_boot, struct error *err);

/* Writes the command line with its NUL to X86_BOOT_CMDLINE. -E2BIG when it is longer than `max` bytes (without NUL) or
 * than X86_BOOT_CMDLINE_MAX - 1. */
MUST_CHECK int x86_boot_cmdline(struct gmem *gm, const char *cmdline, size_t max, struct error *err);

/* Highest page-aligned address where `size` bytes lie in one RAM range of the map, at or above 1 MiB, below `limit`
 * (exclusive) and clear of `taken`. -ENOMEM when there is none. */
MUST_CHECK int x86_boot_place_high(const struct mem_range *map, unsigned nr_map, uint64_t size, uint64_t limit,
                                   const struct load_extent *taken, gpa_t *ret_gpa);

/* 0 when all of [base, base+size) is RAM in the map, else -ENOMEM. Adjacent RAM ranges count as one. */
MUST_CHECK int x86_boot_check_ram(const struct mem_range *map, unsigned nr_map, gpa_t base, uint64_t size);

/* Highest exclusive end of the RAM ranges below 4 GiB. */
gpa_t x86_boot_low_ram_end(const struct mem_range *map, unsigned nr_map);

#endif
