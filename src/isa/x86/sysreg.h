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

/* Size in bytes of the XSAVE area for the components in `mask`, standard or compacted format. */
unsigned x86_xsave_size(uint64_t mask, bool compacted);

#endif
