/* SPDX-License-Identifier: MIT */
/*
 * The translator's memory operands: address formation and the inline TLB check.
 *
 * Minus-tag + address is the offset in the page on a hit, and large on a miss. Where guest flags are dead that is an ADD and a
 * CMP; where they are live nothing may touch them: PEXT takes index and page bits out, and JRCXZ skips the miss. Accesses off one
 * base register are checked as a group, at the first of them (translate_look.c).
 */
#include "isa/x86/translate_emit.h"

enum { SIB_NONE = H_RSP };

static void put_sib(struct xl *x, unsigned mod, unsigned reg, unsigned base, unsigned index, unsigned scale)
{
    codebuf_put1(x->cb, (uint8_t)(mod << 6 | (reg & 7) << 3 | 4));
    codebuf_put1(x->cb, (uint8_t)((unsigned)__builtin_ctz(scale) << 6 | (index & 7) << 3 | (base & 7)));
}

static void put_rex(struct xl *x, unsigned w, unsigned r, unsigned xi, unsigned b)
{
    codebuf_put1(x->cb, (uint8_t)(0x40 | w << 3 | (r >> 3 & 1) << 2 | (xi >> 3 & 1) << 1 | (b >> 3 & 1)));
}

void xl_lea(struct xl *x, unsigned size, unsigned dst, unsigned base, unsigned index, unsigned scale, int32_t disp)
{
    bool short_disp = disp >= -128 && disp <= 127;
    put_rex(x, size == 8, dst, index, base);
    codebuf_put1(x->cb, 0x8d);
    put_sib(x, short_disp ? 1 : 2, dst, base, index, scale);
    if (short_disp)
        codebuf_put1(x->cb, (uint8_t)disp);
    else
        codebuf_put4(x->cb, (uint32_t)disp);
}

void xl_lea_index(struct xl *x, unsigned size, unsigned dst, unsigned index, unsigned scale, int32_t disp)
{
    put_rex(x, size == 8, dst, index, 0);
    codebuf_put1(x->cb, 0x8d);
    put_sib(x, 0, dst, 5, index, scale); /* mod 0, base 5: disp32 only */
    codebuf_put4(x->cb, (uint32_t)disp);
}

void xl_load_rcx8(struct xl *x, unsigned dst, int32_t disp)
{
    put_rex(x, 1, dst, H_RCX, H_RSP);
    codebuf_put1(x->cb, 0x8b);
    put_sib(x, 2, dst, H_RSP, H_RCX, 8);
    codebuf_put4(x->cb, (uint32_t)disp);
}

/* VEX.LZ.F3.0F38.W1 F5 /r */
void xl_pext(struct xl *x, unsigned dst, unsigned src, int32_t disp)
{
    codebuf_put1(x->cb, 0xc4);
    codebuf_put1(x->cb, (uint8_t)((dst & 8 ? 0 : 0x80) | 0x60 | 2));
    codebuf_put1(x->cb, (uint8_t)(0x80 | (~src & 15) << 3 | 2));
    codebuf_put1(x->cb, 0xf5);
    bool short_disp = disp <= 127;
    put_sib(x, short_disp ? 1 : 2, dst, H_RSP, SIB_NONE, 1);
    if (short_disp)
        codebuf_put1(x->cb, (uint8_t)disp);
    else
        codebuf_put4(x->cb, (uint32_t)disp);
}

static void put_rel32(struct xl *x, const uint8_t *target)
{
    codebuf_put4(x->cb, target ? (uint32_t)(target - (codebuf_here(x->cb) + 4)) : 0);
}

size_t xl_jmp(struct xl *x, const uint8_t *target)
{
    codebuf_put1(x->cb, 0xe9);
    put_rel32(x, target);
    return target ? 0 : x->cb->pos - 4;
}

void xl_call(struct xl *x, const uint8_t *target)
{
    codebuf_put1(x->cb, 0xe8);
    put_rel32(x, target);
}

void xl_patch(struct xl *x, size_t from, size_t to)
{
    int32_t rel = (int32_t)(to - (from + 4));
    if (!x->cb->failed)
        memcpy(x->cb->rw + from, &rel, 4);
}

void xl_tail(struct xl *x, struct tail t)
{
    if (x->nr_tails < sizeof(x->tail) / sizeof(x->tail[0]))
        x->tail[x->nr_tails++] = t;
    else
        x->cb->failed = true; /* cannot happen: six an instruction are more than any needs */
}

/* The host register that holds a guest register; one in the frame is loaded into `scratch`. */
static unsigned in_register(struct xl *x, unsigned guest, unsigned scratch)
{
    unsigned h = xr_host(guest);
    if (h != XR_MEM)
        return h;
    xl_load(x, scratch, xr_frame(guest));
    return scratch;
}

bool xl_address(struct xl *x, const struct x86_insn *i, unsigned size, unsigned dst)
{
    if (i->addrsize < 4 || !i->layout.modrm || i->disp != (int32_t)i->disp)
        return false;
    int32_t disp = (int32_t)i->disp;
    if (i->base == X86_RIP_REG) {
        if (__builtin_add_overflow(x->off + i->len, disp, &disp))
            return false;
        xl_load(x, H_R11, FRAME(page_va));
        xl_lea(x, size, dst, H_R11, SIB_NONE, 1, disp);
    } else if (i->base < 16) {
        unsigned base = in_register(x, i->base, H_R11);
        unsigned index = i->index < 16 ? in_register(x, i->index, H_RCX) : SIB_NONE;
        xl_lea(x, size, dst, base, index, index == SIB_NONE ? 1 : i->scale, disp);
    } else if (i->index < 16) {
        xl_lea_index(x, size, dst, in_register(x, i->index, H_RCX), i->scale, disp);
    } else {
        asm_mov_imm(x->cb, hg(dst), size == 8 ? (uint64_t)i->disp : (uint32_t)i->disp);
    }
    return true;
}

bool xl_ea(struct xl *x, const struct x86_insn *i)
{
    if (!xl_address(x, i, i->addrsize, H_R11))
        return false;
    if (i->seg == SEG_FS || i->seg == SEG_GS) {
        xl_load(x, H_RCX, i->seg == SEG_FS ? FRAME(fs_base) : FRAME(gs_base));
        xl_lea(x, 8, H_R11, H_R11, H_RCX, 1, 0);
    }
    return true;
}

static int32_t bank_offset(const struct xl *x, size_t member)
{
    return FRAME(bank) + (int32_t)(x->bank * sizeof(struct x86_frame_bank) + member);
}

/* The check while flags are live. Behind it r11 is still the address and rcx its to_host. */
static void check_quietly(struct xl *x, struct tail t, unsigned size, int32_t tags)
{
    t.again = x->cb->pos;
    xl_pext(x, H_RCX, H_R11, FRAME(tlb_mask));
    xl_load_rcx8(x, H_RCX, tags);
    xl_lea(x, 8, H_RCX, H_RCX, H_R11, 1, (int32_t)size - 1);
    xl_pext(x, H_RCX, H_RCX, FRAME(page_mask));
    XL_BYTES(x, 0xe3, 5); /* jrcxz over the jump */
    t.from = xl_jmp(x, NULL);
    xl_tail(x, t);
    xl_pext(x, H_RCX, H_R11, FRAME(tlb_mask));
    xl_load_rcx8(x, H_RCX, bank_offset(x, offsetof(struct x86_frame_bank, to_host)));
}

/* The check when flags may be lost. Behind it r11 is the offset in the page and rcx the table entry of `wanted`. */
static void check_with_flags(struct xl *x, struct tail t, unsigned size, int32_t tags, size_t wanted)
{
    t.again = x->cb->pos;
    t.sub = tags;
    XL_BYTES(x, 0x44, 0x89, 0xd9);        /* mov ecx, r11d */
    XL_BYTES(x, 0xc1, 0xe9, GPAGE_SHIFT); /* shr ecx, 12 */
    XL_BYTES(x, 0x81, 0xe1);              /* and ecx, FRAME_TLB - 1 */
    codebuf_put4(x->cb, FRAME_TLB - 1);
    XL_BYTES(x, 0x4c, 0x03, 0x9c, 0xcc); /* add r11, [rsp + rcx * 8 + tags] */
    codebuf_put4(x->cb, (uint32_t)tags);
    XL_BYTES(x, 0x49, 0x81, 0xfb); /* cmp r11, 4096 - size */
    codebuf_put4(x->cb, GPAGE_SIZE - size);
    XL_BYTES(x, 0x0f, 0x87); /* ja */
    codebuf_put4(x->cb, 0);
    t.from = x->cb->pos - 4;
    xl_tail(x, t);
    xl_load_rcx8(x, H_RCX, bank_offset(x, wanted));
}

/* Checks [r11, r11 + size). With keep, r11 stays the address if flags allow no shorter way; the operand is at [r11 + rcx]. */
static void check(struct xl *x, unsigned size, enum x86_access access)
{
    int32_t tags = bank_offset(x, offsetof(struct x86_frame_bank, neg_tag)) + access * FRAME_TLB * 8;
    struct tail t = { .kind = TAIL_MISS, .what = access | x->bank << 8, .off = x->off };
    if (x->note[x->k].flags_dead)
        check_with_flags(x, t, size, tags, offsetof(struct x86_frame_bank, host_page));
    else
        check_quietly(x, t, size, tags);
}

/* Checks the whole group, with the base register's value as it is now; leaves its to_host in the frame. */
static void check_group(struct xl *x, struct xl_group *g, int32_t delta)
{
    enum x86_access access = g->write ? X86_WRITE : X86_READ;
    int32_t tags = bank_offset(x, offsetof(struct x86_frame_bank, neg_tag)) + access * FRAME_TLB * 8;
    struct tail t = { .kind = TAIL_MISS, .what = access | x->bank << 8 | 1 << 16, .off = x->off, .group = true };
    unsigned size = (unsigned)(g->hi - g->lo);
    xl_lea(x, 8, H_R11, in_register(x, g->base, H_R11), SIB_NONE, 1, g->lo - delta);
    if (x->note[x->k].flags_dead)
        check_with_flags(x, t, size, tags, offsetof(struct x86_frame_bank, to_host));
    else
        check_quietly(x, t, size, tags);
    g->checked = true;
    xl_store(x, FRAME(group) + 8 * (int32_t)(g - x->group), H_RCX);
}

/* The operand at guest base + disp by its group: rcx gets to_host. */
static struct xl_place grouped(struct xl *x, unsigned base, int32_t disp)
{
    const struct xl_note *n = &x->note[x->k];
    struct xl_group *g = &x->group[n->group];
    if (!g->checked)
        check_group(x, g, n->delta);
    else
        xl_load(x, H_RCX, FRAME(group) + 8 * n->group);
    return (struct xl_place){ in_register(x, base, H_R11), disp };
}

bool xl_operand(struct xl *x, const struct x86_insn *i, unsigned size, enum x86_access access, bool aligned,
                struct xl_place *ret_place)
{
    if (x->note[x->k].group >= 0 && !aligned) {
        *ret_place = grouped(x, i->base, (int32_t)i->disp);
        return true;
    }
    if (!xl_ea(x, i))
        return false;
    if (aligned)
        xl_align(x, size);
    check(x, size, access);
    *ret_place = (struct xl_place){ H_R11, 0 };
    return true;
}

struct xl_place xl_stack(struct xl *x, unsigned base, int32_t disp, enum x86_access access)
{
    if (x->note[x->k].group >= 0)
        return grouped(x, base, disp);
    xl_lea(x, 8, H_R11, xr_host(base), SIB_NONE, 1, disp);
    check(x, 8, access);
    return (struct xl_place){ H_R11, 0 };
}

void xl_align(struct xl *x, unsigned size)
{
    int32_t mask = FRAME(align_mask) + 8 * (__builtin_ctz(size) - 4);
    xl_pext(x, H_RCX, H_R11, mask);
    XL_BYTES(x, 0xe3, 5);
    size_t from = xl_jmp(x, NULL);
    xl_tail(x, (struct tail){ .kind = TAIL_BAIL, .from = from, .off = x->off });
}
