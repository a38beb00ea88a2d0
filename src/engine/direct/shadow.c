/* SPDX-License-Identifier: MIT */
/*
 * The shadow of the guest's page tables in a process.
 *
 * Two maps of bits, by hash, say what need not be unmapped because it never was mapped: INVLPG of a page that nobody has touched
 * since, as kernels do when they map one, costs nothing here. Neighbours are unmapped together.
 *
 * Spec: Intel SDM 3A 4.10
 */
#include "engine/direct/shadow.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "isa/x86/tlb.h"

enum { LARGE_SHIFT = 21, LARGE = 1 << LARGE_SHIFT };

static unsigned hash(gva_t va, unsigned shift)
{
    uint64_t page = va >> shift;
    return (unsigned)((page ^ page >> 13) % SHADOW_BITS);
}

static void note(uint64_t *bits, gva_t va, unsigned shift)
{
    bits[hash(va, shift) / 64] |= 1ULL << hash(va, shift) % 64;
}

static bool noted(const uint64_t *bits, gva_t va, unsigned shift)
{
    return bits[hash(va, shift) / 64] >> hash(va, shift) % 64 & 1;
}

bool shadow_mappable(gva_t va)
{
    return va >= PROCESS_LOW && va < PROCESS_TOP;
}

/* ---- what goes ---- */

static void follow(struct shadow *s, const struct x86_tlb *t)
{
    s->flushes = t->flushes;
    s->switches = t->switches;
    s->drops = t->drops;
    s->page_flushes = t->page_flushes;
}

static void forget(struct shadow *s)
{
    memset(s->small, 0, sizeof(s->small));
    memset(s->large, 0, sizeof(s->large));
}

void shadow_reset(struct shadow *s, const struct x86_cpu *c)
{
    forget(s);
    follow(s, c->tlb);
}

static int flush(struct shadow *s, struct process *p)
{
    s->nr_flushes++;
    forget(s);
    return process_unmap(p, PROCESS_LOW, PROCESS_TOP - PROCESS_LOW);
}

/* Addresses that are to be unmapped: [begin, end), empty when they are equal. */
struct stretch {
    gva_t begin, end;
};

static int unmap(struct process *p, struct stretch *x)
{
    gva_t begin = x->begin < PROCESS_LOW ? PROCESS_LOW : x->begin, end = x->end > PROCESS_TOP ? PROCESS_TOP : x->end;
    x->begin = x->end = 0;
    return begin < end ? process_unmap(p, begin, end - begin) : 0;
}

/* What this flush is about: nothing if it cannot be mapped. */
static struct stretch stretch_of(const struct shadow *s, const struct x86_tlb_flushed *f)
{
    unsigned shift = f->shift;
    if (shift < LARGE_SHIFT && noted(s->large, f->lin, LARGE_SHIFT))
        shift = LARGE_SHIFT;
    gva_t begin = f->lin >> shift << shift;
    if (shift == GPAGE_SHIFT && !noted(s->small, begin, GPAGE_SHIFT))
        return (struct stretch){ 0 };
    return (struct stretch){ begin, begin + (1ULL << shift) };
}

static int flush_pages(struct shadow *s, struct process *p, const struct x86_tlb *t)
{
    struct stretch all = { 0 };
    int r = 0;
    for (uint64_t n = s->page_flushes; n != t->page_flushes && r == 0; n++) {
        struct stretch x = stretch_of(s, &t->flushed[n % TLB_FLUSHED]);
        if (x.begin == x.end)
            continue;
        if (all.end != all.begin && x.begin == all.end) {
            all.end = x.end;
        } else {
            r = unmap(p, &all);
            all = x;
        }
    }
    return r == 0 ? unmap(p, &all) : r;
}

int shadow_catch_up(struct shadow *s, struct process *p, const struct x86_cpu *c)
{
    const struct x86_tlb *t = c->tlb;
    int r;
    if (s->flushes != t->flushes || s->switches != t->switches || s->drops != t->drops
        || t->page_flushes - s->page_flushes > TLB_FLUSHED)
        r = flush(s, p);
    else
        r = flush_pages(s, p, t);
    follow(s, t);
    return r;
}

/* ---- what comes ---- */

/* The part of the guest page around va that is mapped at once: all of a large one, if it is RAM, else 4 KiB. NULL: not RAM. */
static uint8_t *extent(const struct x86_cpu *c, gva_t va, const struct x86_walk *w, struct stretch *ret_stretch)
{
    uint64_t size = w->page_size > LARGE ? LARGE : w->page_size;
    for (;; size = GPAGE_SIZE) {
        gva_t begin = va & ~(size - 1), end = begin + size;
        gpa_t gpa = w->gpa & ~(size - 1);
        uint64_t cut = begin < PROCESS_LOW ? PROCESS_LOW - begin : 0;
        end = end > PROCESS_TOP ? PROCESS_TOP : end;
        uint8_t *host = gmem_pin(c->gmem, gpa + cut, end - begin - cut);
        *ret_stretch = (struct stretch){ begin + cut, end };
        if (host || size == GPAGE_SIZE)
            return host;
    }
}

static int protection(struct x86_cpu *c, gva_t va, enum x86_access access, const struct x86_walk *w)
{
    struct x86_walk x;
    int prot = PROT_READ;
    if (access == X86_WRITE || (w->dirty && x86_walk(c, va, X86_WRITE, (enum x86_tlb_bank)c->bank, &x) == 0))
        prot |= PROT_WRITE;
    if (!w->nx && x86_walk(c, va, X86_FETCH, (enum x86_tlb_bank)c->bank, &x) == 0)
        prot |= PROT_EXEC;
    return prot;
}

bool shadow_map(struct shadow *s, struct process *p, struct x86_cpu *c, gva_t va, enum x86_access access)
{
    struct x86_walk w;
    struct stretch x;
    if (!shadow_mappable(va) || x86_walk(c, va, access, (enum x86_tlb_bank)c->bank, &w))
        return false;
    int prot = protection(c, va, access, &w);
    const uint8_t *host = extent(c, va, &w, &x);
    if (!host)
        return false;
    uint64_t offset = (uint64_t)(host - c->gmem->host);
    s->nr_maps++;
    int r = process_map(p, x.begin, x.end - x.begin, prot, c->gmem->fd, offset);
    if (r == -ENOMEM && flush(s, p) == 0) /* too many pieces */
        r = process_map(p, x.begin, x.end - x.begin, prot, c->gmem->fd, offset);
    if (x.end - x.begin > GPAGE_SIZE)
        note(s->large, va, LARGE_SHIFT);
    else
        note(s->small, va, GPAGE_SHIFT);
    return r == 0;
}
