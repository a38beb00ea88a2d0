/* SPDX-License-Identifier: MIT */
/*
 * The software TLB's upkeep: fills, flushes, address spaces. See tlb.h.
 *
 * A flush of one page reaches all pieces of the large page it may lie in; which large pages were ever entered is kept as a hash,
 * so that flushes of small pages need not look for any. Single flushes are also noted in a ring, for engines that hold copies.
 *
 * Spec: Intel SDM 3A 4.10
 */
#include "isa/x86/tlb.h"

#include <stdlib.h>

static const uint8_t LARGE_SHIFT[3] = { 30, 22, 21 };

struct x86_tlb *x86_tlb_new(void)
{
    struct x86_tlb *tlb = calloc(1, sizeof(*tlb));
    if (tlb) {
        memset(tlb->entry, 0xff, sizeof(tlb->entry));
        tlb->next_asid = 1;
    }
    return tlb;
}

void x86_tlb_free(struct x86_tlb *tlb)
{
    free(tlb);
}

/* Forgets all entries and asids. */
static void forget(struct x86_tlb *t)
{
    memset(t->entry, 0xff, sizeof(t->entry));
    memset(t->asid_of_pcid, 0, sizeof(t->asid_of_pcid));
    memset(t->large, 0, sizeof(t->large));
    t->has_global[0] = t->has_global[1] = false;
    t->next_asid = 1;
    t->fetch_gen++;
    t->drops++;
}

void x86_tlb_flush_all(struct x86_cpu *c)
{
    forget(c->tlb);
    c->tlb->flushes++;
    x86_tlb_switch(c, false);
}

void x86_tlb_switch(struct x86_cpu *c, bool keep)
{
    struct x86_tlb *t = c->tlb;
    unsigned pcid = c->cr4 & CR4_PCIDE ? c->cr3 & 0xfff : 0;
    t->switches++;
    c->code_written = true;
    if (keep && t->asid_of_pcid[pcid]) {
        c->asid = t->asid_of_pcid[pcid];
        return;
    }
    if (t->next_asid == TLB_ASIDS) /* numbers used up: start over */
        forget(t);
    c->asid = t->asid_of_pcid[pcid] = t->next_asid++;
}

static void entry_clear(struct x86_tlb_entry *e)
{
    e->tag[X86_READ] = e->tag[X86_WRITE] = e->tag[X86_FETCH] = TLB_NO_TAG;
}

/* The tag that is set (all that are set are equal), or TLB_NO_TAG. */
static uint64_t entry_tag(const struct x86_tlb_entry *e)
{
    return e->tag[X86_READ] & e->tag[X86_WRITE] & e->tag[X86_FETCH];
}

/* ---- large pages ---- */

static unsigned large_bit(gva_t lin, unsigned shift)
{
    uint64_t n = lin >> shift;
    return (unsigned)(n ^ n >> 9 ^ n >> 18) % TLB_LARGE_BITS;
}

static void large_note(struct x86_tlb *t, gva_t lin, uint64_t page_size)
{
    for (unsigned k = 0; k < 3; k++) {
        unsigned bit = large_bit(lin, LARGE_SHIFT[k]);
        if (page_size == 1ULL << LARGE_SHIFT[k])
            t->large[lin >> 63][k][bit / 64] |= 1ULL << bit % 64;
    }
}

/* Of the largest page that lin may lie in. */
static unsigned largest_shift(const struct x86_tlb *t, gva_t lin)
{
    for (unsigned k = 0; k < 3; k++) {
        unsigned bit = large_bit(lin, LARGE_SHIFT[k]);
        if (t->large[lin >> 63][k][bit / 64] >> bit % 64 & 1)
            return LARGE_SHIFT[k];
    }
    return GPAGE_SHIFT;
}

/* Drops every piece of the large page that lin lies in. */
static void flush_large(struct x86_tlb *t, gva_t lin)
{
    for (unsigned b = 0; b < X86_BANK_NR; b++) {
        for (unsigned k = 0; k < TLB_ENTRIES; k++) {
            unsigned shift = t->page_shift[b][k];
            if (shift > GPAGE_SHIFT && entry_tag(&t->entry[b][k]) >> shift == lin >> shift)
                entry_clear(&t->entry[b][k]);
        }
    }
}

/* ---- flushes ---- */

void x86_tlb_flush_page(struct x86_cpu *c, gva_t lin)
{
    struct x86_tlb *t = c->tlb;
    unsigned shift = largest_shift(t, lin);
    for (unsigned b = 0; b < X86_BANK_NR; b++)
        if (entry_tag(tlb_entry(c, lin, b)) >> GPAGE_SHIFT == lin >> GPAGE_SHIFT)
            entry_clear(tlb_entry(c, lin, b));
    if (shift > GPAGE_SHIFT)
        flush_large(t, lin);
    t->flushed[t->page_flushes++ % TLB_FLUSHED] = (struct x86_tlb_flushed){
        .lin = lin,
        .asid = t->has_global[lin >> 63] ? 0 : (uint16_t)c->asid,
        .shift = (uint8_t)shift,
    };
    t->fetch_gen++;
    c->code_written = true;
}

void x86_tlb_flush_pcid(struct x86_cpu *c, int pcid)
{
    unsigned current = c->cr4 & CR4_PCIDE ? c->cr3 & 0xfff : 0;
    if (pcid < 0) {
        x86_tlb_flush_all(c);
        return;
    }
    c->tlb->asid_of_pcid[pcid & 0xfff] = 0;
    if ((unsigned)pcid == current)
        x86_tlb_switch(c, false);
}

/* ---- fills ---- */

void x86_tlb_fill(struct x86_cpu *c, gva_t lin, uint8_t *host, const struct x86_walk *w, enum x86_access access, unsigned bank)
{
    struct x86_tlb *t = c->tlb;
    struct x86_tlb_entry *e = tlb_entry(c, lin, bank);
    uint64_t tag = (lin & GPAGE_MASK) | c->asid, to_host = (uint64_t)host - lin;
    unsigned k = (lin >> GPAGE_SHIFT) & (TLB_ENTRIES - 1);
    uint8_t shift = (uint8_t)__builtin_ctzll(w->page_size);
    /* what an entry has of one page must be of one kind, too */
    bool same = e->to_host == to_host && entry_tag(e) == tag && t->global[bank][k] == w->global
                && t->page_shift[bank][k] == shift;
    if (!same) {
        entry_clear(e);
        e->to_host = to_host;
        t->page_shift[bank][k] = shift;
        t->global[bank][k] = w->global;
    }
    e->tag[access] = tag;
    /* a page that was written, or fetched from, can be read (no execute-only pages on x86) unless SMAP says otherwise */
    if (access == X86_WRITE)
        e->tag[X86_READ] = tag;
    if (access == X86_READ && w->dirty && w->writable)
        e->tag[X86_WRITE] = tag;
    t->has_global[lin >> 63] |= w->global;
    if (shift > GPAGE_SHIFT)
        large_note(t, lin, w->page_size);
}

uint8_t *x86_tlb_adopt(struct x86_cpu *c, gva_t lin, enum x86_access access, unsigned bank)
{
    struct x86_tlb *t = c->tlb;
    struct x86_tlb_entry *e = tlb_entry(c, lin, bank);
    if (!t->global[bank][(lin >> GPAGE_SHIFT) & (TLB_ENTRIES - 1)] || e->tag[access] == TLB_NO_TAG
        || (e->tag[access] & GPAGE_MASK) != (lin & GPAGE_MASK))
        return NULL;
    for (unsigned a = 0; a < 3; a++)
        if (e->tag[a] != TLB_NO_TAG)
            e->tag[a] = (lin & GPAGE_MASK) | c->asid;
    t->adopts++;
    return (uint8_t *)(lin + e->to_host);
}
