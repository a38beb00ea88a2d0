/* SPDX-License-Identifier: MIT */
/*
 * The x86 run loop of engine `bt`: interprets cold blocks, translates hot ones, and keeps what it derived from guest memory true.
 *
 * Between two entries into translated code it looks at what may have changed: the address space and its mappings (inline
 * TLB, jump caches), pages newly marked as code (cached rights to write), writes to pages with code (translations are
 * killed, and revived when the block's bytes prove unchanged), and the CPU configuration that translations assume.
 */
#include "engine/bt/bt_x86.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/vcpu.h"
#include "core/vm.h"
#include "isa/x86/hypercall.h"
#include "isa/x86/insn_steps.h"
#include "isa/x86/kvmpv.h"
#include "isa/x86/run.h"
#include "isa/x86/tlb.h"
#include "isa/x86/translate.h"
#include "isa/x86/translate_count.h"
#include "isa/x86/trap.h"

enum { HOT = 6 };
/* Per cent of the memory: code (it is mapped twice, and resident twice), decoded blocks; the rest is for translations. */
enum { CODE_SHARE = 20, BLOCKS_SHARE = 40 };

/* The translations of one block, by bank. */
struct translation {
    struct x86_block *block;     /* borrowed: lives as long as we do; NULL: this one is free */
    struct translation *in_page; /* next of the same page, or next free one */
    struct x86_native native[X86_BANK_NR];
    bool made[X86_BANK_NR];
    bool again[X86_BANK_NR]; /* to be translated anew, in place of the one made */
    bool killed;
    uint32_t gen; /* of the page when the code was made or revived: of a trace more than the block must be unchanged */
    struct x86_habits habits;
    struct translation *plain; /* owned like this: the block's plain translations; those have none */
};

struct bt_x86 {
    struct x86_run *run; /* owned */
    struct x86_code code;
    struct translation *all; /* owned: nr_max; those before nr_all are in use or on the list of free ones */
    unsigned nr_all, nr_max;
    struct translation *free;
    struct translation **page; /* owned: by page index, the first of the page */
    uint32_t *pages;           /* owned: indices of pages with translations */
    uint32_t *seen_gen;        /* owned: by place in `pages`, the page's generation when last looked at */
    uint32_t *place;           /* owned: by page index, 1 + its place in `pages`, 0 if it is not there */
    unsigned nr_pages;
    uint64_t nr_ram_pages;
    /* what was last seen */
    uint64_t writes, config, drops;
    struct gmem *gmem; /* borrowed: the machine's, which outlives its CPUs */
    struct gmem_storer storer;
    bool single; /* translated blocks are run one by one */
    uint64_t turns_left;
    uint64_t entries, kills, revivals, links, exits[FRAME_EXITS], wanderers, plain, resets, evictions, evicted, cold_blocks;
};

/* ---- eviction ---- */

static void evict_translation(struct bt_x86 *e, struct translation *t)
{
    const struct x86_block *b = t->block;
    struct translation **p;
    for (unsigned bank = 0; bank < X86_BANK_NR; bank++)
        if (t->made[bank])
            x86_code_retire(&e->code, &t->native[bank]);
    for (p = &e->page[b->page]; *p && *p != t; p = &(*p)->in_page)
        ;
    if (*p)
        *p = t->in_page; /* take_over() may have taken it out */
    if (!e->page[b->page] && e->place[b->page]) {
        unsigned k = e->place[b->page] - 1, last = --e->nr_pages;
        e->pages[k] = e->pages[last];
        e->seen_gen[k] = e->seen_gen[last];
        e->place[e->pages[k]] = k + 1;
        e->place[b->page] = 0;
    }
    t->block = NULL;
    t->in_page = e->free;
    e->free = t;
}

/* A block goes, and with it its translations. */
static void evict_block(struct bt_x86 *e, const struct x86_block *b)
{
    struct translation *t = b->translation;
    if (!t)
        return;
    if (t->plain)
        evict_translation(e, t->plain);
    evict_translation(e, t);
    e->evicted++;
}

/* Told by the decoded blocks: b goes; NULL: that were all of a region. */
static void evict(void *owner, struct x86_block *b)
{
    struct bt_x86 *e = owner;
    struct x86_frame *f = e->code.frame;
    if (b) {
        evict_block(e, b);
        return;
    }
    if (x86_code_next_region(&e->code))
        e->evictions++;
    f->exit = f->exit == FRAME_EXIT_BAIL ? FRAME_EXIT_BAIL : FRAME_EXIT_NEXT; /* what it would link may be gone */
    f->wanderer = 0;
}

int bt_x86_new(struct x86_cpu *c, size_t bytes, struct bt_x86 **ret_bt, struct error *err)
{
    size_t code_bytes = bytes / 100 * CODE_SHARE, block_bytes = bytes / 100 * BLOCKS_SHARE;
    struct bt_x86 *e = calloc(1, sizeof(*e));
    int r = -ENOMEM;
    if (!e)
        return error_set(err, -ENOMEM, "no memory for engine bt");
    e->nr_ram_pages = c->gmem->size >> GPAGE_SHIFT;
    e->nr_max = (unsigned)((bytes - 2 * code_bytes - block_bytes) / sizeof(*e->all));
    e->all = calloc(e->nr_max, sizeof(*e->all));
    e->page = calloc(e->nr_ram_pages + 1, sizeof(*e->page));
    e->pages = calloc(e->nr_ram_pages + 1, sizeof(*e->pages));
    e->seen_gen = calloc(e->nr_ram_pages + 1, sizeof(*e->seen_gen));
    e->place = calloc(e->nr_ram_pages + 1, sizeof(*e->place));
    if (!e->all || !e->page || !e->pages || !e->seen_gen || !e->place)
        r = error_set(err, -ENOMEM, "no memory for engine bt");
    else
        r = x86_code_init(&e->code, c, code_bytes, err);
    if (r >= 0) { /* a block's code is not in an older region than the block, so blocks may not have more regions */
        e->run = x86_run_new(block_bytes, e->code.nr_regions);
        r = e->run ? 0 : error_set(err, -ENOMEM, "no memory for engine bt");
    }
    if (r < 0) {
        bt_x86_free(e);
        return r;
    }
    assert(e->code.frame && e->run);
    e->code.frame->blocks = e->run->blocks;
    x86_blocks_on_evict(e->run->blocks, evict, e);
    e->gmem = c->gmem;
    e->storer.attention = &c->vcpu->requests;
    e->storer.attention_bit = VCPU_REQ_CODE;
    gmem_add_storer(e->gmem, &e->storer);
    *ret_bt = e;
    return 0;
}

void bt_x86_free(struct bt_x86 *e)
{
    if (!e)
        return;
    if (e->gmem)
        gmem_remove_storer(e->gmem, &e->storer);
    x86_code_done(&e->code);
    x86_run_free(e->run);
    free(e->all);
    free(e->page);
    free(e->pages);
    free(e->seen_gen);
    free(e->place);
    free(e);
}

/* Forgets translations; decoded blocks are dropped with them, since they point to each other. */
static void drop_code(struct bt_x86 *e)
{
    x86_run_drop(e->run);
    x86_code_reset(&e->code);
    for (unsigned k = 0; k < e->nr_pages; k++) {
        e->page[e->pages[k]] = NULL;
        e->place[e->pages[k]] = 0;
    }
    e->nr_pages = e->nr_all = 0;
    e->free = NULL;
    e->drops = x86_blocks_stats(e->run->blocks)->drops;
    e->code.frame->wanderer = 0;
    e->code.frame->exit = FRAME_EXIT_NEXT; /* what it was to link is gone */
    e->resets++;
}

void bt_x86_set_traces(struct bt_x86 *e, bool on)
{
    e->code.traces = on;
    drop_code(e);
}

void bt_x86_evict(struct bt_x86 *e)
{
    x86_blocks_evict(e->run->blocks);
}

void bt_x86_drop(struct bt_x86 *e)
{
    drop_code(e);
    x86_frames_drop(&e->code.frames);
}

/* ---- keeping up with changes ---- */

static void kill_page(struct bt_x86 *e, uint32_t page, uint32_t gen)
{
    for (struct translation *t = e->page[page]; t; t = t->in_page) {
        if (t->killed || t->gen == gen)
            continue;
        for (unsigned b = 0; b < X86_BANK_NR; b++)
            if (t->made[b])
                x86_code_kill(&e->code, &t->native[b]);
        t->killed = true;
        e->kills++;
    }
}

static void revive(struct bt_x86 *e, const struct x86_cpu *c, struct translation *t)
{
    const uint8_t *page = c->gmem->host + (t->block->page << GPAGE_SHIFT);
    for (unsigned b = 0; b < X86_BANK_NR; b++)
        if (t->made[b] && !x86_code_revive(&e->code, &t->native[b], page))
            t->again[b] = true;
    t->killed = false;
    t->gen = t->block->gen;
    e->revivals++;
}

/* A page with translations, written or not: k is its place. */
static void look_at_page(struct bt_x86 *e, const struct x86_cpu *c, unsigned k)
{
    uint32_t gen = gmem_code_gen(c->gmem, e->pages[k]);
    if (gen == e->seen_gen[k])
        return;
    e->seen_gen[k] = gen;
    kill_page(e, e->pages[k], gen);
}

/* Pages with code were written: those of the last few writes, or any. */
static void keep_up_writes(struct bt_x86 *e, const struct x86_cpu *c, uint64_t writes)
{
    uint64_t page;
    while (e->writes != writes && gmem_recent(c->gmem->written, e->writes + 1, &page)) {
        e->writes++;
        if (e->place[page])
            look_at_page(e, c, e->place[page] - 1);
    }
    if (e->writes == writes)
        return;
    e->writes = writes;
    for (unsigned k = 0; k < e->nr_pages; k++)
        look_at_page(e, c, k);
}

static void keep_up(struct bt_x86 *e, struct x86_cpu *c)
{
    uint64_t writes = atomic_load_explicit(&c->gmem->nr_writes, memory_order_acquire), config = x86_config(c);
    if (((e->config ^ config) & e->code.assumed) || e->drops != x86_blocks_stats(e->run->blocks)->drops)
        drop_code(e);
    e->config = config;
    e->code.frame = x86_frames_follow(&e->code.frames, c);
    if (e->writes != writes)
        keep_up_writes(e, c, writes);
}

/* A gmem_forget_fn. */
static void forget_stores(void *opaque, const uint8_t *page)
{
    struct bt_x86 *e = opaque;
    if (page)
        x86_frames_drop_writes_of(&e->code.frames, page);
    else
        x86_frames_drop_writes(&e->code.frames);
}

/* ---- translating ---- */

/* NULL: there is no room. */
static struct translation *new_translation(struct bt_x86 *e, struct x86_block *b)
{
    struct translation *t = e->free;
    if (t)
        e->free = t->in_page;
    else if (e->nr_all < e->nr_max)
        t = &e->all[e->nr_all++];
    else
        return NULL;
    memset(t, 0, sizeof(*t));
    t->block = b;
    t->gen = b->gen;
    if (!e->place[b->page]) {
        e->seen_gen[e->nr_pages] = b->gen;
        e->pages[e->nr_pages++] = (uint32_t)b->page;
        e->place[b->page] = e->nr_pages;
    }
    t->in_page = e->page[b->page];
    e->page[b->page] = t;
    return t;
}

static struct translation *translation_of(struct bt_x86 *e, struct x86_block *b)
{
    if (!b->translation)
        b->translation = new_translation(e, b);
    return b->translation;
}

static struct translation *plain_translation_of(struct bt_x86 *e, struct x86_block *b)
{
    struct translation *t = translation_of(e, b);
    if (!t || t->plain)
        return t ? t->plain : NULL;
    t->plain = new_translation(e, b);
    if (t->plain)
        t->plain->habits.plain = true;
    return t->plain;
}

/* Makes n the translation of t's block, and leads there what was linked to an earlier one of the same place. */
static void take_over(struct bt_x86 *e, struct translation *t, unsigned bank, const struct x86_native *n)
{
    if (t->made[bank])
        x86_code_redirect(&e->code, &t->native[bank], n);
    for (struct translation **p = &e->page[t->block->page]; *p;) {
        struct translation *old = *p;
        bool stale = old != t && old->killed && old->block->key == t->block->key /* its block is in no table any more */
                     && old->habits.plain == t->habits.plain;
        if (stale && old->made[bank]) {
            x86_code_redirect(&e->code, &old->native[bank], n);
            old->made[bank] = false;
        }
        if (stale && !old->made[0] && !old->made[1] && !old->made[2])
            *p = old->in_page;
        else
            p = &old->in_page;
    }
    t->native[bank] = *n;
    t->made[bank] = true;
    t->again[bank] = false;
}

/* The host code of a hot block, or its plain code; NULL while it is cold, or when there was no room: there is now, but b may be
 * gone (*ret_gone). */
static const struct x86_native *native_of(struct bt_x86 *e, struct x86_cpu *c, struct x86_block *b, bool plain, bool *ret_gone)
{
    struct translation *t = b->translation;
    if (plain && t)
        t = t->plain;
    *ret_gone = false;
    if (t && t->killed)
        revive(e, c, t);
    if (!t || !t->made[c->bank] || t->again[c->bank]) {
        if (b->heat < HOT && !plain) {
            b->heat++;
            return NULL;
        }
        t = !x86_code_has_room(&e->code) ? NULL : plain ? plain_translation_of(e, b) : translation_of(e, b);
        struct x86_native n;
        if (!t) {
            x86_blocks_evict(e->run->blocks);
            *ret_gone = true;
            return NULL;
        }
        x86_clock_to(e->code.clock, X86_PART_TRANSLATE);
        bool done = x86_translate(&e->code, c, b, &t->habits, &n);
        x86_clock_to(e->code.clock, X86_PART_LOOP);
        if (!done) {
            b->heat = 0; /* too long: interpreted for now */
            return NULL;
        }
        take_over(e, t, c->bank, &n);
        e->plain += plain;
    }
    return &t->native[c->bank];
}

/* Whether a code page is in every address space, so that jumps to it may stay cached across CR3 writes. */
static bool page_is_global(struct x86_cpu *c, gva_t lin)
{
    unsigned bank = c->cpl == 3 ? X86_BANK_USER : X86_BANK_KERNEL;
    return x86_tlb_touch(c, lin, X86_FETCH, bank) && c->tlb->global[bank][(lin >> GPAGE_SHIFT) & (TLB_ENTRIES - 1)];
}

/* Has t's code made again when it is next needed. */
static void translate_anew(struct bt_x86 *e, struct translation *t)
{
    for (unsigned bank = 0; bank < X86_BANK_NR; bank++) {
        t->again[bank] = t->made[bank];
        if (t->made[bank]) /* whoever comes by a link must leave, so that native_of() sees it */
            x86_code_kill(&e->code, &t->native[bank]);
    }
}

/* A place changes pages so often that its check had better use the table. */
static void note_wanderer(struct bt_x86 *e, const struct x86_cpu *c, struct translation *t)
{
    struct x86_habits *h = &t->habits;
    if (h->nr_wanderers < sizeof(h->wanderer) / sizeof(h->wanderer[0]))
        h->wanderer[h->nr_wanderers] = c->rip & ~GPAGE_MASK;
    if (h->nr_wanderers < UINT8_MAX)
        h->nr_wanderers++;
    translate_anew(e, t);
}

static void note_wanderers(struct bt_x86 *e, const struct x86_cpu *c)
{
    const struct x86_block *b = (struct x86_block *)(uintptr_t)e->code.frame->wanderer;
    struct translation *t = b->translation;
    e->code.frame->wanderer = 0;
    note_wanderer(e, c, t);
    if (t->plain) /* the block does not say which code it was */
        note_wanderer(e, c, t->plain);
    e->wanderers++;
}

/* The host code at fault_pc faulted: the guest's instruction there is for the interpreter. */
static void find_fault(struct bt_x86 *e, struct x86_cpu *c)
{
    struct x86_frame *f = e->code.frame;
    for (unsigned n = 0; n < e->nr_all; n++) {
        const struct translation *t = &e->all[n];
        const struct x86_start *at = NULL;
        for (unsigned bank = 0; bank < X86_BANK_NR && t->block && !at; bank++) /* perhaps not c->bank: a block may change it */
            if (t->made[bank])
                at = x86_code_start_at(&t->native[bank], f->fault_pc);
        if (!at)
            continue;
        c->rip = f->page_va + at->off;
        if (at->fip != NO_FIP)
            c->fpu.fip = f->page_va + (unsigned)at->fip;
        if (at->shadow)
            x86_code_enter_shadow(&e->code, c);
        return;
    }
    abort(); /* a bug of ours: code that no block has */
}

static void enter(struct bt_x86 *e, struct x86_cpu *c, const struct x86_block *b, const struct x86_native *n, bool plain)
{
    struct x86_frame *f = e->code.frame;
    enum x86_frame_exit last = (enum x86_frame_exit)f->exit;
    bool in_page = last == FRAME_EXIT_LINK || last == FRAME_EXIT_LINK_BACK || last == FRAME_EXIT_LINK_PLAIN;
    in_page = in_page && f->link_page == b->page;
    x86_blocks_lose_track(e->run->blocks);
    if ((in_page || last == FRAME_EXIT_LINK_CROSS) && f->rip == c->rip) { /* else an interrupt came between */
        x86_code_link(&e->code, f->link, last, n);
        e->links++;
    }
    if (!plain) {
        x86_frame_add_jump(f, c->bank, c->rip, b->page, n, page_is_global(c, c->rip));
        x86_code_add_place(&e->code, c->bank, b->page, c->rip & ~GPAGE_MASK, n);
    }
    f->exit = FRAME_EXIT_NEXT;
    e->entries++;
    gmem_storer_begin(e->gmem, &e->storer, forget_stores, e);
    if (e->single)
        x86_code_run_block(&e->code, c, n);
    else
        x86_code_run(&e->code, c, n);
    gmem_storer_leave(&e->storer);
    e->exits[f->exit]++;
    if (f->exit == FRAME_EXIT_FAULT) {
        find_fault(e, c);
        f->exit = FRAME_EXIT_BAIL;
    }
    if (f->wanderer)
        note_wanderers(e, c);
}

/* ---- the loop ---- */

/* A request for an interrupt that cannot be taken now would make translated code leave at every block: put it aside. */
static void hold_irq(struct bt_x86 *e, struct x86_cpu *c)
{
    bool interruptible = x86_interruptible(c);
    if (e->code.frame->irq_held && interruptible) {
        e->code.frame->irq_held = 0;
        vcpu_request(c->vcpu, VCPU_REQ_IRQ);
    } else if (!interruptible && (vcpu_requests(c->vcpu) & VCPU_REQ_IRQ)) {
        (void)vcpu_take(c->vcpu, VCPU_REQ_IRQ);
        e->code.frame->irq_held = FLAG_IF;
    }
}

static bool canonical(uint64_t rip)
{
    return (uint64_t)((int64_t)(rip << 16) >> 16) == rip;
}

/* Interprets the block b at rip, or, when it is NULL, what is there. */
static void interpret(struct bt_x86 *e, struct x86_cpu *c, const struct x86_block *b)
{
    x86_clock_to(e->code.clock, X86_PART_INTERPRET);
    if (b)
        x86_run_block(c, b);
    else
        x86_run_interpret(e->run, c);
    x86_clock_to(e->code.clock, X86_PART_LOOP);
}

/* Plain code that was killed bails when it is jumped to: perhaps there is no reason any more. */
static void keep_plain(struct bt_x86 *e, struct x86_cpu *c, struct x86_block *b)
{
    const struct translation *t = b->translation, *p = t ? t->plain : NULL;
    bool gone;
    if (p && p->made[c->bank] && (p->killed || p->again[c->bank]))
        (void)native_of(e, c, b, true, &gone);
}

/* One turn: a translated run, or a block interpreted. */
static void turn(struct bt_x86 *e, struct x86_cpu *c)
{
    struct x86_frame *f = e->code.frame;
    bool gone;
    c->code_written = false;
    if (c->slow || c->align_check || c->mode != X86_MODE_64 || c->cpl == 1
        || c->cpl == 2) { /* translated code does not look at alignment */
        f->exit = FRAME_EXIT_NEXT;
        interpret(e, c, NULL);
        return;
    }
    if (!canonical(c->rip)) /* an indirect branch went there */
        x86_raise_err(c, X86_GP, 0);
    keep_up(e, c);
    struct x86_block *b = x86_blocks_find(e->run->blocks, c);
    if (e->drops != x86_blocks_stats(e->run->blocks)->drops)
        return; /* the arena was full: keep_up() drops the translations too */
    if (!b || f->exit == FRAME_EXIT_BAIL) {
        if (b)
            keep_plain(e, c, b);
        f->exit = FRAME_EXIT_NEXT;
        interpret(e, c, NULL);
        return;
    }
    bool plain = f->exit == FRAME_EXIT_LINK_PLAIN && f->rip == c->rip;
    const struct x86_native *n = native_of(e, c, b, plain, &gone);
    if (gone)
        return;
    if (!n) {
        f->exit = FRAME_EXIT_NEXT;
        e->cold_blocks++;
        interpret(e, c, b);
        return;
    }
    enter(e, c, b, n, plain);
}

/* Whoever goes on with this CPU must know of the interrupt. */
static void give_irq_back(struct bt_x86 *e, struct x86_cpu *c)
{
    if (!e->code.frame->irq_held)
        return;
    e->code.frame->irq_held = 0;
    vcpu_request(c->vcpu, VCPU_REQ_IRQ);
}

enum vcpu_exit bt_x86_run_turns(struct bt_x86 *e, struct x86_cpu *c, uint64_t turns, bool single)
{
    enum vcpu_exit exit;
    e->single = single;
    if (single && !e->code.check_all) { /* links past a check would run on */
        e->code.check_all = true;
        drop_code(e);
    }
    e->turns_left = turns;
    x86_kvm_enter(c);
    x86_code_attach(&e->code);
    x86_clock_to(e->code.clock, X86_PART_LOOP);
    c->trap_env = &e->run->env;
    if (_setjmp(e->run->env)) { /* a step function raised */
        gmem_storer_leave(&e->storer);
        e->run->nr_traps++;
        e->code.frame->exit = FRAME_EXIT_NEXT;
        x86_clock_to(e->code.clock, X86_PART_LOOP);
        x86_deliver_trap(c);
        c->trap_env = &e->run->env;
    }
    while (e->turns_left) {
        e->turns_left--;
        hold_irq(e, c);
        if (x86_run_boundary(e->run, c, &exit)) {
            if (exit == VCPU_EXIT_REQUEST)
                give_irq_back(e, c);
            x86_clock_to(e->code.clock, X86_PART_OUTSIDE);
            return exit;
        }
        turn(e, c);
    }
    give_irq_back(e, c);
    x86_clock_to(e->code.clock, X86_PART_OUTSIDE);
    return VCPU_EXIT_REQUEST;
}

enum vcpu_exit bt_x86_run(struct bt_x86 *e, struct x86_cpu *c)
{
    return bt_x86_run_turns(e, c, UINT64_MAX, false);
}

/* The instructions most often called out, one line each: "bt_callouts_NAME count". */
static size_t callout_stats(const struct x86_frame *f, char *text, size_t cap)
{
    enum { MOST = 16 };
    size_t n = 0;
    uint64_t below = UINT64_MAX;
    for (unsigned k = 0; k < MOST && n < cap; k++) {
        unsigned best = 0;
        for (unsigned row = 1; row < x86_nr_rows; row++)
            if (f->callouts_of[row] < below && f->callouts_of[row] > f->callouts_of[best])
                best = row;
        if (!f->callouts_of[best])
            break;
        below = f->callouts_of[best];
        int m = snprintf(text + n, cap - n, "bt_callouts_%s %lu\n", x86_rows[best].name, below);
        n += m > 0 ? (size_t)m : 0;
    }
    return n < cap ? n : cap - 1;
}

size_t bt_x86_stats(const struct bt_x86 *e, const struct x86_cpu *c, char *text, size_t cap)
{
    const struct x86_frame *f = e->code.frame;
    size_t n = x86_run_stats(e->run, c, e->code.counts ? x86_counts_insns(e->code.counts) : 0, text, cap);
    int m = snprintf(
        text + n, cap - n,
        "bt_blocks_translated %lu\nbt_traces %lu\nbt_insns_translated %lu\nbt_insns_native %lu\nbt_code_bytes %zu\nbt_entries "
        "%lu\n"
        "bt_cold_blocks %lu\nbt_links %lu\nbt_tlb_misses %lu\nbt_light_calls %lu\nbt_callouts %lu\nbt_bails_crossing "
        "%lu\nbt_bails_group "
        "%lu\nbt_bails_no_ram %lu\nbt_bails_code_page %lu\nbt_bails_wanders %lu\nbt_bails_early %lu\nbt_frame_choices %lu\n"
        "bt_frame_renewals %lu\nbt_write_drops %lu\nbt_kills %lu\n"
        "bt_revivals %lu\nbt_resets %lu\nbt_evictions %lu\nbt_evicted %lu\nbt_exits_next %lu\nbt_exits_link %lu\nbt_exits_bail "
        "%lu\nbt_exits_fault "
        "%lu\nbt_plain %lu\nbt_wanderers %lu\n",
        e->code.blocks, e->code.nr_traces, e->code.insns, e->code.native_insns, x86_code_bytes(&e->code), e->entries,
        e->cold_blocks, e->links, f->misses, f->lights, f->callouts, f->bails[FRAME_BAIL_CROSSING], f->bails[FRAME_BAIL_GROUP],
        f->bails[FRAME_BAIL_NO_RAM], f->bails[FRAME_BAIL_CODE], f->bails[FRAME_BAIL_WANDERS], f->bails[FRAME_BAIL_EARLY],
        e->code.frames.choices, e->code.frames.renewals, e->code.frames.write_drops, e->kills, e->revivals, e->resets,
        e->evictions, e->evicted, e->exits[FRAME_EXIT_NEXT],
        e->exits[FRAME_EXIT_LINK] + e->exits[FRAME_EXIT_LINK_BACK] + e->exits[FRAME_EXIT_LINK_CROSS], e->exits[FRAME_EXIT_BAIL],
        e->exits[FRAME_EXIT_FAULT], e->plain, e->wanderers);
    n = m < 0 ? n : n + (size_t)m < cap ? n + (size_t)m : cap - 1;
    n += x86_count_stats(e->code.counts, e->code.clock, f->misses_of, text + n, cap - n);
    return n + callout_stats(f, text + n, cap - n);
}
