/* SPDX-License-Identifier: MIT */
/*
 * The shape of the tables scripts/gen-insn makes for the decoder; only decode.c and the generated insn_rows.c include this.
 *
 * An opcode in a map leads to a group; the group says which facts about the instruction tell its rows apart (it weighs
 * each fact, 0 = does not matter) and where its leaves start; the leaf is the row. So finding a row is one sum.
 * The names of enum members below are known to scripts/gen-insn.
 */
#ifndef DOPPEL_ISA_X86_DECODE_TABLES_H
#define DOPPEL_ISA_X86_DECODE_TABLES_H

#include "isa/x86/decode.h"

/* Opcode maps: VEX and EVEX maps are numbered as their mmmmm field, from X86_MAP_VEX and X86_MAP_EVEX on. */
enum { X86_MAP_NONE, X86_MAP_0F, X86_MAP_0F38, X86_MAP_0F3A, X86_MAP_VEX, X86_MAP_EVEX = 7, X86_MAPS = 10 };

/* Facts that tell rows apart. */
enum x86_fact {
    FACT_PREFIX, /* 0 none, 1 66, 2 F3, 3 F2; or VEX.pp */
    FACT_MODE64,
    FACT_MOD3,   /* ModRM.mod is 3; without a ModRM byte: REX.B */
    FACT_REG,
    FACT_RM,
    FACT_W,
    FACT_L,      /* 0..2 */
    FACT_LAST = FACT_L,
};
enum { FACT_NR = FACT_LAST + 1 };

struct x86_group {
    uint16_t base;            /* first of its leaves; 0: no row has this opcode */
    uint16_t has_modrm;
    uint16_t weight[FACT_NR]; /* leaf = base + sum of weight * fact */
};

/* Where an operand comes from. */
enum x86_loc {
    LOC_NONE, LOC_E, LOC_M, LOC_R, LOC_G, LOC_B, LOC_Z, LOC_S, LOC_C, LOC_D, LOC_I, LOC_sI, LOC_I2, LOC_J, LOC_A, LOC_O,
    LOC_V, LOC_W, LOC_U, LOC_H, LOC_L, LOC_P, LOC_Q, LOC_N, LOC_KG, LOC_KE, LOC_KR, LOC_KB, LOC_STI,
    LOC_REG,   /* fixed general register */
    LOC_REGH,  /* AH */
    LOC_SEG, LOC_ST, LOC_VEC, /* fixed ones */
    LOC_ONE,   /* immediate 1, not in the bytes */
};

/* Operand sizes. Bits 7:5: what decides the size (enum x86_size_by), 4:0: line of size_table in decode.c. */
enum x86_size_by { BY_NONE, BY_OPSIZE, BY_Y, BY_VL, BY_MODE };
enum x86_size {
    SIZE_0 = 0, SIZE_b, SIZE_w, SIZE_d, SIZE_q, SIZE_t, SIZE_dq, SIZE_qq, SIZE_o,
    SIZE_v = BY_OPSIZE << 5 | 9, SIZE_z = BY_OPSIZE << 5 | 10, SIZE_a = BY_OPSIZE << 5 | 11, SIZE_p = BY_OPSIZE << 5 | 12,
    SIZE_env = BY_OPSIZE << 5 | 13, SIZE_st = BY_OPSIZE << 5 | 14,
    SIZE_y = BY_Y << 5 | 15,
    SIZE_x = BY_VL << 5 | 16, SIZE_h = BY_VL << 5 | 17, SIZE_f = BY_VL << 5 | 18, SIZE_e = BY_VL << 5 | 19,
    SIZE_m = BY_MODE << 5 | 20, SIZE_s = BY_MODE << 5 | 21,
};

struct x86_opnd_form {
    uint8_t loc;    /* enum x86_loc */
    uint8_t size;   /* enum x86_size of a register */
    uint8_t msize;  /* of memory */
    uint8_t access; /* OPND_R | OPND_W, and the number of a fixed register << 4 */
};

enum x86_opsize_rule {
    OPSIZE_NORMAL,
    OPSIZE_BYTE,
    OPSIZE_D64,  /* 64-bit mode: 8, or 2 with 66 */
    OPSIZE_F64,  /* 64-bit mode: 8 */
    OPSIZE_MODE, /* 4; 64-bit mode: 8 */
    OPSIZE_Z,    /* at most 4 */
    OPSIZE_Y,    /* 4, with W 8 */
};

enum x86_tuple {
    TUPLE_NONE, TUPLE_FULL, TUPLE_HALF, TUPLE_FULLMEM, TUPLE_T1S, TUPLE_T2, TUPLE_T4, TUPLE_T8, TUPLE_HALFMEM, TUPLE_QUARTERMEM,
    TUPLE_EIGHTHMEM, TUPLE_MEM128, TUPLE_MOVDDUP,
};

enum {
    FORM_MODRM = 1 << 0,
    FORM_ANYMOD = 1 << 1, /* ModRM.mod is ignored: a register */
    FORM_EAT66 = 1 << 2,  /* 66 is a mandatory prefix */
    FORM_EATREP = 1 << 3, /* F3 or F2 is */
    FORM_VVVV = 1 << 4,   /* vvvv names an operand */
    FORM_BCST = 1 << 5,
    FORM_ER = 1 << 6,
    FORM_SAE = 1 << 7,
    FORM_MASK = 1 << 8,
    FORM_ZERO = 1 << 9,   /* zeroing-masking allowed */
    FORM_MASK_REQUIRED = 1 << 10,
    FORM_LIG = 1 << 11,
    FORM_LOCK = 1 << 12,
    FORM_VSIB = 1 << 13,
};

/* What the decoder needs of a row; same index as x86_rows. */
struct x86_form {
    x86_step_fn step;
    uint16_t flags;
    uint8_t nr_opnds;
    uint8_t opsize; /* enum x86_opsize_rule */
    uint8_t tuple;  /* enum x86_tuple */
    uint8_t elem;
    struct x86_opnd_form op[X86_OPNDS];
};

extern const struct x86_form x86_forms[];
extern const struct x86_group x86_groups[];
extern const uint16_t x86_leaves[];                    /* rows; 0 = no such instruction */
extern const uint16_t x86_opcode_group[X86_MAPS][256]; /* 0 = none */

#endif
