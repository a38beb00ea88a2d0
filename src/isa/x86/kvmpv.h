/* SPDX-License-Identifier: MIT */
/*
 * The KVM paravirtual interface: its CPUID leaves' facts, its MSRs, its hypercalls. Asynchronous page faults are not part of it.
 *
 * Files: kvmpv.c the clock, kvm_steal.c stolen time and what hangs on it, kvm_call.c the hypercalls. The local APIC has the rest
 * of paravirtual EOI and IPIs (device/lapic_pv.c).
 *
 * Spec: Linux Documentation/virt/kvm/x86/{cpuid,msr,hypercalls}.rst
 */
#ifndef DOPPEL_ISA_X86_KVMPV_H
#define DOPPEL_ISA_X86_KVMPV_H

#include "isa/x86/state.h"

enum { KVM_CPUID_SIGNATURE = 0x40000000, KVM_CPUID_FEATURES = 0x40000001, KVM_CPUID_TIMING = 0x40000010 };
/* Bits of KVM_CPUID_FEATURES:EAX that we know. */
enum x86_kvm_feature {
    KVM_FEATURE_NOP_IO_DELAY = 1 << 1,
    KVM_FEATURE_CLOCKSOURCE2 = 1 << 3,
    KVM_FEATURE_STEAL_TIME = 1 << 5,
    KVM_FEATURE_PV_EOI = 1 << 6,
    KVM_FEATURE_PV_UNHALT = 1 << 7,
    KVM_FEATURE_PV_TLB_FLUSH = 1 << 9,
    KVM_FEATURE_PV_SEND_IPI = 1 << 11,
    KVM_FEATURE_POLL_CONTROL = 1 << 12,
    KVM_FEATURE_PV_SCHED_YIELD = 1 << 13,
    KVM_FEATURE_CLOCK_STABLE = 1 << 24,
};
/* What cannot be switched off, what can (--cpu), and what of that is on unless asked (docs/decisions/0017). */
enum {
    KVM_FEATURES_ALWAYS = KVM_FEATURE_NOP_IO_DELAY | KVM_FEATURE_CLOCKSOURCE2 | KVM_FEATURE_CLOCK_STABLE,
    KVM_FEATURES_SWITCHED = KVM_FEATURE_STEAL_TIME | KVM_FEATURE_PV_EOI | KVM_FEATURE_PV_UNHALT | KVM_FEATURE_PV_TLB_FLUSH
                            | KVM_FEATURE_PV_SEND_IPI | KVM_FEATURE_POLL_CONTROL | KVM_FEATURE_PV_SCHED_YIELD,
    KVM_FEATURES_DEFAULT = KVM_FEATURES_SWITCHED & ~(KVM_FEATURE_PV_UNHALT | KVM_FEATURE_PV_TLB_FLUSH),
};
enum x86_kvm_msr {
    KVM_MSR_WALL_CLOCK = 0x4b564d00,
    KVM_MSR_SYSTEM_TIME,
    KVM_MSR_ASYNC_PF_EN, /* not there */
    KVM_MSR_STEAL_TIME,
    KVM_MSR_EOI_EN,
    KVM_MSR_POLL_CONTROL,
};
enum x86_kvm_call {
    KVM_HC_VAPIC_POLL_IRQ = 1,
    KVM_HC_KICK_CPU = 5,
    KVM_HC_SEND_IPI = 10,
    KVM_HC_SCHED_YIELD = 11,
};
enum x86_kvm_error { KVM_EPERM = 1, KVM_EINVAL = 22, KVM_ENOSYS = 1000 };
/* Of steal time's page. */
enum { KVM_VCPU_PREEMPTED = 1, KVM_VCPU_FLUSH_TLB = 2 };

/* RDMSR, WRMSR of an enum x86_kvm_msr; false: #GP. */
bool x86_kvm_msr_read(const struct x86_cpu *c, uint32_t msr, uint64_t *ret_value);
bool x86_kvm_msr_write(struct x86_cpu *c, uint32_t msr, uint64_t v);
/* After a load: whether the values of the MSRs could have been written (-EINVAL), and what follows from them. */
MUST_CHECK int x86_kvm_loaded(struct x86_cpu *c, struct error *err);
/* At reset and INIT: all is off. */
void x86_kvm_reset(struct x86_cpu *c);

/* WRMSR of the clocks; a bad address switches the clock off again, as KVM does. */
void x86_kvm_wall_clock_write(struct x86_cpu *c, uint64_t v);
void x86_kvm_system_time_write(struct x86_cpu *c, uint64_t v);
/* Writes the clock page again, when there is one: after a load, or when TSC_ADJUST changed. */
void x86_kvm_clock_refresh(struct x86_cpu *c);
/* The clock's scale for a TSC rate in Hz: ns = (shift < 0 ? tsc >> -shift : tsc << shift) * mul >> 32. */
void x86_kvm_clock_scale(uint64_t tsc_hz, uint32_t *ret_mul, int8_t *ret_shift);

/* Stolen time is told to the guest, when it is due. The vCPU's thread. */
void x86_kvm_tell_steal(struct x86_cpu *c);
/* The rest of x86_kvm_enter(), x86_kvm_leave(). */
void x86_kvm_entered(struct x86_cpu *c);
void x86_kvm_left(struct x86_cpu *c);
enum { KVM_MSR_ENABLED = 1 };
/* The vCPU's thread begins to execute guest code: it is not preempted any more, and does what was put off because it was (drops
 * its TLB). At an instruction boundary. */
static inline void x86_kvm_enter(struct x86_cpu *c)
{
    if (__builtin_expect(c->kvm_steal_time & KVM_MSR_ENABLED, 0))
        x86_kvm_entered(c);
}
/* It stops, and will not use its TLB before it has entered again. At an instruction boundary. */
static inline void x86_kvm_leave(struct x86_cpu *c)
{
    if (__builtin_expect(c->kvm_steal_time & KVM_MSR_ENABLED, 0))
        x86_kvm_left(c);
}

#endif
