/* SPDX-License-Identifier: MIT */
/*
 * Decoded x86 code of one CPU: see blocks.h.
 */
#include "isa/x86/blocks.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "isa/x86/insn_steps.h"
#include "isa/x86/profile.h"
#include "isa/x86/step.h"
#include "isa/x86/tlb.h"

enum { HASH_BITS = 16, NEAR_BITS = 13, CROSSINGS = 512, REGIONS_MAX = 16, REGION_BYTES_MIN = 32 << 10 };

/* A decoded instruction that crosses into another page. */
struct crossing {
    uint64_t lin;
    uint64_t page[2];
    uint32_t gen[2];
    uint8_t mode;
    bool valid;
    struct x86_insn insn;
};

/* A part of the memory; blocks are evicted by region. */
struct region {
    struct x86_block *block; /* borrowed, like insn: parts of the mapping */
    struct x86_insn *insn;
    unsigned nr_blocks, nr_insns; /* in use */
};

struct x86_blocks {
    uint8_t *memory; /* owned mapping */
    size_t size;
    struct region region[REGIONS_MAX];
    unsigned nr_regions, now;
    unsigned blocks_max, insns_max; /* of a region */
    uint64_t epoch;                 /* changes when blocks go: part of every reference's context */
    void (*on_evict)(void *owner, struct x86_block *b);
    void *owner; /* borrowed: on_evict's */
    struct x86_blocks_stats stats;
    struct x86_block *bucket[1 << HASH_BITS];
    struct x86_block *last; /* found by the last call, NULL after a drop */
    struct x86_block_ref near[1 << NEAR_BITS];
    struct crossing crossing[CROSSINGS];
    struct x86_insn one; /* the instruction last fetched that is in no cache */
};

/* A quarter of a region is for the blocks, the rest for their instructions. */
static void make_regions(struct x86_blocks *b, unsigned regions)
{
    size_t fit = b->size / REGION_BYTES_MIN;
    b->nr_regions = regions < REGIONS_MAX ? regions : REGIONS_MAX;
    if (fit < b->nr_regions)
        b->nr_regions = (unsigned)fit;
    size_t bytes = b->size / b->nr_regions & ~(size_t)63, blocks = bytes / 4 & ~(size_t)63;
    b->blocks_max = (unsigned)(blocks / sizeof(struct x86_block));
    b->insns_max = (unsigned)((bytes - blocks) / sizeof(struct x86_insn));
    for (unsigned r = 0; r < b->nr_regions; r++)
        b->region[r] = (struct region){ .block = (struct x86_block *)(b->memory + r * bytes),
                                        .insn = (struct x86_insn *)(b->memory + r * bytes + blocks) };
}

struct x86_blocks *x86_blocks_new(size_t bytes, unsigned regions)
{
    static_assert(REGION_BYTES_MIN / 4 * 3 > 2 * BLOCK_MAX_INSNS * sizeof(struct x86_insn), "a block must fit into a region");
    struct x86_blocks *b = calloc(1, sizeof(*b));
    if (!b || bytes < BLOCKS_BYTES_MIN) {
        free(b);
        return NULL;
    }
    b->size = bytes;
    b->memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (b->memory == MAP_FAILED) {
        free(b);
        return NULL;
    }
    (void)madvise(b->memory, bytes, MADV_HUGEPAGE); /* it fills up: fewer faults, where the host has large pages on offer */
    make_regions(b, regions);
    b->epoch = 1;
    return b;
}

void x86_blocks_free(struct x86_blocks *blocks)
{
    if (!blocks)
        return;
    (void)munmap(blocks->memory, blocks->size); /* our own mapping: cannot fail */
    free(blocks);
}

void x86_blocks_drop(struct x86_blocks *blocks)
{
    memset(blocks->bucket, 0, sizeof(blocks->bucket));
    memset(blocks->near, 0, sizeof(blocks->near));
    for (unsigned k = 0; k < CROSSINGS; k++)
        blocks->crossing[k].valid = false;
    for (unsigned r = 0; r < blocks->nr_regions; r++)
        blocks->region[r].nr_blocks = blocks->region[r].nr_insns = 0;
    blocks->now = 0;
    blocks->last = NULL;
    blocks->epoch++;
    blocks->stats.drops++;
}

const struct x86_blocks_stats *x86_blocks_stats(const struct x86_blocks *blocks)
{
    return &blocks->stats;
}

static struct x86_block **bucket_of(struct x86_blocks *b, uint64_t key)
{
    return &b->bucket[(key * 0x9e3779b97f4a7c15ULL) >> (64 - HASH_BITS)];
}

static gva_t linear_pc(const struct x86_cpu *c)
{
    return c->mode == X86_MODE_64 ? c->rip : (uint32_t)(c->rip + c->seg[SEG_CS].base);
}

static uint64_t context(const struct x86_blocks *b, const struct x86_cpu *c)
{
    /* both only grow, so their sum tells */
    return (c->tlb->fetch_gen + b->epoch) << 16 | (uint64_t)c->mode << 13 | (uint64_t)(c->cpl == 3) << 12 | c->asid;
}

static void step_too_long(struct x86_cpu *c, const struct x86_insn *i)
{
    (void)i;
    x86_raise_err(c, X86_GP, 0);
}

static void step_checked(struct x86_cpu *c, const struct x86_insn *i)
{
    x86_check_fpu(c, i);
    x86_row_step(i->row)(c, i);
}

/* An instruction that only raises. */
static void make_fault(struct x86_insn *i, x86_step_fn step)
{
    memset(i, 0, sizeof(*i));
    i->step = step;
    i->len = 1;
}

/* True when the CPU model offers what the row needs. */
static bool row_offered(const struct x86_cpu *c, const struct x86_row *row)
{
    return !c->profile || (c->profile->has[row->feat[0]] && c->profile->has[row->feat[1]]);
}

/* A CPU without TZCNT or LZCNT does not see their prefix, and executes BSF or BSR. Spec: SDM 2B LZCNT, TZCNT */
static bool make_older(struct x86_insn *i)
{
    x86_step_fn step = x86_row_step(i->row), older = step == step_tzcnt ? step_bsf : step == step_lzcnt ? step_bsr : NULL;
    for (unsigned row = 0; older && row < x86_nr_rows; row++)
        if (x86_row_step(row) == older) {
            i->row = (uint16_t)row;
            i->step = older;
            return true;
        }
    return false;
}

int x86_blocks_decode(const struct x86_cpu *c, const uint8_t *bytes, unsigned left, struct x86_insn *ret)
{
    int len = x86_decode(bytes, left < X86_INSN_MAX ? left : X86_INSN_MAX, c->mode, ret);
    if (len == X86_DECODE_SHORT && left < X86_INSN_MAX)
        return len;
    if (len == X86_DECODE_INVALID) {
        make_fault(ret, step_ud);
    } else if (len < 0) {
        make_fault(ret, step_too_long);
    } else {
        const struct x86_row *row = &x86_rows[ret->row];
        if (!row_offered(c, row))
            ret->step = make_older(ret) ? ret->step : step_ud;
        else if (row->flags & (ROW_X87 | ROW_MMX | ROW_SSE | ROW_AVX | ROW_AVX512))
            ret->step = step_checked;
    }
    return 0;
}

bool x86_insn_faults(const struct x86_insn *i)
{
    return i->step == step_ud || i->step == step_too_long;
}

bool x86_insn_ends_block(const struct x86_insn *i)
{
    return x86_insn_faults(i) || x86_row_ends_block(&x86_rows[i->row]) || (i->rep && (x86_rows[i->row].flags & ROW_REP));
}

static void unlink_block(struct x86_blocks *b, const struct x86_block *n)
{
    struct x86_block **p = bucket_of(b, n->key);
    while (*p && *p != n)
        p = &(*p)->next;
    if (*p)
        *p = n->next;
}

void x86_blocks_on_evict(struct x86_blocks *blocks, void (*fn)(void *owner, struct x86_block *b), void *owner)
{
    blocks->on_evict = fn;
    blocks->owner = owner;
}

void x86_blocks_evict(struct x86_blocks *blocks)
{
    blocks->now = (blocks->now + 1) % blocks->nr_regions;
    struct region *r = &blocks->region[blocks->now];
    for (unsigned k = 0; k < r->nr_blocks; k++) {
        struct x86_block *n = &r->block[k];
        if (blocks->on_evict)
            blocks->on_evict(blocks->owner, n);
        unlink_block(blocks, n); /* a stale one is in no bucket */
        n->insn = NULL;
        n->key = n->page = ~0ULL;
    }
    if (r->nr_blocks)
        blocks->stats.evictions++;
    r->nr_blocks = r->nr_insns = 0;
    blocks->last = NULL;
    blocks->epoch++;
    if (blocks->on_evict)
        blocks->on_evict(blocks->owner, NULL);
}

static struct x86_block *build(struct x86_blocks *b, struct x86_cpu *c, const uint8_t *host, unsigned left, uint64_t key)
{
    struct region *r = &b->region[b->now];
    if (r->nr_blocks == b->blocks_max || b->insns_max - r->nr_insns < BLOCK_MAX_INSNS) {
        x86_blocks_evict(b);
        r = &b->region[b->now];
    }
    struct x86_block *n = &r->block[r->nr_blocks];
    n->insn = r->insn + r->nr_insns;
    n->page = gmem_page_index(c->gmem, host);
    if (!gmem_mark_code(c->gmem, n->page, &n->gen))
        return NULL;
    n->key = key;
    n->oldest = 0;
    n->heat = 0;
    n->translation = NULL;
    memset(n->after, 0, sizeof(n->after));
    n->nr = 0;
    n->bytes = 0;
    while (n->nr < BLOCK_MAX_INSNS) {
        struct x86_insn *i = &n->insn[n->nr];
        if (x86_blocks_decode(c, host + n->bytes, left - n->bytes, i))
            break;
        n->nr++;
        n->bytes += i->len;
        if (x86_insn_ends_block(i) || n->bytes >= left)
            break;
    }
    if (!n->nr)
        return NULL;
    r->nr_blocks++;
    r->nr_insns += n->nr;
    b->stats.built++;
    b->stats.insns_decoded += n->nr;
    struct x86_block **bucket = bucket_of(b, key);
    n->next = *bucket;
    *bucket = n;
    return n;
}

/* The page was written since, and is marked again, with gen: the block is good if its bytes are the same. */
static bool still_good(struct x86_blocks *b, const struct x86_cpu *c, struct x86_block *n, uint32_t gen)
{
    const uint8_t *at = c->gmem->host + (n->page << GPAGE_SHIFT) + (n->key >> 4 & 0xfff);
    for (unsigned k = 0; k < n->nr; k++) {
        const struct x86_insn *i = &n->insn[k];
        if (x86_insn_faults(i) || memcmp(at, i->bytes, i->len) != 0)
            return false; /* what faults has no bytes to compare: decode again */
        at += i->len;
    }
    n->gen = gen;
    b->stats.revalidated++;
    return true;
}

static uint64_t key_of(const struct x86_cpu *c, const uint8_t *host, gva_t lin)
{
    return gmem_page_index(c->gmem, host) << 16 | (lin & 0xfff) << 4 | c->mode;
}

/* The block in the tables for the code at host. */
static struct x86_block *find_by_host(struct x86_blocks *b, struct x86_cpu *c, gva_t lin, const uint8_t *host, unsigned left)
{
    uint64_t key = key_of(c, host, lin);
    struct x86_block *n = *bucket_of(b, key);
    b->stats.lookups_slow++;
    while (n && n->key != key)
        n = n->next;
    if (n && n->gen != gmem_code_gen(c->gmem, n->page)) {
        uint32_t gen;
        if (!gmem_mark_code(c->gmem, n->page, &gen))
            return NULL;
        if (!still_good(b, c, n, gen)) {
            unlink_block(b, n);
            b->stats.stale++;
            n = NULL;
        }
    }
    return n ? n : build(b, c, host, left, key);
}

static inline bool ref_holds(const struct x86_cpu *c, const struct x86_block_ref *r, gva_t lin, uint64_t ctx)
{
    return r->lin == lin && r->ctx == ctx && r->block && r->block->gen == gmem_code_gen(c->gmem, r->block->page);
}

/* By a walk, or the TLB; r spares the tables when what it names is still what lies there. */
static struct x86_block *find_slow(struct x86_blocks *b, struct x86_cpu *c, gva_t lin, const struct x86_block_ref *r)
{
    unsigned left;
    const uint8_t *host = x86_fetch_page(c, lin, &left);
    if (!host)
        return NULL;
    if (r->lin == lin && r->block && r->block->key == key_of(c, host, lin)
        && r->block->gen == gmem_code_gen(c->gmem, r->block->page))
        return r->block;
    return find_by_host(b, c, lin, host, left);
}

/* Not among the successors of the last block: the cache by linear address, then the tables. */
static struct x86_block *find_elsewhere(struct x86_blocks *b, struct x86_cpu *c, gva_t lin, uint64_t ctx)
{
    struct x86_block_ref *r = &b->near[(lin ^ lin >> NEAR_BITS) & ((1 << NEAR_BITS) - 1)];
    if (!ref_holds(c, r, lin, ctx)) {
        struct x86_block *n = find_slow(b, c, lin, r);
        if (!n) {
            b->last = NULL;
            return NULL;
        }
        *r = (struct x86_block_ref){ lin, ctx, n };
    }
    if (b->last) {
        struct x86_block *from = b->last;
        from->after[from->oldest] = *r;
        from->times[from->oldest] = 1;
        from->oldest = (uint8_t)((from->oldest + 1) % BLOCK_SUCCESSORS);
    }
    b->last = r->block;
    return r->block;
}

struct x86_block *x86_blocks_find(struct x86_blocks *blocks, struct x86_cpu *c)
{
    gva_t lin = linear_pc(c);
    uint64_t ctx = context(blocks, c);
    struct x86_block *from = blocks->last;
    if (__builtin_expect(from != NULL, 1))
        for (unsigned k = 0; k < BLOCK_SUCCESSORS; k++)
            if (ref_holds(c, &from->after[k], lin, ctx)) {
                from->oldest = (uint8_t)((k + 1) % BLOCK_SUCCESSORS);
                from->times[k] += from->times[k] < UINT8_MAX;
                return blocks->last = from->after[k].block;
            }
    return find_elsewhere(blocks, c, lin, ctx);
}

void x86_blocks_lose_track(struct x86_blocks *blocks)
{
    blocks->last = NULL;
}

/* Decodes what lies within the first page; NULL when that is not all of it. */
static const struct x86_insn *fetch_plain(struct x86_blocks *b, struct x86_cpu *c, const uint8_t *host, unsigned left)
{
    uint8_t bytes[X86_INSN_MAX];
    memset(bytes, 0xff, sizeof(bytes)); /* what an empty bus gives */
    if (host)
        memcpy(bytes, host, left < X86_INSN_MAX ? left : X86_INSN_MAX);
    return x86_blocks_decode(c, bytes, left < X86_INSN_MAX ? left : X86_INSN_MAX, &b->one) ? NULL : &b->one;
}

static gva_t beyond(const struct x86_cpu *c, gva_t lin, unsigned left)
{
    return c->mode == X86_MODE_64 ? lin + left : (uint32_t)(lin + left);
}

static bool page_holds(const struct x86_cpu *c, const struct crossing *x, unsigned k, const uint8_t *host)
{
    return host && gmem_page_index(c->gmem, host) == x->page[k] && gmem_code_gen(c->gmem, x->page[k]) == x->gen[k];
}

/* What was decoded before is there again, in the same two pages. The second is fetched only when the first calls for it. */
static bool crossing_holds(struct x86_cpu *c, const struct crossing *x, gva_t lin, const uint8_t *host, unsigned left)
{
    unsigned more;
    return x->valid && x->lin == lin && x->mode == c->mode && page_holds(c, x, 0, host)
           && page_holds(c, x, 1, x86_fetch_page(c, beyond(c, lin, left), &more));
}

/* Decodes across the page end; remembered when both pages are RAM. */
static const struct x86_insn *fetch_crossing(struct x86_cpu *c, gva_t lin, const uint8_t *host, unsigned left, struct crossing *x)
{
    uint8_t bytes[X86_INSN_MAX];
    unsigned more;
    const uint8_t *host2 = x86_fetch_page(c, beyond(c, lin, left), &more);
    memset(bytes, 0xff, sizeof(bytes));
    x->valid = host && host2;
    if (x->valid) {
        x->lin = lin;
        x->mode = c->mode;
        x->page[0] = gmem_page_index(c->gmem, host);
        x->page[1] = gmem_page_index(c->gmem, host2);
        x->valid = gmem_mark_code(c->gmem, x->page[0], &x->gen[0]) && gmem_mark_code(c->gmem, x->page[1], &x->gen[1]);
    }
    if (host)
        memcpy(bytes, host, left);
    if (host2)
        memcpy(bytes + left, host2, X86_INSN_MAX - left);
    (void)x86_blocks_decode(c, bytes, X86_INSN_MAX, &x->insn); /* 15 bytes are always enough: cannot be short */
    return &x->insn;
}

const struct x86_insn *x86_blocks_crossing(struct x86_blocks *blocks, struct x86_cpu *c)
{
    gva_t lin = linear_pc(c);
    const struct crossing *x = &blocks->crossing[lin >> GPAGE_SHIFT & (CROSSINGS - 1)];
    unsigned left;
    const uint8_t *host = x86_fetch_page(c, lin, &left);
    return crossing_holds(c, x, lin, host, left) ? &x->insn : NULL;
}

const struct x86_insn *x86_blocks_fetch_one(struct x86_blocks *blocks, struct x86_cpu *c)
{
    gva_t lin = linear_pc(c);
    struct crossing *x = &blocks->crossing[lin >> GPAGE_SHIFT & (CROSSINGS - 1)];
    unsigned left;
    const uint8_t *host = x86_fetch_page(c, lin, &left);
    if (crossing_holds(c, x, lin, host, left))
        return &x->insn;
    blocks->stats.uncached++;
    const struct x86_insn *i = fetch_plain(blocks, c, host, left);
    return i ? i : fetch_crossing(c, lin, host, left, x);
}
