/* SPDX-License-Identifier: MIT */
/*
 * The run loop of an x86 CPU under `interp`: blocks of decoded instructions, and between them everything that can only
 * happen at an instruction boundary.
 *
 * Fast path: find the block at rip, call each instruction's step function. `c->slow` (single-step, breakpoints, an interrupt
 * shadow, RF) takes the same instructions one by one with all checks. A raised exception comes back through trap_env.
 *
 * Spec: Intel SDM 3A 6.9 (priorities at the boundary), 6.8.3 (shadows), 17.3 (debug exceptions), 10.5 (INIT, SIPI)
 */
#include "isa/x86/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/vcpu.h"
#include "core/vm.h"
#include "isa/x86/hypercall.h"
#include "isa/x86/kvmpv.h"
#include "isa/x86/mmu.h"
#include "isa/x86/step.h"
#include "isa/x86/tlb.h"
#include "isa/x86/trap.h"

struct x86_run *x86_run_new(size_t bytes, unsigned regions)
{
    struct x86_run *e = calloc(1, sizeof(*e));
    if (!e)
        return NULL;
    e->blocks = x86_blocks_new(bytes, regions);
    if (!e->blocks) {
        free(e);
        return NULL;
    }
    return e;
}

void x86_run_free(struct x86_run *e)
{
    if (!e)
        return;
    x86_blocks_free(e->blocks);
    free(e);
}

void x86_run_drop(struct x86_run *e)
{
    x86_blocks_drop(e->blocks);
}

/* Executes a block; it is left early when code or mappings may have changed under it. */
void x86_run_block(struct x86_cpu *c, const struct x86_block *b)
{
    const struct x86_insn *i = b->insn, *end = i + b->nr;
    c->insns += b->nr;
    do {
        c->next_rip = c->rip + i->len;
        i->step(c, i);
        c->rip = c->next_rip & c->ip_mask;
    } while (++i < end && !c->code_written);
}

/* Outside 64-bit mode instruction bytes must lie within the code segment. Spec: SDM 3A 5.3 */
static void fetch_limit_check(struct x86_cpu *c, unsigned len)
{
    if (c->mode != X86_MODE_64 && c->rip + len - 1 > c->seg[SEG_CS].limit)
        x86_raise_err(c, X86_GP, 0);
}

void x86_run_fetch(struct x86_cpu *c, struct x86_insn *ret_insn)
{
    uint8_t bytes[X86_INSN_MAX];
    gva_t lin = c->mode == X86_MODE_64 ? c->rip : c->seg[SEG_CS].base + c->rip;
    unsigned left, n;
    fetch_limit_check(c, 1);
    const uint8_t *host = x86_fetch_page(c, lin, &left);
    n = left < X86_INSN_MAX ? left : X86_INSN_MAX;
    memset(bytes, 0xff, sizeof(bytes)); /* what an empty bus gives */
    if (host)
        memcpy(bytes, host, n);
    if (x86_blocks_decode(c, bytes, n, ret_insn) != 0) {
        host = x86_fetch_page(c, lin + n, &left);
        if (host)
            memcpy(bytes + n, host, X86_INSN_MAX - n);             /* at most 14 bytes of a page */
        (void)x86_blocks_decode(c, bytes, X86_INSN_MAX, ret_insn); /* cannot be short */
    }
    fetch_limit_check(c, ret_insn->len);
}

void x86_run_insn(struct x86_cpu *c, const struct x86_insn *i, uint8_t shadow)
{
    c->next_rip = c->rip + i->len;
    i->step(c, i);
    c->rip = c->next_rip & c->ip_mask;
    c->insns++;
    if (shadow && c->int_shadow == shadow)
        c->int_shadow = 0;
    x86_single_step(c);
    x86_flags_update(c);
}

/* One instruction with every check of the boundary around it. */
static void step_slow(struct x86_run *e, struct x86_cpu *c)
{
    uint8_t shadow = c->int_shadow;
    e->nr_slow++;
    fetch_limit_check(c, 1);
    x86_check_breakpoint_fetch(c);
    const struct x86_block *b = x86_blocks_find(e->blocks, c);
    const struct x86_insn *i = b ? &b->insn[0] : x86_blocks_fetch_one(e->blocks, c);
    fetch_limit_check(c, i->len);
    x86_run_insn(c, i, shadow);
}

void x86_run_interpret(struct x86_run *e, struct x86_cpu *c)
{
    c->code_written = false;
    if (__builtin_expect(c->slow, 0)) {
        step_slow(e, c);
        return;
    }
    const struct x86_block *b = x86_blocks_find(e->blocks, c);
    if (__builtin_expect(!b || (c->mode != X86_MODE_64 && c->rip + b->bytes - 1 > c->seg[SEG_CS].limit), 0)) {
        step_slow(e, c);
        return;
    }
    x86_run_block(c, b);
}

/* ---- what happens between instructions ---- */

static void start_up(struct x86_cpu *c, uint8_t vector)
{
    struct x86_seg *cs = &c->seg[SEG_CS];
    cs->sel = (uint16_t)(vector << 8);
    cs->base = (uint64_t)vector << 12;
    c->rip = 0;
    c->activity = X86_RUNNING;
    x86_mode_update(c);
}

/* Takes one interrupt from the controller if there is one. */
static bool take_irq(struct x86_run *e, struct x86_cpu *c)
{
    struct vcpu *v = c->vcpu;
    (void)vcpu_take(v, VCPU_REQ_IRQ);
    if (!v->intc)
        return false;
    vm_lock(v->vm);
    int vector = v->intc->accept(v->intc_dev);
    bool more = vector >= 0 && v->intc->poll(v->intc_dev) >= 0; /* of the 8259s; what an APIC holds back it tells of later */
    vm_unlock(v->vm);
    if (vector < 0)
        return false;
    if (more)
        vcpu_request(v, VCPU_REQ_IRQ); /* look again when interrupts are on */
    x86_kvm_tell_steal(c);             /* before the guest's clock tick asks */
    c->activity = X86_RUNNING;
    e->nr_irqs++;
    x86_deliver_event(c, (unsigned)vector, X86_EVENT_EXTERNAL);
    return true;
}

static void take_nmi(struct x86_cpu *c)
{
    if (vcpu_take(c->vcpu, VCPU_REQ_NMI))
        c->nmi_pending = true;
    if (!c->nmi_pending || c->nmi_blocked || c->int_shadow == 2 || c->activity == X86_WAIT_SIPI)
        return;
    c->nmi_pending = false;
    c->activity = X86_RUNNING;
    x86_deliver_event(c, X86_NMI, X86_EVENT_NMI);
}

/* INIT and SIPI. */
static void take_startup(struct x86_cpu *c, uint32_t reqs)
{
    if (reqs & VCPU_REQ_INIT) {
        (void)vcpu_take(c->vcpu, VCPU_REQ_INIT);
        x86_cpu_init_signal(c);
    }
    if (vcpu_take(c->vcpu, VCPU_REQ_SIPI) && c->activity == X86_WAIT_SIPI)
        start_up(
            c, atomic_load_explicit(&c->vcpu->sipi_vector, memory_order_acquire)); /* partner: lapic's store before the request */
}

/* KVM_HC_KICK_CPU by another CPU: ends a HLT, or the next one. */
static void take_unhalt(struct x86_cpu *c, uint32_t reqs)
{
    if ((reqs & VCPU_REQ_UNHALT) && vcpu_take(c->vcpu, VCPU_REQ_UNHALT))
        c->unhalted = true;
    if (!c->unhalted || c->activity != X86_HALTED)
        return;
    c->unhalted = false;
    c->activity = X86_RUNNING;
}

/* Nothing to execute: sleeps unless something has come. Requests that cannot wake are cleared, so that sleeping is quiet. */
static bool must_sleep(struct x86_run *e, struct x86_cpu *c)
{
    if (c->activity == X86_RUNNING)
        return false;
    if (c->activity == X86_HALTED && x86_interruptible(c)) {
        while (vcpu_requests(c->vcpu) & VCPU_REQ_IRQ)
            if (take_irq(e, c))
                return false;
        return true;
    }
    (void)vcpu_take(c->vcpu, VCPU_REQ_IRQ);
    return true;
}

static void wake_up_check(struct x86_cpu *c)
{
    /* what was cleared while it could not be taken is looked for again */
    if (c->activity == X86_RUNNING && c->vcpu->intc)
        vcpu_request(c->vcpu, VCPU_REQ_IRQ);
}

/* Serves requests at a boundary. Returns true when run() must return *ret_exit. */
static bool boundary(struct x86_run *e, struct x86_cpu *c, uint32_t reqs, enum vcpu_exit *ret_exit)
{
    uint8_t was = c->activity;
    if (c->activity == X86_SHUTDOWN) {
        *ret_exit = VCPU_EXIT_SHUTDOWN;
        return true;
    }
    if (c->pending_dbg && c->int_shadow != 2)
        x86_deliver_event(c, X86_DB, X86_EVENT_EXCEPTION);
    if (reqs & (VCPU_REQ_STOP | VCPU_REQ_END)) {
        *ret_exit = VCPU_EXIT_REQUEST;
        return true;
    }
    (void)vcpu_take(c->vcpu, VCPU_REQ_CODE); /* to be here was all that was asked */
    if (vcpu_take(c->vcpu, VCPU_REQ_FLUSH)) {
        x86_state_changed(c);
        x86_run_drop(e);
    }
    if (reqs & (VCPU_REQ_INIT | VCPU_REQ_SIPI))
        take_startup(c, reqs);
    take_unhalt(c, reqs);
    if ((reqs & VCPU_REQ_NMI) || c->nmi_pending)
        take_nmi(c);
    if (c->activity == X86_RUNNING && (reqs & VCPU_REQ_IRQ) && x86_interruptible(c))
        (void)take_irq(e, c);
    if (was != X86_RUNNING)
        wake_up_check(c);
    if (must_sleep(e, c)) {
        *ret_exit = VCPU_EXIT_SLEEP;
        return true;
    }
    return false;
}

static enum vcpu_exit shut_down(struct x86_cpu *c)
{
    char where[128];
    c->vcpu->isa->describe(c->vcpu, where, sizeof(where));
    vm_request_end(c->vcpu->vm, VM_END_SHUTDOWN, 0, "triple fault: %s", where);
    return VCPU_EXIT_SHUTDOWN;
}

bool x86_run_boundary(struct x86_run *e, struct x86_cpu *c, enum vcpu_exit *ret_exit)
{
    for (;;) {
        uint32_t reqs = vcpu_requests(c->vcpu);
        bool calm = !(reqs & ~(uint32_t)VCPU_REQ_IRQ) && (!reqs || !x86_interruptible(c));
        if (__builtin_expect(calm && c->activity == X86_RUNNING && !c->pending_dbg && !c->nmi_pending, 1))
            return false;
        if (boundary(e, c, reqs, ret_exit)) {
            if (*ret_exit == VCPU_EXIT_SHUTDOWN)
                *ret_exit = shut_down(c);
            x86_kvm_leave(c);
            return true;
        }
        if (c->activity == X86_RUNNING)
            return false;
    }
}

enum vcpu_exit x86_run_blocks(struct x86_run *e, struct x86_cpu *c, uint64_t blocks)
{
    enum vcpu_exit exit;
    uint64_t *left = &e->nr_blocks, end = e->nr_blocks + blocks;
    x86_kvm_enter(c);
    c->trap_env = &e->env;
    if (_setjmp(e->env)) { /* a step function raised */
        e->nr_traps++;
        x86_deliver_trap(c);
        c->trap_env = &e->env;
    }
    while (*left != end) {
        if (x86_run_boundary(e, c, &exit))
            return exit;
        ++*left;
        x86_run_interpret(e, c);
    }
    return VCPU_EXIT_REQUEST;
}

void x86_run_step(struct x86_run *e, struct x86_cpu *c)
{
    c->trap_env = &e->env;
    if (_setjmp(e->env)) {
        e->nr_traps++;
        x86_deliver_trap(c);
        return;
    }
    c->code_written = false;
    step_slow(e, c);
}

size_t x86_run_stats(const struct x86_run *e, const struct x86_cpu *c, uint64_t translated, char *text, size_t cap)
{
    const struct x86_blocks_stats *s = x86_blocks_stats(e->blocks);
    int n = snprintf(
        text, cap,
        "instructions %lu\nblocks_run %lu\nslow_steps %lu\ntraps %lu\ninterrupts %lu\nblocks_built %lu\n"
        "insns_decoded %lu\nblocks_revalidated %lu\nblocks_stale %lu\nblock_lookups_slow %lu\ninsns_uncached %lu\n"
        "cache_drops %lu\ncache_evictions %lu\ntlb_misses_read %lu\ntlb_misses_write %lu\ntlb_misses_fetch %lu\ntlb_flushes %lu\n"
        "tlb_page_flushes %lu\naddress_space_switches %lu\n",
        c->insns + translated, e->nr_blocks, e->nr_slow, e->nr_traps, e->nr_irqs, s->built, s->insns_decoded, s->revalidated,
        s->stale, s->lookups_slow, s->uncached, s->drops, s->evictions, c->tlb->misses[X86_READ], c->tlb->misses[X86_WRITE],
        c->tlb->misses[X86_FETCH], c->tlb->flushes, c->tlb->page_flushes, c->tlb->switches);
    return n < 0 ? 0 : (size_t)n < cap ? (size_t)n : cap - 1;
}
