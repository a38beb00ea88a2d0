/* SPDX-License-Identifier: MIT */
/*
 * The translator of RISC-V code: finds a trace, has its instructions translated, and says how it goes on. See translate.h.
 */
#include "isa/riscv/translate.h"

#include <pthread.h>
#include <string.h>

#include "base/checked.h"
#include "core/vcpu.h"
#include "isa/riscv/insn_steps.h"
#include "isa/riscv/translate_emit.h"
#include "isa/riscv/translate_log.h"

enum { ROUND_MAX = 32, ROUNDS_MAX = 64 };
enum { CODE_AN_INSN_MAX = 480, ROOM = 2 * RISCV_TRACE_MAX * CODE_AN_INSN_MAX };

/* ---- rules ---- */

static const struct rvx_rule *const tables[] = { rvx_int_rules,     rvx_bit_rules,       rvx_mem_rules,    rvx_fp_rules,
                                                 rvx_sys_rules,     rvx_atomic_rules,    rvx_vec_rules,    rvx_vec_mem_rules,
                                                 rvx_vec_int_rules, rvx_vec_width_rules, rvx_vec_fp_rules, rvx_vec_fp_width_rules,
                                                 rvx_vec_perm_rules };

/* Never goes on with the next instruction. */
static bool is_end(riscv_step_fn step)
{
    return step == rv_jalr || step == rv_sret || step == rv_mret || step == rv_ecall || step == rv_ebreak || step == rv_wfi
           || step == rv_wrs || step == rv_fence_i;
}

static struct rvx_kind make_kind(const struct riscv_row *row)
{
    const unsigned nr[] = { rvx_nr_int_rules,     rvx_nr_bit_rules,       rvx_nr_mem_rules,    rvx_nr_fp_rules,
                            rvx_nr_sys_rules,     rvx_nr_atomic_rules,    rvx_nr_vec_rules,    rvx_nr_vec_mem_rules,
                            rvx_nr_vec_int_rules, rvx_nr_vec_width_rules, rvx_nr_vec_fp_rules, rvx_nr_vec_fp_width_rules,
                            rvx_nr_vec_perm_rules };
    struct rvx_kind kind = { .branch = row->format == RISCV_FMT_B || row->format == RISCV_FMT_CB, .end = is_end(row->step) };
    for (unsigned t = 0; t < ARRAY_SIZE(tables); t++)
        for (unsigned k = 0; k < nr[t]; k++)
            if (tables[t][k].step == row->step)
                kind.rule = &tables[t][k];
    kind.known = kind.rule || kind.branch || row->step == rv_jal || row->step == rv_jalr;
    kind.size = (uint8_t)rvx_access_size(row->step, &kind.store);
    return kind;
}

static struct rvx_kind kinds[2048]; /* by row; written once, by make_kinds() under pthread_once */

static void make_kinds(void)
{
    for (unsigned row = 0; row < riscv_nr_rows && row < ARRAY_SIZE(kinds); row++)
        kinds[row] = make_kind(&riscv_rows[row]);
}

static const struct rvx_kind *kind_of(const struct riscv_insn *i)
{
    static const struct rvx_kind illegal = { .end = true };
    return i->row < ARRAY_SIZE(kinds) ? &kinds[i->row] : &illegal;
}

/* A jump that faults where it goes to an odd multiple of two, on harts without C; its step function does it. */
static bool may_misjump(const struct rvx *x, const struct rvx_insn *n)
{
    if (x->code->cpu->profile->has[RISCV_EXT_C])
        return false;
    return n->i.step == rv_jalr || ((n->i.step == rv_jal || n->kind->branch) && (n->i.imm & 2));
}

/* ---- the trace ---- */

/* The index in x->page of the page of va, which is added if there is room; -1. */
static int page_of(struct rvx *x, gva_t va, const struct riscv_finder *finder)
{
    gva_t page = va & GPAGE_MASK;
    for (unsigned k = 0; k < x->nr_pages; k++)
        if (x->page[k]->va == page)
            return (int)k;
    if (x->nr_pages == RISCV_TRACE_PAGES)
        return -1;
    struct riscv_code_page *p = finder->page(finder->opaque, page);
    if (!p)
        return -1;
    x->page[x->nr_pages] = p;
    return (int)x->nr_pages++;
}

static uint16_t parcel(const struct rvx *x, int page, gva_t va)
{
    uint16_t v;
    const uint8_t *host = x->code->cpu->gmem->host + (x->page[page]->page << GPAGE_SHIFT);
    memcpy(&v, host + (va & ~GPAGE_MASK), 2);
    return v;
}

/* Decodes the instruction at pc into the next place of the trace. */
static bool fetch(struct rvx *x, gva_t pc, const struct riscv_finder *finder)
{
    struct rvx_insn *n = &x->insn[x->nr];
    unsigned pages = x->nr_pages;
    int page = page_of(x, pc, finder), second = page;
    if (page < 0)
        return false;
    uint32_t bits = parcel(x, page, pc);
    if (riscv_insn_len((uint16_t)bits) == 4) {
        second = page_of(x, pc + 2, finder);
        if (second < 0)
            return false;
        bits |= (uint32_t)parcel(x, second, pc + 2) << 16;
    }
    *n = (struct rvx_insn){ .pc = pc, .page = (uint8_t)page, .enters = pages > 0 && x->nr_pages > pages };
    if (x->nr == 0 && x->nr_pages == 2)
        n->enters = true;
    riscv_decode(bits, x->code->cpu->profile, &n->i);
    n->kind = kind_of(&n->i);
    return true;
}

/* It is in the trace already, in this round of it if it is a loop. */
static bool in_trace(const struct rvx *x, gva_t pc)
{
    if (!(x->met[pc >> 7 & 3] >> (pc >> 1 & 63) & 1))
        return false;
    for (unsigned k = x->round; k < x->nr; k++)
        if (x->insn[k].pc == pc)
            return true;
    return false;
}

/* A short loop is in the trace a few times: then its accesses are checked, and requests looked for, less often. */
static bool another_round(struct rvx *x, gva_t pc)
{
    unsigned round = x->nr - x->round;
    if (x->plain || pc != x->insn[0].pc || round == 1 || round > ROUND_MAX || x->nr + round > ROUNDS_MAX)
        return false;
    x->round = x->nr;
    return true;
}

/* ra or t0, which hold return addresses. Spec: volume I, table 3 */
static bool is_link(unsigned reg)
{
    return reg == 1 || reg == 5;
}

/* What is known along the trace while it is collected: values of registers, and the calls that have not returned. */
struct flow {
    uint32_t known; /* bits */
    uint64_t value[32];
    unsigned depth; /* of call[], which wraps around */
    gva_t call[8];  /* where they return to */
};

/* Where a jump by register will go; false: no idea. */
static bool foresee(struct flow *f, const struct riscv_insn *i, gva_t *ret_pc)
{
    if (f->known >> i->rs1 & 1) {
        *ret_pc = (f->value[i->rs1] + (uint64_t)(int64_t)i->imm) & ~1ULL;
        f->depth -= f->depth && is_link(i->rs1) && i->rd == 0;
        return true;
    }
    if (!is_link(i->rs1) || i->rd != 0 || i->imm != 0 || f->depth == 0)
        return false;
    *ret_pc = f->call[--f->depth % ARRAY_SIZE(f->call)];
    return true;
}

/* The effect of the trace's last instruction on what is known. */
static void follow(struct flow *f, const struct rvx_insn *n)
{
    const struct riscv_insn *i = &n->i;
    bool jump = i->step == rv_jal || i->step == rv_jalr, sum = i->step == rv_addi && (i->rs1 == 0 || (f->known >> i->rs1 & 1));
    uint64_t imm = (uint64_t)(int64_t)i->imm, v = 0;
    if (jump)
        v = n->pc + i->len;
    else if (i->step == rv_auipc || i->step == rv_lui)
        v = (i->step == rv_auipc ? n->pc : 0) + imm;
    else if (sum)
        v = (i->rs1 ? f->value[i->rs1] : 0) + imm;
    if (jump && is_link(i->rd))
        f->call[f->depth++ % ARRAY_SIZE(f->call)] = v;
    f->known &= ~(1U << i->rd);
    if (i->rd && (jump || sum || i->step == rv_auipc || i->step == rv_lui)) {
        f->known |= 1U << i->rd;
        f->value[i->rd] = v;
    }
}

/* The trace may go on at pc, behind a jump or branch: it is not in it, and has been run. */
static bool goes_on(struct rvx *x, const struct riscv_finder *finder, gva_t pc)
{
    return in_trace(x, pc) ? another_round(x, pc) : !finder->unseen(finder->opaque, pc);
}

/* How the trace goes on behind its last instruction, and where. */
static enum rvx_way way_on(struct rvx *x, struct flow *f, const struct riscv_finder *finder, gva_t *ret_pc)
{
    struct rvx_insn *n = &x->insn[x->nr - 1];
    if (may_misjump(x, n))
        return RVX_ENDS;
    bool branch = n->kind->branch, foreseen = n->i.step == rv_jalr && foresee(f, &n->i, ret_pc);
    follow(f, n);
    if (foreseen) {
        n->target = *ret_pc;
        return in_trace(x, *ret_pc) || finder->unseen(finder->opaque, *ret_pc) ? RVX_ENDS : RVX_JUMPS;
    }
    *ret_pc = n->pc + n->i.len;
    if (n->kind->end)
        return RVX_ENDS;
    if (n->i.step == rv_jal || (branch && finder->taken(finder->opaque, n->pc))) {
        *ret_pc = n->pc + (uint64_t)(int64_t)n->i.imm;
        return goes_on(x, finder, *ret_pc) ? RVX_JUMPS : RVX_ENDS;
    }
    if (branch)
        return goes_on(x, finder, *ret_pc) ? RVX_FALLS : RVX_ENDS;
    return !in_trace(x, *ret_pc) || another_round(x, *ret_pc) ? RVX_FALLS : RVX_ENDS;
}

static bool collect(struct rvx *x, gva_t pc, const struct riscv_finder *finder)
{
    enum rvx_way way = RVX_FALLS;
    struct flow f = { .known = 0 };
    while (way != RVX_ENDS && x->nr < RISCV_TRACE_MAX) {
        if (!fetch(x, pc, finder))
            break;
        x->nr++;
        x->met[pc >> 7 & 3] |= 1ULL << (pc >> 1 & 63);
        way = way_on(x, &f, finder, &pc);
        x->insn[x->nr - 1].way = way;
    }
    if (x->nr)
        x->insn[x->nr - 1].way = RVX_ENDS;
    rvx_chain_accesses(x);
    return x->nr;
}

/* ---- flow ---- */

/* The second page is what it was, or leave. */
static void look_at_page(struct rvx *x)
{
    const struct riscv_code_page *p = x->page[1];
    x->second = true;
    asm_alu_mem_imm(x->cb, HOST_CMP, 4, at_rbp(rvx_fetch_at(x->bank, p->va)), (int32_t)p->id);
    struct rvx_tail *t = rvx_tail(x, x->k ? RVX_PC : RVX_STEP, asm_jcc(x->cb, CC_NE, NULL));
    if (t)
        t->insns = rvx_uncounted(x, false);
}

/* Goes to pc: back to the beginning, or out by the rel32 `from`. */
static void leave_by(struct rvx *x, size_t from, gva_t pc, uint32_t insns)
{
    const struct rvx_insn *now = &x->insn[x->k];
    if (pc == x->insn[0].pc && !insns && !x->plain && x->run < 0) {
        asm_patch(x->cb, from, x->cb->rx + x->checked);
        return;
    }
    struct rvx_tail *t = rvx_tail(x, RVX_LINK, from);
    if (t) {
        t->pc = pc;
        t->insns = insns;
        t->back = x->went_back || pc <= now->pc;
        t->second = x->second;
        if (now->kind->branch) {
            t->branch = now->pc;
            t->taken = pc != now->pc + now->i.len;
        }
    }
}

static void branch(struct rvx *x, const struct rvx_insn *n)
{
    gva_t next = n->pc + n->i.len, target = n->pc + (uint64_t)(int64_t)n->i.imm;
    enum host_cc cc;
    if (n->way == RVX_ENDS)
        rvx_count(x, true);
    (void)rvx_compare(x, &n->i, &cc);
    switch (n->way) {
    case RVX_FALLS: leave_by(x, asm_jcc(x->cb, cc, NULL), target, rvx_uncounted(x, true)); break;
    case RVX_JUMPS: leave_by(x, asm_jcc(x->cb, (enum host_cc)(cc ^ 1), NULL), next, rvx_uncounted(x, true)); break;
    case RVX_ENDS:
        leave_by(x, asm_jcc(x->cb, cc, NULL), target, 0);
        leave_by(x, asm_jmp(x->cb, NULL), next, 0);
        break;
    }
}

static void jump(struct rvx *x, const struct rvx_insn *n)
{
    rvx_set_imm(x, n->i.rd, n->pc + n->i.len);
    if (n->way != RVX_ENDS)
        return;
    rvx_count(x, true);
    leave_by(x, asm_jmp(x->cb, NULL), n->pc + (uint64_t)(int64_t)n->i.imm, 0);
}

void rvx_jump_to_rax(struct rvx *x, unsigned mode)
{
    int32_t at = rvx_jump_at(mode);
    struct host_mem entry = host_mem_indexed(HOST_RBP, HOST_RCX, 8, at + (int32_t)offsetof(struct riscv_jump, pc));
    asm_mov(x->cb, 4, HOST_RCX, HOST_RAX);
    asm_insn_reg(x->cb, 4, 0xc1, 5, H_RCX); /* shr ecx, imm8 */
    codebuf_put1(x->cb, RISCV_JUMP_SHIFT);
    asm_alu(x->cb, HOST_XOR, 4, HOST_RCX, HOST_RAX);
    asm_alu_imm(x->cb, HOST_AND, 4, HOST_RCX, (RISCV_JUMPS - 1) * 2); /* entries are 16 bytes, pcs are even */
    asm_insn_mem(x->cb, 8, 0x3b, H_RAX, entry);
    (void)asm_jcc(x->cb, CC_NE, x->code->stub_jump[mode]);
    entry.disp = at + (int32_t)offsetof(struct riscv_jump, code);
    asm_insn_mem(x->cb, 4, 0xff, 4, entry); /* jmp [] */
}

static void jump_anywhere(struct rvx *x, const struct riscv_insn *i, gva_t back)
{
    bool same = i->rd && i->rd == i->rs1;
    if (same) {
        rvx_lea(x, 8, H_RCX, rvx_use(x, i->rs1, H_RCX), i->imm);
        rvx_set_imm(x, i->rd, back); /* may use rax */
        asm_mov(x->cb, 8, HOST_RAX, HOST_RCX);
    } else {
        rvx_set_imm(x, i->rd, back);
        rvx_lea(x, 8, H_RAX, rvx_use(x, i->rs1, H_RAX), i->imm);
    }
    rvx_jump_to_rax(x, x->mode & ~(unsigned)RISCV_MODE_PLAIN);
}

/* The trace goes on at n->target, if that is where the jump goes. */
static void jump_as_foreseen(struct rvx *x, const struct rvx_insn *n)
{
    const struct riscv_insn *i = &n->i;
    uint64_t imm = (uint64_t)(int64_t)i->imm;
    if (!(x->known >> i->rs1 & 1) || ((x->known_value[i->rs1] + imm) & ~1ULL) != n->target) {
        unsigned a = rvx_use(x, i->rs1, H_RAX);
        uint64_t want = n->target - imm;
        if ((int64_t)want == (int32_t)want) {
            asm_alu_imm(x->cb, HOST_CMP, 8, hg(a), (int32_t)want);
        } else {
            asm_mov_imm(x->cb, HOST_RCX, want);
            asm_alu(x->cb, HOST_CMP, 8, hg(a), HOST_RCX);
        }
        struct rvx_tail *t = rvx_tail(x, RVX_TURN, asm_jcc(x->cb, CC_NE, NULL));
        if (t) {
            t->insns = rvx_uncounted(x, true);
            t->k = x->k;
        }
    }
    rvx_set_imm(x, i->rd, n->pc + i->len);
}

void rvx_turn(struct rvx *x, const struct rvx_tail *t)
{
    const struct rvx_insn *n = &x->insn[t->k];
    jump_anywhere(x, &n->i, n->pc + n->i.len);
}

static void jump_register(struct rvx *x, const struct rvx_insn *n)
{
    if (n->way == RVX_JUMPS) {
        jump_as_foreseen(x, n);
        return;
    }
    rvx_count(x, true);
    jump_anywhere(x, &n->i, n->pc + n->i.len);
}

struct riscv_callout *rvx_new_callout(struct rvx *x, const struct riscv_insn *i)
{
    struct riscv_callout *o = riscv_code_alloc(x->code, sizeof(*o));
    if (!o) {
        x->failed = true;
        return NULL;
    }
    *o = (struct riscv_callout){ .insn = *i,
                                 .pc = x->insn[x->k].pc,
                                 .insns = rvx_uncounted(x, false),
                                 .mode = (uint8_t)(x->mode & ~(unsigned)RISCV_MODE_PLAIN),
                                 .vector = i->row != RISCV_ROW_NONE && riscv_rows[i->row].format >= RISCV_FMT_VSETI
                                           && riscv_rows[i->row].format <= RISCV_FMT_VD };
    return o;
}

void rvx_callout(struct rvx *x, const struct riscv_insn *i)
{
    const struct riscv_callout *o = rvx_new_callout(x, i);
    if (!o)
        return;
    asm_mov_imm(x->cb, HOST_RAX, (uint64_t)o);
    (void)asm_call(x->cb, x->code->stub_callout[x->fp]);
    x->counted = x->k + 1;
    rvx_forget(x);
    x->code->called_out++;
}

/* Leaves, for the interpreter to do it: what never goes on here, and may wait for other harts, which may wait for us to be
 * outside (struct gmem_storer). */
static void step(struct rvx *x, const struct rvx_insn *n)
{
    rvx_count(x, false);
    asm_mov_imm(x->cb, HOST_RAX, n->pc);
    (void)asm_jmp(x->cb, x->code->stub_step[x->fp]);
}

/* Goes elsewhere by its step function: returns, calls of the kernel, and jumps that may fault. */
static void go_elsewhere(struct rvx *x, const struct rvx_insn *n)
{
    if (rvx_switch(x, &n->i))
        return;
    rvx_callout(x, &n->i);
    leave_by(x, asm_jmp(x->cb, NULL), n->pc + n->i.len, 0); /* or it went to the next instruction, in the same mode */
}

/* ---- one translation ---- */

static void instruction(struct rvx *x)
{
    const struct rvx_insn *n = &x->insn[x->k];
    const struct rvx_rule *rule = n->kind->rule;
    x->skip = 0;
    if (n->enters)
        look_at_page(x);
    if (may_misjump(x, n))
        go_elsewhere(x, n);
    else if (n->kind->branch)
        branch(x, n);
    else if (n->i.step == rv_jal)
        jump(x, n);
    else if (n->i.step == rv_jalr)
        jump_register(x, n);
    else if (n->i.step == rv_sret || n->i.step == rv_mret || (n->i.step == rv_ecall && x->bank == RISCV_BANK_U))
        go_elsewhere(x, n);
    else if (n->kind->end)
        step(x, n);
    else if (!rule || !rule->emit(x, &n->i, rule->arg))
        rvx_callout(x, &n->i);
    rvx_vec_after(x, &n->i);
}

/* The last instruction goes on with the next. */
static void fall_out(struct rvx *x)
{
    const struct rvx_insn *n = &x->insn[x->nr - 1];
    if (n->kind->end || n->kind->branch || n->i.step == rv_jal)
        return;
    x->k = x->nr - 1;
    rvx_count(x, true);
    leave_by(x, asm_jmp(x->cb, NULL), n->pc + n->i.len, 0);
}

/* Compares the vCPU's requests with 0. */
static void put_request_check(struct rvx *x)
{
    const _Atomic uint32_t *requests = &x->code->cpu->vcpu->requests;
    if (codebuf_reaches(x->cb, requests)) {
        enum { OP_ALU_IMM8 = 0x83, MODRM_CMP_RIP = 0x3d, LEN = 7 };
        const uint8_t *end = codebuf_here(x->cb) + LEN;
        codebuf_put1(x->cb, OP_ALU_IMM8);
        codebuf_put1(x->cb, MODRM_CMP_RIP);
        codebuf_put4(x->cb, (uint32_t)((const uint8_t *)requests - end));
        codebuf_put1(x->cb, 0);
        return;
    }
    asm_load(x->cb, 8, HOST_RAX, at_rbp(FRAME(shared.requests)));
    asm_alu_mem_imm(x->cb, HOST_CMP, 4, host_mem(HOST_RAX, 0), 0);
}

/* Leaves when it has run as often as it was to. */
static void count_run(struct rvx *x)
{
    x->code->frame[0]->shared.runs[x->run] = x->code->runs_many;
    asm_alu_mem_imm(x->cb, HOST_SUB, 4, at_rbp(FRAME(shared.runs) + x->run * (int32_t)sizeof(int32_t)), 1);
    (void)rvx_tail(x, RVX_OFTEN, asm_jcc(x->cb, CC_S, NULL));
}

/* How accesses are checked. A kernel accesses what is mapped for it alone, and everything else: it looks into the TLB. A program
 * gets windows where it runs all the time: each page that they show takes the host some microseconds. */
static void choose_checks(struct rvx *x, gva_t pc)
{
    bool may = x->bank == RISCV_BANK_U && !x->plain && !rvx_pc_is_in(x->code->unfit, pc);
    bool often = rvx_pc_is_in(x->code->often, pc);
    x->windows = may && often;
    x->run = may && !often && x->code->nr_runs < RISCV_RUNS ? (int32_t)x->code->nr_runs++ : -1;
}

/* Follows what registers may hold. */
static void guess_on(struct rvx *x, const struct riscv_insn *i)
{
    if (!i->rd)
        return;
    if (x->known >> i->rd & 1)
        x->guess[i->rd] = x->known_value[i->rd];
    else if (i->step == rv_addi)
        x->guess[i->rd] = x->guess[i->rs1] + (uint64_t)(int64_t)i->imm;
    else if (i->step == rv_add)
        x->guess[i->rd] = x->guess[i->rs1] + x->guess[i->rs2];
}

static void put_body(struct rvx *x)
{
    codebuf_align(x->cb, 16);
    x->checked = x->cb->pos;
    put_request_check(x);
    struct rvx_tail *t = rvx_tail(x, RVX_PC, asm_jcc(x->cb, CC_NE, NULL));
    (void)t; /* with the pc of the first instruction, and nothing to count */
    x->entry = x->cb->pos;
    if (x->run >= 0)
        count_run(x);
    for (x->k = 0; x->k < x->nr; x->k += 1 + x->skip) {
        x->went_back = x->went_back || (x->k && x->insn[x->k].pc <= x->insn[x->k - 1].pc);
        x->at[x->k] = (uint16_t)(x->cb->pos - x->entry);
        x->counts[x->k] = (uint8_t)rvx_uncounted(x, false);
        instruction(x);
        for (unsigned k = x->k; k <= x->k + x->skip; k++)
            guess_on(x, &x->insn[k].i);
        if (x->skip && x->k + 1 < x->nr) { /* a fault is the first one's */
            x->at[x->k + 1] = (uint16_t)(x->cb->pos - x->entry);
            x->counts[x->k + 1] = (uint8_t)(x->counts[x->k] + 1);
        }
    }
    fall_out(x);
}

static struct riscv_native *finish(struct rvx *x, uint32_t first_link)
{
    struct riscv_code *code = x->code;
    const uint8_t *end = codebuf_here(x->cb);
    const size_t cold = code->cold, hot = riscv_code_to_cold(code);
    rvx_tails(x);
    const uint8_t *gone = codebuf_here(x->cb);
    asm_mov_imm(x->cb, HOST_RAX, x->insn[0].pc);
    (void)asm_jmp(x->cb,
                  x->plain ? code->stub_plain[x->fp] : code->stub_pc[x->fp]); /* what led to plain code leads there still */
    riscv_code_to_hot(code, hot);
    struct riscv_native *n = riscv_code_alloc(code, sizeof(*n) + x->nr * sizeof(n->start[0]));
    if (!n || x->failed || x->cb->failed)
        return NULL;
    *n = (struct riscv_native){
        .pc = x->insn[0].pc, .mode = (uint8_t)x->mode, .nr = (uint8_t)x->nr, .gone = gone, .end = end, .run = x->run
    };
    n->first_link = first_link;
    n->nr_links = code->nr_links - first_link;
    n->since = __builtin_ia32_rdtsc();
    n->checked = x->cb->rx + x->checked;
    n->entry = x->cb->rx + x->entry;
    n->nr_pages = (uint8_t)x->nr_pages;
    for (unsigned k = 0; k < x->nr_pages; k++)
        n->page[k] = x->page[k];
    for (unsigned k = 0; k < x->nr; k++)
        n->start[k] = (struct riscv_start){ .bits = x->insn[k].i.bits,
                                            .code = x->at[k],
                                            .uncounted = x->counts[k],
                                            .off = (uint16_t)(x->insn[k].pc & ~GPAGE_MASK),
                                            .second = x->insn[k].page };
    for (unsigned k = 0; k < x->nr_misses; k++)
        x->miss[k]->from = n;
    for (uint32_t k = first_link; k < code->nr_links; k++)
        code->link[k].from = n;
    if (code->log)
        riscv_code_log(x, n, cold);
    code->native[code->nr_natives++] = n;
    code->translated++;
    code->insns += x->nr;
    return n;
}

struct riscv_native *riscv_translate(struct riscv_code *code, gva_t pc, unsigned mode, const struct riscv_finder *finder)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct rvx *x = code->work;
    uint32_t links = code->nr_links;
    size_t pos = code->cb.pos, cold = code->cold;
    memset(x, 0, offsetof(struct rvx, insn));
    x->code = code;
    x->cb = &code->cb;
    x->mode = mode;
    x->bank = (mode & ~(unsigned)RISCV_MODE_PLAIN) / 2;
    x->fp = mode & RISCV_MODE_FP;
    x->plain = mode & RISCV_MODE_PLAIN;
    choose_checks(x, pc);
    x->went_back = false;
    x->nr_pages = x->round = x->k = x->counted = x->known = x->boxed = x->nr_tails = x->nr_misses = 0;
    x->failed = x->second = x->anew = false;
    memset(x->met, 0, sizeof(x->met));
    (void)pthread_once(&once, make_kinds); /* cannot fail with a valid once */
    memset(x->group, 0, sizeof(x->group));
    memcpy(x->guess, code->cpu->x, sizeof(x->guess));
    if (!collect(x, pc, finder))
        return NULL;
    size_t arena = code->arena_pos; /* pages that were found stay */
    put_body(x);
    struct riscv_native *n = finish(x, links);
    if (!n) {
        codebuf_rollback(&code->cb, pos);
        code->cold = cold;
        code->nr_links = links;
        code->arena_pos = arena;
    } else {
        codebuf_goes(&code->cb, pos, code->cb.pos);
        codebuf_goes(&code->cb, cold, code->cold);
    }
    return n;
}

bool riscv_code_has_room(const struct riscv_code *code)
{
    return code->cb.pos + ROOM < code->cold_base && code->cold + ROOM < code->cb.size && code->arena_pos + ROOM < code->arena_size
           && code->nr_links + 2 * RISCV_TRACE_MAX < code->links_max && code->nr_natives < code->natives_max;
}
