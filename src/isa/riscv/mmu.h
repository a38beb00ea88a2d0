/* SPDX-License-Identifier: MIT */
/*
 * Memory as a RISC-V hart sees it: paging, PMP, the software TLB, and accesses that fault exactly.
 *
 * All accessors raise (misaligned, access and page faults) through riscv_raise() and then do not return. Values are
 * zero-extended. Misaligned loads and stores work; one that crosses a page checks both pages before it changes either.
 *
 * The TLB is direct-mapped, one table a bank (who accesses); an entry answers reads, writes and fetches with a tag each. Only RAM
 * pages on which PMP has one verdict are entered, so a hit needs no other check. Whatever changes a verdict flushes.
 * Spec: volume II 3.7 (PMP), 12.3 to 12.6 (Sv39, Sv48, Sv57), Svnapot, Svpbmt, Svadu
 */
#ifndef DOPPEL_ISA_RISCV_MMU_H
#define DOPPEL_ISA_RISCV_MMU_H

#include <string.h>

#include "core/gmem.h"
#include "isa/riscv/state.h"

enum riscv_access { RISCV_READ, RISCV_WRITE, RISCV_FETCH };

/* Who accesses, for the rights in page tables and PMP. */
enum riscv_bank {
    RISCV_BANK_M,     /* M-mode: physical addresses */
    RISCV_BANK_BARE,  /* S- or U-mode with satp.MODE = Bare */
    RISCV_BANK_U,     /* U-mode */
    RISCV_BANK_S,     /* S-mode with SUM = 0, and its fetches */
    RISCV_BANK_S_SUM, /* S-mode's loads and stores with SUM = 1 */
    RISCV_BANK_LAST = RISCV_BANK_S_SUM,
    /* A virtual machine's memory from outside, of which nothing is kept (hyp.h) */
    RISCV_BANK_GUEST, /* M-mode by MPRV and MPV */
    RISCV_BANK_HLV,   /* HLV and HSV */
    RISCV_BANK_HLVX,  /* HLVX, which needs the right to execute */
};
enum {
    RISCV_BANK_NR = RISCV_BANK_LAST + 1,
    RISCV_BANK_ALL = RISCV_BANK_HLVX + 1,
    RISCV_TLB_ENTRIES = 2048,
    RISCV_SPACES = 8,
    RISCV_FENCES = 8
};
#define RISCV_NO_TAG (~0ULL) /* no page's */
/* A page that there is not: its addresses are not canonical, and no RAM. Translated code that accesses it hits, and gets where
 * nothing can be accessed (riscv_tlb.nowhere). */
#define RISCV_SITE_NONE (1ULL << 62)

/* A page as translated code knows it (translate.h). */
struct riscv_site {
    uint64_t page;    /* virtual, or RISCV_SITE_NONE */
    uint64_t to_host; /* host address - virtual address */
};

/* The site of a page, by where its first byte is in the host. */
static inline struct riscv_site riscv_site(uint64_t page, const uint8_t *host)
{
    return (struct riscv_site){ .page = page, .to_host = (uint64_t)host - page };
}

static inline const uint8_t *riscv_site_host(const struct riscv_site *s)
{
    return (const uint8_t *)(s->page + s->to_host);
}

struct riscv_tlb_entry {
    uint64_t tag[3];  /* by enum riscv_access: virtual page, or RISCV_NO_TAG */
    uint64_t to_host; /* host address - virtual address */
    struct riscv_site
        site[2]; /* for translated code, by access; a store goes ahead if it needs no look at code marks (struct gmem_storer) */
} __attribute__((aligned(64)));

/* What may be remembered of translations in one half of the addresses. */
struct riscv_reach {
    bool any;     /* there are some */
    uint64_t big; /* some are of pages larger than 4 KiB: bits by bits 30 to 35 of the address */
};

/* Which entries of a table were filled since it was last cleared: bits. */
struct riscv_filled {
    uint64_t bits[RISCV_TLB_ENTRIES / 64];
};

/* Pages that were fenced alone: who remembers anything of them (engine bt) forgets that; of all, if more were since it looked. */
struct riscv_fenced {
    uint64_t nr;              /* ever */
    gva_t page[RISCV_FENCES]; /* the last, by number */
};

/* Translations that belong to one value of satp: those of U-mode, and of S-mode with SUM = 1. */
struct riscv_space {
    uint64_t satp;
    uint64_t chosen;  /* when it last was; 0: is of none */
    uint64_t flushes; /* counts: who remembers anything of this space (engine bt) forgets it when this has changed */
    struct riscv_fenced fenced;
    bool made;                   /* its tables were cleared once, so that `filled` says what is in them */
    bool stale;                  /* to be cleared when it is next chosen */
    bool missed_drops;           /* see riscv_tlb_drop_stores() */
    struct riscv_reach reach[2]; /* lower, upper half */
    uint64_t touched[64];        /* by hash: pages that may be remembered since `flushes` last changed */
    struct riscv_filled filled[2];
    struct riscv_tlb_entry entry[2][RISCV_TLB_ENTRIES];
};

struct riscv_tlb {
    struct riscv_tlb_entry *bank[RISCV_BANK_ALL];        /* borrowed: parts of what follows; and an empty table */
    struct riscv_tlb_entry common[3][RISCV_TLB_ENTRIES]; /* of banks M, BARE, S */
    struct riscv_filled filled[3];
    struct riscv_reach reach[2]; /* of bank S */
    struct riscv_fenced fenced;
    uint64_t touched[64];
    bool local;           /* bank S has translations that do not last */
    uint64_t flushes;     /* as a space's, for bank S */
    uint64_t flushes_all; /* the same for banks M and BARE */
    bool guest;           /* of V = 1 (hyp.h): spaces are values of vsatp */
    unsigned now;         /* of space[] */
    uint64_t choices;
    uint64_t misses[3]; /* by enum riscv_access */
    uint64_t nr_flushes;
    uint8_t *nowhere;            /* owned: pages that nobody may access */
    struct riscv_shadow *shadow; /* owned; NULL: none. What is flushed here is flushed there */
    struct riscv_space space[RISCV_SPACES];
};

/* NULL when out of memory. guest: for V = 1. */
struct riscv_tlb *riscv_tlb_new(bool guest);
void riscv_tlb_free(struct riscv_tlb *tlb);
/* Forgets all translations / those by page tables. */
void riscv_tlb_flush_all(struct riscv_cpu *c);
void riscv_tlb_flush_paged(struct riscv_cpu *c);
/* SFENCE.VMA: of one page only, or of one address space's (but for what is in all). Forgets more where that is simpler. Spec:
 * volume II 12.2.1 */
void riscv_tlb_fence(struct riscv_cpu *c, const gva_t *va, const uint16_t *asid);
/* satp was written: goes on with what is remembered of that address space. */
void riscv_tlb_follow(struct riscv_cpu *c);
/* Forgets that a page of guest memory may be stored to without looking at marks (NULL: any page), but in other spaces than the
 * present one: riscv_tlb_catch_up() is to be called when another was chosen; true: the space had missed some, and now knows none.
 */
void riscv_tlb_drop_stores(struct riscv_tlb *tlb, const uint8_t *page);
bool riscv_tlb_catch_up(struct riscv_tlb *tlb);
/* After a hit: whether translated code may store to the page without looking at marks; its site is entered if the mark is gone.
 */
bool riscv_tlb_may_store(struct riscv_cpu *c, gva_t va);
/* Host address of the page of RAM that U-mode may read at va, a page's first address, as it is now; NULL: it may not, or A
 * would have to be set. The page counts as remembered. *ret_writable: it may store there without looking at marks. */
const uint8_t *riscv_tlb_peek(struct riscv_cpu *c, gva_t va, bool *ret_writable);
/* The entry of va in a bank. */
static inline struct riscv_tlb_entry *riscv_tlb_entry(const struct riscv_tlb *tlb, unsigned bank, gva_t va)
{
    return &tlb->bank[bank][(va >> GPAGE_SHIFT) & (RISCV_TLB_ENTRIES - 1)];
}
/* Enters a page; `writable`: a write needs no other walk, either. */
struct riscv_walk;
void riscv_tlb_fill(struct riscv_cpu *c, gva_t va, uint8_t *host, const struct riscv_walk *w, enum riscv_access access,
                    enum riscv_bank bank, bool writable);

/* Host address when `size` bytes at va hit, else NULL. */
static inline uint8_t *riscv_tlb_hit(const struct riscv_cpu *c, gva_t va, unsigned size, unsigned bank, enum riscv_access access)
{
    const struct riscv_tlb_entry *e = riscv_tlb_entry(c->tlb, bank, va);
    if (__builtin_expect(e->tag[access] != (va & GPAGE_MASK) || (va & ~GPAGE_MASK) > GPAGE_SIZE - size, 0))
        return NULL;
    return (uint8_t *)(va + e->to_host);
}

uint64_t riscv_load_slow(struct riscv_cpu *c, gva_t va, unsigned size);
void riscv_store_slow(struct riscv_cpu *c, gva_t va, uint64_t value, unsigned size);

/* size 1, 2, 4, 8. One host access where it does not cross a page, so that an aligned one is atomic. */
static inline uint64_t riscv_load(struct riscv_cpu *c, gva_t va, unsigned size)
{
    const uint8_t *p = riscv_tlb_hit(c, va, size, c->bank, RISCV_READ);
    uint64_t v = 0;
    if (__builtin_expect(!p, 0))
        return riscv_load_slow(c, va, size);
    memcpy(&v, p, size);
    return v;
}

static inline void riscv_store(struct riscv_cpu *c, gva_t va, uint64_t value, unsigned size)
{
    uint8_t *p = riscv_tlb_hit(c, va, size, c->bank, RISCV_WRITE);
    if (__builtin_expect(!p, 0)) {
        riscv_store_slow(c, va, value, size);
        return;
    }
    memcpy(p, &value, size);
    (void)gmem_note_write(c->gmem, p); /* FENCE.I looks at the generation; until then the old code may run */
}

/* Host address for an atomic access of `size` bytes (1 to 16) that needs the right to read, or to write (AMO, SC); raises when it
 * is misaligned, has no right, or is not RAM. *ret_gpa: its physical address. Call gmem_note_write() after storing. */
void *riscv_atomic(struct riscv_cpu *c, gva_t va, unsigned size, enum riscv_access access, gpa_t *ret_gpa);
/* Raises, with va, unless all of the block (bytes, a power of two, at most a page) that va lies in can be accessed so; sets A and
 * D as the access would. Spec: CMO 1.0, 2.5.2: tval is rs1's value, not where the block begins */
void riscv_probe(struct riscv_cpu *c, gva_t va, unsigned block, enum riscv_access access);
/* The rights that cache-block management needs: to read or to write. Raises store faults. Spec: CMO 1.0, 2.5.2 */
void riscv_probe_cbo(struct riscv_cpu *c, gva_t va);

/* RISCV_FAULT_GUEST: a guest-page fault; riscv_cpu.guest_gpa and guest_tinst have the rest. */
enum riscv_fault { RISCV_FAULT_NONE, RISCV_FAULT_ACCESS, RISCV_FAULT_PAGE, RISCV_FAULT_GUEST };
/* Host address of the page of RAM that va lies in, NULL if there is none or the access faults (*ret_fault, NULL: not wanted);
 * enters it in the TLB, sets A and D as the access would. Raises nothing. */
uint8_t *riscv_touch(struct riscv_cpu *c, gva_t va, enum riscv_access access, enum riscv_fault *ret_fault);
/* The cause of the exception. */
uint8_t riscv_fault_cause(enum riscv_fault kind, enum riscv_access access);
/* Host address of the page that va's code lies in; raises. */
const uint8_t *riscv_fetch_page(struct riscv_cpu *c, gva_t va);

/* ---- paging, PMP ---- */

struct riscv_walk {
    gpa_t gpa;
    uint64_t page_size;
    bool dirty_writable; /* a write needs no other walk */
    bool lasts;          /* the mapping is in every address space (PTE.G, or there is no paging) */
};
/* Translates, with PMP's verdict on the tables but not on the result; sets A (and D for a write) where Svadu does. Raises
 * nothing. */
enum riscv_fault riscv_walk(struct riscv_cpu *c, gva_t va, enum riscv_access access, enum riscv_bank bank,
                            struct riscv_walk *ret_walk);
/* The same for reading through page tables, but changes nothing: false where the access faults, or A is not set yet, and in
 * virtual machines. */
bool riscv_walk_peek(struct riscv_cpu *c, gva_t va, enum riscv_bank bank, struct riscv_walk *ret_walk);
/* pmpcfg or pmpaddr changed. */
void riscv_pmp_changed(struct riscv_cpu *c);
/* Whether PMP allows the access, as M-mode or not. Spec: volume II 3.7.1 */
bool riscv_pmp_allows(const struct riscv_cpu *c, gpa_t gpa, uint64_t size, enum riscv_access access, bool machine);

#endif
