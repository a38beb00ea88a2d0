/* SPDX-License-Identifier: MIT */
/*
 * CPU models, cut to what the host can execute.
 *
 * Features whose instructions are written out in C (integer, system) are offered whatever the host is; those whose
 * instructions run on the host CPU (vectors, AES, SHA) only if the host's CPUID and XCR0 have them. Cutting goes on to
 * what builds on a missing feature: no AVX2 without AVX.
 *
 * Spec: x86-64 psABI 1.0, table 3.1 (micro-architecture levels)
 */
#include "isa/x86/profile.h"

#include <cpuid.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "isa/x86/kvmpv.h"

enum { EAX, EBX, ECX, EDX };

struct feature_bit {
    uint32_t leaf, sub;
    uint8_t reg, bit;
};
#define X(name, leaf_, sub_, reg_, bit_) [X86_FEAT_##name] = { leaf_, sub_, reg_, bit_ },
static const struct feature_bit feature_bit[X86_FEAT_END] = {
#include "isa/x86/features.def"
};
#undef X

/* Executed by the host CPU, so only offered when it can; each with what it builds on (listed before it). */
static const struct {
    uint8_t feature, needs;
    uint8_t xcr0; /* host state components it needs */
} on_host[] = {
    { X86_FEAT_SSE3, 0, 0 },
    { X86_FEAT_SSSE3, X86_FEAT_SSE3, 0 },
    { X86_FEAT_SSE4_1, X86_FEAT_SSSE3, 0 },
    { X86_FEAT_SSE4_2, X86_FEAT_SSE4_1, 0 },
    { X86_FEAT_PCLMULQDQ, 0, 0 },
    { X86_FEAT_AES, 0, 0 },
    { X86_FEAT_SHA, 0, 0 },
    { X86_FEAT_AVX, X86_FEAT_SSE4_2, XCR0_SSE | XCR0_AVX },
    { X86_FEAT_F16C, X86_FEAT_AVX, 0 },
    { X86_FEAT_FMA, X86_FEAT_AVX, 0 },
    { X86_FEAT_AVX2, X86_FEAT_AVX, 0 },
    { X86_FEAT_AVX512F, X86_FEAT_AVX2, XCR0_OPMASK | XCR0_ZMM_HI256 | XCR0_HI16_ZMM },
    { X86_FEAT_AVX512DQ, X86_FEAT_AVX512F, 0 },
    { X86_FEAT_AVX512CD, X86_FEAT_AVX512F, 0 },
    { X86_FEAT_AVX512BW, X86_FEAT_AVX512F, 0 },
    { X86_FEAT_AVX512VL, X86_FEAT_AVX512F, 0 },
};

/* A model is everything we know less what it leaves out: above its level there are AES and SHA, too. MONITOR is in no model: a
 * halted CPU must cost the host nothing. */
struct model {
    const char *name;
    const char *brand;
    uint8_t without[8]; /* ends with X86_FEAT_NONE */
};
static const struct model models[] = {
    { "x86-64-v3",
      "doppel CPU (x86-64-v3)",
      { X86_FEAT_AVX512F, X86_FEAT_AVX512DQ, X86_FEAT_AVX512CD, X86_FEAT_AVX512BW, X86_FEAT_AVX512VL } },
    { "x86-64-v4", "doppel CPU (x86-64-v4)", { X86_FEAT_NONE } },
    { "max", "doppel CPU (max)", { X86_FEAT_NONE } },
    { "host", "doppel CPU (max)", { X86_FEAT_NONE } },
};

enum { PHYS_BITS = 46 };

static uint64_t host_xcr0(void)
{
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & 1U << 27)) /* OSXSAVE */
        return 0;
    uint32_t lo, hi;
    __asm__("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    return (uint64_t)hi << 32 | lo;
}

static bool host_has(enum x86_feature feature)
{
    const struct feature_bit *f = &feature_bit[feature];
    unsigned r[4];
    if (!__get_cpuid_count(f->leaf, f->sub, &r[EAX], &r[EBX], &r[ECX], &r[EDX]))
        return false;
    return r[f->reg] >> f->bit & 1;
}

/* Vector features go with what they build on, and with their state components; these follow from what is left. */
static void cut_vectors(struct x86_profile *p, uint64_t xcr0)
{
    p->xcr0 = XCR0_X87 | XCR0_SSE;
    for (unsigned k = 0; k < ARRAY_SIZE(on_host); k++) {
        unsigned f = on_host[k].feature;
        p->has[f] = p->has[f] && p->has[on_host[k].needs] && (xcr0 & on_host[k].xcr0) == on_host[k].xcr0;
        if (p->has[f])
            p->xcr0 |= on_host[k].xcr0;
    }
}

static void cut_to_host(struct x86_profile *p)
{
    for (unsigned k = 0; k < ARRAY_SIZE(on_host); k++)
        p->has[on_host[k].feature] = p->has[on_host[k].feature] && host_has(on_host[k].feature);
    cut_vectors(p, host_xcr0());
}

void x86_profile_cut(struct x86_profile *p, x86_cpuid_bit_fn *has, const void *opaque, uint64_t xcr0)
{
    for (unsigned f = X86_FEAT_NONE + 1; f < X86_FEAT_END; f++) {
        const struct feature_bit *b = &feature_bit[f];
        p->has[f] = p->has[f] && has(opaque, b->leaf, b->sub, b->reg, b->bit);
    }
    cut_vectors(p, p->has[X86_FEAT_XSAVE] ? xcr0 : 0);
}

static void fill(const struct model *m, struct x86_profile *p)
{
    *p = (struct x86_profile){ .phys_bits = PHYS_BITS, .kvm = KVM_FEATURES_ALWAYS | KVM_FEATURES_DEFAULT };
    for (unsigned f = 0; f < X86_FEAT_END; f++)
        p->has[f] = true;
    p->has[X86_FEAT_MONITOR] = false;
    for (unsigned k = 0; k < ARRAY_SIZE(m->without) && m->without[k]; k++)
        p->has[m->without[k]] = false;
    (void)snprintf(p->name, sizeof(p->name), "%s", m->name);
    (void)snprintf(p->brand, sizeof(p->brand), "%s", m->brand);
    cut_to_host(p);
}

/* Parts of KVM's interface that can be switched, by the names that QEMU gives them. */
static const struct {
    const char *name;
    uint32_t bit, needs;
} kvm_parts[] = {
    { "kvm-steal-time", KVM_FEATURE_STEAL_TIME, 0 },
    { "kvm-pv-eoi", KVM_FEATURE_PV_EOI, 0 },
    { "kvm-pv-unhalt", KVM_FEATURE_PV_UNHALT, 0 },
    { "kvm-pv-tlb-flush", KVM_FEATURE_PV_TLB_FLUSH, KVM_FEATURE_STEAL_TIME },
    { "kvm-pv-ipi", KVM_FEATURE_PV_SEND_IPI, 0 },
    { "kvm-poll-control", KVM_FEATURE_POLL_CONTROL, 0 },
    { "kvm-pv-sched-yield", KVM_FEATURE_PV_SCHED_YIELD, KVM_FEATURE_STEAL_TIME },
};

static const char *name_list(char *text, size_t cap)
{
    size_t at = 0;
    for (unsigned k = 0; k < ARRAY_SIZE(kvm_parts) && at < cap; k++)
        at += (size_t)snprintf(text + at, cap - at, ", %s", kvm_parts[k].name);
    return text;
}

/* One word behind the model's name. */
static int change(struct x86_profile *p, const char *word, struct error *err)
{
    char list[160];
    bool off = word[0] == '-' || strcmp(word, "kvm-pv=off") == 0, all = strncmp(word, "kvm-pv=", 7) == 0;
    if (all && !off && strcmp(word, "kvm-pv=on") != 0)
        return error_set(err, -EINVAL, "'%s': kvm-pv is on or off", word);
    uint32_t bits = all ? KVM_FEATURES_SWITCHED : 0;
    for (unsigned k = 0; k < ARRAY_SIZE(kvm_parts) && !all && (word[0] == '-' || word[0] == '+'); k++)
        if (strcmp(kvm_parts[k].name, word + 1) == 0)
            bits = kvm_parts[k].bit;
    if (!bits)
        return error_set(err, -EINVAL, "'%s' is not known (kvm-pv=on, kvm-pv=off, or + or - and a part of it%s)", word,
                         name_list(list, sizeof(list)));
    p->kvm = off ? p->kvm & ~bits : p->kvm | bits;
    return 0;
}

static void cut_kvm(struct x86_profile *p)
{
    for (unsigned k = 0; k < ARRAY_SIZE(kvm_parts); k++)
        if ((p->kvm & kvm_parts[k].needs) != kvm_parts[k].needs)
            p->kvm &= ~kvm_parts[k].bit;
}

int x86_profile_make(const char *text, struct x86_profile *ret_profile, struct error *err)
{
    char words[256];
    if ((size_t)snprintf(words, sizeof(words), "%s", text) >= sizeof(words))
        return error_set(err, -EINVAL, "the CPU model's name is longer than %zu bytes", sizeof(words) - 1);
    char *rest = words;
    const char *name = strsep(&rest, ","), *word;
    const struct model *m = NULL;
    for (unsigned k = 0; k < ARRAY_SIZE(models); k++)
        if (strcmp(models[k].name, name) == 0)
            m = &models[k];
    if (!m)
        return error_set(err, -EINVAL, "CPU model '%s' is not known (x86-64-v3, x86-64-v4, max, host)", name);
    struct x86_profile p;
    fill(m, &p);
    while ((word = strsep(&rest, ","))) {
        int r = change(&p, word, err);
        if (r < 0)
            return error_prefix(err, "CPU model");
    }
    cut_kvm(&p);
    *ret_profile = p;
    return 0;
}

static struct x86_profile default_profile; /* written once, under default_once */
static pthread_once_t default_once = PTHREAD_ONCE_INIT;

static void make_default(void)
{
    fill(&models[0], &default_profile);
}

const struct x86_profile *x86_profile_default(void)
{
    (void)pthread_once(&default_once, make_default); /* cannot fail with a valid once */
    return &default_profile;
}
