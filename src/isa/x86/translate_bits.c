/* SPDX-License-Identifier: MIT */
/*
 * The translator's bit strings in memory (BT and its kin with the bit number in a register), CMPXCHG8B and CMPXCHG16B.
 *
 * A bit number in a register reaches beyond the operand: the word it lies in is found first, and the host then gets the
 * number within the word.
 */
#include "isa/x86/insn_steps.h"
#include "isa/x86/translate_emit.h"

/* ModRM for register reg and memory at [r11]. */
static void put_at_r11(struct xl *x, unsigned reg)
{
    codebuf_put1(x->cb, (uint8_t)((reg & 7) << 3 | (H_R11 & 7)));
}

/* rcx = the byte offset of the word that the bit number selects; r11 is lost. */
static void put_word_offset(struct xl *x, unsigned guest, unsigned size)
{
    unsigned h = xr_host(guest);
    if (h == XR_MEM) {
        xl_load(x, H_RCX, xr_frame(guest));
        h = H_RCX;
    }
    if (size == 4) { /* movsxd rcx, h */
        XL_BYTES(x, (uint8_t)(0x48 | (h >> 3 & 1)), 0x63, (uint8_t)(0xc8 | (h & 7)));
        h = H_RCX;
    }
    asm_mov_imm(x->cb, HOST_R11, size == 4 ? 5 : 6);
    XL_BYTES(x, 0xc4, (uint8_t)(0xc2 | (h & 8 ? 0 : 0x20)), 0xa2, 0xf7, (uint8_t)(0xc8 | (h & 7))); /* sarx rcx, h, r11 */
    xl_lea_index(x, 8, H_RCX, H_RCX, size, 0);
}

static bool bit_string(struct xl *x, const struct x86_insn *i)
{
    unsigned size = i->op[0].size, guest = i->op[1].reg;
    bool writes = i->op[0].access & OPND_W;
    if (size < 4 || i->addrsize != 8 || i->disp != (int32_t)i->disp || !i->layout.modrm)
        return false;
    put_word_offset(x, guest, size);
    xl_store(x, FRAME(tmp), H_RCX);
    if (!xl_ea(x, i))
        return false;
    xl_load(x, H_RCX, FRAME(tmp));
    xl_lea(x, 8, H_R11, H_R11, H_RCX, 1, 0);
    xl_fold(x, xl_checked(x, size, writes ? X86_WRITE : X86_READ));
    if (xr_host(guest) == XR_MEM)
        xl_load(x, H_RCX, xr_frame(guest));
    xl_pext(x, H_RCX, xr_host(guest) == XR_MEM ? H_RCX : xr_host(guest), size == 4 ? FRAME(bit_mask[0]) : FRAME(bit_mask[1]));
    if (i->lock)
        codebuf_put1(x->cb, 0xf0);
    XL_BYTES(x, (uint8_t)(0x41 | (size == 8) << 3), 0x0f, i->bytes[i->layout.opcode]);
    put_at_r11(x, H_RCX);
    return true;
}

static bool wide_exchange(struct xl *x, const struct x86_insn *i)
{
    struct xl_place p;
    bool wide = i->step == step_cmpxchg16b;
    if (!xl_operand(x, i, wide ? 16 : 8, X86_WRITE, wide, &p))
        return false;
    xl_fold(x, p);
    asm_mov(x->cb, 8, HOST_RCX, hg(xr_host(RCX)));
    if (i->lock)
        codebuf_put1(x->cb, 0xf0);
    XL_BYTES(x, (uint8_t)(0x41 | wide << 3), 0x0f, 0xc7);
    put_at_r11(x, 1);
    return true;
}

bool xl_bits(struct xl *x, const struct x86_insn *i)
{
    x86_step_fn f = i->step;
    if (f == step_cmpxchg8b || f == step_cmpxchg16b)
        return wide_exchange(x, i);
    if (f != step_bt && f != step_bts && f != step_btr && f != step_btc)
        return false;
    return i->op[0].kind == OPND_MEM && i->op[1].kind == OPND_REG && bit_string(x, i);
}
