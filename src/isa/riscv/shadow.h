/* SPDX-License-Identifier: MIT */
/*
 * Shadow mappings: a RISC-V guest's virtual memory, as the host's memory management unit can show it to us.
 *
 * Code that runs all the time in U-mode accesses guest memory through windows: RISCV_BLOCK_SIZE bytes of our own addresses for a
 * block of as many guest addresses that begins at a multiple of it. Where a guest page is mapped, and may be accessed so
 * from U-mode, the window has the same page of guest RAM; everywhere else nobody may access it, and the host faults
 * (riscv_shadow_fill). What such code has to check is only that an address lies in the block.
 *
 * Windows are a TLB: nothing is in them that the software TLB may not hold, and whatever is flushed there is flushed here
 * (tlb.c). Pages with decoded code are in them for reading only, like those whose next write sets a D bit, so
 * that stores through windows need no look at code marks (struct gmem_storer). Owned and used by the vCPU's thread, also in its
 * handler of SIGSEGV. Guest RAM must be shared memory: gmem_share().
 * Spec: mmap(2); riscv privileged 12.2.1 (SFENCE.VMA)
 */
#ifndef DOPPEL_ISA_RISCV_SHADOW_H
#define DOPPEL_ISA_RISCV_SHADOW_H

#include "isa/riscv/mmu.h"

enum { RISCV_BLOCKS = 8 /* of each address space */, RISCV_BLOCK_SHIFT = 31, RISCV_BLOCK_SLACK = 8192 };
#define RISCV_BLOCK_SIZE (1ULL << RISCV_BLOCK_SHIFT)
/* The base of a block that there is not: no address less it is small. */
#define RISCV_BLOCK_NONE (1ULL << 63)

/* A block as translated code knows it. Block 0 of each space begins at 0. */
struct riscv_block {
    uint64_t base;    /* guest address, or RISCV_BLOCK_NONE */
    uint64_t to_host; /* address in its window - guest address */
};

struct riscv_shadow;

/* NULL when the host lacks the addresses or memory; gm is borrowed, and shared memory. */
struct riscv_shadow *riscv_shadow_new(struct gmem *gm);
void riscv_shadow_free(struct riscv_shadow *s);

static inline uint64_t riscv_block_of(gva_t va)
{
    return va & ~(RISCV_BLOCK_SIZE - 1);
}

/* Begins to show, in window `slot` of that space, the block at base (a multiple of RISCV_BLOCK_SIZE); what the window showed is
 * gone. At up to RISCV_BLOCK_SLACK bytes below and above it nobody may access anything. */
struct riscv_block riscv_shadow_show(struct riscv_shadow *s, unsigned space, unsigned slot, gva_t base);

/* An access at `host` faulted. False: that is in no window. */
bool riscv_shadow_find(const struct riscv_shadow *s, uint64_t host, unsigned *ret_space, gva_t *ret_va);
/* Shows the page of va, and what lies around it, if U-mode of the present address space may access it so: A and D are set as the
 * access would. Else the instruction is for the interpreter: it faults, or a window is not fit for it (registers of devices, a
 * page with code, no more mappings to be had). */
enum riscv_shown { RISCV_SHOWN, RISCV_SHADOW_FAULTS, RISCV_SHADOW_UNFIT };
enum riscv_shown riscv_shadow_fill(struct riscv_cpu *c, gva_t va, enum riscv_access access);

/* Forgets what is mapped of a space / at one page of it. */
void riscv_shadow_clear(struct riscv_shadow *s, unsigned space);
void riscv_shadow_forget(struct riscv_shadow *s, unsigned space, gva_t va);
/* Stores to a page of guest memory (its host address; NULL: any) must fault from now on, in all spaces. */
void riscv_shadow_drop_stores(struct riscv_shadow *s, const uint8_t *page);

/* For --stats. */
struct riscv_shadow_counts {
    uint64_t fills, pages, clears, drops,
        full; /* calls of fill; pages shown; windows emptied; for stores; for want of mappings */
};
struct riscv_shadow_counts riscv_shadow_counts(const struct riscv_shadow *s);

#endif
