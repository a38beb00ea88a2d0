/* SPDX-License-Identifier: MIT */
/*
 * Page-table walks in every paging mode, with the accessed and dirty bits and the rights of each access.
 *
 * A walk gathers the rights of all levels, decides, and only then sets A and D with compare-and-swap on the entries it
 * read, starting over when another CPU changed one meanwhile. Tables outside RAM read as not present.
 *
 * Spec: Intel SDM 3A 4.2 to 4.7
 */
#include <stdatomic.h>
#include <string.h>

#include "isa/x86/mmu.h"
#include "isa/x86/profile.h"
#include "isa/x86/trap.h"

enum {
    PTE_P = 1 << 0,
    PTE_W = 1 << 1,
    PTE_U = 1 << 2,
    PTE_A = 1 << 5,
    PTE_D = 1 << 6,
    PTE_PS = 1 << 7,
    PTE_G = 1 << 8,
    PTE_PAT_LARGE = 1 << 12,
};
#define PTE_NX (1ULL << 63)
#define WALK_FAULT (1U << 31)

enum { LEVELS_MAX = 4 };

/* One entry met on the way down. */
struct walk_step {
    void *entry; /* host address, 8- or 4-byte aligned */
    uint64_t value;
};

/* What distinguishes the paging modes. */
struct paging_mode {
    unsigned levels;     /* of 4-level, PAE (its top level is in registers), 32-bit */
    unsigned index_bits; /* a level */
    unsigned entry_size; /* bytes */
};

static const struct paging_mode MODE_LONG = { 4, 9, 8 }, MODE_PAE = { 2, 9, 8 }, MODE_32 = { 2, 10, 4 };

static uint64_t phys_mask(const struct x86_cpu *c)
{
    unsigned bits = c->profile ? c->profile->phys_bits : 46;
    return (1ULL << bits) - 1;
}

/* Bits that must be 0 in an entry at `level` (0 = leaf table). Spec: SDM 3A 4.4, 4.5 "reserved" */
static uint64_t reserved_bits(const struct x86_cpu *c, const struct paging_mode *m, unsigned level, bool large)
{
    uint64_t rsvd = 0;
    if (m->entry_size == 4) /* 4 MiB pages: bits 20:13 are address bits 39:32 (PSE-36), bit 21 is reserved */
        return large ? 1U << 21 : 0;
    rsvd = ~phys_mask(c) & 0x000fffffffffffffULL;
    if (!(c->efer & EFER_NXE))
        rsvd |= PTE_NX;
    if (m == &MODE_PAE)
        rsvd |= 0x7ff0000000000000ULL;
    if (large)
        rsvd |= ((1ULL << (12 + 9 * level)) - 1) & ~0x1fffULL;
    else if (level == 3)
        rsvd |= PTE_PS;
    return rsvd;
}

static bool large_allowed(const struct x86_cpu *c, const struct paging_mode *m, unsigned level)
{
    if (m == &MODE_32)
        return level == 1 && (c->cr4 & CR4_PSE);
    return level == 1 || (level == 2 && m == &MODE_LONG);
}

static uint64_t entry_load(const struct paging_mode *m, void *entry)
{
    if (m->entry_size == 4)
        return atomic_load_explicit((_Atomic uint32_t *)entry, memory_order_relaxed);
    return atomic_load_explicit((_Atomic uint64_t *)entry, memory_order_relaxed);
}

/* Sets bits unless the entry changed since it was read. */
static bool entry_set(const struct paging_mode *m, struct walk_step *s, uint64_t bits)
{
    if ((s->value & bits) == bits)
        return true;
    if (m->entry_size == 4) {
        uint32_t old = (uint32_t)s->value;
        return atomic_compare_exchange_strong((_Atomic uint32_t *)s->entry, &old, old | (uint32_t)bits);
    }
    uint64_t old = s->value;
    return atomic_compare_exchange_strong((_Atomic uint64_t *)s->entry, &old, old | bits);
}

/* The #PF error code for a present translation, or 0 when the access is allowed. */
static uint32_t rights_fault(const struct x86_cpu *c, const struct x86_walk *w, enum x86_access access, enum x86_tlb_bank bank)
{
    bool user = bank == X86_BANK_USER;
    if (user && !w->user)
        return PF_P;
    if (access == X86_FETCH) {
        if (w->nx || (!user && w->user && (c->cr4 & CR4_SMEP)))
            return PF_P;
        return 0;
    }
    if (!user && w->user && bank == X86_BANK_KERNEL && (c->cr4 & CR4_SMAP))
        return PF_P;
    if (access == X86_WRITE && !w->writable && (user || (c->cr0 & CR0_WP)))
        return PF_P;
    return 0;
}

static uint32_t fault_code(const struct x86_cpu *c, uint32_t why, enum x86_access access, enum x86_tlb_bank bank)
{
    bool reports_fetch = (c->cr4 & CR4_SMEP) || ((c->cr4 & CR4_PAE) && (c->efer & EFER_NXE));
    return WALK_FAULT | why | (access == X86_WRITE ? PF_W : 0) | (bank == X86_BANK_USER ? PF_U : 0)
           | (access == X86_FETCH && reports_fetch ? PF_I : 0);
}

/* Physical address of a large page's part that lin names. */
static gpa_t large_gpa(const struct paging_mode *m, uint64_t entry, unsigned shift, gva_t lin, uint64_t mask)
{
    uint64_t in_page = (1ULL << shift) - 1;
    uint64_t base = m == &MODE_32 ? (entry & 0xffc00000ULL) | ((entry >> 13) & 0xff) << 32 : entry & mask;
    return (base & ~in_page) | (lin & in_page);
}

/* Goes down the tables. Returns 0 and the steps, or a PF_P/PF_RSVD fault (WALK_FAULT set). */
static uint32_t descend(const struct x86_cpu *c, const struct paging_mode *m, gpa_t table, gva_t lin, struct walk_step *steps,
                        unsigned *ret_nr, struct x86_walk *w)
{
    uint64_t mask = phys_mask(c) & ~0xfffULL;
    unsigned n = 0;
    for (unsigned level = m->levels - 1;; level--) {
        unsigned shift = 12 + m->index_bits * level;
        uint64_t index = (lin >> shift) & ((1U << m->index_bits) - 1);
        void *entry = gmem_pin(c->gmem, table + index * m->entry_size, m->entry_size);
        uint64_t v = entry ? entry_load(m, entry) : 0;
        if (!(v & PTE_P))
            return WALK_FAULT;
        bool large = (v & PTE_PS) && large_allowed(c, m, level);
        if (v & reserved_bits(c, m, level, large))
            return WALK_FAULT | PF_P | PF_RSVD;
        steps[n++] = (struct walk_step){ entry, v };
        w->writable &= !!(v & PTE_W);
        w->user &= !!(v & PTE_U);
        w->nx |= m->entry_size == 8 && (v & PTE_NX);
        if (large || level == 0) {
            w->gpa = large ? large_gpa(m, v, shift, lin, mask) : (v & mask) | (lin & 0xfff);
            w->page_size = 1ULL << shift;
            w->global = (v & PTE_G) && (c->cr4 & CR4_PGE);
            w->dirty = v & PTE_D;
            *ret_nr = n;
            return 0;
        }
        table = v & mask;
    }
}

static const struct paging_mode *paging_mode(const struct x86_cpu *c)
{
    if (c->efer & EFER_LMA)
        return &MODE_LONG;
    return c->cr4 & CR4_PAE ? &MODE_PAE : &MODE_32;
}

/* Where the walk starts; false: the PAE top-level entry is not present. */
static bool root_table(const struct x86_cpu *c, const struct paging_mode *m, gva_t lin, gpa_t *ret_table)
{
    if (m == &MODE_PAE) {
        uint64_t pdpte = c->pdpte[(lin >> 30) & 3];
        *ret_table = pdpte & phys_mask(c) & ~0xfffULL;
        return pdpte & PTE_P;
    }
    *ret_table = m == &MODE_LONG ? c->cr3 & phys_mask(c) & ~0xfffULL : c->cr3 & 0xfffff000U;
    return true;
}

uint32_t x86_walk(struct x86_cpu *c, gva_t lin, enum x86_access access, enum x86_tlb_bank bank, struct x86_walk *ret_walk)
{
    struct x86_walk open = { .gpa = lin & 0xffffffffULL, .page_size = GPAGE_SIZE, .writable = true, .user = true, .dirty = true };
    if (!(c->cr0 & CR0_PG)) {
        *ret_walk = open;
        return 0;
    }
    const struct paging_mode *m = paging_mode(c);
    for (;;) {
        struct x86_walk w = { .writable = true, .user = true };
        struct walk_step steps[LEVELS_MAX];
        unsigned n;
        gpa_t table;
        if (!root_table(c, m, lin, &table))
            return fault_code(c, 0, access, bank);
        uint32_t fault = descend(c, m, table, lin, steps, &n, &w);
        if (!fault)
            fault = rights_fault(c, &w, access, bank);
        if (fault)
            return fault_code(c, fault, access, bank);
        bool same = true;
        for (unsigned k = 0; k < n && same; k++)
            same = entry_set(m, &steps[k], PTE_A | (k == n - 1 && access == X86_WRITE ? PTE_D : 0));
        if (!same)
            continue; /* another CPU changed an entry: at most once a change, so this ends */
        w.dirty |= access == X86_WRITE;
        *ret_walk = w;
        return 0;
    }
}

bool x86_translate_quiet(const struct x86_cpu *c, gva_t lin, gpa_t *ret_gpa)
{
    if (!(c->cr0 & CR0_PG)) {
        *ret_gpa = lin & 0xffffffffULL;
        return true;
    }
    const struct paging_mode *m = paging_mode(c);
    struct x86_walk w = { .writable = true, .user = true };
    struct walk_step steps[LEVELS_MAX];
    unsigned n;
    gpa_t table;
    if (!root_table(c, m, lin, &table) || descend(c, m, table, lin, steps, &n, &w))
        return false;
    *ret_gpa = w.gpa;
    return true;
}

bool x86_load_pdptes(struct x86_cpu *c, uint64_t cr3)
{
    uint64_t pdpte[4] = { 0 };
    uint64_t rsvd = ~phys_mask(c) | 0x1e6; /* bits 2:1 and 8:5 */
    if (gmem_read(c->gmem, cr3 & 0xffffffe0U, pdpte, sizeof(pdpte)))
        memset(pdpte, 0, sizeof(pdpte)); /* not RAM: reads as not present */
    for (unsigned i = 0; i < 4; i++)
        if ((pdpte[i] & PTE_P) && (pdpte[i] & rsvd))
            return false;
    memcpy(c->pdpte, pdpte, sizeof(pdpte));
    return true;
}
