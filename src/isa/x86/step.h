/* SPDX-License-Identifier: MIT */
/*
 * What the step functions share: operand access, flags, effective addresses.
 *
 * A step function is the definition of one instruction. On entry c->rip is the instruction's address and c->next_rip the
 * next one's; it must do every access that can fault before it changes state. Named step_<mnemonic in lower case>.
 */
#ifndef DOPPEL_ISA_X86_STEP_H
#define DOPPEL_ISA_X86_STEP_H

#include "isa/x86/decode.h"
#include "isa/x86/mmu.h"
#include "isa/x86/state.h"
#include "isa/x86/trap.h"

/* Mask of the low `size` bytes (1, 2, 4, 8). */
static inline uint64_t size_mask(unsigned size)
{
    return ~0ULL >> (64 - 8 * size);
}

static inline int64_t sign_extend(uint64_t v, unsigned size)
{
    unsigned sh = 64 - 8 * size;
    return (int64_t)(v << sh) >> sh;
}

/* Reads `size` low bytes of a general register, zero-extended. */
static inline uint64_t gpr_read(const struct x86_cpu *c, unsigned reg, unsigned size)
{
    return c->gpr[reg] & size_mask(size);
}

/* Writes a general register the x86-64 way: 32-bit results clear the upper half, 8- and 16-bit ones keep the rest. */
static inline void gpr_write(struct x86_cpu *c, unsigned reg, uint64_t v, unsigned size)
{
    if (size == 8)
        c->gpr[reg] = v;
    else if (size == 4)
        c->gpr[reg] = (uint32_t)v;
    else
        c->gpr[reg] = (c->gpr[reg] & ~size_mask(size)) | (v & size_mask(size));
}

/* Offset of the memory operand inside its segment, cut to the address size (not for VSIB). */
static inline uint64_t insn_ea(const struct x86_cpu *c, const struct x86_insn *i)
{
    uint64_t ea = (uint64_t)i->disp;
    if (i->base < 16)
        ea += c->gpr[i->base];
    else if (i->base == X86_RIP_REG)
        ea += c->rip + i->len;
    if (i->index < 16)
        ea += c->gpr[i->index] * i->scale;
    return i->addrsize == 8 ? ea : ea & size_mask(i->addrsize);
}

/* Value of operand n (general register, memory, immediate), zero-extended from its size; immediates cut to opsize. */
uint64_t opnd_read(struct x86_cpu *c, const struct x86_insn *i, unsigned n);
/* Writes operand n (general register or memory). May fault: do it before other changes, or after x86_lin_probe_write. */
void opnd_write(struct x86_cpu *c, const struct x86_insn *i, unsigned n, uint64_t v);
/* Linear address of the memory operand for an access of `size` bytes. */
gva_t insn_lin(struct x86_cpu *c, const struct x86_insn *i, unsigned size, enum x86_access access);

/* The stack, with the stack segment's width. x86_push writes below rsp and moves rsp; x86_pop returns the value, moves rsp. A
 * sequence that may fault halfway saves rsp first and restores it (or uses x86_stack_* with explicit offsets). */
void x86_push(struct x86_cpu *c, uint64_t v, unsigned size);
uint64_t x86_pop(struct x86_cpu *c, unsigned size);

/* Raises #NM, #UD, #MF as the row's ROW_X87/MMX/SSE/AVX/AVX512 flags and CR0, CR4, XCR0 demand. Called before the step
 * function of such rows by whoever steps. */
void x86_check_fpu(struct x86_cpu *c, const struct x86_insn *i);

/* Runs one ROW_HOST instruction on the host CPU with the guest's registers; memory operands bounced. (hostexec.c) */
void step_host(struct x86_cpu *c, const struct x86_insn *i);
/* The row is known to the decoder but not offered by any CPU model, or reserved: #UD. */
void step_ud(struct x86_cpu *c, const struct x86_insn *i);

#endif
