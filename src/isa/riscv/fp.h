/* SPDX-License-Identifier: MIT */
/*
 * Floating-point arithmetic of binary16, binary32 and binary64 as RISC-V defines it: every rounding mode, exact flags, canonical
 * NaNs.
 *
 * The host's SSE and FMA do the arithmetic of binary32 and binary64; what they cannot (RMM, binary16, and FMA where the host has
 * none) is done in integers here. Values are bit patterns in the low bits, never NaN-boxed. `flags` collects FFLAG_*; functions
 * only add to it. Tininess is found after rounding, on both sides. Spec: volume I chapters 20 to 22, 23 (Zfh), 24 (Zfa); IEEE
 * 754-2019
 */
#ifndef DOPPEL_ISA_RISCV_FP_H
#define DOPPEL_ISA_RISCV_FP_H

#include "core/types.h"
#include "isa/riscv/state.h"

enum fp_format { FP_H, FP_S, FP_D };
enum fp_op { FP_ADD, FP_SUB, FP_MUL, FP_DIV, FP_SQRT, FP_MADD /* a * b + d */ };
enum fp_int { FP_W, FP_WU, FP_L, FP_LU };

/* One operation with one rounding; b and d only where the operation has them. */
uint64_t fp_arith(enum fp_format format, enum fp_op op, uint64_t a, uint64_t b, uint64_t d, enum riscv_rm rm, uint8_t *flags);
/* The same by either way, for tests that compare them. fp_host: not for FP_H, not in RM_RMM; FP_MADD only if fp_host_has_fma().
 */
uint64_t fp_soft(enum fp_format format, enum fp_op op, uint64_t a, uint64_t b, uint64_t d, enum riscv_rm rm, uint8_t *flags);
uint64_t fp_host(enum fp_format format, enum fp_op op, uint64_t a, uint64_t b, uint64_t d, enum riscv_rm rm, uint8_t *flags);
bool fp_host_has_fma(void);
/* FFLAG_* from the host's MXCSR. */
uint8_t fp_flags_of_mxcsr(uint32_t mxcsr);

uint64_t fp_convert(enum fp_format from, enum fp_format to, uint64_t a, enum riscv_rm rm, uint8_t *flags);
/* 32-bit results are sign-extended. */
uint64_t fp_to_int(enum fp_format from, enum fp_int to, uint64_t a, enum riscv_rm rm, uint8_t *flags);
uint64_t fp_from_int(enum fp_int from, enum fp_format to, uint64_t a, enum riscv_rm rm, uint8_t *flags);
/* FCVTMOD.W.D. */
uint64_t fp_to_int_modular(uint64_t a, uint8_t *flags);
/* To an integer in the same format; NX is raised only if `inexact`. */
uint64_t fp_round(enum fp_format format, uint64_t a, enum riscv_rm rm, bool inexact, uint8_t *flags);

enum fp_relation { FP_EQ, FP_LT, FP_LE };
/* Quiet comparisons raise NV for signalling NaNs only. */
bool fp_compare(enum fp_format format, enum fp_relation relation, uint64_t a, uint64_t b, bool quiet, uint8_t *flags);
/* Minimum or maximum; of a number and a NaN the number, or with `nan` the NaN. */
uint64_t fp_select(enum fp_format format, uint64_t a, uint64_t b, bool max, bool nan, uint8_t *flags);
/* The mask of FCLASS. */
uint64_t fp_classify(enum fp_format format, uint64_t a);
/* The constant of FLI, n from 0 to 31. */
uint64_t fp_constant(enum fp_format format, unsigned n);

static inline unsigned fp_bits(enum fp_format format)
{
    return 16U << format;
}

static inline uint64_t fp_sign_bit(enum fp_format format)
{
    return 1ULL << (fp_bits(format) - 1);
}

/* The canonical NaN. */
static inline uint64_t fp_nan(enum fp_format format)
{
    return format == FP_D ? 0x7ff8000000000000 : format == FP_S ? 0x7fc00000 : 0x7e00;
}

#endif
