/* SPDX-License-Identifier: MIT */
/*
 * Translation of vector instructions on integers: arithmetic in one width, comparisons, mask logic, moves to and from x
 * registers. What changes widths, and reductions, are in translate_vec_width.c.
 *
 * Bytes that the host cannot multiply or shift are done as words. Spec: volume I 30.11, 30.15, 30.16
 */
#include "base/checked.h"
#include "isa/riscv/insn_steps.h"
#include "isa/riscv/translate_vec.h"

enum { OP_VMOVD_IN = ASM_0F | ASM_66 | 0x6e, OP_PMOVZXBW = ASM_0F38 | ASM_66 | 0x30, OP_PMOVSXBW = ASM_0F38 | ASM_66 | 0x20 };
enum { OP_VPMOVWB = ASM_0F38 | ASM_F3 | 0x30, OP_PMULLW = ASM_0F | ASM_66 | 0xd5, OP_KMOV_TO = ASM_0F | ASM_F2 | 0x93 };
enum { M0F = ASM_0F | ASM_66, M38 = ASM_0F38 | ASM_66, W1 = 1 << 16, EVEX_ONLY = 1 << 17 };

/* How the third operand comes. */
enum { VV, VX, VI };

enum kind { PLAIN, REVERSED, SHIFT, MULTIPLY, MACC, NMSAC, MADD, NMSUB, MERGE, MOVE };

/* An operation; opcodes by SEW, 0 where it has none, or goes by words. Shifts: by the same count for all; `each` by each its own.
 */
static const struct operation {
    uint8_t kind;
    uint32_t op[4];
    uint32_t each[4];
} operations[] = {
#define Q(op) ((op) | W1)
#define QE(op) ((op) | W1 | EVEX_ONLY)
    { PLAIN, { M0F | 0xfc, M0F | 0xfd, M0F | 0xfe, Q(M0F | 0xd4) }, { 0 } }, /* add */
    { PLAIN, { M0F | 0xf8, M0F | 0xf9, M0F | 0xfa, Q(M0F | 0xfb) }, { 0 } }, /* sub */
    { REVERSED, { M0F | 0xf8, M0F | 0xf9, M0F | 0xfa, Q(M0F | 0xfb) }, { 0 } },
    { PLAIN, { M0F | 0xdb, M0F | 0xdb, M0F | 0xdb, M0F | 0xdb }, { 0 } },     /* and */
    { PLAIN, { M0F | 0xeb, M0F | 0xeb, M0F | 0xeb, M0F | 0xeb }, { 0 } },     /* or */
    { PLAIN, { M0F | 0xef, M0F | 0xef, M0F | 0xef, M0F | 0xef }, { 0 } },     /* xor */
    { PLAIN, { M0F | 0xda, M38 | 0x3a, M38 | 0x3b, QE(M38 | 0x3b) }, { 0 } }, /* minu */
    { PLAIN, { M38 | 0x38, M0F | 0xea, M38 | 0x39, QE(M38 | 0x39) }, { 0 } }, /* min */
    { PLAIN, { M0F | 0xde, M38 | 0x3e, M38 | 0x3f, QE(M38 | 0x3f) }, { 0 } }, /* maxu */
    { PLAIN, { M38 | 0x3c, M0F | 0xee, M38 | 0x3d, QE(M38 | 0x3d) }, { 0 } }, /* max */
    { SHIFT, { M0F | 0xf1, M0F | 0xf1, M0F | 0xf2, M0F | 0xf3 }, { Q(M38 | 0x12), Q(M38 | 0x12), M38 | 0x47, Q(M38 | 0x47) } },
    { SHIFT, { M0F | 0xd1, M0F | 0xd1, M0F | 0xd2, M0F | 0xd3 }, { Q(M38 | 0x10), Q(M38 | 0x10), M38 | 0x45, Q(M38 | 0x45) } },
    { SHIFT,
      { M0F | 0xe1, M0F | 0xe1, M0F | 0xe2, QE(M0F | 0xe2) },
      { Q(M38 | 0x11), Q(M38 | 0x11), M38 | 0x46, Q(M38 | 0x46) } },
#define MUL                                                                                                                      \
    {                                                                                                                            \
        OP_PMULLW, OP_PMULLW, M38 | 0x40, QE(M38 | 0x40)                                                                         \
    }
#define ADD                                                                                                                      \
    {                                                                                                                            \
        M0F | 0xfc, M0F | 0xfd, M0F | 0xfe, Q(M0F | 0xd4)                                                                        \
    }
#define SUB                                                                                                                      \
    {                                                                                                                            \
        M0F | 0xf8, M0F | 0xf9, M0F | 0xfa, Q(M0F | 0xfb)                                                                        \
    }
    { MULTIPLY, MUL, { 0 } },
    { MACC, MUL, ADD },
    { NMSAC, MUL, SUB },
    { MADD, MUL, ADD },
    { NMSUB, MUL, SUB },
    { MULTIPLY, { 0, M0F | 0xe5, 0, 0 }, { 0 } }, /* mulh */
    { MULTIPLY, { 0, M0F | 0xe4, 0, 0 }, { 0 } }, /* mulhu */
    { MERGE, { 1, 1, 1, 1 }, { 0 } },
    { MOVE, { 1, 1, 1, 1 }, { 0 } },
};
enum {
    I_ADD,
    I_SUB,
    I_RSUB,
    I_AND,
    I_OR,
    I_XOR,
    I_MINU,
    I_MIN,
    I_MAXU,
    I_MAX,
    I_SLL,
    I_SRL,
    I_SRA,
    I_MUL,
    I_MACC,
    I_NMSAC,
    I_MADD,
    I_NMSUB,
    I_MULH,
    I_MULHU,
    I_MERGE,
    I_MOVE
};
enum { OPERAND_SHIFT = 8 };

static unsigned operand(const struct vx *v)
{
    return v->arg >> OPERAND_SHIFT;
}

static const struct operation *operation(const struct vx *v)
{
    return &operations[v->arg & 0xff];
}

static bool multiplies(const struct operation *o)
{
    return o->kind >= MULTIPLY && o->kind <= NMSUB;
}

/* Bytes are done as words. */
static bool by_words(const struct vx *v)
{
    return v->sew == 0 && (operation(v)->kind == SHIFT || multiplies(operation(v)));
}

/* An instruction of the host on chunks of that length. */
static void put_reg(const struct vx *v, unsigned len, uint32_t op, unsigned d, unsigned a, unsigned b)
{
    asm_form_reg(v->x->cb, rvx_vec_form(len, !!(op & W1)), op & 0xffff, d, a, b);
}

static void put_mem(const struct vx *v, unsigned len, uint32_t op, unsigned d, unsigned a, struct host_mem b)
{
    bool extends = op == OP_PMOVZXBW || op == OP_PMOVSXBW;
    rvx_vec_op(v, rvx_vec_form(len, !!(op & W1)), op & 0xffff, d, a, b, extends ? len / 2 : len);
}

static struct host_mem chunk(const struct vx *v, unsigned reg, const struct rvx_chunks *ch, unsigned j)
{
    return rvx_vec_at(v, reg, v->sew, ch->per, j);
}

/* ---- arithmetic ---- */

static bool int_can(const struct vx *v)
{
    const struct operation *o = operation(v);
    unsigned op = o->op[v->sew];
    if (!op || (!rvx_has_evex && ((op & EVEX_ONLY) || by_words(v) || o->kind == MERGE || (o->kind == SHIFT && operand(v) == VV))))
        return false;
    if (!rvx_vec_host_writes(v, v->sew) || !rvx_vec_dst_ok(v, v->sew) || !rvx_vec_src_ok(v, v->i->rs2, v->sew))
        return false;
    return operand(v) != VV || rvx_vec_src_ok(v, v->i->rs1, v->sew);
}

/* The host register with the scalar operand. */
static unsigned scalar(const struct vx *v)
{
    if (operand(v) == VX)
        return rvx_use(v->x, v->i->rs1, H_RAX);
    asm_mov_imm(v->x->cb, HOST_RAX, (uint64_t)(int64_t)v->i->imm);
    return H_RAX;
}

/* Z1 = the scalar operand, in all elements; of a shift: the count. */
static void put_scalar(const struct vx *v, const struct rvx_chunks *ch)
{
    const struct operation *o = operation(v);
    struct codebuf *cb = v->x->cb;
    unsigned r = scalar(v);
    if (o->kind == SHIFT || o->kind == NMSAC || o->kind == NMSUB) {
        if (r != H_RAX)
            asm_mov(cb, 8, HOST_RAX, hg(r));
        r = H_RAX;
    }
    if (o->kind == SHIFT) {
        asm_alu_imm(cb, HOST_AND, 4, HOST_RAX, (int32_t)(8U << v->sew) - 1);
        asm_vex_reg(cb, 0, OP_VMOVD_IN, Z1, 0, H_RAX);
        return;
    }
    if (o->kind == NMSAC || o->kind == NMSUB)
        asm_insn_reg(cb, 8, 0xf7, 3, H_RAX); /* neg: what is subtracted is added */
    rvx_vec_splat(v, by_words(v) ? 1 : v->sew, by_words(v) ? 2U * ch->len : ch->len, r);
}

/* Z0 = chunk j of vs2, shifted. */
static void put_shift(const struct vx *v, const struct rvx_chunks *ch, unsigned j)
{
    const struct operation *o = operation(v);
    bool words = by_words(v), sra = o == &operations[I_SRA];
    unsigned len = words ? 2U * ch->len : ch->len;
    if (words)
        put_mem(v, len, sra ? OP_PMOVSXBW : OP_PMOVZXBW, Z0, 0, chunk(v, v->i->rs2, ch, j));
    else
        rvx_vec_load(v, len, Z0, chunk(v, v->i->rs2, ch, j));
    if (operand(v) == VV) {
        struct asm_form f = rvx_vec_form(len, 1);
        f.bcast = true;
        if (words)
            put_mem(v, len, OP_PMOVZXBW, Z1, 0, chunk(v, v->i->rs1, ch, j));
        else
            rvx_vec_load(v, len, Z1, chunk(v, v->i->rs1, ch, j));
        asm_form_mem(v->x->cb, f, M0F | 0xdb, Z1, Z1, VEC_CONSTANT(count[v->sew])); /* vpandq */
        put_reg(v, len, o->each[v->sew], Z0, Z0, Z1);
    } else {
        put_reg(v, len, o->op[v->sew] | (v->sew == 3 ? W1 : 0), Z0, Z0, Z1);
    }
    if (words)
        asm_form_reg(v->x->cb, rvx_vec_form(len, 0), OP_VPMOVWB, Z0, 0, Z0);
}

/* Z0 = chunk j of `reg`, multiplied. */
static void put_product(const struct vx *v, const struct rvx_chunks *ch, unsigned reg, unsigned j)
{
    const uint32_t op = operation(v)->op[v->sew];
    if (by_words(v)) {
        unsigned len = 2U * ch->len;
        put_mem(v, len, OP_PMOVZXBW, Z0, 0, chunk(v, reg, ch, j));
        if (operand(v) == VV)
            put_mem(v, len, OP_PMOVZXBW, Z1, 0, chunk(v, v->i->rs1, ch, j));
        put_reg(v, len, op, Z0, Z0, Z1);
        asm_form_reg(v->x->cb, rvx_vec_form(len, 0), OP_VPMOVWB, Z0, 0, Z0);
        return;
    }
    rvx_vec_load(v, ch->len, Z0, chunk(v, reg, ch, j));
    if (operand(v) == VV)
        put_mem(v, ch->len, op, Z0, Z0, chunk(v, v->i->rs1, ch, j));
    else
        put_reg(v, ch->len, op, Z0, Z0, Z1);
}

/* Z0 = a product, and what it is added to or subtracted from. */
static void put_accumulated(const struct vx *v, const struct rvx_chunks *ch, unsigned j)
{
    const struct operation *o = operation(v);
    bool to_vd = o->kind == MACC || o->kind == NMSAC, adds = o->kind == MACC || o->kind == MADD;
    struct host_mem other = chunk(v, to_vd ? v->i->rd : v->i->rs2, ch, j);
    put_product(v, ch, to_vd ? v->i->rs2 : v->i->rd, j);
    if (adds || operand(v) != VV) { /* the scalar was negated */
        put_mem(v, ch->len, operations[I_ADD].op[v->sew], Z0, Z0, other);
        return;
    }
    rvx_vec_load(v, ch->len, Z1, other);
    put_reg(v, ch->len, o->each[v->sew], Z0, Z1, Z0);
}

/* Z0 = chunk j of vs2, or where v0 says of the other. */
static void put_merged(const struct vx *v, const struct rvx_chunks *ch, unsigned j)
{
    struct asm_form f = rvx_vec_form(ch->len, 0);
    unsigned op = rvx_vec_move(v->sew, false, &f);
    rvx_vec_load(v, ch->len, Z0, chunk(v, v->i->rs2, ch, j));
    rvx_vec_mask_bits(v, ch, j, K_SCRATCH);
    f.mask = K_SCRATCH;
    if (operand(v) == VV)
        rvx_vec_op(v, f, op, Z0, 0, chunk(v, v->i->rs1, ch, j), ch->len);
    else
        asm_form_reg(v->x->cb, f, op, Z0, 0, Z1);
}

static void put_plain(const struct vx *v, const struct rvx_chunks *ch, unsigned j)
{
    const struct operation *o = operation(v);
    uint32_t op = o->op[v->sew];
    if (o->kind == REVERSED) {
        put_mem(v, ch->len, op, Z0, Z1, chunk(v, v->i->rs2, ch, j));
        return;
    }
    rvx_vec_load(v, ch->len, Z0, chunk(v, v->i->rs2, ch, j));
    if (operand(v) == VV)
        put_mem(v, ch->len, op, Z0, Z0, chunk(v, v->i->rs1, ch, j));
    else
        put_reg(v, ch->len, op, Z0, Z0, Z1);
}

static void put_move(const struct vx *v, const struct rvx_chunks *ch, unsigned j)
{
    if (operand(v) == VV)
        rvx_vec_load(v, ch->len, Z0, chunk(v, v->i->rs1, ch, j));
    else
        asm_form_reg(v->x->cb, rvx_vec_form(ch->len, 0), OP_VMOV_LOAD, Z0, 0, Z1);
}

static void int_put(const struct vx *what)
{
    struct vx v = *what;
    const struct operation *o = operation(&v);
    struct rvx_chunks ch = rvx_vec_chunks(&v, v.sew, by_words(&v) ? 32 : 64);
    v.masked = v.masked && o->kind != MERGE;
    if (operand(&v) != VV)
        put_scalar(&v, &ch);
    for (unsigned j = 0; j < ch.nr; j++) {
        bool masks = rvx_vec_masks(&v, &ch, j);
        switch ((enum kind)o->kind) {
        case PLAIN:
        case REVERSED: put_plain(&v, &ch, j); break;
        case SHIFT: put_shift(&v, &ch, j); break;
        case MULTIPLY: put_product(&v, &ch, v.i->rs2, j); break;
        case MACC:
        case NMSAC:
        case MADD:
        case NMSUB: put_accumulated(&v, &ch, j); break;
        case MERGE: put_merged(&v, &ch, j); break;
        case MOVE: put_move(&v, &ch, j); break;
        }
        rvx_vec_write(&v, &ch, j, masks);
    }
}

static bool arith(struct rvx *x, const struct riscv_insn *i, unsigned arg)
{
    static const struct rvx_vec_how how = { int_can, NULL, int_put, .any_vl = true };
    return rvx_vec_put(x, i, arg, &how);
}

/* ---- comparisons ---- */

enum { EQ = 0, LT = 1, LE = 2, NE = 4, GT = 6, UNSIGNED = 8 };

static bool compare_can(const struct vx *v)
{
    return rvx_has_evex && rvx_vec_src_ok(v, v->i->rs2, v->sew) && rvx_vec_mask_overlap_ok(v, v->i->rs2, v->sew)
           && (operand(v) != VV || (rvx_vec_src_ok(v, v->i->rs1, v->sew) && rvx_vec_mask_overlap_ok(v, v->i->rs1, v->sew)));
}

/* k3 = the comparison of chunk j. */
static void put_compared(const struct vx *v, const struct rvx_chunks *ch, unsigned j)
{
    unsigned op = ASM_0F3A | ASM_66 | (v->sew < 2 ? 0x3e : 0x1e) | !(v->arg & UNSIGNED);
    struct asm_form f = rvx_vec_form(ch->len, v->sew & 1);
    rvx_vec_load(v, ch->len, Z0, chunk(v, v->i->rs2, ch, j));
    if (operand(v) == VV)
        rvx_vec_op(v, f, op, K_SCRATCH, Z0, chunk(v, v->i->rs1, ch, j), ch->len);
    else
        asm_form_reg(v->x->cb, f, op, K_SCRATCH, Z0, Z1);
    codebuf_put1(v->x->cb, v->arg & 7);
}

void rvx_vec_put_bits(const struct vx *v, const struct rvx_chunks *ch,
                      void (*put)(const struct vx *v, const struct rvx_chunks *ch, unsigned j))
{
    struct codebuf *cb = v->x->cb;
    for (unsigned j = 0; j < ch->nr; j++) {
        unsigned from = j * ch->per, q = from / 64, shift = from % 64;
        put(v, ch, j);
        rvx_vec_k(v, false, 1, OP_KMOV_TO, shift ? H_RCX : H_RAX, 0, K_SCRATCH);
        if (shift) {
            asm_insn_reg(cb, 8, 0xc1, 4, H_RCX); /* shl */
            codebuf_put1(cb, (uint8_t)shift);
            asm_alu(cb, HOST_OR, 8, HOST_RAX, HOST_RCX);
        }
        if (j + 1 == ch->nr || (from + ch->per) % 64 == 0)
            rvx_vec_write_bits(v, q, v->n - 64 * q < 64 ? v->n - 64 * q : 64);
    }
}

static void compare_put(const struct vx *v)
{
    struct rvx_chunks ch = rvx_vec_chunks(v, v->sew, 64);
    if (operand(v) != VV)
        rvx_vec_splat(v, v->sew, ch.len, scalar(v));
    rvx_vec_put_bits(v, &ch, put_compared);
}

static bool compare(struct rvx *x, const struct riscv_insn *i, unsigned arg)
{
    static const struct rvx_vec_how how = { compare_can, NULL, compare_put, .any_vl = true };
    return rvx_vec_put(x, i, arg, &how);
}

/* ---- mask logic: vd = vs2 op vs1 ---- */

enum { NOT_RESULT = 16, NOT_B = 32 };

static bool always(const struct vx *v)
{
    (void)v;
    return true;
}

static struct host_mem quad(const struct vx *v, unsigned reg, unsigned q)
{
    return at_rbp(FRAME(cpu.v) + (int32_t)(reg * v->x->code->cpu->vlenb + 8 * q));
}

static void logic_put(const struct vx *what)
{
    struct vx v = *what;
    struct codebuf *cb = v.x->cb;
    v.masked = false;
    for (unsigned q = 0; 64 * q < v.n; q++) {
        asm_load(cb, 8, HOST_RAX, quad(&v, v.i->rs1, q));
        if (v.arg & NOT_B)
            asm_insn_reg(cb, 8, 0xf7, 2, H_RAX);
        asm_insn_mem(cb, 8, 0x03 | (v.arg & 7) << 3, H_RAX, quad(&v, v.i->rs2, q));
        if (v.arg & NOT_RESULT)
            asm_insn_reg(cb, 8, 0xf7, 2, H_RAX);
        rvx_vec_write_bits(&v, q, v.n - 64 * q < 64 ? v.n - 64 * q : 64);
    }
}

static bool logic(struct rvx *x, const struct riscv_insn *i, unsigned arg)
{
    static const struct rvx_vec_how how = { always, NULL, logic_put, .any_vl = true };
    return rvx_vec_put(x, i, arg, &how);
}

/* ---- masks to x registers ---- */

enum { POPULATION, FIRST };

/* rax = the active bits of vs2 from 64 * q on; rcx is lost, unless all are active. */
static void put_active_bits(const struct vx *v, unsigned q)
{
    struct codebuf *cb = v->x->cb;
    bool all = !v->partial && v->n - 64 * q >= 64;
    asm_load(cb, 8, HOST_RAX, quad(v, v->i->rs2, q));
    if (!all) {
        struct vx whole = *v;
        whole.masked = false;
        rvx_vec_body(&whole, q, v->n - 64 * q < 64 ? v->n - 64 * q : 64);
        asm_alu(cb, HOST_AND, 8, HOST_RAX, HOST_RCX);
    }
    if (v->masked)
        asm_insn_mem(cb, 8, 0x23, H_RAX, quad(v, 0, q));
}

/* Several words: only where all their bits count. */
static bool count_can(const struct vx *v)
{
    return v->n <= 64 || v->n % 64 == 0;
}

static void count_put(const struct vx *v)
{
    enum { OP_POPCNT = ASM_0F | ASM_F3 | 0xb8, OP_TZCNT = ASM_0F | ASM_F3 | 0xbc, OP_CMOVAE = ASM_0F | 0x43 };
    struct codebuf *cb = v->x->cb;
    unsigned nr = (v->n + 63) / 64;
    if (v->partial && nr > 1) {
        rvx_vec_bail(v, asm_jmp(cb, NULL));
        return;
    }
    if (v->arg == POPULATION) {
        for (unsigned q = 0; q < nr; q++) {
            put_active_bits(v, q);
            asm_insn_reg(cb, 8, OP_POPCNT, q ? H_RAX : H_RCX, H_RAX);
            if (q)
                asm_alu(cb, HOST_ADD, 4, HOST_RCX, HOST_RAX);
        }
        rvx_set(v->x, v->i->rd, H_RCX);
        return;
    }
    for (unsigned q = nr; q-- > 0;) {
        put_active_bits(v, q);
        if (q + 1 == nr)
            asm_mov_imm(cb, HOST_RCX, ~0ULL);
        asm_insn_reg(cb, 8, OP_TZCNT, H_RAX, H_RAX); /* CF: there is none */
        if (q)
            rvx_lea(v->x, 8, H_RAX, H_RAX, (int32_t)(64 * q));
        asm_insn_reg(cb, 8, OP_CMOVAE, H_RCX, H_RAX);
    }
    rvx_set(v->x, v->i->rd, H_RCX);
}

static bool count(struct rvx *x, const struct riscv_insn *i, unsigned arg)
{
    static const struct rvx_vec_how how = { count_can, NULL, count_put, .any_vl = true, .at_0 = true };
    return rvx_vec_put(x, i, arg, &how);
}

/* ---- element 0; VID ---- */

static void move_out_put(const struct vx *v)
{
    static const unsigned op[] = { ASM_0F | 0xbe, ASM_0F | 0xbf, 0x63, 0x8b };
    unsigned d = rvx_dst(v->x, v->i->rd);
    asm_insn_mem(v->x->cb, 8, op[v->sew], d, quad(v, v->i->rs2, 0));
    rvx_set(v->x, v->i->rd, d);
}

static bool move_out(struct rvx *x, const struct riscv_insn *i, unsigned arg)
{
    static const struct rvx_vec_how how = { always, NULL, move_out_put, .no_vl = true };
    return rvx_vec_put(x, i, arg, &how);
}

/* Any vl but 0 is the same. */
static void move_in_put(const struct vx *v)
{
    unsigned r = rvx_use(v->x, v->i->rs1, H_RAX);
    static const unsigned op[] = { 0x88, ASM_66 | 0x89, 0x89, 0x89 };
    asm_insn_mem(v->x->cb, v->sew == 3 ? 8 : v->sew == 0 ? 1 : 4, op[v->sew], r, quad(v, v->i->rd, 0));
    rvx_vec_written(v, quad(v, v->i->rd, 0), 8);
}

static bool move_in(struct rvx *x, const struct riscv_insn *i, unsigned arg)
{
    static const struct rvx_vec_how how = { always, NULL, move_in_put, .any_vl = true };
    return rvx_vec_put(x, i, arg, &how);
}

static bool id_can(const struct vx *v)
{
    return rvx_vec_dst_ok(v, v->sew) && rvx_vec_host_writes(v, v->sew);
}

static void id_put(const struct vx *v)
{
    static const unsigned op[] = { OP_VMOV_LOAD, M38 | 0x30, M38 | 0x31, M38 | 0x32 };
    struct rvx_chunks ch = rvx_vec_chunks(v, v->sew, 64);
    for (unsigned j = 0; j < ch.nr; j++) {
        bool masks = rvx_vec_masks(v, &ch, j);
        put_mem(v, ch.len, op[v->sew], Z0, 0, rvx_vec_constant(offsetof(struct riscv_vec_constants, number) + j * ch.per));
        rvx_vec_write(v, &ch, j, masks);
    }
}

static bool id(struct rvx *x, const struct riscv_insn *i, unsigned arg)
{
    static const struct rvx_vec_how how = { id_can, NULL, id_put, .any_vl = true };
    return rvx_vec_put(x, i, arg, &how);
}

/* ---- rules ---- */

#define BY(name, suffix, emit, operand, arg)                                                                                     \
    {                                                                                                                            \
        rv_##name##_##suffix, emit, (arg) | (operand) << OPERAND_SHIFT                                                           \
    }
#define RULE_VX(name, emit, arg) BY(name, vv, emit, VV, arg), BY(name, vx, emit, VX, arg)
#define RULE_XI(name, emit, arg) BY(name, vx, emit, VX, arg), BY(name, vi, emit, VI, arg)
#define RULE_VXI(name, emit, arg) RULE_VX(name, emit, arg), BY(name, vi, emit, VI, arg)

const struct rvx_rule rvx_vec_int_rules[] = {
    RULE_VXI(vadd, arith, I_ADD),
    RULE_VX(vsub, arith, I_SUB),
    RULE_XI(vrsub, arith, I_RSUB),
    RULE_VXI(vand, arith, I_AND),
    RULE_VXI(vor, arith, I_OR),
    RULE_VXI(vxor, arith, I_XOR),
    RULE_VX(vminu, arith, I_MINU),
    RULE_VX(vmin, arith, I_MIN),
    RULE_VX(vmaxu, arith, I_MAXU),
    RULE_VX(vmax, arith, I_MAX),
    RULE_VXI(vsll, arith, I_SLL),
    RULE_VXI(vsrl, arith, I_SRL),
    RULE_VXI(vsra, arith, I_SRA),
    RULE_VX(vmul, arith, I_MUL),
    RULE_VX(vmacc, arith, I_MACC),
    RULE_VX(vnmsac, arith, I_NMSAC),
    RULE_VX(vmadd, arith, I_MADD),
    RULE_VX(vnmsub, arith, I_NMSUB),
    RULE_VX(vmulh, arith, I_MULH),
    RULE_VX(vmulhu, arith, I_MULHU),
    BY(vmerge, vvm, arith, VV, I_MERGE),
    BY(vmerge, vxm, arith, VX, I_MERGE),
    BY(vmerge, vim, arith, VI, I_MERGE),
    BY(vmv_v, v, arith, VV, I_MOVE),
    BY(vmv_v, x, arith, VX, I_MOVE),
    BY(vmv_v, i, arith, VI, I_MOVE),
    RULE_VXI(vmseq, compare, EQ),
    RULE_VXI(vmsne, compare, NE),
    RULE_VX(vmsltu, compare, LT | UNSIGNED),
    RULE_VX(vmslt, compare, LT),
    RULE_VXI(vmsleu, compare, LE | UNSIGNED),
    RULE_VXI(vmsle, compare, LE),
    RULE_XI(vmsgtu, compare, GT | UNSIGNED),
    RULE_XI(vmsgt, compare, GT),
    { rv_vmand_mm, logic, HOST_AND },
    { rv_vmnand_mm, logic, HOST_AND | NOT_RESULT },
    { rv_vmandn_mm, logic, HOST_AND | NOT_B },
    { rv_vmxor_mm, logic, HOST_XOR },
    { rv_vmor_mm, logic, HOST_OR },
    { rv_vmnor_mm, logic, HOST_OR | NOT_RESULT },
    { rv_vmorn_mm, logic, HOST_OR | NOT_B },
    { rv_vmxnor_mm, logic, HOST_XOR | NOT_RESULT },
    { rv_vcpop_m, count, POPULATION },
    { rv_vfirst_m, count, FIRST },
    { rv_vmv_x_s, move_out, 0 },
    { rv_vmv_s_x, move_in, 0 },
    { rv_vid_v, id, 0 },
};
const unsigned rvx_nr_vec_int_rules = ARRAY_SIZE(rvx_vec_int_rules);
