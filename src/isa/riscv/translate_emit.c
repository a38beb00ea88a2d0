/* SPDX-License-Identifier: MIT */
/*
 * Short emitters of the RISC-V translator. See translate_emit.h.
 */
#include "isa/riscv/translate_emit.h"

enum { OP_LEA = 0x8d };

unsigned rvx_use(struct rvx *x, unsigned guest, unsigned scratch)
{
    if (x_host(guest) != IN_MEMORY)
        return x_host(guest);
    rvx_get(x, scratch, guest);
    return scratch;
}

void rvx_get(struct rvx *x, unsigned host, unsigned guest)
{
    if (guest == 0)
        asm_alu(x->cb, HOST_XOR, 4, hg(host), hg(host));
    else if (x_host(guest) == IN_MEMORY)
        asm_load(x->cb, 8, hg(host), x_mem(guest));
    else if (x_host(guest) != host)
        asm_mov(x->cb, 8, hg(host), hg(x_host(guest)));
}

unsigned rvx_dst(const struct rvx *x, unsigned guest)
{
    (void)x;
    return x_host(guest) == IN_MEMORY ? H_RAX : x_host(guest);
}

void rvx_changes(struct rvx *x, unsigned guest)
{
    x->known &= ~(1U << guest);
    for (unsigned n = 0; n < RVX_GROUPS; n++)
        if (x->group[n].base == guest)
            x->group[n].on = false;
}

void rvx_forget(struct rvx *x)
{
    x->known = 0;
    x->boxed = 0;
    memset(x->vec.copy, 0, sizeof(x->vec.copy));
    for (unsigned n = 0; n < RVX_GROUPS; n++)
        x->group[n].on = false;
}

void rvx_set(struct rvx *x, unsigned guest, unsigned host)
{
    if (!guest)
        return;
    rvx_changes(x, guest);
    if (x_host(guest) == IN_MEMORY)
        asm_store(x->cb, 8, x_mem(guest), hg(host));
    else if (x_host(guest) != host)
        asm_mov(x->cb, 8, hg(x_host(guest)), hg(host));
}

void rvx_set_imm(struct rvx *x, unsigned guest, uint64_t v)
{
    enum { OP_MOV_IMM = 0xc7 };
    if (!guest)
        return;
    rvx_changes(x, guest);
    x->known |= 1U << guest;
    x->known_value[guest] = v;
    if (x_host(guest) != IN_MEMORY && v == 0) {
        asm_alu(x->cb, HOST_XOR, 4, hg(x_host(guest)), hg(x_host(guest)));
    } else if (x_host(guest) != IN_MEMORY) {
        asm_mov_imm(x->cb, hg(x_host(guest)), v);
    } else if ((int64_t)v == (int32_t)v) {
        asm_insn_mem(x->cb, 8, OP_MOV_IMM, 0, x_mem(guest));
        codebuf_put4(x->cb, (uint32_t)v);
    } else {
        asm_mov_imm(x->cb, HOST_RAX, v);
        asm_store(x->cb, 8, x_mem(guest), HOST_RAX);
    }
}

void rvx_alu_guest(struct rvx *x, enum host_alu op, unsigned size, unsigned dst, unsigned guest)
{
    enum { OP_ALU_R_RM = 0x03 };
    bool small = (x->known >> guest & 1) && (int64_t)x->known_value[guest] == (int32_t)x->known_value[guest];
    if (guest == 0)
        asm_alu_imm(x->cb, op, size, hg(dst), 0);
    else if (small && x_host(guest) == IN_MEMORY)
        asm_alu_imm(x->cb, op, size, hg(dst), (int32_t)x->known_value[guest]);
    else if (x_host(guest) == IN_MEMORY)
        asm_insn_mem(x->cb, size, OP_ALU_R_RM | op << 3, dst, x_mem(guest));
    else
        asm_alu(x->cb, op, size, hg(dst), hg(x_host(guest)));
}

void rvx_lea(struct rvx *x, unsigned size, unsigned dst, unsigned base, int32_t disp)
{
    if (disp == 0 && size == 8) {
        if (dst != base)
            asm_mov(x->cb, 8, hg(dst), hg(base));
        return;
    }
    asm_insn_mem(x->cb, size, OP_LEA, dst, host_mem(hg(base), disp));
}

void rvx_lea_sib(struct rvx *x, unsigned size, unsigned dst, unsigned base, unsigned index, unsigned scale)
{
    asm_insn_mem(x->cb, size, OP_LEA, dst, host_mem_indexed(hg(base), hg(index), scale, 0));
}

struct rvx_tail *rvx_tail(struct rvx *x, int kind, size_t from)
{
    if (x->nr_tails == RVX_EXITS_MAX) {
        x->failed = true;
        return NULL;
    }
    struct rvx_tail *t = &x->tail[x->nr_tails++];
    *t = (struct rvx_tail){ .kind = kind, .from = from, .pc = x->insn[x->k].pc };
    t->vec.known = x->vec;
    return t;
}

uint32_t rvx_uncounted(const struct rvx *x, bool with_this)
{
    return x->k + with_this - x->counted;
}

void rvx_count(struct rvx *x, bool with_this)
{
    uint32_t n = rvx_uncounted(x, with_this);
    if (n)
        asm_alu_mem_imm(x->cb, HOST_ADD, 8, at_rbp(FRAME(cpu.insns)), (int32_t)n);
    x->counted += n;
}

/* ---- vector registers ---- */

bool rvx_has_evex;
unsigned rvx_f_regs;

/* EVEX.W, which says the element's size where VEX's prefix alone does. */
static unsigned evex_w(unsigned w, unsigned opcode)
{
    enum { MAP = 3 << 8, PREFIX = 3 << 12 };
    unsigned op = opcode & 0xff, prefix = opcode & PREFIX;
    if ((opcode & MAP) != ASM_0F || op == 0x2a || op == 0x2c || op == 0x2d || op == 0x6e || op == 0x7e)
        return w;
    return prefix == ASM_66 || prefix == ASM_F2;
}

void rvx_vec_reg(struct codebuf *cb, unsigned w, unsigned opcode, unsigned reg, unsigned v, unsigned rm)
{
    if (reg > 15 || v > 15 || rm > 15)
        asm_evex_reg(cb, evex_w(w, opcode), opcode, reg, v, rm);
    else
        asm_vex_reg(cb, w, opcode, reg, v, rm);
}

void rvx_vec_mem(struct codebuf *cb, unsigned w, unsigned opcode, unsigned reg, unsigned v, struct host_mem m)
{
    if (reg > 15 || v > 15)
        asm_evex_mem(cb, evex_w(w, opcode), opcode, reg, v, m);
    else
        asm_vex_mem(cb, w, opcode, reg, v, m);
}
