/* SPDX-License-Identifier: MIT */
/*
 * Address spaces for lockstep_test's generator: switches, what differs in them, and changes of mappings that are flushed just far
 * enough.
 *
 * What a flush need not reach must not be met: bt and interp may have cached other translations. So whoever changes a mapping
 * takes from all PCIDs concerned the right to be kept by the next switch (LS_LOG_KEEP), and flushes what is current. At CPL 3 all
 * of it faults, changes and flushes alike.
 */
#include "lockstep_emit.h"

static const uint64_t keep_at = LS_V_LOG + LS_LOG_KEEP, desc_at = LS_V_LOG + LS_LOG_DESC;

static uint32_t root_of(unsigned space)
{
    return space ? LS_P_ROOTS + (space - 1) * 0x3000 : LS_P_TABLES;
}

/* Nothing may be left to point to page tables and the like: some instructions use registers as they come. */
static void forget_pointers(struct ls_gen *g)
{
    ls_mov(g, RAX, below(g, 64));
    ls_mov(g, RDX, below(g, 64));
}

/* Some PCID that only this space uses. */
static unsigned pcid_of(struct ls_gen *g, unsigned space)
{
    return 1 + space + LS_SPACES * below(g, (LS_PCIDS - 1) / LS_SPACES);
}

static void spoil(struct ls_gen *g, unsigned pcid)
{
    PUT32(g, 0, 0x48, 0xc7, 0x42, (uint8_t)(8 * pcid)); /* mov qword [rdx + 8 * pcid], 0 */
}

static void spoil_space(struct ls_gen *g, unsigned space)
{
    ls_mov(g, RDX, keep_at);
    for (unsigned pcid = 1 + space; pcid < LS_PCIDS; pcid += LS_SPACES)
        spoil(g, pcid);
}

void ls_spoil_spaces(struct ls_gen *g)
{
    if (!g->p->pcids)
        return;
    ls_mov(g, RDX, keep_at);
    for (unsigned pcid = 0; pcid < LS_PCIDS; pcid++)
        spoil(g, pcid);
    forget_pointers(g);
}

/* Keeps what the PCID has cached, where that is good. */
static void switch_to(struct ls_gen *g, unsigned space, unsigned pcid, bool keep)
{
    if (!g->p->pcids) {
        ls_mov(g, RAX, root_of(space));
        PUT(g, 0x0f, 0x22, 0xd8); /* mov cr3, rax */
        return;
    }
    ls_mov(g, RDX, keep_at + 8 * pcid);
    ls_mov(g, RCX, root_of(space) | pcid);
    if (keep)
        PUT(g, 0x48, 0x03, 0x0a); /* add rcx, [rdx] */
    PUT(g, 0x0f, 0x22, 0xd9);     /* mov cr3, rcx */
    ls_mov(g, RCX, 1ULL << 63);
    PUT(g, 0x48, 0x89, 0x0a); /* mov [rdx], rcx */
    forget_pointers(g);
}

static void switch_space(struct ls_gen *g)
{
    unsigned space = below(g, LS_SPACES);
    switch_to(g, space, pcid_of(g, space), percent(g, 90));
}

/* ---- flushes ---- */

static void invlpg(struct ls_gen *g, uint64_t va)
{
    ls_mov(g, RAX, va);
    PUT(g, 0x0f, 0x01, 0x38);
}

static void invpcid(struct ls_gen *g, unsigned type, unsigned pcid, uint64_t va)
{
    ls_mov(g, RDX, desc_at);
    PUT32(g, pcid, 0x48, 0xc7, 0x02); /* mov qword [rdx], pcid */
    ls_mov(g, RAX, va);
    PUT(g, 0x48, 0x89, 0x42, 8); /* mov [rdx + 8], rax */
    ls_mov(g, RAX, type);
    PUT(g, 0x66, 0x0f, 0x38, 0x82, 0x02); /* invpcid rax, [rdx] */
}

/* A page that is not global, in one space. */
static void flush_in_space(struct ls_gen *g, unsigned space, uint64_t va)
{
    if (!g->p->pcids || percent(g, 50)) { /* if another space is the current one, it is flushed in vain */
        if (g->p->pcids)
            spoil_space(g, space);
        invlpg(g, va);
        invlpg(g, va + LS_V_SPACE_AGAIN);
        return;
    }
    unsigned type = below(g, 2);
    for (unsigned pcid = 1 + space; pcid < LS_PCIDS; pcid += LS_SPACES)
        for (unsigned n = 0; n < 2 - type; n++)
            invpcid(g, type, pcid, va + n * LS_V_SPACE_AGAIN);
    if (space == 0)
        invpcid(g, 1, 0, va); /* as it begins */
}

/* A page that is global. */
static void flush_global(struct ls_gen *g, uint64_t va)
{
    if (percent(g, 30)) {
        invpcid(g, 2, 0, va);
        return;
    }
    invlpg(g, va);
    invlpg(g, va + LS_V_SPACE_AGAIN);
}

/* ---- changes ---- */

/* Loads and stores in a page. */
static void access_at(struct ls_gen *g, uint64_t page)
{
    for (unsigned n = 1 + below(g, 3); n > 0; n--) {
        ls_mov(g, RSI, page + (percent(g, 80) ? below(g, 4088) : 4096 - 1 - below(g, 8)));
        PUT(g, 0x48, percent(g, 50) ? 0x8b : 0x01, (uint8_t)(0x06 | below(g, 4) << 3)); /* mov reg, [rsi]; add [rsi], reg */
    }
}

static void call_to(struct ls_gen *g, uint64_t va)
{
    ls_set_stack(g);
    ls_mov(g, RBX, va);
    PUT(g, 0xff, 0xd3);
}

static void call_at(struct ls_gen *g, uint64_t page)
{
    static const uint16_t entry[] = { LS_F_ADD, LS_F_ON, LS_F_TO_END, LS_F_END };
    call_to(g, page + entry[below(g, 4)]);
}

static uint64_t space_page(unsigned n)
{
    return LS_V_SPACE + ((uint64_t)n << 12);
}

static void call_space(struct ls_gen *g)
{
    for (unsigned n = 1 + below(g, 3); n > 0; n--) {
        unsigned k = below(g, 6);
        call_at(g,
                space_page(k < 4 ? LS_S_FUNCTIONS + k : LS_S_GLOBAL_FUNCTIONS + k - 4) + (percent(g, 20) ? LS_V_SPACE_AGAIN : 0));
        if (percent(g, 40))
            access_at(g, space_page(LS_S_DATA + below(g, 8)));
    }
    if (percent(g, 15)) { /* xor byte [an immediate], v: where it is mapped now */
        unsigned begin = ls_seldom(g);
        ls_mov(g, RAX, space_page(LS_S_FUNCTIONS + below(g, 4)) + (percent(g, 50) ? 1 : LS_F_ADD + 3));
        PUT(g, 0x80, 0x30, (uint8_t)(1 + below(g, 255)));
        ls_seldom_end(g, begin);
    }
}

/* xor qword [entry], bits; the flags then tell of accessed bits, which need not be the same. */
static void change_entry(struct ls_gen *g, uint64_t entry, uint32_t bits)
{
    ls_mov(g, RAX, entry);
    PUT32(g, bits, 0x48, 0x81, 0x30);
    ls_define_flags(g);
}

static void change_space(struct ls_gen *g)
{
    static const uint16_t changes[] = { 1, 2, 0x1000, 0x1000, 0x1002 };
    unsigned space = below(g, LS_SPACES);
    bool code = percent(g, 40);
    unsigned n = code ? LS_S_FUNCTIONS + below(g, 4) : LS_S_DATA + below(g, 4);
    uint32_t bits = code && percent(g, 80) ? 0x1000 : changes[below(g, 5)];
    unsigned begin = ls_seldom(g);
    change_entry(g, LS_V_SPACE_TABLES + 0x1000 * space + 8 * n, bits);
    flush_in_space(g, space, space_page(n) + below(g, 4096));
    forget_pointers(g);
    ls_seldom_end(g, begin);
    if (code)
        call_at(g, space_page(n));
    else
        access_at(g, space_page(n));
}

/* Two pages that share a place among the pages of code are called before the first gives way to another. */
static void change_shadowed(struct ls_gen *g)
{
    unsigned space = below(g, LS_SPACES), n = LS_S_FUNCTIONS + below(g, 4);
    switch_to(g, space, pcid_of(g, space), true);
    call_to(g, space_page(n) + LS_F_ADD);
    call_to(g, space_page(n) + LS_V_SPACE_AGAIN + LS_F_ON);
    unsigned begin = ls_seldom(g);
    change_entry(g, LS_V_SPACE_TABLES + 0x1000 * space + 8 * n, 0x1000);
    flush_in_space(g, space, space_page(n));
    forget_pointers(g);
    ls_seldom_end(g, begin);
    call_to(g, space_page(n) + LS_F_ADD);
}

static void change_global(struct ls_gen *g)
{
    static const uint16_t changes[] = { 1, 2, 0x1000, 0x1000, 0x1002 };
    bool code = percent(g, 30);
    unsigned n = code ? LS_S_GLOBAL_FUNCTIONS + below(g, 2) : LS_S_GLOBAL_DATA + below(g, 4);
    uint32_t bits = code ? 0x1000 : changes[below(g, 5)];
    unsigned here = below(g, LS_SPACES), there = below(g, LS_SPACES), pcid = pcid_of(g, here);
    bool from_elsewhere = percent(g, 50);
    if (from_elsewhere) {
        switch_to(g, here, pcid, true);
        if (code)
            call_at(g, space_page(n));
        else
            access_at(g, space_page(n));
        switch_to(g, there, pcid_of(g, there), true);
    }
    unsigned begin = ls_seldom(g);
    for (unsigned space = 0; space < LS_SPACES; space++)
        change_entry(g, LS_V_SPACE_TABLES + 0x1000 * space + 8 * n, bits);
    flush_global(g, space_page(n) + below(g, 4096));
    forget_pointers(g);
    ls_seldom_end(g, begin);
    if (from_elsewhere)
        switch_to(g, here, pcid, true);
    if (code)
        call_at(g, space_page(n));
    else
        access_at(g, space_page(n));
}

/* A function page is written in one space and called in another one, by turns. */
static void write_from_space(struct ls_gen *g)
{
    unsigned here = below(g, LS_SPACES), there = (here + 1 + below(g, 3)) % LS_SPACES, k = below(g, 4);
    unsigned pcid[2] = { pcid_of(g, here), pcid_of(g, there) };
    unsigned begin = ls_seldom(g);
    for (unsigned n = 2; n > 0; n--) {
        switch_to(g, here, pcid[0], true);
        ls_mov(g, RSI, space_page(LS_S_FUNCTIONS + (k + LS_SPACES - here) % 4) + LS_F_ADD + 3);
        for (unsigned times = 1 + below(g, 2); times > 0; times--) {
            PUT(g, 0x80, 0x36, (uint8_t)(1 + below(g, 255))); /* xor byte [rsi], imm8 */
            PUT(g, 0xeb, 0);                                  /* another block, which finds the page without its mark as code */
        }
        switch_to(g, there, pcid[1], true);
        call_at(g, space_page(LS_S_FUNCTIONS + (k + LS_SPACES - there) % 4));
    }
    ls_seldom_end(g, begin);
}

/* By any address in it. */
static void change_large(struct ls_gen *g)
{
    static const uint32_t changes[] = { 1, 2, 0x200000, 0x200000 };
    uint64_t page = LS_V_LARGE + LS_P_DATA + 0x1000 * below(g, 6);
    access_at(g, page);
    unsigned begin = ls_seldom(g);
    change_entry(g, LS_V_LARGE_TABLE, changes[below(g, 4)]);
    if (g->p->large_global) {
        flush_global(g, LS_V_LARGE + below(g, 0x200000));
    } else {
        ls_spoil_spaces(g);
        invlpg(g, LS_V_LARGE + below(g, 0x200000));
    }
    forget_pointers(g);
    ls_seldom_end(g, begin);
    access_at(g, page);
}

void ls_space(struct ls_gen *g)
{
    static void (*const items[])(struct ls_gen *) = { switch_space,     switch_space,   call_space,   call_space,
                                                      change_space,     change_global,  change_large, write_from_space,
                                                      write_from_space, change_shadowed };
    items[below(g, 10)](g);
}
