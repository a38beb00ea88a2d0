/* SPDX-License-Identifier: MIT */
/*
 * The page-table walk of Sv39, Sv48 and Sv57, and PMP's verdicts.
 *
 * Accessed and dirty bits: with menvcfg.ADUE they are set by compare-and-swap, so a page table that changes meanwhile makes the
 * walk start again; without, an access that would set one faults (Svade).
 * Spec: volume II 3.7.1, 12.3.2, 12.4 to 12.6
 */
#include "isa/riscv/paging.h"

#include "isa/riscv/csr.h"
#include "isa/riscv/hyp.h"
#include "isa/riscv/profile.h"

enum { PMP_R = 1, PMP_W = 2, PMP_X = 4, PMP_A = 3 << 3, PMP_TOR = 1 << 3, PMP_NA4 = 2 << 3, PMP_L = 0x80 };

/* The range of PMP entry n: [*ret_lo, *ret_hi]; false: it matches nothing. */
static bool pmp_range(const struct riscv_cpu *c, unsigned n, gpa_t *ret_lo, gpa_t *ret_hi)
{
    uint64_t addr = c->pmpaddr[n];
    switch (c->pmpcfg[n] & PMP_A) {
    case 0: return false;
    case PMP_TOR:
        *ret_lo = n ? c->pmpaddr[n - 1] << 2 : 0;
        *ret_hi = (addr << 2) - 1;
        return *ret_lo < addr << 2;
    case PMP_NA4:
        *ret_lo = addr << 2;
        *ret_hi = *ret_lo + 3;
        return true;
    default: { /* NAPOT: the low ones of addr say how large */
        uint64_t ones = addr ^ (addr + 1);
        *ret_lo = (addr & ~ones) << 2;
        *ret_hi = (addr | ones) << 2 | 3;
        return true;
    }
    }
}

bool riscv_pmp_allows(const struct riscv_cpu *c, gpa_t gpa, uint64_t size, enum riscv_access access, bool machine)
{
    static const uint8_t right[] = { [RISCV_READ] = PMP_R, [RISCV_WRITE] = PMP_W, [RISCV_FETCH] = PMP_X };
    gpa_t last = gpa + size - 1, lo, hi;
    if (c->pmp_open && !machine)
        return true;
    for (unsigned n = 0; n < RISCV_PMPS; n++) {
        if (!pmp_range(c, n, &lo, &hi) || last < lo || gpa > hi)
            continue;
        if (gpa < lo || last > hi)
            return false; /* matches some of the bytes only */
        return (machine && !(c->pmpcfg[n] & PMP_L)) || (c->pmpcfg[n] & right[access]);
    }
    return machine;
}

void riscv_pmp_changed(struct riscv_cpu *c)
{
    gpa_t lo, hi;
    uint8_t all = PMP_R | PMP_W | PMP_X;
    c->pmp_open = (c->pmpcfg[0] & all) == all && pmp_range(c, 0, &lo, &hi) && lo == 0 && hi >= RISCV_PMPADDR_BITS << 2;
}

bool riscv_pte_valid(const struct riscv_cpu *c, uint64_t pte, unsigned level, uint64_t envcfg)
{
    bool leaf = pte & PTE_RWX;
    uint64_t ppn = (pte & PTE_PPN) >> PTE_PPN_SHIFT;
    if (!(pte & PTE_V) || (pte & (PTE_R | PTE_W)) == PTE_W || (pte & PTE_RESERVED))
        return false;
    if (!leaf)
        return level > 0 && !(pte & (PTE_A | PTE_D | PTE_U | PTE_PBMT | PTE_N));
    if ((pte & PTE_PBMT) && (!(envcfg & ENVCFG_PBMTE) || (pte & PTE_PBMT) == PTE_PBMT))
        return false;
    if ((pte & PTE_N) && (level > 0 || !c->profile->has[RISCV_EXT_SVNAPOT] || (ppn & 0xf) != 8))
        return false;
    return !(ppn & ((1ULL << (VPN_BITS * level)) - 1)); /* a large page is aligned */
}

bool riscv_pte_allows(uint64_t pte, enum riscv_access access, enum riscv_bank bank, uint64_t status)
{
    if (bank == RISCV_BANK_U ? !(pte & PTE_U) : (pte & PTE_U) && (bank != RISCV_BANK_S_SUM || access == RISCV_FETCH))
        return false;
    switch (access) {
    case RISCV_READ: return (pte & PTE_R) || ((status & MSTATUS_MXR) && (pte & PTE_X));
    case RISCV_WRITE: return pte & PTE_W;
    case RISCV_FETCH: return pte & PTE_X;
    }
    return false;
}

bool riscv_va_in_range(gva_t va, unsigned levels)
{
    unsigned unused = 64 - (GPAGE_SHIFT + VPN_BITS * levels);
    return (uint64_t)((int64_t)(va << unused) >> unused) == va;
}

void riscv_walk_fill(gva_t va, uint64_t pte, unsigned level, struct riscv_walk *w)
{
    unsigned shift = GPAGE_SHIFT + VPN_BITS * level + (pte & PTE_N ? NAPOT_64K_SHIFT : 0);
    gpa_t base = (pte & PTE_PPN) >> PTE_PPN_SHIFT << GPAGE_SHIFT;
    w->page_size = 1ULL << shift;
    w->gpa = (base & ~(w->page_size - 1)) | (va & (w->page_size - 1));
    w->lasts = pte & PTE_G;
    w->dirty_writable = (pte & (PTE_W | PTE_D)) == (PTE_W | PTE_D);
}

/* One walk; *ret_again: an entry changed under it. peek: one that would have to set A or D faults. */
static enum riscv_fault walk_once(struct riscv_cpu *c, gva_t va, enum riscv_access access, enum riscv_bank bank, bool peek,
                                  struct riscv_walk *w, bool *ret_again)
{
    gpa_t table = (c->satp & SATP_PPN) << GPAGE_SHIFT;
    uint64_t global = 0;
    *ret_again = false;
    for (unsigned level = riscv_levels_of(c->satp); level-- > 0;) {
        gpa_t at = table + 8 * (va >> (GPAGE_SHIFT + VPN_BITS * level) & ((1 << VPN_BITS) - 1));
        _Atomic uint64_t *slot = gmem_pin(c->gmem, at, 8);
        if (!slot || !riscv_pmp_allows(c, at, 8, RISCV_READ, false))
            return RISCV_FAULT_ACCESS;
        uint64_t pte = atomic_load_explicit(slot, memory_order_acquire); /* pairs with whoever published the table below it */
        if (!riscv_pte_valid(c, pte, level, c->menvcfg))
            return RISCV_FAULT_PAGE;
        global |= pte & PTE_G;
        if (!(pte & PTE_RWX)) {
            table = (pte & PTE_PPN) >> PTE_PPN_SHIFT << GPAGE_SHIFT;
            continue;
        }
        if (!riscv_pte_allows(pte, access, bank, c->mstatus))
            return RISCV_FAULT_PAGE;
        uint64_t want = pte | PTE_A | (access == RISCV_WRITE ? PTE_D : 0);
        if (want != pte) {
            if (peek || !(c->menvcfg & ENVCFG_ADUE))
                return RISCV_FAULT_PAGE;
            if (!riscv_pmp_allows(c, at, 8, RISCV_WRITE, false))
                return RISCV_FAULT_ACCESS;
            *ret_again = !atomic_compare_exchange_strong(slot, &pte, want);
            (void)gmem_note_write(c->gmem, (void *)slot); /* tables may share a page with code */
        }
        riscv_walk_fill(va, want | global, level, w);
        return RISCV_FAULT_NONE;
    }
    return RISCV_FAULT_PAGE;
}

enum riscv_fault riscv_walk(struct riscv_cpu *c, gva_t va, enum riscv_access access, enum riscv_bank bank, struct riscv_walk *w)
{
    if (c->hyp.virt || bank > RISCV_BANK_LAST)
        return riscv_hyp_walk(c, va, access, bank, w);
    if (bank == RISCV_BANK_M || bank == RISCV_BANK_BARE) {
        *w = (struct riscv_walk){ .gpa = va, .page_size = GPAGE_SIZE, .dirty_writable = true, .lasts = true };
        return RISCV_FAULT_NONE;
    }
    if (!riscv_va_in_range(va, riscv_levels_of(c->satp)))
        return RISCV_FAULT_PAGE;
    bool again = true;
    enum riscv_fault fault = RISCV_FAULT_PAGE;
    for (unsigned k = 0; k < WALKS_MAX && again; k++) /* a guest that changes the entry for ever gets a fault: it may */
        fault = walk_once(c, va, access, bank, false, w, &again);
    return again ? RISCV_FAULT_PAGE : fault;
}

bool riscv_walk_peek(struct riscv_cpu *c, gva_t va, enum riscv_bank bank, struct riscv_walk *w)
{
    bool again;
    return !c->hyp.virt && bank >= RISCV_BANK_U && bank <= RISCV_BANK_LAST && riscv_va_in_range(va, riscv_levels_of(c->satp))
           && walk_once(c, va, RISCV_READ, bank, true, w, &again) == RISCV_FAULT_NONE;
}
