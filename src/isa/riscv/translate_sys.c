/* SPDX-License-Identifier: MIT */
/*
 * Translation of what kernels do often and needs no step function: fences, CSRs that are plain values, and interrupts switched on
 * and off in sstatus. Everything else of the kind is called out.
 */
#include "base/checked.h"
#include "isa/riscv/hyp.h"
#include "isa/riscv/insn_steps.h"
#include "isa/riscv/translate_emit.h"
#include "isa/riscv/trap.h"

enum { CSR_SSTATUS = 0x100, CSR_SSCRATCH = 0x140, CSR_SEPC, CSR_SCAUSE, CSR_STVAL };
enum { SIE = MSTATUS_SIE };

static bool has_hypervisor(const struct rvx *x)
{
    return riscv_hyp_is_on(x->code->cpu);
}

static bool supervises(const struct rvx *x)
{
    return x->bank == RISCV_BANK_S || x->bank == RISCV_BANK_S_SUM || x->bank == RISCV_BANK_M;
}

/* The code runs with V = 1 (hyp.h): what it calls the supervisor's CSRs are others. */
static bool is_virtual(const struct rvx *x)
{
    return x->code->tlb->guest;
}

static int32_t status_at(const struct rvx *x)
{
    return is_virtual(x) ? FRAME(cpu.hyp.vsstatus) : FRAME(cpu.mstatus);
}

/* The CSR is a plain value in the hart's state. */
static bool value_of(const struct rvx *x, unsigned csr, int32_t *ret_at)
{
    bool virt = is_virtual(x);
    switch (csr) {
    case CSR_SSCRATCH: *ret_at = virt ? FRAME(cpu.hyp.vsscratch) : FRAME(cpu.sscratch); return true;
    case CSR_SEPC: *ret_at = virt ? FRAME(cpu.hyp.vsepc) : FRAME(cpu.sepc); return true;
    case CSR_SCAUSE: *ret_at = virt ? FRAME(cpu.hyp.vscause) : FRAME(cpu.scause); return true;
    case CSR_STVAL: *ret_at = virt ? FRAME(cpu.hyp.vstval) : FRAME(cpu.stval); return true;
    default: return false;
    }
}

/* Stores are ordered before later loads only by a fence: the host's order gives the rest. Spec: volume I, 2.7 and appendix A */
static bool fence(struct rvx *x, const struct riscv_insn *i, unsigned arg)
{
    enum { STORES = 5, LOADS = 10 };                                   /* with devices' outputs and inputs */
    static const uint8_t lock_or[] = { 0xf0, 0x83, 0x0c, 0x24, 0x00 }; /* lock or dword [rsp], 0 */
    (void)arg;
    if ((i->imm >> 4 & STORES) && (i->imm & LOADS))
        codebuf_put(x->cb, lock_or, sizeof(lock_or));
    return true;
}

/* rd = sstatus. Spec: volume II 12.1.1 */
static void read_status(struct rvx *x, unsigned rd)
{
    const uint64_t bits = MSTATUS_SIE | MSTATUS_SPIE | MSTATUS_SPP | MSTATUS_FS | MSTATUS_VS | MSTATUS_SUM | MSTATUS_MXR
                          | MSTATUS_UXL;
    static const uint8_t skip[] = { 0x75, 0x05 }, set_sd[] = { 0x48, 0x0f, 0xba, 0xe9, 0x3f }; /* jne +5; bts rcx, 63 */
    asm_mov_imm(x->cb, HOST_RCX, bits);
    asm_insn_mem(x->cb, 8, 0x23, H_RCX, at_rbp(status_at(x)));
    for (unsigned k = 0; k < 2; k++) {
        int32_t dirty = k ? MSTATUS_VS : MSTATUS_FS;
        if (k && !x->code->cpu->profile->has[RISCV_EXT_V])
            break;
        asm_mov(x->cb, 4, HOST_RAX, HOST_RCX);
        asm_alu_imm(x->cb, HOST_AND, 4, HOST_RAX, dirty);
        asm_alu_imm(x->cb, HOST_CMP, 4, HOST_RAX, dirty);
        codebuf_put(x->cb, skip, sizeof(skip));
        codebuf_put(x->cb, set_sd, sizeof(set_sd));
    }
    rvx_set(x, rd, H_RCX);
}

/* An interrupt that waits is taken behind the current instruction. */
static void look_for_interrupts(struct rvx *x, const struct riscv_insn *i)
{
    rvx_count(x, true);
    asm_load(x->cb, 4, HOST_RAX, at_rbp(FRAME(cpu.wires)));
    asm_insn_mem(x->cb, 4, 0x0b, H_RAX, at_rbp(FRAME(cpu.soft)));
    asm_insn_mem(x->cb, 4, 0x85, H_RAX, at_rbp(FRAME(cpu.mie)));
    struct rvx_tail *t = rvx_tail(x, RVX_PC, asm_jcc(x->cb, CC_NE, NULL));
    if (t)
        t->pc = x->insn[x->k].pc + i->len;
}

/* What the interpreter has to do when the condition holds: nothing was changed yet. */
static void step_if(struct rvx *x, enum host_cc cc)
{
    struct rvx_tail *t = rvx_tail(x, RVX_STEP, asm_jcc(x->cb, cc, NULL));
    if (t)
        t->insns = rvx_uncounted(x, false);
}

static void store_byte(struct rvx *x, int32_t at, uint8_t v)
{
    asm_insn_mem(x->cb, 1, 0xc6, 0, at_rbp(at));
    codebuf_put1(x->cb, v);
}

static void store_imm(struct rvx *x, int32_t at, uint32_t v)
{
    asm_insn_mem(x->cb, 8, 0xc7, 0, at_rbp(at));
    codebuf_put4(x->cb, v);
}

static void test_imm(struct rvx *x, unsigned reg, uint32_t v)
{
    asm_insn_reg(x->cb, 4, 0xf7, 0, reg);
    codebuf_put4(x->cb, v);
}

static void set_mode(struct rvx *x, enum riscv_priv priv, enum riscv_bank bank)
{
    store_byte(x, FRAME(cpu.priv), priv);
    store_byte(x, FRAME(cpu.bank), bank);
    store_byte(x, FRAME(cpu.fetch_bank), bank);
}

/* rcx = a bit of rax, moved by 4 places: between SIE and SPIE. */
static void take_bit(struct rvx *x, uint32_t bit, bool up)
{
    asm_mov(x->cb, 4, HOST_RCX, HOST_RAX);
    asm_alu_imm(x->cb, HOST_AND, 4, HOST_RCX, (int32_t)bit);
    asm_insn_reg(x->cb, 4, 0xc1, up ? 4 : 5, H_RCX); /* shl, shr ecx, imm8 */
    codebuf_put1(x->cb, 4);
}

/* Goes to the interpreter unless a bit of the dword is 0 (`set`), or 1. */
static void step_if_bit(struct rvx *x, int32_t at, uint32_t bit, bool set)
{
    asm_insn_mem(x->cb, 4, 0xf7, 0, at_rbp(at)); /* test dword [], imm32 */
    codebuf_put4(x->cb, bit);
    step_if(x, set ? CC_NE : CC_E);
}

/* As riscv_enter_trap() does it: to HS-mode, or from VU- to VS-mode. Spec: volume II 3.3.1, 12.1.1 */
static void call_supervisor(struct rvx *x)
{
    bool virt = is_virtual(x);
    step_if_bit(x, FRAME(cpu.medeleg), 1U << RISCV_ECALL_U, false);
    if (virt)
        step_if_bit(x, FRAME(cpu.hyp.hedeleg), 1U << RISCV_ECALL_U, false);
    asm_load(x->cb, 8, HOST_RAX, at_rbp(status_at(x)));
    test_imm(x, H_RAX, MSTATUS_SUM);
    step_if(x, CC_NE);
    rvx_count(x, false);
    take_bit(x, MSTATUS_SIE, true);
    asm_alu_imm(x->cb, HOST_AND, 8, HOST_RAX, ~(int32_t)(MSTATUS_SIE | MSTATUS_SPIE | MSTATUS_SPP));
    asm_alu(x->cb, HOST_OR, 8, HOST_RAX, HOST_RCX);
    asm_store(x->cb, 8, at_rbp(status_at(x)), HOST_RAX);
    asm_mov_imm(x->cb, HOST_RAX, x->insn[x->k].pc);
    asm_store(x->cb, 8, at_rbp(virt ? FRAME(cpu.hyp.vsepc) : FRAME(cpu.sepc)), HOST_RAX);
    store_imm(x, virt ? FRAME(cpu.hyp.vscause) : FRAME(cpu.scause), RISCV_ECALL_U);
    store_imm(x, virt ? FRAME(cpu.hyp.vstval) : FRAME(cpu.stval), 0);
    if (has_hypervisor(x) && !virt) { /* riscv_hyp_leave() */
        asm_alu_mem_imm(x->cb, HOST_AND, 8, at_rbp(FRAME(cpu.hyp.hstatus)), ~(int32_t)(HSTATUS_SPV | HSTATUS_GVA));
        store_imm(x, FRAME(cpu.hyp.htval), 0);
        store_imm(x, FRAME(cpu.hyp.htinst), 0);
    }
    set_mode(x, RISCV_S, RISCV_BANK_S);
    asm_alu_mem_imm(x->cb, HOST_ADD, 8, at_rbp(FRAME(shared.ecalls)), 1);
    asm_load(x->cb, 8, HOST_RAX, at_rbp(virt ? FRAME(cpu.hyp.vstvec) : FRAME(cpu.stvec)));
    asm_alu_imm(x->cb, HOST_AND, 8, HOST_RAX, -4);
    rvx_jump_to_rax(x, 2U * RISCV_BANK_S + x->fp);
}

/* As riscv_return() does it, where nothing is pending, to the U-mode of the same V. Spec: volume II 3.3.2 */
static void return_to_user(struct rvx *x)
{
    bool virt = is_virtual(x);
    asm_load(x->cb, 8, HOST_RAX, at_rbp(status_at(x)));
    test_imm(x, H_RAX, MSTATUS_SPP | (virt ? 0 : MSTATUS_TSR));
    step_if(x, CC_NE);
    if (has_hypervisor(x))
        step_if_bit(x, FRAME(cpu.hyp.hstatus), virt ? HSTATUS_VTSR : HSTATUS_SPV, true);
    asm_load(x->cb, 4, HOST_RCX, at_rbp(FRAME(cpu.wires)));
    asm_insn_mem(x->cb, 4, 0x0b, H_RCX, at_rbp(FRAME(cpu.soft)));
    asm_insn_mem(x->cb, 4, 0x85, H_RCX, at_rbp(FRAME(cpu.mie)));
    step_if(x, CC_NE);
    rvx_count(x, true);
    take_bit(x, MSTATUS_SPIE, false);
    asm_alu_imm(x->cb, HOST_AND, 8, HOST_RAX, ~(int32_t)(MSTATUS_SIE | MSTATUS_MPRV)); /* vsstatus has no MPRV */
    asm_alu(x->cb, HOST_OR, 8, HOST_RAX, HOST_RCX);
    asm_alu_imm(x->cb, HOST_OR, 8, HOST_RAX, MSTATUS_SPIE);
    asm_store(x->cb, 8, at_rbp(status_at(x)), HOST_RAX);
    set_mode(x, RISCV_U, RISCV_BANK_U);
    asm_load(x->cb, 8, HOST_RAX, at_rbp(virt ? FRAME(cpu.hyp.vsepc) : FRAME(cpu.sepc)));
    rvx_jump_to_rax(x, 2U * RISCV_BANK_U + x->fp);
}

bool rvx_switch(struct rvx *x, const struct riscv_insn *i)
{
    if (i->step == rv_ecall && x->bank == RISCV_BANK_U)
        call_supervisor(x);
    else if (i->step == rv_sret && x->bank == RISCV_BANK_S)
        return_to_user(x);
    else
        return false;
    return true;
}

/* Known bits of sstatus that change who accesses memory: SUM, by itself. */
static bool modify_sum(struct rvx *x, const struct riscv_insn *i, bool sets)
{
    if (i->rd)
        read_status(x, i->rd);
    if (sets)
        asm_alu_mem_imm(x->cb, HOST_OR, 8, at_rbp(status_at(x)), MSTATUS_SUM);
    else
        asm_alu_mem_imm(x->cb, HOST_AND, 8, at_rbp(status_at(x)), ~(int32_t)MSTATUS_SUM);
    if (sets == (x->bank == RISCV_BANK_S_SUM))
        return true; /* it was so */
    unsigned bank = sets ? RISCV_BANK_S_SUM : RISCV_BANK_S;
    store_byte(x, FRAME(cpu.bank), (uint8_t)bank);
    rvx_count(x, true);
    asm_mov_imm(x->cb, HOST_RAX, x->insn[x->k].pc + i->len);
    rvx_jump_to_rax(x, 2 * bank + x->fp);
    return true;
}

/* Clears known bits where that changes no mode: without floating point, and with SUM as it is. */
static bool clear_status(struct rvx *x, const struct riscv_insn *i, uint64_t v, bool sets)
{
    if (sets || x->fp || x->bank != RISCV_BANK_S || (v & ~(uint64_t)(MSTATUS_SUM | MSTATUS_FS | MSTATUS_VS | MSTATUS_SIE)))
        return false;
    if (i->rd)
        read_status(x, i->rd);
    asm_alu_mem_imm(x->cb, HOST_AND, 8, at_rbp(status_at(x)), ~(int32_t)v);
    return true;
}

/* csrw sstatus: what changes no mode. The rest is called out. */
static bool replace_status(struct rvx *x, const struct riscv_insn *i)
{
    const uint32_t bits = MSTATUS_SIE | MSTATUS_SPIE | MSTATUS_SPP | MSTATUS_FS
                          | (x->code->cpu->profile->has[RISCV_EXT_V] ? MSTATUS_VS : 0);
    if (i->rd || x->fp || x->bank != RISCV_BANK_S)
        return false;
    uint32_t before = rvx_uncounted(x, false);
    rvx_get(x, H_RAX, i->rs1);
    test_imm(x, H_RAX, MSTATUS_SUM | MSTATUS_MXR | MSTATUS_SIE);
    size_t rare = asm_jcc(x->cb, CC_NE, NULL);
    asm_insn_mem(x->cb, 4, 0xf7, 0, at_rbp(status_at(x))); /* test dword [], imm32 */
    codebuf_put4(x->cb, MSTATUS_MXR);
    size_t rarer = asm_jcc(x->cb, CC_NE, NULL);
    asm_mov(x->cb, 4, HOST_RCX, HOST_RAX);
    asm_alu_imm(x->cb, HOST_AND, 4, HOST_RCX, MSTATUS_FS);
    asm_alu_imm(x->cb, HOST_CMP, 4, HOST_RCX, MSTATUS_FS);
    size_t dirty = asm_jcc(x->cb, CC_E, NULL);
    asm_alu_imm(x->cb, HOST_AND, 4, HOST_RAX, (int32_t)bits);
    asm_load(x->cb, 8, HOST_RCX, at_rbp(status_at(x)));
    asm_alu_imm(x->cb, HOST_AND, 8, HOST_RCX, ~(int32_t)bits);
    asm_alu(x->cb, HOST_OR, 8, HOST_RCX, HOST_RAX);
    asm_store(x->cb, 8, at_rbp(status_at(x)), HOST_RCX);
    asm_alu_mem_imm(x->cb, HOST_ADD, 8, at_rbp(FRAME(cpu.insns)), (int32_t)before + 1);
    size_t done = asm_jmp(x->cb, NULL);
    asm_patch(x->cb, rare, codebuf_here(x->cb));
    asm_patch(x->cb, rarer, codebuf_here(x->cb));
    asm_patch(x->cb, dirty, codebuf_here(x->cb));
    rvx_callout(x, i);
    asm_patch(x->cb, done, codebuf_here(x->cb));
    return true;
}

static bool replace(struct rvx *x, const struct riscv_insn *i, unsigned arg)
{
    int32_t at;
    (void)arg;
    if (i->imm == CSR_SSTATUS && i->step == rv_csrrw)
        return replace_status(x, i);
    if (!supervises(x) || !value_of(x, (unsigned)i->imm, &at))
        return false;
    unsigned v = rvx_use(x, i->rs1, H_RAX);
    asm_load(x->cb, 8, HOST_RCX, at_rbp(at));
    if (i->imm == CSR_SEPC) {
        rvx_lea(x, 8, H_RAX, v, 0);
        asm_alu_imm(x->cb, HOST_AND, 8, HOST_RAX, x->code->cpu->profile->has[RISCV_EXT_C] ? -2 : -4);
        v = H_RAX;
    }
    asm_store(x->cb, 8, at_rbp(at), hg(v));
    rvx_set(x, i->rd, H_RCX);
    return true;
}

/* Sets or clears bits: only SIE of sstatus; reading any plain value. arg: 1 the operand is an immediate, 2 sets */
static bool modify(struct rvx *x, const struct riscv_insn *i, unsigned arg)
{
    bool immediate = arg & 1, sets = arg & 2;
    int32_t at;
    if (rvx_vec_read_csr(x, i))
        return true;
    if (!supervises(x))
        return false;
    if (i->rs1 == 0 && value_of(x, (unsigned)i->imm, &at)) {
        asm_load(x->cb, 8, HOST_RCX, at_rbp(at));
        rvx_set(x, i->rd, H_RCX);
        return true;
    }
    if (i->imm != CSR_SSTATUS || x->bank == RISCV_BANK_M)
        return false;
    bool known = immediate || (x->known >> i->rs1 & 1);
    uint64_t v = immediate ? i->rs1 : x->known_value[i->rs1];
    if (known && i->rs1 && v == MSTATUS_SUM)
        return modify_sum(x, i, sets);
    if (known && i->rs1 && v != SIE)
        return clear_status(x, i, v, sets);
    if (!known && i->rs1) { /* other bits are for the step function, by way of the interpreter */
        if (i->rd || !sets)
            return false;
        rvx_get(x, H_RAX, i->rs1);
        asm_insn_reg(x->cb, 8, 0xf7, 0, H_RAX); /* test rax, imm32 */
        codebuf_put4(x->cb, ~(uint32_t)SIE);
        struct rvx_tail *t = rvx_tail(x, RVX_STEP, asm_jcc(x->cb, CC_NE, NULL));
        if (t)
            t->insns = rvx_uncounted(x, false);
    }
    if (i->rd)
        read_status(x, i->rd);
    if (!i->rs1)
        return true;
    if (known && sets)
        asm_alu_mem_imm(x->cb, HOST_OR, 4, at_rbp(status_at(x)), SIE);
    else if (known)
        asm_alu_mem_imm(x->cb, HOST_AND, 4, at_rbp(status_at(x)), ~SIE);
    else
        asm_alu_mem(x->cb, HOST_OR, 8, at_rbp(status_at(x)), HOST_RAX);
    if (sets)
        look_for_interrupts(x, i);
    return true;
}

const struct rvx_rule rvx_sys_rules[] = {
    { rv_fence, fence, 0 },   { rv_csrrw, replace, 0 }, { rv_csrrs, modify, 2 },
    { rv_csrrsi, modify, 3 }, { rv_csrrc, modify, 0 },  { rv_csrrci, modify, 1 },
};
const unsigned rvx_nr_sys_rules = ARRAY_SIZE(rvx_sys_rules);
