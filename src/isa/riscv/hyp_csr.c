/* SPDX-License-Identifier: MIT */
/*
 * The CSRs of the hypervisor extension: hypervisor's, virtual supervisor's, mtval2 and mtinst. See hyp.h.
 *
 * A virtual machine never gets here by these CSRs' numbers, but by the supervisor's (riscv_hyp_csr_of()).
 */
#include "isa/riscv/csr.h"
#include "isa/riscv/hyp.h"
#include "isa/riscv/profile.h"

enum hyp_csr {
    CSR_VSSTATUS = 0x200,
    CSR_VSIE = 0x204,
    CSR_VSTVEC = 0x205,
    CSR_VSSCRATCH = 0x240,
    CSR_VSEPC = 0x241,
    CSR_VSCAUSE = 0x242,
    CSR_VSTVAL = 0x243,
    CSR_VSIP = 0x244,
    CSR_VSTIMECMP = 0x24d,
    CSR_VSATP = 0x280,
    CSR_MTINST = 0x34a,
    CSR_MTVAL2 = 0x34b,
    CSR_HSTATUS = 0x600,
    CSR_HEDELEG = 0x602,
    CSR_HIDELEG = 0x603,
    CSR_HIE = 0x604,
    CSR_HTIMEDELTA = 0x605,
    CSR_HCOUNTEREN = 0x606,
    CSR_HGEIE = 0x607,
    CSR_HENVCFG = 0x60a,
    CSR_HTVAL = 0x643,
    CSR_HIP = 0x644,
    CSR_HVIP = 0x645,
    CSR_HTINST = 0x64a,
    CSR_HGATP = 0x680,
    CSR_HGEIP = 0xe12,
};

enum { TO_VS = 0x100, ATP_MODE_SHIFT = 60, COUNTER_TM = 1, VS_SHIFT = 1 };
#define ATP_MODE (15ULL << ATP_MODE_SHIFT)
#define ATP_PPN ((1ULL << 44) - 1)
#define SATP_ASID (0xffffULL << 44)
#define HGATP_VMID (0x3fffULL << 44)
#define HGATP_PPN (ATP_PPN & ~3ULL) /* the root is 16 KiB */
#define HSTATUS_WRITE (HSTATUS_GVA | HSTATUS_SPV | HSTATUS_SPVP | HSTATUS_HU | HSTATUS_VTVM | HSTATUS_VTW | HSTATUS_VTSR)
#define BY_MENVCFG (ENVCFG_ADUE | ENVCFG_PBMTE | ENVCFG_STCE) /* what menvcfg switches off is 0 in henvcfg */

bool riscv_hyp_is_on(const struct riscv_cpu *c)
{
    return c->profile->has[RISCV_EXT_H];
}

uint64_t riscv_hyp_envcfg(const struct riscv_cpu *c)
{
    return c->hyp.henvcfg & (c->menvcfg | ~BY_MENVCFG);
}

/* ---- access ---- */

bool riscv_hyp_may_access(const struct riscv_cpu *c, unsigned csr)
{
    if (!riscv_hyp_is_on(c) || c->hyp.virt || c->priv < RISCV_S)
        return false;
    if (csr == CSR_HGATP)
        return !(c->priv == RISCV_S && (c->mstatus & MSTATUS_TVM));
    if (csr == CSR_VSTIMECMP && !c->profile->has[RISCV_EXT_SSTC])
        return false;
    if (csr == CSR_VSTIMECMP && c->priv == RISCV_S)
        return (c->menvcfg & ENVCFG_STCE) && (c->mcounteren >> COUNTER_TM & 1);
    return true;
}

unsigned riscv_hyp_csr_of(unsigned csr)
{
    switch (csr + TO_VS) {
    case CSR_VSSTATUS:
    case CSR_VSIE:
    case CSR_VSTVEC:
    case CSR_VSSCRATCH:
    case CSR_VSEPC:
    case CSR_VSCAUSE:
    case CSR_VSTVAL:
    case CSR_VSIP:
    case CSR_VSTIMECMP:
    case CSR_VSATP: return csr + TO_VS;
    default: return csr;
    }
}

/* ---- interrupts: what is delegated to VS-mode is seen there one bit lower ---- */

static uint64_t vs_bits(const struct riscv_cpu *c)
{
    return c->hyp.hideleg & MIP_VS;
}

static void vsie_write(struct riscv_cpu *c, uint64_t v)
{
    c->mie = (c->mie & ~vs_bits(c)) | (v << VS_SHIFT & vs_bits(c));
    c->leave = true;
}

static void pending_write(struct riscv_cpu *c, uint64_t v, uint64_t mask)
{
    riscv_set_soft(c, (uint32_t)(v & mask), true);
    riscv_set_soft(c, (uint32_t)(~v & mask), false);
    c->leave = true;
}

/* ---- reading ---- */

static uint64_t vsstatus_read(const struct riscv_cpu *c)
{
    uint64_t v = c->hyp.vsstatus;
    bool dirty = (v & MSTATUS_FS) == MSTATUS_FS || (v & MSTATUS_VS) == MSTATUS_VS;
    return v | (dirty ? MSTATUS_SD : 0);
}

bool riscv_hyp_csr_read(struct riscv_cpu *c, unsigned csr, uint64_t *ret)
{
    const struct riscv_hyp *h = &c->hyp;
    if (!riscv_hyp_is_on(c))
        return false;
    switch ((enum hyp_csr)csr) {
    case CSR_VSSTATUS: *ret = vsstatus_read(c); return true;
    case CSR_VSIE: *ret = (c->mie & vs_bits(c)) >> VS_SHIFT; return true;
    case CSR_VSTVEC: *ret = h->vstvec; return true;
    case CSR_VSSCRATCH: *ret = h->vsscratch; return true;
    case CSR_VSEPC: *ret = h->vsepc; return true;
    case CSR_VSCAUSE: *ret = h->vscause; return true;
    case CSR_VSTVAL: *ret = h->vstval; return true;
    case CSR_VSIP: *ret = (riscv_mip(c) & vs_bits(c)) >> VS_SHIFT; return true;
    case CSR_VSTIMECMP: *ret = h->vstimecmp; return true;
    case CSR_VSATP: *ret = h->vsatp; return true;
    case CSR_MTINST: *ret = h->mtinst; return true;
    case CSR_MTVAL2: *ret = h->mtval2; return true;
    case CSR_HSTATUS: *ret = h->hstatus; return true;
    case CSR_HEDELEG: *ret = h->hedeleg; return true;
    case CSR_HIDELEG: *ret = h->hideleg; return true;
    case CSR_HIE: *ret = c->mie & MIP_VS; return true;
    case CSR_HTIMEDELTA: *ret = h->htimedelta; return true;
    case CSR_HCOUNTEREN: *ret = h->hcounteren; return true;
    case CSR_HENVCFG: *ret = riscv_hyp_envcfg(c); return true;
    case CSR_HTVAL: *ret = h->htval; return true;
    case CSR_HIP: *ret = riscv_mip(c) & MIP_VS; return true;
    case CSR_HVIP: *ret = atomic_load_explicit(&c->soft, memory_order_acquire) & MIP_VS; return true; /* as riscv_mip() */
    case CSR_HTINST: *ret = h->htinst; return true;
    case CSR_HGATP: *ret = h->hgatp; return true;
    case CSR_HGEIE:
    case CSR_HGEIP: *ret = 0; return true; /* GEILEN is 0 */
    }
    return false;
}

/* ---- writing ---- */

static void vsstatus_write(struct riscv_cpu *c, uint64_t v)
{
    const uint64_t bits = MSTATUS_SIE | MSTATUS_SPIE | MSTATUS_SPP | MSTATUS_FS | MSTATUS_SUM | MSTATUS_MXR
                          | (c->profile->has[RISCV_EXT_V] ? MSTATUS_VS : 0);
    uint64_t old = c->hyp.vsstatus;
    c->hyp.vsstatus = (old & ~bits) | (v & bits);
    if ((old ^ c->hyp.vsstatus) & MSTATUS_MXR)
        riscv_tlb_flush_paged(c);
    riscv_mode_update(c);
}

/* A mode that there is not: stays, but for a virtual machine's write, which has then no effect at all. */
static void vsatp_write(struct riscv_cpu *c, uint64_t v)
{
    if (!riscv_has_satp_mode(c, v >> ATP_MODE_SHIFT)) {
        if (c->hyp.virt)
            return;
        v = (v & ~ATP_MODE) | (c->hyp.vsatp & ATP_MODE);
    }
    c->hyp.vsatp = v & (ATP_MODE | SATP_ASID | ATP_PPN);
    if (!c->hyp.virt)
        return; /* its TLB follows when it is chosen */
    riscv_tlb_follow(c);
    riscv_mode_update(c);
}

/* Nothing is kept by VMID. */
static void hgatp_write(struct riscv_cpu *c, uint64_t v)
{
    uint64_t old = c->hyp.hgatp;
    if (!riscv_has_satp_mode(c, v >> ATP_MODE_SHIFT)) /* Sv39x4, Sv48x4 and Sv57x4 have the numbers of Sv39, Sv48 and Sv57 */
        v = (v & ~ATP_MODE) | (old & ATP_MODE);
    c->hyp.hgatp = v & (ATP_MODE | HGATP_VMID | HGATP_PPN);
    if (c->hyp.hgatp != old)
        riscv_hyp_other_tlb(c, riscv_tlb_flush_all);
}

/* CBIE has no value 2: becomes 0, as in menvcfg. */
static void henvcfg_write(struct riscv_cpu *c, uint64_t v)
{
    if ((v & ENVCFG_CBIE) == 2ULL << ENVCFG_CBIE_SHIFT)
        v &= ~ENVCFG_CBIE;
    c->hyp.henvcfg = v & riscv_menvcfg_bits(c) & (c->menvcfg | ~BY_MENVCFG);
    riscv_hyp_other_tlb(c, riscv_tlb_flush_paged);
    riscv_stimer_update(c);
}

static bool hypervisor_write(struct riscv_cpu *c, unsigned csr, uint64_t v)
{
    struct riscv_hyp *h = &c->hyp;
    switch ((enum hyp_csr)csr) {
    case CSR_HSTATUS: h->hstatus = (v & HSTATUS_WRITE) | HSTATUS_VSXL64; return true;
    case CSR_HEDELEG: h->hedeleg = v & RISCV_HYP_HEDELEG_BITS; return true;
    case CSR_HIDELEG:
        h->hideleg = v & MIP_VS;
        c->leave = true;
        return true;
    case CSR_HIE:
        c->mie = (c->mie & ~(uint64_t)MIP_VS) | (v & MIP_VS);
        c->leave = true;
        return true;
    case CSR_HTIMEDELTA:
        h->htimedelta = v;
        riscv_stimer_update(c);
        return true;
    case CSR_HCOUNTEREN: h->hcounteren = v & RISCV_COUNTEREN_BITS; return true;
    case CSR_HENVCFG: henvcfg_write(c, v); return true;
    case CSR_HTVAL: h->htval = v; return true;
    case CSR_HIP: pending_write(c, v, MIP_VSSIP); return true;
    case CSR_HVIP: pending_write(c, v, MIP_VS); return true;
    case CSR_HTINST: h->htinst = v; return true;
    case CSR_HGATP: hgatp_write(c, v); return true;
    case CSR_MTINST: h->mtinst = v; return true;
    case CSR_MTVAL2: h->mtval2 = v; return true;
    case CSR_HGEIE: return true;
    default: return false;
    }
}

bool riscv_hyp_csr_write(struct riscv_cpu *c, unsigned csr, uint64_t v)
{
    struct riscv_hyp *h = &c->hyp;
    if (!riscv_hyp_is_on(c))
        return false;
    switch ((enum hyp_csr)csr) {
    case CSR_VSSTATUS: vsstatus_write(c, v); return true;
    case CSR_VSIE: vsie_write(c, v); return true;
    case CSR_VSTVEC: h->vstvec = v & ~2ULL; return true;
    case CSR_VSSCRATCH: h->vsscratch = v; return true;
    case CSR_VSEPC: h->vsepc = v & ~1ULL; return true;
    case CSR_VSCAUSE: h->vscause = v; return true;
    case CSR_VSTVAL: h->vstval = v; return true;
    case CSR_VSIP: pending_write(c, v << VS_SHIFT, vs_bits(c) & MIP_VSSIP); return true;
    case CSR_VSTIMECMP:
        h->vstimecmp = v;
        riscv_stimer_update(c);
        return true;
    case CSR_VSATP: vsatp_write(c, v); return true;
    default: return hypervisor_write(c, csr, v);
    }
}
