/* SPDX-License-Identifier: MIT */
/*
 * CPU models: which features a guest CPU offers, cut to what the host can execute.
 */
#ifndef DOPPEL_ISA_X86_PROFILE_H
#define DOPPEL_ISA_X86_PROFILE_H

#include "isa/x86/decode.h"

struct x86_profile {
    char name[32];
    bool has[X86_FEAT_END]; /* indexed by enum x86_feature; [X86_FEAT_NONE] is true */
    uint64_t xcr0;          /* state components a guest may enable */
    uint8_t phys_bits;
    uint32_t kvm; /* bits of enum x86_kvm_feature (kvmpv.h) */
    char brand[49];
};

/* Fills the model that `text` asks for: its name ("x86-64-v3", "x86-64-v4", "max", "host" = max), and behind commas what is to be
 * different: "kvm-pv=off" or "=on" for all that KVM's paravirtual interface has beyond its clock, "-kvm-steal-time" or "+..." for
 * a part of it (the later counts). A feature whose instructions run on the host CPU and that the host lacks is left out, and so
 * is one without what it builds on. -EINVAL for an unknown name (the message lists the known ones). */
MUST_CHECK int x86_profile_make(const char *text, struct x86_profile *ret_profile, struct error *err);

/* Whether a bit of CPUID is set; reg: 0..3 for EAX, EBX, ECX, EDX. */
typedef bool x86_cpuid_bit_fn(const void *opaque, uint32_t leaf, uint32_t sub, unsigned reg, unsigned bit);
/* Leaves out the features whose bit has() denies, and what builds on them. xcr0: the state components that there are. */
void x86_profile_cut(struct x86_profile *p, x86_cpuid_bit_fn *has, const void *opaque, uint64_t xcr0);

/* Bits of a physical address. */
static inline unsigned x86_phys_bits(const struct x86_cpu *c)
{
    return c->profile ? c->profile->phys_bits : 46;
}

/* The model used when none is asked for: "x86-64-v3". Made once, never freed. Any thread. */
const struct x86_profile *x86_profile_default(void);

/* Does this CPU offer that part of KVM's interface? kvm: a bit of enum x86_kvm_feature. (Bare tests have no profile: then yes.)
 */
static inline bool x86_kvm_offers(const struct x86_cpu *c, uint32_t kvm)
{
    return !c->profile || (c->profile->kvm & kvm);
}

/* Does this CPU offer the feature? (Bare tests have no profile: then yes.) */
static inline bool x86_has(const struct x86_cpu *c, enum x86_feature feature)
{
    return !c->profile || c->profile->has[feature];
}

#endif
