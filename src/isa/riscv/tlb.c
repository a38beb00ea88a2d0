/* SPDX-License-Identifier: MIT */
/*
 * The upkeep of a RISC-V hart's TLB: what is entered, and what is forgotten when.
 *
 * Translations of U-mode and of S-mode with SUM = 1 belong to one value of satp; the last RISCV_SPACES are kept, each in tables
 * of its own, so that a switch of address space forgets nothing. S-mode's (its kernel's, most of them with PTE.G) are in one
 * table: those that are not global make a switch empty it. Spec: volume II 12.1.11 (satp), 12.2.1 (SFENCE.VMA)
 */
#include <stdlib.h>
#include <sys/mman.h>

#include "isa/riscv/mmu.h"

enum { SATP_ASID_SHIFT = 44 };

static struct riscv_site nothing(const struct riscv_tlb *tlb)
{
    return riscv_site(RISCV_SITE_NONE, tlb->nowhere);
}

static void clear(struct riscv_tlb *tlb, struct riscv_tlb_entry *entry, size_t nr)
{
    const struct riscv_tlb_entry none = { .tag = { RISCV_NO_TAG, RISCV_NO_TAG, RISCV_NO_TAG },
                                          .site = { nothing(tlb), nothing(tlb) } };
    for (size_t k = 0; k < nr; k++)
        entry[k] = none;
}

static void choose(struct riscv_tlb *tlb, unsigned n)
{
    tlb->now = n;
    tlb->space[n].chosen = ++tlb->choices;
    tlb->bank[RISCV_BANK_U] = tlb->space[n].entry[0];
    tlb->bank[RISCV_BANK_S_SUM] = tlb->space[n].entry[1];
}

struct riscv_tlb *riscv_tlb_new(void)
{
    struct riscv_tlb *tlb = aligned_alloc(64, sizeof(*tlb));
    if (!tlb)
        return NULL;
    memset(tlb, 0, sizeof(*tlb));
    tlb->nowhere = mmap(NULL, 2 * GPAGE_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (tlb->nowhere == MAP_FAILED) {
        free(tlb);
        return NULL;
    }
    clear(tlb, tlb->common[0], 3UL * RISCV_TLB_ENTRIES);
    for (unsigned k = 0; k < RISCV_SPACES; k++)
        tlb->space[k].stale = true;
    tlb->bank[RISCV_BANK_M] = tlb->common[0];
    tlb->bank[RISCV_BANK_BARE] = tlb->common[1];
    tlb->bank[RISCV_BANK_S] = tlb->common[2];
    clear(tlb, tlb->space[0].entry[0], 2UL * RISCV_TLB_ENTRIES);
    tlb->space[0].stale = false;
    choose(tlb, 0);
    return tlb;
}

void riscv_tlb_free(struct riscv_tlb *tlb)
{
    if (tlb)
        (void)munmap(tlb->nowhere, 2 * GPAGE_SIZE);
    free(tlb);
}

/* ---- forgetting ---- */

static void clear_space(struct riscv_tlb *tlb, struct riscv_space *s)
{
    clear(tlb, s->entry[0], 2UL * RISCV_TLB_ENTRIES);
    memset(s->touched, 0, sizeof(s->touched));
    memset(s->reach, 0, sizeof(s->reach));
    s->stale = false;
    s->flushes++;
}

static void flush_space(struct riscv_tlb *tlb, unsigned n)
{
    struct riscv_space *s = &tlb->space[n];
    if (n == tlb->now && (s->reach[0].any || s->reach[1].any))
        clear_space(tlb, s);
    else if (n != tlb->now)
        s->stale = true;
}

static void flush_supervisor(struct riscv_tlb *tlb)
{
    if (!tlb->reach[0].any && !tlb->reach[1].any)
        return;
    clear(tlb, tlb->common[2], RISCV_TLB_ENTRIES);
    memset(tlb->touched, 0, sizeof(tlb->touched));
    memset(tlb->reach, 0, sizeof(tlb->reach));
    tlb->local = false;
    tlb->flushes++;
}

void riscv_tlb_flush_paged(struct riscv_cpu *c)
{
    flush_supervisor(c->tlb);
    for (unsigned k = 0; k < RISCV_SPACES; k++)
        flush_space(c->tlb, k);
    c->tlb->nr_flushes++;
    c->leave = true;
}

void riscv_tlb_flush_all(struct riscv_cpu *c)
{
    clear(c->tlb, c->tlb->common[0], 2UL * RISCV_TLB_ENTRIES);
    c->tlb->flushes_all++;
    c->fenced = true;
    riscv_pmp_changed(c);
    riscv_tlb_flush_paged(c);
    riscv_tlb_follow(c);
}

/* ---- one page ---- */

static unsigned hash(gva_t va)
{
    uint64_t page = va >> GPAGE_SHIFT;
    return (unsigned)((page ^ page >> 12) & 4095);
}

static bool was_touched(const uint64_t *touched, gva_t va)
{
    return touched[hash(va) / 64] >> (hash(va) % 64) & 1;
}

static void forget_entry(struct riscv_tlb *tlb, struct riscv_tlb_entry *e, gva_t va)
{
    gva_t page = va & GPAGE_MASK;
    if (e->tag[0] == page || e->tag[1] == page || e->tag[2] == page)
        clear(tlb, e, 1);
}

static void fence_page_of_space(struct riscv_tlb *tlb, unsigned n, gva_t va)
{
    struct riscv_space *s = &tlb->space[n];
    const struct riscv_reach *reach = &s->reach[va >> 63];
    if (s->stale || !reach->any)
        return;
    if (reach->big)
        flush_space(tlb, n);
    else if (was_touched(s->touched, va))
        for (unsigned k = 0; k < 2; k++)
            forget_entry(tlb, &s->entry[k][(va >> GPAGE_SHIFT) & (RISCV_TLB_ENTRIES - 1)], va);
    if (!reach->big && was_touched(s->touched, va)) {
        memset(s->touched, 0,
               sizeof(s->touched)); /* what is remembered elsewhere goes; the table still has entries, so they count anew */
        for (unsigned k = 0; k < 2 * RISCV_TLB_ENTRIES; k++) {
            const struct riscv_tlb_entry *e = &s->entry[0][0] + k;
            for (unsigned access = 0; access < 3; access++)
                if (e->tag[access] != RISCV_NO_TAG)
                    s->touched[hash(e->tag[access]) / 64] |= 1ULL << (hash(e->tag[access]) % 64);
        }
        s->flushes++;
    }
}

static void fence_page_of_supervisor(struct riscv_tlb *tlb, gva_t va)
{
    const struct riscv_reach *reach = &tlb->reach[va >> 63];
    if (!reach->any || (!reach->big && !was_touched(tlb->touched, va)))
        return;
    flush_supervisor(tlb);
}

static bool has_asid(const struct riscv_space *s, const uint16_t *asid)
{
    return !asid || (uint16_t)(s->satp >> SATP_ASID_SHIFT) == *asid;
}

void riscv_tlb_fence(struct riscv_cpu *c, const gva_t *va, const uint16_t *asid)
{
    struct riscv_tlb *tlb = c->tlb;
    for (unsigned k = 0; k < RISCV_SPACES; k++)
        if (has_asid(&tlb->space[k], asid) && va)
            fence_page_of_space(tlb, k, *va);
        else if (has_asid(&tlb->space[k], asid))
            flush_space(tlb, k);
    if (va && (!asid || tlb->local))
        fence_page_of_supervisor(tlb, *va);
    else if (!asid || tlb->local)
        flush_supervisor(tlb);
    tlb->nr_flushes++;
    c->leave = true;
}

void riscv_tlb_follow(struct riscv_cpu *c)
{
    struct riscv_tlb *tlb = c->tlb;
    unsigned n = 0;
    c->leave = true;
    if (tlb->space[tlb->now].satp == c->satp && !tlb->space[tlb->now].stale)
        return;
    if (tlb->local)
        flush_supervisor(tlb);
    for (unsigned k = 0; k < RISCV_SPACES; k++) {
        if (tlb->space[k].satp == c->satp && tlb->space[k].chosen) {
            n = k;
            break;
        }
        if (tlb->space[k].chosen < tlb->space[n].chosen)
            n = k;
    }
    struct riscv_space *s = &tlb->space[n];
    if (s->stale || s->satp != c->satp)
        clear_space(tlb, s);
    s->satp = c->satp;
    choose(tlb, n);
}

/* ---- entering ---- */

static void note_reach(struct riscv_reach *reach, uint64_t *touched, gva_t va, const struct riscv_walk *w)
{
    reach[va >> 63].any = true;
    reach[va >> 63].big |= w->page_size > GPAGE_SIZE;
    touched[hash(va) / 64] |= 1ULL << (hash(va) % 64);
}

/* Whether nothing has been decoded from the page, so that stores need no look. */
static bool plain(const struct riscv_cpu *c, const uint8_t *host)
{
    return !atomic_load_explicit(&c->gmem->code[gmem_page_index(c->gmem, host)],
                                 memory_order_acquire); /* see struct gmem_storer */
}

void riscv_tlb_fill(struct riscv_cpu *c, gva_t va, uint8_t *host, const struct riscv_walk *w, enum riscv_access access,
                    enum riscv_bank bank, bool writable)
{
    struct riscv_tlb *tlb = c->tlb;
    struct riscv_tlb_entry *e = riscv_tlb_entry(tlb, bank, va);
    struct riscv_space *s = &tlb->space[tlb->now];
    uint64_t tag = va & GPAGE_MASK, to_host = (uint64_t)host - va;
    if (bank == RISCV_BANK_S)
        note_reach(tlb->reach, tlb->touched, va, w);
    else if (bank >= RISCV_BANK_U)
        note_reach(s->reach, s->touched, va, w);
    tlb->local |= bank == RISCV_BANK_S && !w->lasts;
    if (e->to_host != to_host || (e->tag[0] & e->tag[1] & e->tag[2]) != tag)
        clear(tlb, e, 1);
    e->to_host = to_host;
    e->tag[access] = tag;
    if (writable)
        e->tag[RISCV_WRITE] = tag;
    if (access == RISCV_WRITE) /* no page can be written but not read; PMP has seen to it that the same holds for its regions */
        e->tag[RISCV_READ] = tag;
    const struct riscv_site here = { .page = tag, .to_host = to_host };
    e->site[RISCV_READ] = e->tag[RISCV_READ] == tag ? here : nothing(tlb);
    e->site[RISCV_WRITE] = e->tag[RISCV_WRITE] == tag && plain(c, host) ? here : nothing(tlb);
}

bool riscv_tlb_may_store(struct riscv_cpu *c, gva_t va)
{
    struct riscv_tlb_entry *e = riscv_tlb_entry(c->tlb, c->bank, va);
    gva_t page = va & GPAGE_MASK;
    if (e->tag[RISCV_WRITE] == page && e->site[RISCV_WRITE].page != page && plain(c, (const uint8_t *)(page + e->to_host)))
        e->site[RISCV_WRITE] = (struct riscv_site){ .page = page, .to_host = e->to_host };
    return e->site[RISCV_WRITE].page == page;
}

static void drop_stores_of(const struct riscv_tlb *tlb, struct riscv_tlb_entry *entry, size_t nr, const uint8_t *page)
{
    for (size_t k = 0; k < nr; k++)
        if (!page || riscv_site_host(&entry[k].site[RISCV_WRITE]) == page) {
            entry[k].site[RISCV_WRITE] = nothing(tlb);
            if (!page) /* the next store enters it anew, and then it may have no code */
                entry[k].tag[RISCV_WRITE] = RISCV_NO_TAG;
        }
}

void riscv_tlb_drop_stores(struct riscv_cpu *c, const uint8_t *page)
{
    struct riscv_tlb *tlb = c->tlb;
    drop_stores_of(tlb, tlb->common[0], 3UL * RISCV_TLB_ENTRIES, page);
    drop_stores_of(tlb, tlb->space[tlb->now].entry[0], 2UL * RISCV_TLB_ENTRIES, page);
    for (unsigned k = 0; k < RISCV_SPACES; k++)
        tlb->space[k].missed_drops = tlb->space[k].missed_drops || k != tlb->now;
}

bool riscv_tlb_catch_up(struct riscv_cpu *c)
{
    struct riscv_space *s = &c->tlb->space[c->tlb->now];
    if (!s->missed_drops)
        return false;
    s->missed_drops = false;
    drop_stores_of(c->tlb, s->entry[0], 2UL * RISCV_TLB_ENTRIES, NULL);
    return true;
}
