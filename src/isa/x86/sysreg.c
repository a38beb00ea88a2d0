/* SPDX-License-Identifier: MIT */
/*
 * Control, debug and extended control registers: which writes are legal, and what follows from them.
 *
 * Every function checks all before it changes anything: it either raises or completes.
 *
 * Spec: Intel SDM 253667-081 2B MOV CRn, MOV DRn; 3A 2.5 (control registers), 4.1.2 and 4.10.4 (paging modes and what
 * invalidates), 9.8.5 (IA-32e activation); 3B 17.2 (debug registers)
 */
#include "isa/x86/sysreg.h"

#include "base/checked.h"
#include "core/vcpu.h"
#include "core/vm.h"
#include "isa/x86/mmu.h"
#include "isa/x86/profile.h"
#include "isa/x86/trap.h"

#define CR0_BITS ((uint64_t)(CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD) | CR0_PG)
#define CR3_NO_FLUSH (1ULL << 63)
#define DR6_FIXED_1 0xffff0ff0ULL
#define DR6_WRITABLE 0xe00fULL
#define DR7_FIXED_1 0x400ULL
#define DR7_WRITABLE 0xffff23ffULL
enum { DR7_GD = 1 << 13, DR7_ENABLES = 0xff, DR6_BD = 1 << 13 };
enum { TSS16_AVAILABLE = 1, TSS16_BUSY = 3 };

static _Noreturn void gp0(struct x86_cpu *c)
{
    x86_raise_err(c, X86_GP, 0);
}

/* ---- CR0 ---- */

bool x86_cr0_legal(uint64_t v)
{
    if (v & ~CR0_BITS)
        return false;
    if ((v & CR0_PG) && !(v & CR0_PE))
        return false;
    return !(v & CR0_NW) || (v & CR0_CD);
}

/* May paging be switched on, activating IA-32e mode when EFER.LME says so? */
static bool may_enable_paging(struct x86_cpu *c)
{
    if (!(c->efer & EFER_LME))
        return true;
    unsigned tss = c->seg[SEG_TR].attr & (SEG_TYPE | SEG_S);
    return (c->cr4 & CR4_PAE) && !(c->seg[SEG_CS].attr & SEG_L) && tss != TSS16_AVAILABLE && tss != TSS16_BUSY;
}

/* Do the PDPTEs have to be loaded for this CR0, and are they bad? */
static bool bad_pdptes(struct x86_cpu *c, uint64_t cr0, uint64_t changed)
{
    bool pae_paging = (cr0 & CR0_PG) && (c->cr4 & CR4_PAE) && !(c->efer & EFER_LME);
    return pae_paging && (changed & (CR0_PG | CR0_CD | CR0_NW)) && !x86_load_pdptes(c, c->cr3);
}

void x86_cr0_write(struct x86_cpu *c, uint64_t v)
{
    if (v >> 32)
        gp0(c);
    v = (v & CR0_BITS) | CR0_ET; /* reserved bits of the low half are ignored */
    uint64_t changed = v ^ c->cr0;
    if (!x86_cr0_legal(v))
        gp0(c);
    if (changed & CR0_PG) {
        bool on = v & CR0_PG;
        if (on ? !may_enable_paging(c) : c->mode == X86_MODE_64 || (c->cr4 & CR4_PCIDE))
            gp0(c);
    }
    if (bad_pdptes(c, v, changed))
        gp0(c);
    c->cr0 = v;
    if (changed & CR0_PG) {
        c->efer &= ~(uint64_t)EFER_LMA;
        if ((v & CR0_PG) && (c->efer & EFER_LME))
            c->efer |= EFER_LMA;
    }
    x86_mode_update(c);
    if (changed & (CR0_PG | CR0_PE | CR0_WP))
        x86_tlb_flush_all(c);
}

/* ---- CR3 ---- */

void x86_cr3_write(struct x86_cpu *c, uint64_t v)
{
    bool pcid = c->cr4 & CR4_PCIDE, keep = pcid && (v & CR3_NO_FLUSH);
    if (pcid)
        v &= ~CR3_NO_FLUSH;
    if (v >> x86_phys_bits(c))
        gp0(c);
    if ((c->cr0 & CR0_PG) && (c->cr4 & CR4_PAE) && !(c->efer & EFER_LMA) && !x86_load_pdptes(c, v))
        gp0(c);
    c->cr3 = v;
    x86_tlb_switch(c, keep);
}

/* ---- CR4 ---- */

uint64_t x86_cr4_bits(const struct x86_cpu *c)
{
    static const struct {
        uint8_t feature;
        uint32_t bit;
    } optional[] = {
        { X86_FEAT_UMIP, CR4_UMIP },     { X86_FEAT_FSGSBASE, CR4_FSGSBASE }, { X86_FEAT_PCID, CR4_PCIDE },
        { X86_FEAT_XSAVE, CR4_OSXSAVE }, { X86_FEAT_SMEP, CR4_SMEP },         { X86_FEAT_SMAP, CR4_SMAP },
    };
    uint64_t bits = CR4_TSD | CR4_DE | CR4_PSE | CR4_PAE | CR4_MCE | CR4_PGE | CR4_PCE | CR4_OSFXSR | CR4_OSXMMEXCPT;
    for (unsigned k = 0; k < ARRAY_SIZE(optional); k++)
        if (x86_has(c, optional[k].feature))
            bits |= optional[k].bit;
    return bits;
}

void x86_cr4_write(struct x86_cpu *c, uint64_t v)
{
    uint64_t changed = v ^ c->cr4, on = changed & v, off = changed & ~v;
    bool lma = c->efer & EFER_LMA;
    if (v & ~x86_cr4_bits(c))
        gp0(c);
    if ((off & CR4_PAE) && lma)
        gp0(c);
    if ((on & CR4_PCIDE) && (!lma || (c->cr3 & 0xfff)))
        gp0(c);
    bool pae_paging = (c->cr0 & CR0_PG) && (v & CR4_PAE) && !lma;
    if (pae_paging && (changed & (CR4_PAE | CR4_PSE | CR4_PGE | CR4_SMEP)) && !x86_load_pdptes(c, c->cr3))
        gp0(c);
    c->cr4 = v;
    x86_mode_update(c);
    if (changed & (CR4_PSE | CR4_PAE | CR4_PGE | CR4_PCIDE | CR4_SMEP | CR4_SMAP))
        x86_tlb_flush_all(c);
}

/* ---- CR8 ---- */

uint64_t x86_cr8_read(struct x86_cpu *c)
{
    struct vcpu *v = c->vcpu;
    if (!v || !v->intc)
        return 0;
    vm_lock(v->vm);
    uint64_t tpr = v->intc->tpr_get(v->intc_dev);
    vm_unlock(v->vm);
    return tpr;
}

void x86_cr8_write(struct x86_cpu *c, uint64_t value)
{
    struct vcpu *v = c->vcpu;
    if (value & ~0xfULL)
        gp0(c);
    if (!v || !v->intc)
        return;
    vm_lock(v->vm);
    v->intc->tpr_set(v->intc_dev, (uint8_t)value);
    vm_unlock(v->vm);
}

/* ---- XCR0 ---- */

bool x86_xcr0_legal(const struct x86_cpu *c, uint64_t v)
{
    const uint64_t avx512 = XCR0_OPMASK | XCR0_ZMM_HI256 | XCR0_HI16_ZMM;
    if ((c->profile && (v & ~c->profile->xcr0)) || (v & ~(XCR0_X87 | XCR0_SSE | XCR0_AVX | avx512)) || !(v & XCR0_X87))
        return false;
    if ((v & XCR0_AVX) && !(v & XCR0_SSE))
        return false;
    return !(v & avx512) || ((v & avx512) == avx512 && (v & XCR0_AVX));
}

void x86_xcr0_write(struct x86_cpu *c, uint64_t v)
{
    if (!x86_xcr0_legal(c, v))
        gp0(c);
    c->xcr0 = v;
}

/* ---- debug registers ---- */

/* The checks of both directions; returns the register number with DR4 and DR5 resolved. */
static unsigned dr_check(struct x86_cpu *c, unsigned n)
{
    if (n > 7 || ((n == 4 || n == 5) && (c->cr4 & CR4_DE)))
        x86_raise(c, X86_UD);
    if (c->dr7 & DR7_GD)
        x86_raise_db(c, DR6_BD);
    return n == 4 || n == 5 ? n + 2 : n;
}

uint64_t x86_dr_read(struct x86_cpu *c, unsigned n)
{
    n = dr_check(c, n);
    return n == 6 ? c->dr6 : n == 7 ? c->dr7 : c->dr[n];
}

void x86_dr_write(struct x86_cpu *c, unsigned n, uint64_t v)
{
    n = dr_check(c, n);
    bool armed = c->dr7 & DR7_ENABLES;
    if (n >= 6 && v >> 32)
        gp0(c);
    if (n == 6) {
        c->dr6 = (v & DR6_WRITABLE) | DR6_FIXED_1;
        return;
    }
    if (n == 7)
        c->dr7 = (v & DR7_WRITABLE) | DR7_FIXED_1;
    else
        c->dr[n] = v;
    /* pages with data breakpoints stay out of the TLB: the set of such pages may have changed */
    if (armed || (c->dr7 & DR7_ENABLES))
        x86_tlb_flush_all(c);
    x86_flags_update(c);
}
