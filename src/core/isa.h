/* SPDX-License-Identifier: MIT */
/*
 * What an instruction set is to the layers that do not care which one.
 */
#ifndef DOPPEL_CORE_ISA_H
#define DOPPEL_CORE_ISA_H

#include "core/state_desc.h"

struct vcpu;

struct isa_ops {
    const char *name; /* "x86-64", "riscv64" */
    /* Mandatory. Makes vcpu->cpu in its reset state; config is the ISA's own (CPU model), NULL for the default. */
    int (*cpu_new)(struct vcpu *vcpu, const void *config, struct error *err);
    void (*cpu_free)(struct vcpu *vcpu);
    /* Mandatory. Power-on reset. */
    void (*reset)(struct vcpu *vcpu);
    const struct state_desc *state; /* of vcpu->cpu */
    /* One line of text: where the CPU is, for messages about a lost guest. */
    void (*describe)(const struct vcpu *vcpu, char *text, size_t cap);
};

#endif
