/* SPDX-License-Identifier: MIT */
/*
 * Engine `kvm`: the loop around KVM_RUN, and the vtable.
 *
 * Interrupts, when the state is in KVM: KVM_INTERRUPT if it can be taken at once, else KVM is asked to come back when it can. All
 * else that happens at a boundary (NMI, INIT, start-up, sleep, requests) brings the state home and is x86_run_boundary()'s, as
 * under any engine. An instruction that KVM gives back, and a state that it does not take, is executed by the definition.
 *
 * The signal that gets a vCPU out of the guest is blocked but for the time of KVM_RUN, so it needs no handler, and one that
 * comes too early makes KVM_RUN come back at once.
 *
 * Spec: Linux Documentation/virt/kvm/api.rst 4.10, 4.16, 4.26
 */
#include "engine/kvm/kvm.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/checked.h"
#include "core/vcpu.h"
#include "core/vm.h"
#include "engine/kvm/kvm_cpu.h"
#include "isa/x86/hypercall.h"
#include "isa/x86/isa.h"
#include "isa/x86/mmu.h"
#include "isa/x86/probe.h"
#include "isa/x86/sysreg.h"
#include "isa/x86/tlb.h"
#include "isa/x86/trap.h"

enum { KICK_SIGNAL = SIGUSR1, KERNEL_SIGSET = 8 /* bytes */ };
/* A first look at its speed must not take long where it is slow; below AUTO_MIPS the translator is faster. */
enum { FEW_ROUNDS = 2000, SLOW_MIPS = 30, AUTO_MIPS = 200 };

static const char *const reason_name[KVM_REASON_NR] = {
    "io", "mmio", "msr", "hlt", "irq_window", "tpr", "kick", "emulation", "shutdown", "other",
};

/* ---- by the definition ---- */

static void interpret(struct kvm_cpu *e, struct x86_cpu *c)
{
    struct x86_insn i;
    kvm_cpu_freshen(e, c);
    uint64_t writes = c->tlb->misses[X86_WRITE];
    e->interpreted++;
    c->trap_env = &e->run->env;
    if (_setjmp(e->run->env)) {
        x86_deliver_trap(c);
    } else {
        uint8_t shadow = c->int_shadow;
        x86_check_breakpoint_fetch(c);
        x86_run_fetch(c, &i);
        x86_run_insn(c, &i, shadow);
    }
    if (e->vm->shadows && c->tlb->misses[X86_WRITE] != writes) /* it may have been a page table that KVM shadows */
        e->forget = true;
}

/* ---- interrupts ---- */

/* Hands KVM one interrupt if there is one that can be taken, and asks it to come back when the next one can. */
static int offer_irq(struct kvm_cpu *e, struct x86_cpu *c)
{
    struct vcpu *v = c->vcpu;
    struct kvm_run *s = e->share;
    s->request_interrupt_window = 0;
    e->held = false;
    if (!(vcpu_requests(v) & VCPU_REQ_IRQ) || !v->intc)
        return 0;
    if (c->hc_shared && !x86_hc_interruptible(c)) {
        e->held = true; /* the guest will call */
        return 0;
    }
    bool ready = e->fresh && s->ready_for_interrupt_injection && s->if_flag;
    (void)vcpu_take(v, VCPU_REQ_IRQ);
    vm_lock(v->vm);
    int vector = ready ? v->intc->accept(v->intc_dev) : -1;
    bool more = v->intc->poll(v->intc_dev) >= 0;
    vm_unlock(v->vm);
    if (more) {
        vcpu_request(v, VCPU_REQ_IRQ);
        s->request_interrupt_window = 1;
    }
    if (vector < 0)
        return 0;
    struct kvm_interrupt irq = { .irq = (uint32_t)vector };
    e->irqs++;
    e->fresh = false;
    return kvm_cpu_ioctl(e, KVM_INTERRUPT, &irq);
}

/* ---- entering ---- */

static bool must_look(const struct kvm_cpu *e, struct vcpu *v)
{
    uint32_t reqs = vcpu_requests(v);
    if (atomic_load_explicit(&e->vm->forgetting, memory_order_seq_cst)) /* partner: forget() in kvm_cpu.c */
        return true;
    return (reqs & ~(uint32_t)VCPU_REQ_IRQ) || ((reqs & VCPU_REQ_IRQ) && !e->share->request_interrupt_window && !e->held);
}

static void take_signal(void)
{
    sigset_t set;
    const struct timespec now = { 0 };
    (void)sigemptyset(&set); /* these fail only for bad arguments */
    (void)sigaddset(&set, KICK_SIGNAL);
    while (sigtimedwait(&set, NULL, &now) > 0)
        ;
}

/* 1: KVM came back and says why; 0: it was kicked, or not entered; -errno: KVM is broken. */
static int enter(struct kvm_cpu *e, struct x86_cpu *c)
{
    struct kvm_run *s = e->share;
    int r = 0;
    if (e->cr8 < 0)
        e->cr8 = (int)x86_cr8_read(c);
    s->cr8 = (uint64_t)e->cr8;
    if (e->vm->shadows)
        (void)pthread_rwlock_rdlock(&e->vm->slots_lock);
    /* in this order: who requests sees that it has to kick, or we see the request; partner: kvm_kick */
    atomic_store_explicit(&e->inside, true, memory_order_seq_cst);
    bool entered = !must_look(e, c->vcpu);
    if (entered)
        r = kvm_cpu_ioctl(e, KVM_RUN, NULL);
    atomic_store_explicit(&e->inside, false, memory_order_seq_cst);
    if (e->vm->shadows)
        (void)pthread_rwlock_unlock(&e->vm->slots_lock);
    if (!entered)
        return 0;
    e->unfinished = false;
    e->tlb_stale = e->fresh = true;
    if (s->cr8 != (uint64_t)e->cr8) {
        x86_cr8_write(c, s->cr8 & 0xf);
        e->cr8 = (int)(s->cr8 & 0xf);
    }
    if (r == -EINTR || r == -EAGAIN) {
        e->reason[KVM_REASON_KICK]++;
        take_signal();
        return 0;
    }
    return r < 0 ? r : 1;
}

/* ---- the loop ---- */

/* The CPU's thread: the signal is let through in KVM_RUN only; others as they are. Stays so. */
static int adopt_thread(struct kvm_cpu *e)
{
    pid_t self = (pid_t)syscall(SYS_gettid);
    if (atomic_load_explicit(&e->tid, memory_order_relaxed) == self)
        return 0;
    sigset_t set;
    (void)sigemptyset(&set); /* these fail only for bad arguments */
    (void)sigaddset(&set, KICK_SIGNAL);
    (void)pthread_sigmask(SIG_BLOCK, &set, NULL);
    (void)pthread_sigmask(SIG_BLOCK, NULL, &set);
    (void)sigdelset(&set, KICK_SIGNAL);
    struct { /* struct kvm_signal_mask with its set */
        uint32_t len;
        uint8_t set[KERNEL_SIGSET];
    } mask = { .len = KERNEL_SIGSET };
    static_assert(offsetof(struct kvm_signal_mask, sigset) == sizeof(uint32_t), "the kernel's layout");
    memcpy(mask.set, &set, KERNEL_SIGSET); /* the kernel's form is the beginning of libc's */
    atomic_store_explicit(&e->tid, self, memory_order_seq_cst);
    return kvm_cpu_ioctl(e, KVM_SET_SIGNAL_MASK, &mask);
}

static int prepare(struct kvm_cpu *e, struct x86_cpu *c)
{
    int r = adopt_thread(e);
    if (r == 0)
        r = kvm_vm_map(e->vm, c->gmem);
    if (r == 0 && !e->cpuid_set) {
        r = kvm_model_set_cpuid(e->vm, e->fd, c);
        e->cpuid_set = r == 0;
    }
    return r;
}

/* Something is to be done that needs the state here. */
static bool must_come_home(const struct kvm_cpu *e, struct x86_cpu *c)
{
    return e->there == 0 || e->step || e->apic_base || c->activity != X86_RUNNING
           || (vcpu_requests(c->vcpu) & ~(uint32_t)VCPU_REQ_IRQ);
}

/* Runs the guest until there is something to be done. -errno: KVM is broken. */
static int run_native(struct kvm_cpu *e, struct x86_cpu *c)
{
    int r = kvm_cpu_push(e, c);
    if (r == 0)
        r = offer_irq(e, c);
    if (r == 0)
        r = enter(e, c);
    else if (r > 0) {
        r = kvm_cpu_pull(e, c, KVM_PART_ALL);
        interpret(e, c);
        return r;
    }
    return r > 0 ? kvm_exit_serve(e, c) : r;
}

static enum vcpu_exit kvm_run(struct vcpu *vcpu)
{
    struct kvm_cpu *e = vcpu->engine_cpu;
    struct x86_cpu *c = vcpu->cpu;
    enum vcpu_exit exit;
    int r = prepare(e, c);
    for (;;) {
        if (r < 0)
            kvm_exit_give_up(c, "KVM: %s", strerror(-r));
        if (r < 0 || must_come_home(e, c)) {
            r = kvm_cpu_pull(e, c, KVM_PART_ALL);
            if (r < 0) {
                e->there = 0; /* whatever came; the machine ends */
                continue;
            }
            kvm_cpu_freshen(e, c);
            if (x86_run_boundary(e->run, c, &exit))
                return exit;
        }
        if (e->step) {
            e->step = false;
            interpret(e, c);
            continue;
        }
        r = run_native(e, c);
    }
}

/* ---- the vtable ---- */

static void kvm_vcpu_done(struct vcpu *vcpu)
{
    struct kvm_cpu *e = vcpu->engine_cpu;
    struct x86_cpu *c = vcpu->cpu;
    if (!e)
        return;
    if (e->given)
        c->profile = e->given;
    if (e->share)
        (void)munmap(e->share, e->vm->run_size); /* our own mapping: cannot fail */
    if (e->fd >= 0)
        (void)close(e->fd);
    x86_run_free(e->run);
    kvm_vm_put(e->vm);
    free(e);
    vcpu->engine_cpu = NULL;
}

/* The machine's KVM side: another vCPU's, or a new one. */
static int find_vm(const struct vcpu *vcpu, struct kvm_vm **ret_vm, struct error *err)
{
    const struct vm *vm = vcpu->vm;
    for (unsigned k = 0; k < vm->nr_vcpus; k++) {
        const struct vcpu *v = vm->vcpu[k];
        if (v && v != vcpu && v->engine == &kvm_engine_ops && v->engine_cpu) {
            *ret_vm = ((struct kvm_cpu *)v->engine_cpu)->vm;
            (*ret_vm)->users++;
            return 0;
        }
    }
    return kvm_vm_new(ret_vm, err);
}

/* c's model becomes the one that KVM shows. The CPUs are not all there yet, so their number is told once more later. */
static int take_model(struct kvm_cpu *e, struct x86_cpu *c)
{
    e->given = c->profile;
    e->profile = *c->profile;
    kvm_model_cut(e->vm, &e->profile);
    c->profile = &e->profile;
    int r = kvm_model_set_cpuid(e->vm, e->fd, c);
    if (r == 0)
        r = kvm_model_shown(e->fd, &e->profile);
    e->nr_msrs = kvm_model_state_msrs(e->vm, e->msr);
    xstate_layout_init(&e->layout);
    for (unsigned n = 0; n < XSTATE_COMPONENTS; n++)
        if (!(e->profile.xcr0 >> n & 1) || !e->profile.has[X86_FEAT_XSAVE])
            e->layout.size[n] = 0;
    return r;
}

static int make_vcpu(struct kvm_cpu *e, unsigned id)
{
    e->fd = ioctl(e->vm->fd, KVM_CREATE_VCPU, (unsigned long)id);
    if (e->fd < 0)
        return -errno;
    void *share = mmap(NULL, e->vm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, e->fd, 0);
    if (share == MAP_FAILED)
        return -errno;
    e->share = share;
    struct kvm_enable_cap enforce = { .cap = KVM_CAP_ENFORCE_PV_FEATURE_CPUID, .args = { 1 } };
    (void)ioctl(e->fd, KVM_ENABLE_CAP, &enforce); /* then KVM's hypercalls are those that our CPUID offers, as under any engine */
    return 0;
}

static int kvm_vcpu_init(struct vcpu *vcpu, struct error *err)
{
    if (vcpu->isa != &x86_isa_ops)
        return error_set(err, -ENOTSUP, "engine kvm does not know the instruction set %s", vcpu->isa->name);
    struct kvm_cpu *e = calloc(1, sizeof(*e));
    vcpu->engine_cpu = e;
    if (!e)
        return error_set(err, -ENOMEM, "no memory for engine kvm's state of CPU %u", vcpu->id);
    e->fd = -1;
    e->cr8 = -1;
    int r = find_vm(vcpu, &e->vm, err);
    if (r < 0)
        return error_prefix(err, "engine kvm");
    e->run = x86_run_new(BLOCKS_BYTES_MIN, 2);
    if (!e->run)
        return error_set(err, -ENOMEM, "no memory for engine kvm's state of CPU %u", vcpu->id);
    r = make_vcpu(e, vcpu->id);
    if (r == 0)
        r = take_model(e, vcpu->cpu);
    if (r < 0)
        return error_set(err, r, "engine kvm: /dev/kvm makes no CPU %u: %s", vcpu->id, strerror(-r));
    return 0;
}

static void kvm_state_changed(struct vcpu *vcpu)
{
    struct kvm_cpu *e = vcpu->engine_cpu;
    x86_state_changed(vcpu->cpu);
    e->there = 0;
    e->forget = true;
    e->step = e->unfinished = e->tsc_offset_set = false;
}

static void kvm_kick(struct vcpu *vcpu)
{
    const struct kvm_cpu *e = vcpu->engine_cpu;
    if (e && atomic_load_explicit(&e->inside, memory_order_seq_cst)) /* partner: enter() */
        (void)syscall(SYS_tgkill, getpid(), atomic_load_explicit(&e->tid, memory_order_relaxed), KICK_SIGNAL);
}

static size_t kvm_stats(const struct vcpu *vcpu, char *text, size_t cap)
{
    const struct kvm_cpu *e = vcpu->engine_cpu;
    uint64_t total = 0;
    for (unsigned k = 0; k < KVM_REASON_NR; k++)
        total += e->reason[k];
    size_t at = (size_t)snprintf(text, cap, "exits %" PRIu64 "\n", total);
    for (unsigned k = 0; k < KVM_REASON_NR && at < cap; k++)
        at += (size_t)snprintf(text + at, cap - at, "exits_%s %" PRIu64 "\n", reason_name[k], e->reason[k]);
    if (at < cap)
        at += (size_t)snprintf(text + at, cap - at,
                               "hypercalls %" PRIu64 "\ninterpreted %" PRIu64 "\ninterrupts %" PRIu64 "\nstate_pulls %" PRIu64
                               "\nstate_pushes %" PRIu64 "\ntables_forgotten %" PRIu64 "\n",
                               e->hypercalls, e->interpreted, e->irqs + e->run->nr_irqs, e->pulls, e->pushes, e->forgets);
    return at < cap ? at : cap ? cap - 1 : 0;
}

static void kvm_probe(const struct isa_ops *isa, struct engine_probe *ret_probe)
{
    (void)isa; /* x86's */
    struct error err = { 0 };
    struct kvm_vm *vm = NULL;
    *ret_probe = (struct engine_probe){ .usable = false };
    if (kvm_vm_new(&vm, &err) < 0) {
        (void)snprintf(ret_probe->why, sizeof(ret_probe->why), "%.150s", err.msg);
        return;
    }
    kvm_vm_put(vm);
    x86_probe(&kvm_engine_ops, "by /dev/kvm", FEW_ROUNDS, ret_probe);
    if (ret_probe->usable && ret_probe->mips >= SLOW_MIPS)
        x86_probe(&kvm_engine_ops, "by /dev/kvm", X86_PROBE_ROUNDS, ret_probe);
    if (!ret_probe->usable)
        return;
    char wrong[48];
    x86_probe_wrong(&kvm_engine_ops, wrong, sizeof(wrong));
    bool slow = ret_probe->mips < AUTO_MIPS;
    ret_probe->avoid = slow || wrong[0];
    if (slow)
        (void)snprintf(ret_probe->why, sizeof(ret_probe->why),
                       "/dev/kvm runs a guest's kernel at %.1f million instructions a second, as if it was emulated%s%s",
                       ret_probe->mips, wrong[0] ? "; it gets wrong: " : "", wrong);
    else if (wrong[0])
        (void)snprintf(ret_probe->why, sizeof(ret_probe->why), "/dev/kvm gets wrong: %s", wrong);
}

bool kvm_descriptors(const struct vcpu *vcpu, struct kvm_descriptor ret_fd[KVM_DESCRIPTORS])
{
    static const unsigned long of_vm[] = { KVM_SET_USER_MEMORY_REGION };
    static const unsigned long of_vcpu[] = {
        KVM_RUN,
        KVM_GET_REGS,
        KVM_SET_REGS,
        KVM_GET_SREGS,
        KVM_SET_SREGS,
        KVM_GET_SREGS2,
        KVM_SET_SREGS2,
        KVM_GET_MSRS,
        KVM_SET_MSRS,
        KVM_GET_XSAVE,
        KVM_SET_XSAVE,
        KVM_GET_XCRS,
        KVM_SET_XCRS,
        KVM_GET_DEBUGREGS,
        KVM_SET_DEBUGREGS,
        KVM_SET_CPUID2,
        KVM_GET_VCPU_EVENTS,
        KVM_SET_VCPU_EVENTS,
        KVM_SET_DEVICE_ATTR,
        KVM_INTERRUPT,
        KVM_SET_SIGNAL_MASK,
    };
    const struct kvm_cpu *e = vcpu->engine == &kvm_engine_ops ? vcpu->engine_cpu : NULL;
    if (!e)
        return false;
    ret_fd[0] = (struct kvm_descriptor){ e->fd, of_vcpu, ARRAY_SIZE(of_vcpu) };
    ret_fd[1] = (struct kvm_descriptor){ e->vm->fd, of_vm, ARRAY_SIZE(of_vm) };
    return true;
}

const struct engine_ops kvm_engine_ops = {
    .name = "kvm",
    .probe = kvm_probe,
    .vcpu_init = kvm_vcpu_init,
    .vcpu_done = kvm_vcpu_done,
    .run = kvm_run,
    .state_changed = kvm_state_changed,
    .kick = kvm_kick,
    .stats = kvm_stats,
};
