/* SPDX-License-Identifier: MIT */
/*
 * The flattened device tree of board `virt`: what a kernel is told about harts, memory, chips, and how it was started.
 *
 * Spec: Devicetree Specification 0.4; Linux Documentation/devicetree/bindings
 */
#ifndef DOPPEL_MACHINE_VIRT_FDT_H
#define DOPPEL_MACHINE_VIRT_FDT_H

#include "core/types.h"
#include "isa/riscv/profile.h"

enum { VIRT_FDT_MAX = 64 << 10, VIRT_FDT_SEED = 32 };

struct virt_fdt_args {
    const struct riscv_profile *profile; /* borrowed */
    unsigned harts;
    gpa_t ram;                   /* where memory begins */
    uint64_t memory;             /* bytes */
    const char *cmdline;         /* borrowed */
    gpa_t initrd, initrd_end;    /* equal: there is none */
    unsigned virtio;             /* virtio-mmio places with a device, from the first on */
    bool pci;                    /* there is a PCI host bridge */
    bool switches;               /* how the finisher powers off and resets is said: where the SBI may not do that */
    uint8_t seed[VIRT_FDT_SEED]; /* random bytes for the kernel's entropy */
    uint64_t kaslr;              /* a random number for where the kernel goes */
};

/* Writes the tree into buf, whose first ret_size bytes it takes. -E2BIG when they are more than cap. */
MUST_CHECK int virt_fdt_build(const struct virt_fdt_args *args, void *buf, size_t cap, size_t *ret_size, struct error *err);

#endif
