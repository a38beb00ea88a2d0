/* SPDX-License-Identifier: MIT */
/*
 * Loading and saving a vCPU's state.
 *
 * Two things need care. An access to a device ends only when the guest is entered again; so before the state is saved KVM_RUN is
 * called once more, told to come back at once. And what KVM was in the middle of delivering, an exception or interrupt, is
 * between two instructions of the architecture's: we deliver it by the definition, and have a plain boundary.
 *
 * Spec: Linux Documentation/virt/kvm/api.rst 4.10-4.13, 4.18, 4.22, 4.31, 4.34, 4.42, 5 (kvm_run)
 */
#include "engine/kvm/kvm_cpu.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/checked.h"
#include "core/vcpu.h"
#include "core/vm.h"
#include "isa/x86/gpr_names.h"
#include "isa/x86/mmu.h"
#include "isa/x86/sysreg.h"
#include "isa/x86/tlb.h"
#include "isa/x86/trap.h"

enum { MSR_TSC = 0x10, MSR_APIC_BASE = 0x1b };
/* A string instruction goes on meanwhile, for 1024 elements in pieces of up to 8. */
enum { ENDS_MAX = 1 << 14 };

int kvm_cpu_ioctl(const struct kvm_cpu *e, unsigned long request, void *arg)
{
    return ioctl(e->fd, request, arg) < 0 ? -errno : 0;
}

/* ---- segments and special registers ---- */

static struct kvm_segment segment_out(const struct x86_seg *s)
{
    return (struct kvm_segment){
        .base = s->base,
        .limit = s->limit,
        .selector = s->sel,
        .type = s->attr & SEG_TYPE,
        .present = !!(s->attr & SEG_P) && !(s->attr & SEG_UNUSABLE),
        .dpl = s->attr >> SEG_DPL_SHIFT & 3,
        .db = !!(s->attr & SEG_DB),
        .s = !!(s->attr & SEG_S),
        .l = !!(s->attr & SEG_L),
        .g = !!(s->attr & SEG_G),
        .avl = !!(s->attr & SEG_AVL),
        .unusable = !!(s->attr & SEG_UNUSABLE),
    };
}

static struct x86_seg segment_in(const struct kvm_segment *s)
{
    struct x86_seg r = { .base = s->base, .limit = s->limit, .sel = s->selector, .attr = (uint32_t)s->dpl << SEG_DPL_SHIFT };
    if (s->unusable) { /* the rest of it means nothing, and is not the same on all CPUs */
        r.limit = 0;
        r.attr |= SEG_UNUSABLE;
        return r;
    }
    r.attr |= s->type | (s->s ? SEG_S : 0U) | (s->present ? SEG_P : 0U) | (s->avl ? SEG_AVL : 0U) | (s->l ? SEG_L : 0U)
              | (s->db ? SEG_DB : 0U) | (s->g ? SEG_G : 0U);
    return r;
}

/* What both forms of the special registers have. */
#define SREGS_OUT(s, c)                                                                                                          \
    do {                                                                                                                         \
        (s)->es = segment_out(&(c)->seg[SEG_ES]);                                                                                \
        (s)->cs = segment_out(&(c)->seg[SEG_CS]);                                                                                \
        (s)->ss = segment_out(&(c)->seg[SEG_SS]);                                                                                \
        (s)->ds = segment_out(&(c)->seg[SEG_DS]);                                                                                \
        (s)->fs = segment_out(&(c)->seg[SEG_FS]);                                                                                \
        (s)->gs = segment_out(&(c)->seg[SEG_GS]);                                                                                \
        (s)->ldt = segment_out(&(c)->seg[SEG_LDTR]);                                                                             \
        (s)->tr = segment_out(&(c)->seg[SEG_TR]);                                                                                \
        (s)->gdt = (struct kvm_dtable){ .base = (c)->gdtr.base, .limit = (c)->gdtr.limit };                                      \
        (s)->idt = (struct kvm_dtable){ .base = (c)->idtr.base, .limit = (c)->idtr.limit };                                      \
        (s)->cr0 = (c)->cr0;                                                                                                     \
        (s)->cr2 = (c)->cr2;                                                                                                     \
        (s)->cr3 = (c)->cr3;                                                                                                     \
        (s)->cr4 = (c)->cr4;                                                                                                     \
        (s)->efer = (c)->efer;                                                                                                   \
    } while (0)

#define SREGS_IN(s, c)                                                                                                           \
    do {                                                                                                                         \
        (c)->seg[SEG_ES] = segment_in(&(s)->es);                                                                                 \
        (c)->seg[SEG_CS] = segment_in(&(s)->cs);                                                                                 \
        (c)->seg[SEG_SS] = segment_in(&(s)->ss);                                                                                 \
        (c)->seg[SEG_DS] = segment_in(&(s)->ds);                                                                                 \
        (c)->seg[SEG_FS] = segment_in(&(s)->fs);                                                                                 \
        (c)->seg[SEG_GS] = segment_in(&(s)->gs);                                                                                 \
        (c)->seg[SEG_LDTR] = segment_in(&(s)->ldt);                                                                              \
        (c)->seg[SEG_TR] = segment_in(&(s)->tr);                                                                                 \
        (c)->gdtr = (struct x86_table_reg){ .base = (s)->gdt.base, .limit = (s)->gdt.limit };                                    \
        (c)->idtr = (struct x86_table_reg){ .base = (s)->idt.base, .limit = (s)->idt.limit };                                    \
        (c)->cr0 = (s)->cr0;                                                                                                     \
        (c)->cr2 = (s)->cr2;                                                                                                     \
        (c)->cr3 = (s)->cr3;                                                                                                     \
        (c)->cr4 = (s)->cr4;                                                                                                     \
        (c)->efer = (s)->efer;                                                                                                   \
    } while (0)

static uint64_t apic_base(const struct x86_cpu *c)
{
    struct vcpu *v = c->vcpu;
    uint64_t base = 0xfee00900; /* bare tests have no APIC */
    if (!v->intc)
        return base;
    vm_lock(v->vm);
    (void)v->intc->msr_read(v->intc_dev, MSR_APIC_BASE, &base); /* there always is one */
    vm_unlock(v->vm);
    return base;
}

static int put_sregs(const struct kvm_cpu *e, const struct x86_cpu *c, uint64_t cr4)
{
    const uint64_t base = apic_base(c);
    if (e->vm->sregs2) {
        struct kvm_sregs2 s = { .apic_base = base };
        SREGS_OUT(&s, c);
        s.cr4 = cr4;
        if ((c->cr0 & CR0_PG) && (c->cr4 & CR4_PAE) && !(c->efer & EFER_LMA)) {
            s.flags = KVM_SREGS2_FLAGS_PDPTRS_VALID;
            memcpy(s.pdptrs, c->pdpte, sizeof(s.pdptrs));
        }
        return kvm_cpu_ioctl(e, KVM_SET_SREGS2, &s);
    }
    struct kvm_sregs s = { .apic_base = base };
    SREGS_OUT(&s, c);
    s.cr4 = cr4;
    return kvm_cpu_ioctl(e, KVM_SET_SREGS, &s);
}

static int get_sregs(const struct kvm_cpu *e, struct x86_cpu *c)
{
    if (e->vm->sregs2) {
        struct kvm_sregs2 s;
        int r = kvm_cpu_ioctl(e, KVM_GET_SREGS2, &s);
        if (r < 0)
            return r;
        SREGS_IN(&s, c);
        if (s.flags & KVM_SREGS2_FLAGS_PDPTRS_VALID)
            memcpy(c->pdpte, s.pdptrs, sizeof(c->pdpte));
        return 0;
    }
    struct kvm_sregs s;
    int r = kvm_cpu_ioctl(e, KVM_GET_SREGS, &s);
    if (r == 0)
        SREGS_IN(&s, c);
    return r;
}

/* ---- general registers ---- */

static int put_regs(const struct kvm_cpu *e, const struct x86_cpu *c)
{
#define OUT(number, name) .name = c->gpr[number],
    struct kvm_regs r = { X86_GPRS(OUT).rip = c->rip, .rflags = c->rflags };
#undef OUT
    return kvm_cpu_ioctl(e, KVM_SET_REGS, &r);
}

static int get_regs(const struct kvm_cpu *e, struct x86_cpu *c)
{
    struct kvm_regs r;
    int err = kvm_cpu_ioctl(e, KVM_GET_REGS, &r);
    if (err < 0)
        return err;
#define IN(number, name) c->gpr[number] = r.name;
    X86_GPRS(IN)
#undef IN
    c->rip = c->next_rip = r.rip;
    c->rflags = r.rflags;
    return 0;
}

/* ---- what is to be delivered ---- */

static uint64_t flushes(const struct x86_cpu *c)
{
    return c->tlb->flushes + c->tlb->page_flushes + c->tlb->switches;
}

void kvm_cpu_freshen(struct kvm_cpu *e, struct x86_cpu *c)
{
    if (!e->tlb_stale)
        return;
    uint64_t before = flushes(c);
    x86_tlb_flush_all(c);
    e->flushes_seen += flushes(c) - before; /* that was not the guest */
    e->tlb_stale = false;
}

static int put_events(const struct kvm_cpu *e, const struct x86_cpu *c)
{
    struct kvm_vcpu_events ev = {
        .flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW,
        .nmi = { .pending = c->nmi_pending, .masked = c->nmi_blocked },
        .interrupt = { .shadow = c->int_shadow == 0   ? 0
                                 : c->int_shadow == 1 ? KVM_X86_SHADOW_INT_STI
                                                      : KVM_X86_SHADOW_INT_MOV_SS },
    };
    return kvm_cpu_ioctl(e, KVM_SET_VCPU_EVENTS, &ev);
}

/* Software interrupts are not among it: the instruction that made one has not been completed, and comes again. */
static void deliver(struct kvm_cpu *e, struct x86_cpu *c, const struct kvm_vcpu_events *ev)
{
    const uint8_t nr = ev->exception.nr;
    bool soft = nr == X86_BP || nr == X86_OF;
    if (ev->exception.injected || ev->interrupt.injected || ev->nmi.injected)
        kvm_cpu_freshen(e, c);
    /* a #UD for the instruction that we shall execute in its place is not one */
    if (ev->exception.injected && !soft && !(nr == X86_UD && e->step)) {
        c->trap = (struct x86_trap){
            .vector = nr, .has_error = ev->exception.has_error_code, .error = ev->exception.error_code, .cr2 = c->cr2
        };
        x86_deliver_trap(c);
        e->step = false;
    } else if (ev->interrupt.injected && !ev->interrupt.soft) {
        x86_deliver_event(c, ev->interrupt.nr, X86_EVENT_EXTERNAL);
        e->step = false;
    } else if (ev->nmi.injected) {
        c->nmi_blocked = false;
        x86_deliver_event(c, X86_NMI, X86_EVENT_NMI);
        e->step = false;
    }
}

static int get_events(struct kvm_cpu *e, struct x86_cpu *c)
{
    struct kvm_vcpu_events ev;
    int r = kvm_cpu_ioctl(e, KVM_GET_VCPU_EVENTS, &ev);
    if (r < 0)
        return r;
    /* AMD's CPUs have one shadow for both */
    c->int_shadow = ev.interrupt.shadow & KVM_X86_SHADOW_INT_STI ? 1 : ev.interrupt.shadow & KVM_X86_SHADOW_INT_MOV_SS ? 2 : 0;
    c->nmi_blocked = ev.nmi.masked;
    c->nmi_pending = ev.nmi.pending;
    x86_mode_update(c);
    deliver(e, c, &ev);
    return 0;
}

/* ---- the rest ---- */

struct msr_list { /* struct kvm_msrs with its entries */
    uint32_t nmsrs, pad;
    struct kvm_msr_entry entry[KVM_MODEL_MSRS_MAX];
};
static_assert(offsetof(struct kvm_msrs, entries) == offsetof(struct msr_list, entry), "the kernel's layout");

static uint64_t *msr_field(struct x86_cpu *c, const struct kvm_model_msr *m)
{
    return (uint64_t *)((uint8_t *)c + m->offset);
}

static int put_msrs(const struct kvm_cpu *e, struct x86_cpu *c)
{
    struct msr_list l = { .nmsrs = e->nr_msrs };
    for (unsigned k = 0; k < e->nr_msrs; k++)
        l.entry[k] = (struct kvm_msr_entry){ .index = e->msr[k].msr, .data = *msr_field(c, &e->msr[k]) };
    int n = ioctl(e->fd, KVM_SET_MSRS, &l);
    return n == (int)e->nr_msrs ? 0 : n < 0 ? -errno : -EINVAL; /* it stops at the first that it does not take */
}

static int get_msrs(const struct kvm_cpu *e, struct x86_cpu *c)
{
    struct msr_list l = { .nmsrs = e->nr_msrs };
    for (unsigned k = 0; k < e->nr_msrs; k++)
        l.entry[k].index = e->msr[k].msr;
    int n = ioctl(e->fd, KVM_GET_MSRS, &l);
    if (n != (int)e->nr_msrs)
        return n < 0 ? -errno : -EIO;
    for (unsigned k = 0; k < e->nr_msrs; k++)
        *msr_field(c, &e->msr[k]) = l.entry[k].data;
    return 0;
}

static int put_xstate(const struct kvm_cpu *e, const struct x86_cpu *c)
{
    struct kvm_xsave x;
    memset(&x, 0, sizeof(x));
    xstate_put(&e->layout, (uint8_t *)x.region, sizeof(x.region), &c->fpu);
    int r = kvm_cpu_ioctl(e, KVM_SET_XSAVE, &x);
    if (r < 0 || !e->profile.has[X86_FEAT_XSAVE])
        return r;
    struct kvm_xcrs xcrs = { .nr_xcrs = 1, .xcrs = { { .xcr = 0, .value = c->xcr0 } } };
    return kvm_cpu_ioctl(e, KVM_SET_XCRS, &xcrs);
}

static int get_xstate(const struct kvm_cpu *e, struct x86_cpu *c)
{
    struct kvm_xsave x;
    int r = kvm_cpu_ioctl(e, KVM_GET_XSAVE, &x);
    if (r < 0)
        return r;
    xstate_get(&e->layout, (const uint8_t *)x.region, sizeof(x.region), &c->fpu);
    if (!e->profile.has[X86_FEAT_XSAVE])
        return 0;
    struct kvm_xcrs xcrs;
    r = kvm_cpu_ioctl(e, KVM_GET_XCRS, &xcrs);
    for (unsigned k = 0; r == 0 && k < xcrs.nr_xcrs && k < KVM_MAX_XCRS; k++)
        if (xcrs.xcrs[k].xcr == 0)
            c->xcr0 = xcrs.xcrs[k].value;
    return r;
}

static int put_debug(const struct kvm_cpu *e, const struct x86_cpu *c)
{
    struct kvm_debugregs d = { .dr6 = c->dr6, .dr7 = c->dr7 };
    memcpy(d.db, c->dr, sizeof(d.db));
    return kvm_cpu_ioctl(e, KVM_SET_DEBUGREGS, &d);
}

static int get_debug(const struct kvm_cpu *e, struct x86_cpu *c)
{
    struct kvm_debugregs d;
    int r = kvm_cpu_ioctl(e, KVM_GET_DEBUGREGS, &d);
    if (r < 0)
        return r;
    memcpy(c->dr, d.db, sizeof(c->dr));
    c->dr6 = d.dr6;
    c->dr7 = d.dr7;
    return 0;
}

/* The guest's TSC is the host's with an offset, so that it stands while the machine is paused. */
int kvm_cpu_put_tsc(struct kvm_cpu *e, const struct x86_cpu *c)
{
    const struct vm_clock *clock = &c->vcpu->vm->clock;
    int64_t offset = (int64_t)(clock->tsc_offset + c->tsc_adjust);
    if (e->tsc_offset_set && e->tsc_offset == offset)
        return 0;
    struct kvm_device_attr attr = { .group = KVM_VCPU_TSC_CTRL, .attr = KVM_VCPU_TSC_OFFSET, .addr = (uintptr_t)&offset };
    int r = e->vm->tsc_offset ? kvm_cpu_ioctl(e, KVM_SET_DEVICE_ATTR, &attr) : -ENOTSUP;
    if (r < 0) { /* older kernels: as near as can be */
        struct msr_list l = { .nmsrs = 1, .entry = { { .index = MSR_TSC, .data = x86_tsc(c) } } };
        int n = ioctl(e->fd, KVM_SET_MSRS, &l);
        r = n == 1 ? 0 : n < 0 ? -errno : -EINVAL;
    }
    e->tsc_offset = offset;
    e->tsc_offset_set = r == 0;
    return r;
}

/* ---- page tables ---- */

static void each_other(const struct vcpu *self, void (*fn)(struct vcpu *v))
{
    struct vm *vm = self->vm;
    for (unsigned k = 0; k < vm->nr_vcpus; k++)
        if (vm->vcpu[k] && vm->vcpu[k] != self)
            fn(vm->vcpu[k]);
}

static void kick(struct vcpu *v)
{
    if (v->engine->kick)
        v->engine->kick(v);
}

/* With nested paging the CPU must drop what it remembers; a change of CR4.PGE does that. With shadows, which belong to all vCPUs,
 * KVM must make them anew: the others leave the guest meanwhile. */
static int forget(struct kvm_cpu *e, struct x86_cpu *c)
{
    int r;
    e->forgets++;
    if (!e->vm->shadows) {
        r = put_sregs(e, c, c->cr4 ^ CR4_PGE);
        return r < 0 ? r : put_sregs(e, c, c->cr4);
    }
    atomic_fetch_add_explicit(&e->vm->forgetting, 1, memory_order_seq_cst); /* partner: must_look() in kvm.c */
    each_other(c->vcpu, kick);
    (void)pthread_rwlock_wrlock(&e->vm->slots_lock);
    r = kvm_vm_forget(e->vm);
    (void)pthread_rwlock_unlock(&e->vm->slots_lock);
    atomic_fetch_sub_explicit(&e->vm->forgetting, 1, memory_order_seq_cst);
    return r;
}

/* ---- there and back ---- */

/* Ends what the guest was doing when KVM came back. */
static int finish(struct kvm_cpu *e, struct x86_cpu *c)
{
    int r = 0;
    for (unsigned n = 0; e->unfinished && r == 0; n++) {
        if (n == ENDS_MAX)
            return -EIO;
        e->unfinished = false;
        e->share->immediate_exit = 1;
        r = kvm_cpu_ioctl(e, KVM_RUN, NULL);
        e->share->immediate_exit = 0;
        r = r == -EINTR ? 0 : r < 0 ? r : kvm_exit_serve(e, c);
    }
    return r;
}

int kvm_cpu_pull(struct kvm_cpu *e, struct x86_cpu *c, unsigned parts)
{
    int r = finish(e, c);
    parts &= e->there;
    if (!parts || r < 0)
        return r;
    e->pulls++;
    if (parts & KVM_PART_REST) {
        r = get_msrs(e, c);
        if (r == 0)
            r = get_xstate(e, c);
        if (r == 0)
            r = get_debug(e, c);
    }
    if (r == 0 && (parts & KVM_PART_CORE))
        r = get_regs(e, c);
    if (r == 0 && (parts & KVM_PART_CORE))
        r = get_sregs(e, c);
    e->there &= ~parts;
    return r == 0 && (parts & KVM_PART_CORE) ? get_events(e, c) : r;
}

/* What this KVM can never have; of all else it says so itself. */
static bool can_have(const struct kvm_cpu *e, const struct x86_cpu *c)
{
    uint64_t xcr0 = e->profile.has[X86_FEAT_XSAVE] ? e->profile.xcr0 : XCR0_X87;
    return !(c->xcr0 & ~xcr0);
}

static int push_core(struct kvm_cpu *e, const struct x86_cpu *c)
{
    int r = put_sregs(e, c, c->cr4);
    if (r == 0)
        r = put_regs(e, c);
    return r == 0 ? put_events(e, c) : r;
}

static int push_rest(struct kvm_cpu *e, struct x86_cpu *c)
{
    int r = put_xstate(e, c);
    if (r == 0)
        r = put_msrs(e, c);
    if (r == 0)
        r = put_debug(e, c);
    return r == 0 ? kvm_cpu_put_tsc(e, c) : r;
}

int kvm_cpu_push(struct kvm_cpu *e, struct x86_cpu *c)
{
    int r = 0;
    if (e->there == KVM_PART_ALL)
        return 0;
    if (!can_have(e, c))
        return 1;
    e->pushes++;
    e->forget |= flushes(c) != e->flushes_seen;
    if (!(e->there & KVM_PART_CORE))
        r = push_core(e, c);
    if (r == 0 && !(e->there & KVM_PART_REST))
        r = push_rest(e, c);
    if (r == 0 && e->forget) {
        r = forget(e, c);
        e->forget = r < 0;
    }
    e->flushes_seen = flushes(c);
    if (r == 0) {
        e->there = KVM_PART_ALL;
        e->apic_base = e->fresh = false;
        e->cr8 = -1;
    }
    return r == -EINVAL ? 1 : r;
}
