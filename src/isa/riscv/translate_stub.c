/* SPDX-License-Identifier: MIT */
/*
 * The host code that all translations share: entry, exits, misses, call-outs; its C side; and the code behind a
 * translation.
 *
 * Translated code runs on the vCPU thread's stack, with rsp as riscv_code_run()'s call left it. A step function that raises
 * longjmps away from it, which is fine: nothing there is owned.
 */
#include "base/checked.h"
#include "core/vcpu.h"
#include "isa/riscv/insn_steps.h"
#include "isa/riscv/translate_emit.h"
#include "isa/riscv/trap.h"

enum { HOT_SHARE = 45 /* per cent of the code */, LARGE_PAGE = 2 << 20 };
enum {
    RESUME_LEAVE = 1,
    RESUME,
    RESUME_FP
}; /* what C code answers: leave; go on at shared.resume, in a mode with floating point */
enum { MXCSR_DEFAULT = 0x1f80, MXCSR_RC_SHIFT = 13, MXCSR_FLAGS = 0x3f };
enum { OP_MOVSD_LOAD = ASM_0F | ASM_F2 | 0x10, OP_MOVSD_STORE = ASM_0F | ASM_F2 | 0x11, OP_ADD_R_RM = 0x03, OP_CMP_R_RM = 0x3b };
static const uint8_t SAVED[] = { H_RBX, H_RBP, H_R12, H_R13, H_R14, H_R15 };

/* ---- C side ---- */

/* The guest's floating-point flags are in MXCSR while its code runs. */
static void fp_in(struct riscv_code *code)
{
    static const uint8_t rc[] = { [RM_RNE] = 0, [RM_RTZ] = 3, [RM_RDN] = 1, [RM_RUP] = 2 };
    code->now->shared.mxcsr = MXCSR_DEFAULT | (uint32_t)rc[code->cpu->frm & 3] << MXCSR_RC_SHIFT;
}

static void fp_out(struct riscv_code *code)
{
    uint32_t m = code->now->shared.mxcsr;
    code->cpu->fflags |= (uint8_t)((m & 1 ? FFLAG_NV : 0) | (m & 4 ? FFLAG_DZ : 0) | (m & 8 ? FFLAG_OF : 0)
                                   | (m & 16 ? FFLAG_UF : 0) | (m & 32 ? FFLAG_NX : 0));
    code->now->shared.mxcsr = m & ~(uint32_t)MXCSR_FLAGS;
}

static uint64_t leave(struct riscv_code *code, const struct riscv_miss *m, enum riscv_exit why)
{
    code->cpu->insns += m->insns;
    code->cpu->pc = m->pc;
    code->now->shared.exit = why;
    return 1;
}

/* Mode, pc or address space may have changed: finds where to go on. RESUME_LEAVE: the loop knows. */
static uint64_t resume(struct riscv_code *code)
{
    struct riscv_cpu *c = code->cpu;
    if (vcpu_requests(c->vcpu) || c->activity != RISCV_RUNNING || c->fenced || c->tlb != code->tlb || riscv_pending_interrupt(c))
        return RESUME_LEAVE;
    riscv_code_follow(code);
    unsigned mode = riscv_code_mode(c);
    const uint8_t *to = mode == RISCV_MODE_NONE ? NULL : riscv_code_find(code, c->pc, mode);
    if (!to)
        return RESUME_LEAVE;
    code->now->shared.resume = (uint64_t)to;
    code->now->shared.rbp = (uint64_t)code->now + (uint64_t)RBP_BIAS;
    code->running_fp = mode & RISCV_MODE_FP;
    code->resumed++;
    if (!code->running_fp)
        return RESUME;
    fp_in(code);
    return RESUME_FP;
}

static uint64_t on_resume(struct riscv_code *code)
{
    if (code->running_fp)
        fp_out(code);
    return resume(code);
}

/* The access of m, which is alone, faults: its trap is taken. */
static uint64_t trap(struct riscv_code *code, const struct riscv_miss *m, enum riscv_fault fault, gva_t va)
{
    (void)leave(code, m, RISCV_EXIT_NEXT);
    riscv_enter_trap(code->cpu, riscv_fault_cause(fault, (enum riscv_access)m->access), va);
    code->traps++;
    return RESUME;
}

/* The TLB missed, or the access is not in the block that was expected. 0: try again; RESUME: a trap was taken. */
static uint64_t on_miss(struct riscv_code *code, gva_t at, struct riscv_miss *m)
{
    struct riscv_cpu *c = code->cpu;
    gva_t va = at + (uint64_t)(int64_t)m->lo;
    enum riscv_fault fault = RISCV_FAULT_NONE;
    bool look = m->block == RISCV_LOOK, crosses = look && (va & ~GPAGE_MASK) + m->bytes > GPAGE_SIZE;
    uint8_t *host = crosses ? NULL : riscv_touch(c, va, (enum riscv_access)m->access, &fault);
    code->now->shared.misses++;
    if (code->eager)
        rvx_vec_spoil_copies();
    if (host && !look)
        return riscv_code_expect_better(code, m, va) ? 0 : leave(code, m, RISCV_EXIT_STEP);
    if (host && (m->access == RISCV_READ || riscv_tlb_may_store(c, va)))
        return 0;
    if (fault != RISCV_FAULT_NONE && !m->group && !(va & (m->bytes - 1))) /* what is misaligned may be atomic */
        return trap(code, m, fault, va);
    if (!crosses || !m->group)
        return leave(code, m, RISCV_EXIT_STEP);
    code->crossed = m;
    return leave(code, m, RISCV_EXIT_PLAIN);
}

/* Something asked for a look around (riscv_cpu.leave), but nothing is to be seen: as when a kernel writes sstatus. */
static bool nothing_new(const struct riscv_code *code, unsigned mode)
{
    const struct riscv_cpu *c = code->cpu;
    const struct riscv_tlb *tlb = c->tlb;
    return tlb == code->tlb && riscv_code_mode(c) == mode && code->frame[tlb->now] == code->now && !c->fenced
           && c->activity == RISCV_RUNNING && code->seen[tlb->now] == tlb->space[tlb->now].flushes
           && code->seen_fences[tlb->now] == tlb->space[tlb->now].fenced.nr && code->seen_fences_shared == tlb->fenced.nr
           && code->seen_shared == tlb->flushes && code->seen_all == tlb->flushes_all && !vcpu_requests(c->vcpu)
           && !riscv_pending_interrupt(c);
}

/* A trap by the instruction itself, of which no longjmp is needed. */
static uint64_t on_ecall(struct riscv_code *code)
{
    riscv_enter_trap(code->cpu, RISCV_ECALL_U, 0);
    code->traps++;
    return resume(code);
}

/* 0: go on behind the instruction. */
static uint64_t on_callout(struct riscv_code *code, const struct riscv_callout *o)
{
    struct riscv_cpu *c = code->cpu;
    if (o->mode & RISCV_MODE_FP)
        fp_out(code);
    c->insns += o->insns;
    c->pc = o->pc;
    c->next_pc = o->pc + o->insn.len;
    c->leave = false;
    code->now->shared.callouts++;
    code->now->shared.exit = RISCV_EXIT_NEXT;
    if (o->insn.step == rv_ecall)
        return on_ecall(code);
    code->now->shared.vector_callouts += o->vector;
    if (o->insn.row != RISCV_ROW_NONE)
        code->callouts_of[o->insn.row]++;
    o->insn.step(c, &o->insn);
    if (o->stores)
        (void)riscv_tlb_may_store(c, c->x[o->insn.rs1]);
    c->pc = c->next_pc;
    c->insns++;
    if (c->pc != o->pc + o->insn.len || (c->leave && !nothing_new(code, o->mode)))
        return resume(code);
    if (!(o->mode & RISCV_MODE_FP))
        return 0;
    if (!(riscv_code_mode(c) & RISCV_MODE_FP)) /* frm is what the host cannot do */
        return resume(code);
    fp_in(code);
    return 0;
}

void riscv_code_run(struct riscv_code *code, const struct riscv_native *n)
{
    uint8_t *rbp = (uint8_t *)code->now + RBP_BIAS;
    code->running_fp = n->mode & RISCV_MODE_FP;
    if (code->running_fp)
        fp_in(code);
    (code->running_fp ? code->enter_fp : code->enter)(rbp, n->entry);
    if (code->running_fp) /* it may have changed */
        fp_out(code);
}

/* ---- stubs ---- */

static void move_guest(struct codebuf *cb, bool load, bool fp)
{
    if (!load)
        asm_vzeroupper(cb); /* what vector instructions left there would make the host's slow */
    for (unsigned n = 1; n < 32; n++) {
        if (x_host(n) == IN_MEMORY)
            continue;
        if (load)
            asm_load(cb, 8, hg(x_host(n)), x_mem(n));
        else
            asm_store(cb, 8, x_mem(n), hg(x_host(n)));
    }
    for (unsigned n = 0; fp && n < 32; n++)
        if (f_host(n) != IN_MEMORY)
            rvx_vec_mem(cb, 0, load ? OP_MOVSD_LOAD : OP_MOVSD_STORE, f_host(n), 0, f_mem(n));
}

static void mxcsr_to_guest(struct codebuf *cb)
{
    asm_ldmxcsr(cb, at_rbp(FRAME(shared.mxcsr)));
}

static void mxcsr_to_host(struct codebuf *cb)
{
    asm_stmxcsr(cb, at_rbp(FRAME(shared.mxcsr)));
    asm_ldmxcsr(cb, at_rbp(FRAME(shared.host_mxcsr)));
}

static const void *put_enter(struct codebuf *cb, bool fp)
{
    codebuf_align(cb, 16);
    const void *here = codebuf_here(cb);
    for (unsigned k = 0; k < sizeof(SAVED); k++)
        asm_push(cb, hg(SAVED[k]));
    asm_mov(cb, 8, HOST_RBP, HOST_RDI);
    asm_mov(cb, 8, HOST_RAX, HOST_RSI);
    if (fp) {
        asm_stmxcsr(cb, at_rbp(FRAME(shared.host_mxcsr)));
        mxcsr_to_guest(cb);
    }
    move_guest(cb, true, fp);
    asm_insn_reg(cb, 4, 0xff, 4, H_RAX); /* jmp rax */
    return here;
}

/* Back to riscv_code_run(): what the host's registers held is saved. */
static const uint8_t *put_leave(struct codebuf *cb)
{
    const uint8_t *here = codebuf_here(cb);
    for (unsigned k = sizeof(SAVED); k-- > 0;)
        asm_pop(cb, hg(SAVED[k]));
    asm_ret(cb);
    return here;
}

static const uint8_t *put_exit(struct codebuf *cb, bool fp, const uint8_t *leave)
{
    const uint8_t *here = codebuf_here(cb);
    move_guest(cb, false, fp);
    if (fp)
        mxcsr_to_host(cb);
    (void)asm_jmp(cb, leave);
    return here;
}

/* Leaves with an exit reason; rax goes to `at`. */
static const uint8_t *put_exit_with(struct codebuf *cb, int32_t at, enum riscv_exit why, const uint8_t *exit)
{
    const uint8_t *here = codebuf_here(cb);
    asm_store(cb, 8, at_rbp(at), HOST_RAX);
    asm_insn_mem(cb, 8, 0xc7, 0, at_rbp(FRAME(shared.exit)));
    codebuf_put4(cb, why);
    (void)asm_jmp(cb, exit);
    return here;
}

static void call_c(struct codebuf *cb, uint64_t function)
{
    asm_load(cb, 8, HOST_RDI, at_rbp(FRAME(shared.code)));
    asm_mov_imm(cb, HOST_RAX, function);
    asm_insn_reg(cb, 4, 0xff, 2, H_RAX); /* call rax */
    asm_insn_reg(cb, 4, 0x85, H_RAX, H_RAX);
}

/* Does what C code answered in eax; the hart is complete, and the host has its MXCSR. */
static const uint8_t *put_resume(struct codebuf *cb, const uint8_t *leave)
{
    const uint8_t *here = codebuf_here(cb);
    asm_alu_imm(cb, HOST_CMP, 4, HOST_RAX, RESUME);
    (void)asm_jcc(cb, CC_B, leave);
    asm_load(cb, 8, HOST_RBP, at_rbp(FRAME(shared.rbp)));
    size_t fp = asm_jcc(cb, CC_NE, NULL);
    move_guest(cb, true, false);
    asm_insn_mem(cb, 4, 0xff, 4, at_rbp(FRAME(shared.resume))); /* jmp [] */
    asm_patch(cb, fp, codebuf_here(cb));
    asm_stmxcsr(cb, at_rbp(FRAME(shared.host_mxcsr)));
    mxcsr_to_guest(cb);
    move_guest(cb, true, true);
    asm_insn_mem(cb, 4, 0xff, 4, at_rbp(FRAME(shared.resume)));
    return here;
}

/* rax: struct riscv_callout */
static const uint8_t *put_callout(struct codebuf *cb, bool fp, const uint8_t *resume_stub)
{
    codebuf_align(cb, 16);
    const uint8_t *here = codebuf_here(cb);
    move_guest(cb, false, fp);
    if (fp)
        mxcsr_to_host(cb);
    asm_mov(cb, 8, HOST_RSI, HOST_RAX);
    call_c(cb, (uint64_t)on_callout);
    size_t out = asm_jcc(cb, CC_NE, NULL);
    if (fp)
        mxcsr_to_guest(cb);
    move_guest(cb, true, fp);
    asm_ret(cb);
    asm_patch(cb, out, codebuf_here(cb));
    asm_alu_imm(cb, HOST_ADD, 8, HOST_RSP, 8);
    (void)asm_jmp(cb, resume_stub);
    return here;
}

/* A group that lies across two pages goes on at its plain translation, if that is known. rcx: the address, rax: struct
 * riscv_miss; where the check is on the stack. */
static void put_go_plain(struct codebuf *cb)
{
    asm_push(cb, HOST_RSI);
    asm_mov(cb, 4, HOST_RSI, HOST_RCX);
    asm_alu_imm(cb, HOST_AND, 4, HOST_RSI, (int32_t)GPAGE_SIZE - 1);
    asm_insn_mem(cb, 4, 0x03, H_RSI, host_mem(HOST_RAX, (int32_t)offsetof(struct riscv_miss, bytes)));
    asm_alu_imm(cb, HOST_CMP, 4, HOST_RSI, (int32_t)GPAGE_SIZE);
    size_t within = asm_jcc(cb, CC_BE, NULL);
    asm_alu_mem_imm(cb, HOST_CMP, 8, host_mem(HOST_RAX, (int32_t)offsetof(struct riscv_miss, plain)), 0);
    size_t unknown = asm_jcc(cb, CC_E, NULL);
    asm_load(cb, 4, HOST_RSI, host_mem(HOST_RAX, (int32_t)offsetof(struct riscv_miss, insns)));
    asm_alu_mem(cb, HOST_ADD, 8, at_rbp(FRAME(cpu.insns)), HOST_RSI);
    asm_pop(cb, HOST_RSI);
    asm_alu_imm(cb, HOST_ADD, 8, HOST_RSP, 8);
    asm_insn_mem(cb, 4, 0xff, 4, host_mem(HOST_RAX, (int32_t)offsetof(struct riscv_miss, plain))); /* jmp [] */
    asm_patch(cb, within, codebuf_here(cb));
    asm_patch(cb, unknown, codebuf_here(cb));
    asm_pop(cb, HOST_RSI);
}

/* The TLB has it not: rcx the address, rax the struct riscv_miss, rdx and r15 to be kept. */
static const uint8_t *put_slow(struct codebuf *cb, bool fp, const uint8_t *leave, const uint8_t *resume_stub)
{
    const uint8_t *here = codebuf_here(cb);
    put_go_plain(cb);
    move_guest(cb, false, fp);
    asm_push(cb, HOST_RDX);
    asm_alu_imm(cb, HOST_SUB, 8, HOST_RSP, 8);
    asm_mov(cb, 8, HOST_RSI, HOST_RCX);
    asm_mov(cb, 8, HOST_RDX, HOST_RAX);
    call_c(cb, (uint64_t)on_miss);
    size_t out = asm_jcc(cb, CC_NE, NULL);
    move_guest(cb, true, fp);
    asm_alu_imm(cb, HOST_ADD, 8, HOST_RSP, 8);
    asm_pop(cb, HOST_RDX);
    asm_ret(cb);
    asm_patch(cb, out, codebuf_here(cb));
    asm_alu_imm(cb, HOST_ADD, 8, HOST_RSP, 24);
    if (fp)
        mxcsr_to_host(cb);
    asm_alu_imm(cb, HOST_CMP, 4, HOST_RAX, RESUME);
    (void)asm_jcc(cb, CC_B, leave);
    asm_alu_imm(cb, HOST_SUB, 8, HOST_RSP, 8);
    call_c(cb, (uint64_t)on_resume);
    asm_alu_imm(cb, HOST_ADD, 8, HOST_RSP, 8);
    (void)asm_jmp(cb, resume_stub);
    return here;
}

/* The entry at rbp + rsi is about to be filled: adds it to a list of those in use (struct riscv_used) if it is not. Flags say
 * that: cc is "in use". rax is lost. */
static void put_use(struct codebuf *cb, enum host_cc cc, int32_t list)
{
    struct host_mem next = host_mem_indexed(HOST_RBP, HOST_RAX, 4, list + (int32_t)offsetof(struct riscv_used, at));
    size_t used = asm_jcc(cb, cc, NULL);
    asm_load(cb, 4, HOST_RAX, at_rbp(list));
    asm_insn_mem(cb, 4, 0x89, H_RSI, next); /* mov [], esi */
    asm_alu_mem_imm(cb, HOST_ADD, 4, at_rbp(list), 1);
    asm_patch(cb, used, codebuf_here(cb));
}

static void put_use_jump(struct codebuf *cb, int32_t list)
{
    asm_insn_mem(cb, 1, 0xf6, 0, host_mem_indexed(HOST_RBP, HOST_RSI, 1, 0)); /* test byte [], imm8 */
    codebuf_put1(cb, 1);                                                      /* odd: not in use */
    put_use(cb, CC_E, list);
}

/* Puts the place at rcx, which is that of the address in rax, into the jump cache, and goes there. */
static void put_fill_jump(struct codebuf *cb, unsigned mode)
{
    struct host_mem pc = host_mem_indexed(HOST_RBP, HOST_RSI, 1, (int32_t)offsetof(struct riscv_jump, pc)), code = pc;
    code.disp = (int32_t)offsetof(struct riscv_jump, code);
    asm_push(cb, HOST_RSI);
    asm_mov(cb, 8, HOST_RDX, HOST_RAX);
    asm_mov(cb, 4, HOST_RSI, HOST_RAX);
    asm_insn_reg(cb, 4, 0xc1, 5, H_RSI); /* shr esi, imm8 */
    codebuf_put1(cb, RISCV_JUMP_SHIFT);
    asm_alu(cb, HOST_XOR, 4, HOST_RSI, HOST_RAX);
    asm_alu_imm(cb, HOST_AND, 4, HOST_RSI, (RISCV_JUMPS - 1) * 2); /* an entry is 16 bytes, pcs are even */
    asm_insn_reg(cb, 4, 0xc1, 4, H_RSI);                           /* shl esi, imm8 */
    codebuf_put1(cb, 3);
    asm_alu_imm(cb, HOST_ADD, 8, HOST_RSI, rvx_jump_at(mode));
    if (mode / 2 == RISCV_BANK_U)
        put_use_jump(cb, FRAME(own.used_jumps));
    else if (mode / 2 >= RISCV_BANK_S)
        put_use_jump(cb, FRAME(shared.used_jumps));
    asm_insn_mem(cb, 8, 0x89, H_RDX, pc); /* mov [], rdx */
    asm_load(cb, 8, HOST_RAX, host_mem(HOST_RCX, (int32_t)offsetof(struct riscv_place, code)));
    asm_insn_mem(cb, 8, 0x89, H_RAX, code);
    asm_pop(cb, HOST_RSI);
    asm_insn_reg(cb, 4, 0xff, 4, H_RAX); /* jmp rax */
}

/* Looks the address in rax, with bit 0 for 0, up in code->places. rcx and rdx are free. */
static const uint8_t *put_jump(struct codebuf *cb, unsigned mode, const uint8_t *stub_pc)
{
    struct host_mem fetch = host_mem_indexed(HOST_RBP, HOST_RDX, 4, rvx_fetch_at(mode / 2, 0));
    codebuf_align(cb, 16);
    const uint8_t *here = codebuf_here(cb);
    asm_alu_imm(cb, HOST_AND, 8, HOST_RAX, -2);
    asm_mov(cb, 4, HOST_RCX, HOST_RAX);
    asm_insn_reg(cb, 4, 0xc1, 5, H_RCX); /* shr ecx, imm8 */
    codebuf_put1(cb, RISCV_JUMP_SHIFT);
    asm_alu(cb, HOST_XOR, 4, HOST_RCX, HOST_RAX);
    asm_alu_imm(cb, HOST_AND, 4, HOST_RCX, (RISCV_PLACES - 1) * 2); /* a place is 32 bytes, pcs are even */
    asm_insn_reg(cb, 4, 0xc1, 4, H_RCX);                            /* shl ecx, imm8 */
    codebuf_put1(cb, 4);
    asm_insn_mem(cb, 8, 0x03, H_RCX, at_rbp(FRAME(shared.places)));
    asm_load(cb, 8, HOST_RDX, at_rbp(FRAME(shared.mode_key) + 8 * (int32_t)mode));
    asm_alu(cb, HOST_XOR, 8, HOST_RDX, HOST_RAX);
    asm_insn_mem(cb, 8, OP_CMP_R_RM, H_RDX, host_mem(HOST_RCX, (int32_t)offsetof(struct riscv_place, key)));
    (void)asm_jcc(cb, CC_NE, stub_pc);
    asm_mov(cb, 4, HOST_RDX, HOST_RAX);
    asm_insn_reg(cb, 4, 0xc1, 5, H_RDX);
    codebuf_put1(cb, GPAGE_SHIFT);
    asm_alu_imm(cb, HOST_AND, 4, HOST_RDX, RISCV_FETCHES - 1);
    asm_insn_mem(cb, 4, 0x8b, H_RDX, fetch);
    asm_insn_mem(cb, 4, OP_CMP_R_RM, H_RDX, host_mem(HOST_RCX, (int32_t)offsetof(struct riscv_place, id)));
    (void)asm_jcc(cb, CC_NE, stub_pc);
    put_fill_jump(cb, mode);
    return here;
}

bool rvx_stubs(struct riscv_code *code)
{
    struct codebuf *cb = &code->cb;
    code->enter = put_enter(cb, false);
    code->enter_fp = put_enter(cb, true);
    const uint8_t *leave = put_leave(cb), *resume_stub = put_resume(cb, leave);
    for (unsigned fp = 0; fp < 2; fp++) {
        code->stub_exit[fp] = put_exit(cb, fp, leave);
        code->stub_link[fp] = put_exit_with(cb, FRAME(shared.link), RISCV_EXIT_LINK, code->stub_exit[fp]);
        code->stub_pc[fp] = put_exit_with(cb, FRAME(cpu.pc), RISCV_EXIT_NEXT, code->stub_exit[fp]);
        code->stub_step[fp] = put_exit_with(cb, FRAME(cpu.pc), RISCV_EXIT_STEP, code->stub_exit[fp]);
        code->stub_plain[fp] = put_exit_with(cb, FRAME(cpu.pc), RISCV_EXIT_PLAIN, code->stub_exit[fp]);
        code->stub_often[fp] = put_exit_with(cb, FRAME(cpu.pc), RISCV_EXIT_OFTEN, code->stub_exit[fp]);
        code->stub_fault[fp] = put_exit_with(cb, FRAME(shared.fault_pc), RISCV_EXIT_FAULT, code->stub_exit[fp]);
        code->stub_callout[fp] = put_callout(cb, fp, resume_stub);
        code->stub_slow[fp] = put_slow(cb, fp, leave, resume_stub);
    }
    for (unsigned mode = 0; mode < RISCV_MODE_NR; mode++)
        code->stub_jump[mode] = put_jump(cb, mode, code->stub_pc[mode & RISCV_MODE_FP]);
    code->base = cb->pos;
    code->cold_base = cb->pos + (cb->size - cb->pos) / 100 * HOT_SHARE;
    if (cb->size - code->cold_base > 2 * LARGE_PAGE)
        code->cold_base = ALIGN_UP(code->cold_base, (size_t)LARGE_PAGE);
    return !cb->failed;
}

/* ---- behind a translation ---- */

static void put_count(struct codebuf *cb, uint32_t insns)
{
    if (insns)
        asm_alu_mem_imm(cb, HOST_ADD, 8, at_rbp(FRAME(cpu.insns)), (int32_t)insns);
}

static void put_miss_tail(struct rvx *x, const struct rvx_tail *t)
{
    struct codebuf *cb = x->cb;
    struct riscv_miss *m = riscv_code_alloc(x->code, sizeof(*m));
    if (!m) {
        x->failed = true;
        return;
    }
    *m = t->miss;
    if (m->block == RISCV_LOOK)
        asm_insn_mem(cb, 8, OP_ADD_R_RM, H_RCX, host_mem(HOST_RAX, rvx_site_of_entry((enum riscv_access)m->access)));
    else if (m->block == 0)
        rvx_get(x, H_RCX, t->reg);
    else
        asm_insn_mem(cb, 8, OP_ADD_R_RM, H_RCX, at_rbp(rvx_block_at(m->block)));
    m->at[RISCV_AT_BASE_AGAIN] = (uint32_t)(cb->pos - sizeof(int32_t));
    x->miss[x->nr_misses++] = m;
    asm_mov_imm(cb, HOST_RAX, (uint64_t)m);
    (void)asm_call(cb, x->code->stub_slow[x->fp]);
    rvx_vec_copy_again(x, &t->vec.known);
    (void)asm_jmp(cb, cb->rx + t->again);
}

/* An exit that can be linked: the jump at its beginning is what changes. */
static void put_link_tail(struct rvx *x, const struct rvx_tail *t)
{
    struct codebuf *cb = x->cb;
    if (x->code->nr_links == x->code->links_max) {
        x->failed = true;
        return;
    }
    bool counts = t->insns || x->run >= 0;
    put_count(cb, t->insns);
    if (x->run >= 0) {
        asm_mov_imm(cb, HOST_RAX, (uint64_t)&x->code->link[x->code->nr_links].left);
        asm_alu_mem_imm(cb, HOST_ADD, 4, host_mem(HOST_RAX, 0), 1);
    }
    size_t at = counts ? asm_jmp(cb, NULL) : t->from; /* with nothing to count, whoever came here is led elsewhere */
    size_t here = cb->pos;
    if (counts)
        asm_patch(cb, at, codebuf_here(cb));
    asm_mov_imm(cb, HOST_RAX, x->code->nr_links);
    (void)asm_jmp(cb, x->code->stub_link[x->fp]);
    x->code->link[x->code->nr_links++] = (struct riscv_link){
        .at = (uint32_t)at, .miss = (uint32_t)here, .pc = t->pc, .back = t->back, .second = t->second
    };
    x->code->link[x->code->nr_links - 1].branch = t->branch;
    x->code->link[x->code->nr_links - 1].taken = t->taken;
}

static void put_nan_tail(struct rvx *x, const struct rvx_tail *t)
{
    struct codebuf *cb = x->cb;
    asm_mov_imm(cb, HOST_RAX, t->single ? 0xffffffff7fc00000 : 0x7ff8000000000000);
    rvx_vec_reg(cb, 1, ASM_0F | ASM_66 | 0x6e, t->reg, 0, H_RAX); /* vmovq */
    (void)asm_jmp(cb, cb->rx + t->again);
}

static void put_exit_tail(struct rvx *x, const struct rvx_tail *t, const uint8_t *stub)
{
    put_count(x->cb, t->insns);
    asm_mov_imm(x->cb, HOST_RAX, t->pc);
    (void)asm_jmp(x->cb, stub);
}

void rvx_tails(struct rvx *x)
{
    for (unsigned k = 0; k < x->nr_tails; k++) {
        const struct rvx_tail *t = &x->tail[k];
        asm_patch(x->cb, t->from, codebuf_here(x->cb));
        switch (t->kind) {
        case RVX_MISS: put_miss_tail(x, t); break;
        case RVX_LINK: put_link_tail(x, t); break;
        case RVX_NAN: put_nan_tail(x, t); break;
        case RVX_VEC: rvx_vec_tail(x, k); break;
        case RVX_TURN:
            put_count(x->cb, t->insns);
            rvx_turn(x, t);
            break;
        case RVX_PC: /* the first is the look at the requests: plain code goes on as such */
            put_exit_tail(x, t, x->plain && t == x->tail ? x->code->stub_plain[x->fp] : x->code->stub_pc[x->fp]);
            break;
        case RVX_STEP: put_exit_tail(x, t, x->code->stub_step[x->fp]); break;
        case RVX_OFTEN: put_exit_tail(x, t, x->code->stub_often[x->fp]); break;
        }
    }
}
