/* SPDX-License-Identifier: MIT */
/*
 * Model-specific registers: one sorted table.
 *
 * An entry is a register or a run of them: a field of struct x86_cpu with the bits a write may set, or functions. What is
 * not in the table does not exist: #GP(0). The local APIC owns its own registers; it is asked with the machine's lock held.
 *
 * Spec: Intel SDM 335592-081 volume 4 chapter 2, table 2-2; 3A 11.11 (MTRR), 11.12 (PAT), 15.3 (machine check), 17.17.3
 * (TSC_ADJUST)
 */
#include "base/checked.h"
#include "core/vcpu.h"
#include "core/vm.h"
#include "isa/x86/kvmpv.h"
#include "isa/x86/mmu.h"
#include "isa/x86/profile.h"
#include "isa/x86/sysreg.h"
#include "isa/x86/trap.h"

enum {
    MSR_TSC = 0x10,
    MSR_PLATFORM_ID = 0x17,
    MSR_APIC_BASE = 0x1b,
    MSR_FEATURE_CONTROL = 0x3a,
    MSR_TSC_ADJUST = 0x3b,
    MSR_SPEC_CTRL = 0x48,
    MSR_PRED_CMD = 0x49,
    MSR_BIOS_UPDT_TRIG = 0x79,
    MSR_BIOS_SIGN_ID = 0x8b,
    MSR_PLATFORM_INFO = 0xce,
    MSR_MTRRCAP = 0xfe,
    MSR_ARCH_CAPABILITIES = 0x10a,
    MSR_SYSENTER_CS = 0x174,
    MSR_SYSENTER_ESP = 0x175,
    MSR_SYSENTER_EIP = 0x176,
    MSR_MCG_CAP = 0x179,
    MSR_MCG_STATUS = 0x17a,
    MSR_MISC_ENABLE = 0x1a0,
    MSR_DEBUGCTL = 0x1d9,
    MSR_MTRR_VAR = 0x200,
    MSR_MTRR_FIX64K = 0x250,
    MSR_MTRR_FIX16K = 0x258,
    MSR_MTRR_FIX4K = 0x268,
    MSR_PAT = 0x277,
    MSR_MTRR_DEF_TYPE = 0x2ff,
    MSR_MC0_CTL = 0x400,
    MSR_TSC_DEADLINE = 0x6e0,
    MSR_X2APIC = 0x800,
    MSR_XSS = 0xda0,
};
#define MSR_EFER 0xc0000080U
#define MSR_STAR 0xc0000081U
#define MSR_LSTAR 0xc0000082U
#define MSR_CSTAR 0xc0000083U
#define MSR_FMASK 0xc0000084U
#define MSR_FS_BASE 0xc0000100U
#define MSR_GS_BASE 0xc0000101U
#define MSR_KERNEL_GS_BASE 0xc0000102U
#define MSR_TSC_AUX 0xc0000103U

enum { MCE_BANKS = ARRAY_SIZE(((struct x86_cpu *)0)->mc_status), MTRR_PAIRS = 8 };
enum { MC_CTL, MC_STATUS, MC_ADDR, MC_MISC, MC_REGS };
enum { MTRRCAP_FIXED = 1 << 8, MTRRCAP_WC = 1 << 10 };
enum {
    SPEC_CTRL_BITS = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 10, /* IBRS, STIBP, SSBD, BHI_DIS_S */
    PRED_CMD_IBPB = 1,
    DEBUGCTL_BITS = 3, /* LBR, BTF */
    MCG_STATUS_BITS = 7,
};
/* Fast strings, automatic thermal control, PMU available, BTS and PEBS unavailable, Enhanced SpeedStep. */
enum { MISC_ENABLE_BITS = 1 << 0 | 1 << 3 | 1 << 7 | 1 << 11 | 1 << 12 | 1 << 16 };
#define EFER_BITS ((uint64_t)(EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE))
#define MICROCODE_REVISION 1ULL
#define ANY (~0ULL)
#define LOW32 0xffffffffULL

/* IA32_ARCH_CAPABILITIES: immune to everything that has a bit for it, so that no kernel pays for a mitigation here.
 * RDCL_NO, IBRS_ALL, SKIP_L1DFL_VMENTRY, SSB_NO, MDS_NO, PSCHANGE_MC_NO, TAA_NO, SBDR_SSDP_NO, FBSDP_NO, PSDP_NO, FB_CLEAR,
 * BHI_NO, PBRSB_NO, GDS_NO, RFDS_NO, ITS_NO. Not RSBA, RRSBA. */
#define ARCH_CAPABILITIES                                                                                                        \
    (1ULL << 0 | 1ULL << 1 | 1ULL << 3 | 1ULL << 4 | 1ULL << 5 | 1ULL << 6 | 1ULL << 8 | 1ULL << 13 | 1ULL << 14 | 1ULL << 15    \
     | 1ULL << 17 | 1ULL << 20 | 1ULL << 24 | 1ULL << 26 | 1ULL << 27 | 1ULL << 62)

enum msr_kind {
    MSR_FIELD,     /* a uint64_t field (array) of struct x86_cpu */
    MSR_CANONICAL, /* the same, holds a linear address */
    MSR_CONST,     /* reads as `bits`; writes are #GP */
    MSR_FN,        /* functions; NULL: #GP */
};

struct msr {
    uint32_t first, last;
    uint32_t offset; /* MSR_FIELD, MSR_CANONICAL: of the first register's field */
    uint8_t kind;    /* enum msr_kind */
    uint64_t bits;   /* MSR_FIELD: those a write may set */
    bool (*read)(struct x86_cpu *c, uint32_t msr, uint64_t *ret_value); /* false: #GP */
    bool (*write)(struct x86_cpu *c, uint32_t msr, uint64_t v);         /* false: #GP */
};

static uint64_t *field(struct x86_cpu *c, const struct msr *m, uint32_t msr)
{
    return (uint64_t *)((uint8_t *)c + m->offset) + (msr - m->first);
}

/* ---- time ---- */

uint64_t x86_tsc(const struct x86_cpu *c)
{
    uint64_t tsc = c->vcpu && c->vcpu->vm ? vm_clock_tsc(&c->vcpu->vm->clock) : clock_host_tsc();
    return tsc + c->tsc_adjust;
}

static bool intc_write(struct x86_cpu *c, uint32_t msr, uint64_t v)
{
    struct vcpu *vcpu = c->vcpu;
    if (!vcpu || !vcpu->intc)
        return false;
    vm_lock(vcpu->vm);
    bool ok = vcpu->intc->msr_write(vcpu->intc_dev, msr, v);
    vm_unlock(vcpu->vm);
    return ok;
}

static bool intc_read(struct x86_cpu *c, uint32_t msr, uint64_t *ret_value)
{
    struct vcpu *vcpu = c->vcpu;
    if (!vcpu || !vcpu->intc)
        return false;
    vm_lock(vcpu->vm);
    bool ok = vcpu->intc->msr_read(vcpu->intc_dev, msr, ret_value);
    vm_unlock(vcpu->vm);
    return ok;
}

void x86_tsc_adjust_set(struct x86_cpu *c, uint64_t v)
{
    c->tsc_adjust = v;
    (void)intc_write(c, MSR_TSC_ADJUST, v); /* an armed deadline moves; no controller: nothing is armed */
    x86_kvm_clock_refresh(c);
}

static bool tsc_read(struct x86_cpu *c, uint32_t msr, uint64_t *ret_value)
{
    (void)msr;
    *ret_value = x86_tsc(c);
    return true;
}

static bool tsc_write(struct x86_cpu *c, uint32_t msr, uint64_t v)
{
    (void)msr;
    x86_tsc_adjust_set(c, c->tsc_adjust + (v - x86_tsc(c)));
    return true;
}

static bool tsc_adjust_read(struct x86_cpu *c, uint32_t msr, uint64_t *ret_value)
{
    (void)msr;
    *ret_value = c->tsc_adjust;
    return true;
}

static bool tsc_adjust_write(struct x86_cpu *c, uint32_t msr, uint64_t v)
{
    (void)msr;
    x86_tsc_adjust_set(c, v);
    return true;
}

static bool platform_info_read(struct x86_cpu *c, uint32_t msr, uint64_t *ret_value)
{
    (void)msr;
    uint64_t hz = c->vcpu && c->vcpu->vm ? vm_clock_tsc_hz(&c->vcpu->vm->clock) : 0;
    *ret_value = (hz / 100000000 & 0xff) << 8; /* the base ratio, in units of 100 MHz */
    return true;
}

/* ---- odds and ends ---- */

static bool pred_cmd_write(struct x86_cpu *c, uint32_t msr, uint64_t v)
{
    (void)c, (void)msr;
    return !(v & ~(uint64_t)PRED_CMD_IBPB); /* nothing is predicted */
}

static bool ignore_write(struct x86_cpu *c, uint32_t msr, uint64_t v)
{
    (void)c, (void)msr, (void)v;
    return true;
}

static bool bios_sign_read(struct x86_cpu *c, uint32_t msr, uint64_t *ret_value)
{
    (void)c, (void)msr;
    *ret_value = MICROCODE_REVISION << 32;
    return true;
}

static bool xss_read(struct x86_cpu *c, uint32_t msr, uint64_t *ret_value)
{
    (void)msr;
    *ret_value = c->xss;
    return x86_has(c, X86_FEAT_XSAVES);
}

static bool xss_write(struct x86_cpu *c, uint32_t msr, uint64_t v)
{
    (void)msr;
    return x86_has(c, X86_FEAT_XSAVES) && v == 0; /* no supervisor component exists here */
}

/* Only clears a bank; no bank ever reports anything. */
static bool mc_read(struct x86_cpu *c, uint32_t msr, uint64_t *ret_value)
{
    unsigned bank = (msr - MSR_MC0_CTL) / MC_REGS, reg = (msr - MSR_MC0_CTL) % MC_REGS;
    *ret_value = reg == MC_STATUS ? c->mc_status[bank] : 0;
    return true;
}

static bool mc_write(struct x86_cpu *c, uint32_t msr, uint64_t v)
{
    unsigned bank = (msr - MSR_MC0_CTL) / MC_REGS, reg = (msr - MSR_MC0_CTL) % MC_REGS;
    if (reg == MC_CTL)
        return true;
    if (v)
        return false;
    if (reg == MC_STATUS)
        c->mc_status[bank] = 0;
    return true;
}

/* ---- memory types ---- */

bool x86_mtrr_type_legal(uint8_t type)
{
    return type == 0 || type == 1 || (type >= 4 && type <= 6);
}

static bool mtrr_def_write(struct x86_cpu *c, uint32_t msr, uint64_t v)
{
    (void)msr;
    if ((v & ~0xcffULL) || !x86_mtrr_type_legal((uint8_t)v))
        return false;
    c->mtrr_def_type = v;
    return true;
}

static bool mtrr_def_read(struct x86_cpu *c, uint32_t msr, uint64_t *ret_value)
{
    (void)msr;
    *ret_value = c->mtrr_def_type;
    return true;
}

static bool mtrr_var_read(struct x86_cpu *c, uint32_t msr, uint64_t *ret_value)
{
    *ret_value = c->mtrr_var[msr - MSR_MTRR_VAR];
    return true;
}

static bool mtrr_var_write(struct x86_cpu *c, uint32_t msr, uint64_t v)
{
    bool mask = msr & 1; /* base and mask alternate */
    if ((v >> x86_phys_bits(c)) || (v & (mask ? 0x7ff : 0xf00)))
        return false;
    if (!mask && !x86_mtrr_type_legal((uint8_t)v))
        return false;
    c->mtrr_var[msr - MSR_MTRR_VAR] = v;
    return true;
}

static unsigned mtrr_fixed_index(uint32_t msr)
{
    return msr == MSR_MTRR_FIX64K ? 0 : msr < MSR_MTRR_FIX4K ? 1 + msr - MSR_MTRR_FIX16K : 3 + msr - MSR_MTRR_FIX4K;
}

static bool mtrr_fixed_read(struct x86_cpu *c, uint32_t msr, uint64_t *ret_value)
{
    *ret_value = c->mtrr_fixed[mtrr_fixed_index(msr)];
    return true;
}

static bool mtrr_fixed_write(struct x86_cpu *c, uint32_t msr, uint64_t v)
{
    for (unsigned k = 0; k < 8; k++)
        if (!x86_mtrr_type_legal((uint8_t)(v >> 8 * k)))
            return false;
    c->mtrr_fixed[mtrr_fixed_index(msr)] = v;
    return true;
}

bool x86_pat_legal(uint64_t v)
{
    for (unsigned k = 0; k < 8; k++) {
        uint8_t type = (uint8_t)(v >> 8 * k);
        if (type != 7 && !x86_mtrr_type_legal(type)) /* 7: UC-, which PAT has on top */
            return false;
    }
    return true;
}

static bool pat_read(struct x86_cpu *c, uint32_t msr, uint64_t *ret_value)
{
    (void)msr;
    *ret_value = c->pat;
    return true;
}

static bool pat_write(struct x86_cpu *c, uint32_t msr, uint64_t v)
{
    (void)msr;
    if (!x86_pat_legal(v))
        return false;
    c->pat = v;
    return true;
}

/* ---- EFER and segment bases ---- */

static bool efer_read(struct x86_cpu *c, uint32_t msr, uint64_t *ret_value)
{
    (void)msr;
    *ret_value = c->efer;
    return true;
}

static bool efer_write(struct x86_cpu *c, uint32_t msr, uint64_t v)
{
    (void)msr;
    uint64_t changed = (v ^ c->efer) & ~(uint64_t)EFER_LMA; /* LMA is the CPU's own: what is written there is ignored */
    if ((v & ~EFER_BITS) || ((changed & EFER_LME) && (c->cr0 & CR0_PG)))
        return false;
    c->efer ^= changed;
    x86_mode_update(c);
    if (changed & EFER_NXE)
        x86_tlb_flush_all(c);
    return true;
}

static bool base_read(struct x86_cpu *c, uint32_t msr, uint64_t *ret_value)
{
    *ret_value = c->seg[msr == MSR_FS_BASE ? SEG_FS : SEG_GS].base;
    return true;
}

static bool base_write(struct x86_cpu *c, uint32_t msr, uint64_t v)
{
    if (!x86_canonical(v))
        return false;
    c->seg[msr == MSR_FS_BASE ? SEG_FS : SEG_GS].base = v;
    return true;
}

/* ---- KVM ---- */

static bool kvm_read(struct x86_cpu *c, uint32_t msr, uint64_t *ret_value)
{
    return x86_kvm_msr_read(c, msr, ret_value);
}

/* ---- the table ---- */

#define FIELD(member) .offset = offsetof(struct x86_cpu, member)
#define ONE(msr) .first = (msr), .last = (msr)

static const struct msr msrs[] = {
    { ONE(MSR_TSC), .kind = MSR_FN, .read = tsc_read, .write = tsc_write },
    { ONE(MSR_PLATFORM_ID), .kind = MSR_CONST, .bits = 0 },
    { ONE(MSR_APIC_BASE), .kind = MSR_FN, .read = intc_read, .write = intc_write },
    { ONE(MSR_FEATURE_CONTROL), .kind = MSR_FIELD, FIELD(feature_control), .bits = 0 }, /* locked */
    { ONE(MSR_TSC_ADJUST), .kind = MSR_FN, .read = tsc_adjust_read, .write = tsc_adjust_write },
    { ONE(MSR_SPEC_CTRL), .kind = MSR_FIELD, FIELD(spec_ctrl), .bits = SPEC_CTRL_BITS },
    { ONE(MSR_PRED_CMD), .kind = MSR_FN, .write = pred_cmd_write },
    { ONE(MSR_BIOS_UPDT_TRIG), .kind = MSR_FN, .write = ignore_write },
    { ONE(MSR_BIOS_SIGN_ID), .kind = MSR_FN, .read = bios_sign_read, .write = ignore_write },
    { ONE(MSR_PLATFORM_INFO), .kind = MSR_FN, .read = platform_info_read },
    { ONE(MSR_MTRRCAP), .kind = MSR_CONST, .bits = MTRR_PAIRS | MTRRCAP_FIXED | MTRRCAP_WC },
    { ONE(MSR_ARCH_CAPABILITIES), .kind = MSR_CONST, .bits = ARCH_CAPABILITIES },
    { ONE(MSR_SYSENTER_CS), .kind = MSR_FIELD, FIELD(sysenter_cs), .bits = LOW32 },
    { ONE(MSR_SYSENTER_ESP), .kind = MSR_CANONICAL, FIELD(sysenter_esp) },
    { ONE(MSR_SYSENTER_EIP), .kind = MSR_CANONICAL, FIELD(sysenter_eip) },
    { ONE(MSR_MCG_CAP), .kind = MSR_CONST, .bits = MCE_BANKS },
    { ONE(MSR_MCG_STATUS), .kind = MSR_FIELD, FIELD(mcg_status), .bits = MCG_STATUS_BITS },
    { ONE(MSR_MISC_ENABLE), .kind = MSR_FIELD, FIELD(misc_enable), .bits = MISC_ENABLE_BITS },
    { ONE(MSR_DEBUGCTL), .kind = MSR_FIELD, FIELD(debugctl), .bits = DEBUGCTL_BITS },
    { MSR_MTRR_VAR, MSR_MTRR_VAR + 2 * MTRR_PAIRS - 1, .kind = MSR_FN, .read = mtrr_var_read, .write = mtrr_var_write },
    { ONE(MSR_MTRR_FIX64K), .kind = MSR_FN, .read = mtrr_fixed_read, .write = mtrr_fixed_write },
    { MSR_MTRR_FIX16K, MSR_MTRR_FIX16K + 1, .kind = MSR_FN, .read = mtrr_fixed_read, .write = mtrr_fixed_write },
    { MSR_MTRR_FIX4K, MSR_MTRR_FIX4K + 7, .kind = MSR_FN, .read = mtrr_fixed_read, .write = mtrr_fixed_write },
    { ONE(MSR_PAT), .kind = MSR_FN, .read = pat_read, .write = pat_write },
    { ONE(MSR_MTRR_DEF_TYPE), .kind = MSR_FN, .read = mtrr_def_read, .write = mtrr_def_write },
    { MSR_MC0_CTL, MSR_MC0_CTL + MC_REGS *MCE_BANKS - 1, .kind = MSR_FN, .read = mc_read, .write = mc_write },
    { ONE(MSR_TSC_DEADLINE), .kind = MSR_FN, .read = intc_read, .write = intc_write },
    { MSR_X2APIC, MSR_X2APIC + 0xff, .kind = MSR_FN, .read = intc_read, .write = intc_write },
    { ONE(MSR_XSS), .kind = MSR_FN, .read = xss_read, .write = xss_write },
    { KVM_MSR_WALL_CLOCK, KVM_MSR_POLL_CONTROL, .kind = MSR_FN, .read = kvm_read, .write = x86_kvm_msr_write },
    { ONE(MSR_EFER), .kind = MSR_FN, .read = efer_read, .write = efer_write },
    { ONE(MSR_STAR), .kind = MSR_FIELD, FIELD(star), .bits = ANY },
    { ONE(MSR_LSTAR), .kind = MSR_CANONICAL, FIELD(lstar) },
    { ONE(MSR_CSTAR), .kind = MSR_CANONICAL, FIELD(cstar) },
    { ONE(MSR_FMASK), .kind = MSR_FIELD, FIELD(fmask), .bits = LOW32 },
    { MSR_FS_BASE, MSR_GS_BASE, .kind = MSR_FN, .read = base_read, .write = base_write },
    { ONE(MSR_KERNEL_GS_BASE), .kind = MSR_CANONICAL, FIELD(kernel_gs_base) },
    { ONE(MSR_TSC_AUX), .kind = MSR_FIELD, FIELD(tsc_aux), .bits = LOW32 },
};

static const struct msr *find(uint32_t msr)
{
    unsigned lo = 0, hi = ARRAY_SIZE(msrs);
    while (lo < hi) {
        unsigned mid = (lo + hi) / 2;
        if (msr > msrs[mid].last)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < ARRAY_SIZE(msrs) && msr >= msrs[lo].first ? &msrs[lo] : NULL;
}

static bool read_msr(struct x86_cpu *c, uint32_t msr, uint64_t *ret_value)
{
    const struct msr *m = find(msr);
    if (!m)
        return false;
    switch ((enum msr_kind)m->kind) {
    case MSR_FIELD:
    case MSR_CANONICAL: *ret_value = *field(c, m, msr); return true;
    case MSR_CONST: *ret_value = m->bits; return true;
    case MSR_FN: return m->read && m->read(c, msr, ret_value);
    }
    return false;
}

static bool write_msr(struct x86_cpu *c, uint32_t msr, uint64_t v)
{
    const struct msr *m = find(msr);
    if (!m)
        return false;
    switch ((enum msr_kind)m->kind) {
    case MSR_FIELD:
        if (v & ~m->bits)
            return false;
        break;
    case MSR_CANONICAL:
        if (!x86_canonical(v))
            return false;
        break;
    case MSR_CONST: return false;
    case MSR_FN: return m->write && m->write(c, msr, v);
    }
    *field(c, m, msr) = v;
    return true;
}

uint64_t x86_msr_read(struct x86_cpu *c, uint32_t msr)
{
    uint64_t v = 0;
    if (!read_msr(c, msr, &v))
        x86_raise_err(c, X86_GP, 0);
    return v;
}

void x86_msr_write(struct x86_cpu *c, uint32_t msr, uint64_t v)
{
    if (!write_msr(c, msr, v))
        x86_raise_err(c, X86_GP, 0);
}
