/* SPDX-License-Identifier: MIT */
/*
 * doppel's own SBI extension: one short function for each call. See sbi_own.h.
 *
 * What a call names in memory it names by physical address, so that it cannot fault; an array is copied once and checked whole
 * before anything changes.
 */
#include "machine/sbi_own.h"

#include <sched.h>
#include <stdatomic.h>

#include "backend/chardev.h"
#include "core/vcpu.h"
#include "isa/riscv/csr.h"
#include "isa/riscv/mmu.h"
#include "isa/riscv/state.h"
#include "machine/sbi.h"

/* Spec: SBI 2.0, chapter 3.1 */
enum { NOT_SUPPORTED = -2, INVALID_PARAM = -3, INVALID_ADDRESS = -5 };
enum { A0 = 10 };
#define NONE (~0ULL)

static struct sbi_own_answer fail(int64_t error)
{
    return (struct sbi_own_answer){ .error = error };
}

static struct sbi_own_answer value(uint64_t v)
{
    return (struct sbi_own_answer){ .value = v };
}

static struct sbi_own_answer console_write(struct sbi *s, const struct riscv_cpu *c)
{
    uint8_t text[SBI_OWN_CONSOLE_MAX];
    uint64_t len = c->x[A0 + 1];
    if (len > sizeof(text))
        return fail(INVALID_PARAM);
    if (gmem_read(&s->vm->gmem, c->x[A0], text, len) < 0)
        return fail(INVALID_ADDRESS);
    if (!s->console)
        return value(len);
    vm_lock(s->vm);
    uint64_t taken = chardev_write(s->console, text, len);
    vm_unlock(s->vm);
    return value(taken);
}

static struct sbi_own_answer yield(struct sbi *s, struct riscv_cpu *c)
{
    uint64_t how = c->x[A0];
    if (how > 1)
        return fail(INVALID_PARAM);
    vcpu_request(c->vcpu, VCPU_REQ_IRQ); /* one that was put aside is looked for again */
    if (how == 0) {
        (void)sched_yield(); /* cannot fail */
        return value(0);
    }
    struct riscv_shared *shared = c->shared_page ? gmem_pin(&s->vm->gmem, c->shared_page & GPAGE_MASK, sizeof(*shared)) : NULL;
    if (shared) {
        shared->irq_enabled = 1;
        (void)gmem_note_write(&s->vm->gmem, shared);
    }
    c->mstatus |= MSTATUS_SIE;
    if (!(riscv_mip(c) & c->mie))
        c->activity = RISCV_WAITING;
    return value(0);
}

static struct sbi_own_answer mmu_update(struct sbi *s, struct riscv_cpu *c)
{
    struct sbi_own_pte pte[SBI_OWN_PTES_MAX];
    uint64_t n = c->x[A0 + 1], flags = c->x[A0 + 2];
    struct gmem *gmem = &s->vm->gmem;
    if (n > SBI_OWN_PTES_MAX || (flags & ~(uint64_t)SBI_OWN_FLUSH))
        return fail(INVALID_PARAM);
    if (gmem_read(gmem, c->x[A0], pte, n * sizeof(pte[0])) < 0)
        return fail(INVALID_ADDRESS);
    for (uint64_t k = 0; k < n; k++)
        if ((pte[k].entry & 7) || !gmem_pin(gmem, pte[k].entry, 8))
            return fail(INVALID_ADDRESS);
    for (uint64_t k = 0; k < n; k++) {
        _Atomic uint64_t *entry = gmem_pin(gmem, pte[k].entry, 8);
        atomic_store_explicit(entry, pte[k].value, memory_order_release); /* walks of other harts load it */
        (void)gmem_note_write(gmem, entry);
        if (!(flags & SBI_OWN_FLUSH) && pte[k].va != NONE)
            riscv_tlb_fence(c, &pte[k].va, NULL);
    }
    if (flags & SBI_OWN_FLUSH)
        riscv_tlb_fence(c, NULL, NULL);
    return value(n);
}

static struct sbi_own_answer shared_page(struct sbi *s, struct riscv_cpu *c)
{
    uint64_t gpa = c->x[A0];
    if (gpa != NONE && (gpa & ~GPAGE_MASK))
        return fail(INVALID_PARAM);
    if (gpa != NONE && !gmem_pin(&s->vm->gmem, gpa, GPAGE_SIZE))
        return fail(INVALID_ADDRESS);
    c->shared_page = gpa == NONE ? 0 : gpa | RISCV_SHARED_ON;
    return value(0);
}

struct sbi_own_answer sbi_own_call(struct sbi *s, struct riscv_cpu *c, uint64_t fid)
{
    switch (fid) {
    case SBI_OWN_IDENTIFY: return value(SBI_OWN_MAGIC << 32 | SBI_OWN_VERSION);
    case SBI_OWN_CONSOLE_WRITE: return console_write(s, c);
    case SBI_OWN_YIELD: return yield(s, c);
    case SBI_OWN_CLOCK: return value((uint64_t)vm_clock_now(&s->vm->clock));
    case SBI_OWN_MMU_UPDATE: return mmu_update(s, c);
    case SBI_OWN_SHARED_PAGE: return shared_page(s, c);
    default: return fail(NOT_SUPPORTED);
    }
}
