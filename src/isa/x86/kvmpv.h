/* SPDX-License-Identifier: MIT */
/*
 * The KVM paravirtual interface: its CPUID leaves' facts, its clock, its hypercalls.
 *
 * Spec: Linux Documentation/virt/kvm/x86/{cpuid,msr,hypercalls}.rst
 */
#ifndef DOPPEL_ISA_X86_KVMPV_H
#define DOPPEL_ISA_X86_KVMPV_H

#include "isa/x86/state.h"

enum { KVM_CPUID_SIGNATURE = 0x40000000, KVM_CPUID_FEATURES = 0x40000001, KVM_CPUID_TIMING = 0x40000010 };
/* Bits of KVM_CPUID_FEATURES:EAX that we offer. */
enum { KVM_FEATURE_NOP_IO_DELAY = 1 << 1, KVM_FEATURE_CLOCKSOURCE2 = 1 << 3, KVM_FEATURE_CLOCK_STABLE = 1 << 24 };
enum { KVM_MSR_WALL_CLOCK = 0x4b564d00, KVM_MSR_SYSTEM_TIME = 0x4b564d01 };

/* WRMSR of the two; a bad address switches the clock off again, as KVM does. */
void x86_kvm_wall_clock_write(struct x86_cpu *c, uint64_t v);
void x86_kvm_system_time_write(struct x86_cpu *c, uint64_t v);
/* Writes the clock page again, when there is one: after a load, or when TSC_ADJUST changed. */
void x86_kvm_clock_refresh(struct x86_cpu *c);

/* The clock's scale for a TSC rate in Hz: ns = (shift < 0 ? tsc >> -shift : tsc << shift) * mul >> 32. */
void x86_kvm_clock_scale(uint64_t tsc_hz, uint32_t *ret_mul, int8_t *ret_shift);

#endif
