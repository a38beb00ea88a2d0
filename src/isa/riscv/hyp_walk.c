/* SPDX-License-Identifier: MIT */
/*
 * Two-stage translation: guest virtual to guest physical by vsatp's tables (VS-stage), and that, like all addresses of those
 * tables themselves, to physical by hgatp's (G-stage).
 *
 * Each stage sets A and D by its own switch: henvcfg.ADUE, menvcfg.ADUE. An entry that changes meanwhile makes the walk start
 * again, as in paging.c.
 * Spec: volume II, chapter "H": "Two-Stage Address Translation", "Guest-Page Faults", "Transformed Instruction or
 * Pseudoinstruction for mtinst or htinst"
 */
#include "isa/riscv/csr.h"
#include "isa/riscv/hyp.h"
#include "isa/riscv/paging.h"

enum { WIDER = 2 };                                 /* bits more than a table's that the G-stage's root translates */
enum { TINST_READ = 0x3000, TINST_WRITE = 0x3020 }; /* pseudoinstructions: 64-bit accesses to VS-stage tables */

/* What is accessed, and by whose rights. */
struct guest_access {
    gva_t va;
    enum riscv_access access;
    enum riscv_bank bank; /* of the VS-stage: U, S, S_SUM; BARE: it does not translate */
    bool executes;        /* HLVX: a load that needs the right to execute */
};

/* HLVX obeys SUM as loads do. */
static bool allows(const struct guest_access *a, uint64_t pte, uint64_t status)
{
    if (a->executes)
        return (pte & PTE_X) && riscv_pte_allows(pte | PTE_R, RISCV_READ, a->bank, status);
    return riscv_pte_allows(pte, a->access, a->bank, status);
}

static enum riscv_access right_of(const struct guest_access *a)
{
    return a->executes ? RISCV_FETCH : a->access;
}

/* The entry at physical address `at`; NULL: there is no RAM, or PMP refuses. */
static _Atomic uint64_t *slot_at(struct riscv_cpu *c, gpa_t at)
{
    return riscv_pmp_allows(c, at, 8, RISCV_READ, false) ? gmem_pin(c->gmem, at, 8) : NULL;
}

/* Sets A (D, too, for a write) in a leaf, *pte being what was read; *ret_again: it was changed meanwhile. */
static enum riscv_fault set_bits(struct riscv_cpu *c, _Atomic uint64_t *slot, gpa_t at, uint64_t *pte, uint64_t want,
                                 bool *ret_again)
{
    uint64_t old = *pte;
    if (!riscv_pmp_allows(c, at, 8, RISCV_WRITE, false))
        return RISCV_FAULT_ACCESS;
    if (!atomic_compare_exchange_strong(slot, &old, want))
        *ret_again = true;
    (void)gmem_note_write(c->gmem, (void *)slot); /* tables may share a page with code */
    *pte = want;
    return RISCV_FAULT_NONE;
}

/* ---- G-stage ---- */

static enum riscv_fault g_once(struct riscv_cpu *c, gpa_t gpa, enum riscv_access right, uint64_t status, struct riscv_walk *w,
                               bool *ret_again)
{
    unsigned levels = riscv_levels_of(c->hyp.hgatp);
    gpa_t table = (c->hyp.hgatp & SATP_PPN) << GPAGE_SHIFT;
    if (gpa >> (GPAGE_SHIFT + VPN_BITS * levels + WIDER))
        return RISCV_FAULT_GUEST;
    for (unsigned level = levels; level-- > 0;) {
        unsigned bits = VPN_BITS + (level == levels - 1 ? WIDER : 0);
        gpa_t at = table + 8 * (gpa >> (GPAGE_SHIFT + VPN_BITS * level) & ((1U << bits) - 1));
        _Atomic uint64_t *slot = slot_at(c, at);
        if (!slot)
            return RISCV_FAULT_ACCESS;
        uint64_t pte = atomic_load_explicit(slot, memory_order_acquire); /* pairs with whoever published the table below it */
        if (!riscv_pte_valid(c, pte, level, c->menvcfg))
            return RISCV_FAULT_GUEST;
        if (!(pte & PTE_RWX)) {
            table = (pte & PTE_PPN) >> PTE_PPN_SHIFT << GPAGE_SHIFT;
            continue;
        }
        if (!riscv_pte_allows(pte, right, RISCV_BANK_U, status))
            return RISCV_FAULT_GUEST;
        uint64_t want = pte | PTE_A | (right == RISCV_WRITE ? PTE_D : 0);
        if (want != pte && !(c->menvcfg & ENVCFG_ADUE))
            return RISCV_FAULT_GUEST;
        if (want != pte) {
            enum riscv_fault bad = set_bits(c, slot, at, &pte, want, ret_again);
            if (bad)
                return bad;
        }
        riscv_walk_fill(gpa, pte, level, w);
        return RISCV_FAULT_NONE;
    }
    return RISCV_FAULT_GUEST;
}

/* tinst: 0, or what the access to a VS-stage table is called. */
static enum riscv_fault g_stage(struct riscv_cpu *c, gpa_t gpa, enum riscv_access right, uint64_t tinst, struct riscv_walk *w)
{
    if (!(c->hyp.hgatp >> SATP_MODE_SHIFT)) {
        *w = (struct riscv_walk){ .gpa = gpa, .page_size = GPAGE_SIZE, .dirty_writable = true, .lasts = true };
        return RISCV_FAULT_NONE;
    }
    enum riscv_fault fault = RISCV_FAULT_GUEST;
    bool again = true;
    for (unsigned k = 0; k < WALKS_MAX && again; k++) {
        again = false;
        fault = g_once(c, gpa, right, tinst ? 0 : c->mstatus, w, &again);
    }
    if (again)
        fault = RISCV_FAULT_GUEST;
    c->guest_gpa = gpa;
    c->guest_tinst = tinst;
    return fault;
}

/* ---- VS-stage ---- */

/* The leaf that was found allows the access: the result, *w, of both stages. */
static enum riscv_fault leaf(struct riscv_cpu *c, const struct guest_access *a, uint64_t pte, unsigned level,
                             struct riscv_walk *w)
{
    struct riscv_walk g;
    riscv_walk_fill(a->va, pte, level, w);
    enum riscv_fault bad = g_stage(c, w->gpa, right_of(a), 0, &g);
    if (bad)
        return bad;
    w->gpa = g.gpa; /* the size of the page stays: what fences of virtual addresses reach */
    w->dirty_writable = w->dirty_writable && g.dirty_writable;
    return RISCV_FAULT_NONE;
}

static enum riscv_fault vs_once(struct riscv_cpu *c, const struct guest_access *a, struct riscv_walk *w, bool *ret_again)
{
    uint64_t global = 0, envcfg = riscv_hyp_envcfg(c), status = c->mstatus | c->hyp.vsstatus;
    gpa_t table = (c->hyp.vsatp & SATP_PPN) << GPAGE_SHIFT;
    for (unsigned level = riscv_levels_of(c->hyp.vsatp); level-- > 0;) {
        gpa_t at = table + 8 * (a->va >> (GPAGE_SHIFT + VPN_BITS * level) & ((1 << VPN_BITS) - 1));
        struct riscv_walk g;
        enum riscv_fault bad = g_stage(c, at, RISCV_READ, TINST_READ, &g);
        _Atomic uint64_t *slot = bad ? NULL : slot_at(c, g.gpa);
        if (!slot)
            return bad ? bad : RISCV_FAULT_ACCESS;
        uint64_t pte = atomic_load_explicit(slot, memory_order_acquire); /* as in g_once() */
        if (!riscv_pte_valid(c, pte, level, envcfg))
            return RISCV_FAULT_PAGE;
        global |= pte & PTE_G;
        if (!(pte & PTE_RWX)) {
            table = (pte & PTE_PPN) >> PTE_PPN_SHIFT << GPAGE_SHIFT;
            continue;
        }
        if (!allows(a, pte, status))
            return RISCV_FAULT_PAGE;
        uint64_t want = pte | PTE_A | (a->access == RISCV_WRITE ? PTE_D : 0);
        if (want != pte && !(envcfg & ENVCFG_ADUE))
            return RISCV_FAULT_PAGE;
        if (want != pte) { /* the table is written: its page must allow that, and becomes dirty */
            bad = g_stage(c, at, RISCV_WRITE, TINST_WRITE, &g);
            bad = bad ? bad : set_bits(c, slot, g.gpa, &pte, want, ret_again);
            if (bad)
                return bad;
        }
        return leaf(c, a, pte | global, level, w);
    }
    return RISCV_FAULT_PAGE;
}

static enum riscv_fault vs_stage(struct riscv_cpu *c, const struct guest_access *a, struct riscv_walk *w)
{
    if (!riscv_va_in_range(a->va, riscv_levels_of(c->hyp.vsatp)))
        return RISCV_FAULT_PAGE;
    bool again = true;
    enum riscv_fault fault = RISCV_FAULT_PAGE;
    for (unsigned k = 0; k < WALKS_MAX && again; k++) {
        again = false;
        fault = vs_once(c, a, w, &again);
    }
    return again ? RISCV_FAULT_PAGE : fault;
}

/* Who accesses, where V is 0: the previous mode. */
static enum riscv_bank bank_of(const struct riscv_cpu *c, enum riscv_bank bank)
{
    bool user = bank == RISCV_BANK_GUEST ? !(c->mstatus & MSTATUS_MPP) : !(c->hyp.hstatus & HSTATUS_SPVP);
    if (bank <= RISCV_BANK_LAST)
        return bank;
    if (!(c->hyp.vsatp >> SATP_MODE_SHIFT))
        return RISCV_BANK_BARE;
    return user ? RISCV_BANK_U : c->hyp.vsstatus & MSTATUS_SUM ? RISCV_BANK_S_SUM : RISCV_BANK_S;
}

enum riscv_fault riscv_hyp_walk(struct riscv_cpu *c, gva_t va, enum riscv_access access, enum riscv_bank bank,
                                struct riscv_walk *w)
{
    const struct guest_access a = { .va = va, .access = access, .bank = bank_of(c, bank), .executes = bank == RISCV_BANK_HLVX };
    if (a.bank != RISCV_BANK_BARE)
        return vs_stage(c, &a, w);
    enum riscv_fault bad = g_stage(c, va, right_of(&a), 0, w);
    w->lasts = true; /* in every address space */
    return bad;
}
