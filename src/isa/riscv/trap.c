/* SPDX-License-Identifier: MIT */
/*
 * Trap entry and return. See trap.h.
 */
#include "isa/riscv/trap.h"

#include "base/checked.h"
#include "core/gmem.h"
#include "isa/riscv/hyp.h"

void riscv_raise(struct riscv_cpu *c, uint64_t cause, uint64_t tval)
{
    c->trap = (struct riscv_trap){ .cause = cause, .tval = tval };
    longjmp(*c->trap_env, 1);
}

void riscv_raise_illegal(struct riscv_cpu *c, const struct riscv_insn *i)
{
    riscv_raise(c, RISCV_ILLEGAL, i->bits);
}

static uint64_t vector(uint64_t tvec, uint64_t cause)
{
    uint64_t base = tvec & ~3ULL;
    return (tvec & 1) && (cause & RISCV_CAUSE_IRQ) ? base + 4 * (cause & ~RISCV_CAUSE_IRQ) : base;
}

/* Moves the enable bit to the previous one and clears it. */
static uint64_t stack_enable(uint64_t status, uint64_t enable, uint64_t previous)
{
    status = status & enable ? status | previous : status & ~previous;
    return status & ~enable;
}

static void enter_s(struct riscv_cpu *c, uint64_t cause, uint64_t tval)
{
    if (riscv_hyp_is_on(c))
        riscv_hyp_leave(c, cause, false);
    uint64_t s = stack_enable(c->mstatus, MSTATUS_SIE, MSTATUS_SPIE) & ~MSTATUS_SPP;
    c->mstatus = s | (c->priv == RISCV_S ? MSTATUS_SPP : 0);
    c->sepc = c->pc;
    c->scause = cause;
    c->stval = tval;
    c->pc = vector(c->stvec, cause);
    c->priv = RISCV_S;
}

static void enter_m(struct riscv_cpu *c, uint64_t cause, uint64_t tval)
{
    if (riscv_hyp_is_on(c))
        riscv_hyp_leave(c, cause, true);
    uint64_t s = stack_enable(c->mstatus, MSTATUS_MIE, MSTATUS_MPIE) & ~MSTATUS_MPP;
    c->mstatus = s | (uint64_t)c->priv << MSTATUS_MPP_SHIFT;
    c->mepc = c->pc;
    c->mcause = cause;
    c->mtval = tval;
    c->pc = vector(c->mtvec, cause);
    c->priv = RISCV_M;
}

void riscv_enter_trap(struct riscv_cpu *c, uint64_t cause, uint64_t tval)
{
    uint64_t deleg = cause & RISCV_CAUSE_IRQ ? c->mideleg : c->medeleg;
    uint64_t further = cause & RISCV_CAUSE_IRQ ? c->hyp.hideleg : c->hyp.hedeleg;
    if (c->hyp.virt && (deleg & further) >> (cause & 63) & 1)
        riscv_hyp_enter(c, cause, tval);
    else if (c->priv != RISCV_M && (deleg >> (cause & 63) & 1))
        enter_s(c, cause, tval);
    else
        enter_m(c, cause, tval);
    c->next_pc = c->pc;
    riscv_mode_update(c);
}

/* The shared page's say: the guest wants no interrupt now, and is told that there is one. */
static bool held_off(const struct riscv_cpu *c)
{
    struct riscv_shared *s = gmem_pin(c->gmem, c->shared_page & GPAGE_MASK, sizeof(*s));
    if (!s || s->irq_enabled)
        return false;
    if (!s->irq_pending) {
        s->irq_pending = 1;
        (void)gmem_note_write(c->gmem, s);
    }
    return true;
}

uint64_t riscv_pending_interrupt(const struct riscv_cpu *c)
{
    static const uint8_t order[] = { IRQ_MEI, IRQ_MSI, IRQ_MTI, IRQ_SEI, IRQ_SSI, IRQ_STI, IRQ_VSEI, IRQ_VSSI, IRQ_VSTI };
    uint64_t pending = c->mie ? riscv_mip(c) & c->mie : 0;
    if (!pending)
        return 0;
    bool m_on = c->priv < RISCV_M || (c->mstatus & MSTATUS_MIE);
    bool virt = c->hyp.virt;
    bool s_on = virt || c->priv < RISCV_S || (c->priv == RISCV_S && (c->mstatus & MSTATUS_SIE));
    uint64_t take = m_on ? pending & ~c->mideleg : 0;
    if (!take && s_on)
        take = pending & c->mideleg & ~c->hyp.hideleg;
    if (!take && virt && (c->priv == RISCV_U || (c->hyp.vsstatus & MSTATUS_SIE)))
        take = pending & c->hyp.hideleg;
    if (take && c->shared_page && c->priv == RISCV_S && !virt && !(take & ~c->mideleg) && held_off(c))
        return 0;
    for (unsigned k = 0; k < ARRAY_SIZE(order); k++)
        if (take >> order[k] & 1)
            return RISCV_CAUSE_IRQ | order[k];
    return 0;
}

void riscv_return(struct riscv_cpu *c, enum riscv_priv from)
{
    if (c->hyp.virt) {
        riscv_hyp_return(c);
        return;
    }
    bool m = from == RISCV_M;
    uint64_t s = c->mstatus, enable = m ? MSTATUS_MIE : MSTATUS_SIE, previous = m ? MSTATUS_MPIE : MSTATUS_SPIE;
    uint8_t to = m ? (uint8_t)((s & MSTATUS_MPP) >> MSTATUS_MPP_SHIFT) : s & MSTATUS_SPP ? RISCV_S : RISCV_U;
    s = s & previous ? s | enable : s & ~enable;
    s = (s | previous) & ~(m ? MSTATUS_MPP | MSTATUS_MPV : MSTATUS_SPP);
    c->hyp.virt = m ? to != RISCV_M && (c->mstatus & MSTATUS_MPV) : c->hyp.hstatus & HSTATUS_SPV;
    if (!m)
        c->hyp.hstatus &= ~HSTATUS_SPV;
    if (to != RISCV_M)
        s &= ~MSTATUS_MPRV;
    c->mstatus = s;
    c->priv = to;
    c->next_pc = m ? c->mepc : c->sepc;
    riscv_mode_update(c);
}
