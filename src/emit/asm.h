/* SPDX-License-Identifier: MIT */
/*
 * A small host x86-64 assembler over a codebuf.
 *
 * Four storeys: bytes (codebuf_put*) -> opcode with REX, ModRM, VEX or EVEX -> loads, stores and ALU operations ->
 * what the callers build from them. Registers of each class are their own struct type, so that a vector register where a
 * general one belongs does not compile. Errors are the codebuf's: sticky, looked at once at the end.
 * Spec: SDM 2A chapter 2.
 */
#ifndef DOPPEL_EMIT_ASM_H
#define DOPPEL_EMIT_ASM_H

#include "emit/codebuf.h"

struct host_gpr {
    uint8_t n;
}; /* 0..15 */
struct host_vec {
    uint8_t n;
}; /* 0..31; above 15 only with the 64-byte forms */
struct host_mask {
    uint8_t n;
}; /* k0..k7 */

/* [base + disp], or [base + index * scale + disp] */
struct host_mem {
    struct host_gpr base;
    int32_t disp;
    struct host_gpr index; /* where scale is not 0; not rsp */
    uint8_t scale;         /* 0, 1, 2, 4, 8 */
};

/* Arithmetic of the 80/81/83 group, in its encoding order. */
enum host_alu { HOST_ADD, HOST_OR, HOST_ADC, HOST_SBB, HOST_AND, HOST_SUB, HOST_XOR, HOST_CMP };

#define HOST_RAX ((struct host_gpr){ 0 })
#define HOST_RCX ((struct host_gpr){ 1 })
#define HOST_RDX ((struct host_gpr){ 2 })
#define HOST_RBX ((struct host_gpr){ 3 })
#define HOST_RSP ((struct host_gpr){ 4 })
#define HOST_RBP ((struct host_gpr){ 5 })
#define HOST_RSI ((struct host_gpr){ 6 })
#define HOST_RDI ((struct host_gpr){ 7 })
#define HOST_R8 ((struct host_gpr){ 8 })
#define HOST_R9 ((struct host_gpr){ 9 })
#define HOST_R10 ((struct host_gpr){ 10 })
#define HOST_R11 ((struct host_gpr){ 11 })
#define HOST_R12 ((struct host_gpr){ 12 })
#define HOST_R13 ((struct host_gpr){ 13 })
#define HOST_R14 ((struct host_gpr){ 14 })
#define HOST_R15 ((struct host_gpr){ 15 })

/* Condition codes of Jcc, SETcc, CMOVcc. Spec: SDM 1, appendix B.1 */
enum host_cc { CC_O, CC_NO, CC_B, CC_AE, CC_E, CC_NE, CC_BE, CC_A, CC_S, CC_NS, CC_P, CC_NP, CC_L, CC_GE, CC_LE, CC_G };

/* Of asm_insn_*() and asm_vex_*(): opcode byte, opcode map, mandatory prefix (VEX.pp). */
enum { ASM_0F = 1 << 8, ASM_0F38 = 2 << 8, ASM_0F3A = 3 << 8, ASM_66 = 1 << 12, ASM_F3 = 2 << 12, ASM_F2 = 3 << 12 };

static inline struct host_mem host_mem(struct host_gpr base, int32_t disp)
{
    return (struct host_mem){ .base = base, .disp = disp };
}

static inline struct host_mem host_mem_indexed(struct host_gpr base, struct host_gpr index, unsigned scale, int32_t disp)
{
    return (struct host_mem){ .base = base, .disp = disp, .index = index, .scale = (uint8_t)scale };
}

/* General registers; size is 4 or 8 bytes (4 clears the upper half of a destination register). */
void asm_load(struct codebuf *cb, unsigned size, struct host_gpr dst, struct host_mem src);
void asm_store(struct codebuf *cb, unsigned size, struct host_mem dst, struct host_gpr src);
void asm_mov(struct codebuf *cb, unsigned size, struct host_gpr dst, struct host_gpr src);
/* The shortest encoding that gives dst the 64-bit value. */
void asm_mov_imm(struct codebuf *cb, struct host_gpr dst, uint64_t v);
void asm_alu(struct codebuf *cb, enum host_alu op, unsigned size, struct host_gpr dst, struct host_gpr src);
void asm_alu_imm(struct codebuf *cb, enum host_alu op, unsigned size, struct host_gpr dst, int32_t imm);
/* op dword/qword [dst], imm and op [dst], src */
void asm_alu_mem_imm(struct codebuf *cb, enum host_alu op, unsigned size, struct host_mem dst, int32_t imm);
void asm_alu_mem(struct codebuf *cb, enum host_alu op, unsigned size, struct host_mem dst, struct host_gpr src);
void asm_push(struct codebuf *cb, struct host_gpr r);
void asm_pop(struct codebuf *cb, struct host_gpr r);
void asm_pushfq(struct codebuf *cb);
void asm_popfq(struct codebuf *cb);
void asm_ret(struct codebuf *cb);

/* Any instruction with a ModRM byte, by opcode (ASM_*): registers in ModRM.reg and ModRM.rm, or memory there. size 8 sets REX.W;
 * size 1 has bytes of registers 4..7 be spl..dil. An immediate is put behind by the caller. */
void asm_insn_reg(struct codebuf *cb, unsigned size, unsigned opcode, unsigned reg, unsigned rm);
void asm_insn_mem(struct codebuf *cb, unsigned size, unsigned opcode, unsigned reg, struct host_mem m);
/* The same with VEX: w is VEX.W, v the register in VEX.vvvv (0 where there is none); 128 bits or scalar. */
void asm_vex_reg(struct codebuf *cb, unsigned w, unsigned opcode, unsigned reg, unsigned v, unsigned rm);
void asm_vex_mem(struct codebuf *cb, unsigned w, unsigned opcode, unsigned reg, unsigned v, struct host_mem m);

/* The same with EVEX (AVX-512VL and DQ): vector registers 0 to 31. W matters: 1 for binary64 and 64-bit integers. */
void asm_evex_reg(struct codebuf *cb, unsigned w, unsigned opcode, unsigned reg, unsigned v, unsigned rm);
void asm_evex_mem(struct codebuf *cb, unsigned w, unsigned opcode, unsigned reg, unsigned v, struct host_mem m);

/* How an instruction on whole vectors is encoded. */
struct asm_form {
    uint8_t len;  /* bytes: 16, 32, 64 (EVEX only); opmask instructions call VEX.L0 and L1 16 and 32 */
    uint8_t w;    /* VEX.W or EVEX.W */
    bool evex;    /* else VEX: registers 0 to 15, and none of the following */
    uint8_t mask; /* opmask register 1 to 7; 0: all elements */
    bool zero;    /* elements that are not in the mask become 0, else they stay */
    bool bcast;   /* the memory operand is one element, for all */
};
void asm_form_reg(struct codebuf *cb, struct asm_form f, unsigned opcode, unsigned reg, unsigned v, unsigned rm);
void asm_form_mem(struct codebuf *cb, struct asm_form f, unsigned opcode, unsigned reg, unsigned v, struct host_mem m);

/* Jumps and calls with a rel32 to an execution address (NULL: patched later); they return its position, for asm_patch(). */
size_t asm_jmp(struct codebuf *cb, const void *target);
size_t asm_jcc(struct codebuf *cb, enum host_cc cc, const void *target);
size_t asm_call(struct codebuf *cb, const void *target);
/* Points the rel32 at position `at` to the execution address `target`. */
void asm_patch(struct codebuf *cb, size_t at, const void *target);

/* Vector registers; unaligned moves of 16 (legacy SSE, registers 0..15), 32 (AVX) or 64 bytes (AVX-512). */
void asm_vec_load(struct codebuf *cb, unsigned size, struct host_vec dst, struct host_mem src);
void asm_vec_store(struct codebuf *cb, unsigned size, struct host_mem dst, struct host_vec src);
void asm_vzeroupper(struct codebuf *cb);
/* All 64 bits of an opmask register (AVX-512BW). */
void asm_mask_load(struct codebuf *cb, struct host_mask dst, struct host_mem src);
void asm_mask_store(struct codebuf *cb, struct host_mem dst, struct host_mask src);

/* Control and status. */
void asm_ldmxcsr(struct codebuf *cb, struct host_mem src);
void asm_stmxcsr(struct codebuf *cb, struct host_mem dst);
void asm_fxrstor64(struct codebuf *cb, struct host_mem src);
void asm_fxsave64(struct codebuf *cb, struct host_mem dst);
void asm_xrstor64(struct codebuf *cb, struct host_mem src);
void asm_xsave64(struct codebuf *cb, struct host_mem dst);
void asm_fninit(struct codebuf *cb);

#endif
