/* SPDX-License-Identifier: MIT */
/*
 * What the step functions of vector instructions share: vtype, operand groups and their legality, masks, scalars as vectors, and
 * the way in which results are written.
 *
 * A step function checks all that may make its instruction illegal (vec_enter, vec_check_*), computes the body elements [first,
 * vl) into a buffer by plain loops, whether they are active or not, and then writes the active ones (vec_write): so sources may
 * be destinations, and the loops are the compiler's to vectorise. Loads and stores are otherwise: step_vec_mem.c.
 *
 * Policies: tail elements and inactive ones stay as they are, also where vtype says "agnostic", and so do the bits behind the
 * tail of a mask. What the specification reserves is illegal, but for sources that are read with two different EEWs. Arithmetic
 * goes on at any vstart, where the specification does not demand 0. Elements are as in little-endian memory: a group of registers
 * is an array. "eew" here is the logarithm of an element's bytes: 0 to 3; "emul" and "lmul" are logarithms, too: -3 to 3. Spec:
 * volume I chapter 30
 */
#ifndef DOPPEL_ISA_RISCV_VEC_H
#define DOPPEL_ISA_RISCV_VEC_H

#include "isa/riscv/csr.h"
#include "isa/riscv/step.h"

#define RISCV_VILL (1ULL << 63)

enum { VEC_GROUP_MAX = 8 * RISCV_VLENB_MAX /* bytes of a group, and elements in it */ };

/* ---- vtype ---- */

static inline unsigned riscv_vtype_sew(uint64_t vtype)
{
    return vtype >> 3 & 7;
}

static inline int riscv_vtype_lmul(uint64_t vtype)
{
    return (int)((vtype & 7) ^ 4) - 4;
}

/* What vtype becomes when v is asked for: v, or vill. Spec: 30.3.4 */
uint64_t riscv_vtype_legal(uint64_t v);
/* VLMAX; 0 with vill. */
unsigned riscv_vlmax(uint64_t vtype, unsigned vlenb);

/* ---- an instruction ---- */

struct vec {
    struct riscv_cpu *c;
    const struct riscv_insn *i;
    unsigned sew; /* SEW as an eew */
    int lmul;
    unsigned first, vl; /* the body: vstart to vl; first may be behind it */
    bool masked;
};

static inline bool vec_is_masked(const struct riscv_insn *i)
{
    return !(i->bits >> 25 & 1);
}

/* Raises an illegal instruction unless. */
static inline void vec_require(const struct vec *v, bool good)
{
    if (!good)
        riscv_raise_illegal(v->c, v->i);
}

/* Illegal where vectors are off, or vtype is vill; fills v. */
void vec_enter(struct vec *v, struct riscv_cpu *c, const struct riscv_insn *i);
/* vstart is 0, vectors are dirty. */
static inline void vec_leave(const struct vec *v)
{
    v->c->vstart = 0;
    riscv_vec_dirty(v->c);
}

/* How many body elements there are. */
static inline unsigned vec_count(const struct vec *v)
{
    return v->first < v->vl ? v->vl - v->first : 0;
}

static inline unsigned vec_vlmax(const struct vec *v)
{
    return riscv_vlmax(v->c->vtype, v->c->vlenb);
}

/* ---- groups ---- */

static inline int vec_emul(const struct vec *v, unsigned eew)
{
    return v->lmul + (int)eew - (int)v->sew;
}

/* A group of that emul may begin at reg. */
static inline bool vec_is_group(unsigned reg, int emul)
{
    return emul >= -3 && emul <= 3 && (emul <= 0 || !(reg & ((1U << emul) - 1)));
}

/* Illegal unless reg may begin a group of elements eew wide. */
static inline void vec_check_src(const struct vec *v, unsigned reg, unsigned eew)
{
    vec_require(v, eew <= 3 && vec_is_group(reg, vec_emul(v, eew)));
}

/* The same for rd as the destination, which must not be the mask. */
static inline void vec_check_dst(const struct vec *v, unsigned eew)
{
    vec_check_src(v, v->i->rd, eew);
    vec_require(v, !v->masked || v->i->rd != 0);
}

/* Illegal if rd's group, dst_eew wide, overlaps another, eew wide, as it must not. Spec: 30.5.2 */
void vec_check_overlap(const struct vec *v, unsigned dst_eew, unsigned reg, unsigned eew);
/* The same where rd gets a mask. */
void vec_check_mask_overlap(const struct vec *v, unsigned reg, unsigned eew);
/* Illegal if rd's group, dst_eew wide, overlaps the other at all (slides up, gathers). */
void vec_check_apart(const struct vec *v, unsigned dst_eew, unsigned reg, unsigned eew);

/* The bytes of a register. */
static inline uint8_t *vec_reg(const struct vec *v, unsigned reg)
{
    return v->c->v + reg * v->c->vlenb;
}

/* The first body element of a source group. Not beyond the registers, whatever vstart is. */
static inline const void *vec_src(const struct vec *v, unsigned reg, unsigned eew)
{
    return vec_reg(v, reg) + ((size_t)(vec_count(v) ? v->first : 0) << eew);
}

/* ---- scalars ---- */

/* buf[0..n) = x, elements eew wide. */
void vec_splat(void *buf, unsigned eew, uint64_t x, unsigned n);

static inline uint64_t vec_get(const void *elements, unsigned eew, size_t k)
{
    const uint8_t *at = (const uint8_t *)elements + (k << eew);
    uint16_t h;
    uint32_t w;
    uint64_t d;
    switch (eew) { /* lengths the compiler knows: a move each */
    case 0: return *at;
    case 1: memcpy(&h, at, sizeof(h)); return h;
    case 2: memcpy(&w, at, sizeof(w)); return w;
    default: memcpy(&d, at, sizeof(d)); return d;
    }
}

static inline void vec_set(void *elements, unsigned eew, size_t k, uint64_t x)
{
    uint8_t *at = (uint8_t *)elements + (k << eew);
    switch (eew) {
    case 0: memcpy(at, &x, 1); break;
    case 1: memcpy(at, &x, 2); break;
    case 2: memcpy(at, &x, 4); break;
    default: memcpy(at, &x, 8); break;
    }
}

/* ---- masks ---- */

static inline bool vec_bit(const uint8_t *bits, unsigned k)
{
    return bits[k >> 3] >> (k & 7) & 1;
}

/* Element k is active. */
static inline bool vec_active(const struct vec *v, unsigned k)
{
    return !v->masked || vec_bit(v->c->v, k);
}

/* bytes[k] = 1 or 0: bit first + k of the register, for all body elements; `bytes` has room for VEC_GROUP_MAX. */
void vec_bits_to_bytes(const struct vec *v, unsigned reg, uint8_t *bytes);

/* ---- results ---- */

/* to[k] = from[k] where active[k], which is 0 or 1; elements eew wide. */
void vec_select(void *to, unsigned eew, const void *from, const uint8_t *active, unsigned n);
/* rd's active body elements, eew wide, become those of `out`, which begins with the first body element. */
void vec_write(const struct vec *v, unsigned eew, const void *out);
/* The same where rd is a mask: a byte each, 0 or 1. */
void vec_write_mask(const struct vec *v, const uint8_t *bytes);

/* ---- element by element ---- */

/* d[k] = f(d[k], a[k], b[k]); the arrays do not overlap, and need not be aligned. */
typedef void (*vec_fn)(void *d, const void *a, const void *b, unsigned n);

/* A function for each SEW; NULL: illegal. */
struct vec_fns {
    vec_fn fn[4];
};

/* How wide vd and vs2 are; vs1 and scalars are SEW wide. */
enum vec_form {
    VEC_SAME,
    VEC_WIDE,       /* vd has 2 * SEW */
    VEC_WIDE_A,     /* vd and vs2 have */
    VEC_NARROW,     /* vs2 has */
    VEC_MASK,       /* vd is a mask: functions write bytes */
    VEC_CARRY,      /* v0 is an operand, not the mask: functions find its bits in d */
    VEC_MASK_CARRY, /* both: v0's bits, or 0 if the instruction is not masked */
};

/* What stands for b. */
enum vec_operand { VEC_V /* vs1 */, VEC_X /* rs1 */, VEC_I /* imm */, VEC_NONE };

/* Checks vd, vs2, and vs1 if `operand` is VEC_V, and how they overlap. */
void vec_check_form(const struct vec *v, enum vec_form form, enum vec_operand operand);
static inline unsigned vec_dst_eew(const struct vec *v, enum vec_form form)
{
    return v->sew + (form == VEC_WIDE || form == VEC_WIDE_A);
}
static inline unsigned vec_a_eew(const struct vec *v, enum vec_form form)
{
    return v->sew + (form == VEC_WIDE_A || form == VEC_NARROW);
}

/* A whole step function: vd = f(vd, vs2, b). */
void vec_each(struct riscv_cpu *c, const struct riscv_insn *i, const struct vec_fns *f, enum vec_form form,
              enum vec_operand operand);

#endif
