/* SPDX-License-Identifier: MIT */
/*
 * A small host x86-64 assembler over a codebuf: see asm.h.
 *
 * Spec: SDM 2A 2.1 to 2.3 (REX, ModRM, SIB, VEX), 2.7 (EVEX).
 */
#include "emit/asm.h"

/* Opcodes with what must stand before them. */
enum {
    P_0F = 1 << 8,
    OPC_LOAD = 0x8b,
    OPC_STORE = 0x89,
    OPC_ALU_RM_R = 0x01, /* | op << 3 */
    OPC_ALU_IMM32 = 0x81,
    OPC_ALU_IMM8 = 0x83,
    OPC_PUSH = 0x50,
    OPC_POP = 0x58,
    OPC_MOV_IMM32_SX = 0xc7,
    OPC_MOV_IMM = 0xb8,
    OPC_MOVUPS_LOAD = 0x10,
    OPC_MOVUPS_STORE = 0x11,
    OPC_KMOV_LOAD = 0x90,
    OPC_KMOV_STORE = 0x91,
    OPC_GRP15 = 0xae,
};
enum { GRP15_FXSAVE = 0, GRP15_FXRSTOR = 1, GRP15_LDMXCSR = 2, GRP15_STMXCSR = 3, GRP15_XSAVE = 4, GRP15_XRSTOR = 5 };
enum { MOD_MEM = 0, MOD_DISP8 = 1, MOD_DISP32 = 2, MOD_REG = 3, RM_SIB = 4, RM_BP = 5, SIB_NO_INDEX = 4 };

/* What is called puts an instruction into a copy of the codebuf: no byte of it can change the copy, as far as the compiler knows,
 * so that it lies in registers. keep() ends that. */
#define INLINE static inline __attribute__((always_inline))

INLINE void keep(struct codebuf *cb, const struct codebuf *copy)
{
    cb->pos = copy->pos;
    cb->failed = copy->failed;
}

/* ---- ModRM ---- */

INLINE void put_modrm(struct codebuf *cb, unsigned mod, unsigned reg, unsigned rm)
{
    codebuf_put1(cb, (uint8_t)(mod << 6 | (reg & 7) << 3 | (rm & 7)));
}

/* ModRM, SIB and displacement of [base + disp]; disp8 counts units of disp8_unit bytes (EVEX), 1 elsewhere. */
INLINE void put_modrm_mem(struct codebuf *cb, unsigned reg, struct host_mem m, int32_t disp8_unit)
{
    unsigned rm = m.base.n & 7, log = m.scale == 8 ? 3 : m.scale == 4 ? 2 : m.scale == 2;
    bool fits8 = m.disp % disp8_unit == 0 && m.disp / disp8_unit >= -128 && m.disp / disp8_unit <= 127;
    unsigned mod = m.disp == 0 && rm != RM_BP ? MOD_MEM : fits8 ? MOD_DISP8 : MOD_DISP32;

    put_modrm(cb, mod, reg, m.scale ? RM_SIB : rm);
    if (m.scale)
        put_modrm(cb, log, m.index.n, rm);
    else if (rm == RM_SIB) /* rsp and r12 as a base need a SIB byte */
        put_modrm(cb, 0, SIB_NO_INDEX, rm);
    if (mod == MOD_DISP8)
        codebuf_put1(cb, (uint8_t)(m.disp / disp8_unit));
    else if (mod == MOD_DISP32)
        codebuf_put4(cb, (uint32_t)m.disp);
}

/* ---- prefixes and opcode ---- */

/* Bit 3 of the index, for REX.X and its like. */
INLINE unsigned index_high(struct host_mem m)
{
    return m.scale ? m.index.n >> 3 & 1 : 0;
}

INLINE void put_rex_opcode(struct codebuf *cb, unsigned size, unsigned opcode, unsigned reg, unsigned x, unsigned rm)
{
    unsigned rex = (size == 8) << 3 | (reg >> 3 & 1) << 2 | x << 1 | (rm >> 3 & 1);
    if (rex)
        codebuf_put1(cb, (uint8_t)(0x40 | rex));
    if (opcode & P_0F)
        codebuf_put1(cb, 0x0f);
    codebuf_put1(cb, (uint8_t)opcode);
}

INLINE void put_op_reg(struct codebuf *cb, unsigned size, unsigned opcode, unsigned reg, unsigned rm)
{
    put_rex_opcode(cb, size, opcode, reg, 0, rm);
    put_modrm(cb, MOD_REG, reg, rm);
}

INLINE void put_op_mem(struct codebuf *cb, unsigned size, unsigned opcode, unsigned reg, struct host_mem m)
{
    put_rex_opcode(cb, size, opcode, reg, index_high(m), m.base.n);
    put_modrm_mem(cb, reg, m, 1);
}

/* VEX with three bytes, map 0F, no vvvv; l is VEX.L, pp 0. */
INLINE void put_vex_mem(struct codebuf *cb, unsigned w, unsigned l, uint8_t opcode, unsigned reg, struct host_mem m)
{
    uint8_t head[4] = { 0xc4, 0, 0, opcode };
    head[1] = (uint8_t)((~reg >> 3 & 1) << 7 | !index_high(m) << 6 | (~m.base.n >> 3 & 1) << 5 | 1);
    head[2] = (uint8_t)(w << 7 | 0xf << 3 | l << 2);
    codebuf_put(cb, head, sizeof(head));
    put_modrm_mem(cb, reg, m, 1);
}

/* EVEX.512.0F.W0, no mask, no vvvv, full-vector displacement. */
INLINE void put_evex_mem(struct codebuf *cb, uint8_t opcode, unsigned reg, struct host_mem m)
{
    uint8_t head[5] = { 0x62, 0, 0x7c, 0x48, opcode };
    head[1] = (uint8_t)((~reg >> 3 & 1) << 7 | !index_high(m) << 6 | (~m.base.n >> 3 & 1) << 5 | (~reg >> 4 & 1) << 4 | 1);
    codebuf_put(cb, head, sizeof(head));
    put_modrm_mem(cb, reg, m, 64);
}

/* ---- any instruction ---- */

/* An immediate or displacement in the shortest form. */
INLINE void put_alu_imm(struct codebuf *cb, int32_t imm)
{
    if (imm == (int8_t)imm)
        codebuf_put1(cb, (uint8_t)imm);
    else
        codebuf_put4(cb, (uint32_t)imm);
}

INLINE void put_opcode(struct codebuf *cb, unsigned opcode)
{
    if (opcode & 0x300)
        codebuf_put1(cb, 0x0f);
    if ((opcode & 0x300) == ASM_0F38)
        codebuf_put1(cb, 0x38);
    if ((opcode & 0x300) == ASM_0F3A)
        codebuf_put1(cb, 0x3a);
    codebuf_put1(cb, (uint8_t)opcode);
}

/* Mandatory prefix, REX, opcode. */
INLINE void put_head(struct codebuf *cb, unsigned size, unsigned opcode, unsigned reg, unsigned x, unsigned rm)
{
    static const uint8_t prefix[] = { 0, 0x66, 0xf3, 0xf2 };
    unsigned rex = (size == 8) << 3 | (reg >> 3 & 1) << 2 | x << 1 | (rm >> 3 & 1);
    if (opcode >> 12)
        codebuf_put1(cb, prefix[opcode >> 12 & 3]);
    if (rex || size == 1)
        codebuf_put1(cb, (uint8_t)(0x40 | rex));
    put_opcode(cb, opcode);
}

void asm_insn_reg(struct codebuf *to, unsigned size, unsigned opcode, unsigned reg, unsigned rm)
{
    struct codebuf cb = *to;
    put_head(&cb, size, opcode, reg, 0, rm);
    put_modrm(&cb, MOD_REG, reg, rm);
    keep(to, &cb);
}

void asm_insn_mem(struct codebuf *to, unsigned size, unsigned opcode, unsigned reg, struct host_mem m)
{
    struct codebuf cb = *to;
    put_head(&cb, size, opcode, reg, index_high(m), m.base.n);
    put_modrm_mem(&cb, reg, m, 1);
    keep(to, &cb);
}

INLINE void put_vex(struct codebuf *cb, unsigned w, unsigned opcode, unsigned reg, unsigned v, unsigned x, unsigned rm)
{
    uint8_t head[4] = { 0xc4, 0, 0, (uint8_t)opcode };
    head[1] = (uint8_t)((~reg >> 3 & 1) << 7 | !x << 6 | (~rm >> 3 & 1) << 5 | (opcode >> 8 & 3));
    head[2] = (uint8_t)(w << 7 | (~v & 15) << 3 | (opcode >> 12 & 3));
    if (!w && (opcode & 0x300) == ASM_0F && rm < 8 && !x) { /* the short form */
        const uint8_t small[3] = { 0xc5, (uint8_t)((head[1] & 0x80) | (head[2] & 0x7f)), (uint8_t)opcode };
        codebuf_put(cb, small, sizeof(small));
        return;
    }
    codebuf_put(cb, head, sizeof(head));
}

void asm_vex_reg(struct codebuf *to, unsigned w, unsigned opcode, unsigned reg, unsigned v, unsigned rm)
{
    struct codebuf cb = *to;
    put_vex(&cb, w, opcode, reg, v, 0, rm);
    put_modrm(&cb, MOD_REG, reg, rm);
    keep(to, &cb);
}

void asm_vex_mem(struct codebuf *to, unsigned w, unsigned opcode, unsigned reg, unsigned v, struct host_mem m)
{
    struct codebuf cb = *to;
    put_vex(&cb, w, opcode, reg, v, index_high(m), m.base.n);
    put_modrm_mem(&cb, reg, m, 1);
    keep(to, &cb);
}

INLINE void put_evex(struct codebuf *cb, unsigned w, unsigned opcode, unsigned reg, unsigned v, unsigned x, unsigned rm)
{
    uint8_t head[5] = { 0x62, 0, 0, 0, (uint8_t)opcode };
    head[1] = (uint8_t)((~reg >> 3 & 1) << 7 | !x << 6 | (~rm >> 3 & 1) << 5 | (~reg >> 4 & 1) << 4 | (opcode >> 8 & 3));
    head[2] = (uint8_t)(w << 7 | (~v & 15) << 3 | 1 << 2 | (opcode >> 12 & 3));
    head[3] = (uint8_t)((~v >> 4 & 1) << 3);
    codebuf_put(cb, head, sizeof(head));
}

void asm_evex_reg(struct codebuf *to, unsigned w, unsigned opcode, unsigned reg, unsigned v, unsigned rm)
{
    struct codebuf cb = *to;
    put_evex(&cb, w, opcode, reg, v, rm >> 4 & 1, rm);
    put_modrm(&cb, MOD_REG, reg, rm);
    keep(to, &cb);
}

void asm_evex_mem(struct codebuf *to, unsigned w, unsigned opcode, unsigned reg, unsigned v, struct host_mem m)
{
    struct codebuf cb = *to;
    enum { NO_DISP8 = 1 << 24 }; /* what a disp8 would count depends on the instruction */
    put_evex(&cb, w, opcode, reg, v, index_high(m), m.base.n);
    put_modrm_mem(&cb, reg, m, NO_DISP8);
    keep(to, &cb);
}

/* ---- whole vectors ---- */

enum { NO_DISP8_UNIT = 1 << 24 }; /* what an EVEX disp8 would count depends on the instruction */

static void put_form(struct codebuf *cb, struct asm_form f, unsigned opcode, unsigned reg, unsigned v, unsigned x, unsigned rm)
{
    unsigned l = f.len == 64 ? 2 : f.len == 32;
    uint8_t high = (uint8_t)((~reg >> 3 & 1) << 7 | !x << 6 | (~rm >> 3 & 1) << 5 | (opcode >> 8 & 3));
    uint8_t wvp = (uint8_t)(f.w << 7 | (~v & 15) << 3 | (opcode >> 12 & 3));
    const uint8_t vex[4] = { 0xc4, high, (uint8_t)(wvp | l << 2), (uint8_t)opcode };
    const uint8_t evex[5] = { 0x62, (uint8_t)(high | (~reg >> 4 & 1) << 4), wvp | 1 << 2,
                              (uint8_t)(f.zero << 7 | l << 5 | f.bcast << 4 | (~v >> 4 & 1) << 3 | f.mask), (uint8_t)opcode };
    if (f.evex)
        codebuf_put(cb, evex, sizeof(evex));
    else
        codebuf_put(cb, vex, sizeof(vex));
}

void asm_form_reg(struct codebuf *cb, struct asm_form f, unsigned opcode, unsigned reg, unsigned v, unsigned rm)
{
    put_form(cb, f, opcode, reg, v, f.evex && rm >> 4 & 1, rm);
    put_modrm(cb, MOD_REG, reg, rm);
}

void asm_form_mem(struct codebuf *cb, struct asm_form f, unsigned opcode, unsigned reg, unsigned v, struct host_mem m)
{
    put_form(cb, f, opcode, reg, v, index_high(m), m.base.n);
    put_modrm_mem(cb, reg, m, f.evex ? NO_DISP8_UNIT : 1);
}

/* ---- jumps ---- */

void asm_patch(struct codebuf *cb, size_t at, const void *target)
{
    int64_t rel = (int64_t)((uintptr_t)target - (uintptr_t)(cb->rx + at + 4));
    int32_t rel32 = (int32_t)rel;
    if (!cb->failed)
        memcpy(cb->rw + at, &rel32, sizeof(rel32));
}

/* A jump or call of one or two bytes (the first is not 0) and a rel32; returns where that is. */
INLINE size_t put_jump(struct codebuf *to, uint8_t first, uint8_t second, const void *target)
{
    struct codebuf cb = *to;
    if (first)
        codebuf_put1(&cb, first);
    codebuf_put1(&cb, second);
    size_t at = cb.pos;
    codebuf_put4(&cb, 0);
    keep(to, &cb);
    if (target)
        asm_patch(to, at, target);
    return at;
}

size_t asm_jmp(struct codebuf *cb, const void *target)
{
    return put_jump(cb, 0, 0xe9, target);
}

size_t asm_jcc(struct codebuf *cb, enum host_cc cc, const void *target)
{
    return put_jump(cb, 0x0f, (uint8_t)(0x80 | cc), target);
}

size_t asm_call(struct codebuf *cb, const void *target)
{
    return put_jump(cb, 0, 0xe8, target);
}

/* ---- general registers ---- */

void asm_load(struct codebuf *to, unsigned size, struct host_gpr dst, struct host_mem src)
{
    struct codebuf cb = *to;
    put_op_mem(&cb, size, OPC_LOAD, dst.n, src);
    keep(to, &cb);
}

void asm_store(struct codebuf *to, unsigned size, struct host_mem dst, struct host_gpr src)
{
    struct codebuf cb = *to;
    put_op_mem(&cb, size, OPC_STORE, src.n, dst);
    keep(to, &cb);
}

void asm_mov(struct codebuf *to, unsigned size, struct host_gpr dst, struct host_gpr src)
{
    struct codebuf cb = *to;
    put_op_reg(&cb, size, OPC_STORE, src.n, dst.n);
    keep(to, &cb);
}

void asm_mov_imm(struct codebuf *to, struct host_gpr dst, uint64_t v)
{
    struct codebuf cb = *to;
    if (v <= UINT32_MAX) {
        put_rex_opcode(&cb, 4, OPC_MOV_IMM + (dst.n & 7), 0, 0, dst.n);
        codebuf_put4(&cb, (uint32_t)v);
    } else if ((int64_t)v == (int32_t)v) {
        put_op_reg(&cb, 8, OPC_MOV_IMM32_SX, 0, dst.n);
        codebuf_put4(&cb, (uint32_t)v);
    } else {
        put_rex_opcode(&cb, 8, OPC_MOV_IMM + (dst.n & 7), 0, 0, dst.n);
        codebuf_put8(&cb, v);
    }
    keep(to, &cb);
}

void asm_alu(struct codebuf *to, enum host_alu op, unsigned size, struct host_gpr dst, struct host_gpr src)
{
    struct codebuf cb = *to;
    put_op_reg(&cb, size, OPC_ALU_RM_R | op << 3, src.n, dst.n);
    keep(to, &cb);
}

void asm_alu_imm(struct codebuf *to, enum host_alu op, unsigned size, struct host_gpr dst, int32_t imm)
{
    struct codebuf cb = *to;
    put_op_reg(&cb, size, imm == (int8_t)imm ? OPC_ALU_IMM8 : OPC_ALU_IMM32, op, dst.n);
    put_alu_imm(&cb, imm);
    keep(to, &cb);
}

void asm_alu_mem_imm(struct codebuf *to, enum host_alu op, unsigned size, struct host_mem dst, int32_t imm)
{
    struct codebuf cb = *to;
    put_op_mem(&cb, size, imm == (int8_t)imm ? OPC_ALU_IMM8 : OPC_ALU_IMM32, op, dst);
    put_alu_imm(&cb, imm);
    keep(to, &cb);
}

void asm_alu_mem(struct codebuf *to, enum host_alu op, unsigned size, struct host_mem dst, struct host_gpr src)
{
    struct codebuf cb = *to;
    put_op_mem(&cb, size, OPC_ALU_RM_R | op << 3, src.n, dst);
    keep(to, &cb);
}

void asm_push(struct codebuf *to, struct host_gpr r)
{
    struct codebuf cb = *to;
    put_rex_opcode(&cb, 4, OPC_PUSH + (r.n & 7), 0, 0, r.n);
    keep(to, &cb);
}

void asm_pop(struct codebuf *to, struct host_gpr r)
{
    struct codebuf cb = *to;
    put_rex_opcode(&cb, 4, OPC_POP + (r.n & 7), 0, 0, r.n);
    keep(to, &cb);
}

void asm_pushfq(struct codebuf *cb)
{
    codebuf_put1(cb, 0x9c);
}

void asm_popfq(struct codebuf *cb)
{
    codebuf_put1(cb, 0x9d);
}

void asm_ret(struct codebuf *cb)
{
    codebuf_put1(cb, 0xc3);
}

/* ---- vector and opmask registers ---- */

INLINE void put_vec_move(struct codebuf *cb, unsigned size, uint8_t opcode, unsigned reg, struct host_mem m)
{
    if (size == 64)
        put_evex_mem(cb, opcode, reg, m);
    else if (size == 32)
        put_vex_mem(cb, 0, 1, opcode, reg, m);
    else
        put_op_mem(cb, 4, P_0F | opcode, reg, m);
}

void asm_vec_load(struct codebuf *to, unsigned size, struct host_vec dst, struct host_mem src)
{
    struct codebuf cb = *to;
    put_vec_move(&cb, size, OPC_MOVUPS_LOAD, dst.n, src);
    keep(to, &cb);
}

void asm_vec_store(struct codebuf *to, unsigned size, struct host_mem dst, struct host_vec src)
{
    struct codebuf cb = *to;
    put_vec_move(&cb, size, OPC_MOVUPS_STORE, src.n, dst);
    keep(to, &cb);
}

void asm_vzeroupper(struct codebuf *cb)
{
    static const uint8_t code[] = { 0xc5, 0xf8, 0x77 };
    codebuf_put(cb, code, sizeof(code));
}

void asm_mask_load(struct codebuf *to, struct host_mask dst, struct host_mem src)
{
    struct codebuf cb = *to;
    put_vex_mem(&cb, 1, 0, OPC_KMOV_LOAD, dst.n, src);
    keep(to, &cb);
}

void asm_mask_store(struct codebuf *to, struct host_mem dst, struct host_mask src)
{
    struct codebuf cb = *to;
    put_vex_mem(&cb, 1, 0, OPC_KMOV_STORE, src.n, dst);
    keep(to, &cb);
}

/* ---- control and status ---- */

void asm_ldmxcsr(struct codebuf *to, struct host_mem src)
{
    struct codebuf cb = *to;
    put_op_mem(&cb, 4, P_0F | OPC_GRP15, GRP15_LDMXCSR, src);
    keep(to, &cb);
}

void asm_stmxcsr(struct codebuf *to, struct host_mem dst)
{
    struct codebuf cb = *to;
    put_op_mem(&cb, 4, P_0F | OPC_GRP15, GRP15_STMXCSR, dst);
    keep(to, &cb);
}

void asm_fxrstor64(struct codebuf *to, struct host_mem src)
{
    struct codebuf cb = *to;
    put_op_mem(&cb, 8, P_0F | OPC_GRP15, GRP15_FXRSTOR, src);
    keep(to, &cb);
}

void asm_fxsave64(struct codebuf *to, struct host_mem dst)
{
    struct codebuf cb = *to;
    put_op_mem(&cb, 8, P_0F | OPC_GRP15, GRP15_FXSAVE, dst);
    keep(to, &cb);
}

void asm_xrstor64(struct codebuf *to, struct host_mem src)
{
    struct codebuf cb = *to;
    put_op_mem(&cb, 8, P_0F | OPC_GRP15, GRP15_XRSTOR, src);
    keep(to, &cb);
}

void asm_xsave64(struct codebuf *to, struct host_mem dst)
{
    struct codebuf cb = *to;
    put_op_mem(&cb, 8, P_0F | OPC_GRP15, GRP15_XSAVE, dst);
    keep(to, &cb);
}

void asm_fninit(struct codebuf *cb)
{
    static const uint8_t code[] = { 0xdb, 0xe3 };
    codebuf_put(cb, code, sizeof(code));
}
