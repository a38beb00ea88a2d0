/* SPDX-License-Identifier: MIT */
/*
 * Code memory as a cache: regions that are filled in turn, and what must not lead into one that is reused.
 *
 * Into a block's code lead: links (jumps of other blocks, pointed at its cross, near or inner entry), jump caches and the table
 * of places (its jump entry), redirections (from an older translation of the same place), and the engine's own pointers. Every
 * link is on its region's list with where it led before. Redirections need no list: they lead from older code to newer, and the
 * older goes first.
 *
 * Blocks that go while their code is in a younger region are retired: their code stays where it is, but nothing may go on leading
 * there, or it would end in the run loop each time. Their entries begin with a jump (E9), which no entry in use does; links are
 * undone by that mark.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "isa/x86/translate_emit.h"

enum { JUMP = 0xe9, LINKS_FIRST = 64 };

/* ---- regions ---- */

void xl_make_regions(struct x86_code *code)
{
    size_t begin = code->cb.pos, room = code->cb.size - begin, hot = room / 5 * 2;
    size_t fit = hot / (3 * (size_t)XL_CODE_MAX);
    code->nr_regions = fit > X86_CODE_REGIONS ? X86_CODE_REGIONS : fit < 2 ? 2 : (unsigned)fit;
    size_t each = hot / code->nr_regions & ~(size_t)63, cold = (room - hot) / code->nr_regions & ~(size_t)63;
    for (unsigned r = 0; r < code->nr_regions; r++) {
        struct x86_code_region *g = &code->region[r];
        g->hot = begin + r * each;
        g->hot_end = g->hot + each;
        g->cold = begin + hot + r * cold;
        g->cold_end = g->cold + cold;
    }
}

static void begin_region(struct x86_code *code, unsigned r)
{
    struct x86_code_region *g = &code->region[r];
    code->now = r;
    code->cb.pos = g->hot;
    code->cb.end = g->hot_end;
    code->cb.failed = false;
    code->cold = g->cold;
    g->hot_used = g->cold_used = 0;
    g->nr_links = 0;
}

void xl_forget_code(struct x86_code *code)
{
    for (unsigned r = code->nr_regions; r-- > 0;)
        begin_region(code, r);
    code->retired = false;
}

bool x86_code_has_room(const struct x86_code *code)
{
    const struct x86_code_region *g = &code->region[code->now];
    return g->hot_end - code->cb.pos >= XL_CODE_MAX && g->cold_end - code->cold >= XL_CODE_MAX;
}

size_t x86_code_bytes(const struct x86_code *code)
{
    size_t sum = code->cb.pos - code->region[code->now].hot + code->cold - code->region[code->now].cold;
    for (unsigned r = 0; r < code->nr_regions; r++)
        sum += code->region[r].hot_used + code->region[r].cold_used;
    return sum;
}

/* ---- links ---- */

static uint8_t *at(const struct x86_code *code, size_t pos)
{
    return code->cb.rw + pos;
}

static size_t target(const struct x86_code *code, size_t from)
{
    int32_t rel;
    memcpy(&rel, at(code, from), sizeof(rel));
    return from + sizeof(rel) + (size_t)(int64_t)rel;
}

static void point(const struct x86_code *code, size_t from, size_t to)
{
    int32_t rel = (int32_t)(to - (from + sizeof(rel)));
    memcpy(at(code, from), &rel, sizeof(rel));
}

static bool lies_in(const struct x86_code_region *g, size_t pos)
{
    return pos - g->hot < g->hot_end - g->hot || pos - g->cold < g->cold_end - g->cold;
}

/* The region that the code at pos is in. */
static struct x86_code_region *region_of(struct x86_code *code, size_t pos)
{
    for (unsigned r = 0; r < code->nr_regions; r++) {
        struct x86_code_region *g = &code->region[r];
        if (lies_in(g, pos))
            return g;
    }
    return NULL;
}

/* False when out of memory: then there is no link. */
static bool note_link(struct x86_code_region *g, size_t from, size_t tail)
{
    if (g->nr_links == g->links_cap) {
        unsigned cap = g->links_cap ? 2 * g->links_cap : LINKS_FIRST;
        struct x86_code_link *more = realloc(g->link, cap * sizeof(*more));
        if (!more)
            return false;
        g->link = more;
        g->links_cap = cap;
    }
    g->link[g->nr_links++] = (struct x86_code_link){ (uint32_t)from, (uint32_t)tail };
    return true;
}

void x86_code_link(struct x86_code *code, uint64_t link, enum x86_frame_exit kind, const struct x86_native *n)
{
    size_t from = (size_t)(link - (uintptr_t)code->cb.rx);
    const uint8_t *to = kind == FRAME_EXIT_LINK_CROSS                     ? n->cross_entry
                        : kind == FRAME_EXIT_LINK_BACK || code->check_all ? n->near_entry
                                                                          : n->inner_entry;
    assert(codebuf_contains(&code->cb, link));
    struct x86_code_region *g = region_of(code, from);
    if (g && note_link(g, from, target(code, from)))
        point(code, from, (size_t)(to - code->cb.rx));
}

/* Undoes the region's links that lead into `gone` or to what was retired. */
static void undo_links(const struct x86_code *code, struct x86_code_region *g, const struct x86_code_region *gone)
{
    unsigned kept = 0;
    for (unsigned k = 0; k < g->nr_links; k++) {
        struct x86_code_link l = g->link[k];
        size_t to = target(code, l.at);
        if (lies_in(gone, to) || *at(code, to) == JUMP)
            point(code, l.at, l.tail);
        else
            g->link[kept++] = l;
    }
    g->nr_links = kept;
}

/* ---- eviction ---- */

void x86_code_retire(struct x86_code *code, struct x86_native *n)
{
    x86_code_kill(code, n);
    if (n->cross_entry != n->jump_entry)
        *at(code, (size_t)(n->cross_entry - code->cb.rx)) = JUMP;
    code->retired = true;
}

static void forget_places(struct x86_code *code, const struct x86_code_region *gone)
{
    uintptr_t begin = (uintptr_t)code->cb.rx + gone->hot, len = gone->hot_end - gone->hot;
    for (unsigned b = 0; b < X86_BANK_NR; b++)
        for (unsigned k = 0; k < CODE_PLACES; k++)
            if (code->places[b][k].code - begin < len)
                code->places[b][k].neg_key = xl_no_place(k);
}

bool x86_code_next_region(struct x86_code *code)
{
    struct x86_code_region *full = &code->region[code->now];
    unsigned next = (code->now + 1) % code->nr_regions;
    struct x86_code_region *g = &code->region[next];
    bool used = g->hot_used;
    full->hot_used = code->cb.pos - full->hot;
    full->cold_used = code->cold - full->cold;
    if (used || code->retired)
        for (unsigned r = 0; r < code->nr_regions; r++)
            if (r != next)
                undo_links(code, &code->region[r], g);
    if (used) {
        forget_places(code, g);
        x86_frames_drop_jumps(&code->frames);
    }
    code->retired = false;
    begin_region(code, next);
    return used;
}
