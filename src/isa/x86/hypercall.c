/* SPDX-License-Identifier: MIT */
/*
 * The hypercalls: one short function each, in the order of their numbers.
 *
 * What a call names in memory it names by physical address, so that it cannot fault; an array is copied once and checked whole
 * before anything changes. Every call ends the block of the engine that made it, because it may have changed mappings, or what
 * happens at the next boundary.
 *
 * Spec: docs/hypercalls.md
 */
#include "isa/x86/hypercall.h"

#include <sched.h>
#include <stdatomic.h>

#include "core/vm.h"
#include "isa/x86/mmu.h"
#include "isa/x86/sysreg.h"

/* hc_shared is the page's address with this bit, so that page 0 is one, too. */
enum { SHARED_ON = 1 };

static int64_t hc_identify(struct x86_cpu *c)
{
    (void)c;
    return (int64_t)(X86_HC_MAGIC << 32 | X86_HC_VERSION);
}

static int64_t hc_console_write(struct x86_cpu *c)
{
    uint8_t text[X86_HC_CONSOLE_MAX];
    uint64_t len = c->gpr[RSI];
    struct vm *vm = c->vcpu->vm;
    if (len > sizeof(text))
        return -X86_HC_E2BIG;
    if (gmem_read(c->gmem, c->gpr[RDI], text, len) < 0)
        return -X86_HC_EFAULT;
    if (!vm->console_write)
        return (int64_t)len; /* nobody listens, as with a serial port that nothing is plugged into */
    vm_lock(vm);
    size_t taken = vm->console_write(vm->console, text, len);
    vm_unlock(vm);
    return (int64_t)taken;
}

static int64_t hc_yield(struct x86_cpu *c)
{
    uint64_t how = c->gpr[RDI];
    if (how > 1)
        return -X86_HC_EINVAL;
    vcpu_request(c->vcpu, VCPU_REQ_IRQ); /* one that was put aside is looked for again */
    if (how == 0) {
        (void)sched_yield(); /* cannot fail */
        return 0;
    }
    struct x86_hc_shared *s = c->hc_shared ? gmem_pin(c->gmem, c->hc_shared & GPAGE_MASK, sizeof(*s)) : NULL;
    if (s) {
        s->irq_enabled = 1;
        (void)gmem_note_write(c->gmem, s);
    }
    c->rflags |= FLAG_IF;
    c->activity = X86_HALTED;
    return 0;
}

static int64_t hc_clock(struct x86_cpu *c)
{
    return vm_clock_now(&c->vcpu->vm->clock);
}

static bool pte_legal(const struct x86_cpu *c, const struct x86_hc_pte *p)
{
    return !(p->entry & 7) && gmem_pin(c->gmem, p->entry, 8);
}

static int64_t hc_mmu_update(struct x86_cpu *c)
{
    struct x86_hc_pte pte[X86_HC_PTES_MAX];
    uint64_t n = c->gpr[RSI], flags = c->gpr[RDX];
    if (n > X86_HC_PTES_MAX)
        return -X86_HC_E2BIG;
    if (flags & ~(uint64_t)X86_HC_MMU_FLUSH)
        return -X86_HC_EINVAL;
    if (gmem_read(c->gmem, c->gpr[RDI], pte, n * sizeof(pte[0])) < 0)
        return -X86_HC_EFAULT;
    for (uint64_t k = 0; k < n; k++)
        if (!pte_legal(c, &pte[k]))
            return -X86_HC_EFAULT;
    for (uint64_t k = 0; k < n; k++) {
        _Atomic uint64_t *entry = gmem_pin(c->gmem, pte[k].entry, 8);
        atomic_store_explicit(entry, pte[k].value, memory_order_release); /* walks of other CPUs load it */
        (void)gmem_note_write(c->gmem, entry);
        if (!(flags & X86_HC_MMU_FLUSH) && x86_canonical(pte[k].va))
            x86_tlb_flush_page(c, pte[k].va & GPAGE_MASK);
    }
    if (flags & X86_HC_MMU_FLUSH)
        x86_tlb_flush_all(c);
    return (int64_t)n;
}

static int64_t hc_shared_page(struct x86_cpu *c)
{
    uint64_t gpa = c->gpr[RDI];
    if (gpa == X86_HC_NO_PAGE) {
        c->hc_shared = 0;
        return 0;
    }
    if (gpa & ~GPAGE_MASK)
        return -X86_HC_EINVAL;
    if (!gmem_pin(c->gmem, gpa, GPAGE_SIZE))
        return -X86_HC_EFAULT;
    c->hc_shared = gpa | SHARED_ON;
    return 0;
}

static int64_t hc_mode(struct x86_cpu *c)
{
    return c->cpl;
}

static int64_t (*const calls[X86_HC_NR])(struct x86_cpu *c) = {
    [X86_HC_IDENTIFY] = hc_identify, [X86_HC_CONSOLE_WRITE] = hc_console_write, [X86_HC_YIELD] = hc_yield,
    [X86_HC_CLOCK] = hc_clock,       [X86_HC_MMU_UPDATE] = hc_mmu_update,       [X86_HC_SHARED_PAGE] = hc_shared_page,
    [X86_HC_MODE] = hc_mode,
};

void x86_hypercall(struct x86_cpu *c)
{
    uint64_t nr = c->gpr[RAX];
    int64_t result;
    if (nr >= X86_HC_NR)
        result = -X86_HC_ENOSYS;
    else if (c->cpl != 0 && nr != X86_HC_MODE)
        result = -X86_HC_EPERM;
    else
        result = calls[nr](c);
    c->gpr[RAX] = (uint64_t)result;
    c->code_written = true;
}

bool x86_hc_interruptible(struct x86_cpu *c)
{
    struct x86_hc_shared *s = gmem_pin(c->gmem, c->hc_shared & GPAGE_MASK, sizeof(*s));
    if (!s || s->irq_enabled)
        return true;
    if (!s->irq_pending && (vcpu_requests(c->vcpu) & VCPU_REQ_IRQ)) {
        s->irq_pending = 1;
        (void)gmem_note_write(c->gmem, s);
    }
    return false;
}
