/* SPDX-License-Identifier: MIT */
/*
 * The CSRs of a RISC-V hart. See csr.h.
 *
 * Bits 9:8 of a number say which mode may access it, bits 11:10 = 3 that it is read-only; what else must hold stands in
 * may_access(). Counters count retired instructions; hpm counters exist and stay 0.
 */
#include "isa/riscv/csr.h"

#include "core/vcpu.h"
#include "isa/riscv/hyp.h"
#include "isa/riscv/mmu.h"
#include "isa/riscv/profile.h"

enum riscv_csr {
    CSR_FFLAGS = 0x001,
    CSR_FRM = 0x002,
    CSR_FCSR = 0x003,
    CSR_VSTART = 0x008,
    CSR_VXSAT = 0x009,
    CSR_VXRM = 0x00a,
    CSR_VCSR = 0x00f,
    CSR_SSTATUS = 0x100,
    CSR_SIE = 0x104,
    CSR_STVEC = 0x105,
    CSR_SCOUNTEREN = 0x106,
    CSR_SENVCFG = 0x10a,
    CSR_SSCRATCH = 0x140,
    CSR_SEPC = 0x141,
    CSR_SCAUSE = 0x142,
    CSR_STVAL = 0x143,
    CSR_SIP = 0x144,
    CSR_STIMECMP = 0x14d,
    CSR_SATP = 0x180,
    CSR_MSTATUS = 0x300,
    CSR_MISA = 0x301,
    CSR_MEDELEG = 0x302,
    CSR_MIDELEG = 0x303,
    CSR_MIE = 0x304,
    CSR_MTVEC = 0x305,
    CSR_MCOUNTEREN = 0x306,
    CSR_MENVCFG = 0x30a,
    CSR_MCOUNTINHIBIT = 0x320,
    CSR_MHPMEVENT3 = 0x323,
    CSR_MHPMEVENT31 = 0x33f,
    CSR_MSCRATCH = 0x340,
    CSR_MEPC = 0x341,
    CSR_MCAUSE = 0x342,
    CSR_MTVAL = 0x343,
    CSR_MIP = 0x344,
    CSR_PMPCFG0 = 0x3a0,
    CSR_PMPCFG15 = 0x3af,
    CSR_PMPADDR0 = 0x3b0,
    CSR_PMPADDR63 = 0x3ef,
    CSR_TSELECT = 0x7a0,
    CSR_TDATA3 = 0x7a3,
    CSR_MCYCLE = 0xb00,
    CSR_MINSTRET = 0xb02,
    CSR_MHPMCOUNTER3 = 0xb03,
    CSR_MHPMCOUNTER31 = 0xb1f,
    CSR_CYCLE = 0xc00,
    CSR_TIME = 0xc01,
    CSR_INSTRET = 0xc02,
    CSR_HPMCOUNTER31 = 0xc1f,
    CSR_VL = 0xc20,
    CSR_VTYPE = 0xc21,
    CSR_VLENB = 0xc22,
    CSR_MVENDORID = 0xf11,
    CSR_MARCHID = 0xf12,
    CSR_MIMPID = 0xf13,
    CSR_MHARTID = 0xf14,
    CSR_MCONFIGPTR = 0xf15,
};

enum { COUNTER_CY = 1, COUNTER_IR = 4, SATP_MODE_SHIFT = 60, SATP_SV39 = 8, SATP_SV48 = 9, SATP_SV57 = 10 };
#define SSTATUS_WRITE (MSTATUS_SIE | MSTATUS_SPIE | MSTATUS_SPP | MSTATUS_FS | MSTATUS_VS | MSTATUS_SUM | MSTATUS_MXR)
#define SSTATUS_READ (SSTATUS_WRITE | MSTATUS_UXL | MSTATUS_SD)
#define MSTATUS_WRITE                                                                                                            \
    (SSTATUS_WRITE | MSTATUS_MIE | MSTATUS_MPIE | MSTATUS_MPP | MSTATUS_MPRV | MSTATUS_TVM | MSTATUS_TW | MSTATUS_TSR)
#define SATP_PPN ((1ULL << 44) - 1)
#define SATP_ASID (0xffffULL << 44)
#define PMP_LOCK 0x80
#define PMP_MODE 0x18
#define PMP_TOR 0x08

uint64_t riscv_menvcfg_bits(const struct riscv_cpu *c)
{
    const bool *has = c->profile->has;
    return ENVCFG_FIOM | (has[RISCV_EXT_ZICBOM] ? ENVCFG_CBIE | ENVCFG_CBCFE : 0) | (has[RISCV_EXT_ZICBOZ] ? ENVCFG_CBZE : 0)
           | (has[RISCV_EXT_SVADU] ? ENVCFG_ADUE : 0) | (has[RISCV_EXT_SVPBMT] ? ENVCFG_PBMTE : 0)
           | (has[RISCV_EXT_SSTC] ? ENVCFG_STCE : 0);
}

static uint64_t status_read(const struct riscv_cpu *c)
{
    bool dirty = (c->mstatus & MSTATUS_FS) == MSTATUS_FS || (c->mstatus & MSTATUS_VS) == MSTATUS_VS;
    return c->mstatus | (dirty ? MSTATUS_SD : 0);
}

static void status_write(struct riscv_cpu *c, uint64_t v, uint64_t mask)
{
    uint64_t old = c->mstatus;
    if ((v & MSTATUS_MPP) == 2ULL << MSTATUS_MPP_SHIFT)
        mask &= ~MSTATUS_MPP; /* no such mode: stays */
    if (!c->profile->has[RISCV_EXT_V])
        mask &= ~MSTATUS_VS;
    if (mask & MSTATUS_MIE)
        mask |= riscv_hyp_is_on(c) ? MSTATUS_MPV | MSTATUS_GVA : 0;
    c->mstatus = (old & ~mask) | (v & mask);
    if ((old ^ c->mstatus) & MSTATUS_MXR)
        riscv_tlb_flush_paged(c);
    riscv_mode_update(c);
}

bool riscv_has_satp_mode(const struct riscv_cpu *c, uint64_t mode)
{
    unsigned bits = riscv_profile_va_bits(c->profile);
    return mode == 0 || mode == SATP_SV39 || (mode == SATP_SV48 && bits >= 48) || (mode == SATP_SV57 && bits >= 57);
}

static void satp_write(struct riscv_cpu *c, uint64_t v)
{
    uint64_t mode = v >> SATP_MODE_SHIFT;
    if (!riscv_has_satp_mode(c, mode))
        return; /* an unknown mode: the whole write has no effect */
    c->satp = mode << SATP_MODE_SHIFT | (v & (SATP_ASID | SATP_PPN));
    riscv_tlb_follow(c);
    riscv_mode_update(c);
}

/* Modes 2 and 3 are reserved: they become 0 and 1, as in Spike. */
static uint64_t tvec_legal(uint64_t v)
{
    return v & ~2ULL;
}

/* A pc that code can be at: bit 1 is there with C only. Spec: volume II 3.1.14 */
static uint64_t epc_legal(const struct riscv_cpu *c, uint64_t v)
{
    return v & ~(c->profile->has[RISCV_EXT_C] ? 1ULL : 3ULL);
}

/* CBIE has no value 2: becomes 0, as in Spike. */
static uint64_t envcfg_legal(uint64_t v)
{
    return (v & ENVCFG_CBIE) == 2ULL << ENVCFG_CBIE_SHIFT ? v & ~ENVCFG_CBIE : v;
}

/* ---- counters ---- */

static void counter_set(struct riscv_cpu *c, struct riscv_counter *n, uint64_t v)
{
    n->held = v;
    n->base = c->insns + 1 - v; /* the writing instruction does not count */
}

static void inhibit_write(struct riscv_cpu *c, uint64_t v)
{
    const struct {
        struct riscv_counter *n;
        uint64_t bit;
    } counters[] = { { &c->cycle, COUNTER_CY }, { &c->instret, COUNTER_IR } };
    for (unsigned k = 0; k < 2; k++) {
        struct riscv_counter *n = counters[k].n;
        bool was = c->mcountinhibit & counters[k].bit, is = v & counters[k].bit;
        if (is && !was)
            n->held = c->insns - n->base;
        else if (was && !is)
            n->base = c->insns - n->held;
    }
    c->mcountinhibit = v & (COUNTER_CY | COUNTER_IR);
}

/* ---- PMP ---- */

static uint64_t pmpcfg_read(const struct riscv_cpu *c, unsigned first)
{
    uint64_t v = 0;
    for (unsigned k = 0; k < 8 && first + k < RISCV_PMPS; k++)
        v |= (uint64_t)c->pmpcfg[first + k] << (8 * k);
    return v;
}

static void pmpcfg_write(struct riscv_cpu *c, unsigned first, uint64_t v)
{
    for (unsigned k = 0; k < 8 && first + k < RISCV_PMPS; k++) {
        uint8_t *cfg = &c->pmpcfg[first + k], b = (uint8_t)(v >> (8 * k)) & 0x9f;
        if ((b & 3) == 2) /* W without R is reserved: becomes neither, as in Spike */
            b &= (uint8_t)~2U;
        if (!(*cfg & PMP_LOCK))
            *cfg = b;
    }
    riscv_tlb_flush_all(c);
}

static void pmpaddr_write(struct riscv_cpu *c, unsigned n, uint64_t v)
{
    bool next_locks = n + 1 < RISCV_PMPS && (c->pmpcfg[n + 1] & PMP_LOCK) && (c->pmpcfg[n + 1] & PMP_MODE) == PMP_TOR;
    if (n >= RISCV_PMPS || (c->pmpcfg[n] & PMP_LOCK) || next_locks)
        return;
    c->pmpaddr[n] = v & RISCV_PMPADDR_BITS;
    riscv_tlb_flush_all(c);
}

/* ---- access ---- */

/* Counters below M-mode. Spec: volume II 3.1.11, 12.1.5 */
static bool counter_open(const struct riscv_cpu *c, unsigned n)
{
    if (c->priv < RISCV_M && !(c->mcounteren >> n & 1))
        return false;
    if (c->hyp.virt && !(c->hyp.hcounteren >> n & 1))
        return false;
    return c->priv > RISCV_U || (c->scounteren >> n & 1);
}

static bool stimecmp_open(const struct riscv_cpu *c)
{
    if (c->hyp.virt && !((riscv_hyp_envcfg(c) & ENVCFG_STCE) && (c->hyp.hcounteren >> 1 & 1)))
        return false;
    return c->profile->has[RISCV_EXT_SSTC] && (c->priv == RISCV_M || ((c->menvcfg & ENVCFG_STCE) && (c->mcounteren >> 1 & 1)));
}

static bool is_vector(unsigned csr)
{
    return (csr >= CSR_VSTART && csr <= CSR_VXRM) || csr == CSR_VCSR || (csr >= CSR_VL && csr <= CSR_VLENB);
}

bool riscv_csr_is_unit(unsigned csr)
{
    return csr <= CSR_FCSR || is_vector(csr);
}

static bool may_access(const struct riscv_cpu *c, unsigned csr)
{
    if ((csr >> 8 & 3) == 2)
        return riscv_hyp_may_access(c, csr);
    if (c->priv < (csr >> 8 & 3))
        return false;
    if (csr <= CSR_FCSR)
        return csr && c->profile->has[RISCV_EXT_F] && riscv_unit_on(c, MSTATUS_FS);
    if (is_vector(csr))
        return c->profile->has[RISCV_EXT_V] && riscv_unit_on(c, MSTATUS_VS);
    if (csr == CSR_SATP && c->hyp.virt)
        return !(c->hyp.hstatus & HSTATUS_VTVM);
    if (csr == CSR_SATP)
        return !(c->priv == RISCV_S && (c->mstatus & MSTATUS_TVM));
    if (csr == CSR_STIMECMP)
        return stimecmp_open(c);
    if (csr >= CSR_CYCLE && csr <= CSR_INSTRET)
        return c->profile->has[RISCV_EXT_ZICNTR] && counter_open(c, csr - CSR_CYCLE);
    if (csr > CSR_INSTRET && csr <= CSR_HPMCOUNTER31)
        return c->profile->has[RISCV_EXT_ZIHPM] && counter_open(c, csr - CSR_CYCLE);
    return true;
}

/* Ranges of registers that are alike. */
static bool read_range(struct riscv_cpu *c, unsigned csr, uint64_t *ret)
{
    *ret = 0;
    if (csr >= CSR_PMPCFG0 && csr <= CSR_PMPCFG15) {
        *ret = pmpcfg_read(c, 4 * (csr - CSR_PMPCFG0));
        return !(csr & 1);
    }
    if (csr >= CSR_PMPADDR0 && csr <= CSR_PMPADDR63) {
        *ret = csr - CSR_PMPADDR0 < RISCV_PMPS ? c->pmpaddr[csr - CSR_PMPADDR0] : 0;
        return true;
    }
    return (csr >= CSR_MHPMEVENT3 && csr <= CSR_MHPMEVENT31) || (csr >= CSR_MHPMCOUNTER3 && csr <= CSR_MHPMCOUNTER31)
           || (csr > CSR_INSTRET && csr <= CSR_HPMCOUNTER31) || (csr >= CSR_TSELECT && csr <= CSR_TDATA3);
}

bool riscv_csr_read(struct riscv_cpu *c, unsigned csr, uint64_t *ret)
{
    if (!may_access(c, csr))
        return false;
    if (c->hyp.virt)
        csr = riscv_hyp_csr_of(csr);
    if (riscv_hyp_owns_csr(csr))
        return riscv_hyp_csr_read(c, csr, ret);
    switch ((enum riscv_csr)csr) {
    case CSR_FFLAGS: *ret = c->fflags; return true;
    case CSR_FRM: *ret = c->frm; return true;
    case CSR_FCSR: *ret = (uint64_t)c->frm << 5 | c->fflags; return true;
    case CSR_VSTART: *ret = c->vstart; return true;
    case CSR_VXSAT: *ret = c->vxsat; return true;
    case CSR_VXRM: *ret = c->vxrm; return true;
    case CSR_VCSR: *ret = (uint64_t)c->vxrm << 1 | c->vxsat; return true;
    case CSR_VL: *ret = c->vl; return true;
    case CSR_VTYPE: *ret = c->vtype; return true;
    case CSR_VLENB: *ret = c->vlenb; return true;
    case CSR_SSTATUS: *ret = status_read(c) & SSTATUS_READ; return true;
    case CSR_SIE: *ret = c->mie & c->mideleg & MIP_S; return true;
    case CSR_STVEC: *ret = c->stvec; return true;
    case CSR_SCOUNTEREN: *ret = c->scounteren; return true;
    case CSR_SENVCFG: *ret = c->senvcfg; return true;
    case CSR_SSCRATCH: *ret = c->sscratch; return true;
    case CSR_SEPC: *ret = c->sepc; return true;
    case CSR_SCAUSE: *ret = c->scause; return true;
    case CSR_STVAL: *ret = c->stval; return true;
    case CSR_SIP: *ret = riscv_mip(c) & c->mideleg & MIP_S; return true;
    case CSR_STIMECMP: *ret = c->stimecmp; return true;
    case CSR_SATP: *ret = c->satp; return true;
    case CSR_MSTATUS: *ret = status_read(c); return true;
    case CSR_MISA: *ret = riscv_profile_misa(c->profile); return true;
    case CSR_MEDELEG: *ret = c->medeleg; return true;
    case CSR_MIDELEG: *ret = c->mideleg; return true;
    case CSR_MIE: *ret = c->mie; return true;
    case CSR_MTVEC: *ret = c->mtvec; return true;
    case CSR_MCOUNTEREN: *ret = c->mcounteren; return true;
    case CSR_MENVCFG: *ret = c->menvcfg; return true;
    case CSR_MCOUNTINHIBIT: *ret = c->mcountinhibit; return true;
    case CSR_MSCRATCH: *ret = c->mscratch; return true;
    case CSR_MEPC: *ret = c->mepc; return true;
    case CSR_MCAUSE: *ret = c->mcause; return true;
    case CSR_MTVAL: *ret = c->mtval; return true;
    case CSR_MIP: *ret = riscv_mip(c); return true;
    case CSR_MCYCLE:
    case CSR_CYCLE: *ret = riscv_counter_get(c, &c->cycle, c->mcountinhibit & COUNTER_CY); return true;
    case CSR_TIME: *ret = riscv_time(c) + (c->hyp.virt ? c->hyp.htimedelta : 0); return true;
    case CSR_MINSTRET:
    case CSR_INSTRET: *ret = riscv_counter_get(c, &c->instret, c->mcountinhibit & COUNTER_IR); return true;
    case CSR_MVENDORID:
    case CSR_MARCHID:
    case CSR_MIMPID:
    case CSR_MCONFIGPTR: *ret = 0; return true;
    case CSR_MHARTID: *ret = c->vcpu ? c->vcpu->id : 0; return true;
    default: return read_range(c, csr, ret);
    }
}

static bool write_range(struct riscv_cpu *c, unsigned csr, uint64_t v)
{
    uint64_t old;
    if (!read_range(c, csr, &old))
        return false;
    if (csr >= CSR_PMPCFG0 && csr <= CSR_PMPCFG15)
        pmpcfg_write(c, 4 * (csr - CSR_PMPCFG0), v);
    else if (csr >= CSR_PMPADDR0 && csr <= CSR_PMPADDR63)
        pmpaddr_write(c, csr - CSR_PMPADDR0, v);
    return true; /* the others are 0, whatever is written */
}

static void fcsr_write(struct riscv_cpu *c, uint8_t frm, uint8_t fflags)
{
    c->frm = frm & 7;
    c->fflags = fflags & 31;
    riscv_fp_dirty(c);
}

static void vcsr_write(struct riscv_cpu *c, unsigned vxrm, unsigned vxsat)
{
    c->vxrm = vxrm & 3;
    c->vxsat = vxsat & 1;
    riscv_vec_dirty(c);
}

static void vstart_write(struct riscv_cpu *c, uint64_t v)
{
    c->vstart = (uint16_t)(v & (8U * c->vlenb - 1));
    riscv_vec_dirty(c);
}

/* Interrupt enables and pending bits of S-mode; what is not delegated does not exist there. */
static void sie_write(struct riscv_cpu *c, uint64_t v)
{
    c->mie = (c->mie & ~(c->mideleg & MIP_S)) | (v & c->mideleg & MIP_S);
    c->leave = true;
}

static void mip_write(struct riscv_cpu *c, uint64_t v, uint32_t mask)
{
    riscv_set_soft(c, (uint32_t)v & mask, true);
    riscv_set_soft(c, ~(uint32_t)v & mask, false);
    c->leave = true;
}

/* M-mode's. */
static bool write_machine(struct riscv_cpu *c, unsigned csr, uint64_t v)
{
    switch ((enum riscv_csr)csr) {
    case CSR_MSTATUS: status_write(c, v, MSTATUS_WRITE); return true;
    case CSR_MISA: return true; /* fixed */
    case CSR_MEDELEG: c->medeleg = v & (RISCV_MEDELEG_BITS | (riscv_hyp_is_on(c) ? RISCV_HYP_MEDELEG_BITS : 0)); return true;
    case CSR_MIDELEG:
        c->mideleg = (v & MIP_S) | (riscv_hyp_is_on(c) ? MIP_VS : 0);
        c->leave = true;
        return true;
    case CSR_MIE:
        c->mie = v & (MIP_S | MIP_M | (riscv_hyp_is_on(c) ? MIP_VS : 0));
        c->leave = true;
        return true;
    case CSR_MTVEC: c->mtvec = tvec_legal(v); return true;
    case CSR_MCOUNTEREN: c->mcounteren = v & RISCV_COUNTEREN_BITS; return true;
    case CSR_MENVCFG:
        c->menvcfg = envcfg_legal(v) & riscv_menvcfg_bits(c);
        riscv_tlb_flush_paged(c);
        riscv_stimer_update(c);
        return true;
    case CSR_MCOUNTINHIBIT: inhibit_write(c, v); return true;
    case CSR_MSCRATCH: c->mscratch = v; return true;
    case CSR_MEPC: c->mepc = epc_legal(c, v); return true;
    case CSR_MCAUSE: c->mcause = v; return true;
    case CSR_MTVAL: c->mtval = v; return true;
    case CSR_MIP:
        mip_write(c, v, (c->menvcfg & ENVCFG_STCE ? MIP_SSIP | MIP_SEIP : MIP_S) | (riscv_hyp_is_on(c) ? MIP_VSSIP : 0));
        return true;
    case CSR_MCYCLE: counter_set(c, &c->cycle, v); return true;
    case CSR_MINSTRET: counter_set(c, &c->instret, v); return true;
    default: return write_range(c, csr, v);
    }
}

bool riscv_csr_write(struct riscv_cpu *c, unsigned csr, uint64_t v)
{
    if (csr >> 10 == 3 || !may_access(c, csr))
        return false;
    if (c->hyp.virt)
        csr = riscv_hyp_csr_of(csr);
    if (riscv_hyp_owns_csr(csr))
        return riscv_hyp_csr_write(c, csr, v);
    switch ((enum riscv_csr)csr) {
    case CSR_FFLAGS: fcsr_write(c, c->frm, (uint8_t)v); return true;
    case CSR_FRM: fcsr_write(c, (uint8_t)v, c->fflags); return true;
    case CSR_FCSR: fcsr_write(c, (uint8_t)(v >> 5), (uint8_t)v); return true;
    case CSR_VSTART: vstart_write(c, v); return true;
    case CSR_VXSAT: vcsr_write(c, c->vxrm, v & 1); return true;
    case CSR_VXRM: vcsr_write(c, v & 3, c->vxsat); return true;
    case CSR_VCSR: vcsr_write(c, v >> 1 & 3, v & 1); return true;
    case CSR_SSTATUS: status_write(c, v, SSTATUS_WRITE); return true;
    case CSR_SIE: sie_write(c, v); return true;
    case CSR_STVEC: c->stvec = tvec_legal(v); return true;
    case CSR_SCOUNTEREN: c->scounteren = v & RISCV_COUNTEREN_BITS; return true;
    case CSR_SENVCFG:
        c->senvcfg = envcfg_legal(v) & riscv_menvcfg_bits(c) & (ENVCFG_FIOM | ENVCFG_CBIE | ENVCFG_CBCFE | ENVCFG_CBZE);
        return true;
    case CSR_SSCRATCH: c->sscratch = v; return true;
    case CSR_SEPC: c->sepc = epc_legal(c, v); return true;
    case CSR_SCAUSE: c->scause = v; return true;
    case CSR_STVAL: c->stval = v; return true;
    case CSR_SIP: mip_write(c, v, (uint32_t)c->mideleg & MIP_SSIP); return true;
    case CSR_STIMECMP:
        c->stimecmp = v;
        riscv_stimer_update(c);
        return true;
    case CSR_SATP: satp_write(c, v); return true;
    default: return write_machine(c, csr, v);
    }
}
