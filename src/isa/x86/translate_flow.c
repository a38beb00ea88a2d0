/* SPDX-License-Identifier: MIT */
/*
 * The translator's branches, calls and stack operations.
 *
 * A direct jump within the page ends in a rel32 that the engine later points at the target's near or inner entry; one to another
 * page at its cross entry, which makes sure that the page is still there. Every indirect jump goes through the bank's jump cache
 * by linear address, emptied when mappings change, so that a hit needs no translation; behind it is a table by place in guest
 * memory, which mappings do not concern.
 */
#include <assert.h>

#include "isa/x86/insn_steps.h"
#include "isa/x86/translate_emit.h"

enum { SIB_NONE = H_RSP };

static int32_t bank_offset(const struct xl *x, size_t member)
{
    return FRAME(bank) + (int32_t)(x->bank * sizeof(struct x86_frame_bank) + member);
}

size_t xl_jrcxz(struct xl *x)
{
    XL_BYTES(x, 0xe3, 0);
    return x->cb->pos;
}

void xl_here(struct xl *x, size_t from)
{
    assert(x->cb->failed || x->cb->pos - from < 128);
    if (!x->cb->failed)
        x->cb->rw[from - 1] = (uint8_t)(x->cb->pos - from);
}

void xl_loop(struct xl *x, size_t to)
{
    assert(x->cb->failed || x->cb->pos + 2 - to <= 128);
    XL_BYTES(x, 0xe2, (uint8_t)(to - (x->cb->pos + 2)));
}

/* Where the jump cache says for linear address r11, or where it knows nothing. */
static void jump_to_r11(struct xl *x)
{
    xl_pext(x, H_RCX, H_R11, FRAME(jump_mask));
    XL_BYTES(x, 0xff, 0xa4, 0xcc); /* jmp [rsp + rcx * 8 + jump_code] */
    codebuf_put4(x->cb, (uint32_t)(bank_offset(x, offsetof(struct x86_frame_bank, jump_code))));
}

void xl_put_branch(struct xl *x, uint32_t word)
{
    static_assert(FRAME(branch) <= 127, "a short displacement is assumed");
    XL_BYTES(x, 0xc7, 0x44, 0x24, FRAME(branch));
    codebuf_put4(x->cb, word);
}

/* frame.branch for the current instruction, which has moved rSP by so much. */
static uint32_t branch_word(const struct xl *x, int32_t moved)
{
    return (uint32_t)x->off | (uint32_t)(moved + XL_BRANCH_MOVED_0) << XL_BRANCH_MOVED;
}

/* To the block at linear address r11. If that is no address the branch is interpreted: it faults. */
static void goto_r11(struct xl *x, uint32_t word)
{
    xl_put_branch(x, word);
    jump_to_r11(x);
}

void xl_canonical(struct xl *x)
{
    asm_mov_imm(x->cb, HOST_RCX, 1ULL << 47);
    xl_lea(x, 8, H_RCX, H_RCX, H_R11, 1, 0);
    xl_pext(x, H_RCX, H_RCX, FRAME(upper_mask));
}

void xl_leave_unless_canonical(struct xl *x)
{
    xl_canonical(x);
    size_t fine = xl_jrcxz(x);
    XL_BYTES(x, 0x48, 0xc7, 0x44, 0x24, FRAME(exit));
    codebuf_put4(x->cb, FRAME_EXIT_BRANCH);
    (void)xl_jmp(x, x->code->stub_exit);
    xl_here(x, fine);
}

/* rcx = 0 when the page of r11 is among the bank's pages of code. */
static void put_is_fetched(struct xl *x)
{
    xl_pext(x, H_RCX, H_R11, FRAME(fetch_mask));
    xl_load_rcx8(x, H_RCX, bank_offset(x, offsetof(struct x86_frame_bank, fetch_neg)));
    xl_lea(x, 8, H_RCX, H_RCX, H_R11, 1, 0);
    xl_pext(x, H_RCX, H_RCX, FRAME(page_mask));
}

/* op reg, [base + index * 8 + disp], 64 bits, of the low eight registers */
static void put_indexed(struct xl *x, unsigned opcode, unsigned reg, unsigned base, unsigned index, int32_t disp)
{
    XL_BYTES(x, 0x48, (uint8_t)opcode, (uint8_t)(0x84 | reg << 3), (uint8_t)(0xc0 | index << 3 | base));
    codebuf_put4(x->cb, (uint32_t)disp);
}

/* What jumps to r11 do that the jump cache does not know: a look by place in guest memory, which also enters them there. Keeps
 * flags; uses the stack below the frame. Runs on behind when that does not know either. */
static void put_jump_stub(struct xl *x)
{
    const int32_t area = 2 * 8; /* of the frame, with two registers pushed */
    put_is_fetched(x);
    size_t fetched = xl_jrcxz(x);
    size_t unknown = xl_jmp(x, NULL);
    xl_here(x, fetched);
    asm_push(x->cb, HOST_RAX);
    asm_push(x->cb, HOST_RDX);
    /* rax = place_key() */
    xl_pext(x, H_RCX, H_R11, area + FRAME(fetch_mask));
    put_indexed(x, 0x8b, H_RAX, H_RSP, H_RCX, area + bank_offset(x, offsetof(struct x86_frame_bank, fetch_key)));
    xl_lea(x, 8, H_RAX, H_RAX, H_R11, 1, 0);
    xl_pext(x, H_RDX, H_R11, area + FRAME(off_mask));
    asm_mov(x->cb, 8, HOST_RCX, hg(H_RDX));
    XL_BYTES(x, 0x48, 0xf7, 0xd1); /* not rcx */
    xl_lea(x, 8, H_RAX, H_RAX, H_RCX, 1, 1);
    XL_BYTES(x, 0xc4, 0xe3, 0xfb, 0xf0, 0xc0, 64 - GPAGE_SHIFT); /* rorx rax, rax, 52 */
    xl_lea(x, 8, H_RAX, H_RAX, H_RDX, 1, 0);
    /* rdx = its entry */
    xl_pext(x, H_RCX, H_RAX, area + FRAME(place_mask));
    xl_load(x, H_RDX, area + FRAME(places) + 8 * (int32_t)x->bank);
    static_assert(2 * sizeof(struct x86_place) == 4 * 8, "a pair is 32 bytes");
    xl_lea_index(x, 8, H_RCX, H_RCX, 4, 0);
    xl_lea(x, 8, H_RDX, H_RDX, H_RCX, 8, 0);
    asm_load(x->cb, 8, HOST_RCX, host_mem(hg(H_RDX), offsetof(struct x86_place, neg_key)));
    xl_lea(x, 8, H_RCX, H_RCX, H_RAX, 1, 0);
    size_t found = xl_jrcxz(x);
    xl_lea(x, 8, H_RDX, H_RDX, SIB_NONE, 1, sizeof(struct x86_place)); /* the other one of the pair */
    asm_load(x->cb, 8, HOST_RCX, host_mem(hg(H_RDX), offsetof(struct x86_place, neg_key)));
    xl_lea(x, 8, H_RCX, H_RCX, H_RAX, 1, 0);
    size_t found_too = xl_jrcxz(x);
    asm_pop(x->cb, HOST_RDX);
    asm_pop(x->cb, HOST_RAX);
    size_t absent = xl_jmp(x, NULL);
    xl_here(x, found);
    xl_here(x, found_too);
    asm_load(x->cb, 8, HOST_RCX, host_mem(hg(H_RDX), offsetof(struct x86_place, code)));
    xl_pext(x, H_RDX, H_R11, area + FRAME(jump_mask));
    put_indexed(x, 0x89, H_RCX, H_RSP, H_RDX, area + bank_offset(x, offsetof(struct x86_frame_bank, jump_code)));
    asm_mov(x->cb, 8, HOST_RAX, HOST_R11);
    XL_BYTES(x, 0x48, 0xf7, 0xd0); /* not rax */
    xl_lea(x, 8, H_RAX, H_RAX, SIB_NONE, 1, 1);
    put_indexed(x, 0x89, H_RAX, H_RSP, H_RDX, area + bank_offset(x, offsetof(struct x86_frame_bank, jump_neg)));
    asm_pop(x->cb, HOST_RDX);
    asm_pop(x->cb, HOST_RAX);
    jump_to_r11(x);
    xl_patch(x, unknown, x->cb->pos);
    xl_patch(x, absent, x->cb->pos);
}

void xl_jump_stubs(struct xl *x)
{
    x->code->stub_jump[x->bank] = codebuf_here(x->cb);
    put_jump_stub(x);
    xl_leave_unless_canonical(x);
    xl_store(x, FRAME(rip), H_R11);
    (void)xl_jmp(x, x->code->stub_exit);
    x->code->stub_cross[x->bank] = codebuf_here(x->cb);
    put_jump_stub(x);
    xl_store(x, FRAME(rip), H_R11);
    (void)xl_jmp(x, x->code->stub_exit);
}

/* Goes on when rcx is 0, else to `other`; where that is near (it must be before here) and the host's LOOP is cheap, by that,
 * which is then a branch that is never taken. rcx is made by lea rcx, [rcx + r11 + disp]. */
static void put_unless(struct xl *x, size_t island, const uint8_t *other, int32_t disp)
{
    bool loops = island && x->code->loops;
    xl_lea(x, 8, H_RCX, H_RCX, H_R11, 1, disp + loops);
    if (loops) {
        xl_loop(x, island);
        return;
    }
    size_t here = xl_jrcxz(x);
    (void)xl_jmp(x, other);
    xl_here(x, here);
}

/* A jump that nothing runs into. */
static size_t put_island(struct xl *x, const uint8_t *to)
{
    size_t at = x->cb->pos;
    if (!x->code->loops)
        return 0;
    (void)xl_jmp(x, to);
    return at;
}

const uint8_t *xl_jump_entry(struct xl *x)
{
    const uint8_t *other = x->code->stub_jump[x->bank];
    size_t island = put_island(x, other);
    const uint8_t *entry = codebuf_here(x->cb);
    xl_load_rcx8(x, H_RCX, bank_offset(x, offsetof(struct x86_frame_bank, jump_neg)));
    put_unless(x, island, other, 0);
    return entry;
}

const uint8_t *xl_cross_entry(struct xl *x, int32_t off, const uint8_t *far_entry)
{
    const uint8_t *other = x->code->stub_cross[x->bank];
    size_t island = put_island(x, other);
    const uint8_t *entry = codebuf_here(x->cb);
    xl_pext(x, H_RCX, H_R11, FRAME(fetch_mask));
    xl_load_rcx8(x, H_RCX, bank_offset(x, offsetof(struct x86_frame_bank, fetch_key)));
    put_unless(x, island, other, -off - (int32_t)x->b->page);
    (void)xl_jmp(x, far_entry);
    return entry;
}

void xl_goto_stub(struct xl *x)
{
    x->code->frame->stub_goto[x->bank] = (uint64_t)(uintptr_t)codebuf_here(x->cb);
    jump_to_r11(x); /* an address: what led here has looked */
}

void xl_goto(struct xl *x, int32_t off, bool back)
{
    back |= x->went_back;
    if (off >= 0 && off < (int32_t)GPAGE_SIZE) {
        xl_tail(x, (struct tail){ .kind = TAIL_EXIT, .from = xl_jmp(x, NULL), .off = off, .link = true, .back = back });
        return;
    }
    uint32_t word = branch_word(x, x->insn[x->k]->step == step_call_near ? -8 : 0);
    xl_load(x, H_R11, FRAME(page_va));
    xl_lea(x, 8, H_R11, H_R11, SIB_NONE, 1, off);
    if (x->c->gmem->size >> GPAGE_SHIFT > CROSS_PAGES_MAX)
        goto_r11(x, word);
    else
        xl_tail(x, (struct tail){ .kind = TAIL_CROSS, .from = xl_jmp(x, NULL), .branch = word });
}

static int32_t next_off(const struct xl *x, const struct x86_insn *i)
{
    return x->off + i->len;
}

/* The target of a relative branch; false when it is too far for a displacement from the page. */
static bool target_off(const struct xl *x, const struct x86_insn *i, int32_t *ret_off)
{
    return !__builtin_add_overflow(next_off(x, i), (int32_t)i->imm, ret_off);
}

/* In a trace: one way is a side exit, the other goes on behind. */
static void jcc_in_trace(struct xl *x, const struct x86_insn *i, int32_t to)
{
    unsigned cc = i->bytes[i->layout.opcode] & 15, way = x->way[x->k];
    int32_t side = way == XL_FALLS ? to : next_off(x, i);
    bool back = side <= x->off || x->went_back;
    if (side >= 0 && side < (int32_t)GPAGE_SIZE) {
        XL_BYTES(x, 0x0f, (uint8_t)(0x80 | (way == XL_FALLS ? cc : cc ^ 1)));
        codebuf_put4(x->cb, 0);
        xl_tail(x, (struct tail){ .kind = TAIL_EXIT, .from = x->cb->pos - 4, .off = side, .link = true, .back = back });
        return;
    }
    XL_BYTES(x, 0x0f, (uint8_t)(0x80 | (way == XL_FALLS ? cc ^ 1 : cc)));
    codebuf_put4(x->cb, 0);
    size_t from = x->cb->pos - 4;
    xl_goto(x, side, back);
    xl_patch(x, from, x->cb->pos);
    x->rcx_next = -1; /* it would be so on one way only, or so it looks */
}

static void jcc(struct xl *x, const struct x86_insn *i, int32_t to)
{
    unsigned cc = i->bytes[i->layout.opcode] & 15;
    int32_t next = next_off(x, i);
    if (x->falls_mostly && next < (int32_t)GPAGE_SIZE) { /* one jump for that way instead of two */
        XL_BYTES(x, 0x0f, (uint8_t)(0x80 | (cc ^ 1)));
        codebuf_put4(x->cb, 0);
        xl_tail(x, (struct tail){ .kind = TAIL_EXIT, .from = x->cb->pos - 4, .off = next, .link = true, .back = x->went_back });
        xl_goto(x, to, to <= x->off);
        return;
    }
    if (to >= 0 && to < (int32_t)GPAGE_SIZE) {
        XL_BYTES(x, 0x0f, (uint8_t)(0x80 | cc));
        codebuf_put4(x->cb, 0);
        xl_tail(x,
                (struct tail){
                    .kind = TAIL_EXIT, .from = x->cb->pos - 4, .off = to, .link = true, .back = to <= x->off || x->went_back });
    } else {
        XL_BYTES(x, 0x0f, (uint8_t)(0x80 | (cc ^ 1))); /* the other way over the long path */
        codebuf_put4(x->cb, 0);
        size_t from = x->cb->pos - 4;
        xl_goto(x, to, to <= x->off);
        xl_patch(x, from, x->cb->pos);
    }
    xl_goto(x, next_off(x, i), false);
}

void xl_store_at(struct xl *x, struct xl_place p, unsigned src)
{
    XL_BYTES(x, (uint8_t)(0x48 | (src >> 3 & 1) << 2 | (p.base >> 3 & 1)), 0x89);
    xl_modrm_place(x, src & 7, p);
}

void xl_load_at(struct xl *x, struct xl_place p, unsigned dst)
{
    if (dst == H_RCX)
        x->rcx_group = -1;
    XL_BYTES(x, (uint8_t)(0x48 | (dst >> 3 & 1) << 2 | (p.base >> 3 & 1)), 0x8b);
    xl_modrm_place(x, dst & 7, p);
}

void xl_settle_rsp(struct xl *x)
{
    if (x->rsp_ahead)
        xl_lea(x, 8, H_R15, H_R15, SIB_NONE, 1, x->rsp_ahead);
    x->rsp_ahead = 0;
}

bool xl_keeps_rsp_ahead(const struct xl *x, const struct x86_insn *i)
{
    const struct xl_note *n = &x->note[x->k];
    bool pops = i->step == step_pop && i->op[0].kind == OPND_REG;
    if (i->opsize != 8 || n->group < 0 || !x->group[n->group].checked)
        return false;
    if (i->step == step_ret_near)
        return true;
    return (pops || (i->step == step_push && i->op[0].kind != OPND_MEM)) && (i->op[0].kind != OPND_REG || i->op[0].reg != RSP);
}

/* The stack moves by that. What is checked as a group cannot fault any more, so r15 may learn of it later. */
static void moved(struct xl *x, int32_t by)
{
    x->rsp_ahead += by;
    if (x->note[x->k].group < 0)
        xl_settle_rsp(x);
}

/* Where the instruction accesses the stack, at RSP + disp. */
static struct xl_place stack_place(struct xl *x, int32_t disp, enum x86_access access)
{
    struct xl_place p = xl_stack(x, RSP, disp, access);
    p.disp += x->rsp_ahead;
    return p;
}

static void push_done(struct xl *x)
{
    moved(x, -8);
}

void xl_store_rcx_at(struct xl *x, struct xl_place p, int32_t from_frame, int32_t plus)
{
    if (p.base != H_R11) { /* then that is free, and rcx stays */
        xl_load(x, H_R11, from_frame);
        if (plus)
            xl_lea(x, 8, H_R11, H_R11, SIB_NONE, 1, plus);
        xl_store_at(x, p, H_R11);
        return;
    }
    xl_fold(x, p);
    xl_load(x, H_RCX, from_frame);
    if (plus)
        xl_lea(x, 8, H_RCX, H_RCX, SIB_NONE, 1, plus);
    XL_BYTES(x, 0x49, 0x89, (uint8_t)(H_RCX << 3 | (H_R11 & 7)));
}

static bool push_memory(struct xl *x, const struct x86_insn *i)
{
    struct xl_place p;
    if (!xl_operand(x, i, 8, X86_READ, false, &p))
        return false;
    xl_load_at(x, p, H_R11);
    xl_store(x, FRAME(tmp), H_R11);
    xl_store_rcx_at(x, xl_stack(x, RSP, -8, X86_WRITE), FRAME(tmp), 0);
    push_done(x);
    return true;
}

static bool push(struct xl *x, const struct x86_insn *i)
{
    if (i->opsize != 8)
        return false;
    if (i->op[0].kind == OPND_MEM)
        return push_memory(x, i);
    struct xl_place p = stack_place(x, -8, X86_WRITE);
    if (i->op[0].kind == OPND_IMM) { /* mov qword [place], imm32 */
        XL_BYTES(x, (uint8_t)(0x48 | (p.base >> 3 & 1)), 0xc7);
        xl_modrm_place(x, 0, p);
        codebuf_put4(x->cb, (uint32_t)i->imm);
    } else if (xr_host(i->op[0].reg) == XR_MEM) {
        xl_store_rcx_at(x, p, xr_frame(i->op[0].reg), 0);
    } else {
        xl_store_at(x, p, xr_host(i->op[0].reg));
    }
    push_done(x);
    x->rcx_next = x->rcx_group;
    return true;
}

static bool pop(struct xl *x, const struct x86_insn *i)
{
    if (i->opsize != 8 || i->op[0].kind != OPND_REG)
        return false;
    unsigned h = xr_host(i->op[0].reg);
    struct xl_place p = stack_place(x, 0, X86_READ);
    if (h == H_R15) {
        xl_load_at(x, p, H_R15);
        x->rcx_next = x->rcx_group;
        return true;
    }
    xl_load_at(x, p, h == XR_MEM ? H_RCX : h);
    if (h == XR_MEM)
        xl_store(x, xr_frame(i->op[0].reg), H_RCX);
    moved(x, 8);
    x->rcx_next = x->rcx_group;
    return true;
}

static void push_return(struct xl *x, const struct x86_insn *i)
{
    xl_store_rcx_at(x, xl_stack(x, RSP, -8, X86_WRITE), FRAME(page_va), next_off(x, i));
    push_done(x);
    xl_settle_rsp(x);
}

/* The target of an indirect jump or call in r11. */
static bool indirect_target(struct xl *x, const struct x86_insn *i)
{
    if (i->opsize != 8)
        return false;
    if (i->op[0].kind == OPND_MEM) {
        int8_t group = x->note[x->k].group; /* that is the push's; the target's address is checked on its own */
        struct xl_place p;
        x->note[x->k].group = -1;
        bool ok = xl_operand(x, i, 8, X86_READ, false, &p);
        x->note[x->k].group = group;
        if (!ok)
            return false;
        xl_load_at(x, p, H_R11);
    } else if (xr_host(i->op[0].reg) == XR_MEM) {
        xl_load(x, H_R11, xr_frame(i->op[0].reg));
    } else {
        asm_mov(x->cb, 8, HOST_R11, hg(xr_host(i->op[0].reg)));
    }
    return true;
}

static bool call_indirect(struct xl *x, const struct x86_insn *i)
{
    bool stays = i->op[0].kind == OPND_REG && i->op[0].reg != RSP && xr_host(i->op[0].reg) != XR_MEM && i->opsize == 8;
    if (!stays && !indirect_target(x, i))
        return false;
    if (!stays)
        xl_store(x, FRAME(tmp), H_R11);
    /* an address that is none faults before anything is pushed: what was there is kept until it has proved to be one */
    struct xl_place p = xl_stack(x, RSP, -8, X86_WRITE);
    if (p.base == H_R11) {
        xl_fold(x, p);
        p = (struct xl_place){ .base = H_R11, .index = SIB_NONE, .disp = 0 };
        xl_load_at(x, p, H_RCX);
        xl_store(x, FRAME(overwritten), H_RCX);
    } else {
        xl_load_at(x, p, H_R11);
        xl_store(x, FRAME(overwritten), H_R11);
    }
    xl_store_rcx_at(x, p, FRAME(page_va), next_off(x, i));
    push_done(x);
    xl_settle_rsp(x);
    if (stays)
        asm_mov(x->cb, 8, HOST_R11, hg(xr_host(i->op[0].reg)));
    else
        xl_load(x, H_R11, FRAME(tmp));
    goto_r11(x, branch_word(x, -8) | XL_BRANCH_CALLS);
    return true;
}

static void ret(struct xl *x, const struct x86_insn *i)
{
    static_assert((8 + UINT16_MAX + XL_BRANCH_MOVED_0) < 1 << (32 - XL_BRANCH_MOVED), "it fits frame.branch");
    int32_t moves = 8 + (i->nr_opnds ? (int32_t)(i->imm & 0xffff) : 0);
    xl_load_at(x, stack_place(x, 0, X86_READ), H_R11);
    x->rsp_ahead += moves;
    xl_settle_rsp(x);
    goto_r11(x, branch_word(x, moves));
}

static void leave(struct xl *x)
{
    struct xl_place p = xl_stack(x, RBP, 0, X86_READ);
    xl_lea(x, 8, H_R15, H_RBP, SIB_NONE, 1, 8);
    xl_load_at(x, p, H_RBP);
}

/* At CPL 0, where all supervisor code is translated. */
static void swapgs(struct xl *x)
{
    xl_load(x, H_R11, FRAME(gs_base));
    xl_store(x, FRAME(tmp), H_R11);
    xl_load(x, H_RCX, FRAME(cpu));
    asm_load(x->cb, 8, HOST_R11, host_mem(HOST_RCX, offsetof(struct x86_cpu, kernel_gs_base)));
    xl_store(x, FRAME(gs_base), H_R11);
    asm_store(x->cb, 8, host_mem(HOST_RCX, offsetof(struct x86_cpu, seg[SEG_GS].base)), HOST_R11);
    xl_load(x, H_R11, FRAME(tmp));
    asm_store(x->cb, 8, host_mem(HOST_RCX, offsetof(struct x86_cpu, kernel_gs_base)), HOST_R11);
}

bool xl_flow(struct xl *x, const struct x86_insn *i, bool *ret_ends)
{
    x86_step_fn f = i->step;
    int32_t to;
    *ret_ends = true;
    if (f == step_jcc || f == step_jmp_near || f == step_call_near) {
        if (!target_off(x, i, &to))
            return false;
        if (x->way[x->k] != XL_LEAVES) {
            *ret_ends = false;
            x->rcx_next = x->rcx_group;
            if (f == step_jcc)
                jcc_in_trace(x, i, to);
            return true;
        }
        if (f == step_jcc) {
            jcc(x, i, to);
            return true;
        }
        if (f == step_call_near)
            push_return(x, i);
        xl_goto(x, to, to <= x->off);
        return true;
    }
    if (f == step_ret_near) {
        ret(x, i);
        return true;
    }
    if (f == step_jmp_near_ind) {
        if (!indirect_target(x, i))
            return false;
        goto_r11(x, branch_word(x, 0));
        return true;
    }
    if (f == step_call_near_ind)
        return call_indirect(x, i);
    *ret_ends = false;
    if (f == step_push)
        return push(x, i);
    if (f == step_pop)
        return pop(x, i);
    if (f == step_swapgs && x->bank != X86_BANK_USER) {
        swapgs(x);
        return true;
    }
    if (f == step_leave && i->opsize == 8) {
        leave(x);
        return true;
    }
    return false;
}
