/* SPDX-License-Identifier: MIT */
/*
 * Translation of what kernels do often and needs no step function: fences, CSRs that are plain values, and interrupts switched on
 * and off in sstatus. Everything else of the kind is called out.
 */
#include "base/checked.h"
#include "isa/riscv/insn_steps.h"
#include "isa/riscv/translate_emit.h"

enum { CSR_SSTATUS = 0x100, CSR_SSCRATCH = 0x140, CSR_SEPC, CSR_SCAUSE, CSR_STVAL };
enum { SIE = MSTATUS_SIE };

static bool supervises(const struct rvx *x)
{
    return x->bank == RISCV_BANK_S || x->bank == RISCV_BANK_S_SUM || x->bank == RISCV_BANK_M;
}

/* The CSR is a plain value in the hart's state. */
static bool value_of(unsigned csr, int32_t *ret_at)
{
    switch (csr) {
    case CSR_SSCRATCH: *ret_at = FRAME(cpu.sscratch); return true;
    case CSR_SEPC: *ret_at = FRAME(cpu.sepc); return true;
    case CSR_SCAUSE: *ret_at = FRAME(cpu.scause); return true;
    case CSR_STVAL: *ret_at = FRAME(cpu.stval); return true;
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

static bool replace(struct rvx *x, const struct riscv_insn *i, unsigned arg)
{
    int32_t at;
    (void)arg;
    if (!supervises(x) || !value_of((unsigned)i->imm, &at))
        return false;
    unsigned v = rvx_use(x, i->rs1, H_RAX);
    asm_load(x->cb, 8, HOST_RCX, at_rbp(at));
    if (i->imm == CSR_SEPC) {
        rvx_lea(x, 8, H_RAX, v, 0);
        asm_alu_imm(x->cb, HOST_AND, 8, HOST_RAX, -2);
        v = H_RAX;
    }
    asm_store(x->cb, 8, at_rbp(at), hg(v));
    rvx_set(x, i->rd, H_RCX);
    return true;
}

/* rd = sstatus. Spec: volume II 12.1.1 */
static void read_status(struct rvx *x, unsigned rd)
{
    const uint64_t bits = MSTATUS_SIE | MSTATUS_SPIE | MSTATUS_SPP | MSTATUS_FS | MSTATUS_VS | MSTATUS_SUM | MSTATUS_MXR
                          | MSTATUS_UXL;
    static const uint8_t skip[] = { 0x75, 0x05 }, set_sd[] = { 0x48, 0x0f, 0xba, 0xe9, 0x3f }; /* jne +5; bts rcx, 63 */
    asm_mov_imm(x->cb, HOST_RCX, bits);
    asm_insn_mem(x->cb, 8, 0x23, H_RCX, at_rbp(FRAME(cpu.mstatus)));
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

/* Sets or clears bits: only SIE of sstatus; reading any plain value. arg: 1 the operand is an immediate, 2 sets */
static bool modify(struct rvx *x, const struct riscv_insn *i, unsigned arg)
{
    bool immediate = arg & 1, sets = arg & 2;
    int32_t at;
    if (!supervises(x))
        return false;
    if (i->rs1 == 0 && value_of((unsigned)i->imm, &at)) {
        asm_load(x->cb, 8, HOST_RCX, at_rbp(at));
        rvx_set(x, i->rd, H_RCX);
        return true;
    }
    if (i->imm != CSR_SSTATUS || x->bank == RISCV_BANK_M)
        return false;
    bool known = immediate || (x->known >> i->rs1 & 1);
    uint64_t v = immediate ? i->rs1 : x->known_value[i->rs1];
    if (known && i->rs1 && v != SIE)
        return false;
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
        asm_alu_mem_imm(x->cb, HOST_OR, 4, at_rbp(FRAME(cpu.mstatus)), SIE);
    else if (known)
        asm_alu_mem_imm(x->cb, HOST_AND, 4, at_rbp(FRAME(cpu.mstatus)), ~SIE);
    else
        asm_alu_mem(x->cb, HOST_OR, 8, at_rbp(FRAME(cpu.mstatus)), HOST_RAX);
    if (sets)
        look_for_interrupts(x, i);
    return true;
}

const struct rvx_rule rvx_sys_rules[] = {
    { rv_fence, fence, 0 },   { rv_csrrw, replace, 0 }, { rv_csrrs, modify, 2 },
    { rv_csrrsi, modify, 3 }, { rv_csrrc, modify, 0 },  { rv_csrrci, modify, 1 },
};
const unsigned rvx_nr_sys_rules = ARRAY_SIZE(rvx_sys_rules);
