/* SPDX-License-Identifier: MIT */
/*
 * What lockstep_test's generator is made of: the program in progress, and emitters of single instructions.
 */
#ifndef DOPPEL_TESTS_LOCKSTEP_EMIT_H
#define DOPPEL_TESTS_LOCKSTEP_EMIT_H

#include "lockstep_gen.h"

enum { LS_FUNCTIONS = 4 };

struct ls_gen {
    struct x86_profile profile; /* all that the host has */
    struct gen *gen;            /* owned */
    uint16_t *rows[4];          /* owned; numbers of gen's rows by kind: integer, SSE and AVX, x87 and MMX, AVX-512 */
    unsigned nr_rows[4];
    /* in progress */
    struct rng r;
    struct ls_program *p;
    unsigned pos, depth;
    bool in_function; /* the stack pointer must survive */
    unsigned nr_functions, function[LS_FUNCTIONS];
    struct ls_target {
        unsigned at;    /* offset of the byte to change */
        uint8_t change; /* by XOR */
    } target[LS_FUNCTIONS];
    int cluster; /* a register that points to data for the next instructions, -1: none */
    unsigned cluster_left;
    uint64_t cluster_at;
};

static inline unsigned below(struct ls_gen *g, unsigned n)
{
    return rng_below(&g->r, n);
}

static inline bool percent(struct ls_gen *g, unsigned n)
{
    return rng_percent(&g->r, n);
}

static inline uint64_t ls_alias_va(unsigned off)
{
    return LS_V_WINDOW + (LS_W_CODE_ALIAS << 12) + off;
}

/* One instruction. */
void ls_put(struct ls_gen *g, const void *bytes, unsigned len);
#define PUT(g, ...) ls_put(g, (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }))
/* Bytes, then 32 bits. */
void ls_put32(struct ls_gen *g, const void *bytes, unsigned len, uint32_t v);
#define PUT32(g, v, ...) ls_put32(g, (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }), (uint32_t)(v))
/* Writes the rel32 that ends at `end` so that it leads to `to`. */
void ls_patch_rel(struct ls_gen *g, unsigned end, unsigned to);
/* Room for some more items. */
bool ls_room(const struct ls_gen *g, unsigned bytes);

/* A register, more often one that the translator keeps in a special place. */
unsigned ls_any_reg(struct ls_gen *g);
/* reg = v, in one of several ways, flags untouched. */
void ls_mov(struct ls_gen *g, unsigned reg, uint64_t v);
/* Somewhere in the data pages: mostly where size bytes are, sometimes across pages, and where there is none. */
uint64_t ls_data(struct ls_gen *g, unsigned size);
/* The same page under another of its addresses, sometimes. */
uint64_t ls_aliased(struct ls_gen *g, uint64_t va);
/* Points RSP to a place for pushes and pops. */
void ls_set_stack(struct ls_gen *g);
/* Defines all arithmetic flags, which are undefined where this stands. */
void ls_define_flags(struct ls_gen *g);

/* Not in every round: code must stay the same for a while to get hot. Returns what ls_seldom_end() wants. */
unsigned ls_seldom(struct ls_gen *g);
void ls_seldom_end(struct ls_gen *g, unsigned begin);

/* ---- lockstep_space.c ---- */
/* Switches of address space, what differs in them, and changes of mappings, flushed no further than they must be. */
void ls_space(struct ls_gen *g);
/* What all PCIDs have cached is good no more. */
void ls_spoil_spaces(struct ls_gen *g);

/* ---- lockstep_insn.c ---- */
bool ls_insn_init(struct ls_gen *g);
/* A random instruction with what it needs before and behind it. */
void ls_insn(struct ls_gen *g);

/* ---- lockstep_x87.c ---- */
/* A stretch of x87 or MMX code. */
void ls_x87(struct ls_gen *g);

/* ---- lockstep_sys.c ---- */
/* Some instructions on flags and system registers. */
void ls_sys(struct ls_gen *g);
/* Some string and bit string instructions. */
void ls_string(struct ls_gen *g);

#endif
