/* SPDX-License-Identifier: MIT */
/*
 * The software TLB, and the inlined hits of memory accesses.
 *
 * One direct-mapped table a bank (who accesses); an entry answers reads, writes and fetches with a tag each, so a page
 * that may be read but not yet written (D clear) hits for reads only. Tags carry the address-space number in their low
 * 12 bits; a switch of address space changes c->asid and leaves the entries alone. A global page's entry that was made in another
 * address space is made the current one's when it is missed (x86_tlb_adopt). Only RAM pages are entered; only canonical
 * addresses are, so a hit needs no canonical check.
 */
#ifndef DOPPEL_ISA_X86_TLB_H
#define DOPPEL_ISA_X86_TLB_H

#include <string.h>

#include "isa/x86/mmu.h"

enum { TLB_BITS = 11, TLB_ENTRIES = 1 << TLB_BITS, TLB_ASIDS = 4095, TLB_FLUSHED = 64, TLB_LARGE_BITS = 512 };
#define TLB_NO_TAG (~0ULL) /* no page's: there is no asid 4095 */

struct x86_tlb_entry {
    uint64_t tag[3];  /* by enum x86_access: linear page | asid, or TLB_NO_TAG */
    uint64_t to_host; /* host address - linear address */
};

/* A page that was flushed alone: for those who keep copies of translations. */
struct x86_tlb_flushed {
    gva_t lin;
    uint16_t asid; /* 0: in every address space */
    uint8_t shift; /* of its size, or larger */
};

struct x86_tlb {
    struct x86_tlb_entry entry[X86_BANK_NR][TLB_ENTRIES];
    uint8_t page_shift[X86_BANK_NR][TLB_ENTRIES]; /* of the guest page the entry is a 4 KiB piece of */
    bool global[X86_BANK_NR][TLB_ENTRIES];        /* the page is global: it is in every address space */
    uint16_t asid_of_pcid[4096];                  /* 0: none */
    uint16_t next_asid;
    bool has_global[2];                               /* by half of the address space: global pages were entered */
    uint64_t large[2][3][TLB_LARGE_BITS / 64];        /* by half and size: which large pages may have been entered, by hash */
    uint64_t fetch_gen;                               /* changes whenever a translation for fetches may have gone */
    uint64_t drops;                                   /* times all was forgotten, and with it which asid is what */
    struct x86_tlb_flushed flushed[TLB_FLUSHED];      /* the latest page flushes, each at its number modulo TLB_FLUSHED */
    uint64_t misses[3];                               /* by enum x86_access */
    uint64_t flushes, page_flushes, switches, adopts; /* page_flushes: those that are in `flushed`, ever */
};

static inline struct x86_tlb_entry *tlb_entry(const struct x86_cpu *c, gva_t lin, unsigned bank)
{
    return &c->tlb->entry[bank][(lin >> GPAGE_SHIFT) & (TLB_ENTRIES - 1)];
}

/* Host address when `size` bytes at lin hit, else NULL. */
static inline uint8_t *tlb_hit(const struct x86_cpu *c, gva_t lin, unsigned size, unsigned bank, enum x86_access access)
{
    const struct x86_tlb_entry *e = tlb_entry(c, lin, bank);
    if (__builtin_expect(e->tag[access] != ((lin & GPAGE_MASK) | c->asid), 0))
        return NULL;
    if (__builtin_expect((lin & ~GPAGE_MASK) > GPAGE_SIZE - size, 0))
        return NULL;
    return (uint8_t *)(lin + e->to_host);
}

/* Integers at any address; one host access each, so an aligned one is atomic as the guest expects. */
typedef uint16_t u16_any __attribute__((aligned(1), may_alias));
typedef uint32_t u32_any __attribute__((aligned(1), may_alias));
typedef uint64_t u64_any __attribute__((aligned(1), may_alias));

static inline uint64_t load_le(const void *p, unsigned size)
{
    uint64_t v = 0;
    switch (size) {
    case 1: return *(const uint8_t *)p;
    case 2: return *(const u16_any *)p;
    case 4: return *(const u32_any *)p;
    case 8: return *(const u64_any *)p;
    }
    memcpy(&v, p, size);
    return v;
}

static inline void store_le(void *p, uint64_t v, unsigned size)
{
    switch (size) {
    case 1: *(uint8_t *)p = (uint8_t)v; return;
    case 2: *(u16_any *)p = (uint16_t)v; return;
    case 4: *(u32_any *)p = (uint32_t)v; return;
    case 8: *(u64_any *)p = v; return;
    }
    memcpy(p, &v, size);
}

/* After a store to `host`: tells whoever decoded code from that page, and our own run loop. */
static inline void tlb_wrote(struct x86_cpu *c, const void *host)
{
    if (__builtin_expect(gmem_note_write(c->gmem, host), 0))
        c->code_written = true;
}

/* No segment check can fail: all are flat, and this is not a write through the code segment. */
static inline bool seg_is_open(const struct x86_cpu *c, enum x86_seg_reg seg, enum x86_access access)
{
    return c->flat && seg < SEG_FS && (access != X86_WRITE || seg != SEG_CS);
}

/* Linear address of seg:off when no check can fail but the canonical one (which a TLB hit implies); false otherwise. */
static inline bool seg_lin_quick(const struct x86_cpu *c, enum x86_seg_reg seg, uint64_t off, enum x86_access access,
                                 gva_t *ret_lin)
{
    if (__builtin_expect(c->mode == X86_MODE_64, 1)) {
        *ret_lin = seg >= SEG_FS ? off + c->seg[seg].base : off;
        return true;
    }
    *ret_lin = (uint32_t)off;
    return seg_is_open(c, seg, access);
}

/* Enters a RAM page for an access that was allowed. */
void x86_tlb_fill(struct x86_cpu *c, gva_t lin, uint8_t *host, const struct x86_walk *w, enum x86_access access, unsigned bank);
/* After a miss: the host address if the page is global and only its entry's address space is not this one. */
uint8_t *x86_tlb_adopt(struct x86_cpu *c, gva_t lin, enum x86_access access, unsigned bank);

/* Whether asid is still what a switch to pcid would choose. */
static inline bool tlb_asid_lives(const struct x86_tlb *t, unsigned pcid, uint64_t asid)
{
    return t->asid_of_pcid[pcid] == asid;
}

/* Host address of the byte at lin if an access of this kind is allowed and plain RAM, filling the TLB; NULL when it would
 * fault or needs the slow path. Never raises. */
uint8_t *x86_tlb_touch(struct x86_cpu *c, gva_t lin, enum x86_access access, enum x86_tlb_bank bank);
uint64_t x86_mem_read_slow(struct x86_cpu *c, enum x86_seg_reg seg, uint64_t off, unsigned size);
void x86_mem_write_slow(struct x86_cpu *c, enum x86_seg_reg seg, uint64_t off, uint64_t v, unsigned size);

static inline uint64_t mem_read(struct x86_cpu *c, enum x86_seg_reg seg, uint64_t off, unsigned size)
{
    gva_t lin;
    if (__builtin_expect(seg_lin_quick(c, seg, off, X86_READ, &lin) && !c->align_check, 1)) {
        const uint8_t *p = tlb_hit(c, lin, size, c->bank, X86_READ);
        if (__builtin_expect(p != NULL, 1))
            return load_le(p, size);
    }
    return x86_mem_read_slow(c, seg, off, size);
}

static inline void mem_write(struct x86_cpu *c, enum x86_seg_reg seg, uint64_t off, uint64_t v, unsigned size)
{
    gva_t lin;
    if (__builtin_expect(seg_lin_quick(c, seg, off, X86_WRITE, &lin) && !c->align_check, 1)) {
        uint8_t *p = tlb_hit(c, lin, size, c->bank, X86_WRITE);
        if (__builtin_expect(p != NULL, 1)) {
            store_le(p, v, size);
            tlb_wrote(c, p);
            return;
        }
    }
    x86_mem_write_slow(c, seg, off, v, size);
}

#endif
