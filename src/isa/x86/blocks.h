/* SPDX-License-Identifier: MIT */
/*
 * Decoded x86 code of one CPU: runs of instructions within a guest physical page, up to a branch.
 *
 * Blocks are keyed by host page, offset and code width, so they outlive changes of address space; a per-page generation
 * (core/gmem.h) tells when their bytes may have changed, and then the bytes decide. A small cache by linear address in
 * front saves the translation of the instruction pointer. The memory is used in regions, in turn; when it is full the oldest
 * region's blocks go. A block's memory is only ever reused for another block, so that a stale pointer to one (x86_block_ref)
 * does no harm before it is found to be stale.
 * Owned by the vCPU's thread; nothing is shared between CPUs.
 */
#ifndef DOPPEL_ISA_X86_BLOCKS_H
#define DOPPEL_ISA_X86_BLOCKS_H

#include "isa/x86/decode.h"

enum { BLOCK_MAX_INSNS = 96 };

/* A block found before, and under what it was. ctx is everything but the linear address that the answer depends on. */
struct x86_block_ref {
    uint64_t lin, ctx;
    struct x86_block *block; /* NULL: none */
};

enum { BLOCK_SUCCESSORS = 2 };

struct x86_block {
    uint64_t key;           /* page << 16 | offset << 4 | mode */
    struct x86_block *next; /* in the hash bucket */
    uint64_t page;          /* index in guest memory */
    uint32_t gen;           /* of the page when the bytes were last compared */
    uint16_t nr;
    uint16_t bytes;    /* of code */
    uint8_t oldest;    /* of the successors: the one to be replaced next */
    uint16_t heat;     /* times an engine that translates has met it; the engine's */
    void *translation; /* the engine's; NULL: none. Gone, like the block, when x86_blocks_drop() was called, or was evicted */
    struct x86_block_ref after[BLOCK_SUCCESSORS]; /* where execution went on, lately */
    uint8_t times[BLOCK_SUCCESSORS];              /* how often there, at most 255 */
    struct x86_insn *insn;                        /* nr of them; NULL: this is no block any more */
};

struct x86_blocks;

enum { BLOCKS_BYTES_MIN = 128 << 10 };

/* Takes at most so many bytes for blocks (BLOCKS_BYTES_MIN or more), in at most so many regions (2 or more); NULL when out of
 * memory. */
struct x86_blocks *x86_blocks_new(size_t bytes, unsigned regions);
void x86_blocks_free(struct x86_blocks *blocks);
void x86_blocks_drop(struct x86_blocks *blocks);
/* Has fn called for each block that is about to be evicted, and then once with NULL. Any call that may decode may evict. */
void x86_blocks_on_evict(struct x86_blocks *blocks, void (*fn)(void *owner, struct x86_block *b), void *owner);
/* Evicts the oldest region's blocks now, and goes on there. */
void x86_blocks_evict(struct x86_blocks *blocks);

/*
 * The block that starts at c->rip, decoded if need be. NULL: the instruction there crosses into another page or is not in
 * RAM, or the page's mark is not in force yet (gmem_mark_code()): use x86_blocks_fetch_one(). Raises #PF for the fetch. Remembers
 * the block as the one that runs now; the next call looks among its successors first.
 */
struct x86_block *x86_blocks_find(struct x86_blocks *blocks, struct x86_cpu *c);
/* The next block found is no successor of the last one: others have run in between. */
void x86_blocks_lose_track(struct x86_blocks *blocks);
/* The one instruction at c->rip, from one page or two. Raises #PF. Valid until the next call on these blocks. */
const struct x86_insn *x86_blocks_fetch_one(struct x86_blocks *blocks, struct x86_cpu *c);

/* The same if it lies across two pages and is known from before; else NULL. Marks no page as code. */
const struct x86_insn *x86_blocks_crossing(struct x86_blocks *blocks, struct x86_cpu *c);

/* Decodes one instruction of at most `left` bytes, with the step function it has on this CPU model; X86_DECODE_SHORT when the
 * bytes end first, else 0 with *ret made, perhaps one that faults: then it has no bytes to compare. */
int x86_blocks_decode(const struct x86_cpu *c, const uint8_t *bytes, unsigned left, struct x86_insn *ret);
bool x86_insn_faults(const struct x86_insn *i);
/* It is the last of its block: a branch, one after which the mode may differ, a repeated one, or one that faults. */
bool x86_insn_ends_block(const struct x86_insn *i);

struct x86_blocks_stats {
    uint64_t built, insns_decoded, revalidated, stale, drops, evictions, lookups_slow, uncached;
};
const struct x86_blocks_stats *x86_blocks_stats(const struct x86_blocks *blocks);

#endif
