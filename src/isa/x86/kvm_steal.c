/* SPDX-License-Identifier: MIT */
/*
 * KVM's MSRs, and stolen time with what hangs on its page: whether the vCPU is preempted, and TLB flushes put off until it is
 * not.
 *
 * The guest may set KVM_VCPU_FLUSH_TLB in the flag of a vCPU that it finds preempted, by a locked compare and exchange, and then
 * need not interrupt it. We clear the flag by an exchange when we enter, so that one of the two holds: the guest finds that it
 * lost, or we see its bit and drop the TLB before we use it.
 *
 * Of the host we know that a vCPU's thread rests because there is nothing to execute, or stands; not that somebody else runs in
 * its place. So stolen time is measured (core/steal.h), and "preempted" means the former.
 *
 * Spec: Linux Documentation/virt/kvm/x86/msr.rst
 */
#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>

#include "core/gmem.h"
#include "core/vcpu.h"
#include "core/vm.h"
#include "isa/x86/kvmpv.h"
#include "isa/x86/mmu.h"
#include "isa/x86/profile.h"

enum { STEAL_RESERVED = 0x3e, EOI_RESERVED = 2, STEAL_ALIGN = 64, EOI_ALIGN = 4 };

/* The guest's layout. */
struct steal_page {
    uint64_t steal;            /* ns, ever; ours to add to */
    _Atomic uint32_t version;  /* odd while `steal` changes */
    uint32_t flags;            /* none is defined */
    _Atomic uint8_t preempted; /* KVM_VCPU_PREEMPTED, KVM_VCPU_FLUSH_TLB */
    uint8_t pad[47];
};
_Static_assert(sizeof(struct steal_page) == STEAL_ALIGN, "the guest's layout");

/* NULL: there is none. */
static struct steal_page *page_of(const struct x86_cpu *c)
{
    if (!(c->kvm_steal_time & KVM_MSR_ENABLED) || !c->gmem)
        return NULL;
    return gmem_pin(c->gmem, c->kvm_steal_time & ~(uint64_t)(STEAL_ALIGN - 1), sizeof(struct steal_page));
}

void x86_kvm_tell_steal(struct x86_cpu *c)
{
    if (!c->vcpu || !c->vcpu->steal.on)
        return;
    ns_t stolen = steal_take(&c->vcpu->steal);
    struct steal_page *p = stolen > 0 ? page_of(c) : NULL;
    if (!p)
        return;
    uint32_t version = atomic_load_explicit(&p->version, memory_order_relaxed) | 1;
    atomic_store_explicit(&p->version, version, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst); /* readers on other vCPUs see the odd version before the new time */
    p->steal += (uint64_t)stolen;
    atomic_store_explicit(&p->version, version + 1, memory_order_release); /* and the time before the even one */
    (void)gmem_note_write(c->gmem, p);                                     /* we are at a boundary */
}

void x86_kvm_entered(struct x86_cpu *c)
{
    struct steal_page *p = page_of(c);
    if (!p)
        return;
    uint8_t was = atomic_exchange_explicit(&p->preempted, 0,
                                           memory_order_seq_cst); /* pairs with the guest's compare and exchange */
    (void)gmem_note_write(c->gmem, p);
    if ((was & KVM_VCPU_FLUSH_TLB) && x86_kvm_offers(c, KVM_FEATURE_PV_TLB_FLUSH))
        x86_tlb_flush_all(c);
}

void x86_kvm_left(struct x86_cpu *c)
{
    bool idle = c->activity == X86_HALTED && (c->rflags & FLAG_IF);
    struct steal_page *p = page_of(c);
    /* Linux's scheduler does not take a preempted CPU for a free one, so an idle one is only told of where that saves IPIs. */
    if (!p || (idle && !x86_kvm_offers(c, KVM_FEATURE_PV_TLB_FLUSH)))
        return;
    atomic_fetch_or_explicit(&p->preempted, KVM_VCPU_PREEMPTED, memory_order_release); /* our uses of the TLB are over */
    (void)gmem_note_write(c->gmem, p);
}

/* ---- the MSRs ---- */

static bool steal_legal(uint64_t v)
{
    return !(v & STEAL_RESERVED);
}

static void set_steal_time(struct x86_cpu *c, uint64_t v)
{
    bool was = c->kvm_steal_time & KVM_MSR_ENABLED;
    c->kvm_steal_time = v;
    if ((v & KVM_MSR_ENABLED) && !page_of(c))
        c->kvm_steal_time &= ~(uint64_t)KVM_MSR_ENABLED; /* not RAM */
    if (!c->vcpu)
        return;
    if (!(c->kvm_steal_time & KVM_MSR_ENABLED))
        steal_stop(&c->vcpu->steal);
    else if (!was || !c->vcpu->steal.on)
        steal_start(&c->vcpu->steal);
}

/* The bytes, NULL: none, or not RAM. */
static void *eoi_word(const struct x86_cpu *c, uint64_t v)
{
    return (v & KVM_MSR_ENABLED) && c->gmem ? gmem_pin(c->gmem, v & ~(uint64_t)KVM_MSR_ENABLED, EOI_ALIGN) : NULL;
}

static bool eoi_legal(const struct x86_cpu *c, uint64_t v)
{
    return !(v & EOI_RESERVED) && (!(v & KVM_MSR_ENABLED) || eoi_word(c, v));
}

static void set_pv_eoi(struct x86_cpu *c, uint64_t v)
{
    struct vcpu *vcpu = c->vcpu;
    c->kvm_pv_eoi = v;
    if (vcpu) /* pairs with the loads in lapic_pv.c */
        atomic_store_explicit(&vcpu->eoi_word, (_Atomic uint8_t *)eoi_word(c, v), memory_order_release);
}

static void write_pv_eoi(struct x86_cpu *c, uint64_t v)
{
    struct vcpu *vcpu = c->vcpu;
    if (vcpu && vcpu->intc && vcpu->intc->settle) {
        vm_lock(vcpu->vm);
        vcpu->intc->settle(vcpu->intc_dev);
        vm_unlock(vcpu->vm);
    }
    set_pv_eoi(c, v);
}

static bool poll_legal(uint64_t v)
{
    return v <= 1;
}

static void set_poll_control(struct x86_cpu *c, uint64_t v)
{
    c->kvm_poll_control = v;
    if (c->vcpu)
        c->vcpu->no_spin = !v;
}

bool x86_kvm_msr_read(const struct x86_cpu *c, uint32_t msr, uint64_t *ret_value)
{
    switch ((enum x86_kvm_msr)msr) {
    case KVM_MSR_WALL_CLOCK: *ret_value = c->kvm_wall_clock; return true;
    case KVM_MSR_SYSTEM_TIME: *ret_value = c->kvm_system_time; return true;
    case KVM_MSR_ASYNC_PF_EN: return false;
    case KVM_MSR_STEAL_TIME: *ret_value = c->kvm_steal_time; return x86_kvm_offers(c, KVM_FEATURE_STEAL_TIME);
    case KVM_MSR_EOI_EN: *ret_value = c->kvm_pv_eoi; return x86_kvm_offers(c, KVM_FEATURE_PV_EOI);
    case KVM_MSR_POLL_CONTROL: *ret_value = c->kvm_poll_control; return x86_kvm_offers(c, KVM_FEATURE_POLL_CONTROL);
    }
    return false;
}

bool x86_kvm_msr_write(struct x86_cpu *c, uint32_t msr, uint64_t v)
{
    switch ((enum x86_kvm_msr)msr) {
    case KVM_MSR_WALL_CLOCK: x86_kvm_wall_clock_write(c, v); return true;
    case KVM_MSR_SYSTEM_TIME: x86_kvm_system_time_write(c, v); return true;
    case KVM_MSR_ASYNC_PF_EN: return false;
    case KVM_MSR_STEAL_TIME:
        if (!x86_kvm_offers(c, KVM_FEATURE_STEAL_TIME) || !steal_legal(v))
            return false;
        set_steal_time(c, v);
        return true;
    case KVM_MSR_EOI_EN:
        if (!x86_kvm_offers(c, KVM_FEATURE_PV_EOI) || !eoi_legal(c, v))
            return false;
        write_pv_eoi(c, v);
        return true;
    case KVM_MSR_POLL_CONTROL:
        if (!x86_kvm_offers(c, KVM_FEATURE_POLL_CONTROL) || !poll_legal(v))
            return false;
        set_poll_control(c, v);
        return true;
    }
    return false;
}

int x86_kvm_loaded(struct x86_cpu *c, struct error *err)
{
    bool offered = (!c->kvm_steal_time || x86_kvm_offers(c, KVM_FEATURE_STEAL_TIME))
                   && (!c->kvm_pv_eoi || x86_kvm_offers(c, KVM_FEATURE_PV_EOI));
    if (!offered || !steal_legal(c->kvm_steal_time) || !eoi_legal(c, c->kvm_pv_eoi) || !poll_legal(c->kvm_poll_control))
        return error_set(err, -EINVAL, "KVM MSRs cannot be: steal time %#" PRIx64 ", EOI %#" PRIx64 ", poll control %#" PRIx64,
                         c->kvm_steal_time, c->kvm_pv_eoi, c->kvm_poll_control);
    set_steal_time(c, c->kvm_steal_time);
    set_pv_eoi(c, c->kvm_pv_eoi);
    set_poll_control(c, c->kvm_poll_control);
    return 0;
}

void x86_kvm_reset(struct x86_cpu *c)
{
    c->kvm_wall_clock = c->kvm_system_time = 0;
    set_steal_time(c, 0);
    set_pv_eoi(c, 0);
    set_poll_control(c, 1);
}
