/* SPDX-License-Identifier: MIT */
/*
 * Reset, derived values, interrupt words and the declared state of a RISC-V hart.
 *
 * A loaded state is hostile: post_load refuses what no sequence of instructions could have left behind and the rest of the ISA
 * relies on.
 * Spec: volume II 3.4 (reset), Sstc 1.0
 */
#include "isa/riscv/state.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "core/vcpu.h"
#include "core/vm.h"
#include "isa/riscv/csr.h"
#include "isa/riscv/hyp.h"
#include "isa/riscv/mmu.h"
#include "isa/riscv/profile.h"
#include "isa/riscv/trap.h"
#include "isa/riscv/vec.h"

enum { RESET_PC = 0x1000, NS_A_TICK = 1000000000 / RISCV_TIMEBASE, PMP_ALL = 0x1f /* NAPOT, read, write, execute */ };

void riscv_cpu_reset(struct riscv_cpu *c)
{
    memset(c->x, 0, sizeof(c->x));
    memset(c->f, 0, sizeof(c->f));
    c->pc = c->next_pc = RESET_PC;
    c->fflags = c->frm = 0;
    c->priv = RISCV_M;
    c->mstatus = MSTATUS_XL64;
    c->medeleg = c->mideleg = c->mie = 0;
    c->mtvec = c->mscratch = c->mepc = c->mcause = c->mtval = c->mcounteren = c->mcountinhibit = c->menvcfg = 0;
    c->stvec = c->sscratch = c->sepc = c->scause = c->stval = c->scounteren = c->senvcfg = c->satp = 0;
    c->stimecmp = UINT64_MAX;
    riscv_hyp_reset(c);
    memset(c->pmpcfg, 0, sizeof(c->pmpcfg));
    memset(c->pmpaddr, 0, sizeof(c->pmpaddr));
    c->cycle = c->instret = (struct riscv_counter){ 0 };
    c->reservation = (struct riscv_reservation){ 0 };
    atomic_store_explicit(&c->wires, 0, memory_order_relaxed); /* no other thread runs */
    atomic_store_explicit(&c->soft, 0, memory_order_relaxed);
    c->start_pc = c->start_opaque = 0;
    c->insns = 0;
    c->vtype = RISCV_VILL;
    c->vl = c->vstart = 0;
    c->vxsat = c->vxrm = 0;
    memset(c->v, 0, sizeof(c->v));
    bool stopped = c->sbi.call && c->vcpu && c->vcpu->id != 0;
    c->activity = stopped ? RISCV_STOPPED : RISCV_RUNNING;
    atomic_store_explicit(&c->hart_state, stopped ? RISCV_HART_STOPPED : RISCV_HART_STARTED, memory_order_relaxed);
    riscv_state_changed(c);
}

void riscv_enter_supervisor(struct riscv_cpu *c, uint64_t pc, uint64_t opaque)
{
    c->priv = RISCV_S;
    c->pc = c->next_pc = pc;
    c->x[10] = c->vcpu ? c->vcpu->id : 0;
    c->x[11] = opaque;
    c->mstatus = MSTATUS_XL64;
    c->satp = 0;
    c->shared_page = 0;
    c->medeleg = RISCV_MEDELEG_BITS & ~(1ULL << RISCV_ECALL_S);
    c->mideleg = MIP_S;
    riscv_hyp_reset(c);
    if (riscv_hyp_is_on(c))
        c->medeleg |= RISCV_HYP_MEDELEG_BITS;
    c->mie = 0;
    c->mcounteren = RISCV_COUNTEREN_BITS;
    c->menvcfg = riscv_menvcfg_bits(c) | (1ULL << ENVCFG_CBIE_SHIFT & riscv_menvcfg_bits(c));
    c->pmpcfg[0] = PMP_ALL;
    c->pmpaddr[0] = RISCV_PMPADDR_BITS;
    c->reservation.valid = false;
    c->activity = RISCV_RUNNING;
    atomic_store_explicit(&c->hart_state, RISCV_HART_STARTED, memory_order_release); /* partner: the SBI's reader */
    riscv_state_changed(c);
}

void riscv_mode_update(struct riscv_cpu *c)
{
    unsigned data = c->priv;
    uint64_t status = c->hyp.virt ? c->hyp.vsstatus : c->mstatus;
    bool paged = (c->hyp.virt ? c->hyp.vsatp : c->satp) >> 60;
    if (c->priv == RISCV_M && (c->mstatus & MSTATUS_MPRV))
        data = (unsigned)((c->mstatus & MSTATUS_MPP) >> MSTATUS_MPP_SHIFT);
    c->bank = data == RISCV_M          ? RISCV_BANK_M
              : !paged                 ? RISCV_BANK_BARE
              : data == RISCV_U        ? RISCV_BANK_U
              : (status & MSTATUS_SUM) ? RISCV_BANK_S_SUM
                                       : RISCV_BANK_S;
    if (c->priv == RISCV_M && data != RISCV_M && (c->mstatus & MSTATUS_MPV))
        c->bank = RISCV_BANK_GUEST;
    c->fetch_bank = c->priv == RISCV_M   ? RISCV_BANK_M
                    : !paged             ? RISCV_BANK_BARE
                    : c->priv == RISCV_U ? RISCV_BANK_U
                                         : RISCV_BANK_S;
    riscv_hyp_choose_tlb(c);
    c->leave = true;
}

void riscv_state_changed(struct riscv_cpu *c)
{
    c->vlenb = c->profile->vlen / 8;
    riscv_mode_update(c);
    riscv_tlb_flush_all(c);
    c->stimer_stale = true; /* we may hold the machine's lock, the run loop does not */
    if (c->vcpu)
        vcpu_request(c->vcpu, VCPU_REQ_IRQ);
}

/* ---- interrupts, time ---- */

void riscv_set_wire(void *opaque, unsigned pin, bool level)
{
    struct riscv_cpu *c = opaque;
    uint32_t bit = 1U << pin;
    uint32_t was = level ? atomic_fetch_or_explicit(&c->wires, bit, memory_order_release) /* partner: riscv_mip */
                         : atomic_fetch_and_explicit(&c->wires, ~bit, memory_order_release);
    if (level && !(was & bit) && c->vcpu)
        vcpu_request(c->vcpu, VCPU_REQ_IRQ);
}

void riscv_set_soft(struct riscv_cpu *c, uint32_t bits, bool level)
{
    if (level)
        atomic_fetch_or_explicit(&c->soft, bits, memory_order_release); /* partner: riscv_mip */
    else
        atomic_fetch_and_explicit(&c->soft, ~bits, memory_order_release);
    if (level && c->vcpu)
        vcpu_request(c->vcpu, VCPU_REQ_IRQ);
}

uint64_t riscv_mip(const struct riscv_cpu *c)
{
    uint32_t soft = atomic_load_explicit(&c->soft, memory_order_acquire); /* partners: riscv_set_soft, riscv_set_wire */
    if (c->menvcfg & ENVCFG_STCE)
        soft &= ~(uint32_t)MIP_STIP;
    return soft | atomic_load_explicit(&c->wires, memory_order_acquire);
}

uint64_t riscv_time(const struct riscv_cpu *c)
{
    return c->vcpu && c->vcpu->vm ? (uint64_t)vm_clock_now(&c->vcpu->vm->clock) / NS_A_TICK : 0;
}

static void stimer_fired(void *opaque, ns_t now)
{
    struct riscv_cpu *c = opaque;
    (void)now;
    riscv_set_wire(c, IRQ_STI, true);
}

void riscv_stimer_update(struct riscv_cpu *c)
{
    if (!c->vcpu || !c->vcpu->vm)
        return;
    struct vm *vm = c->vcpu->vm;
    bool on = c->menvcfg & ENVCFG_STCE;
    c->stimer_stale = false;
    if (!c->stimer.fn)
        vm_timer_init(&c->stimer, &vm->clock, stimer_fired, c);
    vm_lock(vm);
    bool due = on && riscv_time(c) >= c->stimecmp;
    riscv_set_wire(c, IRQ_STI, due);
    if (on && !due && c->stimecmp <= VM_TIME_NEVER / NS_A_TICK - 1)
        vm_timer_arm(&c->stimer, (ns_t)(c->stimecmp * NS_A_TICK));
    else
        vm_timer_disarm(&c->stimer);
    if (riscv_hyp_is_on(c))
        riscv_hyp_timer_update(c);
    vm_unlock(vm);
    c->leave = true;
}

/* ---- loading ---- */

/* vl, vtype and vstart index memory. */
static int check_vectors(const struct riscv_cpu *c, struct error *err)
{
    bool has = c->profile->has[RISCV_EXT_V];
    if (c->vxsat > 1 || c->vxrm > 3 || c->vstart >= c->profile->vlen || riscv_vtype_legal(c->vtype) != c->vtype)
        return error_set(err, -EINVAL, "vxsat %u, vxrm %u, vstart %u, vtype %#" PRIx64 ": no such state", c->vxsat, c->vxrm,
                         c->vstart, c->vtype);
    if (c->vl > riscv_vlmax(c->vtype, c->profile->vlen / 8) || (!has && (c->mstatus & MSTATUS_VS)))
        return error_set(err, -EINVAL, "vl %u with vtype %#" PRIx64 " and VLEN %u cannot be", c->vl, c->vtype,
                         has ? c->profile->vlen : 0);
    return 0;
}

static int cpu_post_load(void *object, struct error *err)
{
    struct riscv_cpu *c = object;
    if (c->priv > RISCV_M || c->priv == 2 || c->activity > RISCV_STOPPED || c->frm > 7 || c->fflags > 31 || c->x[0])
        return error_set(err, -EINVAL, "mode %u, activity %u, frm %u, fflags %u: no such state", c->priv, c->activity, c->frm,
                         c->fflags);
    if (!riscv_has_satp_mode(c, c->satp >> 60))
        return error_set(err, -EINVAL, "satp %#" PRIx64 " has a mode that this CPU model lacks", c->satp);
    if ((c->pc | c->mepc | c->sepc) & 1)
        return error_set(err, -EINVAL, "pc, mepc or sepc is odd");
    if ((c->mstatus & MSTATUS_MPP) == 2ULL << MSTATUS_MPP_SHIFT || (c->menvcfg & ~riscv_menvcfg_bits(c)))
        return error_set(err, -EINVAL, "mstatus %#" PRIx64 ", menvcfg %#" PRIx64 " cannot be", c->mstatus, c->menvcfg);
    if (c->reservation.valid && c->reservation.size != 4 && c->reservation.size != 8)
        return error_set(err, -EINVAL, "a reservation of %u bytes", c->reservation.size);
    if (c->shared_page && (c->shared_page & ~GPAGE_MASK) != RISCV_SHARED_ON)
        return error_set(err, -EINVAL, "shared page %#" PRIx64 ": no such state", c->shared_page);
    if (check_vectors(c, err) < 0 || riscv_hyp_check(c, err) < 0)
        return -EINVAL;
    c->next_pc = c->pc;
    atomic_store_explicit(&c->hart_state, c->activity == RISCV_STOPPED ? RISCV_HART_STOPPED : RISCV_HART_STARTED,
                          memory_order_relaxed); /* no other thread runs */
    riscv_state_changed(c);
    return 0;
}

static const struct state_field counter_fields[] = {
    STATE_U64(struct riscv_counter, base),
    STATE_U64(struct riscv_counter, held),
    STATE_END,
};
static const struct state_desc counter_desc = { .name = "riscv-counter", .version = 1, .fields = counter_fields };

static const struct state_field reservation_fields[] = {
    STATE_BOOL(struct riscv_reservation, valid),
    STATE_U8(struct riscv_reservation, size),
    STATE_U64(struct riscv_reservation, gpa),
    STATE_U64(struct riscv_reservation, value),
    STATE_END,
};
static const struct state_desc reservation_desc = { .name = "riscv-reservation", .version = 1, .fields = reservation_fields };

static const struct state_field cpu_fields[] = {
    STATE_ARRAY(struct riscv_cpu, x, STATE_U64),
    STATE_U64(struct riscv_cpu, pc),
    STATE_ARRAY(struct riscv_cpu, f, STATE_U64),
    STATE_U8(struct riscv_cpu, fflags),
    STATE_U8(struct riscv_cpu, frm),
    STATE_U8(struct riscv_cpu, priv),
    STATE_U8(struct riscv_cpu, activity),
    STATE_U64(struct riscv_cpu, mstatus),
    STATE_U64(struct riscv_cpu, medeleg),
    STATE_U64(struct riscv_cpu, mideleg),
    STATE_U64(struct riscv_cpu, mie),
    STATE_U64(struct riscv_cpu, mtvec),
    STATE_U64(struct riscv_cpu, mscratch),
    STATE_U64(struct riscv_cpu, mepc),
    STATE_U64(struct riscv_cpu, mcause),
    STATE_U64(struct riscv_cpu, mtval),
    STATE_U64(struct riscv_cpu, mcounteren),
    STATE_U64(struct riscv_cpu, mcountinhibit),
    STATE_U64(struct riscv_cpu, menvcfg),
    STATE_U64(struct riscv_cpu, stvec),
    STATE_U64(struct riscv_cpu, sscratch),
    STATE_U64(struct riscv_cpu, sepc),
    STATE_U64(struct riscv_cpu, scause),
    STATE_U64(struct riscv_cpu, stval),
    STATE_U64(struct riscv_cpu, scounteren),
    STATE_U64(struct riscv_cpu, senvcfg),
    STATE_U64(struct riscv_cpu, satp),
    STATE_U64(struct riscv_cpu, stimecmp),
    STATE_ARRAY(struct riscv_cpu, pmpcfg, STATE_U8),
    STATE_ARRAY(struct riscv_cpu, pmpaddr, STATE_U64),
    STATE_STRUCT(struct riscv_cpu, cycle, &counter_desc),
    STATE_STRUCT(struct riscv_cpu, instret, &counter_desc),
    STATE_STRUCT(struct riscv_cpu, reservation, &reservation_desc),
    STATE_U32(struct riscv_cpu, wires),
    STATE_U32(struct riscv_cpu, soft),
    STATE_U64(struct riscv_cpu, start_pc),
    STATE_U64(struct riscv_cpu, start_opaque),
    STATE_U64(struct riscv_cpu, insns),
    STATE_U64(struct riscv_cpu, vtype),
    STATE_U16(struct riscv_cpu, vl),
    STATE_U16(struct riscv_cpu, vstart),
    STATE_U8(struct riscv_cpu, vxsat),
    STATE_U8(struct riscv_cpu, vxrm),
    STATE_BYTES(struct riscv_cpu, v),
    STATE_STRUCT(struct riscv_cpu, hyp, &riscv_hyp_desc),
    STATE_U64(struct riscv_cpu, shared_page),
    STATE_END,
};

const struct state_desc riscv_state_desc = {
    .name = "riscv-cpu",
    .version = 3,
    .fields = cpu_fields,
    .post_load = cpu_post_load,
};
