/* SPDX-License-Identifier: MIT */
/*
 * Translation of vector instructions: what is known of vtype and vl, VSETVLI and its like, and code out of line. See
 * translate_vec.h.
 *
 * A trace looks once whether mstatus.VS is Dirty and vtype is what it was made for; what is otherwise goes to the interpreter,
 * which makes VS Dirty. Spec: volume I 30.3, 30.6
 */
#include "isa/riscv/translate_vec.h"

#include "base/checked.h"
#include "isa/riscv/insn_steps.h"

enum { CSR_VL = 0xc20, CSR_VTYPE, CSR_VLENB };
enum { LUMOP_FAULT_FIRST = 16 };
enum {
    TRACE_BYTES_MAX = 40000,       /* positions in a trace have 16 bits */
    TAILS_MAX = RVX_EXITS_MAX / 3, /* out of line there come more */
};
enum { OP_CMP_RM_IMM8 = 0x83, OP_CMOVA = ASM_0F | 0x47, OP_MOV_RM_IMM = 0xc7 };

void rvx_vec_constants(struct riscv_vec_constants *ret)
{
    for (int n = -RISCV_VL_MAX; n <= RISCV_VL_MAX; n++)
        ret->inactive[RISCV_VL_MAX + n] = n <= 0 ? ~0ULL : n >= 64 ? 0 : ~0ULL << n;
    for (unsigned n = 0; n < RISCV_VL_MAX; n++)
        ret->number[n] = (uint8_t)n;
    for (unsigned n = 0; n < 4; n++) {
        ret->nan32[n] = 0x7fc000007fc00000;
        ret->nan64[n] = 0x7ff8000000000000;
    }
    ret->sign32 = 0x8000000080000000;
    ret->sign64 = 0x8000000000000000;
    ret->ones = ~0ULL;
    ret->mxcsr = 0x1f80;
    ret->count[0] = 0x0007000700070007; /* bytes are done as words */
    ret->count[1] = 0x000f000f000f000f;
    ret->count[2] = 0x0000001f0000001f;
    ret->count[3] = 0x000000000000003f;
}

/* ---- legality ---- */

static int emul(const struct vx *v, unsigned eew)
{
    return v->lmul + (int)eew - (int)v->sew;
}

static unsigned regs(const struct vx *v, unsigned eew)
{
    return emul(v, eew) > 0 ? 1U << emul(v, eew) : 1;
}

static bool overlap(unsigned a, unsigned na, unsigned b, unsigned nb)
{
    return a < b + nb && b < a + na;
}

bool rvx_vec_src_ok(const struct vx *v, unsigned reg, unsigned eew)
{
    return eew <= 3 && vec_is_group(reg, emul(v, eew));
}

bool rvx_vec_dst_ok(const struct vx *v, unsigned eew)
{
    return rvx_vec_src_ok(v, v->i->rd, eew) && !(v->masked && v->i->rd == 0);
}

bool rvx_vec_overlap_ok(const struct vx *v, unsigned dst_eew, unsigned reg, unsigned eew)
{
    unsigned rd = v->i->rd, nd = regs(v, dst_eew), n = regs(v, eew);
    if (dst_eew == eew || !overlap(rd, nd, reg, n))
        return true;
    return dst_eew < eew ? rd == reg : emul(v, eew) >= 0 && rd + nd == reg + n;
}

bool rvx_vec_mask_overlap_ok(const struct vx *v, unsigned reg, unsigned eew)
{
    return v->i->rd == reg || !overlap(v->i->rd, 1, reg, regs(v, eew));
}

bool rvx_vec_host_writes(const struct vx *v, unsigned eew)
{
    return rvx_has_evex || (!v->masked && !(v->n << eew & 15));
}

/* ---- what is known ---- */

void rvx_vec_after(struct rvx *x, const struct riscv_insn *i)
{
    unsigned format = i->row == RISCV_ROW_NONE ? 0 : riscv_rows[i->row].format;
    if (format >= RISCV_FMT_VSETI && format <= RISCV_FMT_VD)
        x->vec.at_0 = true; /* whatever the instruction was */
    if ((format == RISCV_FMT_CSR || format == RISCV_FMT_CSRI) && (i->imm < CSR_VL || i->imm > CSR_VLENB)) /* mstatus, vstart */
        x->vec.on = x->vec.counted = x->vec.at_0 = false;
    if (format == RISCV_FMT_VL && (i->bits >> 20 & 31) == LUMOP_FAULT_FIRST)
        x->vec.counted = false;
}

/* vtype for the current instruction, which nothing in the trace may have told yet; false: no idea. */
static bool guess_type(const struct rvx *x, uint8_t *ret_vtype)
{
    const struct riscv_cpu *c = x->code->cpu;
    *ret_vtype = x->vec.typed ? x->vec.vtype : (uint8_t)c->vtype;
    return x->vec.typed || (!x->vec.lost && !(c->vtype & RISCV_VILL));
}

static void to_interpreter(struct rvx *x, size_t from)
{
    struct rvx_tail *t = rvx_tail(x, RVX_STEP, from);
    if (t)
        t->insns = rvx_uncounted(x, false);
}

static void need_on(struct rvx *x)
{
    if (x->vec.on)
        return;
    asm_load(x->cb, 4, HOST_RAX, at_rbp(FRAME(cpu.mstatus)));
    asm_insn_reg(x->cb, 4, OP_MOV_RM_IMM, 0, H_RCX);
    codebuf_put4(x->cb, MSTATUS_VS);
    asm_alu(x->cb, HOST_AND, 4, HOST_RAX, HOST_RCX);
    asm_alu(x->cb, HOST_CMP, 4, HOST_RAX, HOST_RCX);
    to_interpreter(x, asm_jcc(x->cb, CC_NE, NULL));
    x->vec.on = true;
}

static void need_type(struct rvx *x, uint8_t vtype)
{
    enum { WITHOUT_POLICIES = 0x3f };
    if (x->vec.typed)
        return;
    asm_load(x->cb, 8, HOST_RAX, at_rbp(FRAME(cpu.vtype)));
    asm_insn_reg(x->cb, 8, 0xd1, 0, H_RAX); /* rol: vill is bit 0 */
    asm_alu_imm(x->cb, HOST_AND, 4, HOST_RAX, WITHOUT_POLICIES << 1 | 1);
    asm_alu_imm(x->cb, HOST_CMP, 4, HOST_RAX, (vtype & WITHOUT_POLICIES) << 1);
    to_interpreter(x, asm_jcc(x->cb, CC_NE, NULL));
    x->vec.typed = true;
    x->vec.exact = false;
    x->vec.vtype = vtype;
}

/* ---- an instruction ---- */

struct rvx_tail *rvx_vec_tail_from(struct rvx *x, size_t from)
{
    struct rvx_tail *t = rvx_tail(x, RVX_VEC, from);
    if (t) {
        t->k = x->k;
        t->vec.counted = x->counted;
    }
    return t;
}

void rvx_vec_bail(const struct vx *v, size_t from)
{
    (void)rvx_vec_tail_from(v->x, from);
}

static void tails_lead_to(struct rvx *x, unsigned first, size_t again, const struct rvx_vec *after)
{
    for (unsigned k = first; k < x->nr_tails; k++)
        if (x->tail[k].kind == RVX_VEC && !x->tail[k].again) {
            x->tail[k].again = again;
            x->tail[k].vec.after = *after;
        }
}

/* vl and vstart as one word. */
static struct host_mem vl_and_vstart(void)
{
    _Static_assert(offsetof(struct riscv_cpu, vstart) == offsetof(struct riscv_cpu, vl) + 2, "they are looked at together");
    return at_rbp(FRAME(cpu.vl));
}

/* Leads away what has another vl than v->n, or a vstart. */
static void need_vl(struct rvx *x, const struct vx *v, unsigned arg, const struct rvx_vec_how *how)
{
    if (x->vec.counted || (how->no_vl && x->vec.at_0))
        return;
    if (how->no_vl) {
        asm_insn_mem(x->cb, 4, ASM_66 | OP_CMP_RM_IMM8, HOST_CMP, at_rbp(FRAME(cpu.vstart)));
        codebuf_put1(x->cb, 0);
        (void)rvx_vec_tail_from(x, asm_jcc(x->cb, CC_NE, NULL));
        return;
    }
    asm_alu_mem_imm(x->cb, HOST_CMP, 4, vl_and_vstart(), (int32_t)v->n);
    struct rvx_tail *t = rvx_vec_tail_from(x, asm_jcc(x->cb, CC_NE, NULL));
    if (t && how->any_vl && rvx_has_evex) {
        t->vec.how = how;
        t->vec.arg = arg;
    }
}

static void need_any_type(struct rvx *x)
{
    asm_alu_mem_imm(x->cb, HOST_CMP, 8, at_rbp(FRAME(cpu.vtype)), 0);
    (void)rvx_vec_tail_from(x, asm_jcc(x->cb, CC_S, NULL));
}

static struct vx describe(struct rvx *x, const struct riscv_insn *i, unsigned arg, uint8_t vtype)
{
    return (struct vx){ .x = x,
                        .i = i,
                        .arg = arg,
                        .sew = riscv_vtype_sew(vtype),
                        .lmul = riscv_vtype_lmul(vtype),
                        .n = x->vec.counted ? x->vec.vl : riscv_vlmax(vtype, x->code->cpu->vlenb),
                        .masked = vec_is_masked(i) };
}

/* A virtual machine's vectors are switched by vsstatus.VS, too: its instructions are called out. */
static bool in_machine(const struct rvx *x)
{
    return x->code->tlb->guest;
}

bool rvx_vec_put(struct rvx *x, const struct riscv_insn *i, unsigned arg, const struct rvx_vec_how *how)
{
    uint8_t vtype = 0;
    unsigned first = x->nr_tails;
    bool typed = !how->no_type && !how->any_type;
    if (in_machine(x) || x->cb->pos - x->entry > TRACE_BYTES_MAX || first > TAILS_MAX || (typed && !guess_type(x, &vtype)))
        return false;
    struct vx v = describe(x, i, arg, vtype);
    if ((!how->no_vl && v.n == 0) || !how->can(&v))
        return false;
    need_on(x);
    if (typed)
        need_type(x, vtype);
    else if (how->any_type && !x->vec.typed)
        need_any_type(x);
    if (how->before)
        how->before(&v);
    need_vl(x, &v, arg, how);
    how->put(&v);
    tails_lead_to(x, first, x->cb->pos, &x->vec);
    return true;
}

/* ---- out of line ---- */

/* The trace has not counted the instruction yet. */
void rvx_vec_call_out(struct rvx *x, const struct rvx_tail *t)
{
    const struct riscv_insn *i = &x->insn[t->k].i;
    struct riscv_callout *o = rvx_new_callout(x, i);
    if (!o)
        return;
    o->stores = (i->bits & 0x7f) == 0x27;
    asm_store(x->cb, 8, VEC_CONSTANT(scratch[3]), HOST_RDX); /* a group's */
    asm_mov_imm(x->cb, HOST_RAX, (uint64_t)o);
    (void)asm_call(x->cb, x->code->stub_callout[x->fp]);
    asm_load(x->cb, 8, HOST_RDX, VEC_CONSTANT(scratch[3]));
    asm_alu_mem_imm(x->cb, HOST_SUB, 8, at_rbp(FRAME(cpu.insns)), (int32_t)(o->insns + 1));
    rvx_vec_copy_again(x, &t->vec.after);
    (void)asm_jmp(x->cb, x->cb->rx + t->again);
}

/* The instruction for any vl. */
static void put_partial(struct rvx *x, const struct rvx_tail *t)
{
    unsigned first = x->nr_tails;
    struct vx v = describe(x, &x->insn[t->k].i, t->vec.arg, x->vec.vtype);
    size_t nothing = 0;
    v.partial = true;
    asm_alu_mem_imm(x->cb, HOST_CMP, 4, vl_and_vstart(), (int32_t)v.n);
    rvx_vec_bail(&v, asm_jcc(x->cb, CC_A, NULL));
    if (!t->vec.how->at_0) {
        asm_alu_mem_imm(x->cb, HOST_CMP, 4, vl_and_vstart(), 0);
        nothing = asm_jcc(x->cb, CC_E, NULL);
    }
    t->vec.how->put(&v);
    if (nothing)
        asm_patch(x->cb, nothing, codebuf_here(x->cb));
    rvx_vec_copy_again(x, &t->vec.after);
    (void)asm_jmp(x->cb, x->cb->rx + t->again);
    tails_lead_to(x, first, t->again, &t->vec.after);
}

void rvx_vec_tail(struct rvx *x, unsigned tail)
{
    const struct rvx_tail *t = &x->tail[tail];
    x->k = t->k;
    x->counted = t->vec.counted;
    x->vec = t->vec.known;
    x->known = x->boxed = 0;
    if (t->vec.fix)
        t->vec.fix(x, t);
    else if (t->vec.how)
        put_partial(x, t);
    else
        rvx_vec_call_out(x, t);
}

/* ---- VSETVLI, VSETIVLI ---- */

static void store_type(struct rvx *x, uint8_t vtype)
{
    if (!x->vec.typed || !x->vec.exact || x->vec.vtype != vtype) {
        asm_insn_mem(x->cb, 8, OP_MOV_RM_IMM, 0, at_rbp(FRAME(cpu.vtype)));
        codebuf_put4(x->cb, vtype);
    }
    x->vec.typed = x->vec.exact = true;
    x->vec.lost = false;
    x->vec.vtype = vtype;
}

/* vl is a constant. */
static void set_vl_constant(struct rvx *x, const struct riscv_insn *i, unsigned vl)
{
    asm_insn_mem(x->cb, 4, OP_MOV_RM_IMM, 0, vl_and_vstart());
    codebuf_put4(x->cb, vl);
    rvx_set_imm(x, i->rd, vl);
    x->vec.counted = true;
    x->vec.vl = (uint16_t)vl;
}

/* vl is what the register (rax, or a guest's) says, or max. */
static void set_vl(struct rvx *x, const struct riscv_insn *i, unsigned avl, unsigned max)
{
    asm_mov_imm(x->cb, HOST_RCX, max);
    asm_alu(x->cb, HOST_CMP, 8, HOST_RCX, hg(avl));
    asm_insn_reg(x->cb, 4, OP_CMOVA, H_RCX, avl);
    asm_store(x->cb, 4, vl_and_vstart(), HOST_RCX);
    rvx_set(x, i->rd, H_RCX);
    x->vec.counted = false;
}

/* vtype changes, but vl does not. */
static bool keeps_vl(const struct rvx *x, unsigned max)
{
    unsigned vlenb = x->code->cpu->vlenb;
    return x->vec.counted ? x->vec.vl <= max : x->vec.typed && riscv_vlmax(x->vec.vtype, vlenb) <= max;
}

static bool is_constant(const struct rvx *x, unsigned reg, uint64_t *ret)
{
    *ret = x->known_value[reg];
    return x->known >> reg & 1;
}

enum { VSET_REGISTER, VSET_IMMEDIATE };

static bool vset(struct rvx *x, const struct riscv_insn *i, unsigned arg)
{
    uint64_t avl = i->rs1;
    uint8_t vtype = (uint8_t)i->imm;
    unsigned max = riscv_vlmax(riscv_vtype_legal((uint64_t)i->imm), x->code->cpu->vlenb);
    if (!max || in_machine(x)) {
        x->vec.typed = x->vec.counted = false;
        x->vec.lost = true;
        return false;
    }
    need_on(x);
    if (arg == VSET_IMMEDIATE || (i->rs1 && is_constant(x, i->rs1, &avl))) {
        set_vl_constant(x, i, avl < max ? (unsigned)avl : max);
    } else if (i->rs1) {
        set_vl(x, i, rvx_use(x, i->rs1, H_RAX), max);
    } else if (i->rd) {
        set_vl_constant(x, i, max);
    } else if (!keeps_vl(x, max)) {
        asm_insn_mem(x->cb, 4, ASM_0F | 0xb7, H_RAX, vl_and_vstart()); /* movzx eax, word [] */
        set_vl(x, i, H_RAX, max);
    } else if (!x->vec.counted) {
        asm_insn_mem(x->cb, 4, ASM_66 | OP_MOV_RM_IMM, 0, at_rbp(FRAME(cpu.vstart)));
        codebuf_put1(x->cb, 0);
        codebuf_put1(x->cb, 0);
    }
    store_type(x, vtype);
    return true;
}

static bool vset_by_register(struct rvx *x, const struct riscv_insn *i, unsigned arg)
{
    (void)i;
    (void)arg;
    x->vec.typed = x->vec.counted = false;
    x->vec.lost = true;
    return false;
}

bool rvx_vec_read_csr(struct rvx *x, const struct riscv_insn *i)
{
    if (in_machine(x) || i->imm < CSR_VL || i->imm > CSR_VLENB || i->rs1 || !x->code->cpu->profile->has[RISCV_EXT_V])
        return false;
    if (!x->vec.on) {                                                /* Off is illegal, others stay */
        asm_insn_mem(x->cb, 4, 0xf7, 0, at_rbp(FRAME(cpu.mstatus))); /* test dword [], imm32 */
        codebuf_put4(x->cb, MSTATUS_VS);
        to_interpreter(x, asm_jcc(x->cb, CC_E, NULL));
    }
    if (i->imm == CSR_VLENB) {
        rvx_set_imm(x, i->rd, x->code->cpu->vlenb);
    } else if (i->imm == CSR_VL && x->vec.counted) {
        rvx_set_imm(x, i->rd, x->vec.vl);
    } else if (i->imm == CSR_VTYPE && x->vec.typed && x->vec.exact) {
        rvx_set_imm(x, i->rd, x->vec.vtype);
    } else {
        unsigned d = rvx_dst(x, i->rd);
        if (i->imm == CSR_VL)
            asm_insn_mem(x->cb, 4, ASM_0F | 0xb7, d, at_rbp(FRAME(cpu.vl)));
        else
            asm_load(x->cb, 8, hg(d), at_rbp(FRAME(cpu.vtype)));
        rvx_set(x, i->rd, d);
    }
    return true;
}

const struct rvx_rule rvx_vec_rules[] = {
    { rv_vsetvli, vset, VSET_REGISTER },
    { rv_vsetivli, vset, VSET_IMMEDIATE },
    { rv_vsetvl, vset_by_register, 0 },
};
const unsigned rvx_nr_vec_rules = ARRAY_SIZE(rvx_vec_rules);
