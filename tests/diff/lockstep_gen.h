/* SPDX-License-Identifier: MIT */
/*
 * Random programs for lockstep_test.
 *
 * A program is a loop over random items: instructions of every innocuous row with operands aimed at the window's data pages, and
 * hand-made sequences for what the translator treats in its own way. Whatever faults is skipped by the guest's kernel, so any
 * sequence of bytes makes a program; that it goes on in useful ways is a matter of odds only.
 */
#ifndef DOPPEL_TESTS_LOCKSTEP_GEN_H
#define DOPPEL_TESTS_LOCKSTEP_GEN_H

#include "host_gen.h"
#include "lockstep_layout.h"

struct ls_program {
    uint64_t seed;
    uint8_t code[LS_CODE_BYTES];
    uint16_t resume[LS_CODE_BYTES]; /* offset of the instruction behind the one this byte belongs to */
    bool flags_open[LS_CODE_BYTES]; /* arithmetic flags before this instruction are undefined */
    unsigned entry, loop_end, size;
    unsigned rounds;
    /* the machine it runs on */
    bool user;          /* begins at CPL 3 */
    bool kernel_only;   /* all code and half of the data are the supervisor's; SMAP, SMEP */
    bool code_writable; /* at its own address; it always is at the alias */
    bool no_avx, avx512, small_model, exceptions_unmasked, x87_unmasked, am, irqs, steps;
    bool pcids;        /* address spaces have PCIDs */
    bool large_global; /* the large page is global */
    uint64_t fs_base, gs_base;
};

/* Linear address of an offset in the program. */
static inline uint64_t ls_code_va(unsigned off)
{
    return LS_V_WINDOW + (LS_W_CODE << 12) + off;
}

struct ls_gen;

/* NULL when out of memory. */
struct ls_gen *ls_gen_new(void);
void ls_gen_free(struct ls_gen *g);
/* The program of that seed, always the same. */
void ls_gen_program(struct ls_gen *g, uint64_t seed, struct ls_program *ret_program);

#endif
