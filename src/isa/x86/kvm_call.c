/* SPDX-License-Identifier: MIT */
/*
 * KVM's hypercalls: VMCALL and VMMCALL, one short function a call.
 *
 * The number is in RAX, arguments in RBX, RCX, RDX, RSI (their lower halves outside 64-bit mode); the result goes to RAX. Nothing
 * else changes and nothing is raised: a call that is not offered (CPUID) is -KVM_ENOSYS, any call from another level than 0
 * -KVM_EPERM.
 *
 * Spec: Linux Documentation/virt/kvm/x86/hypercalls.rst
 */
#include <errno.h>
#include <sched.h>

#include "core/vcpu.h"
#include "core/vm.h"
#include "isa/x86/insn_steps.h"
#include "isa/x86/kvmpv.h"
#include "isa/x86/profile.h"

struct call {
    uint64_t arg[4];
    bool wide; /* made in 64-bit mode */
};

/* The call was all: whatever is pending is looked for before the next block. */
static int64_t poll_irq(struct x86_cpu *c, const struct call *call)
{
    (void)call;
    if (c->vcpu)
        vcpu_request(c->vcpu, VCPU_REQ_IRQ);
    return 0;
}

/* NULL: there is none. */
static struct vcpu *by_apic_id(struct x86_cpu *c, uint64_t id)
{
    struct vm *vm = c->vcpu ? c->vcpu->vm : NULL;
    return vm && id < vm->nr_vcpus ? vm->vcpu[id] : NULL;
}

/* arg 0: flags, none is known; arg 1: APIC id. */
static int64_t kick_cpu(struct x86_cpu *c, const struct call *call)
{
    struct vcpu *target = by_apic_id(c, call->arg[1]);
    if (target)
        vcpu_request(target, VCPU_REQ_UNHALT);
    return 0;
}

/* args 0, 1: who, as bits; arg 2: the APIC id of the first bit; arg 3: vector and delivery mode as in an ICR. */
static int64_t send_ipi(struct x86_cpu *c, const struct call *call)
{
    struct vcpu *v = c->vcpu;
    const uint64_t *arg = call->arg;
    uint64_t ids[2] = { arg[0], arg[1] };
    if (!call->wide) {
        ids[0] = arg[0] | arg[1] << 32;
        ids[1] = 0;
    }
    if (!v || !v->intc || !v->intc->send_ipis)
        return 0;
    vm_lock(v->vm);
    int n = v->intc->send_ipis(v->intc_dev, arg[2], ids, (uint32_t)arg[3]);
    vm_unlock(v->vm);
    return n == -EINVAL ? -KVM_EINVAL : n;
}

/* arg 0: APIC id of a CPU that the caller waits for. Our CPU cannot be given to it, but it can be given away; meanwhile we are
 * as good as preempted. */
static int64_t yield_to(struct x86_cpu *c, const struct call *call)
{
    struct vcpu *target = by_apic_id(c, call->arg[0]);
    if (!target || target == c->vcpu)
        return 0;
    x86_kvm_leave(c);
    (void)sched_yield(); /* cannot fail */
    x86_kvm_enter(c);
    return 0;
}

static const struct {
    uint32_t nr, needs; /* needs: bit of enum x86_kvm_feature, 0: none */
    int64_t (*fn)(struct x86_cpu *c, const struct call *call);
} calls[] = {
    { KVM_HC_VAPIC_POLL_IRQ, 0, poll_irq },
    { KVM_HC_KICK_CPU, KVM_FEATURE_PV_UNHALT, kick_cpu },
    { KVM_HC_SEND_IPI, KVM_FEATURE_PV_SEND_IPI, send_ipi },
    { KVM_HC_SCHED_YIELD, KVM_FEATURE_PV_SCHED_YIELD, yield_to },
};

static int64_t serve(struct x86_cpu *c, uint64_t nr, const struct call *call)
{
    if (c->cpl != 0)
        return -KVM_EPERM;
    for (unsigned k = 0; k < sizeof(calls) / sizeof(calls[0]); k++)
        if (calls[k].nr == nr && (!calls[k].needs || x86_kvm_offers(c, calls[k].needs)))
            return calls[k].fn(c, call);
    return -KVM_ENOSYS;
}

void step_vmcall(struct x86_cpu *c, const struct x86_insn *i)
{
    (void)i;
    bool wide = c->mode == X86_MODE_64;
    uint64_t mask = wide ? UINT64_MAX : UINT32_MAX;
    const struct call call = {
        .arg = { c->gpr[RBX] & mask, c->gpr[RCX] & mask, c->gpr[RDX] & mask, c->gpr[RSI] & mask },
        .wide = wide,
    };
    c->gpr[RAX] = (uint64_t)serve(c, c->gpr[RAX] & mask, &call) & mask;
}
