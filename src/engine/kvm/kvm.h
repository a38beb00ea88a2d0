/* SPDX-License-Identifier: MIT */
/*
 * Engine `kvm`: the hosted hybrid. The host's kernel drives the CPU's virtualization, this process does all I/O.
 *
 * Interrupt controllers and timers stay ours (docs/decisions/0020), so a machine's state is the same as under any other engine.
 */
#ifndef DOPPEL_ENGINE_KVM_KVM_H
#define DOPPEL_ENGINE_KVM_KVM_H

#include <stdbool.h>

#include "core/engine.h"

extern const struct engine_ops kvm_engine_ops;

/* A descriptor that run() has once the machine is made, and what it asks of the host by it. */
struct kvm_descriptor {
    int fd;                     /* borrowed (the vCPU's) */
    const unsigned long *ioctl; /* requests of ioctl(2); static */
    unsigned nr_ioctls;
};
enum { KVM_DESCRIPTORS = 2 };
/* The vCPU's own one and the machine's, which all its vCPUs share; for a sandbox. False: it has another engine. */
bool kvm_descriptors(const struct vcpu *vcpu, struct kvm_descriptor ret_fd[KVM_DESCRIPTORS]);

#endif
