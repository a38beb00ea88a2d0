/* SPDX-License-Identifier: MIT */
/*
 * The CPU model as KVM is told of it: CPUID cut to what KVM can do, and which model-specific registers are KVM's.
 *
 * The others are ours: KVM hands over each access, and isa/x86/msr.c answers it as under any engine.
 */
#ifndef DOPPEL_ENGINE_KVM_KVM_MODEL_H
#define DOPPEL_ENGINE_KVM_KVM_MODEL_H

#include "engine/kvm/kvm_vm.h"
#include "isa/x86/profile.h"

/* An MSR that KVM keeps and struct x86_cpu has a field for. */
struct kvm_model_msr {
    uint32_t msr;
    uint32_t offset; /* of the uint64_t in struct x86_cpu */
};
enum { KVM_MODEL_MSRS_MAX = 16 };

/* Leaves out of the model what KVM cannot do. */
void kvm_model_cut(const struct kvm_vm *vm, struct x86_profile *p);
/* Tells a vCPU its CPUID: that of c, which has such a model, less what KVM cannot do. Before it runs. -errno. */
MUST_CHECK int kvm_model_set_cpuid(const struct kvm_vm *vm, int vcpu_fd, const struct x86_cpu *c);
/* The model that KVM shows after that: mostly what it was told, but there are KVMs that cannot hide the host's features. -errno.
 */
MUST_CHECK int kvm_model_shown(int vcpu_fd, struct x86_profile *ret_model);
/* Tells KVM which MSRs it keeps. Once, before a vCPU is made. -errno. */
MUST_CHECK int kvm_model_filter_msrs(const struct kvm_vm *vm);
/* Whether the guest reaches that MSR without us, so that what KVM refuses is #GP. */
bool kvm_model_keeps_msr(const struct kvm_vm *vm, uint32_t msr);
/* Those among them that are state; EFER and the bases of FS and GS are among the special registers. Returns how many. */
unsigned kvm_model_state_msrs(const struct kvm_vm *vm, struct kvm_model_msr ret_msrs[KVM_MODEL_MSRS_MAX]);

#endif
