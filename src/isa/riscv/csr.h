/* SPDX-License-Identifier: MIT */
/*
 * Control and status registers: which there are, who may access them, and what writing one means.
 *
 * Spec: volume II chapters 2, 3, 12; Sstc; Zicntr, Zihpm
 */
#ifndef DOPPEL_ISA_RISCV_CSR_H
#define DOPPEL_ISA_RISCV_CSR_H

#include "isa/riscv/state.h"

#define RISCV_MEDELEG_BITS 0xb3ffULL /* causes 0 to 9, 12, 13, 15; with H some more */
#define RISCV_COUNTEREN_BITS 0xffffffffULL
#define RISCV_PMPADDR_BITS ((1ULL << 54) - 1)

/* Bits of menvcfg that this CPU model has. */
uint64_t riscv_menvcfg_bits(const struct riscv_cpu *c);

/* Whether this CPU model has that mode of satp. */
bool riscv_has_satp_mode(const struct riscv_cpu *c, uint64_t mode);

/* Whether floating point or vectors refuse the CSR while they are off. */
bool riscv_csr_is_unit(unsigned csr);

/* false: no such CSR, or no right to it; an illegal instruction. */
MUST_CHECK bool riscv_csr_read(struct riscv_cpu *c, unsigned csr, uint64_t *ret_value);
/* As for reading, and read-only ones refuse. Illegal values are made legal (WARL). */
MUST_CHECK bool riscv_csr_write(struct riscv_cpu *c, unsigned csr, uint64_t value);

/* mip and sip: what reads there is more than what was written. */
static inline bool riscv_csr_is_ip(const struct riscv_cpu *c, unsigned csr)
{
    return csr == 0x344 || (csr == 0x144 && !c->hyp.virt);
}

/* Whether floating point (MSTATUS_FS) or vectors (MSTATUS_VS) are on; a virtual machine has a switch of its own, too. */
static inline bool riscv_unit_on(const struct riscv_cpu *c, uint64_t field)
{
    return (c->mstatus & field) && (!c->hyp.virt || (c->hyp.vsstatus & field));
}

/* Marks the vectors' state as changed. */
static inline void riscv_vec_dirty(struct riscv_cpu *c)
{
    c->mstatus |= MSTATUS_VS;
    if (c->hyp.virt)
        c->hyp.vsstatus |= MSTATUS_VS;
}

/* Marks the floating-point state as changed. */
static inline void riscv_fp_dirty(struct riscv_cpu *c)
{
    c->mstatus |= MSTATUS_FS;
    if (c->hyp.virt)
        c->hyp.vsstatus |= MSTATUS_FS;
}

#endif
