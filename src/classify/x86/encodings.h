/* SPDX-License-Identifier: MIT */
/*
 * Byte strings of every row of the instruction table, found by decoding: the table has no encoder.
 *
 * All combinations of prefix, map, opcode and the ModRM bytes that matter are decoded once, for 64-bit code and for 32-bit
 * code; some are kept for each row, those of 64-bit code where there are any.
 */
#ifndef DOPPEL_CLASSIFY_X86_ENCODINGS_H
#define DOPPEL_CLASSIFY_X86_ENCODINGS_H

#include "isa/x86/decode.h"

enum { ENCODINGS_PER_ROW = 24 };

/* Bytes up to ModRM and SIB; displacements and immediates follow. Memory operands are [rbx] or [rbx + rcx] (or zmm1). */
struct encoding {
    uint8_t bytes[8];
    uint8_t len;
};

struct encodings_row {
    uint32_t seen;
    uint8_t nr;   /* 0: the row has none */
    uint8_t mode; /* enum x86_mode they are for: 64 or 32 */
    struct encoding e[ENCODINGS_PER_ROW];
};

/* Indexed by row, x86_nr_rows of them; to be freed by free(). NULL when out of memory. Takes a fraction of a second. */
struct encodings_row *encodings_new(void);

#endif
