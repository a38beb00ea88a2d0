/* SPDX-License-Identifier: MIT */
/*
 * Step functions of what is not computation: CSRs, environment calls, returns, fences, waiting, cache blocks.
 *
 * Spec: volume I chapters 2.7, 2.8, 6 (Zicsr), 5 (Zifencei), 15 (Zawrs); volume II 3.3, 12.2.1; CMO 1.0
 */
#include "isa/riscv/csr.h"
#include "isa/riscv/hyp.h"
#include "isa/riscv/profile.h"
#include "isa/riscv/step.h"

enum { CBO_BLOCK = RISCV_CBO_BLOCK };

void rv_illegal(struct riscv_cpu *c, const struct riscv_insn *i)
{
    riscv_raise_illegal(c, i);
}

/* ---- CSRs ---- */

/* CSRRW with rd = x0 does not read; a read of any of ours has no side effect but to refuse. */
static void csr_replace(struct riscv_cpu *c, const struct riscv_insn *i, uint64_t v)
{
    uint64_t old = 0;
    if ((i->rd && !riscv_csr_read(c, (unsigned)i->imm, &old)) || !riscv_csr_write(c, (unsigned)i->imm, v))
        riscv_hyp_refuse_csr(c, i, (unsigned)i->imm, true);
    set_rd(c, i, old);
}

/* Sets and clears bits; with `rs1` 0 (the register's number, or the immediate) there is no write. The interrupt wires are no part
 * of what is written back to mip and sip: a set or clear works on the bits software wrote. */
static void csr_modify(struct riscv_cpu *c, const struct riscv_insn *i, uint64_t set, uint64_t clear)
{
    uint64_t old, base;
    unsigned csr = (unsigned)i->imm;
    if (!riscv_csr_read(c, csr, &old))
        riscv_hyp_refuse_csr(c, i, csr, i->rs1);
    base = riscv_csr_is_ip(c, csr) ? atomic_load_explicit(&c->soft, memory_order_relaxed) : old;
    if (i->rs1 && !riscv_csr_write(c, csr, (base | set) & ~clear))
        riscv_hyp_refuse_csr(c, i, csr, true);
    set_rd(c, i, old);
}

void rv_csrrw(struct riscv_cpu *c, const struct riscv_insn *i)
{
    csr_replace(c, i, c->x[i->rs1]);
}

void rv_csrrs(struct riscv_cpu *c, const struct riscv_insn *i)
{
    csr_modify(c, i, c->x[i->rs1], 0);
}

void rv_csrrc(struct riscv_cpu *c, const struct riscv_insn *i)
{
    csr_modify(c, i, 0, c->x[i->rs1]);
}

void rv_csrrwi(struct riscv_cpu *c, const struct riscv_insn *i)
{
    csr_replace(c, i, i->rs1);
}

void rv_csrrsi(struct riscv_cpu *c, const struct riscv_insn *i)
{
    csr_modify(c, i, i->rs1, 0);
}

void rv_csrrci(struct riscv_cpu *c, const struct riscv_insn *i)
{
    csr_modify(c, i, 0, i->rs1);
}

/* ---- calls and returns ---- */

void rv_ecall(struct riscv_cpu *c, const struct riscv_insn *i)
{
    static const uint8_t cause[] = { [RISCV_U] = RISCV_ECALL_U, [RISCV_S] = RISCV_ECALL_S, [RISCV_M] = RISCV_ECALL_M };
    (void)i;
    if (c->hyp.virt && c->priv == RISCV_S)
        riscv_raise(c, RISCV_ECALL_VS, 0);
    if (c->priv != RISCV_S || !c->sbi.call)
        riscv_raise(c, cause[c->priv], 0);
    c->sbi.call(c->sbi.opaque, c);
    c->leave = true;
}

void rv_ebreak(struct riscv_cpu *c, const struct riscv_insn *i)
{
    (void)i;
    riscv_raise(c, RISCV_BREAKPOINT, c->pc);
}

void rv_mret(struct riscv_cpu *c, const struct riscv_insn *i)
{
    if (c->priv != RISCV_M)
        riscv_raise_illegal(c, i);
    riscv_return(c, RISCV_M);
}

void rv_sret(struct riscv_cpu *c, const struct riscv_insn *i)
{
    if (c->priv < RISCV_S || (c->hyp.virt ? c->hyp.hstatus & HSTATUS_VTSR : c->priv == RISCV_S && (c->mstatus & MSTATUS_TSR)))
        riscv_hyp_refuse(c, i, true);
    riscv_return(c, RISCV_S);
}

/* ---- waiting ---- */

void rv_wfi(struct riscv_cpu *c, const struct riscv_insn *i)
{
    bool never = c->priv < RISCV_M && (c->mstatus & MSTATUS_TW);
    if (never || c->priv == RISCV_U || (c->hyp.virt && (c->hyp.hstatus & HSTATUS_VTW)))
        riscv_hyp_refuse(c, i, !never);
    if (!(riscv_mip(c) & c->mie))
        c->activity = RISCV_WAITING;
    c->leave = true;
}

/* May always end at once; the run loop looks around, and other harts get a chance. */
void rv_wrs(struct riscv_cpu *c, const struct riscv_insn *i)
{
    (void)i;
    c->leave = true;
}

/* ---- fences ---- */

void rv_fence(struct riscv_cpu *c, const struct riscv_insn *i)
{
    (void)c;
    (void)i;
    atomic_thread_fence(memory_order_seq_cst);
}

void rv_fence_i(struct riscv_cpu *c, const struct riscv_insn *i)
{
    (void)i;
    c->fenced = true;
    c->leave = true; /* the run loop compares the page's generation when it enters it again */
}

void rv_sfence_vma(struct riscv_cpu *c, const struct riscv_insn *i)
{
    if (c->priv == RISCV_U || (c->hyp.virt ? c->hyp.hstatus & HSTATUS_VTVM : c->priv == RISCV_S && (c->mstatus & MSTATUS_TVM)))
        riscv_hyp_refuse(c, i, true);
    gva_t va = c->x[i->rs1];
    uint16_t asid = (uint16_t)c->x[i->rs2];
    riscv_tlb_fence(c, i->rs1 ? &va : NULL, i->rs2 ? &asid : NULL);
}

/* SINVAL.VMA has done all: these order it, and it was done in order. */
void rv_sfence_inval(struct riscv_cpu *c, const struct riscv_insn *i)
{
    if (c->priv == RISCV_U)
        riscv_hyp_refuse(c, i, true);
}

/* ---- cache blocks. There is no cache to be seen, but rights are. Spec: CMO 1.0, 2.5 and 3.1 ---- */

/* Raises unless menvcfg, senvcfg and henvcfg open what `bits` names to the mode. */
static void envcfg_opens(struct riscv_cpu *c, const struct riscv_insn *i, uint64_t bits)
{
    bool machine = c->priv == RISCV_M || (c->menvcfg & bits);
    if (!machine || (c->priv == RISCV_U && !(c->senvcfg & bits)) || (c->hyp.virt && !(c->hyp.henvcfg & bits)))
        riscv_hyp_refuse(c, i, machine);
}

static void manage_block(struct riscv_cpu *c, const struct riscv_insn *i, uint64_t right)
{
    envcfg_opens(c, i, right);
    riscv_probe_cbo(c, c->x[i->rs1]);
}

void rv_cbo_inval(struct riscv_cpu *c, const struct riscv_insn *i)
{
    manage_block(c, i, ENVCFG_CBIE);
}

void rv_cbo_clean(struct riscv_cpu *c, const struct riscv_insn *i)
{
    manage_block(c, i, ENVCFG_CBCFE);
}

void rv_cbo_flush(struct riscv_cpu *c, const struct riscv_insn *i)
{
    manage_block(c, i, ENVCFG_CBCFE);
}

void rv_cbo_zero(struct riscv_cpu *c, const struct riscv_insn *i)
{
    envcfg_opens(c, i, ENVCFG_CBZE);
    gva_t va = c->x[i->rs1];
    riscv_probe(c, va, CBO_BLOCK, RISCV_WRITE);
    for (unsigned k = 0; k < CBO_BLOCK; k += 8)
        riscv_store(c, (va & ~(gva_t)(CBO_BLOCK - 1)) + k, 0, 8);
}

void rv_prefetch(struct riscv_cpu *c, const struct riscv_insn *i)
{
    (void)c; /* a hint: there is nothing to fetch into */
    (void)i;
}
