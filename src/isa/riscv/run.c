/* SPDX-License-Identifier: MIT */
/*
 * The run loop of a RISC-V hart under `interp`: instructions of one page, and between them everything that can only happen at an
 * instruction boundary.
 *
 * Decoded instructions are kept by guest physical page, each at its offset, and decoded when first met. A page's generation
 * (core/gmem.h) is compared whenever the loop enters it, which it does after FENCE.I and at least every SLICE instructions; what
 * was written then is found by comparing bytes. FENCE.I is all that the architecture asks for.
 *
 * What engine `bt` executes a few times (riscv_run_block()) is kept in blocks (block.h), which are compared each time, and no
 * page is marked. Spec: volume II 3.1.9 (when interrupts are taken), 3.3.3 (WFI)
 */
#include "isa/riscv/run.h"

#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/vcpu.h"
#include "core/vm.h"
#include "isa/riscv/block.h"
#include "isa/riscv/mmu.h"
#include "isa/riscv/trap.h"

enum { SLICE = 256, PARCELS = GPAGE_SIZE / 2, PAGES_MAX = 2048 };

struct code_page {
    uint64_t page; /* index in guest memory, PAGE_NONE */
    uint32_t gen;
    struct riscv_insn insn[PARCELS]; /* by offset / 2; step NULL: not decoded yet */
};
#define PAGE_NONE UINT64_MAX

struct riscv_run {
    struct code_page **page;     /* owned array of owned pages, NULL where none is yet; direct-mapped */
    unsigned nr_pages;           /* a power of two */
    jmp_buf env;                 /* where raised exceptions come back to */
    struct riscv_insn one;       /* an instruction that is kept nowhere */
    struct riscv_blocks *blocks; /* owned */
    uint64_t nr_traps, nr_irqs, decoded, revalidated, dropped;
};

struct riscv_run *riscv_run_new(size_t bytes)
{
    struct riscv_run *r = calloc(1, sizeof(*r));
    if (!r)
        return NULL;
    r->nr_pages = 1;
    while (r->nr_pages < PAGES_MAX && 2 * r->nr_pages * sizeof(struct code_page) <= bytes)
        r->nr_pages *= 2;
    r->page = calloc(r->nr_pages, sizeof(*r->page));
    r->blocks = riscv_blocks_new();
    if (!r->page || !r->blocks) {
        free(r->page);
        riscv_blocks_free(r->blocks);
        free(r);
        return NULL;
    }
    return r;
}

void riscv_run_free(struct riscv_run *r)
{
    if (!r)
        return;
    for (unsigned k = 0; k < r->nr_pages; k++)
        free(r->page[k]);
    free(r->page);
    riscv_blocks_free(r->blocks);
    free(r);
}

void riscv_run_drop(struct riscv_run *r)
{
    for (unsigned k = 0; k < r->nr_pages; k++)
        if (r->page[k])
            r->page[k]->page = PAGE_NONE;
    riscv_blocks_drop(r->blocks);
    r->dropped++;
}

/* ---- decoded code ---- */

static uint32_t fetch_bits(const uint8_t *at, unsigned room)
{
    uint16_t low, high = 0;
    memcpy(&low, at, 2);
    if (riscv_insn_len(low) == 4 && room >= 4)
        memcpy(&high, at + 2, 2);
    return (uint32_t)high << 16 | low;
}

static void mark(struct riscv_cpu *c, struct code_page *p)
{
    while (!gmem_mark_code(c->gmem, p->page, &p->gen))
        (void)sched_yield(); /* a storer of another engine leaves soon */
}

/* The page was written since: forgets what is not there any more. */
static void revalidate(struct riscv_run *r, struct riscv_cpu *c, struct code_page *p)
{
    const uint8_t *host = c->gmem->host + (p->page << GPAGE_SHIFT);
    mark(c, p);
    for (unsigned k = 0; k < PARCELS; k++)
        if (p->insn[k].step && fetch_bits(host + 2 * k, (unsigned)GPAGE_SIZE - 2 * k) != p->insn[k].bits)
            p->insn[k].step = NULL;
    r->revalidated++;
}

/* The decoded page at a host address; NULL when out of memory. */
static struct code_page *find_page(struct riscv_run *r, struct riscv_cpu *c, const uint8_t *host)
{
    uint64_t index = gmem_page_index(c->gmem, host);
    struct code_page **slot = &r->page[(index ^ index / r->nr_pages) & (r->nr_pages - 1)], *p = *slot;
    if (p && p->page == index) {
        if (p->gen != gmem_code_gen(c->gmem, index))
            revalidate(r, c, p);
        return p;
    }
    if (!p && !(p = *slot = malloc(sizeof(*p))))
        return NULL;
    memset(p->insn, 0, sizeof(p->insn));
    p->page = index;
    mark(c, p);
    return p;
}

/* An instruction whose second half lies elsewhere: in the next page, or beyond what PMP allows. */
static const struct riscv_insn *fetch_halves(struct riscv_run *r, struct riscv_cpu *c, const uint8_t *page)
{
    uint16_t half[2] = { 0 };
    memcpy(&half[0], page + (c->pc & ~GPAGE_MASK), 2);
    if (riscv_insn_len(half[0]) == 4) {
        const uint8_t *second = riscv_fetch_page(c, c->pc + 2);
        memcpy(&half[1], second + ((c->pc + 2) & ~GPAGE_MASK), 2);
    }
    riscv_decode((uint32_t)half[1] << 16 | half[0], c->profile, &r->one);
    return &r->one;
}

static const struct riscv_insn *fetch(struct riscv_run *r, struct riscv_cpu *c, struct code_page *p, const uint8_t *host)
{
    unsigned offset = (unsigned)(c->pc & ~GPAGE_MASK);
    if (!p || offset + riscv_insn_len((uint16_t)fetch_bits(host + offset, 2)) > GPAGE_SIZE)
        return fetch_halves(r, c, host);
    struct riscv_insn *i = &p->insn[offset / 2];
    riscv_decode(fetch_bits(host + offset, (unsigned)GPAGE_SIZE - offset), c->profile, i);
    r->decoded++;
    return i;
}

/* The instruction at pc, as it is in memory now. host: its page, which can be fetched from as a whole. */
static const struct riscv_insn *fetch_once(struct riscv_run *r, struct riscv_cpu *c, const uint8_t *host)
{
    unsigned offset = (unsigned)(c->pc & ~GPAGE_MASK);
    uint32_t bits = fetch_bits(host + offset, (unsigned)GPAGE_SIZE - offset);
    if (offset + riscv_insn_len((uint16_t)bits) > GPAGE_SIZE)
        return fetch_halves(r, c, host);
    riscv_decode(bits, c->profile, &r->one);
    r->decoded++;
    return &r->one;
}

static inline void execute(struct riscv_cpu *c, const struct riscv_insn *i)
{
    c->next_pc = c->pc + i->len;
    i->step(c, i);
    c->pc = c->next_pc;
    c->insns++;
}

/* Instructions of one page, at most max, until the loop has to look around. */
static void run_page(struct riscv_run *r, struct riscv_cpu *c, uint64_t max)
{
    gva_t page = c->pc & GPAGE_MASK;
    c->leave = false;
    const uint8_t *host = riscv_fetch_page(c, c->pc);
    struct code_page *p = NULL;
    if (__builtin_expect(riscv_tlb_hit(c, c->pc, 1, c->fetch_bank, RISCV_FETCH) != NULL, 1))
        p = find_page(r, c, host);
    if (!p)
        max = 1; /* PMP differs within the page: each instruction is looked at */
    do {
        const struct riscv_insn *i = p ? &p->insn[(c->pc & ~GPAGE_MASK) / 2] : NULL;
        if (__builtin_expect(!i || !i->step, 0))
            i = fetch(r, c, p, host);
        execute(c, i);
    } while (--max && !c->leave && (c->pc & GPAGE_MASK) == page);
}

/* ---- what happens between instructions ---- */

static void start_hart(struct riscv_cpu *c)
{
    struct vm *vm = c->vcpu->vm;
    vm_lock(vm);
    uint64_t pc = c->start_pc, opaque = c->start_opaque;
    vm_unlock(vm);
    if (c->activity == RISCV_STOPPED)
        riscv_enter_supervisor(c, pc, opaque);
}

static void flush(struct riscv_cpu *c)
{
    /* riscv_flush_hart() waits for the request to be taken and then for `flushing` to end, in this order */
    atomic_store_explicit(&c->flushing, true, memory_order_seq_cst);
    if (vcpu_take(c->vcpu, VCPU_REQ_FLUSH))
        riscv_tlb_flush_all(c);
    atomic_store_explicit(&c->flushing, false, memory_order_seq_cst);
}

bool riscv_flush_hart(struct riscv_cpu *self, struct riscv_cpu *target, bool code)
{
    if (self == target) { /* as its own fence would */
        if (!code)
            riscv_tlb_fence(self, NULL, NULL);
        self->fenced = self->fenced || code;
        self->leave = true;
        return true;
    }
    vcpu_request(target->vcpu, VCPU_REQ_FLUSH);
    while ((vcpu_requests(target->vcpu) & VCPU_REQ_FLUSH) || atomic_load_explicit(&target->flushing, memory_order_seq_cst)) {
        uint32_t own = vcpu_requests(self->vcpu);
        if (own & (VCPU_REQ_STOP | VCPU_REQ_END))
            return false;
        if (own & VCPU_REQ_FLUSH)
            flush(self);
        (void)sched_yield();
    }
    return true;
}

/* Serves requests and interrupts. Returns true when run() must return *ret_exit. */
static bool boundary(struct riscv_cpu *c, enum vcpu_exit *ret_exit)
{
    uint32_t reqs = vcpu_requests(c->vcpu);
    if (reqs & (VCPU_REQ_STOP | VCPU_REQ_END)) {
        *ret_exit = VCPU_EXIT_REQUEST;
        return true;
    }
    if (reqs & VCPU_REQ_FLUSH)
        flush(c);
    if (vcpu_take(c->vcpu, VCPU_REQ_IRQ | VCPU_REQ_CODE | VCPU_REQ_NMI | VCPU_REQ_INIT | VCPU_REQ_SIPI) & VCPU_REQ_SIPI)
        start_hart(c);
    if (c->stimer_stale)
        riscv_stimer_update(c);
    if (c->activity == RISCV_WAITING && (riscv_mip(c) & c->mie))
        c->activity = RISCV_RUNNING;
    if (c->activity != RISCV_RUNNING) {
        *ret_exit = VCPU_EXIT_SLEEP;
        return true;
    }
    return false;
}

static inline void take_interrupt(struct riscv_run *r, struct riscv_cpu *c)
{
    uint64_t cause = riscv_pending_interrupt(c);
    if (__builtin_expect(cause != 0, 0)) {
        r->nr_irqs++;
        riscv_enter_trap(c, cause, 0);
    }
}

bool riscv_run_boundary(struct riscv_run *r, struct riscv_cpu *c, enum vcpu_exit *ret_exit)
{
    if ((vcpu_requests(c->vcpu) || c->activity != RISCV_RUNNING) && boundary(c, ret_exit))
        return true;
    take_interrupt(r, c);
    return false;
}

void riscv_run_trap(struct riscv_run *r, struct riscv_cpu *c)
{
    r->nr_traps++;
    riscv_enter_trap(c, c->trap.cause, c->trap.tval);
}

/* pc's page as its code can be fetched: all of it, or (PMP differs within the page) each instruction by itself. */
static const uint8_t *enter_page(struct riscv_cpu *c, bool *ret_whole)
{
    const uint8_t *host = riscv_fetch_page(c, c->pc);
    *ret_whole = riscv_tlb_hit(c, c->pc, 1, c->fetch_bank, RISCV_FETCH) != NULL;
    return host;
}

void riscv_run_one(struct riscv_run *r, struct riscv_cpu *c)
{
    bool whole;
    const uint8_t *host = enter_page(c, &whole);
    execute(c, whole ? fetch_once(r, c, host) : fetch_halves(r, c, host));
}

void riscv_run_block(struct riscv_run *r, struct riscv_cpu *c, gva_t *ret_pc, int *ret_taken)
{
    bool whole;
    *ret_pc = c->pc;
    *ret_taken = -1;
    c->leave = false;
    const uint8_t *host = enter_page(c, &whole);
    const struct riscv_block *b = whole ? riscv_blocks_get(r->blocks, host + (c->pc & ~GPAGE_MASK), c->profile) : NULL;
    if (!b) {
        const struct riscv_insn *i = fetch_halves(r, c, host);
        gva_t next = c->pc + i->len;
        execute(c, i);
        if (riscv_is_branch(i))
            *ret_taken = c->pc != next;
        return;
    }
    const struct riscv_insn *i = b->insn, *last = i + b->nr - 1;
    for (; i < last; i++) {
        execute(c, i);
        if (__builtin_expect(c->leave, 0))
            return;
    }
    gva_t next = c->pc + last->len;
    *ret_pc = c->pc;
    execute(c, last);
    if (b->branch)
        *ret_taken = c->pc != next;
}

enum vcpu_exit riscv_run(struct riscv_run *r, struct riscv_cpu *c, uint64_t insns)
{
    enum vcpu_exit exit;
    uint64_t *done = &c->insns, begin = c->insns;
    c->trap_env = &r->env;
    if (_setjmp(r->env)) /* a step function raised */
        riscv_run_trap(r, c);
    while (*done - begin < insns) {
        if (riscv_run_boundary(r, c, &exit))
            return exit;
        run_page(r, c, SLICE);
    }
    return VCPU_EXIT_REQUEST;
}

void riscv_run_step(struct riscv_run *r, struct riscv_cpu *c)
{
    c->trap_env = &r->env;
    if (_setjmp(r->env)) {
        riscv_run_trap(r, c);
        return;
    }
    run_page(r, c, 1);
}

size_t riscv_run_stats(const struct riscv_run *r, const struct riscv_cpu *c, char *text, size_t cap)
{
    int n = snprintf(text, cap,
                     "instructions %" PRIu64 "\ntraps %" PRIu64 "\ninterrupts %" PRIu64 "\ninsns_decoded %" PRIu64
                     "\npages_revalidated %" PRIu64 "\ncache_drops %" PRIu64 "\ntlb_misses_read %" PRIu64
                     "\ntlb_misses_write %" PRIu64 "\ntlb_misses_fetch %" PRIu64 "\ntlb_flushes %" PRIu64 "\n",
                     c->insns, r->nr_traps, r->nr_irqs, r->decoded + riscv_blocks_decoded(r->blocks), r->revalidated, r->dropped,
                     c->tlb->misses[RISCV_READ], c->tlb->misses[RISCV_WRITE], c->tlb->misses[RISCV_FETCH], c->tlb->nr_flushes);
    return n < 0 ? 0 : (size_t)n < cap ? (size_t)n : cap - 1;
}
