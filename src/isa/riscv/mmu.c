/* SPDX-License-Identifier: MIT */
/*
 * Memory accesses of a RISC-V hart that miss the TLB. See mmu.h.
 */
#include "isa/riscv/mmu.h"

#include "core/vcpu.h"
#include "core/vm.h"
#include "isa/riscv/trap.h"

/* Where a piece of an access within one page lies. */
struct piece {
    uint8_t *host; /* NULL: device registers */
    gpa_t gpa;
    unsigned len;
};

static void fill(struct riscv_cpu *c, gva_t va, uint8_t *host, const struct riscv_walk *w, enum riscv_access access,
                 enum riscv_bank bank)
{
    gpa_t page = w->gpa & GPAGE_MASK;
    bool machine = bank == RISCV_BANK_M;
    if (bank > RISCV_BANK_LAST)
        return;
    if (!riscv_pmp_allows(c, page, GPAGE_SIZE, access, machine))
        return; /* the verdict differs within the page */
    bool writable = access == RISCV_READ && w->dirty_writable && riscv_pmp_allows(c, page, GPAGE_SIZE, RISCV_WRITE, machine);
    riscv_tlb_fill(c, va, host, w, access, bank, writable);
}

uint8_t riscv_fault_cause(enum riscv_fault kind, enum riscv_access access)
{
    static const uint8_t page[] = {
        [RISCV_READ] = RISCV_LOAD_PAGE_FAULT, [RISCV_WRITE] = RISCV_STORE_PAGE_FAULT, [RISCV_FETCH] = RISCV_FETCH_PAGE_FAULT
    };
    static const uint8_t denied[] = {
        [RISCV_READ] = RISCV_LOAD_ACCESS_FAULT, [RISCV_WRITE] = RISCV_STORE_ACCESS_FAULT, [RISCV_FETCH] = RISCV_FETCH_ACCESS_FAULT
    };
    static const uint8_t guest[] = { [RISCV_READ] = RISCV_LOAD_GUEST_PAGE_FAULT,
                                     [RISCV_WRITE] = RISCV_STORE_GUEST_PAGE_FAULT,
                                     [RISCV_FETCH] = RISCV_FETCH_GUEST_PAGE_FAULT };
    return kind == RISCV_FAULT_PAGE ? page[access] : kind == RISCV_FAULT_GUEST ? guest[access] : denied[access];
}

static _Noreturn void fault(struct riscv_cpu *c, enum riscv_fault kind, enum riscv_access access, gva_t va)
{
    riscv_raise(c, riscv_fault_cause(kind, access), va);
}

static bool is_device(struct riscv_cpu *c, gpa_t gpa)
{
    if (!c->vcpu || !c->vcpu->vm)
        return false;
    struct vm *vm = c->vcpu->vm;
    vm_lock(vm);
    bool there = bus_claims(&vm->mmio, gpa);
    vm_unlock(vm);
    return there;
}

/* Translates one page's worth of an access without raising. */
static enum riscv_fault resolve_quiet(struct riscv_cpu *c, gva_t va, unsigned len, enum riscv_access access, enum riscv_bank bank,
                                      struct piece *ret)
{
    struct riscv_walk w;
    c->tlb->misses[access]++;
    enum riscv_fault bad = riscv_walk(c, va, access, bank, &w);
    if (bad)
        return bad;
    bool executes = bank == RISCV_BANK_HLVX; /* it may be none of what cannot be executed, either */
    if (!riscv_pmp_allows(c, w.gpa, len, access, bank == RISCV_BANK_M)
        || (executes && !riscv_pmp_allows(c, w.gpa, len, RISCV_FETCH, false)))
        return RISCV_FAULT_ACCESS;
    uint8_t *host = gmem_pin(c->gmem, w.gpa & GPAGE_MASK, GPAGE_SIZE);
    *ret = (struct piece){ .host = host ? host + (w.gpa & ~GPAGE_MASK) : NULL, .gpa = w.gpa, .len = len };
    if (host)
        fill(c, va, ret->host, &w, access, bank);
    else if (access == RISCV_FETCH || executes || !is_device(c, w.gpa))
        return RISCV_FAULT_ACCESS;
    return RISCV_FAULT_NONE;
}

static struct piece resolve(struct riscv_cpu *c, gva_t va, unsigned len, enum riscv_access access, enum riscv_bank bank)
{
    struct piece p;
    enum riscv_fault bad = resolve_quiet(c, va, len, access, bank, &p);
    if (bad)
        fault(c, bad, access, va);
    return p;
}

/* The one or two pieces of an access; both translated before anything is touched. Returns how many. */
static unsigned pieces(struct riscv_cpu *c, gva_t va, unsigned len, enum riscv_access access, struct piece p[2])
{
    unsigned first = GPAGE_SIZE - (unsigned)(va & ~GPAGE_MASK);
    if (first >= len) {
        p[0] = resolve(c, va, len, access, c->bank);
        return 1;
    }
    p[0] = resolve(c, va, first, access, c->bank);
    p[1] = resolve(c, va + first, len - first, access, c->bank);
    return 2;
}

/* Largest access a device register sees at this address with this much left. */
static unsigned io_size(gpa_t gpa, unsigned len)
{
    unsigned size = 8;
    while (size > len || (gpa & (size - 1)))
        size >>= 1;
    return size;
}

static void piece_read(struct riscv_cpu *c, struct piece p, uint8_t *buf)
{
    if (p.host) {
        memcpy(buf, p.host, p.len);
        return;
    }
    while (p.len) {
        unsigned size = io_size(p.gpa, p.len);
        uint64_t v = vm_mmio_read(c->vcpu->vm, p.gpa, size);
        memcpy(buf, &v, size);
        p.gpa += size, buf += size, p.len -= size;
    }
}

static void piece_write(struct riscv_cpu *c, struct piece p, const uint8_t *buf)
{
    if (p.host) {
        memcpy(p.host, buf, p.len);
        (void)gmem_note_write(c->gmem, p.host);
        return;
    }
    while (p.len) {
        unsigned size = io_size(p.gpa, p.len);
        uint64_t v = 0;
        memcpy(&v, buf, size);
        vm_mmio_write(c->vcpu->vm, p.gpa, v, size);
        p.gpa += size, buf += size, p.len -= size;
    }
    c->leave = true; /* it may have raised a line */
}

uint64_t riscv_load_slow(struct riscv_cpu *c, gva_t va, unsigned size)
{
    struct piece p[2];
    uint64_t v = 0;
    unsigned n = pieces(c, va, size, RISCV_READ, p);
    piece_read(c, p[0], (uint8_t *)&v);
    if (n == 2)
        piece_read(c, p[1], (uint8_t *)&v + p[0].len);
    return v;
}

void riscv_store_slow(struct riscv_cpu *c, gva_t va, uint64_t value, unsigned size)
{
    struct piece p[2];
    unsigned n = pieces(c, va, size, RISCV_WRITE, p);
    piece_write(c, p[0], (const uint8_t *)&value);
    if (n == 2)
        piece_write(c, p[1], (const uint8_t *)&value + p[0].len);
}

void *riscv_atomic(struct riscv_cpu *c, gva_t va, unsigned size, enum riscv_access access, gpa_t *ret_gpa)
{
    if (va & (size - 1))
        riscv_raise(c, access == RISCV_READ ? RISCV_LOAD_MISALIGNED : RISCV_STORE_MISALIGNED, va);
    uint8_t *hit = ret_gpa ? NULL : riscv_tlb_hit(c, va, size, c->bank, access);
    if (hit)
        return hit;
    struct piece p = resolve(c, va, size, access, c->bank);
    if (!p.host)
        fault(c, RISCV_FAULT_ACCESS, access, va);
    if (ret_gpa)
        *ret_gpa = p.gpa;
    return p.host;
}

void riscv_probe(struct riscv_cpu *c, gva_t va, unsigned block, enum riscv_access access)
{
    struct piece p;
    enum riscv_fault bad = resolve_quiet(c, va & ~(gva_t)(block - 1), block, access, c->bank, &p);
    if (bad)
        fault(c, bad, access, va);
}

void riscv_probe_cbo(struct riscv_cpu *c, gva_t va)
{
    struct piece p;
    enum riscv_fault read = resolve_quiet(c, va, 1, RISCV_READ, c->bank, &p);
    if (!read)
        return;
    enum riscv_fault fetch = resolve_quiet(c, va, 1, RISCV_FETCH, c->bank, &p);
    if (fetch)
        fault(c, read, RISCV_WRITE, va);
}

uint8_t *riscv_touch(struct riscv_cpu *c, gva_t va, enum riscv_access access, enum riscv_fault *ret_fault)
{
    unsigned bank = access == RISCV_FETCH ? c->fetch_bank : c->bank;
    enum riscv_fault bad = RISCV_FAULT_NONE;
    struct piece p;
    if (!riscv_tlb_hit(c, va, 1, bank, access))
        bad = resolve_quiet(c, va, 1, access, (enum riscv_bank)bank, &p);
    if (ret_fault)
        *ret_fault = bad;
    if (bad)
        return NULL;
    uint8_t *hit = riscv_tlb_hit(c, va, 1, bank, access);
    return hit ? hit - (va & ~GPAGE_MASK) : NULL;
}

const uint8_t *riscv_fetch_page(struct riscv_cpu *c, gva_t va)
{
    const uint8_t *hit = riscv_tlb_hit(c, va, 1, c->fetch_bank, RISCV_FETCH);
    if (!hit)
        hit = resolve(c, va, 2, RISCV_FETCH, c->fetch_bank).host;
    return hit - (va & ~GPAGE_MASK);
}
