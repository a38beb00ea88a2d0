/* SPDX-License-Identifier: MIT */
/*
 * The hypervisor extension H: the CSRs it adds, traps into and out of virtual machines, two-stage translation.
 *
 * V (riscv_hyp.virt) says whether the hart runs a virtual machine: VS- and VU-mode are S and U in riscv_cpu.priv with V = 1. The
 * supervisor's own CSRs (stvec, satp...) are HS-mode's always; those that a virtual machine has in their place are in struct
 * riscv_hyp, and the CSR instructions choose. hvip are bits of riscv_cpu.soft, hie of mie, the wire of vstimecmp one of `wires`.
 *
 * A hart with H has two TLBs: riscv_cpu.tlb is that of the present V, other_tlb that of the other. What a virtual machine's knows
 * are both stages in one. There are no guest external interrupts (GEILEN 0), and VSXLEN is 64.
 * Spec: RISC-V Instruction Set Manual, volume II, chapter "H" (version 1.0)
 */
#ifndef DOPPEL_ISA_RISCV_HYP_H
#define DOPPEL_ISA_RISCV_HYP_H

#include "isa/riscv/mmu.h"

struct riscv_insn;

#define HSTATUS_GVA (1ULL << 6)
#define HSTATUS_SPV (1ULL << 7)
#define HSTATUS_SPVP (1ULL << 8)
#define HSTATUS_HU (1ULL << 9)
#define HSTATUS_VTVM (1ULL << 20)
#define HSTATUS_VTW (1ULL << 21)
#define HSTATUS_VTSR (1ULL << 22)
#define HSTATUS_VSXL64 (2ULL << 32)

/* Causes that medeleg has more. Spec: "Machine Trap Delegation Registers" of the chapter */
#define RISCV_HYP_MEDELEG_BITS 0xf00400ULL
#define RISCV_HYP_HEDELEG_BITS 0xb1ffULL

/* Whether the hart has the extension. */
bool riscv_hyp_is_on(const struct riscv_cpu *c);
/* What reset leaves in its state. */
void riscv_hyp_reset(struct riscv_cpu *c);
/* -EINVAL: a loaded state that cannot be. */
MUST_CHECK int riscv_hyp_check(const struct riscv_cpu *c, struct error *err);
extern const struct state_desc riscv_hyp_desc;

/* ---- CSRs ---- */

/* Whether the CSR is the extension's. */
static inline bool riscv_hyp_owns_csr(unsigned csr)
{
    return (csr >> 8 & 3) == 2 || csr == 0x34a || csr == 0x34b;
}
/* Whether one of them is there, and may be accessed now; V is 0. */
bool riscv_hyp_may_access(const struct riscv_cpu *c, unsigned csr);
/* The number of the CSR that a virtual machine accesses by the supervisor's number. */
unsigned riscv_hyp_csr_of(unsigned csr);
/* Read and write one of them; the right to was looked at. false: there is none. */
MUST_CHECK bool riscv_hyp_csr_read(struct riscv_cpu *c, unsigned csr, uint64_t *ret_value);
MUST_CHECK bool riscv_hyp_csr_write(struct riscv_cpu *c, unsigned csr, uint64_t value);
/* henvcfg, with what menvcfg has switched off. */
uint64_t riscv_hyp_envcfg(const struct riscv_cpu *c);

/* ---- exceptions ---- */

/* Raises virtual-instruction where V is 1 and the instruction would be valid in HS-mode (qualified), else illegal-instruction. */
_Noreturn void riscv_hyp_refuse(struct riscv_cpu *c, const struct riscv_insn *i, bool qualified);
/* The same for a CSR. */
_Noreturn void riscv_hyp_refuse_csr(struct riscv_cpu *c, const struct riscv_insn *i, unsigned csr, bool write);
/* A trap is taken into VS-mode. */
void riscv_hyp_enter(struct riscv_cpu *c, uint64_t cause, uint64_t tval);
/* A trap is about to be taken from this mode into HS-mode (machine: M-mode): V becomes 0, and what the extension notes of it is
 * written. */
void riscv_hyp_leave(struct riscv_cpu *c, uint64_t cause, bool machine);
/* SRET in VS-mode. */
void riscv_hyp_return(struct riscv_cpu *c);
/* vstimecmp, htimedelta, henvcfg or time changed: VSTIP and its timer follow. The machine's lock is held. */
void riscv_hyp_timer_update(struct riscv_cpu *c);

/* ---- memory ---- */

/* As riscv_walk(), by both stages: for V = 1, and the banks behind RISCV_BANK_LAST. Spec: "Two-Stage Address Translation" */
enum riscv_fault riscv_hyp_walk(struct riscv_cpu *c, gva_t va, enum riscv_access access, enum riscv_bank bank,
                                struct riscv_walk *ret_walk);
/* HFENCE.VVMA, with V = 0: as riscv_tlb_fence(), of the virtual machine's translations. */
void riscv_hyp_fence(struct riscv_cpu *c, const gva_t *va, const uint16_t *asid);
/* V may have changed: its TLB becomes the present one. */
void riscv_hyp_choose_tlb(struct riscv_cpu *c);
/* Calls one of the functions that forget translations for the other TLB, if there is one. */
void riscv_hyp_other_tlb(struct riscv_cpu *c, void (*forget)(struct riscv_cpu *c));

#endif
