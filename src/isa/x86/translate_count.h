/* SPDX-License-Identifier: MIT */
/*
 * What translated code did and where time went: kept when the vm's `stats` or `trace_code` is set.
 *
 * Translations count how often each stretch between two ways out ran; what it consists of is known. A clock says which part of
 * the engine has the CPU; whoever hands it over calls x86_clock_to(). One of each a CPU, used by its thread.
 */
#ifndef DOPPEL_ISA_X86_TRANSLATE_COUNT_H
#define DOPPEL_ISA_X86_TRANSLATE_COUNT_H

#include "base/clock.h"
#include "base/error.h"
#include "isa/x86/state.h"

struct xl;

/* ---- counts ---- */

/* How translated code checks memory accesses: at a site (the page that this place accessed last), or by the table (the inline
 * TLB proper), with flags dead or (quietly) live. Grouped ones are covered by a check of either kind that is made for all of the
 * group. */
enum x86_check { X86_CHECK_SITE, X86_CHECK_TABLE, X86_CHECK_QUIET, X86_CHECK_GROUPED, X86_CHECK_NR };

struct x86_use {
    uint16_t insns, checks[2][X86_CHECK_NR]; /* by X86_READ, X86_WRITE */
};

/* A stretch of a translation: what is run when it is entered, faults aside. */
struct x86_stretch {
    uint64_t runs; /* counted by translated code */
    gva_t lin;
    uint32_t block; /* number of the translation */
    uint8_t bank;
    struct x86_use use;
};

enum { STRETCHES_MAX = 1 << 22 };

struct x86_counts {
    struct x86_stretch *stretch; /* owned mapping: STRETCHES_MAX, touched as they come */
    unsigned nr;                 /* may be more: those are not counted */
    unsigned blocks;             /* translations so far */
};

/* NULL when out of memory. */
struct x86_counts *x86_counts_new(void);
void x86_counts_free(struct x86_counts *counts);
/* The translator begins a translation; a stretch, whose counting it emits (flags stay, rcx and r11 are lost); and is done. */
void x86_count_block(struct xl *x);
void x86_count_stretch(struct xl *x);
void x86_count_end(struct xl *x);
/* Instructions executed by translated code. One that bailed out counts as the interpreter's, too. */
uint64_t x86_counts_insns(const struct x86_counts *counts);

/* ---- time ---- */

enum x86_part {
    X86_PART_OUTSIDE,   /* asleep, stopped */
    X86_PART_LOOP,      /* between the others: looking up blocks, delivering interrupts and exceptions, following changes */
    X86_PART_INTERPRET, /* and devices */
    X86_PART_TRANSLATE,
    X86_PART_CODE, /* translated code and its stubs */
    X86_PART_MISS,
    X86_PART_LIGHT,
    X86_PART_CALLOUT, /* and devices */
    X86_PART_NR
};

struct x86_clock {
    enum x86_part now;
    uint64_t since, ticks[X86_PART_NR]; /* TSC; since 0: it has not begun */
};

/* k may be NULL: nobody wants to know. */
static inline void x86_clock_to(struct x86_clock *k, enum x86_part part)
{
    if (__builtin_expect(!k, 1))
        return;
    uint64_t tsc = clock_host_tsc();
    k->ticks[k->now] += k->since ? tsc - k->since : 0;
    k->now = part;
    k->since = tsc;
}

/* Lines for --stats; counts and clock may be NULL. misses: by access, of all kinds of checks. */
size_t x86_count_stats(const struct x86_counts *counts, const struct x86_clock *clock, const uint64_t misses[2], char *text,
                       size_t cap);

#endif
