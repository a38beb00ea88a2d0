/* SPDX-License-Identifier: MIT */
/*
 * Control registers, model-specific registers and CPUID.
 */
#ifndef DOPPEL_ISA_X86_SYSREG_H
#define DOPPEL_ISA_X86_SYSREG_H

#include "isa/x86/state.h"

/* Writes with all checks of the mode (#GP(0) on reserved bits or illegal combinations) and all consequences (TLB, mode,
 * long-mode activation). Spec: SDM 2B MOV CR, 3A 2.5 */
void x86_cr0_write(struct x86_cpu *c, uint64_t v);
void x86_cr3_write(struct x86_cpu *c, uint64_t v); /* bit 63: keep the PCID's translations */
void x86_cr4_write(struct x86_cpu *c, uint64_t v);
uint64_t x86_cr8_read(struct x86_cpu *c);
void x86_cr8_write(struct x86_cpu *c, uint64_t v);
void x86_xcr0_write(struct x86_cpu *c, uint64_t v);
uint64_t x86_dr_read(struct x86_cpu *c, unsigned n); /* #UD, #DB as DR7.GD and CR4.DE say */
void x86_dr_write(struct x86_cpu *c, unsigned n, uint64_t v);

/* RDMSR, WRMSR; #GP(0) for what this CPU does not have or accept. */
uint64_t x86_msr_read(struct x86_cpu *c, uint32_t msr);
void x86_msr_write(struct x86_cpu *c, uint32_t msr, uint64_t v);

/* Guest time stamp counter as RDTSC gives it (TSC_ADJUST applied). */
uint64_t x86_tsc(const struct x86_cpu *c);

/* CPUID of leaf/subleaf as this CPU answers it now (OSXSAVE, APIC id and enabled XSAVE size included). */
void x86_cpuid(const struct x86_cpu *c, uint32_t leaf, uint32_t sub, uint32_t ret_regs[4]); /* eax ebx ecx edx */

/* What the rules above allow, without raising: for loading a saved state. `x86_cr4_bits` are the bits this model has. */
bool x86_cr0_legal(uint64_t v);
uint64_t x86_cr4_bits(const struct x86_cpu *c);
bool x86_xcr0_legal(const struct x86_cpu *c, uint64_t v);
bool x86_pat_legal(uint64_t v);
bool x86_mtrr_type_legal(uint8_t type);

/* Canonical: bits 63:47 are equal. */
static inline bool x86_canonical(uint64_t v)
{
    return (uint64_t)((int64_t)(v << 16) >> 16) == v;
}

/* Sets TSC_ADJUST; an armed TSC deadline and the paravirtual clock move with it. */
void x86_tsc_adjust_set(struct x86_cpu *c, uint64_t v);

/* CPUID.1:EAX and what reset leaves in EDX: family 6, model 8fh, stepping 8. */
enum { X86_SIGNATURE = 0x000806f8 };
/* What one tick of the local APIC's timer takes is a nanosecond: its clock (CPUID.15H:ECX) runs at 1 GHz. */
enum { X86_APIC_HZ = 1000000000 };

/* Size in bytes of the XSAVE area for the components in `mask`, standard or compacted format. */
unsigned x86_xsave_size(uint64_t mask, bool compacted);

#endif
