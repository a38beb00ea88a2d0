/* SPDX-License-Identifier: MIT */
/*
 * The normal form of an innocuous instruction: see host_form.h.
 *
 * The bytes are scanned again here, since what matters is where each register number is coded, not what it means.
 * Outside 64-bit mode the guest ignores some bits (VEX.B, the top bit of vvvv, W where it picks the width of a general
 * register) that the host would not; they are set to what the guest means.
 * Spec: SDM 2A 2.1 (legacy, REX), 2.3 (VEX), 2.7 (EVEX)
 */
#include "isa/x86/host_form.h"

#include <string.h>

enum { REX_B = 1, REX_X = 2, REX_R = 4, REX_W = 8, REX_MASK = 0xf0, REX_TAG = 0x40 };
enum { VEX_R = 0x80, VEX_X = 0x40, VEX_B = 0x20, EVEX_R2 = 0x10, VEX_W = 0x80, VEX_V3 = 0x40, EVEX_V4 = 0x08 };
enum { MODRM_MOD = 0xc0, MODRM_REG = 0x38, MODRM_RM = 7, MODRM_AT_RSI = 6 };

/* The instruction taken apart. */
struct parts {
    uint8_t pfx66, pfx_rep; /* the byte, or 0 */
    uint8_t rex;            /* REX byte or 0; head[] for VEX and EVEX */
    uint8_t head[4];        /* C5 xx, C4 xx xx, 62 xx xx xx */
    uint8_t head_len;
    uint8_t map, opcode; /* enum host_map */
    bool has_modrm;
    uint8_t modrm;
    uint8_t tail[8]; /* immediate bytes */
    uint8_t tail_len;
};

/* ---- taking apart ---- */

static unsigned parse_prefixes(const struct x86_insn *i, enum x86_mode mode, struct parts *p)
{
    unsigned at = 0;
    for (;; at++) {
        uint8_t b = i->bytes[at];
        switch (b) {
        case 0x66: p->pfx66 = b; break;
        case 0xf2:
        case 0xf3: p->pfx_rep = b; break;
        case 0x26:
        case 0x2e:
        case 0x36:
        case 0x3e:
        case 0x64:
        case 0x65:
        case 0x67:
        case 0xf0: break;
        default:
            if (mode != X86_MODE_64 || (b & REX_MASK) != REX_TAG)
                return at;
            p->rex = b;
            continue; /* counts only if it stands last */
        }
        p->rex = 0;
    }
}

static unsigned parse_opcode(const struct x86_insn *i, unsigned at, struct parts *p)
{
    const uint8_t *b = i->bytes;
    if (i->enc != X86_ENC_LEGACY) {
        p->head_len = b[at] == 0xc5 ? 2 : b[at] == 0xc4 ? 3 : 4;
        memcpy(p->head, b + at, p->head_len);
        p->map = b[at] == 0xc5 ? HOST_MAP_0F : b[at + 1] & 7;
        at += p->head_len;
    } else if (b[at] == 0x0f) {
        at++;
        p->map = b[at] == 0x38 ? HOST_MAP_0F38 : b[at] == 0x3a ? HOST_MAP_0F3A : HOST_MAP_0F;
        at += p->map != HOST_MAP_0F;
    }
    p->opcode = b[at];
    return at + 1;
}

/* Bytes of SIB and displacement behind ModRM. */
static unsigned address_bytes(const struct x86_insn *i, uint8_t modrm, uint8_t sib)
{
    unsigned mod = modrm >> 6, rm = modrm & MODRM_RM;
    if (mod == 3)
        return 0;
    if (i->addrsize == 2)
        return mod == 0 ? (rm == 6 ? 2 : 0) : mod;
    unsigned n = rm == 4;
    unsigned base = rm == 4 ? sib & 7 : rm;
    return n + (mod == 1 ? 1 : mod == 2 || base == 5 ? 4 : 0);
}

static bool parse(const struct x86_insn *i, enum x86_mode mode, struct parts *p)
{
    *p = (struct parts){ 0 };
    unsigned at = parse_opcode(i, parse_prefixes(i, mode, p), p);
    /* EMMS, VZEROUPPER, VZEROALL have none, and are nobody else's opcode */
    p->has_modrm = !(p->map == HOST_MAP_0F && p->opcode == 0x77);
    if (p->has_modrm) {
        p->modrm = i->bytes[at++];
        at += address_bytes(i, p->modrm, at < X86_INSN_MAX ? i->bytes[at] : 0);
    }
    if (at > i->len || i->len - at > sizeof(p->tail))
        return false;
    p->tail_len = (uint8_t)(i->len - at);
    memcpy(p->tail, i->bytes + at, p->tail_len);
    return true;
}

/* ---- what the guest means ---- */

/* With a register form: whether the general register that is operand n stands in ModRM.rm. As a source it always does. */
static bool gpr_in_rm(const struct parts *p, unsigned n)
{
    if (n != 0)
        return true;
    if (p->map == HOST_MAP_0F)
        return p->opcode == 0x7e;                                             /* MOVD r/m, xmm */
    return p->map == HOST_MAP_0F3A && p->opcode >= 0x14 && p->opcode <= 0x17; /* PEXTRx, EXTRACTPS */
}

/* Whether W means the width of a general register, so that it is 0 outside 64-bit mode. */
static bool w_is_gpr_width(const struct x86_insn *i, const struct parts *p)
{
    unsigned pp = i->enc == X86_ENC_LEGACY ? 0 : p->head[2] & 3;
    bool rep = pp >= 2;
    if (p->map == HOST_MAP_0F3A)
        return p->opcode == 0x16 || p->opcode == 0x22;
    if (p->map != HOST_MAP_0F)
        return false;
    switch (p->opcode) {
    case 0x6e:
    case 0x7e: return pp == 1;
    case 0x2a:
    case 0x2c:
    case 0x2d:
    case 0x78:
    case 0x79:
    case 0x7b: return rep;
    default: return false;
    }
}

static void fix_mode(const struct x86_insn *i, struct parts *p)
{
    if (i->enc == X86_ENC_LEGACY || p->head_len == 2)
        return;
    p->head[1] |= VEX_B;
    p->head[2] |= VEX_V3;
    if (w_is_gpr_width(i, p))
        p->head[2] &= (uint8_t)~VEX_W;
    if (i->enc == X86_ENC_EVEX) {
        p->head[1] |= EVEX_R2;
        p->head[3] |= EVEX_V4;
    } else if (p->map == HOST_MAP_0F3A && p->opcode >= 0x4a && p->opcode <= 0x4c && p->tail_len) {
        p->tail[0] &= 0x7f; /* VBLENDV*: register number in the immediate */
    }
}

/* ModRM.rm and its extension bits become plain register number rm. */
static void set_rm(const struct x86_insn *i, struct parts *p, unsigned mod, unsigned rm)
{
    p->modrm = (uint8_t)(mod | (p->modrm & MODRM_REG) | rm);
    if (i->enc == X86_ENC_LEGACY)
        p->rex &= (uint8_t) ~(REX_X | REX_B);
    else if (p->head_len > 2)
        p->head[1] |= VEX_X | VEX_B;
}

static void set_reg_rax(const struct x86_insn *i, struct parts *p)
{
    p->modrm &= (uint8_t)~MODRM_REG;
    if (i->enc == X86_ENC_LEGACY)
        p->rex &= (uint8_t)~REX_R;
    else
        p->head[1] |= i->enc == X86_ENC_EVEX ? VEX_R | EVEX_R2 : VEX_R;
}

static void put_together(const struct parts *p, struct host_form *f)
{
    unsigned n = 0;
    if (p->pfx66)
        f->bytes[n++] = p->pfx66;
    if (p->pfx_rep)
        f->bytes[n++] = p->pfx_rep;
    if (p->rex & ~REX_MASK)
        f->bytes[n++] = p->rex;
    memcpy(f->bytes + n, p->head, p->head_len);
    n += p->head_len;
    if (p->head_len == 0 && p->map != HOST_MAP_1) {
        f->bytes[n++] = 0x0f;
        if (p->map != HOST_MAP_0F)
            f->bytes[n++] = p->map == HOST_MAP_0F38 ? 0x38 : 0x3a;
    }
    f->bytes[n++] = p->opcode;
    if (p->has_modrm)
        f->bytes[n++] = p->modrm;
    memcpy(f->bytes + n, p->tail, p->tail_len);
    f->len = (uint8_t)(n + p->tail_len);
}

bool host_form_make(const struct x86_insn *i, enum x86_mode mode, struct host_form *ret_form)
{
    struct parts p;
    struct host_form f = { .gpr = HOST_NO_GPR };

    if (!parse(i, mode, &p) || p.tail_len > 1)
        return false;
    if (mode != X86_MODE_64)
        fix_mode(i, &p);
    f.mem = p.has_modrm && (p.modrm & MODRM_MOD) != MODRM_MOD;
    f.map = p.map;
    f.opcode = p.opcode;
    if (f.mem)
        set_rm(i, &p, 0, MODRM_AT_RSI);
    for (unsigned n = 0; n < i->nr_opnds; n++) {
        if (i->op[n].kind != OPND_REG)
            continue;
        f.gpr = i->op[n].reg;
        if (f.mem || !gpr_in_rm(&p, n))
            set_reg_rax(i, &p);
        else
            set_rm(i, &p, MODRM_MOD, 0);
    }
    put_together(&p, &f);
    *ret_form = f;
    return true;
}

struct host_implicit host_form_implicit(const struct host_form *f, const struct x86_insn *i)
{
    struct host_implicit u = { 0 };
    if (f->map == HOST_MAP_0F38 && i->enc == X86_ENC_LEGACY)
        u.xmm0_read = f->opcode == 0x10 || f->opcode == 0x14 || f->opcode == 0x15 || f->opcode == 0xcb;
    if (f->map == HOST_MAP_0F3A && i->enc != X86_ENC_EVEX && f->opcode >= 0x60 && f->opcode <= 0x63) {
        u.xmm0_written = !(f->opcode & 1);
        u.rcx_written = f->opcode & 1;
        u.rax_rdx_read = f->opcode < 0x62;
    }
    return u;
}
