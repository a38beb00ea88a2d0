/* SPDX-License-Identifier: MIT */
/*
 * What the step functions share.
 *
 * A step function is the definition of one instruction, named rv_<mnemonic with '_' for '.'>. On entry c->pc is the instruction's
 * address and c->next_pc the next one's; it does every access that can fault before it changes state.
 */
#ifndef DOPPEL_ISA_RISCV_STEP_H
#define DOPPEL_ISA_RISCV_STEP_H

#include "isa/riscv/insn_steps.h"
#include "isa/riscv/mmu.h"
#include "isa/riscv/trap.h"

/* Writes rd; x0 stays 0. */
static inline void set_rd(struct riscv_cpu *c, const struct riscv_insn *i, uint64_t v)
{
    c->x[i->rd] = v;
    c->x[0] = 0;
}

static inline uint64_t sext32(uint64_t v)
{
    return (uint64_t)(int32_t)v;
}

/* Address of a load or store. */
static inline gva_t address(const struct riscv_cpu *c, const struct riscv_insn *i)
{
    return c->x[i->rs1] + (uint64_t)(int64_t)i->imm;
}

#endif
