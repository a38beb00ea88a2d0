/* SPDX-License-Identifier: MIT */
/*
 * Floating point of single vector elements: what fp.h has, in the order of a vector instruction's operands, and what only vectors
 * have (estimates, rounding to odd, integers of 8 and 16 bits); and of many elements at once by the host's SSE.
 *
 * Values are bit patterns in the low bits, upper bits 0. Nothing here knows of masks, groups or traps. Spec: RISC-V "V" 1.0
 * chapter 13, Zvfh
 */
#ifndef DOPPEL_ISA_RISCV_VEC_FP_H
#define DOPPEL_ISA_RISCV_VEC_FP_H

#include "isa/riscv/fp.h"

/* What an instruction's elements have in common. */
struct vec_fp {
    uint8_t from, to; /* bits of the elements of vs2, and of the result; arithmetic and comparisons are done in `to` */
    enum riscv_rm rm;
    uint8_t flags; /* FFLAG_*: functions add to it */
};

/* A result of elements of vs2 (a), of vs1 or f[rs1] (b), and of vd before (d). Comparisons return 0 or 1. */
typedef uint64_t (*vec_fp_fn)(struct vec_fp *v, uint64_t a, uint64_t b, uint64_t d);

/* Name in the instruction; macc to nmsac add to vd, madd to nmsub multiply it. */
#define VEC_FP_FNS(X)                                                                                                            \
    X(add)                                                                                                                       \
    X(sub)                                                                                                                       \
    X(rsub)                                                                                                                      \
    X(mul)                                                                                                                       \
    X(div)                                                                                                                       \
    X(rdiv)                                                                                                                      \
    X(sqrt)                                                                                                                      \
    X(macc)                                                                                                                      \
    X(nmacc)                                                                                                                     \
    X(msac)                                                                                                                      \
    X(nmsac)                                                                                                                     \
    X(madd)                                                                                                                      \
    X(nmadd)                                                                                                                     \
    X(msub)                                                                                                                      \
    X(nmsub)                                                                                                                     \
    X(min)                                                                                                                       \
    X(max)                                                                                                                       \
    X(sgnj)                                                                                                                      \
    X(sgnjn)                                                                                                                     \
    X(sgnjx)                                                                                                                     \
    X(class)                                                                                                                     \
    X(rec7)                                                                                                                      \
    X(rsqrt7)                                                                                                                    \
    X(eq)                                                                                                                        \
    X(ne)                                                                                                                        \
    X(lt)                                                                                                                        \
    X(le)                                                                                                                        \
    X(gt)                                                                                                                        \
    X(ge)                                                                                                                        \
    X(cvt_xu_f)                                                                                                                  \
    X(cvt_x_f)                                                                                                                   \
    X(cvt_rtz_xu_f)                                                                                                              \
    X(cvt_rtz_x_f)                                                                                                               \
    X(cvt_f_xu)                                                                                                                  \
    X(cvt_f_x)                                                                                                                   \
    X(cvt_f_f)                                                                                                                   \
    X(cvt_rod_f_f)
#define DECLARE(name) uint64_t vec_fp_##name(struct vec_fp *v, uint64_t a, uint64_t b, uint64_t d);
VEC_FP_FNS(DECLARE)
#undef DECLARE

/* Format of elements of 16, 32 or 64 bits. */
static inline enum fp_format vec_fp_format(unsigned bits)
{
    return (enum fp_format)(__builtin_ctz(bits) - 4);
}

enum { VEC_FP_MANY_BYTES = 1024 };
/* One operation on `bytes` bytes of elements of v->to bits at once; b and d only where the operation has them, fn is one of those
 * above; `active` has a byte for each element, 0 where it does not count, or is NULL. false, with nothing done, where the host
 * cannot do it exactly as RISC-V does: binary16, RM_RMM, results that are NaNs, other functions, more than VEC_FP_MANY_BYTES.
 * `ret` may be any of the operands; what inactive elements of it become is not defined. */
bool vec_fp_many(struct vec_fp *v, vec_fp_fn fn, void *ret, const void *a, const void *b, const void *d, const uint8_t *active,
                 unsigned bytes);
/* n elements by sgnj to sgnjx, min, max or a comparison, whose results are bytes; they raise nothing. false, with `ret` spoilt,
 * for other functions, or where one of the operands is a NaN. */
bool vec_fp_plain(const struct vec_fp *v, vec_fp_fn fn, void *restrict ret, const void *restrict a, const void *restrict b,
                  unsigned n);
/* n elements by one of the conversions, all of them active. false, with `ret` spoilt and no flag raised, where the host cannot do
 * one of them. */
bool vec_fp_convert_many(struct vec_fp *v, vec_fp_fn fn, void *restrict ret, const void *restrict a, unsigned n);
/* Adds n elements of v->to bits, in order. false, with nothing done, where the host cannot. */
bool vec_fp_sum(struct vec_fp *v, uint64_t *sum, const void *a, unsigned n);
/* n elements of 16 or 32 bits become ones of twice the width, exactly; NaNs some NaN, without a flag. */
void vec_fp_widen(enum fp_format from, void *restrict ret, const void *restrict a, unsigned n);

#endif
