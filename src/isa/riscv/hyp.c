/* SPDX-License-Identifier: MIT */
/*
 * Modes and traps of the hypervisor extension, its timer, its TLB and its declared state. See hyp.h.
 */
#include "isa/riscv/hyp.h"

#include <errno.h>
#include <inttypes.h>

#include "core/vcpu.h"
#include "core/vm.h"
#include "isa/riscv/csr.h"
#include "isa/riscv/trap.h"

enum { NS_A_TICK = 1000000000 / RISCV_TIMEBASE };

void riscv_hyp_reset(struct riscv_cpu *c)
{
    c->hyp = (struct riscv_hyp){ .vstimecmp = UINT64_MAX };
    if (riscv_hyp_is_on(c)) {
        c->hyp.hstatus = HSTATUS_VSXL64;
        c->hyp.vsstatus = 2ULL << 32; /* UXL */
        c->mideleg |= MIP_VS;
    }
}

/* ---- instructions that a virtual machine may not execute ---- */

void riscv_hyp_refuse(struct riscv_cpu *c, const struct riscv_insn *i, bool qualified)
{
    riscv_raise(c, c->hyp.virt && qualified ? RISCV_VIRTUAL : RISCV_ILLEGAL, i->bits);
}

/* Whether HS-mode could access it, were mstatus.TVM 0. What floating point and vectors refuse by mstatus.FS and VS never is. */
static bool csr_qualified(struct riscv_cpu *c, unsigned csr, bool write)
{
    uint8_t priv = c->priv;
    uint64_t v, status = c->mstatus;
    if ((write && csr >> 10 == 3) || riscv_csr_is_unit(csr))
        return false;
    c->priv = RISCV_S;
    c->hyp.virt = false;
    c->mstatus &= ~MSTATUS_TVM;
    bool there = riscv_csr_read(c, csr, &v);
    c->hyp.virt = true;
    c->priv = priv;
    c->mstatus = status;
    return there;
}

void riscv_hyp_refuse_csr(struct riscv_cpu *c, const struct riscv_insn *i, unsigned csr, bool write)
{
    riscv_hyp_refuse(c, i, c->hyp.virt && csr_qualified(c, csr, write));
}

/* ---- traps ---- */

static bool is_guest_page_fault(uint64_t cause)
{
    return cause == RISCV_FETCH_GUEST_PAGE_FAULT || cause == RISCV_LOAD_GUEST_PAGE_FAULT || cause == RISCV_STORE_GUEST_PAGE_FAULT;
}

/* Whether the trap's tval is an address of a virtual machine's. By HLV, HSV and MPRV (see riscv_cpu.bank) M- and HS-mode access
 * those, too. */
static bool is_guest_address(const struct riscv_cpu *c, uint64_t cause)
{
    const uint64_t addresses = 1U << RISCV_FETCH_MISALIGNED | 1U << RISCV_FETCH_ACCESS_FAULT | 1U << RISCV_BREAKPOINT
                               | 1U << RISCV_FETCH_PAGE_FAULT | 1U << RISCV_FETCH_GUEST_PAGE_FAULT;
    const uint64_t data = 1U << RISCV_LOAD_MISALIGNED | 1U << RISCV_LOAD_ACCESS_FAULT | 1U << RISCV_STORE_MISALIGNED
                          | 1U << RISCV_STORE_ACCESS_FAULT | 1U << RISCV_LOAD_PAGE_FAULT | 1U << RISCV_STORE_PAGE_FAULT
                          | 1U << RISCV_LOAD_GUEST_PAGE_FAULT | 1U << RISCV_STORE_GUEST_PAGE_FAULT;
    if (cause > RISCV_STORE_GUEST_PAGE_FAULT)
        return false; /* an interrupt */
    return (data >> cause & 1) ? c->hyp.virt || c->bank > RISCV_BANK_LAST : c->hyp.virt && (addresses >> cause & 1);
}

void riscv_hyp_leave(struct riscv_cpu *c, uint64_t cause, bool machine)
{
    struct riscv_hyp *h = &c->hyp;
    bool guest_page = is_guest_page_fault(cause), gva = is_guest_address(c, cause);
    uint64_t gpa = guest_page ? c->guest_gpa >> 2 : 0, tinst = guest_page ? c->guest_tinst : 0;
    if (machine) {
        c->mstatus = (c->mstatus & ~(MSTATUS_MPV | MSTATUS_GVA)) | (h->virt ? MSTATUS_MPV : 0) | (gva ? MSTATUS_GVA : 0);
        h->mtval2 = gpa;
        h->mtinst = tinst;
    } else {
        uint64_t s = h->hstatus & ~(HSTATUS_SPV | HSTATUS_GVA);
        if (h->virt)
            s = (s & ~HSTATUS_SPVP) | HSTATUS_SPV | (c->priv == RISCV_S ? HSTATUS_SPVP : 0);
        h->hstatus = s | (gva ? HSTATUS_GVA : 0);
        h->htval = gpa;
        h->htinst = tinst;
    }
    h->virt = false;
}

void riscv_hyp_enter(struct riscv_cpu *c, uint64_t cause, uint64_t tval)
{
    struct riscv_hyp *h = &c->hyp;
    bool irq = cause & RISCV_CAUSE_IRQ;
    uint64_t s = h->vsstatus & ~(MSTATUS_SPP | MSTATUS_SPIE | MSTATUS_SIE);
    s |= (h->vsstatus & MSTATUS_SIE ? MSTATUS_SPIE : 0) | (c->priv == RISCV_S ? MSTATUS_SPP : 0);
    if (irq)
        cause--; /* what hvip calls VSSIP is SSIP here */
    h->vsstatus = s;
    h->vsepc = c->pc;
    h->vscause = cause;
    h->vstval = tval;
    c->pc = (h->vstvec & ~3ULL) + ((h->vstvec & 1) && irq ? 4 * (cause & ~RISCV_CAUSE_IRQ) : 0);
    c->priv = RISCV_S;
}

void riscv_hyp_return(struct riscv_cpu *c)
{
    struct riscv_hyp *h = &c->hyp;
    uint64_t s = h->vsstatus & ~(MSTATUS_SPP | MSTATUS_SIE);
    c->priv = h->vsstatus & MSTATUS_SPP ? RISCV_S : RISCV_U;
    h->vsstatus = s | (s & MSTATUS_SPIE ? MSTATUS_SIE : 0) | MSTATUS_SPIE;
    c->next_pc = h->vsepc;
    riscv_mode_update(c);
}

/* ---- the timer. Spec: "Virtual Supervisor Timer Register" ---- */

static void vstimer_fired(void *opaque, ns_t now)
{
    (void)now;
    riscv_set_wire(opaque, IRQ_VSTI, true);
}

void riscv_hyp_timer_update(struct riscv_cpu *c)
{
    struct vm *vm = c->vcpu->vm;
    bool on = riscv_hyp_envcfg(c) & ENVCFG_STCE;
    uint64_t now = riscv_time(c), virtual_now = now + c->hyp.htimedelta, left = c->hyp.vstimecmp - virtual_now;
    bool due = on && virtual_now >= c->hyp.vstimecmp;
    if (!c->vstimer.fn)
        vm_timer_init(&c->vstimer, &vm->clock, vstimer_fired, c);
    riscv_set_wire(c, IRQ_VSTI, due);
    if (on && !due && left <= VM_TIME_NEVER / NS_A_TICK - 1 - now)
        vm_timer_arm(&c->vstimer, (ns_t)((now + left) * NS_A_TICK));
    else
        vm_timer_disarm(&c->vstimer);
}

/* ---- the TLBs ---- */

void riscv_hyp_choose_tlb(struct riscv_cpu *c)
{
    struct riscv_tlb *was = c->tlb;
    if (!c->other_tlb || was->guest == c->hyp.virt)
        return;
    c->tlb = c->other_tlb;
    c->other_tlb = was;
    riscv_tlb_follow(c);
}

void riscv_hyp_other_tlb(struct riscv_cpu *c, void (*forget)(struct riscv_cpu *c))
{
    struct riscv_tlb *was = c->tlb, *other = c->other_tlb;
    if (!other)
        return;
    c->tlb = other;
    c->other_tlb = NULL; /* that is all there is */
    forget(c);
    c->tlb = was;
    c->other_tlb = other;
}

void riscv_hyp_fence(struct riscv_cpu *c, const gva_t *va, const uint16_t *asid)
{
    struct riscv_tlb *was = c->tlb;
    c->tlb = c->other_tlb;
    riscv_tlb_fence(c, va, asid);
    c->tlb = was;
}

/* ---- loading ---- */

int riscv_hyp_check(const struct riscv_cpu *c, struct error *err)
{
    const struct riscv_hyp *h = &c->hyp;
    bool used = h->virt || ((h->hstatus | h->vsstatus) & ~(HSTATUS_VSXL64 | MSTATUS_UXL)) || h->hgatp || h->vsatp || h->hideleg
                || (c->mstatus & (MSTATUS_MPV | MSTATUS_GVA)) || ((c->mie | c->mideleg) & MIP_VS);
    if (!riscv_hyp_is_on(c))
        return used ? error_set(err, -EINVAL, "a state of the hypervisor extension, which this CPU model lacks") : 0;
    if ((h->virt && c->priv == RISCV_M) || (c->mideleg & MIP_VS) != MIP_VS)
        return error_set(err, -EINVAL, "M-mode in a virtual machine, or mideleg %#" PRIx64 ": no such state", c->mideleg);
    if (!riscv_has_satp_mode(c, h->vsatp >> 60) || !riscv_has_satp_mode(c, h->hgatp >> 60) || (h->hgatp & 3))
        return error_set(err, -EINVAL, "vsatp %#" PRIx64 ", hgatp %#" PRIx64 " cannot be", h->vsatp, h->hgatp);
    if ((h->vsepc & 1) || (h->hideleg & ~(uint64_t)MIP_VS) || (h->henvcfg & ~riscv_menvcfg_bits(c)))
        return error_set(err, -EINVAL, "vsepc %#" PRIx64 ", hideleg %#" PRIx64 ", henvcfg %#" PRIx64 " cannot be", h->vsepc,
                         h->hideleg, h->henvcfg);
    return 0;
}

static const struct state_field hyp_fields[] = {
    STATE_BOOL(struct riscv_hyp, virt),      STATE_U64(struct riscv_hyp, hstatus),    STATE_U64(struct riscv_hyp, hedeleg),
    STATE_U64(struct riscv_hyp, hideleg),    STATE_U64(struct riscv_hyp, hcounteren), STATE_U64(struct riscv_hyp, henvcfg),
    STATE_U64(struct riscv_hyp, htimedelta), STATE_U64(struct riscv_hyp, htval),      STATE_U64(struct riscv_hyp, htinst),
    STATE_U64(struct riscv_hyp, hgatp),      STATE_U64(struct riscv_hyp, mtval2),     STATE_U64(struct riscv_hyp, mtinst),
    STATE_U64(struct riscv_hyp, vsstatus),   STATE_U64(struct riscv_hyp, vstvec),     STATE_U64(struct riscv_hyp, vsscratch),
    STATE_U64(struct riscv_hyp, vsepc),      STATE_U64(struct riscv_hyp, vscause),    STATE_U64(struct riscv_hyp, vstval),
    STATE_U64(struct riscv_hyp, vsatp),      STATE_U64(struct riscv_hyp, vstimecmp),  STATE_END,
};
const struct state_desc riscv_hyp_desc = { .name = "riscv-hyp", .version = 1, .fields = hyp_fields };
