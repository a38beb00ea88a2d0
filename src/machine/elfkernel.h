/* SPDX-License-Identifier: MIT */
/*
 * Reads ELF executables, x86 of 32 and 64 bits and RISC-V of 64, as kernels: loadable segments by physical address, entry, PVH
 * note.
 *
 * The image is untrusted; a parsed struct elfkernel holds only checked offsets into it. Virtual addresses matter only for
 * an entry point given as one.
 *
 * Spec: ELF gABI 4.1 "Object Files", "Program Loading"; Xen xen/include/public/elfnote.h XEN_ELFNOTE_PHYS32_ENTRY.
 */
#ifndef DOPPEL_MACHINE_ELFKERNEL_H
#define DOPPEL_MACHINE_ELFKERNEL_H

#include "machine/x86_boot.h"

enum { ELFKERNEL_SEGMENTS_MAX = 64 };

/* A PT_LOAD segment with memory. */
struct elfkernel_segment {
    uint64_t offset;    /* of the file bytes; offset + file_size is inside the file */
    uint64_t file_size; /* bytes, at most mem_size */
    uint64_t vaddr;
    gpa_t paddr;
    uint64_t mem_size; /* bytes, not 0; paddr + mem_size does not overflow */
};

struct elfkernel {
    const uint8_t *data; /* borrowed (the caller keeps the file while it uses this) */
    size_t len;
    bool is_64;
    bool is_executable;   /* ET_EXEC, not ET_DYN */
    bool is_user_program; /* has an interpreter or thread-local storage */
    bool has_pvh;
    uint64_t pvh_entry; /* physical; valid with has_pvh */
    uint64_t entry;     /* as in the header */
    struct load_extent extent;
    unsigned nr_segments;
    struct elfkernel_segment segment[ELFKERNEL_SEGMENTS_MAX];
};

/* True when the bytes begin like an ELF file. */
bool elfkernel_detect(const void *data, size_t len);

/* -ENOEXEC with the reason: truncated, broken, not executable, or made for another ISA (named). */
MUST_CHECK int elfkernel_parse(const void *data, size_t len, struct elfkernel *ret_elf, struct error *err);

/* The same for a 64-bit RISC-V kernel. */
MUST_CHECK int elfkernel_parse_riscv(const void *data, size_t len, struct elfkernel *ret_elf, struct error *err);

/* The entry as a physical address: translated when it is the virtual address of a segment. -ENOEXEC when it is in no
 * segment. */
MUST_CHECK int elfkernel_entry(const struct elfkernel *elf, gpa_t *ret_entry, struct error *err);

/* Copies the segments and zeroes their tails. -ENOMEM when one is not in RAM of the map or overlaps the low block of
 * x86_boot.h. */
MUST_CHECK int elfkernel_load(struct gmem *gm, const struct elfkernel *elf, const struct mem_range *map, unsigned nr_map,
                              struct error *err);

/* The check that elfkernel_load() makes for one range; `what` names it in the message. */
MUST_CHECK int elfkernel_check_range(const struct mem_range *map, unsigned nr_map, gpa_t base, uint64_t size, struct error *err);

#endif
