/* SPDX-License-Identifier: MIT */
/*
 * CPUID: what the CPU says it is.
 *
 * We are a GenuineIntel, family 6, model 8fh: a server part new enough that kernels expect none of the old parts' flaws and
 * work-arounds of it, and whose remaining ones IA32_ARCH_CAPABILITIES denies (msr.c). Feature bits come from features.def
 * as the CPU model has them, plus the fixed ones below; the leaves with structure have a function each in one table.
 * As on Intel's chips a leaf beyond the last of its range answers as the highest basic leaf does.
 *
 * Topology: one package, one thread a core, APIC id = vCPU number.
 *
 * Spec: Intel SDM 253666-081 2A CPUID, tables 3-8 to 3-12; Linux Documentation/virt/kvm/x86/cpuid.rst
 */
#include <string.h>

#include "base/checked.h"
#include "core/vcpu.h"
#include "core/vm.h"
#include "isa/x86/hypercall.h"
#include "isa/x86/kvmpv.h"
#include "isa/x86/profile.h"
#include "isa/x86/sysreg.h"
#include "isa/x86/xsave_layout.h"

enum { EAX, EBX, ECX, EDX };
enum { BASIC_MAX = 0x1f };
#define EXTENDED 0x80000000U
#define EXTENDED_MAX 0x80000008U
enum { LINE = 64, MSR_APIC_BASE = 0x1b, APIC_ENABLED = 1 << 11 };

struct bits {
    uint32_t leaf, sub;
    uint8_t reg;
    uint32_t bits;
};

/* One bit a feature of features.def. */
#define X(name, leaf_, sub_, reg_, bit_) [X86_FEAT_##name] = { leaf_, sub_, reg_, 1U << (bit_) },
static const struct bits feature_bits[X86_FEAT_END] = {
#include "isa/x86/features.def"
};
#undef X

/* What every model has. */
static const struct bits fixed_bits[] = {
    /* DE, PSE, PAE, MCE, MTRR, PGE, MCA, PAT, PSE36, SS */
    { 1, 0, EDX, 1 << 2 | 1 << 3 | 1 << 6 | 1 << 7 | 1 << 12 | 1 << 13 | 1 << 14 | 1 << 16 | 1 << 17 | 1 << 27 },
    { 1, 0, ECX, 1U << 31 },                                        /* hypervisor present */
    { 6, 0, EAX, 1 << 2 },                                          /* ARAT: the APIC timer runs on in idle states */
    { 7, 0, EBX, 1 << 1 | 1 << 6 | 1 << 9 | 1 << 13 },              /* TSC_ADJUST, FDP on exceptions only, ERMS, no FCS/FDS */
    { 7, 0, EDX, 1 << 4 | 1 << 26 | 1 << 27 | 1 << 29 | 1U << 31 }, /* FSRM, SPEC_CTRL, STIBP, ARCH_CAPABILITIES, SSBD */
    /* BHI_CTRL, MCDT_NO. Linux since 6.1.139 clears branch history by a loop in each system call unless it has BHI_CTRL to set,
     * whatever BHI_NO says. */
    { 7, 2, EDX, 1 << 4 | 1 << 5 },
    { 7, 0, EAX, 2 },                /* the last sub-leaf */
    { 0x80000001, 0, EDX, 1 << 26 }, /* 1 GiB pages */
    { 0x80000007, 0, EDX, 1 << 8 },  /* invariant TSC */
};

/* ---- facts about this machine ---- */

static unsigned nr_cpus(const struct x86_cpu *c)
{
    unsigned n = c->vcpu && c->vcpu->vm ? c->vcpu->vm->nr_vcpus : 1;
    return n ? n : 1;
}

static unsigned apic_id(const struct x86_cpu *c)
{
    return c->vcpu ? c->vcpu->id : 0;
}

/* Bits of an APIC id that tell the package's CPUs apart. */
static unsigned id_bits(const struct x86_cpu *c)
{
    unsigned bits = 0;
    while (1U << bits < nr_cpus(c))
        bits++;
    return bits;
}

static uint64_t tsc_hz(const struct x86_cpu *c)
{
    return c->vcpu && c->vcpu->vm ? vm_clock_tsc_hz(&c->vcpu->vm->clock) : 0;
}

/* CPUID.1:EDX.APIC follows the enable bit of IA32_APIC_BASE. */
static bool apic_enabled(const struct x86_cpu *c)
{
    struct vcpu *v = c->vcpu;
    uint64_t base = 0;
    if (!v || !v->intc)
        return true;
    vm_lock(v->vm);
    bool ok = v->intc->msr_read(v->intc_dev, MSR_APIC_BASE, &base);
    vm_unlock(v->vm);
    return ok && (base & APIC_ENABLED);
}

unsigned x86_xsave_size(uint64_t mask, bool compacted)
{
    unsigned size = XSAVE_EXTENDED;
    for (unsigned k = 0; k < XSAVE_COMPONENTS; k++) {
        if (!(mask >> k & 1) || !xsave_component[k].size)
            continue;
        if (compacted)
            size += xsave_component[k].size;
        else
            size = MAX(size, (unsigned)xsave_component[k].offset + xsave_component[k].size);
    }
    return size;
}

/* ---- leaves; ret has the feature bits of the leaf already ---- */

static void leaf_vendor(const struct x86_cpu *c, uint32_t sub, uint32_t ret[4])
{
    (void)c, (void)sub;
    ret[EAX] = BASIC_MAX;
    memcpy(&ret[EBX], "Genu", 4);
    memcpy(&ret[EDX], "ineI", 4);
    memcpy(&ret[ECX], "ntel", 4);
}

static void leaf_features(const struct x86_cpu *c, uint32_t sub, uint32_t ret[4])
{
    (void)sub;
    ret[EAX] = X86_SIGNATURE;
    ret[EBX] = apic_id(c) << 24 | (1U << id_bits(c)) << 16 | LINE / 8 << 8;
    if (c->cr4 & CR4_OSXSAVE)
        ret[ECX] |= 1U << 27;
    if (apic_enabled(c))
        ret[EDX] |= 1U << 9;
    if (nr_cpus(c) > 1)
        ret[EDX] |= 1U << 28;
}

/* Descriptors of the TLBs; caches are in leaf 4. */
static void leaf_descriptors(const struct x86_cpu *c, uint32_t sub, uint32_t ret[4])
{
    (void)c, (void)sub;
    ret[EAX] = 0x76036301;
    ret[EBX] = 0x00f0b5ff;
    ret[EDX] = 0x00c30000;
}

static void leaf_caches(const struct x86_cpu *c, uint32_t sub, uint32_t ret[4])
{
    enum { DATA = 1, CODE, UNIFIED };
    static const struct {
        uint8_t type, level, ways;
        uint32_t sets;
    } cache[] = { { DATA, 1, 8, 64 }, { CODE, 1, 8, 64 }, { UNIFIED, 2, 16, 2048 }, { UNIFIED, 3, 16, 32768 } };
    if (sub >= ARRAY_SIZE(cache))
        return;
    uint32_t cores = (1U << id_bits(c)) - 1, sharers = cache[sub].level == 3 ? cores : 0;
    ret[EAX] = cache[sub].type | (uint32_t)cache[sub].level << 5 | 1U << 8 | sharers << 14 | cores << 26;
    ret[EBX] = (LINE - 1) | (cache[sub].ways - 1U) << 22;
    ret[ECX] = cache[sub].sets - 1;
}

/* 0xb and 0x1f. */
static void leaf_topology(const struct x86_cpu *c, uint32_t sub, uint32_t ret[4])
{
    enum { THREAD = 1, CORE };
    if (sub == 0) {
        ret[EBX] = 1;
        ret[ECX] = THREAD << 8;
    } else if (sub == 1) {
        ret[EAX] = id_bits(c);
        ret[EBX] = nr_cpus(c);
        ret[ECX] = CORE << 8;
    }
    ret[ECX] |= sub & 0xff;
    ret[EDX] = apic_id(c);
}

static void leaf_xsave(const struct x86_cpu *c, uint32_t sub, uint32_t ret[4])
{
    uint64_t all = c->profile ? c->profile->xcr0 : XCR0_X87 | XCR0_SSE;
    if (!x86_has(c, X86_FEAT_XSAVE)) {
        memset(ret, 0, 4 * sizeof(ret[0]));
    } else if (sub == 0) {
        ret[EAX] = (uint32_t)all;
        ret[EBX] = x86_xsave_size(c->xcr0, false);
        ret[ECX] = x86_xsave_size(all, false);
        ret[EDX] = (uint32_t)(all >> 32);
    } else if (sub == 1) {
        ret[EBX] = x86_has(c, X86_FEAT_XSAVEC) ? x86_xsave_size(c->xcr0 | c->xss, true) : 0;
    } else if (sub < XSAVE_COMPONENTS && (all >> sub & 1)) {
        ret[EAX] = xsave_component[sub].size;
        ret[EBX] = xsave_component[sub].offset;
    }
}

/*
 * TSC = crystal * EBX / EAX, where the crystal is also the APIC timer's clock. Readers multiply the crystal's kHz by EBX in 32
 * bits, so EBX stays small: the best such fraction for our 1 GHz (a walk down the Stern-Brocot tree). What it is off by goes
 * into the crystal, at most 0.03 %: the TSC's rate must be right, the APIC timer's may be nearly so.
 */
static void leaf_tsc(const struct x86_cpu *c, uint32_t sub, uint32_t ret[4])
{
    (void)sub;
    enum { NUMERATOR_MAX = 4290 };
    const uint64_t hz = tsc_hz(c), crystal = X86_APIC_HZ;
    if (hz < crystal / 10 || hz > crystal * 20)
        return;
    uint64_t ln = 0, ld = 1, rn = 1, rd = 0; /* ln/ld < hz/crystal < rn/rd */
    uint64_t n = 1, d = 1;
    while (ln + rn <= NUMERATOR_MAX && ld + rd <= UINT32_MAX && hz * d != crystal * n) {
        n = ln + rn;
        d = ld + rd;
        if (hz * d > crystal * n) {
            ln = n;
            ld = d;
        } else {
            rn = n;
            rd = d;
        }
    }
    ret[EAX] = (uint32_t)d;
    ret[EBX] = (uint32_t)n;
    ret[ECX] = (uint32_t)((hz * d + n / 2) / n);
}

static void leaf_frequency(const struct x86_cpu *c, uint32_t sub, uint32_t ret[4])
{
    (void)sub;
    uint32_t mhz = (uint32_t)((tsc_hz(c) + 500000) / 1000000);
    ret[EAX] = ret[EBX] = mhz & 0xffff;
    ret[ECX] = mhz ? 100 : 0;
}

static void leaf_extended(const struct x86_cpu *c, uint32_t sub, uint32_t ret[4])
{
    (void)c, (void)sub;
    ret[EAX] = EXTENDED_MAX;
}

static void brand(const struct x86_cpu *c, unsigned part, uint32_t ret[4])
{
    if (c->profile)
        memcpy(ret, c->profile->brand + 16 * part, 16);
}

static void leaf_brand0(const struct x86_cpu *c, uint32_t sub, uint32_t ret[4])
{
    (void)sub;
    brand(c, 0, ret);
}

static void leaf_brand1(const struct x86_cpu *c, uint32_t sub, uint32_t ret[4])
{
    (void)sub;
    brand(c, 1, ret);
}

static void leaf_brand2(const struct x86_cpu *c, uint32_t sub, uint32_t ret[4])
{
    (void)sub;
    brand(c, 2, ret);
}

/* The L2 once more: size in KiB, associativity code 8 (16 ways), line. */
static void leaf_l2(const struct x86_cpu *c, uint32_t sub, uint32_t ret[4])
{
    (void)c, (void)sub;
    ret[ECX] = 2048U << 16 | 8U << 12 | LINE;
}

static void leaf_address(const struct x86_cpu *c, uint32_t sub, uint32_t ret[4])
{
    (void)sub;
    ret[EAX] = 48U << 8 | x86_phys_bits(c);
}

static void leaf_kvm(const struct x86_cpu *c, uint32_t sub, uint32_t ret[4])
{
    (void)c, (void)sub;
    ret[EAX] = KVM_CPUID_TIMING;
    memcpy(&ret[EBX], "KVMKVMKVM\0\0\0", 12);
}

static void leaf_kvm_features(const struct x86_cpu *c, uint32_t sub, uint32_t ret[4])
{
    (void)sub;
    ret[EAX] = c->profile ? c->profile->kvm : KVM_FEATURES_ALWAYS | KVM_FEATURES_SWITCHED; /* no hints */
}

static void leaf_kvm_timing(const struct x86_cpu *c, uint32_t sub, uint32_t ret[4])
{
    (void)sub;
    ret[EAX] = (uint32_t)(tsc_hz(c) / 1000);
    ret[EBX] = X86_APIC_HZ / 1000;
}

static void leaf_hypercalls(const struct x86_cpu *c, uint32_t sub, uint32_t ret[4])
{
    (void)c, (void)sub;
    ret[EAX] = X86_HC_CPUID_CALLS;
    memcpy(&ret[EBX], X86_HC_SIGNATURE, 12);
}

static void leaf_hypercall_list(const struct x86_cpu *c, uint32_t sub, uint32_t ret[4])
{
    (void)c, (void)sub;
    ret[EAX] = X86_HC_VERSION;
    ret[EBX] = (1U << X86_HC_NR) - 1;
    ret[ECX] = X86_HC_PORT;
}

static const struct {
    uint32_t leaf;
    void (*fn)(const struct x86_cpu *c, uint32_t sub, uint32_t ret[4]);
} leaves[] = {
    { 0, leaf_vendor },
    { 1, leaf_features },
    { 2, leaf_descriptors },
    { 4, leaf_caches },
    { 0xb, leaf_topology },
    { 0xd, leaf_xsave },
    { 0x15, leaf_tsc },
    { 0x16, leaf_frequency },
    { 0x1f, leaf_topology },
    { KVM_CPUID_SIGNATURE, leaf_kvm },
    { KVM_CPUID_FEATURES, leaf_kvm_features },
    { KVM_CPUID_TIMING, leaf_kvm_timing },
    { X86_HC_CPUID_SIGNATURE, leaf_hypercalls },
    { X86_HC_CPUID_CALLS, leaf_hypercall_list },
    { EXTENDED, leaf_extended },
    { 0x80000002, leaf_brand0 },
    { 0x80000003, leaf_brand1 },
    { 0x80000004, leaf_brand2 },
    { 0x80000006, leaf_l2 },
    { 0x80000008, leaf_address },
};

/* Leaves whose sub-leaves differ; for the others ECX is ignored. */
static bool has_subleaves(uint32_t leaf)
{
    return leaf == 4 || leaf == 7 || leaf == 0xb || leaf == 0xd || leaf == 0x1f;
}

static bool in_range(uint32_t leaf)
{
    return leaf <= BASIC_MAX || (leaf >= KVM_CPUID_SIGNATURE && leaf <= KVM_CPUID_TIMING)
           || (leaf >= X86_HC_CPUID_SIGNATURE && leaf <= X86_HC_CPUID_CALLS) || (leaf >= EXTENDED && leaf <= EXTENDED_MAX);
}

void x86_cpuid(const struct x86_cpu *c, uint32_t leaf, uint32_t sub, uint32_t ret_regs[4])
{
    if (!in_range(leaf))
        leaf = BASIC_MAX;
    if (!has_subleaves(leaf))
        sub = 0;
    memset(ret_regs, 0, 4 * sizeof(ret_regs[0]));
    for (unsigned f = X86_FEAT_NONE + 1; f < X86_FEAT_END; f++)
        if (feature_bits[f].leaf == leaf && feature_bits[f].sub == sub && x86_has(c, (enum x86_feature)f))
            ret_regs[feature_bits[f].reg] |= feature_bits[f].bits;
    for (unsigned k = 0; k < ARRAY_SIZE(fixed_bits); k++)
        if (fixed_bits[k].leaf == leaf && fixed_bits[k].sub == sub)
            ret_regs[fixed_bits[k].reg] |= fixed_bits[k].bits;
    for (unsigned k = 0; k < ARRAY_SIZE(leaves); k++)
        if (leaves[k].leaf == leaf) {
            leaves[k].fn(c, sub, ret_regs);
            return;
        }
}
