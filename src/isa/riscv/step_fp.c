/* SPDX-License-Identifier: MIT */
/*
 * Step functions of F, D, Zfh and Zfa: NaN boxing, rounding modes, flags; the arithmetic is in fp.c.
 *
 * Each list is made for the three formats: suffix of the mnemonic, format.
 * Spec: volume I chapters 20 to 24
 */
#include "isa/riscv/csr.h"
#include "isa/riscv/fp.h"
#include "isa/riscv/step.h"

/* Floating point is off: illegal. */
static void check_on(struct riscv_cpu *c, const struct riscv_insn *i)
{
    if (!riscv_unit_on(c, MSTATUS_FS))
        riscv_raise_illegal(c, i);
}

/* The rounding mode, of the instruction or of frm; reserved ones are illegal. */
static enum riscv_rm rounding(struct riscv_cpu *c, const struct riscv_insn *i)
{
    check_on(c, i);
    unsigned rm = i->rm == RM_DYN ? c->frm : i->rm;
    if (rm > RM_RMM)
        riscv_raise_illegal(c, i);
    return (enum riscv_rm)rm;
}

static uint64_t box_bits(enum fp_format format)
{
    return format == FP_D ? 0 : ~0ULL << fp_bits(format);
}

/* What is not a NaN-boxed value of the format reads as the canonical NaN. Spec: volume I 21.2 */
static uint64_t get(const struct riscv_cpu *c, unsigned reg, enum fp_format format)
{
    uint64_t v = c->f[reg], box = box_bits(format);
    return (v & box) == box ? v & ~box : fp_nan(format);
}

static void put(struct riscv_cpu *c, const struct riscv_insn *i, enum fp_format format, uint64_t v, uint8_t flags)
{
    c->f[i->rd] = v | box_bits(format);
    c->fflags |= flags;
    riscv_fp_dirty(c);
}

static void put_int(struct riscv_cpu *c, const struct riscv_insn *i, uint64_t v, uint8_t flags)
{
    set_rd(c, i, v);
    if (flags) {
        c->fflags |= flags;
        riscv_fp_dirty(c);
    }
}

/* ---- arithmetic ---- */

static void arith(struct riscv_cpu *c, const struct riscv_insn *i, enum fp_format format, enum fp_op op)
{
    enum riscv_rm rm = rounding(c, i);
    uint8_t flags = 0;
    uint64_t v = fp_arith(format, op, get(c, i->rs1, format), get(c, i->rs2, format), 0, rm, &flags);
    put(c, i, format, v, flags);
}

/* (a * b, perhaps negated) + (d, perhaps negated). */
static void fused(struct riscv_cpu *c, const struct riscv_insn *i, enum fp_format format, bool negate_product, bool negate_d)
{
    enum riscv_rm rm = rounding(c, i);
    uint8_t flags = 0;
    uint64_t sign = fp_sign_bit(format), a = get(c, i->rs1, format) ^ (negate_product ? sign : 0);
    uint64_t d = get(c, i->rs3, format) ^ (negate_d ? sign : 0);
    uint64_t v = fp_arith(format, FP_MADD, a, get(c, i->rs2, format), d, rm, &flags);
    put(c, i, format, v, flags);
}

/* ---- signs, minimum and maximum, comparisons ---- */

enum sign_op { SIGN_TAKE, SIGN_NEGATE, SIGN_XOR };

static void inject_sign(struct riscv_cpu *c, const struct riscv_insn *i, enum fp_format format, enum sign_op op)
{
    check_on(c, i);
    uint64_t sign = fp_sign_bit(format), a = get(c, i->rs1, format), b = get(c, i->rs2, format);
    b ^= op == SIGN_NEGATE ? sign : op == SIGN_XOR ? a & sign : 0;
    put(c, i, format, (a & ~sign) | (b & sign), 0);
}

static void pick(struct riscv_cpu *c, const struct riscv_insn *i, enum fp_format format, bool max, bool nan)
{
    uint8_t flags = 0;
    check_on(c, i);
    uint64_t v = fp_select(format, get(c, i->rs1, format), get(c, i->rs2, format), max, nan, &flags);
    put(c, i, format, v, flags);
}

static void compare(struct riscv_cpu *c, const struct riscv_insn *i, enum fp_format format, enum fp_relation relation, bool quiet)
{
    uint8_t flags = 0;
    check_on(c, i);
    uint64_t v = fp_compare(format, relation, get(c, i->rs1, format), get(c, i->rs2, format), quiet, &flags);
    put_int(c, i, v, flags);
}

static void classify(struct riscv_cpu *c, const struct riscv_insn *i, enum fp_format format)
{
    check_on(c, i);
    set_rd(c, i, fp_classify(format, get(c, i->rs1, format)));
}

/* ---- conversions, moves ---- */

static void to_int(struct riscv_cpu *c, const struct riscv_insn *i, enum fp_format format, enum fp_int kind)
{
    uint8_t flags = 0;
    enum riscv_rm rm = rounding(c, i);
    uint64_t v = fp_to_int(format, kind, get(c, i->rs1, format), rm, &flags);
    put_int(c, i, v, flags);
}

static void from_int(struct riscv_cpu *c, const struct riscv_insn *i, enum fp_format format, enum fp_int kind)
{
    uint8_t flags = 0;
    enum riscv_rm rm = rounding(c, i);
    uint64_t v = fp_from_int(kind, format, c->x[i->rs1], rm, &flags);
    put(c, i, format, v, flags);
}

static void convert(struct riscv_cpu *c, const struct riscv_insn *i, enum fp_format from, enum fp_format to)
{
    uint8_t flags = 0;
    enum riscv_rm rm = rounding(c, i);
    uint64_t v = fp_convert(from, to, get(c, i->rs1, from), rm, &flags);
    put(c, i, to, v, flags);
}

static void round_to_int(struct riscv_cpu *c, const struct riscv_insn *i, enum fp_format format, bool inexact)
{
    uint8_t flags = 0;
    enum riscv_rm rm = rounding(c, i);
    uint64_t v = fp_round(format, get(c, i->rs1, format), rm, inexact, &flags);
    put(c, i, format, v, flags);
}

static void constant(struct riscv_cpu *c, const struct riscv_insn *i, enum fp_format format)
{
    check_on(c, i);
    put(c, i, format, fp_constant(format, i->rs1), 0);
}

/* Bits as they are, whether boxed or not; sign-extended. */
static void move_out(struct riscv_cpu *c, const struct riscv_insn *i, enum fp_format format)
{
    unsigned up = 64 - fp_bits(format);
    check_on(c, i);
    set_rd(c, i, (uint64_t)((int64_t)(c->f[i->rs1] << up) >> up));
}

static void move_in(struct riscv_cpu *c, const struct riscv_insn *i, enum fp_format format)
{
    check_on(c, i);
    put(c, i, format, c->x[i->rs1] & ~box_bits(format), 0);
}

void rv_fcvtmod_w_d(struct riscv_cpu *c, const struct riscv_insn *i)
{
    uint8_t flags = 0;
    check_on(c, i);
    uint64_t v = fp_to_int_modular(get(c, i->rs1, FP_D), &flags);
    put_int(c, i, v, flags);
}

/* ---- memory ---- */

static void load(struct riscv_cpu *c, const struct riscv_insn *i, enum fp_format format)
{
    check_on(c, i);
    put(c, i, format, riscv_load(c, address(c, i), fp_bits(format) / 8), 0);
}

static void store(struct riscv_cpu *c, const struct riscv_insn *i, enum fp_format format)
{
    check_on(c, i);
    riscv_store(c, address(c, i), c->f[i->rs2], fp_bits(format) / 8);
}

/* ---- the list ---- */

#define STEP(name, call)                                                                                                         \
    void rv_##name(struct riscv_cpu *c, const struct riscv_insn *i)                                                              \
    {                                                                                                                            \
        call;                                                                                                                    \
    }

#define STEPS_OF_FORMAT(sfx, F)                                                                                                  \
    STEP(fadd_##sfx, arith(c, i, F, FP_ADD))                                                                                     \
    STEP(fsub_##sfx, arith(c, i, F, FP_SUB))                                                                                     \
    STEP(fmul_##sfx, arith(c, i, F, FP_MUL))                                                                                     \
    STEP(fdiv_##sfx, arith(c, i, F, FP_DIV))                                                                                     \
    STEP(fsqrt_##sfx, arith(c, i, F, FP_SQRT))                                                                                   \
    STEP(fmadd_##sfx, fused(c, i, F, false, false))                                                                              \
    STEP(fmsub_##sfx, fused(c, i, F, false, true))                                                                               \
    STEP(fnmsub_##sfx, fused(c, i, F, true, false))                                                                              \
    STEP(fnmadd_##sfx, fused(c, i, F, true, true))                                                                               \
    STEP(fsgnj_##sfx, inject_sign(c, i, F, SIGN_TAKE))                                                                           \
    STEP(fsgnjn_##sfx, inject_sign(c, i, F, SIGN_NEGATE))                                                                        \
    STEP(fsgnjx_##sfx, inject_sign(c, i, F, SIGN_XOR))                                                                           \
    STEP(fmin_##sfx, pick(c, i, F, false, false))                                                                                \
    STEP(fmax_##sfx, pick(c, i, F, true, false))                                                                                 \
    STEP(fminm_##sfx, pick(c, i, F, false, true))                                                                                \
    STEP(fmaxm_##sfx, pick(c, i, F, true, true))                                                                                 \
    STEP(feq_##sfx, compare(c, i, F, FP_EQ, true))                                                                               \
    STEP(flt_##sfx, compare(c, i, F, FP_LT, false))                                                                              \
    STEP(fle_##sfx, compare(c, i, F, FP_LE, false))                                                                              \
    STEP(fltq_##sfx, compare(c, i, F, FP_LT, true))                                                                              \
    STEP(fleq_##sfx, compare(c, i, F, FP_LE, true))                                                                              \
    STEP(fclass_##sfx, classify(c, i, F))                                                                                        \
    STEP(fcvt_w_##sfx, to_int(c, i, F, FP_W))                                                                                    \
    STEP(fcvt_wu_##sfx, to_int(c, i, F, FP_WU))                                                                                  \
    STEP(fcvt_l_##sfx, to_int(c, i, F, FP_L))                                                                                    \
    STEP(fcvt_lu_##sfx, to_int(c, i, F, FP_LU))                                                                                  \
    STEP(fcvt_##sfx##_w, from_int(c, i, F, FP_W))                                                                                \
    STEP(fcvt_##sfx##_wu, from_int(c, i, F, FP_WU))                                                                              \
    STEP(fcvt_##sfx##_l, from_int(c, i, F, FP_L))                                                                                \
    STEP(fcvt_##sfx##_lu, from_int(c, i, F, FP_LU))                                                                              \
    STEP(fround_##sfx, round_to_int(c, i, F, false))                                                                             \
    STEP(froundnx_##sfx, round_to_int(c, i, F, true))                                                                            \
    STEP(fli_##sfx, constant(c, i, F))
STEPS_OF_FORMAT(h, FP_H)
STEPS_OF_FORMAT(s, FP_S)
STEPS_OF_FORMAT(d, FP_D)

STEP(fcvt_s_d, convert(c, i, FP_D, FP_S))
STEP(fcvt_d_s, convert(c, i, FP_S, FP_D))
STEP(fcvt_s_h, convert(c, i, FP_H, FP_S))
STEP(fcvt_h_s, convert(c, i, FP_S, FP_H))
STEP(fcvt_d_h, convert(c, i, FP_H, FP_D))
STEP(fcvt_h_d, convert(c, i, FP_D, FP_H))
STEP(fmv_x_h, move_out(c, i, FP_H))
STEP(fmv_x_w, move_out(c, i, FP_S))
STEP(fmv_x_d, move_out(c, i, FP_D))
STEP(fmv_h_x, move_in(c, i, FP_H))
STEP(fmv_w_x, move_in(c, i, FP_S))
STEP(fmv_d_x, move_in(c, i, FP_D))
STEP(flh, load(c, i, FP_H))
STEP(flw, load(c, i, FP_S))
STEP(fld, load(c, i, FP_D))
STEP(fsh, store(c, i, FP_H))
STEP(fsw, store(c, i, FP_S))
STEP(fsd, store(c, i, FP_D))
#undef STEP
