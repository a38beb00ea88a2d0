/* SPDX-License-Identifier: MIT */
/*
 * The RISC-V run loop of engine `bt`: interprets cold blocks, translates hot ones, and keeps what it derived from guest memory
 * true.
 *
 * Translations are found by pc, mode and the guest page that pc lies in now. Pages with code that were written are looked at
 * after a FENCE.I: translations whose instructions changed are killed. Until then they may run, and the page takes stores as any
 * other.
 */
#include "engine/bt/bt_riscv.h"

#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "core/vcpu.h"
#include "core/vm.h"
#include "isa/riscv/profile.h"
#include "isa/riscv/run.h"
#include "isa/riscv/translate.h"

enum {
    HOT = 24,
    TURN_HEAT = 3, /* a block that the loop comes to costs as much as some that follow in interpret() */
    SEEN = 4,
    HEATS = 1 << 16,
    TAKEN = 1 << 16,
    TAKEN_MAX = 3,
    NATIVES = 1 << 15,
    PAGES = 1 << 12,
    RUN_SHARE = 30 /* per cent */
};

/* Translations for one V (isa/riscv/hyp.h): nothing of the other is ever found among them. */
struct bt_side {
    struct riscv_code code;
    struct riscv_native *native[NATIVES]; /* by hash of pc and mode; borrowed from the code's arena */
    struct riscv_code_page *page[PAGES];  /* by hash of the guest page */
    uint32_t nr_pages;                    /* ids given */
    uint64_t writes;                      /* noted writes to code pages that were looked at */
};

struct bt_riscv {
    struct riscv_run *run;   /* owned */
    struct bt_side *side[2]; /* owned; by V: the second is NULL where the hart has no H */
    struct bt_side *now;     /* borrowed: one of them */
    uint8_t heat[HEATS];     /* by hash of pc: times a block was interpreted */
    int8_t taken[TAKEN];     /* by hash of pc: how much more often a branch was taken than not lately */
    struct gmem *gmem;       /* borrowed: the machine's */
    struct gmem_storer storer;
    jmp_buf env;
    uint64_t turns_left;
    unsigned hot;
    bool eager;
    uint64_t entries, exits[RISCV_EXITS], cold, links, resets;
};

static void make_eager(struct bt_side *s)
{
    s->code.eager = true;
    s->code.runs_many = 2;
}

static int side_new(struct bt_riscv *e, struct riscv_cpu *c, bool guest, size_t bytes, struct error *err)
{
    struct bt_side *s = calloc(1, sizeof(*s));
    if (!s)
        return error_set(err, -ENOMEM, "no memory for engine bt");
    e->side[guest] = s;
    return riscv_code_init(&s->code, c, guest, bytes, err);
}

static void side_free(struct bt_side *s)
{
    if (s)
        riscv_code_done(&s->code);
    free(s);
}

int bt_riscv_new(struct riscv_cpu *c, size_t bytes, struct bt_riscv **ret_bt, struct error *err)
{
    struct bt_riscv *e = calloc(1, sizeof(*e));
    if (!e)
        return error_set(err, -ENOMEM, "no memory for engine bt");
    e->run = riscv_run_new(bytes / 100 * RUN_SHARE);
    size_t for_code = bytes / 100 * (100 - RUN_SHARE);
    int r = e->run ? side_new(e, c, false, for_code, err) : error_set(err, -ENOMEM, "no memory for engine bt");
    if (r == 0 && c->profile->has[RISCV_EXT_H])
        r = side_new(e, c, true, for_code, err);
    if (r < 0) {
        bt_riscv_free(e);
        return r;
    }
    e->hot = HOT;
    e->now = e->side[0];
    e->gmem = c->gmem;
    e->storer.attention = &c->vcpu->requests;
    e->storer.attention_bit = VCPU_REQ_CODE;
    gmem_add_storer(e->gmem, &e->storer);
    *ret_bt = e;
    return 0;
}

void bt_riscv_free(struct bt_riscv *e)
{
    if (!e)
        return;
    if (e->gmem)
        gmem_remove_storer(e->gmem, &e->storer);
    for (unsigned k = 0; k < 2; k++)
        side_free(e->side[k]);
    riscv_run_free(e->run);
    free(e);
}

void bt_riscv_set_eager(struct bt_riscv *e)
{
    e->hot = 0;
    e->eager = true;
    for (unsigned k = 0; k < 2; k++)
        if (e->side[k])
            make_eager(e->side[k]);
}

void bt_riscv_without_avx512(bool without)
{
    riscv_code_without_avx512(without);
}

static void drop_code(struct bt_riscv *e, struct bt_side *s)
{
    riscv_code_reset(&s->code);
    if (s->nr_pages) { /* else nothing was translated yet */
        memset((void *)s->native, 0, sizeof(s->native));
        memset((void *)s->page, 0, sizeof(s->page));
    }
    s->nr_pages = 0;
    s->code.now->shared.exit = RISCV_EXIT_NEXT; /* what it would link is gone */
    e->resets++;
}

void bt_riscv_drop(struct bt_riscv *e)
{
    riscv_run_drop(e->run);
    for (unsigned k = 0; k < 2; k++)
        if (e->side[k])
            drop_code(e, e->side[k]);
}

/* ---- code pages ---- */

static struct riscv_code_page **page_set(struct bt_side *s, uint64_t page)
{
    return &s->page[page & (PAGES - 1)];
}

static uint32_t mark(struct bt_riscv *e, uint64_t page)
{
    uint32_t gen;
    while (!gmem_mark_code(e->gmem, page, &gen))
        (void)sched_yield(); /* a storer of another vCPU leaves soon */
    return gen;
}

static bool intact(const struct bt_riscv *e, const struct riscv_native *n)
{
    for (unsigned k = 0; k < n->nr; k++) {
        const struct riscv_start *s = &n->start[k];
        const struct riscv_code_page *p = n->page[s->second];
        const uint8_t *host = e->gmem->host + (p->page << GPAGE_SHIFT) + s->off;
        uint16_t half;
        memcpy(&half, host, 2);
        if (half != (uint16_t)s->bits) /* it may be longer now, and reach into a page that is none of ours */
            return false;
        if (riscv_insn_len(half) == 2)
            continue;
        if (s->off + 2U == GPAGE_SIZE)
            host = e->gmem->host + (n->page[!s->second]->page << GPAGE_SHIFT) - 2;
        memcpy(&half, host + 2, 2);
        if (half != s->bits >> 16)
            return false;
    }
    return true;
}

/* The guest page was written, if its generation says so. */
static void look_at_page(struct bt_riscv *e, struct bt_side *s, struct riscv_code_page *p)
{
    if (p->gen == gmem_code_gen(e->gmem, p->page))
        return;
    p->gen = mark(e, p->page);
    for (struct riscv_native *n = p->first; n; n = n->in_page[n->page[0] != p])
        if (!n->dead && !intact(e, n))
            riscv_code_kill(&s->code, n);
}

/* For the translator: the code page at va. */
static struct riscv_code_page *page_at(void *opaque, gva_t va)
{
    struct bt_riscv *e = opaque;
    struct bt_side *s = e->now;
    struct riscv_cpu *c = s->code.cpu;
    const uint8_t *host = riscv_touch(c, va, RISCV_FETCH, NULL);
    if (!host)
        return NULL;
    uint64_t page = gmem_page_index(e->gmem, host);
    struct riscv_code_page *p = *page_set(s, page);
    while (p && (p->page != page || p->va != (va & GPAGE_MASK)))
        p = p->in_set;
    if (!p) {
        p = riscv_code_alloc(&s->code, sizeof(*p));
        if (!p)
            return NULL;
        *p = (struct riscv_code_page){ .page = page, .va = va & GPAGE_MASK, .id = ++s->nr_pages, .in_set = *page_set(s, page) };
        p->gen = mark(e, page);
        *page_set(s, page) = p;
    }
    riscv_code_add_page(&s->code, riscv_code_mode(c), p);
    look_at_page(e, s, p);
    return p;
}

/* A fence of instructions: what was written to code until now must be seen. */
static void keep_up_writes(struct bt_riscv *e, struct bt_side *s)
{
    uint64_t page, writes = atomic_load_explicit(&e->gmem->nr_writes, memory_order_acquire);
    while (s->writes != writes && gmem_recent(e->gmem->written, s->writes + 1, &page)) {
        s->writes++;
        for (struct riscv_code_page *p = *page_set(s, page); p; p = p->in_set)
            look_at_page(e, s, p);
    }
    if (s->writes == writes)
        return;
    s->writes = writes;
    for (unsigned k = 0; k < PAGES; k++)
        for (struct riscv_code_page *p = s->page[k]; p; p = p->in_set)
            look_at_page(e, s, p);
}

/* ---- stores ---- */

/* A gmem_forget_fn. */
static void forget_stores(void *opaque, const uint8_t *page)
{
    struct bt_riscv *e = opaque;
    for (unsigned k = 0; k < 2; k++) {
        if (!e->side[k])
            continue;
        if (e->side[k] != e->now)
            riscv_code_follow(&e->side[k]->code); /* its TLB may have gone on to another space */
        riscv_code_drop_stores(&e->side[k]->code, page);
    }
}

/* ---- translations ---- */

static unsigned hash(gva_t pc, unsigned mode)
{
    return (unsigned)((pc >> 1 ^ pc >> 16 ^ mode << 11) & (NATIVES - 1));
}

static struct riscv_native *find(struct bt_side *s, gva_t pc, unsigned mode, uint64_t page)
{
    struct riscv_native *n = s->native[hash(pc, mode)];
    while (n && (n->dead || n->pc != pc || n->mode != mode || n->page[0]->page != page))
        n = n->in_set;
    return n;
}

static unsigned taken_hash(gva_t pc)
{
    return (unsigned)((pc >> 1 ^ pc >> 17) & (TAKEN - 1));
}

static uint8_t *heat_of(struct bt_riscv *e, gva_t pc)
{
    return &e->heat[(pc >> 1 ^ pc >> 17) & (HEATS - 1)];
}

static bool mostly_taken(void *opaque, gva_t pc)
{
    const struct bt_riscv *e = opaque;
    return e->taken[taken_hash(pc)] > 0;
}

/* A riscv_learn_fn. */
static void learn(void *opaque, gva_t branch, bool taken)
{
    struct bt_riscv *e = opaque;
    e->taken[taken_hash(branch)] = taken ? TAKEN_MAX : -TAKEN_MAX;
}

static bool never_run(void *opaque, gva_t pc)
{
    struct bt_riscv *e = opaque;
    return *heat_of(e, pc) < SEEN && !e->eager;
}

/* Takes n out of the lists. */
static void unlist(struct bt_side *s, struct riscv_native *n)
{
    struct riscv_native **at = &s->native[hash(n->pc, n->mode)];
    while (*at != n)
        at = &(*at)->in_set;
    *at = n->in_set;
    for (unsigned k = 0; k < n->nr_pages; k++) {
        for (at = &n->page[k]->first; *at != n;)
            at = &(*at)->in_page[(*at)->page[0] != n->page[k]];
        *at = n->in_page[k];
    }
}

/* Whoever is led to n's predecessors, which were killed, is led to n. All but the first go by way of that, for ever, so that code
 * that is rewritten all the time does not have them all looked at each time. */
static void lead_on(struct bt_side *s, const struct riscv_native *n)
{
    struct riscv_native *dead = NULL, *newer, *next;
    for (next = s->native[hash(n->pc, n->mode)]; next; next = next->in_set)
        if (next->dead && next->pc == n->pc && next->mode == n->mode && next->page[0] == n->page[0])
            dead = next; /* the last is the first that was made */
    if (!dead)
        return;
    riscv_code_redirect(&s->code, dead, n);
    for (newer = s->native[hash(n->pc, n->mode)]; newer != dead; newer = next) {
        next = newer->in_set;
        if (!newer->dead || newer->pc != n->pc || newer->mode != n->mode || newer->page[0] != n->page[0])
            continue;
        riscv_code_redirect(&s->code, newer, dead);
        unlist(s, newer);
    }
}

static struct riscv_native *translate(struct bt_riscv *e, gva_t pc, unsigned mode)
{
    struct bt_side *s = e->now;
    struct riscv_finder finder = { .page = page_at, .taken = mostly_taken, .unseen = never_run, .opaque = e };
    if (!riscv_code_has_room(&s->code) || s->nr_pages > UINT32_MAX / 2)
        drop_code(e, s);
    struct riscv_native *n = riscv_translate(&s->code, pc, mode, &finder);
    if (!n)
        return NULL;
    lead_on(s, n);
    n->in_set = s->native[hash(pc, mode)];
    s->native[hash(pc, mode)] = n;
    for (unsigned k = 0; k < n->nr_pages; k++) {
        n->in_page[k] = n->page[k]->first;
        n->page[k]->first = n;
    }
    return n;
}

/* The access at fault_pc is not for a window, or hit an entry of the TLB that knows nothing: it is for the interpreter. */
static void find_fault(struct bt_riscv *e, struct riscv_cpu *c)
{
    uint64_t at = e->now->code.now->shared.fault_pc;
    struct riscv_native *n = riscv_code_native_at(&e->now->code, at);
    if (!n)
        abort(); /* a bug of ours: code that no translation has */
    c->insns += riscv_code_start_at(n, at, &c->pc)->uncounted;
    riscv_code_faulted(&e->now->code, n);
}

static void enter(struct bt_riscv *e, struct riscv_cpu *c, struct riscv_native *n)
{
    struct riscv_frame *f = e->now->code.now;
    if (f->shared.exit == RISCV_EXIT_LINK) {
        const struct riscv_link *l = &e->now->code.link[f->shared.link];
        if (l->pc == c->pc && (l->from->mode & ~(unsigned)RISCV_MODE_PLAIN) == n->mode) {
            riscv_code_link(&e->now->code, f->shared.link, n);
            e->links++;
        }
    }
    if (n->mode & RISCV_MODE_PLAIN)
        riscv_code_go_plain(&e->now->code, n);
    else
        riscv_code_add_jump(&e->now->code, n);
    riscv_code_add_page(&e->now->code, n->mode, n->page[0]);
    f->shared.exit = RISCV_EXIT_NEXT;
    e->entries++;
    if (e->eager)
        vcpu_request(c->vcpu, VCPU_REQ_CODE);
    gmem_storer_begin(e->gmem, &e->storer, forget_stores, e);
    riscv_code_run(&e->now->code, n);
    gmem_storer_leave(&e->storer);
    e->exits[f->shared.exit]++;
    if (f->shared.exit == RISCV_EXIT_LINK)
        c->pc = e->now->code.link[f->shared.link].pc;
    if (f->shared.exit == RISCV_EXIT_FAULT) {
        find_fault(e, c);
        f->shared.exit = RISCV_EXIT_STEP;
    }
    if (f->shared.exit == RISCV_EXIT_STEP) { /* at once: what was tried of it may show in fflags */
        f->shared.exit = RISCV_EXIT_NEXT;
        riscv_run_one(e->run, c);
    }
}

/* ---- the loop ---- */

/* A block, and what follows while that is cold and there is nothing to look at in between. */
static void interpret(struct bt_riscv *e, struct riscv_cpu *c)
{
    gva_t pc;
    int taken;
    e->now->code.now->shared.exit = RISCV_EXIT_NEXT;
    for (;;) {
        e->cold++;
        riscv_run_block(e->run, c, &pc, &taken);
        int8_t *count = &e->taken[taken_hash(pc)];
        if (taken == 1 && *count < TAKEN_MAX)
            ++*count;
        else if (taken == 0 && *count > -TAKEN_MAX)
            --*count;
        uint8_t *heat = heat_of(e, c->pc);
        if (c->leave || *heat >= e->hot || !e->turns_left || vcpu_requests(c->vcpu))
            return;
        ++*heat;
        e->turns_left--;
    }
}

/* V is another now. */
static void change_side(struct bt_riscv *e, struct riscv_cpu *c)
{
    e->now->code.now->shared.exit = RISCV_EXIT_NEXT;
    e->now = e->side[c->hyp.virt];
    riscv_code_attach(&e->now->code);
}

/* One turn: a run of translated code, or a block interpreted. */
static void turn(struct bt_riscv *e, struct riscv_cpu *c)
{
    for (unsigned k = 0; c->fenced && k < 2; k++)
        if (e->side[k])
            keep_up_writes(e, e->side[k]);
    c->fenced = false;
    if (e->now->code.tlb != c->tlb)
        change_side(e, c);
    riscv_code_follow(&e->now->code);
    struct riscv_frame *f = e->now->code.now;
    unsigned mode = riscv_code_mode(c), plain = f->shared.exit == RISCV_EXIT_PLAIN ? RISCV_MODE_PLAIN : 0;
    const uint8_t *host = riscv_fetch_page(c, c->pc);
    if (mode == RISCV_MODE_NONE || !riscv_tlb_hit(c, c->pc, 1, c->fetch_bank, RISCV_FETCH)) {
        interpret(e, c);
        return;
    }
    uint8_t *heat = heat_of(e, c->pc);
    if (!plain && *heat < e->hot) { /* it was never translated */
        *heat = (uint8_t)(*heat + TURN_HEAT);
        interpret(e, c);
        return;
    }
    struct riscv_native *n = plain ? NULL : riscv_code_native(&e->now->code, c->pc, mode);
    if (!n)
        n = find(e->now, c->pc, mode | plain, gmem_page_index(e->gmem, host));
    if (n && f->shared.exit == RISCV_EXIT_OFTEN && riscv_code_ran_often(&e->now->code, n)) {
        riscv_code_learn(&e->now->code, n, learn, e);
        n = NULL;
    }
    if (!n)
        n = translate(e, c->pc, mode | plain);
    if (n)
        enter(e, c, n);
    else
        interpret(e, c);
}

enum vcpu_exit bt_riscv_run(struct bt_riscv *e, struct riscv_cpu *c, uint64_t turns)
{
    enum vcpu_exit exit;
    e->turns_left = turns;
    riscv_code_attach(&e->now->code);
    if (e->now->code.now->shared.exit == RISCV_EXIT_LINK)
        e->now->code.now->shared
            .exit = RISCV_EXIT_NEXT; /* whoever ran since may have gone elsewhere; the other reasons are right anywhere */
    c->trap_env = &e->env;
    if (_setjmp(e->env)) { /* a step function raised */
        gmem_storer_leave(&e->storer);
        e->now->code.now->shared.exit = RISCV_EXIT_NEXT;
        riscv_run_trap(e->run, c);
    }
    while (e->turns_left) {
        e->turns_left--;
        if (riscv_run_boundary(e->run, c, &exit))
            return exit;
        turn(e, c);
    }
    return VCPU_EXIT_REQUEST;
}

/* Whether row a was called out more often than b, or as often and comes first. */
static bool more_often(const struct riscv_code *code, unsigned a, unsigned b)
{
    const uint64_t *of = code->callouts_of;
    return of[a] > of[b] || (of[a] == of[b] && a < b);
}

/* The instructions most often called out, one line each: "bt_callouts_NAME count". */
static size_t callout_stats(const struct riscv_code *code, char *text, size_t cap)
{
    enum { MOST = 12 };
    unsigned last = RISCV_ROW_NONE;
    size_t n = 0;
    for (unsigned k = 0; k < MOST && n < cap; k++) {
        unsigned best = RISCV_ROW_NONE;
        for (unsigned row = 0; row < riscv_nr_rows; row++)
            if (code->callouts_of[row] && (last == RISCV_ROW_NONE || more_often(code, last, row))
                && (best == RISCV_ROW_NONE || more_often(code, row, best)))
                best = row;
        if (best == RISCV_ROW_NONE)
            break;
        int m = snprintf(text + n, cap - n, "bt_callouts_%s %" PRIu64 "\n", riscv_rows[best].name, code->callouts_of[best]);
        n += m > 0 ? (size_t)m : 0;
        last = best;
    }
    return n < cap ? n : cap - 1;
}

size_t bt_riscv_stats(const struct bt_riscv *e, const struct riscv_cpu *c, char *text, size_t cap)
{
    const struct riscv_code *code = &e->side[0]->code, *virt = e->side[1] ? &e->side[1]->code : NULL;
    const struct riscv_shadow_counts shadow = riscv_shadow_counts(code->tlb->shadow);
    size_t n = riscv_run_stats(e->run, c, text, cap);
    int m = snprintf(text + n, cap - n,
                     "bt_translations %" PRIu64 "\nbt_insns_translated %" PRIu64 "\nbt_callouts_translated %" PRIu64
                     "\nbt_code_bytes %zu\nbt_entries %" PRIu64 "\nbt_cold_blocks %" PRIu64 "\nbt_links %" PRIu64
                     "\nbt_links_cross %" PRIu64 "\nbt_misses %" PRIu64 "\nbt_callouts %" PRIu64 "\nbt_callouts_vector %" PRIu64
                     "\nbt_kills %" PRIu64 "\nbt_resets %" PRIu64 "\nbt_exits_next %" PRIu64 "\nbt_exits_link %" PRIu64
                     "\nbt_exits_step %" PRIu64 "\nbt_exits_plain %" PRIu64 "\nbt_exits_fault %" PRIu64 "\nbt_strays %" PRIu64
                     "\nbt_resumed %" PRIu64 "\nbt_traps %" PRIu64 "\nbt_exits_often %" PRIu64 "\nbt_promoted %" PRIu64
                     "\nbt_unfit %" PRIu64 "\nshadow_fills %" PRIu64 "\nshadow_pages %" PRIu64 "\nshadow_clears %" PRIu64
                     "\nshadow_drops %" PRIu64 "\nshadow_full %" PRIu64 "\nbt_virtual_translations %" PRIu64
                     "\nbt_virtual_callouts %" PRIu64 "\n",
                     code->translated, code->insns, code->called_out, code->cb.pos + code->cold - code->cold_base, e->entries,
                     e->cold, e->links, code->nr_crossed, code->now->shared.misses, code->now->shared.callouts,
                     code->now->shared.vector_callouts, code->kills, e->resets, e->exits[RISCV_EXIT_NEXT],
                     e->exits[RISCV_EXIT_LINK], e->exits[RISCV_EXIT_STEP], e->exits[RISCV_EXIT_PLAIN], e->exits[RISCV_EXIT_FAULT],
                     code->strays, code->resumed, code->traps + code->now->shared.ecalls, e->exits[RISCV_EXIT_OFTEN],
                     code->promoted, code->unfits, shadow.fills, shadow.pages, shadow.clears, shadow.drops, shadow.full,
                     virt ? virt->translated : 0, virt ? virt->now->shared.callouts : 0);
    if (m < 0 || n + (size_t)m >= cap)
        return m < 0 ? n : cap - 1;
    n += (size_t)m;
    return n + callout_stats(code, text + n, cap - n);
}
