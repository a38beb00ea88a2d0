/* SPDX-License-Identifier: MIT */
/*
 * KVM's paravirtual clock.
 *
 * Every CPU's clock page tells the same line: system time = TSC without that CPU's TSC_ADJUST, in nanoseconds, from 0. It
 * is not sampled, so two CPUs can never disagree, whenever their pages were written: that is what the STABLE flag
 * promises. While the VM is paused its TSC stands still, and so does this clock.
 *
 * Spec: Linux Documentation/virt/kvm/x86/msr.rst
 */
#include "isa/x86/kvmpv.h"

#include <stdatomic.h>

#include "core/gmem.h"
#include "core/vcpu.h"
#include "core/vm.h"

enum { PVCLOCK_TSC_STABLE = 1 << 0 };
enum { SYSTEM_TIME_ENABLE = 1 << 0 };

/* The clock page, as the guest reads it. */
struct pvclock_page {
    uint32_t version; /* odd while it changes */
    uint32_t pad0;
    uint64_t tsc_timestamp; /* TSC at which system_time was true */
    uint64_t system_time;   /* ns */
    uint32_t tsc_to_system_mul;
    int8_t tsc_shift;
    uint8_t flags;
    uint8_t pad[2];
};
_Static_assert(sizeof(struct pvclock_page) == 32, "the guest's layout");

struct wall_page {
    uint32_t version;   /* odd while it changes */
    uint32_t sec, nsec; /* wall clock at system time 0 */
};
_Static_assert(sizeof(struct wall_page) == 12, "the guest's layout");

void x86_kvm_clock_scale(uint64_t tsc_hz, uint32_t *ret_mul, int8_t *ret_shift)
{
    /* The multiplier has 32 bits: the shifted rate must lie in (1 GHz, 2 GHz], so that it has its top bit set. */
    int shift = 0;
    while (tsc_hz >> (shift < 0 ? -shift : 0) > 2 * (uint64_t)NS_PER_S)
        shift--;
    while (shift < 32 && tsc_hz << (shift > 0 ? shift : 0) <= (uint64_t)NS_PER_S)
        shift++;
    unsigned __int128 one_s = (unsigned __int128)NS_PER_S << (32 - shift);
    uint64_t mul = tsc_hz ? (uint64_t)(one_s / tsc_hz) : 0;
    *ret_mul = mul > UINT32_MAX ? UINT32_MAX : (uint32_t)mul;
    *ret_shift = (int8_t)shift;
}

/* Writes a page whose first member is its version: odd, contents, even. false: not RAM. */
static bool publish(struct gmem *gm, gpa_t gpa, void *page, unsigned len, uint32_t version)
{
    uint32_t changing = version | 1, done = (version | 1) + 1;
    if (gmem_write(gm, gpa, &changing, sizeof(changing)) < 0)
        return false;
    atomic_thread_fence(memory_order_seq_cst); /* readers on other vCPUs see the odd version before any new contents */
    if (gmem_write(gm, gpa + sizeof(version), (uint8_t *)page + sizeof(version), len - sizeof(version)) < 0)
        return false;
    atomic_thread_fence(memory_order_seq_cst); /* and the contents before the even one */
    return gmem_write(gm, gpa, &done, sizeof(done)) == 0;
}

void x86_kvm_clock_refresh(struct x86_cpu *c)
{
    if (!(c->kvm_system_time & SYSTEM_TIME_ENABLE) || !c->vcpu || !c->vcpu->vm)
        return;
    struct pvclock_page page = { .tsc_timestamp = c->tsc_adjust, .flags = PVCLOCK_TSC_STABLE };
    x86_kvm_clock_scale(vm_clock_tsc_hz(&c->vcpu->vm->clock), &page.tsc_to_system_mul, &page.tsc_shift);
    gpa_t gpa = c->kvm_system_time & ~(uint64_t)SYSTEM_TIME_ENABLE;
    if (publish(c->gmem, gpa, &page, sizeof(page), c->kvm_clock_version))
        c->kvm_clock_version = (c->kvm_clock_version | 1) + 1;
    else
        c->kvm_system_time &= ~(uint64_t)SYSTEM_TIME_ENABLE;
}

void x86_kvm_system_time_write(struct x86_cpu *c, uint64_t v)
{
    c->kvm_system_time = v;
    x86_kvm_clock_refresh(c);
}

void x86_kvm_wall_clock_write(struct x86_cpu *c, uint64_t v)
{
    c->kvm_wall_clock = v;
    if (!v || !c->vcpu || !c->vcpu->vm)
        return;
    struct vm *vm = c->vcpu->vm;
    uint32_t mul, version;
    int8_t shift;
    x86_kvm_clock_scale(vm_clock_tsc_hz(&vm->clock), &mul, &shift);
    ns_t system = (ns_t)((unsigned __int128)vm_clock_tsc(&vm->clock) * mul >> (32 - shift));
    ns_t wall = vm_clock_wall(&vm->clock) - system;
    if (wall < 0)
        wall = 0;
    struct wall_page page = { .sec = (uint32_t)(wall / NS_PER_S), .nsec = (uint32_t)(wall % NS_PER_S) };
    if (gmem_read(c->gmem, v, &version, sizeof(version)) == 0)
        (void)publish(c->gmem, v, &page, sizeof(page), version); /* not RAM: the guest gets what it asked for, nothing */
}
