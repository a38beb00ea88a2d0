/* SPDX-License-Identifier: MIT */
/*
 * What a guest under KVM wants of us: devices, MSRs that are ours, hypercalls.
 *
 * An access to a device is answered through the machine's buses; its instruction ends when the guest is entered again.
 *
 * Spec: Linux Documentation/virt/kvm/api.rst 5 (kvm_run)
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "core/vcpu.h"
#include "core/vm.h"
#include "engine/kvm/kvm_cpu.h"
#include "isa/x86/hypercall.h"
#include "isa/x86/sysreg.h"

enum { MSR_APIC_BASE = 0x1b, MSR_X2APIC = 0x800, MSR_X2APIC_LAST = 0x8ff };

void kvm_exit_give_up(const struct x86_cpu *c, const char *fmt, ...)
{
    char what[96], where[128];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(what, sizeof(what), fmt, ap); /* a cut line is still a line */
    va_end(ap);
    c->vcpu->isa->describe(c->vcpu, where, sizeof(where));
    vm_request_end(c->vcpu->vm, VM_END_ERROR, 0, "engine kvm: %s (%s)", what, where);
}

/* ---- ports ---- */

static void port_access(struct vm *vm, const struct kvm_run *s, uint8_t *data)
{
    for (uint32_t k = 0; k < s->io.count; k++, data += s->io.size) {
        uint64_t v = 0;
        if (s->io.direction == KVM_EXIT_IO_OUT) {
            memcpy(&v, data, s->io.size);
            vm_pio_write(vm, s->io.port, v, s->io.size);
        } else {
            v = vm_pio_read(vm, s->io.port, s->io.size);
            memcpy(data, &v, s->io.size);
        }
    }
}

static int on_io(struct kvm_cpu *e, struct x86_cpu *c)
{
    const struct kvm_run *s = e->share;
    uint8_t *data = (uint8_t *)e->share + s->io.data_offset;
    bool may_call = s->io.port == X86_HC_PORT && s->io.size == 4 && s->io.count == 1 && s->io.direction == KVM_EXIT_IO_OUT;
    if (s->io.size > 4 || s->io.data_offset > e->vm->run_size
        || (uint64_t)s->io.size * s->io.count > e->vm->run_size - s->io.data_offset)
        return -EIO;
    e->unfinished = true;
    if (!may_call) {
        port_access(c->vcpu->vm, s, data);
        return 0;
    }
    uint32_t v;
    memcpy(&v, data, sizeof(v));
    int r = kvm_cpu_pull(e, c, KVM_PART_CORE);
    if (r < 0)
        return r;
    if (x86_is_hypercall(c, X86_HC_PORT, sizeof(v))) {
        e->hypercalls++;
        x86_hypercall(c);
    } else {
        vm_pio_write(c->vcpu->vm, X86_HC_PORT, v, sizeof(v));
    }
    return 0;
}

/* ---- memory ---- */

static uint64_t load(const uint8_t *data, unsigned size)
{
    uint64_t v = 0;
    memcpy(&v, data, size);
    return v;
}

/* Registers of devices, in pieces that a bus takes. RAM comes here only when KVM does not see its slot for the moment. */
static void on_mmio(struct kvm_cpu *e, struct x86_cpu *c)
{
    struct kvm_run *s = e->share;
    struct vm *vm = c->vcpu->vm;
    const unsigned len = MIN(s->mmio.len, (uint32_t)sizeof(s->mmio.data));
    e->unfinished = true;
    if (s->mmio.is_write ? gmem_write(c->gmem, s->mmio.phys_addr, s->mmio.data, len) == 0
                         : gmem_read(c->gmem, s->mmio.phys_addr, s->mmio.data, len) == 0)
        return;
    for (unsigned at = 0, size; at < len; at += size) {
        size = 8;
        while (size > len - at)
            size /= 2;
        uint64_t v = load(s->mmio.data + at, size);
        if (s->mmio.is_write) {
            vm_mmio_write(vm, s->mmio.phys_addr + at, v, size);
        } else {
            v = vm_mmio_read(vm, s->mmio.phys_addr + at, size);
            memcpy(s->mmio.data + at, &v, size);
        }
    }
    e->cr8 = -1; /* it may have been the task priority */
}

/* ---- MSRs ---- */

/* The definition's answer; false: #GP. */
static bool msr_access(struct x86_cpu *c, uint32_t msr, uint64_t *value, bool write)
{
    jmp_buf env;
    c->trap_env = &env;
    if (_setjmp(env))
        return false;
    if (write)
        x86_msr_write(c, msr, *value);
    else
        *value = x86_msr_read(c, msr);
    return true;
}

static int on_msr(struct kvm_cpu *e, struct x86_cpu *c, bool write)
{
    struct kvm_run *s = e->share;
    uint64_t v = s->msr.data;
    e->unfinished = true;
    s->msr.error = kvm_model_keeps_msr(e->vm, s->msr.index) || !msr_access(c, s->msr.index, &v, write);
    if (s->msr.error)
        return 0;
    s->msr.data = v;
    if (!write)
        return 0;
    e->cr8 = -1;
    e->apic_base |= s->msr.index == MSR_APIC_BASE;
    return kvm_cpu_put_tsc(e, c);
}

/* ---- all of them ---- */

static const char *internal_error(uint32_t sub)
{
    switch (sub) {
    case KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON: return "an exit of the CPU that KVM does not know";
    default: return "an error in KVM";
    }
}

static int on_internal_error(struct kvm_cpu *e, const struct x86_cpu *c)
{
    uint32_t sub = e->share->internal.suberror;
    switch (sub) {
    case KVM_INTERNAL_ERROR_EMULATION:
    case KVM_INTERNAL_ERROR_SIMUL_EX:
    case KVM_INTERNAL_ERROR_DELIVERY_EV: /* what was being delivered is, by kvm_cpu_pull() */
        e->reason[KVM_REASON_EMULATION]++;
        e->step = true;
        return 0;
    default:
        e->reason[KVM_REASON_OTHER]++;
        kvm_exit_give_up(c, "%s (suberror %u)", internal_error(sub), sub);
        return 0;
    }
}

int kvm_exit_serve(struct kvm_cpu *e, struct x86_cpu *c)
{
    struct kvm_run *s = e->share;
    switch (s->exit_reason) {
    case KVM_EXIT_IO: e->reason[KVM_REASON_IO]++; return on_io(e, c);
    case KVM_EXIT_MMIO:
        e->reason[KVM_REASON_MMIO]++;
        on_mmio(e, c);
        return 0;
    case KVM_EXIT_X86_RDMSR:
    case KVM_EXIT_X86_WRMSR: e->reason[KVM_REASON_MSR]++; return on_msr(e, c, s->exit_reason == KVM_EXIT_X86_WRMSR);
    case KVM_EXIT_HLT:
        e->reason[KVM_REASON_HLT]++;
        c->activity = X86_HALTED;
        return 0;
    case KVM_EXIT_IRQ_WINDOW_OPEN: e->reason[KVM_REASON_IRQ_WINDOW]++; return 0;
    case KVM_EXIT_SET_TPR: e->reason[KVM_REASON_TPR]++; return 0; /* whoever entered looks at CR8 */
    case KVM_EXIT_INTR: e->reason[KVM_REASON_KICK]++; return 0;
    case KVM_EXIT_SHUTDOWN:
        e->reason[KVM_REASON_SHUTDOWN]++;
        c->activity = X86_SHUTDOWN;
        return 0;
    case KVM_EXIT_INTERNAL_ERROR: return on_internal_error(e, c);
    case KVM_EXIT_FAIL_ENTRY:
        e->reason[KVM_REASON_OTHER]++;
        kvm_exit_give_up(c, "the CPU does not enter the guest: reason %#llx",
                         (unsigned long long)s->fail_entry.hardware_entry_failure_reason);
        return 0;
    default:
        e->reason[KVM_REASON_OTHER]++;
        kvm_exit_give_up(c, "KVM came back for reason %u, which has no answer", s->exit_reason);
        return 0;
    }
}
