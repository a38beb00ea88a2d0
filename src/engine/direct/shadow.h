/* SPDX-License-Identifier: MIT */
/*
 * What of guest memory is mapped in a guest's process: a TLB that is filled by faults.
 *
 * It holds what the guest's page tables said when a page was touched, and loses what the interpreter's TLB lost (isa/x86/tlb.h)
 * when the process is about to run next. Owned by the vCPU's thread.
 */
#ifndef DOPPEL_ENGINE_DIRECT_SHADOW_H
#define DOPPEL_ENGINE_DIRECT_SHADOW_H

#include "engine/direct/process.h"
#include "isa/x86/mmu.h"

enum { SHADOW_BITS = 8192 };

struct shadow {
    uint64_t flushes, switches, drops, page_flushes; /* of the TLB's history, followed so far */
    /* by hash of the address: which pages may be mapped, and in which 2 MiB pieces of large pages may be */
    uint64_t small[SHADOW_BITS / 64], large[SHADOW_BITS / 64];
    uint64_t nr_maps, nr_flushes; /* ever */
};

/* Whether a process can have this address at all. */
bool shadow_mappable(gva_t va);
/* The process is new and maps nothing. */
void shadow_reset(struct shadow *s, const struct x86_cpu *c);
/* Unmaps what was dropped from the CPU's TLB since the last time. -errno: the process is gone. */
MUST_CHECK int shadow_catch_up(struct shadow *s, struct process *p, const struct x86_cpu *c);
/* Maps what the guest's tables say of va, with c's present rights, for the access: the page, or the 2 MiB around it of a large
 * one. Sets A and, for a write, D. False: they or the host do not allow it, or it is not RAM. */
bool shadow_map(struct shadow *s, struct process *p, struct x86_cpu *c, gva_t va, enum x86_access access);

#endif
