/* SPDX-License-Identifier: MIT */
/*
 * The memory operand of a vector instruction: alignment, element masks, whole or piecewise access.
 *
 * Used in the order make, read / probe, (run), write. Each may raise; none changes registers.
 * Spec: SDM 2A 2.4 to 2.8 (alignment), 2.7.5 (fault suppression)
 */
#ifndef DOPPEL_ISA_X86_HOST_MEM_H
#define DOPPEL_ISA_X86_HOST_MEM_H

#include "isa/x86/decode.h"
#include "isa/x86/mmu.h"

struct host_tramp;

struct host_access {
    uint64_t off;   /* in the segment */
    uint64_t bytes; /* bit n: byte n of the operand is accessed; not used when whole */
    enum x86_seg_reg seg;
    uint8_t size; /* bytes */
    bool whole;
    bool check_whole; /* a store whose inactive elements are not written but fault all the same */
};

/* #GP(0) when the row demands alignment and the address has none. */
struct host_access host_access_make(struct x86_cpu *c, const struct x86_insn *i, const struct host_tramp *t, enum x86_access how);
/* buf: a->size bytes; bytes not accessed read as 0 (of the first 64). */
void host_access_read(struct x86_cpu *c, const struct host_access *a, void *buf);
/* Raises what host_access_write() would. */
void host_access_probe(struct x86_cpu *c, const struct host_access *a);
/* Writes all or, when it raises, nothing. */
void host_access_write(struct x86_cpu *c, const struct host_access *a, const void *buf);

#endif
