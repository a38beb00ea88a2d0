/* SPDX-License-Identifier: MIT */
/*
 * Step functions of I, M, Zicond: integer arithmetic, branches, loads and stores.
 *
 * Each list gives the instruction and its result; a and b are rs1's and rs2's (or the immediate's) value.
 * Spec: volume I chapters 2, 4, 12 (M), 13 (Zicond)
 */
#include "isa/riscv/profile.h"
#include "isa/riscv/step.h"

typedef unsigned __int128 u128;

static uint64_t shl32(uint64_t a, uint64_t b)
{
    return sext32((uint32_t)a << (b & 31));
}

static uint64_t shr32(uint64_t a, uint64_t b)
{
    return sext32((uint32_t)a >> (b & 31));
}

static uint64_t sar32(uint64_t a, uint64_t b)
{
    return (uint64_t)((int32_t)a >> (b & 31));
}

static uint64_t sar64(uint64_t a, uint64_t b)
{
    return (uint64_t)((int64_t)a >> (b & 63));
}

/* ---- M ---- */

static uint64_t mul_high(uint64_t a, uint64_t b, bool a_signed, bool b_signed)
{
    uint64_t high = (uint64_t)((u128)a * b >> 64);
    if (a_signed && (int64_t)a < 0)
        high -= b;
    if (b_signed && (int64_t)b < 0)
        high -= a;
    return high;
}

/* Division never traps: by 0 it gives all ones and the dividend, and the one overflow wraps. Spec: volume I table 11 */
static uint64_t div_signed(int64_t a, int64_t b)
{
    if (b == 0)
        return ~0ULL;
    return b == -1 ? -(uint64_t)a : (uint64_t)(a / b);
}

static uint64_t rem_signed(int64_t a, int64_t b)
{
    if (b == 0)
        return (uint64_t)a;
    return b == -1 ? 0 : (uint64_t)(a % b);
}

static uint64_t div_unsigned(uint64_t a, uint64_t b)
{
    return b ? a / b : ~0ULL;
}

static uint64_t rem_unsigned(uint64_t a, uint64_t b)
{
    return b ? a % b : a;
}

#define REGISTER_REGISTER(X)                                                                                                     \
    X(add, a + b)                                                                                                                \
    X(sub, a - b)                                                                                                                \
    X(sll, a << (b & 63))                                                                                                        \
    X(slt, (int64_t)a < (int64_t)b)                                                                                              \
    X(sltu, a < b)                                                                                                               \
    X(xor, a ^ b)                                                                                                                \
    X(srl, a >> (b & 63))                                                                                                        \
    X(sra, sar64(a, b))                                                                                                          \
    X(or, a | b)                                                                                                                 \
    X(and, a &b)                                                                                                                 \
    X(addw, sext32(a + b))                                                                                                       \
    X(subw, sext32(a - b))                                                                                                       \
    X(sllw, shl32(a, b))                                                                                                         \
    X(srlw, shr32(a, b))                                                                                                         \
    X(sraw, sar32(a, b))                                                                                                         \
    X(mul, a *b)                                                                                                                 \
    X(mulh, mul_high(a, b, true, true))                                                                                          \
    X(mulhsu, mul_high(a, b, true, false))                                                                                       \
    X(mulhu, mul_high(a, b, false, false))                                                                                       \
    X(div, div_signed((int64_t)a, (int64_t)b))                                                                                   \
    X(divu, div_unsigned(a, b))                                                                                                  \
    X(rem, rem_signed((int64_t)a, (int64_t)b))                                                                                   \
    X(remu, rem_unsigned(a, b))                                                                                                  \
    X(mulw, sext32(a *b))                                                                                                        \
    X(divw, sext32(div_signed((int32_t)a, (int32_t)b)))                                                                          \
    X(divuw, sext32(div_unsigned((uint32_t)a, (uint32_t)b)))                                                                     \
    X(remw, sext32(rem_signed((int32_t)a, (int32_t)b)))                                                                          \
    X(remuw, sext32(rem_unsigned((uint32_t)a, (uint32_t)b)))                                                                     \
    X(czero_eqz, b == 0 ? 0 : a)                                                                                                 \
    X(czero_nez, b != 0 ? 0 : a)

#define STEP(name, result)                                                                                                       \
    void rv_##name(struct riscv_cpu *c, const struct riscv_insn *i)                                                              \
    {                                                                                                                            \
        uint64_t a = c->x[i->rs1], b = c->x[i->rs2];                                                                             \
        set_rd(c, i, (result));                                                                                                  \
    }
REGISTER_REGISTER(STEP)
#undef STEP

#define REGISTER_IMMEDIATE(X)                                                                                                    \
    X(addi, a + b)                                                                                                               \
    X(slti, (int64_t)a < (int64_t)b)                                                                                             \
    X(sltiu, a < b)                                                                                                              \
    X(xori, a ^ b)                                                                                                               \
    X(ori, a | b)                                                                                                                \
    X(andi, a &b)                                                                                                                \
    X(slli, a << b)                                                                                                              \
    X(srli, a >> b)                                                                                                              \
    X(srai, sar64(a, b))                                                                                                         \
    X(addiw, sext32(a + b))                                                                                                      \
    X(slliw, shl32(a, b))                                                                                                        \
    X(srliw, shr32(a, b))                                                                                                        \
    X(sraiw, sar32(a, b))

#define STEP(name, result)                                                                                                       \
    void rv_##name(struct riscv_cpu *c, const struct riscv_insn *i)                                                              \
    {                                                                                                                            \
        uint64_t a = c->x[i->rs1], b = (uint64_t)(int64_t)i->imm;                                                                \
        set_rd(c, i, (result));                                                                                                  \
    }
REGISTER_IMMEDIATE(STEP)
#undef STEP

void rv_lui(struct riscv_cpu *c, const struct riscv_insn *i)
{
    set_rd(c, i, (uint64_t)(int64_t)i->imm);
}

void rv_auipc(struct riscv_cpu *c, const struct riscv_insn *i)
{
    set_rd(c, i, c->pc + (uint64_t)(int64_t)i->imm);
}

/* ---- control transfer; targets are even, which is all that C asks for. Without C they are multiples of four. Spec: volume I 2.5
 */

static inline void jump_to(struct riscv_cpu *c, uint64_t target)
{
    if (__builtin_expect((target & 2) && !c->profile->has[RISCV_EXT_C], 0))
        riscv_raise(c, RISCV_FETCH_MISALIGNED, target);
    c->next_pc = target;
}

void rv_jal(struct riscv_cpu *c, const struct riscv_insn *i)
{
    uint64_t back = c->next_pc;
    jump_to(c, c->pc + (uint64_t)(int64_t)i->imm);
    set_rd(c, i, back);
}

void rv_jalr(struct riscv_cpu *c, const struct riscv_insn *i)
{
    uint64_t back = c->next_pc;
    jump_to(c, address(c, i) & ~1ULL);
    set_rd(c, i, back);
}

#define BRANCHES(X)                                                                                                              \
    X(beq, a == b)                                                                                                               \
    X(bne, a != b)                                                                                                               \
    X(blt, (int64_t)a < (int64_t)b)                                                                                              \
    X(bge, (int64_t)a >= (int64_t)b)                                                                                             \
    X(bltu, a < b)                                                                                                               \
    X(bgeu, a >= b)

#define STEP(name, condition)                                                                                                    \
    void rv_##name(struct riscv_cpu *c, const struct riscv_insn *i)                                                              \
    {                                                                                                                            \
        uint64_t a = c->x[i->rs1], b = c->x[i->rs2];                                                                             \
        if (condition)                                                                                                           \
            jump_to(c, c->pc + (uint64_t)(int64_t)i->imm);                                                                       \
    }
BRANCHES(STEP)
#undef STEP

/* ---- memory ---- */

#define LOADS(X)                                                                                                                 \
    X(lb, 1, (uint64_t)(int8_t)v)                                                                                                \
    X(lh, 2, (uint64_t)(int16_t)v)                                                                                               \
    X(lw, 4, (uint64_t)(int32_t)v)                                                                                               \
    X(ld, 8, v)                                                                                                                  \
    X(lbu, 1, v)                                                                                                                 \
    X(lhu, 2, v)                                                                                                                 \
    X(lwu, 4, v)

#define STEP(name, size, result)                                                                                                 \
    void rv_##name(struct riscv_cpu *c, const struct riscv_insn *i)                                                              \
    {                                                                                                                            \
        uint64_t v = riscv_load(c, address(c, i), size);                                                                         \
        set_rd(c, i, (result));                                                                                                  \
    }
LOADS(STEP)
#undef STEP

#define STORES(X) X(sb, 1) X(sh, 2) X(sw, 4) X(sd, 8)
#define STEP(name, size)                                                                                                         \
    void rv_##name(struct riscv_cpu *c, const struct riscv_insn *i)                                                              \
    {                                                                                                                            \
        riscv_store(c, address(c, i), c->x[i->rs2], size);                                                                       \
    }
STORES(STEP)
#undef STEP
