/* SPDX-License-Identifier: MIT */
/*
 * The upkeep of a RISC-V hart's TLB: what is entered, and what is forgotten when.
 *
 * Translations of U-mode and of S-mode with SUM = 1 belong to one value of satp; the last RISCV_SPACES are kept, each in tables
 * of its own, so that a switch of address space forgets nothing. S-mode's (its kernel's, most of them with PTE.G) are in one
 * table: those that are not global make a switch empty it. Spec: volume II 12.1.11 (satp), 12.2.1 (SFENCE.VMA)
 */
#include <sys/mman.h>

#include "base/pages.h"
#include "isa/riscv/hyp.h"
#include "isa/riscv/shadow.h"

enum { SATP_ASID_SHIFT = 44, BIG_SHIFT = 30 };

static const struct riscv_tlb_entry empty[RISCV_TLB_ENTRIES] = { [0 ... RISCV_TLB_ENTRIES - 1] = {
                                                                     .tag = { RISCV_NO_TAG, RISCV_NO_TAG, RISCV_NO_TAG } } };

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

/* The same for those entries that were filled. */
static void clear_filled(struct riscv_tlb *tlb, struct riscv_tlb_entry *entry, struct riscv_filled *filled)
{
    for (unsigned w = 0; w < RISCV_TLB_ENTRIES / 64; w++) {
        for (uint64_t bits = filled->bits[w]; bits; bits &= bits - 1)
            clear(tlb, &entry[64 * w + (unsigned)__builtin_ctzll(bits)], 1);
        filled->bits[w] = 0;
    }
}

static struct riscv_filled *filled_of(struct riscv_tlb *tlb, unsigned bank)
{
    static const uint8_t common[] = { [RISCV_BANK_M] = 0, [RISCV_BANK_BARE] = 1, [RISCV_BANK_S] = 2 };
    if (bank == RISCV_BANK_U || bank == RISCV_BANK_S_SUM)
        return &tlb->space[tlb->now].filled[bank == RISCV_BANK_S_SUM];
    return &tlb->filled[common[bank]];
}

static void choose(struct riscv_tlb *tlb, unsigned n)
{
    tlb->now = n;
    tlb->space[n].chosen = ++tlb->choices;
    tlb->bank[RISCV_BANK_U] = tlb->space[n].entry[0];
    tlb->bank[RISCV_BANK_S_SUM] = tlb->space[n].entry[1];
}

struct riscv_tlb *riscv_tlb_new(bool guest)
{
    struct riscv_tlb *tlb = pages_new(sizeof(*tlb));
    if (!tlb)
        return NULL;
    tlb->guest = guest;
    tlb->nowhere = mmap(NULL, 2 * GPAGE_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (tlb->nowhere == MAP_FAILED) {
        pages_free(tlb, sizeof(*tlb));
        return NULL;
    }
    clear(tlb, tlb->common[0], 3UL * RISCV_TLB_ENTRIES);
    for (unsigned k = 0; k < RISCV_SPACES; k++)
        tlb->space[k].stale = true;
    tlb->bank[RISCV_BANK_M] = tlb->common[0];
    tlb->bank[RISCV_BANK_BARE] = tlb->common[1];
    tlb->bank[RISCV_BANK_S] = tlb->common[2];
    for (unsigned bank = RISCV_BANK_NR; bank < RISCV_BANK_ALL; bank++)
        tlb->bank[bank] = (struct riscv_tlb_entry *)empty; /* riscv_tlb_fill() is never called for them */
    clear(tlb, tlb->space[0].entry[0], 2UL * RISCV_TLB_ENTRIES);
    tlb->space[0].stale = false;
    tlb->space[0].made = true;
    choose(tlb, 0);
    return tlb;
}

void riscv_tlb_free(struct riscv_tlb *tlb)
{
    if (tlb)
        (void)munmap(tlb->nowhere, 2 * GPAGE_SIZE);
    if (tlb)
        riscv_shadow_free(tlb->shadow);
    pages_free(tlb, sizeof(*tlb));
}

/* ---- forgetting ---- */

static void clear_space(struct riscv_tlb *tlb, struct riscv_space *s)
{
    if (!s->made)
        clear(tlb, s->entry[0], 2UL * RISCV_TLB_ENTRIES);
    for (unsigned k = 0; k < 2 && s->made; k++)
        clear_filled(tlb, s->entry[k], &s->filled[k]);
    s->made = true;
    riscv_shadow_clear(tlb->shadow, (unsigned)(s - tlb->space));
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
    else if (n != tlb->now && !s->stale) {
        s->stale = true;
        riscv_shadow_clear(tlb->shadow, n);
    }
}

static void flush_supervisor(struct riscv_tlb *tlb)
{
    if (!tlb->reach[0].any && !tlb->reach[1].any)
        return;
    clear_filled(tlb, tlb->common[2], &tlb->filled[2]);
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
    riscv_hyp_other_tlb(c, c->tlb->guest ? riscv_tlb_flush_paged : riscv_tlb_flush_all); /* a virtual machine's pages all are */
}

void riscv_tlb_flush_all(struct riscv_cpu *c)
{
    for (unsigned k = 0; k < 2; k++)
        clear_filled(c->tlb, c->tlb->common[k], &c->tlb->filled[k]);
    c->tlb->flushes_all++;
    c->fenced = true;
    riscv_pmp_changed(c);
    riscv_tlb_flush_paged(c);
    riscv_tlb_follow(c);
    riscv_hyp_other_tlb(c, riscv_tlb_flush_all);
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

static bool in_big_page(const struct riscv_reach *reach, gva_t va)
{
    return reach->big >> (va >> BIG_SHIFT & 63) & 1;
}

static void note_fence(struct riscv_fenced *f, gva_t va)
{
    f->page[f->nr++ % RISCV_FENCES] = va & GPAGE_MASK;
}

static void fence_page_of_space(struct riscv_tlb *tlb, unsigned n, gva_t va)
{
    struct riscv_space *s = &tlb->space[n];
    const struct riscv_reach *reach = &s->reach[va >> 63];
    if (s->stale || !reach->any)
        return;
    if (in_big_page(reach, va)) {
        flush_space(tlb, n);
        return;
    }
    if (!was_touched(s->touched, va))
        return;
    for (unsigned k = 0; k < 2; k++)
        forget_entry(tlb, &s->entry[k][(va >> GPAGE_SHIFT) & (RISCV_TLB_ENTRIES - 1)], va);
    riscv_shadow_forget(tlb->shadow, n, va);
    note_fence(&s->fenced, va);
}

static void fence_page_of_supervisor(struct riscv_tlb *tlb, gva_t va)
{
    const struct riscv_reach *reach = &tlb->reach[va >> 63];
    if (!reach->any)
        return;
    if (in_big_page(reach, va)) {
        flush_supervisor(tlb);
        return;
    }
    if (!was_touched(tlb->touched, va))
        return;
    forget_entry(tlb, &tlb->common[2][(va >> GPAGE_SHIFT) & (RISCV_TLB_ENTRIES - 1)], va);
    note_fence(&tlb->fenced, va);
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
    uint64_t satp = tlb->guest ? c->hyp.vsatp : c->satp;
    unsigned n = 0;
    c->leave = true;
    if (tlb->space[tlb->now].satp == satp && !tlb->space[tlb->now].stale)
        return;
    if (tlb->local)
        flush_supervisor(tlb);
    for (unsigned k = 0; k < RISCV_SPACES; k++) {
        if (tlb->space[k].satp == satp && tlb->space[k].chosen) {
            n = k;
            break;
        }
        if (tlb->space[k].chosen < tlb->space[n].chosen)
            n = k;
    }
    struct riscv_space *s = &tlb->space[n];
    if (s->stale || s->satp != satp)
        clear_space(tlb, s);
    s->satp = satp;
    choose(tlb, n);
}

/* ---- entering ---- */

static void note_reach(struct riscv_reach *reach, uint64_t *touched, gva_t va, const struct riscv_walk *w)
{
    reach[va >> 63].any = true;
    if (w->page_size > 1ULL << BIG_SHIFT)
        reach[va >> 63].big = UINT64_MAX;
    else if (w->page_size > GPAGE_SIZE)
        reach[va >> 63].big |= 1ULL << (va >> BIG_SHIFT & 63);
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
    unsigned index = (unsigned)(va >> GPAGE_SHIFT) & (RISCV_TLB_ENTRIES - 1);
    filled_of(tlb, bank)->bits[index / 64] |= 1ULL << (index % 64);
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

const uint8_t *riscv_tlb_peek(struct riscv_cpu *c, gva_t va, bool *ret_writable)
{
    struct riscv_space *s = &c->tlb->space[c->tlb->now];
    struct riscv_walk w;
    if (!riscv_walk_peek(c, va, RISCV_BANK_U, &w) || !riscv_pmp_allows(c, w.gpa, GPAGE_SIZE, RISCV_READ, false))
        return NULL;
    const uint8_t *host = gmem_pin(c->gmem, w.gpa, GPAGE_SIZE);
    *ret_writable = w.dirty_writable && host && plain(c, host) && riscv_pmp_allows(c, w.gpa, GPAGE_SIZE, RISCV_WRITE, false);
    if (host)
        note_reach(s->reach, s->touched, va, &w);
    return host;
}

static void drop_store(const struct riscv_tlb *tlb, struct riscv_tlb_entry *e, const uint8_t *page)
{
    if (page && riscv_site_host(&e->site[RISCV_WRITE]) != page)
        return;
    e->site[RISCV_WRITE] = nothing(tlb);
    if (!page) /* the next store enters it anew, and then it may have no code */
        e->tag[RISCV_WRITE] = RISCV_NO_TAG;
}

static void drop_stores_of(const struct riscv_tlb *tlb, struct riscv_tlb_entry *entry, const struct riscv_filled *filled,
                           const uint8_t *page)
{
    for (unsigned w = 0; w < RISCV_TLB_ENTRIES / 64; w++)
        for (uint64_t bits = filled->bits[w]; bits; bits &= bits - 1)
            drop_store(tlb, &entry[64 * w + (unsigned)__builtin_ctzll(bits)], page);
}

static void drop_stores_of_space(const struct riscv_tlb *tlb, struct riscv_space *s, const uint8_t *page)
{
    for (unsigned k = 0; k < 2; k++)
        drop_stores_of(tlb, s->entry[k], &s->filled[k], page);
}

void riscv_tlb_drop_stores(struct riscv_tlb *tlb, const uint8_t *page)
{
    for (unsigned k = 0; k < 3; k++)
        drop_stores_of(tlb, tlb->common[k], &tlb->filled[k], page);
    drop_stores_of_space(tlb, &tlb->space[tlb->now], page);
    riscv_shadow_drop_stores(tlb->shadow, page);
    for (unsigned k = 0; k < RISCV_SPACES; k++)
        tlb->space[k].missed_drops = tlb->space[k].missed_drops || k != tlb->now;
}

bool riscv_tlb_catch_up(struct riscv_tlb *tlb)
{
    struct riscv_space *s = &tlb->space[tlb->now];
    if (!s->missed_drops)
        return false;
    s->missed_drops = false;
    drop_stores_of_space(tlb, s, NULL);
    return true;
}
