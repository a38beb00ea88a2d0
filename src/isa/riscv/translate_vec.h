/* SPDX-License-Identifier: MIT */
/*
 * What the parts of the translator that do vector instructions share.
 *
 * Vector registers live in the hart's state. Code for an instruction is made for one vtype, known from a VSETVLI in the trace or
 * looked at when the trace first needs it, and twice: for the vl that is known, or for vl = VLMAX and vstart = 0, inline; and out
 * of line, where there is AVX-512BW, for any other vl. What neither can do (vstart, a page's end, a miss in the TLB, NaNs) is
 * called out, out of line, and the trace goes on. A group of registers is done in chunks of up to 64 bytes.
 *
 * Of the host's, vector registers 0 and 1 and the opmask registers are scratch: k1 has the active elements of a chunk, k2 the
 * others. "eew" is the logarithm of an element's bytes, as in vec.h.
 */
#ifndef DOPPEL_ISA_RISCV_TRANSLATE_VEC_H
#define DOPPEL_ISA_RISCV_TRANSLATE_VEC_H

#include "isa/riscv/translate_emit.h"
#include "isa/riscv/vec.h"

enum { Z0, Z1 };
enum { K_ACTIVE = 1, K_INACTIVE, K_SCRATCH };
enum { OP_VMOV_LOAD = ASM_0F | ASM_F3 | 0x6f, OP_VMOV_STORE = ASM_0F | ASM_F3 | 0x7f };

/* One instruction that is translated. */
struct vx {
    struct rvx *x;
    const struct riscv_insn *i;
    unsigned arg; /* of its rule */
    unsigned sew; /* as an eew */
    int lmul;
    unsigned n;   /* vl; or, if `partial`, the most it may be */
    bool partial; /* the code is to look at vl */
    bool masked;
};

/* How instructions of a kind are translated. */
struct rvx_vec_how {
    /* Whether this one can be: it is legal, and the host can do it. Emits nothing. */
    bool (*can)(const struct vx *v);
    /* Emits what is to be looked at whatever vl is, so that it is known from then on. NULL: nothing. */
    void (*before)(const struct vx *v);
    void (*put)(const struct vx *v);
    bool any_vl;   /* put() can do `partial`, on hosts with opmasks */
    bool no_vl;    /* vl does not matter */
    bool no_type;  /* nor does vtype */
    bool any_type; /* vtype does not matter, but must not be vill */
    bool at_0;     /* with vl = 0 it does something, too */
};

/* Translates it; false: it is to be called out. */
bool rvx_vec_put(struct rvx *x, const struct riscv_insn *i, unsigned arg, const struct rvx_vec_how *how);

/* A tail RVX_VEC for the current instruction, which goes on behind it; NULL and failed when there are too many. */
struct rvx_tail *rvx_vec_tail_from(struct rvx *x, size_t from);
/* Out of line: calls the tail's instruction out, and goes on behind it. */
void rvx_vec_call_out(struct rvx *x, const struct rvx_tail *t);

/* ---- legality, as in vec.h ---- */
bool rvx_vec_src_ok(const struct vx *v, unsigned reg, unsigned eew);
bool rvx_vec_dst_ok(const struct vx *v, unsigned eew);
bool rvx_vec_overlap_ok(const struct vx *v, unsigned dst_eew, unsigned reg, unsigned eew);
bool rvx_vec_mask_overlap_ok(const struct vx *v, unsigned reg, unsigned eew);
/* The host can write elements of that size: all, or it has opmasks. */
bool rvx_vec_host_writes(const struct vx *v, unsigned eew);

/* ---- translate_vec_emit.c ---- */

/* How a group is cut. */
struct rvx_chunks {
    unsigned eew;
    uint8_t len;  /* bytes of one; the last may not be used whole */
    unsigned per; /* elements in it */
    unsigned nr;
};
/* Chunks of v->n elements, of at most that length. */
struct rvx_chunks rvx_vec_chunks(const struct vx *v, unsigned eew, unsigned len_max);
static inline struct asm_form rvx_vec_form(unsigned len, unsigned w)
{
    return (struct asm_form){ .len = (uint8_t)len, .w = (uint8_t)w, .evex = rvx_has_evex };
}
/* Where chunk j of a group of elements `eew` wide begins, in chunks of `per` elements. */
static inline struct host_mem rvx_vec_at(const struct vx *v, unsigned reg, unsigned eew, unsigned per, unsigned j)
{
    return at_rbp(FRAME(cpu.v) + (int32_t)(reg * v->x->code->cpu->vlenb + (j * per << eew)));
}
static inline struct host_mem rvx_vec_constant(size_t offset)
{
    return at_rbp(FRAME(shared.vec) + (int32_t)offset);
}
#define VEC_CONSTANT(member) rvx_vec_constant(offsetof(struct riscv_vec_constants, member))

/* Z0 or Z1 = memory, perhaps the guest's; of vector registers by a copy, which is made if there is none. */
void rvx_vec_load(const struct vx *v, unsigned len, unsigned reg, struct host_mem m);
/* An instruction with an operand of `bytes` bytes in vector registers. */
void rvx_vec_op(const struct vx *v, struct asm_form f, unsigned opcode, unsigned reg, unsigned a, struct host_mem m,
                unsigned bytes);
/* Z0 goes to vector registers, and is their copy. */
void rvx_vec_store(const struct vx *v, unsigned len, struct host_mem m);
/* What lies in vector registers there has been written otherwise. */
void rvx_vec_written(const struct vx *v, struct host_mem m, unsigned bytes);
/* Elements of a register of bytes, words, ... move, if they are in the mask. */
unsigned rvx_vec_move(unsigned eew, bool store, struct asm_form *f);
/* Fills k1 and k2 for chunk j; false: all its elements are active, and nothing was done. Changes rax and rcx. */
bool rvx_vec_masks(const struct vx *v, const struct rvx_chunks *ch, unsigned j);
/* k = those of 64 elements from `from` on that are not among the first rcx of all. */
void rvx_vec_inactive(const struct vx *v, unsigned k, int from);
/* k = bits of v0 for chunk j. */
void rvx_vec_mask_bits(const struct vx *v, const struct rvx_chunks *ch, unsigned j, unsigned k);
/* Writes what is in Z0 to chunk j of vd; `masks`: but what is not active. */
void rvx_vec_write(const struct vx *v, const struct rvx_chunks *ch, unsigned j, bool masks);
/* All elements of Z1 become the low bits of a general register / of element 0 of the vector register. */
void rvx_vec_splat(const struct vx *v, unsigned eew, unsigned len, unsigned gpr);
/* bits [64 * q, ...) of vd, a mask, become those in rax, where they are active; there are `bits` of them. Changes rcx, k1 and Z0.
 */
void rvx_vec_write_bits(const struct vx *v, unsigned q, unsigned bits);
/* rcx = those of bits [64 * q, ...) that are active. */
void rvx_vec_body(const struct vx *v, unsigned q, unsigned bits);
/* vd, a mask, becomes what put() leaves in k3 for each chunk. */
void rvx_vec_put_bits(const struct vx *v, const struct rvx_chunks *ch,
                      void (*put)(const struct vx *v, const struct rvx_chunks *ch, unsigned j));
/* An opmask instruction. */
void rvx_vec_k(const struct vx *v, bool l1, unsigned w, unsigned opcode, unsigned reg, unsigned vvvv, unsigned rm);
/* The instruction is called out from where the rel32 `from` is, and the trace goes on. */
void rvx_vec_bail(const struct vx *v, size_t from);

/* ---- translate_vec_fp.c ---- */
/* The mode has floating point, the host can, and SEW is that of numbers. */
bool rvx_vec_fp_can(const struct vx *v);
/* A form for numbers `eew` wide, of the active elements if `masks`. */
struct asm_form rvx_vec_fp_form(unsigned len, unsigned eew, bool masks);
/* Packed arithmetic, which has no prefix for binary32. */
unsigned rvx_vec_fp_packed(unsigned eew, unsigned op);
/* NaNs in Z0 become the canonical one. Changes k3. */
void rvx_vec_fp_canonical(const struct vx *v, struct asm_form f, unsigned eew);
/* A jump where k3 has elements; returns the rel32. */
size_t rvx_vec_fp_jump_if_any(const struct vx *v);
/* The scalar operand, if it is f[rs1], is NaN-boxed; or the instruction is the interpreter's. */
void rvx_vec_fp_before(const struct vx *v);
/* Z1 = f[rs1] in all elements of a chunk. */
void rvx_vec_fp_scalar(const struct vx *v, unsigned len);

#endif
