/* SPDX-License-Identifier: MIT */
/*
 * Translation of integer arithmetic: I, M, Zicond, and the comparisons of branches. The bits' extensions are in translate_bit.c.
 */
#include "base/checked.h"
#include "isa/riscv/insn_steps.h"
#include "isa/riscv/translate_emit.h"

enum {
    OP_MOVSXD = 0x63,
    OP_SHIFT_IMM = 0xc1,
    OP_GRP3 = 0xf7,
    OP_IMUL = ASM_0F | 0xaf,
    OP_TEST = 0x85,
    OP_MOV_R_RM = 0x8b,
    OP_MOVZX8 = ASM_0F | 0xb6,
    OP_MOVZX16 = ASM_0F | 0xb7,
    OP_MOVSX8 = ASM_0F | 0xbe,
    OP_MOVSX16 = ASM_0F | 0xbf,
    OP_ANDN = ASM_0F38 | 0xf2
};
enum { GRP3_NEG = 3, GRP3_MUL = 4, GRP3_IMUL = 5, GRP3_DIV = 6, GRP3_IDIV = 7 };
enum { SHIFT_SHL = 4, SHIFT_SHR = 5, SHIFT_SAR = 7 };
enum { OP_SHLX = ASM_0F38 | ASM_66 | 0xf7, OP_SHRX = ASM_0F38 | ASM_F2 | 0xf7, OP_SARX = ASM_0F38 | ASM_F3 | 0xf7 };
enum { WORD = 0x100 }; /* of the rules' arg: 32 bits, sign-extended */

/* rd = the low 32 bits of a host register, sign-extended. */
static void set_word(struct rvx *x, unsigned rd, unsigned host)
{
    if (!rd)
        return;
    unsigned d = rvx_dst(x, rd);
    asm_insn_reg(x->cb, 8, OP_MOVSXD, d, host);
    rvx_set(x, rd, d);
}

static void set_result(struct rvx *x, unsigned rd, unsigned host, bool word)
{
    if (word)
        set_word(x, rd, host);
    else
        rvx_set(x, rd, host);
}

/* ---- registers ---- */

/* and, or, xor, sub, add in place. */
static bool binary(struct rvx *x, const struct riscv_insn *i, unsigned arg)
{
    enum host_alu op = arg & 7;
    bool word = arg & WORD;
    unsigned size = word ? 4 : 8, a = i->rs1, b = i->rs2, d = word ? H_RAX : rvx_dst(x, i->rd);
    if (!i->rd)
        return true;
    if (op != HOST_SUB && d == x_host(b)) { /* the others commute */
        a = i->rs2;
        b = i->rs1;
    }
    if (d == x_host(b) && b != a)
        d = H_RAX;
    if (!word && a == i->rd && x_host(a) == IN_MEMORY && a != b) {
        unsigned v = rvx_use(x, b, H_RAX);
        rvx_changes(x, i->rd);
        asm_alu_mem(x->cb, op, 8, x_mem(a), hg(v));
        return true;
    }
    rvx_get(x, d, a);
    rvx_alu_guest(x, op, size, d, b);
    set_result(x, i->rd, d, word);
    return true;
}

static void move(struct rvx *x, unsigned rd, unsigned rs)
{
    if (x->known >> rs & 1) {
        rvx_set_imm(x, rd, x->known_value[rs]);
    } else if (rd && rd != rs) {
        rvx_set(x, rd, rvx_use(x, rs, rvx_dst(x, rd)));
    }
}

static bool add(struct rvx *x, const struct riscv_insn *i, unsigned arg)
{
    bool word = arg & WORD;
    if (!word && i->rs1 == 0 && i->rs2 == 0) {
        rvx_set_imm(x, i->rd, 0);
        return true;
    }
    if (!word && (i->rs1 == 0 || i->rs2 == 0)) {
        move(x, i->rd, i->rs1 + i->rs2);
        return true;
    }
    unsigned a = x_host(i->rs1), b = x_host(i->rs2), d = word ? H_RAX : x_host(i->rd);
    if (!i->rd || a == IN_MEMORY || b == IN_MEMORY || d == a || d == b || d == IN_MEMORY)
        return binary(x, i, arg);
    rvx_lea_sib(x, word ? 4 : 8, d, a, b, 1);
    set_result(x, i->rd, d, word);
    return true;
}

/* Flags of a comparison of two guest registers, or with imm where b is NO_REG. */
enum { NO_REG = 32 };
static void compare(struct rvx *x, unsigned a, unsigned b, int32_t imm, unsigned scratch)
{
    if (b != NO_REG && b != 0)
        rvx_alu_guest(x, HOST_CMP, 8, rvx_use(x, a, scratch), b);
    else if (x_host(a) == IN_MEMORY && a)
        asm_alu_mem_imm(x->cb, HOST_CMP, 8, x_mem(a), imm);
    else if (imm == 0 && a)
        asm_insn_reg(x->cb, 8, OP_TEST, x_host(a), x_host(a));
    else
        asm_alu_imm(x->cb, HOST_CMP, 8, hg(rvx_use(x, a, scratch)), imm);
}

/* rd = a cc b, or imm. */
static bool set_if(struct rvx *x, unsigned rd, unsigned a, unsigned b, int32_t imm, unsigned cc)
{
    unsigned d = rvx_dst(x, rd);
    bool apart = d != x_host(a) && (b == NO_REG || d != x_host(b));
    if (!rd)
        return true;
    if (apart) /* cleared before, not extended after */
        asm_alu(x->cb, HOST_XOR, 4, hg(d), hg(d));
    compare(x, a, b, imm, H_RCX);
    asm_insn_reg(x->cb, 1, ASM_0F | 0x90 | cc, 0, apart ? d : H_RAX);
    if (!apart)
        asm_insn_reg(x->cb, 4, OP_MOVZX8, d, H_RAX);
    rvx_set(x, rd, d);
    return true;
}

static bool compare_set(struct rvx *x, const struct riscv_insn *i, unsigned arg)
{
    if (i->rs1 == 0) /* is it not 0, or above 0? */
        return set_if(x, i->rd, i->rs2, NO_REG, 0, arg == CC_B ? CC_NE : CC_G);
    return set_if(x, i->rd, i->rs1, i->rs2, 0, arg);
}

/* shlx d, a, count and the like take the count modulo 32 or 64, as RISC-V does. */
static bool shift(struct rvx *x, const struct riscv_insn *i, unsigned arg)
{
    static const unsigned ops[] = { OP_SHLX, OP_SHRX, OP_SARX };
    bool word = arg & WORD;
    if (!i->rd)
        return true;
    unsigned a = rvx_use(x, i->rs1, H_RAX), b = rvx_use(x, i->rs2, H_RCX), d = word ? H_RAX : rvx_dst(x, i->rd);
    asm_vex_reg(x->cb, !word, ops[arg & 3], d, b, a);
    set_result(x, i->rd, d, word);
    return true;
}

/* ---- immediates ---- */

/* The base of a group of accesses moves by a constant: the group stays. */
static void step_base(struct rvx *x, unsigned guest, int32_t imm)
{
    bool on[RVX_GROUPS];
    for (unsigned n = 0; n < RVX_GROUPS; n++)
        on[n] = x->group[n].on && x->group[n].base == guest;
    rvx_changes(x, guest);
    for (unsigned n = 0; n < RVX_GROUPS; n++)
        if (on[n]) {
            x->group[n].on = true;
            x->group[n].delta += imm;
        }
}

static bool addi(struct rvx *x, const struct riscv_insn *i, unsigned arg)
{
    unsigned d = x_host(i->rd);
    (void)arg;
    if (!i->rd)
        return true;
    if (i->rs1 == 0 || (x->known >> i->rs1 & 1)) {
        rvx_set_imm(x, i->rd, (i->rs1 ? x->known_value[i->rs1] : 0) + (uint64_t)(int64_t)i->imm);
    } else if (i->imm == 0) {
        move(x, i->rd, i->rs1);
    } else if (i->rd == i->rs1) {
        step_base(x, i->rd, i->imm);
        if (d == IN_MEMORY)
            asm_alu_mem_imm(x->cb, HOST_ADD, 8, x_mem(i->rd), i->imm);
        else
            asm_alu_imm(x->cb, HOST_ADD, 8, hg(d), i->imm);
    } else {
        d = rvx_dst(x, i->rd);
        rvx_lea(x, 8, d, rvx_use(x, i->rs1, d), i->imm);
        rvx_set(x, i->rd, d);
    }
    return true;
}

static bool addiw(struct rvx *x, const struct riscv_insn *i, unsigned arg)
{
    (void)arg;
    if (i->rs1 == 0 || (x->known >> i->rs1 & 1)) {
        rvx_set_imm(x, i->rd, (uint64_t)(int32_t)((i->rs1 ? x->known_value[i->rs1] : 0) + (uint64_t)(int64_t)i->imm));
        return true;
    }
    unsigned a = rvx_use(x, i->rs1, H_RAX);
    if (i->imm == 0) {
        set_word(x, i->rd, a);
        return true;
    }
    rvx_lea(x, 4, H_RAX, a, i->imm);
    set_word(x, i->rd, H_RAX);
    return true;
}

/* not, and and behind it. */
static bool and_not(struct rvx *x, const struct riscv_insn *i)
{
    const struct rvx_insn *next = &x->insn[x->k + 1];
    unsigned rd = i->rd;
    if (x->k + 1 == x->nr || next->i.step != rv_and || next->enters || next->i.rd != rd
        || (next->i.rs1 != rd && next->i.rs2 != rd))
        return false;
    unsigned other = next->i.rs1 == rd ? next->i.rs2 : next->i.rs1;
    if (other == rd || other == 0)
        return false;
    unsigned d = rvx_dst(x, rd), a = rvx_use(x, i->rs1, H_RAX);
    if (x_host(other) == IN_MEMORY)
        asm_vex_mem(x->cb, 1, OP_ANDN, d, a, x_mem(other));
    else
        asm_vex_reg(x->cb, 1, OP_ANDN, d, a, x_host(other));
    rvx_set(x, rd, d);
    x->skip = 1;
    return true;
}

static bool binary_imm(struct rvx *x, const struct riscv_insn *i, unsigned arg)
{
    if (!i->rd)
        return true;
    if (arg == HOST_XOR && i->imm == -1 && i->rs1 && and_not(x, i))
        return true;
    if (arg == HOST_AND && i->imm == 0xff && i->rs1) { /* zero-extends a byte */
        unsigned a = rvx_use(x, i->rs1, H_RAX), d = rvx_dst(x, i->rd);
        asm_insn_reg(x->cb, a >= H_RSP ? 1 : 4, OP_MOVZX8, d, a);
        rvx_set(x, i->rd, d);
        return true;
    }
    if (i->rd == i->rs1 && x_host(i->rd) == IN_MEMORY) {
        rvx_changes(x, i->rd);
        asm_alu_mem_imm(x->cb, (enum host_alu)arg, 8, x_mem(i->rd), i->imm);
        return true;
    }
    unsigned d = rvx_dst(x, i->rd);
    rvx_get(x, d, i->rs1);
    asm_alu_imm(x->cb, (enum host_alu)arg, 8, hg(d), i->imm);
    rvx_set(x, i->rd, d);
    return true;
}

static bool compare_set_imm(struct rvx *x, const struct riscv_insn *i, unsigned arg)
{
    if (arg == CC_B && i->imm == 1)
        return set_if(x, i->rd, i->rs1, NO_REG, 0, CC_E);
    return set_if(x, i->rd, i->rs1, NO_REG, i->imm, arg);
}

static void put_shift(struct rvx *x, unsigned size, unsigned op, unsigned host, unsigned count)
{
    if (!count)
        return;
    asm_insn_reg(x->cb, size, OP_SHIFT_IMM, op, host);
    codebuf_put1(x->cb, (uint8_t)count);
}

/* The instruction behind the current one, if it takes rd and changes the same; NULL. It can be translated with this one. */
static const struct riscv_insn *partner(const struct rvx *x, unsigned rd)
{
    const struct rvx_insn *next = &x->insn[x->k + 1];
    return x->k + 1 < x->nr && !next->enters && next->i.rd == rd && next->i.rs1 == rd ? &next->i : NULL;
}

static void load_narrow(struct rvx *x, unsigned size, unsigned op, unsigned d, unsigned guest)
{
    if (x_host(guest) == IN_MEMORY)
        asm_insn_mem(x->cb, size, op, d, x_mem(guest));
    else
        asm_insn_reg(x->cb, size, op, d, x_host(guest));
}

/* slli with a shift back behind it is how code without Zba and Zbb extends what is narrower. Without flags in between: with srli
 * by 32 - n behind slli by 32, it multiplies by 2^n as well. */
static bool extends(struct rvx *x, const struct riscv_insn *i)
{
    const struct riscv_insn *next = partner(x, i->rd);
    unsigned d = rvx_dst(x, i->rd), by = (unsigned)i->imm;
    if (!next || (next->step != rv_srli && next->step != rv_srai))
        return false;
    bool is_signed = next->step == rv_srai;
    if (by == 32 && !is_signed && next->imm <= 32) {
        load_narrow(x, 4, OP_MOV_R_RM, d, i->rs1);
        put_shift(x, 8, SHIFT_SHL, d, 32U - (unsigned)next->imm);
    } else if (by == 48 && next->imm == 48) {
        load_narrow(x, 8, is_signed ? OP_MOVSX16 : OP_MOVZX16, d, i->rs1);
    } else if (by == 56 && next->imm == 56) {
        load_narrow(x, 8, is_signed ? OP_MOVSX8 : OP_MOVZX8, d, i->rs1);
    } else {
        return false;
    }
    rvx_set(x, i->rd, d);
    x->skip = 1;
    return true;
}

/* slli by 1 to 3 and add: an index and a base. */
static bool indexes(struct rvx *x, const struct riscv_insn *i)
{
    const struct rvx_insn *next = &x->insn[x->k + 1];
    unsigned rd = i->rd, base;
    if (i->imm < 1 || i->imm > 3 || x->k + 1 == x->nr || next->i.step != rv_add || next->enters || next->i.rd != rd)
        return false;
    base = next->i.rs1 == rd ? next->i.rs2 : next->i.rs1;
    if (base == rd || base == 0 || (next->i.rs1 != rd && next->i.rs2 != rd))
        return false;
    unsigned d = rvx_dst(x, rd), b = rvx_use(x, base, H_RCX), index = rvx_use(x, i->rs1, H_RAX);
    rvx_lea_sib(x, 8, d, b, index, 1U << i->imm);
    rvx_set(x, rd, d);
    x->skip = 1;
    return true;
}

/* What is shifted right as a word is extended as it is shifted, or before. */
static void shift_word_right(struct rvx *x, const struct riscv_insn *i, bool is_signed)
{
    unsigned d = rvx_dst(x, i->rd);
    if (is_signed)
        load_narrow(x, 8, OP_MOVSXD, d, i->rs1);
    else
        load_narrow(x, 4, OP_MOV_R_RM, d, i->rs1);
    put_shift(x, is_signed ? 8 : 4, is_signed ? SHIFT_SAR : SHIFT_SHR, d, (unsigned)i->imm & 31);
    rvx_set(x, i->rd, d);
}

static bool shift_imm(struct rvx *x, const struct riscv_insn *i, unsigned arg)
{
    static const uint8_t ops[] = { SHIFT_SHL, SHIFT_SHR, SHIFT_SAR };
    bool word = arg & WORD;
    if (!i->rd)
        return true;
    if (!word && (arg & 3) == 0 && i->rs1 && (extends(x, i) || indexes(x, i)))
        return true;
    if (word && i->rs1 && ((arg & 3) == 2 || ((arg & 3) == 1 && (i->imm & 31)))) {
        shift_word_right(x, i, (arg & 3) == 2);
        return true;
    }
    unsigned d = word ? H_RAX : rvx_dst(x, i->rd);
    rvx_get(x, d, i->rs1);
    put_shift(x, word ? 4 : 8, ops[arg & 3], d, (unsigned)i->imm & (word ? 31 : 63));
    set_result(x, i->rd, d, word);
    return true;
}

/* lui and auipc; an addi behind makes a constant of it. */
static bool lui(struct rvx *x, const struct riscv_insn *i, unsigned arg)
{
    const struct riscv_insn *next = partner(x, i->rd);
    uint64_t v = (arg ? x->insn[x->k].pc : 0) + (uint64_t)(int64_t)i->imm;
    if (next && i->rd && (next->step == rv_addi || next->step == rv_addiw)) {
        v += (uint64_t)(int64_t)next->imm;
        if (next->step == rv_addiw)
            v = (uint64_t)(int32_t)v;
        x->skip = 1;
    }
    rvx_set_imm(x, i->rd, v);
    return true;
}

/* ---- M ---- */

static bool multiply(struct rvx *x, const struct riscv_insn *i, unsigned arg)
{
    bool word = arg & WORD;
    if (!i->rd)
        return true;
    unsigned a = i->rs1, b = i->rs2, d = word ? H_RAX : rvx_dst(x, i->rd);
    if (d == x_host(b)) {
        a = i->rs2;
        b = i->rs1;
    }
    unsigned v = rvx_use(x, b, H_RCX);
    rvx_get(x, d, a);
    asm_insn_reg(x->cb, word ? 4 : 8, OP_IMUL, d, v);
    set_result(x, i->rd, d, word);
    return true;
}

static bool multiply_high(struct rvx *x, const struct riscv_insn *i, unsigned arg)
{
    unsigned b = rvx_use(x, i->rs2, H_RCX);
    rvx_get(x, H_RAX, i->rs1);
    x->group[0].on = false; /* rdx */
    asm_insn_reg(x->cb, 8, OP_GRP3, arg, b);
    rvx_set(x, i->rd, H_RDX);
    return true;
}

/* A short jump to be patched by land(). */
static size_t skip_if(struct rvx *x, unsigned cc)
{
    codebuf_put1(x->cb, (uint8_t)(0x70 | cc));
    codebuf_put1(x->cb, 0);
    return x->cb->pos - 1;
}

static size_t skip(struct rvx *x)
{
    codebuf_put1(x->cb, 0xeb);
    codebuf_put1(x->cb, 0);
    return x->cb->pos - 1;
}

static void land(struct rvx *x, size_t at)
{
    if (!x->cb->failed)
        x->cb->rw[at] = (uint8_t)(x->cb->pos - at - 1);
}

enum { DIV_SIGNED = 1, DIV_REM = 2 };

/* Division by 0, and by -1, which would trap on the host where it overflows: rax op rcx. Spec: volume I, table 11 */
static void divide_odd(struct rvx *x, unsigned size, bool is_signed, bool rem)
{
    size_t end = 0;
    if (is_signed) { /* by -1 */
        asm_insn_reg(x->cb, size, OP_TEST, H_RCX, H_RCX);
        size_t zero = skip_if(x, CC_E);
        if (rem)
            asm_alu(x->cb, HOST_XOR, 4, HOST_RDX, HOST_RDX);
        else
            asm_insn_reg(x->cb, size, OP_GRP3, GRP3_NEG, H_RAX);
        end = skip(x);
        land(x, zero);
    }
    if (rem)
        asm_mov(x->cb, size, HOST_RDX, HOST_RAX);
    else
        asm_mov_imm(x->cb, HOST_RAX, ~0ULL);
    if (is_signed)
        land(x, end);
}

static bool divide(struct rvx *x, const struct riscv_insn *i, unsigned arg)
{
    bool word = arg & WORD, is_signed = arg & DIV_SIGNED, rem = arg & DIV_REM;
    unsigned size = word ? 4 : 8;
    if (!i->rd)
        return true;
    x->group[0].on = false;
    rvx_get(x, H_RCX, i->rs2);
    rvx_get(x, H_RAX, i->rs1);
    if (is_signed) {
        rvx_lea(x, size, H_RDX, H_RCX, 1);
        asm_alu_imm(x->cb, HOST_CMP, size, HOST_RDX, 1);
    } else {
        asm_insn_reg(x->cb, size, OP_TEST, H_RCX, H_RCX);
    }
    size_t odd = skip_if(x, is_signed ? CC_BE : CC_E);
    if (is_signed) {
        if (!word)
            codebuf_put1(x->cb, 0x48);
        codebuf_put1(x->cb, 0x99); /* cdq, cqo */
    } else {
        asm_alu(x->cb, HOST_XOR, 4, HOST_RDX, HOST_RDX);
    }
    asm_insn_reg(x->cb, size, OP_GRP3, is_signed ? GRP3_IDIV : GRP3_DIV, H_RCX);
    size_t end = skip(x);
    land(x, odd);
    divide_odd(x, size, is_signed, rem);
    land(x, end);
    set_result(x, i->rd, rem ? H_RDX : H_RAX, word);
    return true;
}

/* rd = rs2 is zero (arg CC_E) or not ? 0 : rs1 */
static bool conditional_zero(struct rvx *x, const struct riscv_insn *i, unsigned arg)
{
    rvx_get(x, H_RAX, i->rs1);
    unsigned b = rvx_use(x, i->rs2, H_RCX);
    asm_insn_reg(x->cb, 8, OP_TEST, b, b);
    asm_mov_imm(x->cb, HOST_RCX, 0); /* mov leaves the flags */
    asm_insn_reg(x->cb, 8, ASM_0F | 0x40 | arg, H_RAX, H_RCX);
    rvx_set(x, i->rd, H_RAX);
    return true;
}

bool rvx_compare(struct rvx *x, const struct riscv_insn *i, enum host_cc *ret_cc)
{
    static const struct {
        riscv_step_fn step;
        uint8_t cc, swapped;
    } branch[] = { { rv_beq, CC_E, CC_E },   { rv_bne, CC_NE, CC_NE }, { rv_blt, CC_L, CC_G },
                   { rv_bge, CC_GE, CC_LE }, { rv_bltu, CC_B, CC_A },  { rv_bgeu, CC_AE, CC_BE } };
    for (unsigned k = 0; k < ARRAY_SIZE(branch); k++) {
        if (branch[k].step != i->step)
            continue;
        bool swap = i->rs1 == 0 || (x_host(i->rs1) == IN_MEMORY && x_host(i->rs2) != IN_MEMORY && i->rs2);
        unsigned a = swap ? i->rs2 : i->rs1, b = swap ? i->rs1 : i->rs2;
        *ret_cc = (enum host_cc)(swap ? branch[k].swapped : branch[k].cc);
        if (b == 0 && x_host(a) != IN_MEMORY)
            asm_insn_reg(x->cb, 8, OP_TEST, x_host(a), x_host(a));
        else if (b == 0 && a)
            asm_alu_mem_imm(x->cb, HOST_CMP, 8, x_mem(a), 0);
        else
            rvx_alu_guest(x, HOST_CMP, 8, rvx_use(x, a, H_RAX), b);
        return true;
    }
    return false;
}

const struct rvx_rule rvx_int_rules[] = {
    { rv_add, add, HOST_ADD },
    { rv_addw, add, HOST_ADD | WORD },
    { rv_sub, binary, HOST_SUB },
    { rv_subw, binary, HOST_SUB | WORD },
    { rv_and, binary, HOST_AND },
    { rv_or, binary, HOST_OR },
    { rv_xor, binary, HOST_XOR },
    { rv_slt, compare_set, CC_L },
    { rv_sltu, compare_set, CC_B },
    { rv_sll, shift, 0 },
    { rv_srl, shift, 1 },
    { rv_sra, shift, 2 },
    { rv_sllw, shift, 0 | WORD },
    { rv_srlw, shift, 1 | WORD },
    { rv_sraw, shift, 2 | WORD },
    { rv_addi, addi, 0 },
    { rv_addiw, addiw, 0 },
    { rv_andi, binary_imm, HOST_AND },
    { rv_ori, binary_imm, HOST_OR },
    { rv_xori, binary_imm, HOST_XOR },
    { rv_slti, compare_set_imm, CC_L },
    { rv_sltiu, compare_set_imm, CC_B },
    { rv_slli, shift_imm, 0 },
    { rv_srli, shift_imm, 1 },
    { rv_srai, shift_imm, 2 },
    { rv_slliw, shift_imm, 0 | WORD },
    { rv_srliw, shift_imm, 1 | WORD },
    { rv_sraiw, shift_imm, 2 | WORD },
    { rv_lui, lui, 0 },
    { rv_auipc, lui, 1 },
    { rv_mul, multiply, 0 },
    { rv_mulw, multiply, WORD },
    { rv_mulh, multiply_high, GRP3_IMUL },
    { rv_mulhu, multiply_high, GRP3_MUL },
    { rv_div, divide, DIV_SIGNED },
    { rv_divu, divide, 0 },
    { rv_rem, divide, DIV_SIGNED | DIV_REM },
    { rv_remu, divide, DIV_REM },
    { rv_divw, divide, DIV_SIGNED | WORD },
    { rv_divuw, divide, WORD },
    { rv_remw, divide, DIV_SIGNED | DIV_REM | WORD },
    { rv_remuw, divide, DIV_REM | WORD },
    { rv_czero_eqz, conditional_zero, CC_E },
    { rv_czero_nez, conditional_zero, CC_NE },
};
const unsigned rvx_nr_int_rules = ARRAY_SIZE(rvx_int_rules);
