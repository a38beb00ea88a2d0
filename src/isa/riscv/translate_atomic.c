/* SPDX-License-Identifier: MIT */
/*
 * Translation of A: AMOs, LR and SC of 4 and 8 bytes by the host's locked instructions, after a look into the TLB.
 *
 * What the look lets through lies in one page; what is misaligned then goes to the interpreter, which raises. The first
 * access of the host code is a plain one with nothing on the stack, because it may fault (RISCV_SITE_NONE). Zabha and Zacas are
 * called out. LR needs the physical address, which is the host's plus a constant where RAM is in one piece; elsewhere LR and SC
 * are called out. Spec: volume I chapter 14
 */
#include "base/checked.h"
#include "isa/riscv/insn_steps.h"
#include "isa/riscv/translate_emit.h"

enum op { SWAP, ADD, AND, OR, XOR, MIN, MAX, MINU, MAXU };
enum { DOUBLE = 0x100 }; /* of the rules' arg: 8 bytes */
enum {
    OP_XCHG = 0x87,
    OP_XADD = ASM_0F | 0xc1,
    OP_CMPXCHG = ASM_0F | 0xb1,
    OP_CMOV = ASM_0F | 0x40,
    OP_MOVSXD = 0x63,
    OP_LEA = 0x8d,
    LOCK = 0xf0
};

static void lock(struct rvx *x)
{
    codebuf_put1(x->cb, LOCK);
}

/* rcx = the host address of the access at rs1, which is aligned. */
static struct host_mem aligned(struct rvx *x, const struct riscv_insn *i, unsigned size, enum riscv_access access)
{
    asm_insn_mem(x->cb, 8, OP_LEA, H_RCX, rvx_access_ram(x, i->rs1, 0, size, access));
    asm_insn_reg(x->cb, 1, 0xf6, 0, H_RCX); /* test cl, imm8 */
    codebuf_put1(x->cb, (uint8_t)(size - 1));
    struct rvx_tail *t = rvx_tail(x, RVX_STEP, asm_jcc(x->cb, CC_NE, NULL));
    if (t)
        t->insns = rvx_uncounted(x, false);
    return host_mem(HOST_RCX, 0);
}

/* rd = rax, or its lower half with its sign. */
static void set_old(struct rvx *x, unsigned rd, unsigned size)
{
    if (size == 4 && rd)
        asm_insn_reg(x->cb, 8, OP_MOVSXD, H_RAX, H_RAX);
    rvx_set(x, rd, H_RAX);
}

/* ---- AMO ---- */

/* rdx = rax op rs2 */
static void compute(struct rvx *x, unsigned op, unsigned size, unsigned rs2)
{
    static const uint8_t alu[] = { [AND] = HOST_AND, [OR] = HOST_OR, [XOR] = HOST_XOR };
    static const uint8_t keep[] = { [MIN] = CC_L, [MAX] = CC_G, [MINU] = CC_B, [MAXU] = CC_A };
    if (op < MIN) {
        asm_mov(x->cb, 8, HOST_RDX, HOST_RAX);
        rvx_alu_guest(x, (enum host_alu)alu[op], size, H_RDX, rs2);
        return;
    }
    rvx_get(x, H_RDX, rs2);
    asm_alu(x->cb, HOST_CMP, size, HOST_RAX, HOST_RDX);
    asm_insn_reg(x->cb, 8, OP_CMOV | keep[op], H_RDX, H_RAX);
}

static void compare_and_swap(struct rvx *x, unsigned op, unsigned size, unsigned rs2, struct host_mem m)
{
    asm_load(x->cb, size, HOST_RAX, m);
    asm_push(x->cb, HOST_RDX);
    const uint8_t *again = codebuf_here(x->cb);
    compute(x, op, size, rs2);
    lock(x);
    asm_insn_mem(x->cb, size, OP_CMPXCHG, H_RDX, m);
    (void)asm_jcc(x->cb, CC_NE, again);
    asm_pop(x->cb, HOST_RDX);
}

static bool amo(struct rvx *x, const struct riscv_insn *i, unsigned arg)
{
    static const uint8_t alu[] = { [ADD] = HOST_ADD, [AND] = HOST_AND, [OR] = HOST_OR, [XOR] = HOST_XOR };
    unsigned size = arg & DOUBLE ? 8 : 4, op = arg & ~(unsigned)DOUBLE;
    struct host_mem m = aligned(x, i, size, RISCV_WRITE);
    if (!i->rd && op != SWAP && op < MIN) {
        unsigned v = rvx_use(x, i->rs2, H_RAX);
        lock(x);
        asm_alu_mem(x->cb, (enum host_alu)alu[op], size, m, hg(v));
        return true;
    }
    if (op == SWAP || op == ADD) {
        rvx_get(x, H_RAX, i->rs2);
        if (op == ADD)
            lock(x);
        asm_insn_mem(x->cb, size, op == ADD ? OP_XADD : OP_XCHG, H_RAX, m);
    } else {
        compare_and_swap(x, op, size, i->rs2, m);
    }
    set_old(x, i->rd, size);
    return true;
}

/* ---- LR, SC ---- */

enum { VALID_4 = 0x401, VALID_8 = 0x801 }; /* `valid` and `size` of a reservation, as one word */
_Static_assert(offsetof(struct riscv_reservation, size) == 1 + offsetof(struct riscv_reservation, valid), "one word");

static bool in_one_piece(const struct rvx *x)
{
    return x->code->cpu->gmem->nr_slots == 1;
}

/* add reg, what makes a physical address of a host's */
static void to_gpa(struct rvx *x, unsigned reg)
{
    enum { OP_ADD_R_RM = 0x03 };
    asm_insn_mem(x->cb, 8, OP_ADD_R_RM, reg, at_rbp(FRAME(shared.to_gpa)));
}

/* The word of `valid` and `size`: opcode and extension of an instruction with a 16-bit immediate. */
static void with_valid(struct rvx *x, unsigned opcode, unsigned ext, unsigned size)
{
    uint16_t v = size == 8 ? VALID_8 : VALID_4;
    asm_insn_mem(x->cb, 2, ASM_66 | opcode, ext, at_rbp(FRAME(cpu.reservation.valid)));
    codebuf_put(x->cb, (const uint8_t *)&v, sizeof(v));
}

static bool load_reserved(struct rvx *x, const struct riscv_insn *i, unsigned size)
{
    enum { OP_MOV_IMM = 0xc7 };
    if (!in_one_piece(x))
        return false;
    struct host_mem m = aligned(x, i, size, RISCV_READ);
    asm_load(x->cb, size, HOST_RAX, m);
    to_gpa(x, H_RCX);
    asm_store(x->cb, 8, at_rbp(FRAME(cpu.reservation.gpa)), HOST_RCX);
    asm_store(x->cb, 8, at_rbp(FRAME(cpu.reservation.value)), HOST_RAX);
    with_valid(x, OP_MOV_IMM, 0, size);
    set_old(x, i->rd, size);
    return true;
}

static bool store_conditional(struct rvx *x, const struct riscv_insn *i, unsigned size)
{
    enum { OP_CMP_IMM = 0x81, CMP_EXT = 7, OP_CMP_R_RM = 0x3b, OP_MOV_IMM8 = 0xc6 };
    static const uint8_t failed_to_rax[] = { 0x0f, 0x95, 0xc0, 0x0f, 0xb6, 0xc0 }; /* setne al; movzx eax, al */
    if (!in_one_piece(x))
        return false;
    struct host_mem m = aligned(x, i, size, RISCV_WRITE);
    asm_load(x->cb, size, HOST_RAX, m); /* may fault, even if nothing is stored */
    asm_push(x->cb, HOST_RDX);
    rvx_get(x, H_RDX, i->rs2);
    asm_mov(x->cb, 8, HOST_RAX, HOST_RCX);
    to_gpa(x, H_RAX);
    asm_insn_mem(x->cb, 8, OP_CMP_R_RM, H_RAX, at_rbp(FRAME(cpu.reservation.gpa)));
    size_t elsewhere = asm_jcc(x->cb, CC_NE, NULL);
    with_valid(x, OP_CMP_IMM, CMP_EXT, size);
    size_t invalid = asm_jcc(x->cb, CC_NE, NULL);
    asm_load(x->cb, 8, HOST_RAX, at_rbp(FRAME(cpu.reservation.value)));
    lock(x);
    asm_insn_mem(x->cb, size, OP_CMPXCHG, H_RDX, m);
    asm_patch(x->cb, elsewhere, codebuf_here(x->cb));
    asm_patch(x->cb, invalid, codebuf_here(x->cb));
    asm_insn_mem(x->cb, 1, OP_MOV_IMM8, 0, at_rbp(FRAME(cpu.reservation.valid)));
    codebuf_put1(x->cb, 0);
    codebuf_put(x->cb, failed_to_rax, sizeof(failed_to_rax));
    asm_pop(x->cb, HOST_RDX);
    rvx_set(x, i->rd, H_RAX);
    return true;
}

#define BOTH(name, op)                                                                                                           \
    { rv_amo##name##_w, amo, op },                                                                                               \
    {                                                                                                                            \
        rv_amo##name##_d, amo, (op) | DOUBLE                                                                                     \
    }
const struct rvx_rule rvx_atomic_rules[] = {
    BOTH(swap, SWAP),
    BOTH(add, ADD),
    BOTH(and, AND),
    BOTH(or, OR),
    BOTH(xor, XOR),
    BOTH(min, MIN),
    BOTH(max, MAX),
    BOTH(minu, MINU),
    BOTH(maxu, MAXU),
    { rv_lr_w, load_reserved, 4 },
    { rv_lr_d, load_reserved, 8 },
    { rv_sc_w, store_conditional, 4 },
    { rv_sc_d, store_conditional, 8 },
};
#undef BOTH
const unsigned rvx_nr_atomic_rules = ARRAY_SIZE(rvx_atomic_rules);
