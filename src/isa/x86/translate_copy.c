/* SPDX-License-Identifier: MIT */
/*
 * Copy and patch: the guest's instruction again, with other register numbers and its memory operand at [r11 + rcx].
 *
 * Guest registers that live in the frame pass through a scratch register: loaded before, stored behind if written.
 *
 * Spec: SDM 2A 2.1 to 2.3 (REX, ModRM, SIB, VEX)
 */
#include "isa/x86/insn_steps.h"
#include "isa/x86/translate_emit.h"

/* The plan for one instruction. */
struct copy {
    const struct x86_insn *i;
    bool mem;                    /* has a memory operand */
    bool folded;                 /* it is at [r11], rcx being needed */
    struct xl_place place;       /* else it is there */
    unsigned reg, rm, vvvv, opc; /* register numbers of the slots, host's */
    bool reg_used, rm_used, vvvv_used, opc_used;
    bool rm_frame; /* the rm slot is at [rsp + rm_at] */
    uint8_t flip;  /* what changes the opcode to the one that has its operands the other way round */
    int32_t rm_at;
    bool high;     /* an operand is AH, CH, DH or BH: no REX possible */
    bool ch;       /* it is CH: rcx is guest RCX meanwhile */
    bool fresh;    /* a register in the frame is written as a whole, and not read */
    bool byte_rex; /* an operand is SPL..DIL: REX needed */
    unsigned nr_frame;
    struct {
        unsigned guest, host;
        bool written;
    } frame[2];
};

static unsigned scratch_for(struct copy *p, unsigned guest, bool written, const uint8_t *free, unsigned nr_free)
{
    for (unsigned k = 0; k < p->nr_frame; k++) {
        if (p->frame[k].guest == guest) {
            p->frame[k].written |= written;
            return p->frame[k].host;
        }
    }
    if (p->nr_frame == nr_free || p->nr_frame == 2)
        return XR_MEM;
    p->frame[p->nr_frame].guest = guest;
    p->frame[p->nr_frame].written = written;
    unsigned h = free[p->nr_frame];
    p->frame[p->nr_frame++].host = h;
    return h;
}

/* Host number of operand o, XR_MEM when there is no way. */
static unsigned operand_number(struct copy *p, const struct x86_opnd *o, const uint8_t *free, unsigned nr_free)
{
    if (o->kind == OPND_VEC)
        return o->reg < 16 ? o->reg : XR_MEM;
    if (o->kind == OPND_REGH) {
        p->high = true;
        p->ch |= o->reg == RCX; /* r10 has no such part */
        return 4 + o->reg;
    }
    unsigned h = xr_host(o->reg);
    if (h == XR_MEM)
        h = scratch_for(p, o->reg, o->access & OPND_W, free, nr_free);
    p->byte_rex |= o->size == 1 && h != XR_MEM && h >= H_RSP && h <= H_RDI;
    return h;
}

static void slot_set(struct copy *p, const struct x86_opnd *o, unsigned h)
{
    switch ((enum x86_slot)o->slot) {
    case SLOT_REG:
        p->reg = h;
        p->reg_used = true;
        break;
    case SLOT_RM:
        p->rm = h;
        p->rm_used = true;
        break;
    case SLOT_VVVV:
        p->vvvv = h;
        p->vvvv_used = true;
        break;
    case SLOT_OPCODE:
        p->opc = h;
        p->opc_used = true;
        break;
    case SLOT_FIXED:
    case SLOT_IMM: break;
    }
}

/* A general register in the frame can be used there: as what it is copied from or to, all of it, by an instruction that does the
 * same with memory. */
static bool fits_frame(const struct copy *p, const struct x86_opnd *o)
{
    const struct x86_insn *i = p->i;
    bool writes = o->access & OPND_W;
    if (p->mem || o->kind != OPND_REG || o->slot != SLOT_RM || xr_host(o->reg) != XR_MEM || i->step == step_xchg
        || i->step == step_xadd)
        return false;
    if (xl_kind(i) == XL_VECTOR)
        return !writes && o->size >= 4;
    if (i->step == step_bt || i->step == step_bts || i->step == step_btr || i->step == step_btc)
        return i->op[1].kind == OPND_IMM && o->size == 8; /* else it would be a string of bits */
    return xl_kind(i) == XL_INTEGER && (!writes || o->size == 8);
}

/* op reg, reg with its source in the frame and not its destination: what makes it op reg, [frame], or 0xff. */
static uint8_t flip_of(const struct x86_insn *i)
{
    static const x86_step_fn directed[] = { step_mov, step_add, step_or,  step_adc, step_sbb,
                                            step_and, step_sub, step_xor, step_cmp };
    const struct x86_opnd *to = &i->op[0], *from = &i->op[1];
    if (i->nr_opnds != 2 || to->kind != OPND_REG || from->kind != OPND_REG || to->slot != SLOT_RM || from->slot != SLOT_REG
        || xr_host(to->reg) == XR_MEM || xr_host(from->reg) != XR_MEM || i->enc == X86_ENC_VEX || i->enc == X86_ENC_EVEX)
        return 0xff;
    for (unsigned k = 0; k < sizeof(directed) / sizeof(directed[0]); k++)
        if (i->step == directed[k])
            return 2;                       /* 00 to 3B, 88 to 8B: bit 1 is the direction */
    return i->step == step_test ? 0 : 0xff; /* which way round is the same */
}

static bool plan_flipped(struct copy *p, const struct x86_insn *i, uint8_t flip)
{
    *p = (struct copy){ .i = i, .flip = flip, .rm_frame = true, .rm_at = xr_frame(i->op[1].reg) };
    p->reg = operand_number(p, &i->op[0], NULL, 0);
    p->reg_used = true;
    return true;
}

/* The instruction's only general register that it writes is its first operand, all of it, whatever was there. */
static bool writes_afresh(const struct x86_insn *i)
{
    static const x86_step_fn moves[] = { step_mov, step_movzx, step_movsx, step_movsxd, step_imul_3op };
    const struct x86_opnd *to = &i->op[0];
    bool moved = xl_kind(i) == XL_VECTOR;
    for (unsigned k = 0; k < sizeof(moves) / sizeof(moves[0]); k++)
        moved |= i->step == moves[k];
    if (!moved || to->kind != OPND_REG || to->size < 4 || to->access != OPND_W || xr_host(to->reg) != XR_MEM)
        return false;
    for (unsigned n = 1; n < i->nr_opnds; n++)
        if (i->op[n].kind == OPND_REG && i->op[n].reg == to->reg)
            return false;
    return true;
}

static bool plan(struct copy *p, const struct x86_insn *i, bool cl)
{
    uint8_t flip = flip_of(i);
    if (flip != 0xff)
        return plan_flipped(p, i, flip);

    static const uint8_t with_mem[] = { H_RCX }, without[] = { H_R11, H_RCX };
    *p = (struct copy){ .i = i };
    for (unsigned n = 0; n < i->nr_opnds; n++)
        p->mem |= i->op[n].kind == OPND_MEM;
    const uint8_t *free = p->mem ? with_mem : without;
    unsigned nr_free = (p->mem ? 1 : 2) - (cl ? 1 : 0);
    for (unsigned n = 0; n < i->nr_opnds; n++) {
        const struct x86_opnd *o = &i->op[n];
        if (o->kind != OPND_REG && o->kind != OPND_REGH && o->kind != OPND_VEC)
            continue;
        if (o->slot == SLOT_FIXED) {
            if (o->kind == OPND_REG && o->reg != RAX && o->reg != RDX && !(cl && o->reg == RCX))
                return false;
            p->high |= o->kind == OPND_REGH;
            continue;
        }
        if (fits_frame(p, o)) {
            p->rm_frame = true;
            p->rm_at = xr_frame(o->reg);
            continue;
        }
        unsigned h = operand_number(p, o, free, nr_free);
        if (h == XR_MEM)
            return false;
        slot_set(p, o, h);
    }
    p->fresh = p->nr_frame == 1 && writes_afresh(i);
    p->folded = p->mem && ((p->nr_frame && !p->fresh) || cl); /* what is loaded afresh may be what it is loaded by */
    if (p->ch && (p->mem || p->nr_frame || cl))
        return false;
    /* without REX there are only the low eight, and r11 is not one of them */
    if (p->high
        && (p->mem || p->byte_rex || (p->reg_used && p->reg > 7) || (p->rm_used && p->rm > 7) || (p->opc_used && p->opc > 7)))
        return false;
    return i->enc != X86_ENC_EVEX;
}

static bool is_legacy_prefix(uint8_t b)
{
    switch (b) {
    case 0x66:
    case 0x67:
    case 0xf0:
    case 0xf2:
    case 0xf3:
    case 0x26:
    case 0x2e:
    case 0x36:
    case 0x3e:
    case 0x64:
    case 0x65: return true;
    default: return false;
    }
}

/* Extension bits of the register numbers: W R X B as in REX. */
static unsigned extension_bits(const struct copy *p)
{
    unsigned b = p->mem ? (p->folded ? H_R11 : p->place.base) : p->rm_used ? p->rm : p->opc_used ? p->opc : 0;
    return (p->reg_used ? p->reg >> 3 & 1 : 0) << 2 | (b >> 3 & 1);
}

/* ModRM, and SIB for memory; then immediates. */
static void put_operands(struct xl *x, const struct copy *p)
{
    const struct x86_insn *i = p->i;
    if (i->layout.modrm) {
        unsigned reg = p->reg_used ? p->reg & 7 : i->modrm >> 3 & 7;
        if (p->rm_frame) { /* [rsp + disp8] */
            codebuf_put1(x->cb, (uint8_t)(0x44 | reg << 3));
            codebuf_put1(x->cb, 0x24);
            codebuf_put1(x->cb, (uint8_t)p->rm_at);
        } else if (!p->mem) {
            codebuf_put1(x->cb, (uint8_t)(0xc0 | reg << 3 | (p->rm_used ? p->rm & 7 : i->modrm & 7)));
        } else if (p->folded) {
            codebuf_put1(x->cb, (uint8_t)(reg << 3 | (H_R11 & 7))); /* [r11] */
        } else {
            xl_modrm_place(x, reg, p->place);
        }
    }
    if (i->layout.imm)
        codebuf_put(x->cb, i->bytes + i->layout.imm, i->layout.imm_size);
}

static void put_legacy(struct xl *x, const struct copy *p)
{
    const struct x86_insn *i = p->i;
    unsigned at = 0, rex = extension_bits(p);
    uint8_t rep = 0;
    bool opsize = false;
    for (; is_legacy_prefix(i->bytes[at]) || (i->bytes[at] & 0xf0) == 0x40; at++) {
        opsize |= i->bytes[at] == 0x66;
        if (i->bytes[at] == 0xf2 || i->bytes[at] == 0xf3)
            rep = i->bytes[at];
    }
    if (at && (i->bytes[at - 1] & 0xf0) == 0x40)
        rex |= i->bytes[at - 1] & 8;
    if (i->lock)
        codebuf_put1(x->cb, 0xf0);
    if (opsize)
        codebuf_put1(x->cb, 0x66);
    if (rep)
        codebuf_put1(x->cb, rep);
    if (rex || p->byte_rex)
        codebuf_put1(x->cb, (uint8_t)(0x40 | rex));
    for (; at < i->layout.opcode; at++)
        codebuf_put1(x->cb, i->bytes[at]);
    uint8_t opcode = i->bytes[i->layout.opcode] ^ p->flip;
    codebuf_put1(x->cb, p->opc_used ? (uint8_t)((opcode & 0xf8) | (p->opc & 7)) : opcode);
    put_operands(x, p);
}

static void put_vex(struct xl *x, const struct copy *p)
{
    const struct x86_insn *i = p->i;
    const uint8_t *v = i->bytes + i->layout.rex;
    bool two = v[0] == 0xc5;
    unsigned map = two ? 1 : v[1] & 31, last = two ? v[1] & 0x7f : v[2], ext = extension_bits(p);
    if (p->vvvv_used)
        last = (last & ~0x78u) | (~p->vvvv & 15) << 3;
    codebuf_put1(x->cb, 0xc4);
    codebuf_put1(x->cb, (uint8_t)((ext & 4 ? 0 : 0x80) | 0x40 | (ext & 1 ? 0 : 0x20) | map));
    codebuf_put1(x->cb, (uint8_t)last);
    codebuf_put1(x->cb, i->bytes[i->layout.opcode]);
    put_operands(x, p);
}

void xl_fold(struct xl *x, struct xl_place place)
{
    xl_lea(x, 8, H_R11, place.base, place.index, 1, place.disp);
}

void xl_modrm_place(struct xl *x, unsigned reg, struct xl_place place)
{
    bool none = place.disp == 0 && (place.base & 7) != H_RBP; /* mod 0 with that base means something else */
    bool short_disp = place.disp >= -128 && place.disp <= 127;
    codebuf_put1(x->cb, (uint8_t)((none ? 0 : short_disp ? 0x40 : 0x80) | reg << 3 | 4));
    codebuf_put1(x->cb, (uint8_t)(place.index << 3 | (place.base & 7)));
    if (none)
        return;
    if (short_disp)
        codebuf_put1(x->cb, (uint8_t)place.disp);
    else
        codebuf_put4(x->cb, (uint32_t)place.disp);
}

static const struct x86_opnd *mem_operand(const struct x86_insn *i)
{
    for (unsigned n = 0; n < i->nr_opnds; n++)
        if (i->op[n].kind == OPND_MEM)
            return &i->op[n];
    return NULL;
}

/* mov between registers of 8 bytes, one of them in the frame. */
static bool mov_frame(struct xl *x, const struct x86_insn *i)
{
    const struct x86_opnd *to = &i->op[0], *from = &i->op[1];
    if (i->step != step_mov || to->kind != OPND_REG || from->kind != OPND_REG || to->size != 8)
        return false;
    unsigned d = xr_host(to->reg), s = xr_host(from->reg);
    if (d != XR_MEM && s != XR_MEM)
        return false;
    if (s == XR_MEM)
        xl_load(x, d == XR_MEM ? H_R11 : d, xr_frame(from->reg));
    if (d == XR_MEM)
        xl_store(x, xr_frame(to->reg), s == XR_MEM ? H_R11 : s);
    x->rcx_next = x->rcx_group;
    return true;
}

static bool copy(struct xl *x, const struct x86_insn *i, enum x86_access access, bool cl)
{
    struct copy p;
    if (mov_frame(x, i))
        return true;
    if (!plan(&p, i, cl))
        return false;
    if (p.mem) {
        unsigned size = mem_operand(i)->size;
        bool aligned = (x86_rows[i->row].flags & ROW_ALIGN) && size >= 16;
        if (!size || size > 32 || !xl_operand(x, i, size, access, aligned, &p.place))
            return false;
        if (p.folded)
            xl_fold(x, p.place);
    }
    for (unsigned k = 0; k < p.nr_frame && !p.fresh; k++)
        xl_load(x, p.frame[k].host, xr_frame(p.frame[k].guest));
    if (p.ch)
        asm_mov(x->cb, 8, HOST_RCX, HOST_R10);
    if (cl)
        asm_mov(x->cb, 4, HOST_RCX, HOST_R10);
    if (i->enc == X86_ENC_VEX)
        put_vex(x, &p);
    else
        put_legacy(x, &p);
    for (unsigned k = 0; k < p.nr_frame; k++)
        if (p.frame[k].written)
            xl_store(x, xr_frame(p.frame[k].guest), p.frame[k].host);
    if (p.ch)
        asm_mov(x->cb, 8, HOST_R10, HOST_RCX);
    bool rcx_lost = cl || p.ch || (p.mem && p.fresh);
    x->rcx_next = rcx_lost ? -1 : x->rcx_group;
    return true;
}

bool xl_copy(struct xl *x, const struct x86_insn *i, enum x86_access mem_access)
{
    return copy(x, i, mem_access, false);
}

bool xl_copy_cl(struct xl *x, const struct x86_insn *i, enum x86_access mem_access)
{
    return copy(x, i, mem_access, true);
}
