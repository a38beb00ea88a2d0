/* SPDX-License-Identifier: MIT */
/*
 * CPUID and MSRs of a vCPU under KVM.
 *
 * CPUID is the one the machine has under every engine (isa/x86/cpuid.c) with two differences: a feature bit that KVM does not
 * know is not set, and leaf 0dh, where XSAVE puts things, is the host's, for it is the host's CPU that executes XSAVE.
 *
 * KVM keeps the MSRs that the CPU itself uses: system calls, segment bases, memory types by PAT, speculation control, and reads
 * of the TSC. A filter denies it all others.
 *
 * Spec: Linux Documentation/virt/kvm/api.rst 4.20, 4.46, 4.97; SDM 2A CPUID; SDM 4 chapter 2
 */
#include "engine/kvm/kvm_model.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include "base/checked.h"
#include "base/cleanup.h"
#include "isa/x86/sysreg.h"

enum { EAX, EBX, ECX, EDX };
enum { ENTRIES_MAX = 80 /* what older kernels take */, SHOWN_MAX = 256, SUBLEAVES_MAX = 64, XSAVE_LEAF = 0xd, XSAVE_FIRST = 2 };
#define EXTENDED 0x80000000U

/* ---- CPUID ---- */

static const struct kvm_cpuid_entry2 *find(const struct kvm_cpuid2 *list, uint32_t leaf, uint32_t sub)
{
    for (unsigned k = 0; k < list->nent; k++) {
        const struct kvm_cpuid_entry2 *e = &list->entries[k];
        if (e->function == leaf && (!(e->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) || e->index == sub))
            return e;
    }
    return NULL;
}

static uint32_t reg_of(const struct kvm_cpuid2 *list, uint32_t leaf, uint32_t sub, unsigned reg)
{
    const struct kvm_cpuid_entry2 *e = find(list, leaf, sub);
    if (!e)
        return 0;
    return reg == EAX ? e->eax : reg == EBX ? e->ebx : reg == ECX ? e->ecx : e->edx;
}

/* Registers of feature bits, and those bits in them that need nothing from KVM: ours to do, or facts about the machine. */
static const struct {
    uint32_t leaf, sub;
    uint8_t reg;
    uint32_t ours;
} feature_regs[] = {
    { 1, 0, ECX, 1U << 21 | 1U << 24 | 1U << 31 }, /* x2APIC, TSC deadline; hypervisor */
    { 1, 0, EDX, 1U << 9 | 1U << 28 },             /* APIC; more than one CPU */
    { 6, 0, EAX, 1U << 2 },                        /* ARAT */
    { 7, 0, EBX, 1U << 1 },                        /* TSC_ADJUST */
    { 7, 0, ECX, 0 },
    { 7, 0, EDX, 0 },
    { 7, 1, EAX, 0 },
    { 7, 2, EDX, 0 },
    { XSAVE_LEAF, 1, EAX, 0 },
    { EXTENDED + 1, 0, ECX, 0 },
    { EXTENDED + 1, 0, EDX, 0 },
    { EXTENDED + 7, 0, EDX, 0 },
    { EXTENDED + 8, 0, EBX, 0 },
};

/* Bits of that register that may be set; all ones for one that has no features. */
static uint32_t allowed(const struct kvm_cpuid2 *list, uint32_t leaf, uint32_t sub, unsigned reg)
{
    for (unsigned k = 0; k < ARRAY_SIZE(feature_regs); k++)
        if (feature_regs[k].leaf == leaf && feature_regs[k].sub == sub && feature_regs[k].reg == reg)
            return reg_of(list, leaf, sub, reg) | feature_regs[k].ours;
    return UINT32_MAX;
}

static bool has_bit(const void *opaque, uint32_t leaf, uint32_t sub, unsigned reg, unsigned bit)
{
    return allowed(opaque, leaf, sub, reg) >> bit & 1;
}

void kvm_model_cut(const struct kvm_vm *vm, struct x86_profile *p)
{
    uint64_t xcr0 = reg_of(vm->cpuid, XSAVE_LEAF, 0, EAX) | (uint64_t)reg_of(vm->cpuid, XSAVE_LEAF, 0, EDX) << 32;
    x86_profile_cut(p, has_bit, vm->cpuid, xcr0);
}

/* Leaf 0dh: our components at the host's places. */
static void fill_xsave(const struct kvm_cpuid2 *host, uint64_t xcr0, uint32_t sub, uint32_t r[4])
{
    if (sub == 0) {
        uint32_t end = 576; /* the legacy area and the header */
        for (unsigned n = XSAVE_FIRST; n < 64; n++)
            if (xcr0 >> n & 1)
                end = MAX(end, reg_of(host, XSAVE_LEAF, n, EAX) + reg_of(host, XSAVE_LEAF, n, EBX));
        r[EBX] = r[ECX] = end; /* KVM makes the first one follow XCR0 */
    } else if (sub >= XSAVE_FIRST) {
        bool there = xcr0 >> sub & 1;
        for (unsigned reg = EAX; reg <= EDX; reg++)
            r[reg] = there ? reg_of(host, XSAVE_LEAF, sub, reg) : 0;
    }
}

static bool has_subleaves(uint32_t leaf)
{
    return leaf == 4 || leaf == 7 || leaf == 0xb || leaf == XSAVE_LEAF || leaf == 0x1f;
}

static bool is_last(uint32_t leaf, uint32_t sub, const uint32_t r[4], uint32_t last7)
{
    switch (leaf) {
    case 4: return !(r[EAX] & 0x1f);
    case 7: return sub >= last7;
    case 0xb:
    case 0x1f: return !(r[ECX] >> 8 & 0xff);
    default: return sub >= 8; /* 0dh: the components we know end before */
    }
}

static int add(struct kvm_cpuid2 *list, uint32_t leaf, uint32_t sub, const uint32_t r[4])
{
    if (list->nent == ENTRIES_MAX)
        return -E2BIG;
    list->entries[list->nent++] = (struct kvm_cpuid_entry2){
        .function = leaf,
        .index = sub,
        .flags = has_subleaves(leaf) ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0,
        .eax = r[EAX],
        .ebx = r[EBX],
        .ecx = r[ECX],
        .edx = r[EDX],
    };
    return 0;
}

static int add_leaf(const struct kvm_vm *vm, struct kvm_cpuid2 *list, const struct x86_cpu *c, uint32_t leaf)
{
    uint32_t r[4], last7 = MIN(2U, reg_of(vm->cpuid, 7, 0, EAX));
    int err = 0;
    for (uint32_t sub = 0; sub < SUBLEAVES_MAX && err == 0; sub++) {
        x86_cpuid(c, leaf, sub, r);
        for (unsigned reg = EAX; reg <= EDX; reg++)
            r[reg] &= allowed(vm->cpuid, leaf, sub, reg);
        if (leaf == 7 && sub == 0)
            r[EAX] = last7;
        if (leaf == XSAVE_LEAF && x86_has(c, X86_FEAT_XSAVE))
            fill_xsave(vm->cpuid, c->profile->xcr0, sub, r);
        err = add(list, leaf, sub, r);
        if (!has_subleaves(leaf) || is_last(leaf, sub, r, last7))
            break;
    }
    return err;
}

int kvm_model_set_cpuid(const struct kvm_vm *vm, int vcpu_fd, const struct x86_cpu *c)
{
    static const uint32_t ranges[] = { 0, 0x40000000, 0x40000100, EXTENDED };
    AUTO_FREE struct kvm_cpuid2 *list = calloc(1, sizeof(*list) + ENTRIES_MAX * sizeof(list->entries[0]));
    int err = list ? 0 : -ENOMEM;
    for (unsigned k = 0; k < ARRAY_SIZE(ranges) && err == 0; k++) {
        uint32_t r[4];
        x86_cpuid(c, ranges[k], 0, r);
        for (uint32_t leaf = ranges[k]; leaf <= r[EAX] && err == 0; leaf++) {
            uint32_t is[4];
            x86_cpuid(c, leaf, 0, is);
            if (is[EAX] | is[EBX] | is[ECX] | is[EDX] || leaf == XSAVE_LEAF) /* what is not in the list reads as zeroes */
                err = add_leaf(vm, list, c, leaf);
        }
    }
    return err < 0 ? err : ioctl(vcpu_fd, KVM_SET_CPUID2, list) < 0 ? -errno : 0;
}

static bool is_shown(const void *opaque, uint32_t leaf, uint32_t sub, unsigned reg, unsigned bit)
{
    return reg_of(opaque, leaf, sub, reg) >> bit & 1;
}

int kvm_model_shown(int vcpu_fd, struct x86_profile *ret_model)
{
    AUTO_FREE struct kvm_cpuid2 *list = calloc(1, sizeof(*list) + SHOWN_MAX * sizeof(list->entries[0]));
    struct x86_profile p = *ret_model;
    if (!list)
        return -ENOMEM;
    list->nent = SHOWN_MAX;
    if (ioctl(vcpu_fd, KVM_GET_CPUID2, list) < 0)
        return -errno;
    for (unsigned f = 0; f < X86_FEAT_END; f++)
        p.has[f] = true;
    x86_profile_cut(&p, is_shown, list, reg_of(list, XSAVE_LEAF, 0, EAX));
    *ret_model = p;
    return 0;
}

/* ---- MSRs ---- */

enum { R = KVM_MSR_FILTER_READ, W = KVM_MSR_FILTER_WRITE, RW = R | W };
enum need { ALWAYS, IF_SAVED /* KVM can save and load it */, IF_IBRS, IF_ARCH_CAPABILITIES };
#define FIELD(member) (offsetof(struct x86_cpu, member) + 1)

static const struct {
    uint32_t msr;
    uint8_t access, need;
    size_t field; /* offset in struct x86_cpu, plus 1; 0: not state, or among the special registers */
} kept[] = {
    { 0x10, R, ALWAYS, 0 }, /* TSC; KVM reads it as it is offset; setting it is ours */
    { 0x48, RW, IF_SAVED, FIELD(spec_ctrl) },
    { 0x49, W, IF_IBRS, 0 }, /* PRED_CMD */
    { 0x10a, R, IF_ARCH_CAPABILITIES, 0 },
    { 0x174, RW, ALWAYS, FIELD(sysenter_cs) },
    { 0x175, RW, ALWAYS, FIELD(sysenter_esp) },
    { 0x176, RW, ALWAYS, FIELD(sysenter_eip) },
    { 0x277, RW, ALWAYS, FIELD(pat) },
    { 0xc0000080, RW, ALWAYS, 0 }, /* EFER */
    { 0xc0000081, RW, ALWAYS, FIELD(star) },
    { 0xc0000082, RW, ALWAYS, FIELD(lstar) },
    { 0xc0000083, RW, ALWAYS, FIELD(cstar) },
    { 0xc0000084, RW, ALWAYS, FIELD(fmask) },
    { 0xc0000100, RW, ALWAYS, 0 }, /* FS and GS bases */
    { 0xc0000101, RW, ALWAYS, 0 },
    { 0xc0000102, RW, ALWAYS, FIELD(kernel_gs_base) },
    { 0xc0000103, RW, IF_SAVED, FIELD(tsc_aux) },
};
static_assert(ARRAY_SIZE(kept) > 0 && KVM_MODEL_MSRS_MAX >= 13, "those with a field fit");

static bool is_kept(const struct kvm_vm *vm, unsigned k)
{
    switch ((enum need)kept[k].need) {
    case ALWAYS: return true;
    case IF_SAVED: return kvm_vm_has_msr(vm, kept[k].msr);
    case IF_IBRS: return reg_of(vm->cpuid, 7, 0, EDX) >> 26 & 1;
    case IF_ARCH_CAPABILITIES: return reg_of(vm->cpuid, 7, 0, EDX) >> 29 & 1;
    }
    return false;
}

int kvm_model_filter_msrs(const struct kvm_vm *vm)
{
    struct kvm_msr_filter filter = { .flags = KVM_MSR_FILTER_DEFAULT_DENY };
    uint64_t bits[KVM_MSR_FILTER_MAX_RANGES] = { 0 };
    unsigned n = 0;
    for (unsigned k = 0; k < ARRAY_SIZE(kept); k++) {
        struct kvm_msr_filter_range *last = n ? &filter.ranges[n - 1] : NULL;
        if (!is_kept(vm, k))
            continue;
        if (last && last->base + last->nmsrs == kept[k].msr && last->flags == kept[k].access) {
            bits[n - 1] |= 1ULL << last->nmsrs++;
            continue;
        }
        bits[n] = 1;
        filter.ranges[n] = (struct kvm_msr_filter_range){
            .flags = kept[k].access,
            .nmsrs = 1,
            .base = kept[k].msr,
            .bitmap = (uint8_t *)&bits[n],
        };
        n++;
    }
    return ioctl(vm->fd, KVM_X86_SET_MSR_FILTER, &filter) < 0 ? -errno : 0;
}

bool kvm_model_keeps_msr(const struct kvm_vm *vm, uint32_t msr)
{
    for (unsigned k = 0; k < ARRAY_SIZE(kept); k++)
        if (kept[k].msr == msr)
            return kept[k].access == RW && is_kept(vm, k);
    return false;
}

unsigned kvm_model_state_msrs(const struct kvm_vm *vm, struct kvm_model_msr ret_msrs[KVM_MODEL_MSRS_MAX])
{
    unsigned n = 0;
    for (unsigned k = 0; k < ARRAY_SIZE(kept); k++)
        if (kept[k].field && is_kept(vm, k))
            ret_msrs[n++] = (struct kvm_model_msr){ .msr = kept[k].msr, .offset = (uint32_t)(kept[k].field - 1) };
    return n;
}
