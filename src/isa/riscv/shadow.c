/* SPDX-License-Identifier: MIT */
/*
 * Shadow mappings of guest pages. See shadow.h.
 *
 * Each window lies between two stretches that are never mapped. Two bits a page say what is mapped, and what may be written. To
 * take the right to write from a page of guest memory, `writer` knows the one place where it is mapped so, or that there may
 * be several: then all windows are emptied, which is rare.
 */
#include "isa/riscv/shadow.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
    WINDOWS = RISCV_SPACES * RISCV_BLOCKS,
    PAGES = 1 << (RISCV_BLOCK_SHIFT - GPAGE_SHIFT),
    MARGIN = 2 << 20, /* bytes */
    AROUND = 32,      /* pages on each side */
    CHANGES_MAX = 30000,
    FULL_MANY = 4
};
#define STRIDE (RISCV_BLOCK_SIZE + MARGIN)
#define SEVERAL UINT32_MAX
_Static_assert((uint64_t)WINDOWS *PAGES < SEVERAL, "the number of a page in all windows fits");

/* Each change of what windows show makes two more mappings at most, and the host allows 65530 in all (vm.max_map_count). Of all
 * harts together. */
static _Atomic uint32_t changes;

struct window {
    uint32_t changes; /* since it was empty */
    gva_t base;
    uint64_t *mapped, *writable; /* owned, PAGES bits each; NULL until first used */
    unsigned first, last;        /* pages of which any may be mapped; first > last: none */
};

struct riscv_shadow {
    struct gmem *gm; /* borrowed */
    uint8_t *area;   /* owned mapping; windows begin MARGIN into each STRIDE of it */
    struct window window[WINDOWS];
    uint32_t *writer; /* owned, by page of guest memory: 1 + the page in all windows that may write it; 0: none */
    struct riscv_shadow_counts counts;
};

/* Makes room for one change. */
static bool may_change(struct window *w)
{
    if (atomic_load_explicit(&changes, memory_order_relaxed) >= CHANGES_MAX) /* which two harts may pass by one */
        return false;
    atomic_fetch_add_explicit(&changes, 1, memory_order_relaxed);
    w->changes++;
    return true;
}

static size_t area_size(void)
{
    return (size_t)WINDOWS * STRIDE + MARGIN;
}

static uint8_t *window_at(const struct riscv_shadow *s, unsigned w)
{
    return s->area + (size_t)w * STRIDE + MARGIN;
}

static void no_pages(struct window *w)
{
    atomic_fetch_sub_explicit(&changes, w->changes, memory_order_relaxed);
    w->changes = 0;
    w->first = PAGES;
    w->last = 0;
}

struct riscv_shadow *riscv_shadow_new(struct gmem *gm)
{
    struct riscv_shadow *s = calloc(1, sizeof(*s));
    if (!s)
        return NULL;
    s->gm = gm;
    s->writer = calloc(gm->size >> GPAGE_SHIFT, sizeof(*s->writer));
    s->area = mmap(NULL, area_size(), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (s->area == MAP_FAILED)
        s->area = NULL;
    for (unsigned w = 0; w < WINDOWS; w++) {
        s->window[w].base = RISCV_BLOCK_NONE;
        no_pages(&s->window[w]);
    }
    if (!s->writer || !s->area) {
        riscv_shadow_free(s);
        return NULL;
    }
    return s;
}

void riscv_shadow_free(struct riscv_shadow *s)
{
    if (!s)
        return;
    for (unsigned w = 0; w < WINDOWS; w++) {
        no_pages(&s->window[w]);
        free(s->window[w].mapped);
        free(s->window[w].writable);
    }
    if (s->area)
        (void)munmap(s->area, area_size());
    free(s->writer);
    free(s);
}

struct riscv_shadow_counts riscv_shadow_counts(const struct riscv_shadow *s)
{
    return s ? s->counts : (struct riscv_shadow_counts){ 0 };
}

/* ---- bits ---- */

static bool bit(const uint64_t *bits, unsigned n)
{
    return bits && (bits[n / 64] >> (n % 64) & 1);
}

static void set_bit(uint64_t *bits, unsigned n, bool on)
{
    bits[n / 64] = (bits[n / 64] & ~(1ULL << (n % 64))) | (uint64_t)on << (n % 64);
}

static bool has_bits(struct window *w)
{
    if (!w->mapped)
        w->mapped = calloc(PAGES / 64, sizeof(*w->mapped));
    if (!w->writable)
        w->writable = calloc(PAGES / 64, sizeof(*w->writable));
    return w->mapped && w->writable;
}

/* ---- taking away ---- */

/* Takes [first, last] of a window from view. False: it would take more mappings than the host has left, and they are still shown.
 */
MUST_CHECK static bool hide(struct riscv_shadow *s, unsigned w, unsigned first, unsigned last)
{
    uint8_t *at = window_at(s, w) + ((size_t)first << GPAGE_SHIFT);
    size_t len = (size_t)(last - first + 1) << GPAGE_SHIFT;
    return mmap(at, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) != MAP_FAILED;
}

static void clear_window(struct riscv_shadow *s, unsigned n)
{
    struct window *w = &s->window[n];
    if (w->first > w->last)
        return;
    if (!hide(s, n, w->first, w->last))
        abort(); /* all of it makes one mapping of several: the host has no memory left, and what is shown would be a lie */
    unsigned from = w->first / 64, words = w->last / 64 - from + 1;
    memset(w->mapped + from, 0, words * sizeof(*w->mapped));
    memset(w->writable + from, 0, words * sizeof(*w->writable));
    no_pages(w);
    s->counts.clears++;
}

void riscv_shadow_clear(struct riscv_shadow *s, unsigned space)
{
    if (!s)
        return;
    for (unsigned k = 0; k < RISCV_BLOCKS; k++)
        clear_window(s, space * RISCV_BLOCKS + k);
}

static void clear_all(struct riscv_shadow *s)
{
    for (unsigned k = 0; k < RISCV_SPACES; k++)
        riscv_shadow_clear(s, k);
}

/* The window of a space that shows va's block, -1: none. */
static int window_of(const struct riscv_shadow *s, unsigned space, gva_t va)
{
    for (unsigned k = space * RISCV_BLOCKS; k < (space + 1) * RISCV_BLOCKS; k++)
        if (s->window[k].base == riscv_block_of(va))
            return (int)k;
    return -1;
}

static unsigned page_in_block(gva_t va)
{
    return (unsigned)((va & (RISCV_BLOCK_SIZE - 1)) >> GPAGE_SHIFT);
}

void riscv_shadow_forget(struct riscv_shadow *s, unsigned space, gva_t va)
{
    int n = s ? window_of(s, space, va) : -1;
    unsigned page = page_in_block(va);
    if (n < 0 || !bit(s->window[n].mapped, page))
        return;
    if (!may_change(&s->window[n]) || !hide(s, (unsigned)n, page, page)) {
        clear_window(s, (unsigned)n);
        return;
    }
    set_bit(s->window[n].mapped, page, false);
    set_bit(s->window[n].writable, page, false);
}

void riscv_shadow_drop_stores(struct riscv_shadow *s, const uint8_t *page)
{
    if (!s)
        return;
    uint32_t *writer = page ? &s->writer[gmem_page_index(s->gm, page)] : NULL, n = writer ? *writer - 1 : 0;
    if (writer && *writer == 0)
        return;
    s->counts.drops++;
    if (!writer || *writer == SEVERAL) {
        clear_all(s);
    } else if (bit(s->window[n / PAGES].writable, n % PAGES)) { /* a later page there loses the right in vain */
        if (!may_change(&s->window[n / PAGES])
            || mprotect(window_at(s, n / PAGES) + ((size_t)(n % PAGES) << GPAGE_SHIFT), GPAGE_SIZE, PROT_READ) < 0)
            clear_window(s, n / PAGES);
        set_bit(s->window[n / PAGES].writable, n % PAGES, false);
    }
    if (writer)
        *writer = 0;
}

/* ---- showing ---- */

struct riscv_block riscv_shadow_show(struct riscv_shadow *s, unsigned space, unsigned slot, gva_t base)
{
    unsigned n = space * RISCV_BLOCKS + slot;
    clear_window(s, n);
    s->window[n].base = base;
    return (struct riscv_block){ .base = base, .to_host = (uint64_t)window_at(s, n) - base };
}

bool riscv_shadow_find(const struct riscv_shadow *s, uint64_t host, unsigned *ret_space, gva_t *ret_va)
{
    if (!s || host < (uint64_t)s->area || host - (uint64_t)s->area >= area_size())
        return false;
    uint64_t off = host - (uint64_t)s->area, n = off / STRIDE;
    if (n >= WINDOWS || off % STRIDE < MARGIN || s->window[n].base == RISCV_BLOCK_NONE)
        return false;
    *ret_space = (unsigned)(n / RISCV_BLOCKS);
    *ret_va = s->window[n].base + (off % STRIDE - MARGIN);
    return true;
}

/* Notes that a page of guest memory may be written at a page in all windows. */
static void note_writer(struct riscv_shadow *s, const uint8_t *host, uint32_t n)
{
    uint32_t *writer = &s->writer[gmem_page_index(s->gm, host)], was = *writer;
    bool other = was && was != SEVERAL && was != n + 1 && bit(s->window[(was - 1) / PAGES].writable, (was - 1) % PAGES);
    *writer = was == SEVERAL || other ? SEVERAL : n + 1;
}

/* Maps `nr` pages of guest memory from host on. False: the host has no more mappings for us. */
static bool map(struct riscv_shadow *s, unsigned n, unsigned page, const uint8_t *host, unsigned nr, bool writable)
{
    struct window *w = &s->window[n];
    uint8_t *at = window_at(s, n) + ((size_t)page << GPAGE_SHIFT);
    if (!may_change(w))
        return false;
    int prot = writable ? PROT_READ | PROT_WRITE : PROT_READ;
    if (mmap(at, (size_t)nr << GPAGE_SHIFT, prot, MAP_SHARED | MAP_FIXED | MAP_POPULATE, s->gm->fd, host - s->gm->host)
        == MAP_FAILED)
        return false;
    for (unsigned k = 0; k < nr; k++) {
        set_bit(w->mapped, page + k, true);
        set_bit(w->writable, page + k, writable);
        if (writable)
            note_writer(s, host + ((size_t)k << GPAGE_SHIFT), n * PAGES + page + k);
    }
    w->first = page < w->first ? page : w->first;
    w->last = page + nr - 1 > w->last ? page + nr - 1 : w->last;
    s->counts.pages += nr;
    return true;
}

/* How many pages in one direction (step 1 or -1) go on in guest memory where this one is, with the same rights, and are not
 * mapped yet. */
static unsigned around(struct riscv_cpu *c, unsigned n, gva_t va, const uint8_t *host, bool writable, int step)
{
    const struct riscv_shadow *s = c->tlb->shadow;
    unsigned k = 1;
    for (; k <= AROUND; k++) {
        int64_t by = step * ((int64_t)k << GPAGE_SHIFT);
        bool w = false;
        if (riscv_block_of(va + (uint64_t)by) != s->window[n].base || bit(s->window[n].mapped, page_in_block(va + (uint64_t)by)))
            break;
        if (riscv_tlb_peek(c, va + (uint64_t)by, &w) != host + by || w != writable)
            break;
    }
    return k - 1;
}

enum riscv_shown riscv_shadow_fill(struct riscv_cpu *c, gva_t va, enum riscv_access access)
{
    struct riscv_shadow *s = c->tlb->shadow;
    int n = window_of(s, c->tlb->now, va);
    if (n < 0 || c->bank != RISCV_BANK_U || !has_bits(&s->window[n]))
        return RISCV_SHADOW_UNFIT;
    s->counts.fills++;
    enum riscv_fault fault;
    const uint8_t *host = riscv_touch(c, va, access, &fault);
    if (fault != RISCV_FAULT_NONE)
        return RISCV_SHADOW_FAULTS;
    if (!host || (access == RISCV_WRITE && !riscv_tlb_may_store(c, va)))
        return RISCV_SHADOW_UNFIT;
    gva_t page = va & GPAGE_MASK;
    bool writable = riscv_tlb_entry(c->tlb, RISCV_BANK_U, va)->site[RISCV_WRITE].page == page;
    unsigned below = around(c, (unsigned)n, page, host, writable, -1), above = around(c, (unsigned)n, page, host, writable, 1);
    const uint8_t *from = host - ((size_t)below << GPAGE_SHIFT);
    if (map(s, (unsigned)n, page_in_block(page) - below, from, below + 1 + above, writable))
        return RISCV_SHOWN;
    if (s->counts.full == FULL_MANY) /* more than fits is in use at a time: whoever wants that looks into the TLB from now on */
        return RISCV_SHADOW_UNFIT;
    s->counts.full++;
    clear_all(s);
    return map(s, (unsigned)n, page_in_block(page), host, 1, writable) ? RISCV_SHOWN : RISCV_SHADOW_UNFIT;
}
