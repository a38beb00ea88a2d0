/* SPDX-License-Identifier: MIT */
/*
 * Windows of translated code (shadow.h): which block an access is expected in, and what happens when the host faults.
 *
 * A fault in a window is a page that it does not show yet: it is shown, here in the signal's handler, and the host's instruction
 * goes on. All else makes the translation end at the guest's instruction, which the interpreter then does, and raises
 * what it raises. Translated code holds no lock and is in no allocation, so the handler may do what a call-out may do,
 * but it raises nothing.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <ucontext.h>

#include "base/checked.h"
#include "core/vcpu.h"
#include "core/vm.h"
#include "isa/riscv/translate_emit.h"

enum { NEW_EXPECTATIONS = 3, EXPECT_SHIFT = 4, EXPECT_BLOCK = 15, FAULTS_MANY = 32 };
enum { GUEST_FAULTS_MANY = 64, GUEST_FAULT_CYCLES = 100000, EMPTIED_MANY = 8, EMPTIED_CYCLES = 3000000, SHOWN_CYCLES = 200000 };
enum { ERROR_WRITE = 2 /* of a page fault's error code */ };

static _Thread_local struct riscv_code *running;
static struct sigaction former_segv;

/* ---- blocks ---- */

/* The number of va's block, -1: no window shows it. */
static int find_block(const struct riscv_frame *f, gva_t va)
{
    for (int k = 0; k < RISCV_BLOCKS; k++)
        if (f->own.block[k].base == riscv_block_of(va))
            return k;
    return -1;
}

/* One that shows nothing; else another each time. Never 0, whose base is a constant. */
static unsigned spare_block(struct riscv_code *code)
{
    for (unsigned k = 1; k < RISCV_BLOCKS; k++)
        if (code->now->own.block[k].base == RISCV_BLOCK_NONE)
            return k;
    code->next_block = code->next_block % (RISCV_BLOCKS - 1) + 1;
    return code->next_block;
}

static void show_block(struct riscv_code *code, unsigned k, gva_t va)
{
    const struct riscv_tlb *tlb = code->tlb;
    code->now->own.block[k] = riscv_shadow_show(tlb->shadow, tlb->now, k, riscv_block_of(va));
}

static void make_blocks(struct riscv_code *code)
{
    struct riscv_shadow *shadow = code->tlb->shadow;
    for (unsigned n = 0; n < RISCV_SPACES && shadow; n++) {
        struct riscv_block *block = code->frame[n]->own.block;
        block[0] = riscv_shadow_show(shadow, n, 0, 0);
        for (unsigned k = 1; k < RISCV_BLOCKS; k++)
            block[k] = (struct riscv_block){ .base = RISCV_BLOCK_NONE };
    }
}

bool riscv_code_get_windows(struct riscv_code *code)
{
    struct riscv_cpu *c = code->cpu;
    if (code->tlb->shadow)
        return true;
    if (code->tlb->guest) /* a page of it may go when either of two stages changes */
        return false;
    if (c->gmem->fd >= 0 && !code->windows_refused) {
        code->tlb->shadow = riscv_shadow_new(c->gmem);
        code->windows_refused = !code->tlb->shadow;
        make_blocks(code);
    } else if (!code->windows_asked && c->vcpu->vm) {
        code->windows_asked = true;
        vm_request_share(c->vcpu->vm);
    }
    return code->tlb->shadow;
}

unsigned riscv_code_expect(struct riscv_code *code, gva_t pc, gva_t va)
{
    unsigned was = code->expect[rvx_pc_hash(pc)] & EXPECT_BLOCK;
    int k = find_block(code->now, va);
    if (was)
        return was == EXPECT_BLOCK ? (unsigned)RISCV_LOOK : was - 1;
    if (k >= 0)
        return (unsigned)k;
    bool writable;
    if (!riscv_tlb_peek(code->cpu, va & GPAGE_MASK, &writable)) /* no address, it seems */
        return 0;
    unsigned spare = spare_block(code);
    show_block(code, spare, va);
    return spare;
}

/* The check of m is for that block from now on. */
static void expect_there(struct riscv_code *code, struct riscv_miss *m, unsigned block)
{
    const int32_t base = rvx_block_at(block), to_host = base + (int32_t)offsetof(struct riscv_block, to_host);
    m->block = (uint8_t)block;
    for (unsigned k = 0; k < ARRAY_SIZE(m->at); k++)
        memcpy(code->cb.rw + m->at[k], k == RISCV_AT_TO_HOST ? &to_host : &base, sizeof(base));
}

bool riscv_code_expect_better(struct riscv_code *code, struct riscv_miss *m, gva_t va)
{
    uint8_t *expect = &code->expect[rvx_pc_hash(m->pc)];
    int k = find_block(code->now, va);
    bool replaced = false;
    code->strays++;
    if (k == m->block) /* so near the block's end that the check does not let it through */
        return false;
    if (k < 0) {
        k = m->block ? m->block : (int)spare_block(code);
        replaced = code->now->own.block[k].base != RISCV_BLOCK_NONE; /* what was checked in this run may have been there */
        show_block(code, (unsigned)k, va);
    }
    if (k == m->block)
        return !replaced;
    unsigned times = (*expect >> EXPECT_SHIFT) + 1U;
    bool give_up = times > NEW_EXPECTATIONS;
    *expect = (uint8_t)((give_up ? times - 1 : times) << EXPECT_SHIFT | (give_up ? EXPECT_BLOCK : (unsigned)k + 1));
    if (m->at[0] && !give_up)
        expect_there(code, m, (unsigned)k);
    else
        riscv_code_kill(code, m->from);
    return m->at[0] && !give_up && !replaced;
}

/* ---- what is better off without windows ---- */

static void take_windows(struct riscv_code *code, struct riscv_native *n)
{
    if (n->dead)
        return;
    rvx_pc_add(code->unfit, n->pc);
    code->unfits++;
    riscv_code_kill(code, n);
}

/* Counts; true if it happened `many` times, and each time within that many cycles of the host's on average. */
static bool too_often(struct riscv_rate *r, unsigned many, uint64_t cycles)
{
    if (++r->count < many)
        return false;
    uint64_t now = __builtin_ia32_rdtsc(), took = now - r->since;
    bool first = r->since == 0;
    *r = (struct riscv_rate){ .since = now };
    return !first && took < many * cycles;
}

/* The code at pc had a page shown. Where windows are emptied again and again, as when processes are short or memory comes and
 * goes, that pays only if enough is done in between. */
static void note_shown(struct riscv_code *code, uint64_t pc)
{
    struct riscv_native *n = riscv_code_native_at(code, pc);
    uint64_t clears = riscv_shadow_counts(code->tlb->shadow).clears, now;
    if (!n)
        return;
    n->shown.count++;
    if (n->clears == clears)
        return;
    n->clears = clears;
    if (++n->emptied < EMPTIED_MANY)
        return;
    now = __builtin_ia32_rdtsc();
    uint64_t took = now - n->shown.since;
    if (n->shown.since && (took < (uint64_t)n->shown.count * SHOWN_CYCLES || took < (uint64_t)EMPTIED_MANY * EMPTIED_CYCLES))
        take_windows(code, n);
    n->emptied = 0;
    n->shown = (struct riscv_rate){ .since = now };
}

/* ---- faults of the host ---- */

static void on_segv(int sig, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;
    greg_t *reg = uc->uc_mcontext.gregs;
    struct riscv_code *code = running;
    enum riscv_shown shown = RISCV_SHADOW_UNFIT;
    unsigned space;
    gva_t va;
    if (code && codebuf_contains(&code->cb, (uintptr_t)reg[REG_RIP])) {
        const struct riscv_tlb *tlb = code->tlb;
        enum riscv_access access = reg[REG_ERR] & ERROR_WRITE ? RISCV_WRITE : RISCV_READ;
        if (riscv_shadow_find(tlb->shadow, (uint64_t)info->si_addr, &space, &va) && space == tlb->now)
            shown = riscv_shadow_fill(code->cpu, va, access);
        if (shown == RISCV_SHOWN) {
            note_shown(code, (uint64_t)reg[REG_RIP]);
            return;
        }
        code->fault_unfit = shown == RISCV_SHADOW_UNFIT;
        reg[REG_RAX] = reg[REG_RIP];
        reg[REG_RIP] = (greg_t)code->stub_fault[code->running_fp];
        return;
    }
    if (former_segv.sa_flags & SA_SIGINFO)
        former_segv.sa_sigaction(sig, info, context);
    else
        (void)sigaction(SIGSEGV, &former_segv, NULL); /* it comes again */
}

int riscv_code_catch_faults(struct error *err)
{
    struct sigaction sa = { .sa_sigaction = on_segv, .sa_flags = SA_SIGINFO | SA_RESTART }, was;
    if (sigaction(SIGSEGV, NULL, &was) < 0)
        return error_set(err, -errno, "cannot ask for signal handlers: %s", strerror(errno));
    if (was.sa_sigaction == on_segv)
        return 0;
    former_segv = was;
    if (sigaction(SIGSEGV, &sa, NULL) < 0)
        return error_set(err, -errno, "cannot set a signal handler: %s", strerror(errno));
    return 0;
}

void riscv_code_attach(struct riscv_code *code)
{
    running = code;
}

struct riscv_native *riscv_code_native_at(const struct riscv_code *code, uint64_t pc)
{
    uint32_t lo = 0, hi = code->nr_natives;
    while (lo < hi) { /* the first that begins behind pc */
        uint32_t mid = lo + (hi - lo) / 2;
        if ((uint64_t)code->native[mid]->checked <= pc)
            lo = mid + 1;
        else
            hi = mid;
    }
    struct riscv_native *n = lo ? code->native[lo - 1] : NULL;
    return n && pc < (uint64_t)n->end ? n : NULL;
}

const struct riscv_start *riscv_code_start_at(const struct riscv_native *n, uint64_t pc, gva_t *ret_pc)
{
    unsigned k = 0;
    while (k + 1 < n->nr && (uint64_t)n->entry + n->start[k + 1].code <= pc)
        k++;
    *ret_pc = n->page[n->start[k].second]->va + n->start[k].off;
    return &n->start[k];
}

void riscv_code_faulted(struct riscv_code *code, struct riscv_native *n)
{
    if (code->fault_unfit ? ++n->faults >= FAULTS_MANY : too_often(&n->guest_faults, GUEST_FAULTS_MANY, GUEST_FAULT_CYCLES))
        take_windows(code, n);
}
