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
#include "isa/riscv/run.h"
#include "isa/riscv/translate.h"

enum {
    HOT = 6,
    HEATS = 1 << 16,
    TAKEN = 1 << 16,
    TAKEN_MAX = 3,
    NATIVES = 1 << 15,
    PAGES = 1 << 12,
    RUN_SHARE = 30 /* per cent */
};

struct bt_riscv {
    struct riscv_run *run; /* owned */
    struct riscv_code code;
    struct riscv_native *native[NATIVES]; /* by hash of pc and mode; borrowed from the code's arena */
    struct riscv_code_page *page[PAGES];  /* by hash of the guest page */
    uint32_t nr_pages;                    /* ids given */
    uint8_t heat[HEATS];                  /* by hash of pc: times a block was interpreted */
    int8_t taken[TAKEN];                  /* by hash of pc: how much more often a branch was taken than not lately */
    uint64_t writes;                      /* noted writes to code pages that were looked at */
    struct gmem *gmem;                    /* borrowed: the machine's */
    struct gmem_storer storer;
    jmp_buf env;
    uint64_t turns_left;
    unsigned hot;
    bool eager;
    uint64_t entries, exits[RISCV_EXITS], cold, links, resets;
};

int bt_riscv_new(struct riscv_cpu *c, size_t bytes, struct bt_riscv **ret_bt, struct error *err)
{
    struct bt_riscv *e = calloc(1, sizeof(*e));
    if (!e)
        return error_set(err, -ENOMEM, "no memory for engine bt");
    e->run = riscv_run_new(bytes / 100 * RUN_SHARE);
    int r = e->run ? riscv_code_init(&e->code, c, bytes / 100 * (100 - RUN_SHARE), err)
                   : error_set(err, -ENOMEM, "no memory for engine bt");
    if (r < 0) {
        bt_riscv_free(e);
        return r;
    }
    e->hot = HOT;
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
    riscv_code_done(&e->code);
    riscv_run_free(e->run);
    free(e);
}

void bt_riscv_set_eager(struct bt_riscv *e)
{
    e->hot = 0;
    e->eager = e->code.eager = true;
    e->code.runs_many = 2;
}

void bt_riscv_without_avx512(bool without)
{
    riscv_code_without_avx512(without);
}

static void drop_code(struct bt_riscv *e)
{
    riscv_code_reset(&e->code);
    memset((void *)e->native, 0, sizeof(e->native));
    memset((void *)e->page, 0, sizeof(e->page));
    e->nr_pages = 0;
    e->code.now->shared.exit = RISCV_EXIT_NEXT; /* what it would link is gone */
    e->resets++;
}

void bt_riscv_drop(struct bt_riscv *e)
{
    riscv_run_drop(e->run);
    drop_code(e);
}

/* ---- code pages ---- */

static struct riscv_code_page **page_set(struct bt_riscv *e, uint64_t page)
{
    return &e->page[page & (PAGES - 1)];
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
static void look_at_page(struct bt_riscv *e, struct riscv_code_page *p)
{
    if (p->gen == gmem_code_gen(e->gmem, p->page))
        return;
    p->gen = mark(e, p->page);
    for (struct riscv_native *n = p->first; n; n = n->in_page[n->page[0] != p])
        if (!n->dead && !intact(e, n))
            riscv_code_kill(&e->code, n);
}

/* For the translator: the code page at va. */
static struct riscv_code_page *page_at(void *opaque, gva_t va)
{
    struct bt_riscv *e = opaque;
    struct riscv_cpu *c = e->code.cpu;
    const uint8_t *host = riscv_touch(c, va, RISCV_FETCH, NULL);
    if (!host)
        return NULL;
    uint64_t page = gmem_page_index(e->gmem, host);
    struct riscv_code_page *p = *page_set(e, page);
    while (p && (p->page != page || p->va != (va & GPAGE_MASK)))
        p = p->in_set;
    if (!p) {
        p = riscv_code_alloc(&e->code, sizeof(*p));
        if (!p)
            return NULL;
        *p = (struct riscv_code_page){ .page = page, .va = va & GPAGE_MASK, .id = ++e->nr_pages, .in_set = *page_set(e, page) };
        p->gen = mark(e, page);
        *page_set(e, page) = p;
    }
    riscv_code_add_page(&e->code, riscv_code_mode(c), p);
    look_at_page(e, p);
    return p;
}

/* A fence of instructions: what was written to code until now must be seen. */
static void keep_up_writes(struct bt_riscv *e, struct riscv_cpu *c)
{
    uint64_t page, writes = atomic_load_explicit(&e->gmem->nr_writes, memory_order_acquire);
    c->fenced = false;
    while (e->writes != writes && gmem_recent(e->gmem->written, e->writes + 1, &page)) {
        e->writes++;
        for (struct riscv_code_page *p = *page_set(e, page); p; p = p->in_set)
            look_at_page(e, p);
    }
    if (e->writes == writes)
        return;
    e->writes = writes;
    for (unsigned k = 0; k < PAGES; k++)
        for (struct riscv_code_page *p = e->page[k]; p; p = p->in_set)
            look_at_page(e, p);
}

/* ---- stores ---- */

/* A gmem_forget_fn. */
static void forget_stores(void *opaque, const uint8_t *page)
{
    riscv_code_drop_stores(&((struct bt_riscv *)opaque)->code, page);
}

/* ---- translations ---- */

static unsigned hash(gva_t pc, unsigned mode)
{
    return (unsigned)((pc >> 1 ^ pc >> 16 ^ mode << 11) & (NATIVES - 1));
}

static struct riscv_native *find(struct bt_riscv *e, gva_t pc, unsigned mode, uint64_t page)
{
    struct riscv_native *n = e->native[hash(pc, mode)];
    while (n && (n->dead || n->pc != pc || n->mode != mode || n->page[0]->page != page))
        n = n->in_set;
    return n;
}

static unsigned taken_hash(gva_t pc)
{
    return (unsigned)((pc >> 1 ^ pc >> 17) & (TAKEN - 1));
}

static bool mostly_taken(void *opaque, gva_t pc)
{
    const struct bt_riscv *e = opaque;
    return e->taken[taken_hash(pc)] > 0;
}

/* Takes n out of the lists. */
static void unlist(struct bt_riscv *e, struct riscv_native *n)
{
    struct riscv_native **at = &e->native[hash(n->pc, n->mode)];
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
static void lead_on(struct bt_riscv *e, const struct riscv_native *n)
{
    struct riscv_native *dead = NULL, *newer, *next;
    for (next = e->native[hash(n->pc, n->mode)]; next; next = next->in_set)
        if (next->dead && next->pc == n->pc && next->mode == n->mode && next->page[0] == n->page[0])
            dead = next; /* the last is the first that was made */
    if (!dead)
        return;
    riscv_code_redirect(&e->code, dead, n);
    for (newer = e->native[hash(n->pc, n->mode)]; newer != dead; newer = next) {
        next = newer->in_set;
        if (!newer->dead || newer->pc != n->pc || newer->mode != n->mode || newer->page[0] != n->page[0])
            continue;
        riscv_code_redirect(&e->code, newer, dead);
        unlist(e, newer);
    }
}

static struct riscv_native *translate(struct bt_riscv *e, gva_t pc, unsigned mode)
{
    struct riscv_finder finder = { .page = page_at, .taken = mostly_taken, .opaque = e };
    if (!riscv_code_has_room(&e->code) || e->nr_pages > UINT32_MAX / 2)
        drop_code(e);
    struct riscv_native *n = riscv_translate(&e->code, pc, mode, &finder);
    if (!n)
        return NULL;
    lead_on(e, n);
    n->in_set = e->native[hash(pc, mode)];
    e->native[hash(pc, mode)] = n;
    for (unsigned k = 0; k < n->nr_pages; k++) {
        n->in_page[k] = n->page[k]->first;
        n->page[k]->first = n;
    }
    return n;
}

/* The host code at fault_pc touched a site that knows nothing: the instruction there is for the interpreter. */
static void find_fault(struct bt_riscv *e, struct riscv_cpu *c)
{
    for (unsigned h = 0; h < NATIVES; h++)
        for (const struct riscv_native *n = e->native[h]; n; n = n->in_set) {
            const struct riscv_start *s = riscv_code_start_at(n, e->code.now->shared.fault_pc, &c->pc);
            if (s) {
                c->insns += s->uncounted;
                return;
            }
        }
    abort(); /* a bug of ours: code that no translation has */
}

static void enter(struct bt_riscv *e, struct riscv_cpu *c, const struct riscv_native *n)
{
    struct riscv_frame *f = e->code.now;
    if (f->shared.exit == RISCV_EXIT_LINK) {
        const struct riscv_link *l = &e->code.link[f->shared.link];
        if (l->pc == c->pc && (l->from->mode & ~(unsigned)RISCV_MODE_PLAIN) == n->mode) {
            riscv_code_link(&e->code, f->shared.link, n);
            e->links++;
        }
    }
    if (n->mode & RISCV_MODE_PLAIN)
        riscv_code_go_plain(&e->code, n);
    else
        riscv_code_add_jump(&e->code, n);
    riscv_code_add_page(&e->code, n->mode, n->page[0]);
    f->shared.exit = RISCV_EXIT_NEXT;
    e->entries++;
    if (e->eager)
        vcpu_request(c->vcpu, VCPU_REQ_CODE);
    gmem_storer_begin(e->gmem, &e->storer, forget_stores, e);
    riscv_code_run(&e->code, n);
    gmem_storer_leave(&e->storer);
    e->exits[f->shared.exit]++;
    if (f->shared.exit == RISCV_EXIT_LINK)
        c->pc = e->code.link[f->shared.link].pc;
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

static void interpret(struct bt_riscv *e, struct riscv_cpu *c)
{
    gva_t pc;
    int taken;
    e->code.now->shared.exit = RISCV_EXIT_NEXT;
    e->cold++;
    riscv_run_block(e->run, c, &pc, &taken);
    int8_t *count = &e->taken[taken_hash(pc)];
    if (taken == 1 && *count < TAKEN_MAX)
        ++*count;
    else if (taken == 0 && *count > -TAKEN_MAX)
        --*count;
}

/* One turn: a run of translated code, or a block interpreted. */
static void turn(struct bt_riscv *e, struct riscv_cpu *c)
{
    if (c->fenced)
        keep_up_writes(e, c);
    riscv_code_follow(&e->code);
    struct riscv_frame *f = e->code.now;
    unsigned mode = riscv_code_mode(c), plain = f->shared.exit == RISCV_EXIT_PLAIN ? RISCV_MODE_PLAIN : 0;
    const uint8_t *host = riscv_fetch_page(c, c->pc);
    if (mode == RISCV_MODE_NONE || !riscv_tlb_hit(c, c->pc, 1, c->fetch_bank, RISCV_FETCH)) {
        interpret(e, c);
        return;
    }
    uint8_t *heat = &e->heat[(c->pc >> 1 ^ c->pc >> 17) & (HEATS - 1)];
    if (!plain && *heat < e->hot) { /* it was never translated */
        ++*heat;
        interpret(e, c);
        return;
    }
    struct riscv_native *n = find(e, c->pc, mode | plain, gmem_page_index(e->gmem, host));
    if (n && f->shared.exit == RISCV_EXIT_OFTEN && riscv_code_ran_often(&e->code, n))
        n = NULL;
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
    riscv_code_attach(&e->code);
    if (e->code.now->shared.exit == RISCV_EXIT_LINK)
        e->code.now->shared
            .exit = RISCV_EXIT_NEXT; /* whoever ran since may have gone elsewhere; the other reasons are right anywhere */
    c->trap_env = &e->env;
    if (_setjmp(e->env)) { /* a step function raised */
        gmem_storer_leave(&e->storer);
        e->code.now->shared.exit = RISCV_EXIT_NEXT;
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
    const struct riscv_code *code = &e->code;
    size_t n = riscv_run_stats(e->run, c, text, cap);
    int m = snprintf(
        text + n, cap - n,
        "bt_translations %" PRIu64 "\nbt_insns_translated %" PRIu64 "\nbt_callouts_translated %" PRIu64
        "\nbt_code_bytes %zu\nbt_entries %" PRIu64 "\nbt_cold_blocks %" PRIu64 "\nbt_links %" PRIu64 "\nbt_links_cross %" PRIu64
        "\nbt_misses %" PRIu64 "\nbt_callouts %" PRIu64 "\nbt_callouts_vector %" PRIu64 "\nbt_kills %" PRIu64
        "\nbt_resets %" PRIu64 "\nbt_exits_next %" PRIu64 "\nbt_exits_link %" PRIu64 "\nbt_exits_step %" PRIu64
        "\nbt_exits_plain %" PRIu64 "\nbt_exits_fault %" PRIu64 "\nbt_wanderers %" PRIu64 "\nbt_resumed %" PRIu64
        "\nbt_traps %" PRIu64 "\nbt_exits_often %" PRIu64 "\nbt_promoted %" PRIu64 "\nbt_site_misses %" PRIu64 "\n",
        code->translated, code->insns, code->called_out, code->cb.pos + code->cold - code->cold_base, e->entries, e->cold,
        e->links, code->nr_crossed, code->now->shared.misses, code->now->shared.callouts, code->now->shared.vector_callouts,
        code->kills, e->resets, e->exits[RISCV_EXIT_NEXT], e->exits[RISCV_EXIT_LINK], e->exits[RISCV_EXIT_STEP],
        e->exits[RISCV_EXIT_PLAIN], e->exits[RISCV_EXIT_FAULT], code->wanderers, code->resumed,
        code->traps + code->now->shared.ecalls, e->exits[RISCV_EXIT_OFTEN], code->promoted, code->now->shared.site_misses);
    if (m < 0 || n + (size_t)m >= cap)
        return m < 0 ? n : cap - 1;
    n += (size_t)m;
    return n + callout_stats(code, text + n, cap - n);
}
