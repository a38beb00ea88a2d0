/* SPDX-License-Identifier: MIT */
/*
 * Translation of F and D: host SSE, AVX and FMA instructions, with the guest's rounding mode and flags in MXCSR.
 *
 * Only in modes with floating point: mstatus.FS is Dirty, and frm is a mode of the host's. What rounds as the instruction says,
 * not as frm does, is called out, but for conversions that truncate. A result that is a NaN is replaced by the canonical one, out
 * of line. A binary32 operand must be NaN-boxed: that is known of what this trace made, and checked of others; one that is not
 * goes to the interpreter. Spec: volume I chapters 20 to 22
 */
#include "base/checked.h"
#include "isa/riscv/insn_steps.h"
#include "isa/riscv/translate_emit.h"

enum { OP_MOVAPD = ASM_0F | ASM_66 | 0x28, OP_MOVSD_LOAD = ASM_0F | ASM_F2 | 0x10, OP_MOVSD_STORE = ASM_0F | ASM_F2 | 0x11 };
enum { OP_MOVSS_LOAD = ASM_0F | ASM_F3 | 0x10, OP_MOVSS_STORE = ASM_0F | ASM_F3 | 0x11 };
enum {
    OP_ORPD = ASM_0F | ASM_66 | 0x56,
    OP_ANDPD = ASM_0F | ASM_66 | 0x54,
    OP_ANDNPD = ASM_0F | ASM_66 | 0x55,
    OP_XORPD = ASM_0F | ASM_66 | 0x57
};
enum { OP_UCOMIS = ASM_0F | 0x2e, OP_COMIS = ASM_0F | 0x2f, OP_PEXTRD = ASM_0F3A | ASM_66 | 0x16 };
enum { OP_CVTT_INT = ASM_0F | 0x2c, OP_CVT_INT = ASM_0F | 0x2d, OP_CVT_FROM_INT = ASM_0F | 0x2a, OP_CVT_FLOAT = ASM_0F | 0x5a };
enum { OP_MOVQ_OUT = ASM_0F | ASM_66 | 0x7e, OP_MOVQ_IN = ASM_0F | ASM_66 | 0x6e };
enum { X0, X1 };
enum { SINGLE = 0x10000 }; /* of the rules' arg */

static unsigned scalar(bool single)
{
    return single ? ASM_F3 : ASM_F2;
}

/* ---- operands ---- */

/* A value that is not NaN-boxed goes to the interpreter. */
static void need_box(struct rvx *x, unsigned f)
{
    if (x->boxed >> f & 1)
        return;
    if (f_host(f) == IN_MEMORY) {
        struct host_mem m = f_mem(f);
        m.disp += 4;
        asm_alu_mem_imm(x->cb, HOST_CMP, 4, m, -1);
    } else {
        rvx_vec_reg(x->cb, 0, OP_PEXTRD, f_host(f), 0, H_RAX);
        codebuf_put1(x->cb, 1);
        asm_alu_imm(x->cb, HOST_CMP, 4, HOST_RAX, -1);
    }
    struct rvx_tail *t = rvx_tail(x, RVX_STEP, asm_jcc(x->cb, CC_NE, NULL));
    if (t)
        t->insns = rvx_uncounted(x, false);
    x->boxed |= 1U << f;
}

static void need_boxes(struct rvx *x, bool single, unsigned a, unsigned b)
{
    if (single) {
        need_box(x, a);
        need_box(x, b);
    }
}

/* The vector register with a guest one's 64 bits. */
static unsigned use(struct rvx *x, unsigned f, unsigned scratch)
{
    if (f_host(f) != IN_MEMORY)
        return f_host(f);
    rvx_vec_mem(x->cb, 0, OP_MOVSD_LOAD, scratch, 0, f_mem(f));
    return scratch;
}

static void get(struct rvx *x, unsigned host, unsigned f)
{
    unsigned v = use(x, f, host);
    if (v != host)
        rvx_vec_reg(x->cb, 0, OP_MOVAPD, host, 0, v);
}

static unsigned dst(unsigned f)
{
    return f_host(f) == IN_MEMORY ? (unsigned)X0 : f_host(f);
}

static void set(struct rvx *x, unsigned f, unsigned host, bool boxed)
{
    x->boxed = (x->boxed & ~(1U << f)) | (uint32_t)boxed << f;
    if (f_host(f) == IN_MEMORY)
        rvx_vec_mem(x->cb, 0, OP_MOVSD_STORE, host, 0, f_mem(f));
    else if (f_host(f) != host)
        rvx_vec_reg(x->cb, 0, OP_MOVAPD, f_host(f), 0, host);
}

/* op d, a, [b] */
static void op_with(struct rvx *x, unsigned w, unsigned op, unsigned d, unsigned a, unsigned b)
{
    if (f_host(b) == IN_MEMORY)
        rvx_vec_mem(x->cb, w, op, d, a, f_mem(b));
    else
        rvx_vec_reg(x->cb, w, op, d, a, f_host(b));
}

/* op d, a, constant in the frame */
static void op_constant(struct rvx *x, unsigned op, unsigned d, unsigned a, int32_t at)
{
    rvx_vec_mem(x->cb, 0, op, d, a, at_rbp(at));
}

/* Makes a NaN the canonical one. Comparing a quiet NaN quietly raises nothing. */
static void canonical(struct rvx *x, unsigned host, bool single)
{
    rvx_vec_reg(x->cb, 0, OP_UCOMIS | (single ? 0 : ASM_66), host, 0, host);
    struct rvx_tail *t = rvx_tail(x, RVX_NAN, asm_jcc(x->cb, CC_P, NULL));
    if (t) {
        t->again = x->cb->pos;
        t->reg = (uint8_t)host;
        t->single = single;
    }
}

/* The instruction rounds as frm says. */
static bool dynamic(const struct riscv_insn *i)
{
    return i->rm == RM_DYN;
}

/* The rounding mode is none; such an instruction is illegal even if it never rounds. */
static bool reserved(const struct riscv_insn *i)
{
    return i->rm > RM_RMM && !dynamic(i);
}

/* ---- arithmetic ---- */

static bool arith(struct rvx *x, const struct riscv_insn *i, unsigned arg)
{
    bool single = arg & SINGLE;
    unsigned d = dst(i->rd);
    if (!x->fp || !dynamic(i))
        return false;
    need_boxes(x, single, i->rs1, i->rs2);
    op_with(x, 0, ASM_0F | scalar(single) | (arg & 0xff), d, use(x, i->rs1, X0), i->rs2);
    canonical(x, d, single);
    set(x, i->rd, d, single);
    return true;
}

static bool root(struct rvx *x, const struct riscv_insn *i, unsigned arg)
{
    bool single = arg & SINGLE;
    unsigned d = dst(i->rd);
    if (!x->fp || !dynamic(i))
        return false;
    need_boxes(x, single, i->rs1, i->rs1);
    unsigned a = use(x, i->rs1, X0);
    rvx_vec_reg(x->cb, 0, ASM_0F | scalar(single) | 0x51, d, a, a);
    canonical(x, d, single);
    set(x, i->rd, d, single);
    return true;
}

/* arg: opcode of the form that computes operand 1 = operand 2 * operand 1 +- operand 3. A NaN is the interpreter's: the host does
 * not raise NV for infinity times 0 when a NaN is added. */
static bool fused(struct rvx *x, const struct riscv_insn *i, unsigned arg)
{
    bool single = arg & SINGLE;
    if (!x->fp || !dynamic(i))
        return false;
    need_boxes(x, single, i->rs1, i->rs2);
    need_boxes(x, single, i->rs3, i->rs3);
    get(x, X0, i->rs1);
    op_with(x, !single, ASM_0F38 | ASM_66 | (arg & 0xff), X0, use(x, i->rs2, X1), i->rs3);
    rvx_vec_reg(x->cb, 0, OP_UCOMIS | (single ? 0 : ASM_66), X0, 0, X0);
    struct rvx_tail *t = rvx_tail(x, RVX_STEP, asm_jcc(x->cb, CC_P, NULL));
    if (t)
        t->insns = rvx_uncounted(x, false);
    set(x, i->rd, X0, single);
    return true;
}

/* ---- signs, comparisons ---- */

enum { SIGN_TAKE, SIGN_NEGATE, SIGN_XOR };

static bool sign(struct rvx *x, const struct riscv_insn *i, unsigned arg)
{
    bool single = arg & SINGLE;
    int32_t sign_at = single ? FRAME(shared.sign32) : FRAME(shared.sign64),
            abs_at = single ? FRAME(shared.abs32) : FRAME(shared.abs64);
    unsigned kind = arg & 3, d = dst(i->rd);
    if (!x->fp)
        return false;
    need_boxes(x, single, i->rs1, i->rs2);
    if (i->rs1 == i->rs2) { /* a move, a negation, the absolute value */
        unsigned a = use(x, i->rs1, d);
        if (kind == SIGN_NEGATE)
            op_constant(x, OP_XORPD, d, a, sign_at);
        else if (kind == SIGN_XOR)
            op_constant(x, OP_ANDPD, d, a, abs_at);
        else
            d = a;
        set(x, i->rd, d, single);
        return true;
    }
    op_constant(x, OP_ANDPD, X1, use(x, i->rs2, X1), sign_at); /* the sign of b */
    if (kind == SIGN_NEGATE)
        op_constant(x, OP_XORPD, X1, X1, sign_at);
    unsigned a = use(x, i->rs1, X0);
    if (kind != SIGN_XOR) {
        op_constant(x, OP_ANDPD, X0, a, abs_at);
        a = X0;
    }
    rvx_vec_reg(x->cb, 0, kind == SIGN_XOR ? OP_XORPD : OP_ORPD, d, a, X1);
    set(x, i->rd, d, single);
    return true;
}

/* arg: CC_A and CC_AE compare b with a, so that what is unordered is false; CC_E */
static bool compare(struct rvx *x, const struct riscv_insn *i, unsigned arg)
{
    bool single = arg & SINGLE, equal = (arg & 15) == CC_E;
    unsigned prefix = single ? 0 : ASM_66, a = equal ? i->rs1 : i->rs2, b = equal ? i->rs2 : i->rs1;
    if (!x->fp)
        return false;
    need_boxes(x, single, a, b);
    op_with(x, 0, (equal ? OP_UCOMIS : OP_COMIS) | prefix, use(x, a, X0), 0, b);
    asm_insn_reg(x->cb, 1, ASM_0F | 0x90 | (arg & 15), 0, H_RAX);
    if (equal) { /* unordered sets ZF, too */
        asm_insn_reg(x->cb, 1, ASM_0F | 0x90 | CC_NP, 0, H_RCX);
        asm_alu(x->cb, HOST_AND, 4, HOST_RAX, HOST_RCX);
    }
    asm_insn_reg(x->cb, 4, ASM_0F | 0xb6, H_RAX, H_RAX);
    rvx_set(x, i->rd, H_RAX);
    return true;
}

/* ---- conversions, moves ---- */

enum { LONG = 1 };

/* To int32_t or int64_t. What the host cannot convert comes out as the smallest integer: then the interpreter does it. */
static bool to_int(struct rvx *x, const struct riscv_insn *i, unsigned arg)
{
    bool single = arg & SINGLE, truncates = i->rm == RM_RTZ;
    unsigned size = arg & LONG ? 8 : 4;
    if (!x->fp || (!truncates && !dynamic(i)))
        return false;
    need_boxes(x, single, i->rs1, i->rs1);
    unsigned op = (truncates ? OP_CVTT_INT : OP_CVT_INT) | scalar(single);
    rvx_vec_reg(x->cb, size == 8, op, H_RAX, 0, use(x, i->rs1, X0));
    asm_alu_imm(x->cb, HOST_CMP, size, HOST_RAX, 1); /* overflows for the smallest integer only */
    struct rvx_tail *t = rvx_tail(x, RVX_STEP, asm_jcc(x->cb, CC_O, NULL));
    if (t)
        t->insns = rvx_uncounted(x, false);
    if (size == 4)
        asm_insn_reg(x->cb, 8, 0x63, H_RAX, H_RAX);
    rvx_set(x, i->rd, H_RAX);
    return true;
}

static void box(struct rvx *x, unsigned f, unsigned host)
{
    unsigned d = dst(f);
    op_constant(x, OP_ORPD, d, host, FRAME(shared.box));
    set(x, f, d, true);
}

enum { FROM_W, FROM_L, FROM_WU };

static bool from_int(struct rvx *x, const struct riscv_insn *i, unsigned arg)
{
    bool single = arg & SINGLE, exact = !single && (arg & 3) != FROM_L;
    if (!x->fp || reserved(i) || (!exact && !dynamic(i)))
        return false;
    unsigned a = rvx_use(x, i->rs1, H_RAX);
    if ((arg & 3) == FROM_WU) {
        asm_mov(x->cb, 4, HOST_RAX, hg(a));
        a = H_RAX;
    }
    rvx_vec_reg(x->cb, 0, OP_XORPD, X0, X0, X0);
    rvx_vec_reg(x->cb, (arg & 3) != FROM_W, OP_CVT_FROM_INT | scalar(single), X0, X0, a);
    if (single)
        box(x, i->rd, X0);
    else
        set(x, i->rd, X0, false);
    return true;
}

static bool convert(struct rvx *x, const struct riscv_insn *i, unsigned arg)
{
    bool to_single = arg & SINGLE;
    if (!x->fp || reserved(i) || (to_single && !dynamic(i)))
        return false;
    if (!to_single)
        need_box(x, i->rs1);
    unsigned a = use(x, i->rs1, X0);
    rvx_vec_reg(x->cb, 0, OP_CVT_FLOAT | scalar(!to_single), X0, a, a);
    canonical(x, X0, to_single);
    if (to_single)
        box(x, i->rd, X0);
    else
        set(x, i->rd, X0, false);
    return true;
}

static bool move_out(struct rvx *x, const struct riscv_insn *i, unsigned arg)
{
    if (!x->fp)
        return false;
    rvx_vec_reg(x->cb, 1, OP_MOVQ_OUT, use(x, i->rs1, X0), 0, H_RAX);
    if (arg & SINGLE)
        asm_insn_reg(x->cb, 8, 0x63, H_RAX, H_RAX);
    rvx_set(x, i->rd, H_RAX);
    return true;
}

static bool move_in(struct rvx *x, const struct riscv_insn *i, unsigned arg)
{
    if (!x->fp)
        return false;
    rvx_vec_reg(x->cb, 1, OP_MOVQ_IN, X0, 0, rvx_use(x, i->rs1, H_RAX));
    if (arg & SINGLE)
        box(x, i->rd, X0);
    else
        set(x, i->rd, X0, false);
    return true;
}

/* ---- memory ---- */

static bool load(struct rvx *x, const struct riscv_insn *i, unsigned arg)
{
    bool single = arg & SINGLE;
    unsigned d = dst(i->rd);
    if (!x->fp)
        return false;
    struct host_mem m = rvx_access(x, i->rs1, i->imm, single ? 4 : 8, RISCV_READ);
    if (single)
        d = X0;
    rvx_vec_mem(x->cb, 0, single ? OP_MOVSS_LOAD : OP_MOVSD_LOAD, d, 0, m);
    if (single)
        box(x, i->rd, d);
    else
        set(x, i->rd, d, false);
    return true;
}

/* In a mode without floating point, f[] is in memory; storing needs that FS is not Off, and does not make it Dirty. */
static bool store_of_memory(struct rvx *x, const struct riscv_insn *i, unsigned size)
{
    const int32_t status[] = { FRAME(cpu.mstatus), FRAME(cpu.hyp.vsstatus) };
    for (unsigned k = 0; k < (x->code->tlb->guest ? 2 : 1); k++) {
        asm_insn_mem(x->cb, 4, 0xf7, 0, at_rbp(status[k])); /* test dword [], imm32 */
        codebuf_put4(x->cb, MSTATUS_FS);
        struct rvx_tail *t = rvx_tail(x, RVX_STEP, asm_jcc(x->cb, CC_E, NULL));
        if (t)
            t->insns = rvx_uncounted(x, false);
    }
    struct host_mem m = rvx_access(x, i->rs1, i->imm, size, RISCV_WRITE);
    asm_load(x->cb, size, HOST_RCX, f_mem(i->rs2));
    asm_store(x->cb, size, m, HOST_RCX);
    return true;
}

static bool store(struct rvx *x, const struct riscv_insn *i, unsigned arg)
{
    bool single = arg & SINGLE;
    if (!x->fp)
        return store_of_memory(x, i, single ? 4 : 8);
    struct host_mem m = rvx_access(x, i->rs1, i->imm, single ? 4 : 8, RISCV_WRITE);
    rvx_vec_mem(x->cb, 0, single ? OP_MOVSS_STORE : OP_MOVSD_STORE, use(x, i->rs2, X0), 0, m);
    return true;
}

#define BOTH(name, emit, arg)                                                                                                    \
    { rv_##name##_d, emit, (arg) },                                                                                              \
    {                                                                                                                            \
        rv_##name##_s, emit, (arg) | SINGLE                                                                                      \
    }

const struct rvx_rule rvx_fp_rules[] = {
    BOTH(fadd, arith, 0x58),
    BOTH(fsub, arith, 0x5c),
    BOTH(fmul, arith, 0x59),
    BOTH(fdiv, arith, 0x5e),
    BOTH(fsqrt, root, 0),
    BOTH(fmadd, fused, 0xa9),
    BOTH(fmsub, fused, 0xab),
    BOTH(fnmsub, fused, 0xad), /* -(a * b) + c */
    BOTH(fnmadd, fused, 0xaf), /* -(a * b) - c */
    BOTH(fsgnj, sign, SIGN_TAKE),
    BOTH(fsgnjn, sign, SIGN_NEGATE),
    BOTH(fsgnjx, sign, SIGN_XOR),
    BOTH(feq, compare, CC_E),
    BOTH(flt, compare, CC_A),
    BOTH(fle, compare, CC_AE),
    BOTH(fcvt_w, to_int, 0),
    BOTH(fcvt_l, to_int, LONG),
    { rv_fcvt_d_w, from_int, FROM_W },
    { rv_fcvt_d_wu, from_int, FROM_WU },
    { rv_fcvt_d_l, from_int, FROM_L },
    { rv_fcvt_s_w, from_int, FROM_W | SINGLE },
    { rv_fcvt_s_wu, from_int, FROM_WU | SINGLE },
    { rv_fcvt_s_l, from_int, FROM_L | SINGLE },
    { rv_fcvt_s_d, convert, SINGLE },
    { rv_fcvt_d_s, convert, 0 },
    { rv_fmv_x_d, move_out, 0 },
    { rv_fmv_x_w, move_out, SINGLE },
    { rv_fmv_d_x, move_in, 0 },
    { rv_fmv_w_x, move_in, SINGLE },
    { rv_fld, load, 0 },
    { rv_flw, load, SINGLE },
    { rv_fsd, store, 0 },
    { rv_fsw, store, SINGLE },
};
const unsigned rvx_nr_fp_rules = ARRAY_SIZE(rvx_fp_rules);
