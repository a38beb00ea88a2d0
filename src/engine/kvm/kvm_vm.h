/* SPDX-License-Identifier: MIT */
/*
 * What the host's KVM has of a machine: its descriptor, its memory, and what it said that it can do.
 *
 * Shared by the machine's vCPUs. Guest memory is this process's own, shown to KVM slot by slot. Where KVM has no hardware for
 * nested paging it keeps shadows of the guest's page tables, which follow the guest's stores but not ours: then whoever changed
 * a page table behind its back calls kvm_vm_forget().
 */
#ifndef DOPPEL_ENGINE_KVM_KVM_VM_H
#define DOPPEL_ENGINE_KVM_KVM_VM_H

#include <linux/kvm.h>
#include <pthread.h>
#include <stdatomic.h>

#include "core/gmem.h"

struct kvm_vm {
    unsigned users;              /* vCPUs; control thread */
    int fd;                      /* owned */
    size_t run_size;             /* bytes of what a vCPU shares with KVM */
    bool sregs2;                 /* KVM_SET_SREGS2 and so on are there */
    bool tsc_offset;             /* the TSC can be set exactly */
    bool shadows;                /* page tables are, or may be, shadowed */
    struct kvm_cpuid2 *cpuid;    /* owned; what this KVM can show a guest */
    struct kvm_msr_list *msrs;   /* owned; what this KVM can save and load */
    pthread_rwlock_t slots_lock; /* with shadows: who runs the guest reads, kvm_vm_forget() writes */
    _Atomic unsigned forgetting; /* somebody waits for slots_lock: leave the guest */
    pthread_mutex_t map_lock;    /* guards the slots below */
    unsigned nr_slots;
    struct kvm_userspace_memory_region slot[GMEM_SLOTS];
};

/* Opens /dev/kvm and makes a machine with no memory and one user. Errors are whole sentences about /dev/kvm: -ENOENT, -EACCES,
 * -ENOTSUP when it is too old, what else it says. */
MUST_CHECK int kvm_vm_new(struct kvm_vm **ret_vm, struct error *err);
/* One user less; the last one frees it. Takes NULL. */
void kvm_vm_put(struct kvm_vm *vm);
/* Shows it the slots of gm that it has not seen. -errno. Any vCPU's thread. */
MUST_CHECK int kvm_vm_map(struct kvm_vm *vm, const struct gmem *gm);
/* Drops all that KVM made of the guest's page tables. No vCPU may be in the guest; with slots_lock held for writing. -errno. */
MUST_CHECK int kvm_vm_forget(struct kvm_vm *vm);
/* Whether KVM can save and load this MSR. */
bool kvm_vm_has_msr(const struct kvm_vm *vm, uint32_t msr);

#endif
