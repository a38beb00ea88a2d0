/* SPDX-License-Identifier: MIT */
/*
 * The translator's repeated MOVS and STOS.
 *
 * What goes up and stays in a page on both sides, and so cannot be interrupted by anything, is done by the host's own
 * instruction, with the guest's registers turned into host addresses and back. The rest is a light call.
 *
 * Spec: SDM 2B REP, MOVS, STOS
 */
#include "isa/x86/insn_steps.h"
#include "isa/x86/translate_emit.h"

enum { SIB_NONE = H_RSP, NOT_EQUAL = 5, ABOVE = 7 };

/* Leaves the short way, by the host's condition code cc. */
static size_t leave_if(struct xl *x, unsigned cc)
{
    XL_BYTES(x, 0x0f, (uint8_t)(0x80 | cc));
    codebuf_put4(x->cb, 0);
    return x->cb->pos - 4;
}

/* cmp rcx, v */
static void compare_rcx(struct xl *x, uint32_t v)
{
    XL_BYTES(x, 0x48, 0x81, 0xf9);
    codebuf_put4(x->cb, v);
}

/* The operand at `addr`: leaves when not all of it is in that page. Returns the frame offset of its to_host. */
static int32_t operand(struct xl *x, unsigned addr, enum x86_access access, unsigned size, size_t *ret_leaves)
{
    int32_t to_host = xl_page_of(x, addr, access, FRAME(string) + 8 * (int32_t)access);
    xl_lea(x, 8, H_RCX, H_R11, H_R10, size, 0);
    compare_rcx(x, GPAGE_SIZE);
    *ret_leaves = leave_if(x, ABOVE);
    return to_host;
}

/* add or sub reg, [rsp + disp]; reg is rsi or rdi */
static void move_by(struct xl *x, unsigned opcode, unsigned reg, int32_t disp)
{
    XL_BYTES(x, 0x48, (uint8_t)opcode, (uint8_t)(0x84 | reg << 3), 0x24);
    codebuf_put4(x->cb, (uint32_t)disp);
}

bool xl_is_string(const struct x86_insn *i)
{
    return (i->step == step_movs || i->step == step_stos) && i->rep && i->addrsize == 8 && i->seg < SEG_FS;
}

bool xl_string(struct xl *x, const struct x86_insn *i)
{
    enum { ADD = 0x03, SUB = 0x2b };
    bool moves = i->step == step_movs;
    unsigned size = i->opsize, nr = 0;
    size_t leaves[4];
    int32_t from = 0, to;
    if (!xl_is_string(i) || !x->note[x->k].flags_dead)
        return false;
    XL_BYTES(x, 0x48, 0x83, 0xbc, 0x24); /* cmp qword [rsp + flag_df], 0 */
    codebuf_put4(x->cb, (uint32_t)FRAME(flag_df));
    codebuf_put1(x->cb, 0);
    leaves[nr++] = leave_if(x, NOT_EQUAL);
    xl_lea(x, 8, H_RCX, H_R10, SIB_NONE, 1, -1); /* none at all, or more than a page has */
    compare_rcx(x, GPAGE_SIZE / size - 1);
    leaves[nr++] = leave_if(x, ABOVE);
    if (moves)
        from = operand(x, H_RSI, X86_READ, size, &leaves[nr++]);
    to = operand(x, H_RDI, X86_WRITE, size, &leaves[nr++]);
    if (moves)
        move_by(x, ADD, H_RSI, from);
    move_by(x, ADD, H_RDI, to);
    asm_mov(x->cb, 8, HOST_RCX, HOST_R10);
    if (size == 2)
        codebuf_put1(x->cb, 0x66);
    codebuf_put1(x->cb, 0xf3);
    if (size == 8)
        codebuf_put1(x->cb, 0x48);
    codebuf_put1(x->cb, (uint8_t)((moves ? 0xa4 : 0xaa) | (size > 1)));
    asm_mov(x->cb, 8, HOST_R10, HOST_RCX); /* 0 */
    if (moves)
        move_by(x, SUB, H_RSI, from);
    move_by(x, SUB, H_RDI, to);
    size_t done = xl_jmp(x, NULL);
    for (unsigned k = 0; k < nr; k++)
        xl_patch(x, leaves[k], x->cb->pos);
    xl_call_out(x, i);
    xl_patch(x, done, x->cb->pos);
    return true;
}
