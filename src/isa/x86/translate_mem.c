/* SPDX-License-Identifier: MIT */
/*
 * The translator's memory operands: address formation and the inline TLB check.
 *
 * Minus-tag + address is the offset in the page on a hit, and large on a miss. Most places in the code stay in a page for long,
 * so where guest flags are dead a place compares with the page it saw last (a site); a miss there looks into the table, in a
 * stub, and only what is not in the table calls C. A place that changes pages all the time uses the table directly. Where flags
 * are live nothing may touch them: the table is looked up with PEXT, and JRCXZ skips the miss. Accesses off one base register are
 * checked as a group, at the first of them or before (translate_look.c).
 */
#include <assert.h>
#include <string.h>

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
    if (dst == H_RCX)
        x->rcx_group = -1;
    if (index == SIB_NONE && !disp && base != H_RSP) {
        asm_mov(x->cb, size, hg(dst), hg(base));
        return;
    }
    put_rex(x, size == 8, dst, index, base);
    codebuf_put1(x->cb, 0x8d);
    unsigned mod = !disp && (base & 7) != H_RBP ? 0 : short_disp ? 1 : 2;
    if (index == SIB_NONE && (base & 7) != H_RSP)
        codebuf_put1(x->cb, (uint8_t)(mod << 6 | (dst & 7) << 3 | (base & 7)));
    else
        put_sib(x, mod, dst, base, index, scale);
    if (mod == 0)
        return;
    if (short_disp)
        codebuf_put1(x->cb, (uint8_t)disp);
    else
        codebuf_put4(x->cb, (uint32_t)disp);
}

void xl_lea_index(struct xl *x, unsigned size, unsigned dst, unsigned index, unsigned scale, int32_t disp)
{
    if (dst == H_RCX)
        x->rcx_group = -1;
    put_rex(x, size == 8, dst, index, 0);
    codebuf_put1(x->cb, 0x8d);
    put_sib(x, 0, dst, 5, index, scale); /* mod 0, base 5: disp32 only */
    codebuf_put4(x->cb, (uint32_t)disp);
}

void xl_load_rcx8(struct xl *x, unsigned dst, int32_t disp)
{
    if (dst == H_RCX)
        x->rcx_group = -1;
    put_rex(x, 1, dst, H_RCX, H_RSP);
    codebuf_put1(x->cb, 0x8b);
    put_sib(x, 2, dst, H_RSP, H_RCX, 8);
    codebuf_put4(x->cb, (uint32_t)disp);
}

/* VEX.LZ.pp.0F38.W1 F5 /r */
static void pext_or_pdep(struct xl *x, unsigned pp, unsigned dst, unsigned src, int32_t disp)
{
    if (dst == H_RCX)
        x->rcx_group = -1;
    codebuf_put1(x->cb, 0xc4);
    codebuf_put1(x->cb, (uint8_t)((dst & 8 ? 0 : 0x80) | 0x60 | 2));
    codebuf_put1(x->cb, (uint8_t)(0x80 | (~src & 15) << 3 | pp));
    codebuf_put1(x->cb, 0xf5);
    bool short_disp = disp <= 127;
    put_sib(x, short_disp ? 1 : 2, dst, H_RSP, SIB_NONE, 1);
    if (short_disp)
        codebuf_put1(x->cb, (uint8_t)disp);
    else
        codebuf_put4(x->cb, (uint32_t)disp);
}

void xl_pext(struct xl *x, unsigned dst, unsigned src, int32_t disp)
{
    pext_or_pdep(x, 2, dst, src, disp);
}

void xl_pdep(struct xl *x, unsigned dst, unsigned src, int32_t disp)
{
    pext_or_pdep(x, 3, dst, src, disp);
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
    t.fip = x->fip;
    t.k = x->k;
    t.bank = (uint8_t)x->bank;
    if (t.kind != TAIL_EXIT && x->shadow)
        t.off |= FRAME_IN_SHADOW;
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

/* Frame offset of the tags (minus pages) of the bank's table for an access. */
static int32_t tags_offset(const struct xl *x, enum x86_access access)
{
    return bank_offset(x, offsetof(struct x86_frame_bank, neg_tag)) + access * FRAME_TLB * 8;
}

/* dst (rax or rcx) = index of r11 in the inline TLB; flags are kept */
static void put_index(struct xl *x, unsigned dst)
{
    static_assert(FRAME_TLB == 1 << 16, "the index is 16 bits");
    XL_BYTES(x, 0xc4, 0xc3, 0x7b, 0xf0, (uint8_t)(0xc3 | dst << 3), GPAGE_SHIFT); /* rorx dst, r11d, 12 */
    XL_BYTES(x, 0x0f, 0xb7, (uint8_t)(0xc0 | dst << 3 | dst));                    /* movzx dst, its low 16 bits */
}

/* The check by the table while flags are live. Behind it r11 is still the address and rcx its to_host. */
static void check_quietly(struct xl *x, struct tail t, unsigned size, enum x86_access access)
{
    x->use.checks[access][X86_CHECK_QUIET]++;
    t.again = x->cb->pos;
    t.size = size;
    put_index(x, H_RCX);
    xl_load_rcx8(x, H_RCX, tags_offset(x, access));
    xl_lea(x, 8, H_RCX, H_RCX, H_R11, 1, (int32_t)size - 1);
    xl_pext(x, H_RCX, H_RCX, FRAME(page_mask));
    XL_BYTES(x, 0xe3, 5); /* jrcxz over the jump */
    t.from = xl_jmp(x, NULL);
    xl_tail(x, t);
    put_index(x, H_RCX);
    xl_load_rcx8(x, H_RCX, bank_offset(x, offsetof(struct x86_frame_bank, to_host)));
}

/* The check by the table when flags may be lost. Behind it r11 is the offset in the page and rcx the table entry of `wanted`. */
static void check_table(struct xl *x, struct tail t, unsigned size, enum x86_access access, size_t wanted)
{
    x->use.checks[access][X86_CHECK_TABLE]++;
    t.again = x->cb->pos;
    t.size = size;
    t.sub = tags_offset(x, access);
    if (x->code->loops) { /* AMD's BEXTR takes one cycle, the others' two */
        asm_mov_imm(x->cb, HOST_RCX, 16 << 8 | GPAGE_SHIFT);
        XL_BYTES(x, 0xc4, 0xc2, 0x70, 0xf7, 0xcb); /* bextr ecx, r11d, ecx */
    } else {
        put_index(x, H_RCX);
    }
    XL_BYTES(x, 0x4c, 0x03, 0x9c, 0xcc); /* add r11, [rsp + rcx * 8 + tags] */
    codebuf_put4(x->cb, (uint32_t)t.sub);
    XL_BYTES(x, 0x49, 0x81, 0xfb); /* cmp r11, 4096 - size */
    codebuf_put4(x->cb, GPAGE_SIZE - size);
    XL_BYTES(x, 0x0f, 0x87); /* ja */
    codebuf_put4(x->cb, 0);
    t.from = x->cb->pos - 4;
    xl_tail(x, t);
    xl_load_rcx8(x, H_RCX, bank_offset(x, wanted));
}

/* Places that surely access the same page share a site: the stack, and variables at an address that the code names. The others
 * take one in turn. */
enum { SITE_STACK, SITES_NEAR = 1, SITES_FIXED = 128, SITES_SEG = 192, SITES_NAMED = 256, SITE_ANY = FRAME_SITES };

/* That of what is at disp from page_va. */
static unsigned site_near(const struct xl *x, int64_t disp)
{
    return SITES_NEAR + ((uint64_t)((int64_t)(x->b->page << GPAGE_SHIFT) + disp) >> GPAGE_SHIFT) % (SITES_FIXED - SITES_NEAR);
}

static unsigned site_of(const struct xl *x, const struct x86_insn *i)
{
    if (i->base == RSP && i->index >= 16)
        return SITE_STACK;
    if (i->base == X86_RIP_REG)
        return site_near(x, x->off + i->len + i->disp);
    if (i->base >= 16)
        return i->seg >= SEG_FS ? SITES_SEG + (uint64_t)i->disp / GPAGE_SIZE % (SITES_NAMED - SITES_SEG)
                                : SITES_FIXED + (uint64_t)i->disp / GPAGE_SIZE % (SITES_SEG - SITES_FIXED);
    return SITE_ANY;
}

/* The check by a site when flags may be lost, of the address t.addr + t.plus. Behind it rcx is the offset in the page; returns
 * the site's frame offset. */
static int32_t put_site_check(struct xl *x, struct tail t, unsigned size, enum x86_access access)
{
    unsigned n = x->site != SITE_ANY ? x->site
                                     : SITES_NAMED + x->code->next_site[x->bank][access]++ % (FRAME_SITES - SITES_NAMED);
    x->use.checks[access][X86_CHECK_SITE]++;
    t.kind = TAIL_SITE;
    t.again = x->cb->pos;
    t.size = size;
    t.site = bank_offset(x, offsetof(struct x86_frame_bank, site))
             + (int32_t)((access * FRAME_SITES + n) * sizeof(struct x86_site));
    xl_load(x, H_RCX, t.site + (int32_t)offsetof(struct x86_site, neg));
    xl_lea(x, 8, H_RCX, H_RCX, t.addr, 1, t.plus);
    XL_BYTES(x, 0x48, 0x81, 0xf9); /* cmp rcx, 4096 - size */
    codebuf_put4(x->cb, GPAGE_SIZE - size);
    XL_BYTES(x, 0x0f, 0x87); /* ja */
    codebuf_put4(x->cb, 0);
    t.from = x->cb->pos - 4;
    xl_tail(x, t);
    return t.site;
}

/* The same; behind it rcx is to_host, whose frame offset is returned. */
static int32_t check_site(struct xl *x, struct tail t, unsigned size, enum x86_access access)
{
    int32_t to_host = put_site_check(x, t, size, access) + (int32_t)offsetof(struct x86_site, to_host);
    xl_load(x, H_RCX, to_host);
    return to_host;
}

static bool wanders(const struct xl *x)
{
    const struct x86_habits *h = x->habits;
    unsigned nr = sizeof(h->wanderer) / sizeof(h->wanderer[0]);
    for (unsigned k = 0; k < h->nr_wanderers && k < nr; k++)
        if (h->wanderer[k] == x->off)
            return true;
    return h->nr_wanderers > nr;
}

/* Bails when r11 is not aligned to size (16, 32, 64). */
static void put_align_test(struct xl *x, unsigned size)
{
    int32_t mask = FRAME(align_mask) + 8 * (__builtin_ctz(size) - 4);
    xl_pext(x, H_RCX, H_R11, mask);
    XL_BYTES(x, 0xe3, 5);
    size_t from = xl_jmp(x, NULL);
    xl_tail(x, (struct tail){ .kind = TAIL_BAIL, .from = from, .off = x->off });
}

/* AMD's CPUs let these have their operand anywhere, others (and our reference) do not. */
bool xl_aligns(const struct x86_insn *i)
{
    return (x86_rows[i->row].flags & ROW_ALIGN) && strncmp(x86_rows[i->row].name, "SHA", 3) == 0;
}

int32_t xl_page_of(struct xl *x, unsigned addr, enum x86_access access, int32_t spare)
{
    struct tail t = { .kind = TAIL_MISS, .off = x->off, .addr = (uint8_t)addr, .what = access | x->bank << 8 };
    x->site = SITE_ANY;
    if (!wanders(x)) {
        int32_t site = put_site_check(x, t, 1, access);
        asm_mov(x->cb, 8, HOST_R11, HOST_RCX);
        return site + (int32_t)offsetof(struct x86_site, to_host);
    }
    asm_mov(x->cb, 8, HOST_R11, hg(addr));
    check_table(x, t, 1, access, offsetof(struct x86_frame_bank, to_host));
    xl_store(x, spare, H_RCX);
    return spare;
}

/* Checks [base + disp, .. + size), in a host register. It must be aligned to `align` (0: any), which the host sees to when the
 * page is there: guest pages are host pages. */
static struct xl_place check(struct xl *x, unsigned base, int32_t disp, unsigned size, unsigned align, enum x86_access access)
{
    struct tail t = { .kind = TAIL_MISS, .off = x->off, .addr = (uint8_t)base, .plus = disp };
    t.what = access | x->bank << 8 | MISS_ALIGNED / 16 * align;
    if (align && xl_aligns(x->insn[x->k])) {
        xl_lea(x, 8, H_R11, base, SIB_NONE, 1, disp);
        put_align_test(x, align);
        base = t.addr = H_R11;
        disp = t.plus = 0;
    }
    if (x->note[x->k].flags_dead && !wanders(x)) {
        (void)check_site(x, t, size, access);
        return (struct xl_place){ base, H_RCX, disp };
    }
    if (base != H_R11 || disp)
        xl_lea(x, 8, H_R11, base, SIB_NONE, 1, disp);
    if (x->note[x->k].flags_dead)
        check_table(x, t, size, access, offsetof(struct x86_frame_bank, host_page));
    else
        check_quietly(x, t, size, access);
    return (struct xl_place){ H_R11, H_RCX, 0 };
}

/* r11 = the start of an absolute group's extent, with registers as they are now: `delta` on from the origin. */
static void put_group_address(struct xl *x, const struct xl_group *g, int32_t delta)
{
    unsigned index = g->index < 16 ? in_register(x, g->index, H_RCX) : SIB_NONE;
    if (g->base == XL_BASE_NONE) {
        xl_lea_index(x, 8, H_R11, index, g->scale, g->lo - delta);
        return;
    }
    unsigned base = H_R11;
    if (g->base == XL_BASE_RIP)
        xl_load(x, H_R11, FRAME(page_va));
    else
        base = in_register(x, g->base, H_R11);
    xl_lea(x, 8, H_R11, base, index, index == SIB_NONE ? 1 : g->scale, g->lo - delta);
}

/* What a check of the group at the current instruction misses for. Page tables may be touched if the instruction makes such an
 * access to the page that is checked. */
static uint32_t group_what(const struct xl *x, const struct xl_group *g, enum x86_access access)
{
    const struct x86_insn *i = x->insn[x->k];
    const struct xl_note *n = &x->note[x->k];
    uint32_t what = access | x->bank << 8 | MISS_GROUP, size = 0;
    if (n->group != g - x->group || n->write != g->write)
        return what | MISS_EARLY;
    if (n->delta + n->disp != g->lo)
        return what; /* whether it is aligned is for the host to see, the page being there */
    for (unsigned o = 0; o < i->nr_opnds && (x86_rows[i->row].flags & ROW_ALIGN); o++)
        if (i->op[o].kind == OPND_MEM)
            size = i->op[o].size;
    return size >= 16 ? what | MISS_ALIGNED / 16 * size : what;
}

/* Checks the whole group, with the value as it is now, of `base` unless it is absolute: `delta` on from the origin. Leaves in
 * rcx, and in g->host if somebody may want it later, its to_host or host address. */
static void check_group(struct xl *x, struct xl_group *g, unsigned base, int32_t delta)
{
    enum x86_access access = g->write ? X86_WRITE : X86_READ;
    struct tail t = { .kind = TAIL_MISS, .off = x->off, .what = group_what(x, g, access), .addr = H_R11 };
    unsigned size = (unsigned)(g->hi - g->lo);
    bool by_site = x->note[x->k].flags_dead && !wanders(x), keep = g->count > 1 || g->early;
    if (g->absolute) {
        put_group_address(x, g, delta);
    } else {
        t.addr = (uint8_t)in_register(x, base, H_R11);
        t.plus = g->lo - delta;
    }
    x->site = g->absolute ? (g->base == XL_BASE_RIP ? site_near(x, g->lo) : SITE_ANY) : base == RSP ? SITE_STACK : SITE_ANY;
    g->host = FRAME(group) + 8 * (int32_t)(g - x->group);
    g->checked = true;
    if (by_site) {
        int32_t at_site = check_site(x, t, size, access);
        if (!g->absolute && (x->site == SITE_ANY || (x->site == SITE_STACK && x->stack_is_one))) {
            g->host = at_site; /* no other check changes it before the last member */
            keep = false;
        }
    } else {
        xl_lea(x, 8, H_R11, t.addr, SIB_NONE, 1, t.plus);
        if (x->note[x->k].flags_dead)
            check_table(x, t, size, access,
                        g->absolute ? offsetof(struct x86_frame_bank, host_page) : offsetof(struct x86_frame_bank, to_host));
        else
            check_quietly(x, t, size, access);
    }
    if (g->absolute)
        xl_lea(x, 8, H_RCX, H_RCX, H_R11, 1, 0);
    if (keep)
        xl_store(x, g->host, H_RCX);
    x->rcx_group = (int)(g - x->group);
}

void xl_early_checks(struct xl *x)
{
    for (unsigned n = 0; n < x->nr_groups; n++) {
        struct xl_group *g = &x->group[n];
        if (g->early && g->first == x->k && !g->checked && g->count) /* others: when, and if, they are accessed */
            check_group(x, g, g->base, g->delta);
    }
}

/* The current instruction's operand by its group; it is off guest register `base` unless that is absolute. */
static struct xl_place grouped(struct xl *x, unsigned base)
{
    const struct xl_note *n = &x->note[x->k];
    struct xl_group *g = &x->group[n->group];
    if (!g->checked)
        check_group(x, g, base, n->delta);
    else if (x->rcx_group != n->group)
        xl_load(x, H_RCX, g->host);
    x->rcx_group = n->group;
    x->use.checks[g->write][X86_CHECK_GROUPED]++;
    if (g->absolute)
        return (struct xl_place){ H_RCX, SIB_NONE, n->delta + n->disp - g->lo };
    return (struct xl_place){ in_register(x, base, H_R11), H_RCX, n->disp };
}

struct xl_place xl_checked(struct xl *x, unsigned size, enum x86_access access)
{
    return check(x, H_R11, 0, size, 0, access);
}

/* base + disp is all there is to the operand's address. */
static bool is_plain(const struct x86_insn *i)
{
    return i->base < 16 && i->index >= 16 && i->seg < SEG_FS && i->addrsize == 8 && i->layout.modrm
           && i->disp == (int32_t)i->disp;
}

bool xl_operand(struct xl *x, const struct x86_insn *i, unsigned size, enum x86_access access, bool aligned,
                struct xl_place *ret_place)
{
    if (x->note[x->k].group >= 0) {
        *ret_place = grouped(x, i->base);
        return true;
    }
    x->site = site_of(x, i);
    if (is_plain(i)) {
        *ret_place = check(x, in_register(x, i->base, H_R11), (int32_t)i->disp, size, aligned ? size : 0, access);
        return true;
    }
    if (!xl_ea(x, i))
        return false;
    *ret_place = check(x, H_R11, 0, size, aligned ? size : 0, access);
    return true;
}

struct xl_place xl_stack(struct xl *x, unsigned base, int32_t disp, enum x86_access access)
{
    if (x->note[x->k].group >= 0)
        return grouped(x, base);
    x->site = base == RSP ? SITE_STACK : SITE_ANY;
    return check(x, xr_host(base), disp, 8, 0, access);
}

/* Of a site's miss, there is a stub for each. */
static const uint32_t SITE_KINDS[XL_SITE_KINDS] = {
    0,
    MISS_GROUP,
    MISS_GROUP | MISS_EARLY,
    MISS_ALIGNED,
    MISS_ALIGNED * 2,
    MISS_ALIGNED * 4,
    MISS_GROUP | MISS_ALIGNED,
    MISS_GROUP | MISS_ALIGNED * 2,
    MISS_GROUP | MISS_ALIGNED * 4,
};

unsigned xl_site_kind(uint32_t what)
{
    unsigned kind = 0;
    while (SITE_KINDS[kind] != (what & ~0xffffU))
        kind++;
    return kind;
}

/* lea rcx, [rsp + rcx + disp]-style operand of the site whose frame offset is in rcx; rsp is 16 below the frame */
static void put_site_operand(struct xl *x, unsigned opcode, unsigned reg, size_t member)
{
    put_rex(x, 1, reg, H_RCX, H_RSP);
    codebuf_put1(x->cb, (uint8_t)opcode);
    put_sib(x, 2, reg, H_RSP, H_RCX, 1);
    codebuf_put4(x->cb, (uint32_t)(16 + member));
}

static void put_go_to_c(struct xl *x, uint32_t what)
{
    codebuf_put1(x->cb, 0xb9); /* mov ecx, what */
    codebuf_put4(x->cb, what);
    (void)xl_jmp(x, x->code->stub_miss);
}

/* Notes that the group of the site whose frame offset is in rcx has pages; rcx is lost. */
static void put_site_used(struct xl *x)
{
    enum { GROUP = FRAME_SITE_GROUP * (int)sizeof(struct x86_site) };
    int32_t first = bank_offset(x, offsetof(struct x86_frame_bank, site));
    static_assert((offsetof(struct x86_frame, bank) | offsetof(struct x86_frame_bank, site)) % GROUP == 0, "groups are counted");
    xl_pext(x, H_RCX, H_RCX, 16 + FRAME(site_mask));
    codebuf_put1(x->cb, 0xc6); /* mov byte [rsp + rcx + disp], 1 */
    put_sib(x, 2, 0, H_RSP, H_RCX, 1);
    codebuf_put4(x->cb, (uint32_t)(16 + bank_offset(x, offsetof(struct x86_frame_bank, site_used)) - first / GROUP));
    codebuf_put1(x->cb, 1);
}

/* Called with the address in r11 and the frame offset of the site in rcx. If the page is in the table the site gets it; C is
 * called when it is not, when the site has it already (the access crosses its end, or is not aligned), or, one
 * time in many, to look whether sites miss too often. Keeps flags. */
static void put_site_stub(struct xl *x, enum x86_access access, uint32_t what)
{
    xl_store(x, 8 + FRAME(miss_site), H_RCX);
    put_index(x, H_RCX);
    xl_load_rcx8(x, H_RCX, 8 + tags_offset(x, access));
    xl_lea(x, 8, H_RCX, H_RCX, H_R11, 1, 0);
    xl_pext(x, H_RCX, H_RCX, 8 + FRAME(page_mask));
    size_t hit = xl_jrcxz(x);
    put_go_to_c(x, what);
    xl_here(x, hit);
    asm_push(x->cb, HOST_RAX);
    xl_load(x, H_RCX, 16 + FRAME(sites_left));
    xl_lea(x, 8, H_RCX, H_RCX, SIB_NONE, 1, -1);
    xl_store(x, 16 + FRAME(sites_left), H_RCX);
    size_t used_up = xl_jrcxz(x);
    xl_pext(x, H_RAX, H_R11, 16 + FRAME(page_mask));
    xl_pdep(x, H_RAX, H_RAX, 16 + FRAME(page_mask));
    XL_BYTES(x, 0x48, 0xf7, 0xd0); /* not rax */
    xl_lea(x, 8, H_RAX, H_RAX, SIB_NONE, 1, 1);
    xl_load(x, H_RCX, 16 + FRAME(miss_site));
    put_site_operand(x, 0x8b, H_RCX, offsetof(struct x86_site, neg));
    XL_BYTES(x, 0x48, 0xf7, 0xd1); /* not rcx */
    xl_lea(x, 8, H_RCX, H_RCX, H_RAX, 1, 1);
    size_t crossing = xl_jrcxz(x);
    xl_load(x, H_RCX, 16 + FRAME(miss_site));
    put_site_operand(x, 0x89, H_RAX, offsetof(struct x86_site, neg));
    put_index(x, H_RAX);
    put_rex(x, 1, H_RAX, H_RAX, H_RSP);
    codebuf_put1(x->cb, 0x8b); /* mov rax, [rsp + rax * 8 + to_host] */
    put_sib(x, 2, H_RAX, H_RSP, H_RAX, 8);
    codebuf_put4(x->cb, (uint32_t)(16 + bank_offset(x, offsetof(struct x86_frame_bank, to_host))));
    put_site_operand(x, 0x89, H_RAX, offsetof(struct x86_site, to_host));
    put_site_used(x);
    asm_pop(x->cb, HOST_RAX);
    asm_ret(x->cb);
    xl_here(x, used_up);
    asm_pop(x->cb, HOST_RAX);
    put_go_to_c(x, what | MISS_SITE);
    xl_here(x, crossing);
    asm_pop(x->cb, HOST_RAX);
    put_go_to_c(x, what);
}

void xl_site_stubs(struct xl *x)
{
    for (x->bank = 0; x->bank < X86_BANK_NR; x->bank++) {
        for (unsigned access = X86_READ; access <= X86_WRITE; access++) {
            for (unsigned kind = 0; kind < XL_SITE_KINDS; kind++) {
                x->code->stub_site[x->bank][access][kind] = codebuf_here(x->cb);
                put_site_stub(x, (enum x86_access)access, access | x->bank << 8 | SITE_KINDS[kind]);
            }
        }
    }
}
