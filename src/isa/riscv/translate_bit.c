/* SPDX-License-Identifier: MIT */
/*
 * Translation of the bits' extensions: Zba, Zbb, Zbs, and of Zbkb what is also in Zbb. The rest is called out.
 */
#include "base/checked.h"
#include "isa/riscv/insn_steps.h"
#include "isa/riscv/translate_emit.h"

enum {
    OP_MOVSXD = 0x63,
    OP_SHIFT_IMM = 0xc1,
    OP_SHIFT_CL = 0xd3,
    OP_NOT = 0xf7, /* /2 */
    OP_MOVZX16 = ASM_0F | 0xb7,
    OP_MOVSX8 = ASM_0F | 0xbe,
    OP_MOVSX16 = ASM_0F | 0xbf,
    OP_LZCNT = ASM_0F | ASM_F3 | 0xbd,
    OP_TZCNT = ASM_0F | ASM_F3 | 0xbc,
    OP_POPCNT = ASM_0F | ASM_F3 | 0xb8,
    OP_ANDN = ASM_0F38 | 0xf2,
    OP_BT = 0xa3,
    OP_BTS = 0xab,
    OP_BTR = 0xb3,
    OP_BTC = 0xbb,
    OP_BT_IMM = ASM_0F | 0xba, /* /4 bt, /5 bts, /6 btr, /7 btc */
    OP_CMOV = ASM_0F | 0x40,
};
enum { WORD = 0x100, UNSIGNED_WORD = 0x200 };

static void set(struct rvx *x, unsigned rd, unsigned host, bool word)
{
    if (word) {
        unsigned d = rvx_dst(x, rd);
        asm_insn_reg(x->cb, 8, OP_MOVSXD, d, host);
        host = d;
    }
    rvx_set(x, rd, host);
}

/* The low 32 bits of a guest register, zero-extended, in rax. */
static void get_unsigned_word(struct rvx *x, unsigned guest)
{
    if (x_host(guest) == IN_MEMORY && guest)
        asm_load(x->cb, 4, HOST_RAX, x_mem(guest));
    else
        asm_mov(x->cb, 4, HOST_RAX, hg(rvx_use(x, guest, H_RAX)));
}

/* rd = rs2 + (rs1 << arg), rs1 perhaps of 32 bits */
static bool shift_add(struct rvx *x, const struct riscv_insn *i, unsigned arg)
{
    unsigned a = H_RAX, b = rvx_use(x, i->rs2, H_RCX), d = rvx_dst(x, i->rd);
    if (arg & UNSIGNED_WORD)
        get_unsigned_word(x, i->rs1);
    else
        a = rvx_use(x, i->rs1, H_RAX);
    rvx_lea_sib(x, 8, d, b, a, 1U << (arg & 3));
    rvx_set(x, i->rd, d);
    return true;
}

static bool slli_uw(struct rvx *x, const struct riscv_insn *i, unsigned arg)
{
    (void)arg;
    get_unsigned_word(x, i->rs1);
    asm_insn_reg(x->cb, 8, OP_SHIFT_IMM, 4, H_RAX);
    codebuf_put1(x->cb, (uint8_t)i->imm);
    rvx_set(x, i->rd, H_RAX);
    return true;
}

/* rs1 op ~rs2; xnor: ~(rs1 ^ rs2) */
static bool invert(struct rvx *x, const struct riscv_insn *i, unsigned arg)
{
    if (arg == HOST_AND) {
        unsigned a = rvx_use(x, i->rs1, H_RAX), b = rvx_use(x, i->rs2, H_RCX), d = rvx_dst(x, i->rd);
        asm_vex_reg(x->cb, 1, OP_ANDN, d, b, a);
        rvx_set(x, i->rd, d);
        return true;
    }
    rvx_get(x, H_RAX, i->rs2);
    asm_insn_reg(x->cb, 8, OP_NOT, 2, H_RAX);
    rvx_alu_guest(x, (enum host_alu)arg, 8, H_RAX, i->rs1);
    rvx_set(x, i->rd, H_RAX);
    return true;
}

/* One operand: counts; and extensions, which write all 64 bits. */
static bool unary(struct rvx *x, const struct riscv_insn *i, unsigned arg)
{
    unsigned a = rvx_use(x, i->rs1, H_RAX), d = rvx_dst(x, i->rd);
    asm_insn_reg(x->cb, arg >> 24, arg & 0xffffff, d, a);
    rvx_set(x, i->rd, d);
    return true;
}

static bool min_max(struct rvx *x, const struct riscv_insn *i, unsigned arg)
{
    unsigned b = rvx_use(x, i->rs2, H_RCX);
    rvx_get(x, H_RAX, i->rs1);
    asm_alu(x->cb, HOST_CMP, 8, HOST_RAX, hg(b));
    asm_insn_reg(x->cb, 8, OP_CMOV | arg, H_RAX, b);
    rvx_set(x, i->rd, H_RAX);
    return true;
}

static bool rotate(struct rvx *x, const struct riscv_insn *i, unsigned arg)
{
    bool word = arg & WORD;
    rvx_get(x, H_RCX, i->rs2);
    rvx_get(x, H_RAX, i->rs1);
    asm_insn_reg(x->cb, word ? 4 : 8, OP_SHIFT_CL, arg & 1, H_RAX);
    set(x, i->rd, H_RAX, word);
    return true;
}

static bool rotate_imm(struct rvx *x, const struct riscv_insn *i, unsigned arg)
{
    bool word = arg & WORD;
    rvx_get(x, H_RAX, i->rs1);
    asm_insn_reg(x->cb, word ? 4 : 8, OP_SHIFT_IMM, 1, H_RAX);
    codebuf_put1(x->cb, (uint8_t)i->imm);
    set(x, i->rd, H_RAX, word);
    return true;
}

static bool byte_swap(struct rvx *x, const struct riscv_insn *i, unsigned arg)
{
    (void)arg;
    rvx_get(x, H_RAX, i->rs1);
    codebuf_put(x->cb, (const uint8_t[]){ 0x48, 0x0f, 0xc8 }, 3); /* bswap rax */
    rvx_set(x, i->rd, H_RAX);
    return true;
}

/* bset, bclr, binv */
static bool change_bit(struct rvx *x, const struct riscv_insn *i, unsigned arg)
{
    unsigned b = rvx_use(x, i->rs2, H_RCX);
    rvx_get(x, H_RAX, i->rs1);
    asm_insn_reg(x->cb, 8, ASM_0F | arg, b, H_RAX);
    rvx_set(x, i->rd, H_RAX);
    return true;
}

static bool change_bit_imm(struct rvx *x, const struct riscv_insn *i, unsigned arg)
{
    rvx_get(x, H_RAX, i->rs1);
    asm_insn_reg(x->cb, 8, OP_BT_IMM, arg, H_RAX);
    codebuf_put1(x->cb, (uint8_t)i->imm);
    rvx_set(x, i->rd, H_RAX);
    return true;
}

static void set_from_carry(struct rvx *x, unsigned rd)
{
    asm_insn_reg(x->cb, 1, ASM_0F | 0x90 | CC_B, 0, H_RAX);
    asm_insn_reg(x->cb, 4, ASM_0F | 0xb6, H_RAX, H_RAX);
    rvx_set(x, rd, H_RAX);
}

static bool extract_bit(struct rvx *x, const struct riscv_insn *i, unsigned arg)
{
    unsigned a = rvx_use(x, i->rs1, H_RAX);
    if (arg) {
        asm_insn_reg(x->cb, 8, OP_BT_IMM, 4, a);
        codebuf_put1(x->cb, (uint8_t)i->imm);
    } else {
        asm_insn_reg(x->cb, 8, ASM_0F | OP_BT, rvx_use(x, i->rs2, H_RCX), a);
    }
    set_from_carry(x, i->rd);
    return true;
}

#define UNARY(size, op) ((unsigned)(size) << 24 | (op))

const struct rvx_rule rvx_bit_rules[] = {
    { rv_sh1add, shift_add, 1 },
    { rv_sh2add, shift_add, 2 },
    { rv_sh3add, shift_add, 3 },
    { rv_add_uw, shift_add, 0 | UNSIGNED_WORD },
    { rv_sh1add_uw, shift_add, 1 | UNSIGNED_WORD },
    { rv_sh2add_uw, shift_add, 2 | UNSIGNED_WORD },
    { rv_sh3add_uw, shift_add, 3 | UNSIGNED_WORD },
    { rv_slli_uw, slli_uw, 0 },
    { rv_andn, invert, HOST_AND },
    { rv_orn, invert, HOST_OR },
    { rv_xnor, invert, HOST_XOR },
    { rv_clz, unary, UNARY(8, OP_LZCNT) },
    { rv_ctz, unary, UNARY(8, OP_TZCNT) },
    { rv_cpop, unary, UNARY(8, OP_POPCNT) },
    { rv_clzw, unary, UNARY(4, OP_LZCNT) },
    { rv_ctzw, unary, UNARY(4, OP_TZCNT) },
    { rv_cpopw, unary, UNARY(4, OP_POPCNT) },
    { rv_sext_b, unary, UNARY(8, OP_MOVSX8) },
    { rv_sext_h, unary, UNARY(8, OP_MOVSX16) },
    { rv_zext_h, unary, UNARY(4, OP_MOVZX16) },
    { rv_max, min_max, CC_L },
    { rv_maxu, min_max, CC_B },
    { rv_min, min_max, CC_G },
    { rv_minu, min_max, CC_A },
    { rv_rol, rotate, 0 },
    { rv_ror, rotate, 1 },
    { rv_rolw, rotate, 0 | WORD },
    { rv_rorw, rotate, 1 | WORD },
    { rv_rori, rotate_imm, 0 },
    { rv_roriw, rotate_imm, WORD },
    { rv_rev8, byte_swap, 0 },
    { rv_bset, change_bit, OP_BTS },
    { rv_bclr, change_bit, OP_BTR },
    { rv_binv, change_bit, OP_BTC },
    { rv_bseti, change_bit_imm, 5 },
    { rv_bclri, change_bit_imm, 6 },
    { rv_binvi, change_bit_imm, 7 },
    { rv_bext, extract_bit, 0 },
    { rv_bexti, extract_bit, 1 },
};
const unsigned rvx_nr_bit_rules = ARRAY_SIZE(rvx_bit_rules);
