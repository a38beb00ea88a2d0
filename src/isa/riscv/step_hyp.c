/* SPDX-License-Identifier: MIT */
/*
 * Step functions of the hypervisor extension: accesses to a virtual machine's memory, and fences of its translations.
 *
 * Spec: volume II, chapter "H": "Hypervisor Instructions"
 */
#include "isa/riscv/hyp.h"
#include "isa/riscv/profile.h"
#include "isa/riscv/step.h"

/* ---- HLV, HLVX, HSV ---- */

static void may_access_guest(struct riscv_cpu *c, const struct riscv_insn *i)
{
    if (c->hyp.virt || (c->priv == RISCV_U && !(c->hyp.hstatus & HSTATUS_HU)))
        riscv_hyp_refuse(c, i, true);
}

/* While it lasts, data is accessed as the guest; a trap puts the bank back, too (riscv_mode_update). */
static uint64_t guest_load(struct riscv_cpu *c, const struct riscv_insn *i, unsigned size, enum riscv_bank bank)
{
    uint8_t was = c->bank;
    may_access_guest(c, i);
    c->bank = bank;
    uint64_t v = riscv_load(c, c->x[i->rs1], size);
    c->bank = was;
    return v;
}

static void guest_store(struct riscv_cpu *c, const struct riscv_insn *i, unsigned size)
{
    uint8_t was = c->bank;
    may_access_guest(c, i);
    c->bank = RISCV_BANK_HLV;
    riscv_store(c, c->x[i->rs1], c->x[i->rs2], size);
    c->bank = was;
}

#define LOAD(name, type, bank)                                                                                                   \
    void rv_##name(struct riscv_cpu *c, const struct riscv_insn *i)                                                              \
    {                                                                                                                            \
        set_rd(c, i, (uint64_t)(int64_t)(type)guest_load(c, i, sizeof(type), bank));                                             \
    }
LOAD(hlv_b, int8_t, RISCV_BANK_HLV)
LOAD(hlv_bu, uint8_t, RISCV_BANK_HLV)
LOAD(hlv_h, int16_t, RISCV_BANK_HLV)
LOAD(hlv_hu, uint16_t, RISCV_BANK_HLV)
LOAD(hlvx_hu, uint16_t, RISCV_BANK_HLVX)
LOAD(hlv_w, int32_t, RISCV_BANK_HLV)
LOAD(hlv_wu, uint32_t, RISCV_BANK_HLV)
LOAD(hlvx_wu, uint32_t, RISCV_BANK_HLVX)
LOAD(hlv_d, uint64_t, RISCV_BANK_HLV)

void rv_hsv_b(struct riscv_cpu *c, const struct riscv_insn *i)
{
    guest_store(c, i, 1);
}

void rv_hsv_h(struct riscv_cpu *c, const struct riscv_insn *i)
{
    guest_store(c, i, 2);
}

void rv_hsv_w(struct riscv_cpu *c, const struct riscv_insn *i)
{
    guest_store(c, i, 4);
}

void rv_hsv_d(struct riscv_cpu *c, const struct riscv_insn *i)
{
    guest_store(c, i, 8);
}

/* ---- fences ---- */

void rv_hfence_vvma(struct riscv_cpu *c, const struct riscv_insn *i)
{
    if (c->priv == RISCV_U || c->hyp.virt)
        riscv_hyp_refuse(c, i, true);
    gva_t va = c->x[i->rs1];
    uint16_t asid = (uint16_t)c->x[i->rs2];
    riscv_hyp_fence(c, i->rs1 ? &va : NULL, i->rs2 ? &asid : NULL);
}

/* Which virtual pages lie at a guest's physical one is not known: all are forgotten. */
void rv_hfence_gvma(struct riscv_cpu *c, const struct riscv_insn *i)
{
    if (c->priv == RISCV_U || c->hyp.virt || (c->priv == RISCV_S && (c->mstatus & MSTATUS_TVM)))
        riscv_hyp_refuse(c, i, true);
    riscv_hyp_other_tlb(c, riscv_tlb_flush_all);
    c->leave = true;
}

/* With Svinval: these do all, as SINVAL.VMA does. */
void rv_hinval_vvma(struct riscv_cpu *c, const struct riscv_insn *i)
{
    if (!c->profile->has[RISCV_EXT_SVINVAL])
        riscv_raise_illegal(c, i);
    rv_hfence_vvma(c, i);
}

void rv_hinval_gvma(struct riscv_cpu *c, const struct riscv_insn *i)
{
    if (!c->profile->has[RISCV_EXT_SVINVAL])
        riscv_raise_illegal(c, i);
    rv_hfence_gvma(c, i);
}
