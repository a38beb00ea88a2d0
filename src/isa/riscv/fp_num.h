/* SPDX-License-Identifier: MIT */
/*
 * A floating-point number taken apart, and put together again with one rounding: what fp.c and fp_soft.c share.
 */
#ifndef DOPPEL_ISA_RISCV_FP_NUM_H
#define DOPPEL_ISA_RISCV_FP_NUM_H

#include "isa/riscv/fp.h"

typedef unsigned __int128 u128;

enum fp_kind { FP_ZERO, FP_FINITE, FP_INF, FP_QNAN, FP_SNAN };

/* A finite one is sig * 2^exp, where the lowest bit of sig may stand for all that lies below it. sig < 2^126. */
struct fp_num {
    enum fp_kind kind;
    bool sign;
    int exp;
    u128 sig;
};

struct fp_num fp_unpack(enum fp_format format, uint64_t a);
/* Rounds to the format. NaNs become the canonical one. */
uint64_t fp_pack(enum fp_format format, struct fp_num n, enum riscv_rm rm, uint8_t *flags);
/* sig / 2^shift as an integer, rounded; shift >= 0. */
u128 fp_round_sig(u128 sig, int shift, bool sign, enum riscv_rm rm, bool *ret_inexact);
/* sig / 2^shift, what is lost is or-ed into the lowest bit. */
u128 fp_jam(u128 sig, int shift);
/* Index of the highest bit that is set; sig is not 0. */
int fp_top_bit(u128 sig);

static inline bool fp_is_nan(struct fp_num n)
{
    return n.kind >= FP_QNAN;
}

#endif
