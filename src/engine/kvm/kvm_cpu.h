/* SPDX-License-Identifier: MIT */
/*
 * A vCPU of the host's KVM, and the way of the architectural state into and out of it.
 *
 * At any time each part of the state is true in one place: in KVM, or in struct x86_cpu. kvm_cpu_pull() brings parts home,
 * kvm_cpu_push() takes all there. Everything here is for the vCPU's thread.
 */
#ifndef DOPPEL_ENGINE_KVM_KVM_CPU_H
#define DOPPEL_ENGINE_KVM_KVM_CPU_H

#include <sys/types.h>

#include "engine/kvm/kvm_model.h"
#include "isa/x86/host_xstate.h"
#include "isa/x86/run.h"
#include "isa/x86/state.h"

enum kvm_part {
    KVM_PART_CORE = 1, /* general, special and segment registers, RIP, flags; what is about to be delivered */
    KVM_PART_REST = 2, /* vector and debug registers, MSRs */
    KVM_PART_ALL = KVM_PART_CORE | KVM_PART_REST,
};

/* Why KVM came back to us. */
enum kvm_reason {
    KVM_REASON_IO,
    KVM_REASON_MMIO,
    KVM_REASON_MSR,
    KVM_REASON_HLT,
    KVM_REASON_IRQ_WINDOW, /* an interrupt can be taken now, which we had asked for */
    KVM_REASON_TPR,        /* the task priority fell */
    KVM_REASON_KICK,       /* another thread wanted something */
    KVM_REASON_EMULATION,  /* KVM does not know an instruction: ours to execute */
    KVM_REASON_SHUTDOWN,
    KVM_REASON_OTHER,
    KVM_REASON_LAST = KVM_REASON_OTHER
};
enum { KVM_REASON_NR = KVM_REASON_LAST + 1 };

struct kvm_cpu {
    struct kvm_vm *vm;     /* counted */
    struct x86_run *run;   /* owned; for the boundaries */
    int fd;                /* owned */
    struct kvm_run *share; /* owned mapping: what KVM and we tell each other */
    bool cpuid_set;
    const struct x86_profile *given; /* borrowed (outlives us: the machine's): c->profile before we came */
    struct x86_profile profile;      /* c->profile: what KVM shows, `given` less what it cannot do */
    struct xstate_layout layout;
    struct kvm_model_msr msr[KVM_MODEL_MSRS_MAX];
    unsigned nr_msrs;

    unsigned there;  /* enum kvm_part: what is true in KVM */
    bool unfinished; /* the instruction that made KVM come back ends when the guest is entered again */
    bool tlb_stale;  /* c->tlb is older than the guest's last instructions */
    bool forget;     /* what KVM or the CPU remembers of page tables is out of date */
    uint64_t flushes_seen;
    bool step;      /* the next instruction is ours to execute */
    bool apic_base; /* the APIC's base register was written: KVM is to hear of it */
    bool fresh;     /* what KVM said of interrupts when it came back still holds */
    bool held;      /* an interrupt waits, for the guest says so in the page that it shares with us */
    int cr8;        /* as KVM has it; -1: not known */
    int64_t tsc_offset;
    bool tsc_offset_set;

    _Atomic bool inside; /* in the guest, or about to be: a signal gets it out */
    _Atomic pid_t tid;   /* of the thread that last ran it */

    uint64_t reason[KVM_REASON_NR];
    uint64_t hypercalls, interpreted, irqs, pulls, pushes, forgets;
};

/* ioctl on the vCPU. -errno. */
MUST_CHECK int kvm_cpu_ioctl(const struct kvm_cpu *e, unsigned long request, void *arg);
/* Brings parts of the state home. What KVM was about to deliver is delivered. -errno: KVM is broken. */
MUST_CHECK int kvm_cpu_pull(struct kvm_cpu *e, struct x86_cpu *c, unsigned parts);
/* Takes the state to KVM. 1: there is a state in c that this KVM cannot have; -errno: KVM is broken. */
MUST_CHECK int kvm_cpu_push(struct kvm_cpu *e, struct x86_cpu *c);
/* Before c's memory is accessed as the guest does it: the guest may have changed its mappings since. */
void kvm_cpu_freshen(struct kvm_cpu *e, struct x86_cpu *c);
/* Tells KVM of the guest's TSC when it is another one now. -errno. */
MUST_CHECK int kvm_cpu_put_tsc(struct kvm_cpu *e, const struct x86_cpu *c);

/* kvm_exit.c: what the guest wants of us, after KVM_RUN came back without an error. -errno: KVM is broken. */
MUST_CHECK int kvm_exit_serve(struct kvm_cpu *e, struct x86_cpu *c);
/* Ends the machine for an error of KVM's, or one that we have no answer to. */
PRINTF_LIKE(2, 3) void kvm_exit_give_up(const struct x86_cpu *c, const char *fmt, ...);

#endif
