/* SPDX-License-Identifier: MIT */
/*
 * What the translator looks for in a block before it emits code: where flags are dead, and which memory accesses go
 * together.
 *
 * Flags: backwards over the block; what is called out needs them all, and so does who is jumped to unless its first
 * instructions, on the same page, say otherwise. Where flags are dead a TLB check may use them; a fault or an interrupt there
 * shows a handler arithmetic flags that nobody can have meant to read (docs/decisions/0006).
 *
 * Groups: forwards, following each register's value as an offset from where it was last set to something unknown. Accesses off
 * the same value (of a register, or of the same base and index, or off RIP) within a few hundred bytes form a group, checked as
 * one extent at its first member, or earlier if flags are live there.
 */
#include <string.h>

#include "isa/x86/insn_steps.h"
#include "isa/x86/translate_emit.h"

enum { EXTENT_MAX = 256, LOOK_INSNS = 64 };

/* ---- flags ---- */

/* A shift by an immediate, not 0: it leaves no flag as it was (the tables cannot say so). Spec: SDM 2B SAL/SAR/SHL/SHR */
static bool shifts_surely(const struct x86_insn *i)
{
    x86_step_fn f = i->step;
    if (f != step_shl && f != step_shr && f != step_sar && f != step_shld && f != step_shrd)
        return false;
    return i->op[i->nr_opnds - 1].kind == OPND_IMM && (i->imm & (i->opsize == 8 ? 63 : 31));
}

static unsigned flags_read(const struct x86_insn *i)
{
    return shifts_surely(i) ? 0 : x86_rows[i->row].flags_read;
}

static unsigned flags_gone(const struct x86_insn *i)
{
    return shifts_surely(i) ? FLAGS_ARITH : x86_rows[i->row].flags_written | x86_rows[i->row].flags_undef;
}

static bool is_stack_op(x86_step_fn f)
{
    return f == step_push || f == step_pop || f == step_leave;
}

/* Arithmetic flags that matter before i, given those that matter behind it. */
static unsigned live_before(const struct x86_insn *i, unsigned live)
{
    bool copied = xl_kind(i) != XL_OTHER;
    if (!copied && !is_stack_op(i->step) && !xl_is_string(i))
        return FLAGS_ARITH; /* branches and what is called out */
    if (copied)
        live = (live & ~flags_gone(i)) | flags_read(i);
    return live & FLAGS_ARITH;
}

uint32_t xl_look_hash(uint32_t hash, const uint8_t *bytes, unsigned len)
{
    for (unsigned k = 0; k < len; k++) /* FNV-1a */
        hash = (hash ^ bytes[k]) * 16777619U;
    return hash;
}

/* Notes that [from, to) of the page was looked at. */
static bool note_look(struct xl *x, int32_t from, int32_t to)
{
    if (x->nr_looks == X86_LOOKS)
        return false;
    uint32_t hash = xl_look_hash(XL_LOOK_INIT, x->page + from, (unsigned)(to - from));
    x->look[x->nr_looks++] = (struct x86_look){ (uint16_t)from, (uint16_t)(to - from), hash };
    return true;
}

/* Arithmetic flags that may be read by the code at `off` in the page before it writes them: up to a branch, but for direct jumps.
 */
static unsigned live_at(struct xl *x, int32_t off)
{
    unsigned open = FLAGS_ARITH, live = 0, looks = x->nr_looks;
    int32_t from = off, at = off;
    for (unsigned k = 0; k < LOOK_INSNS && open; k++) {
        struct x86_insn i;
        if (at < 0 || at >= (int32_t)GPAGE_SIZE || x86_blocks_decode(x->c, x->page + at, (unsigned)((int32_t)GPAGE_SIZE - at), &i)
            || x86_insn_faults(&i))
            break;
        live |= flags_read(&i) & open;
        if (i.step == step_jmp_near) {
            if (!note_look(x, from, at + i.len) || __builtin_add_overflow(at + i.len, (int32_t)i.imm, &at))
                break;
            from = at;
            continue;
        }
        if (xl_kind(&i) == XL_OTHER && !is_stack_op(i.step) && !xl_is_string(&i))
            break;
        open &= ~(flags_gone(&i) | live);
        at += i.len;
    }
    live |= open;
    if (live != FLAGS_ARITH && (at == from || note_look(x, from, at)))
        return live;
    x->nr_looks = looks;
    return FLAGS_ARITH;
}

/* Arithmetic flags that matter behind the block. */
static unsigned live_behind(struct xl *x)
{
    const struct x86_insn *last = x->insn[x->nr - 1];
    int32_t end = x->at[x->nr - 1] + last->len, to;
    if (!x86_row_ends_block(&x86_rows[last->row]))
        return live_at(x, end);
    if (last->step != step_jcc && last->step != step_jmp_near && last->step != step_call_near)
        return FLAGS_ARITH;
    if (__builtin_add_overflow(end, (int32_t)last->imm, &to))
        return FLAGS_ARITH;
    unsigned live = live_at(x, to);
    if (last->step == step_jcc && live != FLAGS_ARITH)
        live |= live_at(x, end) | x86_rows[last->row].flags_read;
    return live & FLAGS_ARITH;
}

static bool goes_on_by_branch(const struct xl *x, unsigned k)
{
    return x->way[k] != XL_LEAVES && (x86_rows[x->insn[k]->row].flags & ROW_BRANCH);
}

/* The same before the branch k inside the trace, given those behind it on the trace. */
static unsigned live_at_side(struct xl *x, unsigned k, unsigned live)
{
    const struct x86_insn *i = x->insn[k];
    int32_t next = x->at[k] + i->len;
    if (i->step != step_jcc)
        return live;
    unsigned side = live_at(x, x->way[k] == XL_FALLS ? next + (int32_t)i->imm : next);
    return (live | side | x86_rows[i->row].flags_read) & FLAGS_ARITH;
}

static void look_at_flags(struct xl *x)
{
    unsigned live = live_behind(x), k = x->nr - 1;
    x->note[k].flags_dead = !live; /* a branch changes none; a jcc's own reads are among what is live behind */
    if (!(x86_rows[x->insn[k]->row].flags & ROW_BRANCH))
        k++;
    while (k-- > 0) {
        live = goes_on_by_branch(x, k) ? live_at_side(x, k, live) : live_before(x->insn[k], live);
        x->note[k].flags_dead = !live;
    }
}

/* ---- groups ---- */

/* What is known of register values: equal to an unknown one of that number, plus an offset. XL_BASE_RIP and XL_BASE_NONE have
 * theirs, too. */
struct values {
    uint32_t origin[XL_BASES];
    int32_t plus[XL_BASES];
    uint32_t next;
};

static void set_unknown(struct values *v, unsigned reg)
{
    v->origin[reg] = v->next++;
    v->plus[reg] = 0;
}

static void all_unknown(struct values *v)
{
    for (unsigned r = 0; r < 16; r++)
        set_unknown(v, r);
}

/* dst = src + by, if that stays in a sane range. */
static void set_known(struct values *v, unsigned dst, unsigned src, int64_t by)
{
    int64_t sum = v->plus[src] + by;
    if (sum < -(1 << 20) || sum > 1 << 20) {
        set_unknown(v, dst);
        return;
    }
    v->origin[dst] = v->origin[src];
    v->plus[dst] = (int32_t)sum;
}

/* Registers written without being named. */
static void implicit_writes(struct values *v, const struct x86_insn *i)
{
    x86_step_fn f = i->step;
    if (f == step_mul || f == step_imul_1op || f == step_div || f == step_idiv || f == step_cbw || f == step_cwd || f == step_lahf
        || f == step_cmpxchg) {
        set_unknown(v, RAX);
        set_unknown(v, RDX);
    }
    if (xl_kind(i) == XL_VECTOR)
        set_unknown(v, RCX); /* PCMPxSTRI */
}

/* add/sub reg, imm; inc, dec; lea reg, [reg + disp]; mov reg, reg: the value is another's plus a known amount. */
static bool moves_by(const struct x86_insn *i, unsigned *ret_src, int64_t *ret_by)
{
    x86_step_fn f = i->step;
    if (i->op[0].kind != OPND_REG || i->op[0].size != 8)
        return false;
    *ret_src = i->op[0].reg;
    if ((f == step_add || f == step_sub) && i->op[1].kind == OPND_IMM) {
        *ret_by = f == step_add ? (int64_t)i->imm : -(int64_t)i->imm;
        return true;
    }
    if (f == step_inc || f == step_dec) {
        *ret_by = f == step_inc ? 1 : -1;
        return true;
    }
    if (f == step_lea && i->base < 16 && i->index == X86_NO_REG && i->addrsize == 8) {
        *ret_src = i->base;
        *ret_by = i->disp;
        return true;
    }
    if (f == step_mov && i->op[1].kind == OPND_REG) {
        *ret_src = i->op[1].reg;
        *ret_by = 0;
        return true;
    }
    return false;
}

static void follow(struct values *v, const struct x86_insn *i)
{
    int64_t by;
    unsigned src;
    if (i->step == step_push && i->opsize == 8) {
        set_known(v, RSP, RSP, -8);
        return;
    }
    if (i->step == step_pop && i->opsize == 8 && i->op[0].kind == OPND_REG) {
        set_known(v, RSP, RSP, 8);
        set_unknown(v, i->op[0].reg);
        return;
    }
    if (i->step == step_leave && i->opsize == 8) {
        set_known(v, RSP, RBP, 8);
        set_unknown(v, RBP);
        return;
    }
    if (xl_kind(i) == XL_OTHER) {
        all_unknown(v);
        return;
    }
    if (moves_by(i, &src, &by)) {
        set_known(v, i->op[0].reg, src, by);
        return;
    }
    for (unsigned n = 0; n < i->nr_opnds; n++)
        if ((i->op[n].kind == OPND_REG || i->op[n].kind == OPND_REGH) && (i->op[n].access & OPND_W))
            set_unknown(v, i->op[n].reg);
    implicit_writes(v, i);
}

/* One access: at base + index * scale + disp. */
struct access {
    unsigned base, index; /* or XL_BASE_RIP, XL_BASE_NONE */
    unsigned scale;
    int64_t disp;
    unsigned size;
    bool write;
};

static bool stack_access(const struct x86_insn *i, struct access *a)
{
    x86_step_fn f = i->step;
    if (i->opsize != 8)
        return false;
    *a = (struct access){ .base = RSP, .index = XL_BASE_NONE, .scale = 1, .size = 8 };
    if ((f == step_push && i->op[0].kind != OPND_MEM) || f == step_call_near || f == step_call_near_ind) {
        a->disp = -8;
        a->write = true;
        return true;
    }
    if (f == step_leave)
        a->base = RBP;
    return (f == step_pop && i->op[0].kind == OPND_REG) || f == step_ret_near || f == step_leave;
}

/* That of the instruction at `off`. */
static bool access_of(const struct x86_insn *i, unsigned off, struct access *a)
{
    if (stack_access(i, a))
        return true;
    if (xl_kind(i) == XL_OTHER || i->step == step_lea || i->step == step_nop)
        return false;
    if (i->seg >= SEG_FS || i->addrsize != 8 || !i->layout.modrm || (x86_rows[i->row].flags & ROW_VSIB) || xl_aligns(i))
        return false;
    int64_t far = i->base < 16 ? 1 << 20 : 1 << 29;
    for (unsigned n = 0; n < i->nr_opnds; n++) {
        if (i->op[n].kind != OPND_MEM)
            continue;
        *a = (struct access){ i->base, i->index, i->scale, i->disp, i->op[n].size, i->op[n].access & OPND_W };
        if (i->index >= 16)
            a->index = XL_BASE_NONE, a->scale = 1;
        if (i->base >= 16)
            a->base = i->base == X86_RIP_REG ? XL_BASE_RIP : XL_BASE_NONE;
        if (i->base == X86_RIP_REG)
            a->disp += off + i->len;
        return a->size && a->size <= 32 && a->disp > -far && a->disp < far && (i->base != X86_NO_REG || i->index < 16);
    }
    return false;
}

/* The access's place relative to its group's origin. */
static int32_t offset_in(const struct values *v, const struct access *a)
{
    return v->plus[a->base] + (int32_t)a->scale * v->plus[a->index] + (int32_t)a->disp;
}

/* Groups with an index are of one pair of registers; copies of a base alone will do. */
static bool may_join(const struct xl_group *g, const struct access *a)
{
    if (g->base == a->base && g->index == a->index)
        return g->scale == a->scale;
    return g->index == XL_BASE_NONE && a->index == XL_BASE_NONE;
}

/* What a group's base and index are relative to. */
struct origin {
    uint32_t base, index;
};

/* The stack's page is there and may be written, nearly always: its checks may be made for accesses behind a branch that is
 * not known to go that way. */
static bool is_on_stack(const struct xl_group *g)
{
    return g->base == RSP && !g->absolute;
}

/* Puts the access into an open group of its value, or opens one; -1 when there are too many. */
static int join(struct xl *x, const struct values *v, const struct access *a, struct origin *origin_of, unsigned frozen)
{
    int32_t lo = offset_in(v, a), hi = lo + (int32_t)a->size;
    for (unsigned n = x->nr_groups; n-- > 0;) {
        struct xl_group *g = &x->group[n];
        if (origin_of[n].base != v->origin[a->base] || origin_of[n].index != v->origin[a->index] || !may_join(g, a))
            continue;
        int32_t new_lo = lo < g->lo ? lo : g->lo, new_hi = hi > g->hi ? hi : g->hi;
        if (n < frozen && !is_on_stack(g) && a->write && !g->write)
            continue;
        if (new_hi - new_lo > EXTENT_MAX)
            continue;
        g->lo = new_lo;
        g->hi = new_hi;
        g->write |= a->write;
        g->count++;
        return (int)n;
    }
    if (x->nr_groups == XL_GROUPS)
        return -1;
    origin_of[x->nr_groups] = (struct origin){ v->origin[a->base], v->origin[a->index] };
    x->group[x->nr_groups] = (struct xl_group){
        .base = (uint8_t)a->base,
        .index = (uint8_t)a->index,
        .scale = (uint8_t)a->scale,
        .absolute = a->base >= 16 || a->index < 16,
        .write = a->write,
        .first_writes = a->write,
        .first_lo = lo,
        .lo = lo,
        .hi = hi,
        .count = 1,
    };
    return (int)x->nr_groups++;
}

/* The check of a group is at its first member, or before it at the last place where flags are dead and the base register's value
 * is known relative to the group's origin: then it is cheap. One access alone needs no group unless that helps. */
static void place_check(struct xl *x, struct xl_group *g, unsigned first, struct origin origin, const struct values *at)
{
    unsigned k = first;
    while (k > 0 && !x->note[k].flags_dead && (x->way[k - 1] == XL_LEAVES || is_on_stack(g))
           && at[k - 1].origin[g->base] == origin.base && at[k - 1].origin[g->index] == origin.index)
        k--;
    if (!x->note[k].flags_dead)
        k = first;
    if (g->count < 2 && k == first)
        g->count = 0;
    g->first = (uint8_t)k;
    g->early = k != first || g->lo != g->first_lo || (g->write && !g->first_writes);
    g->delta = at[k].plus[g->base] + g->scale * at[k].plus[g->index];
}

/* Whether no two checks share the site of the stack. */
static bool stack_is_one(const struct xl *x)
{
    unsigned nr = 0;
    for (unsigned n = 0; n < x->nr_groups; n++)
        nr += x->group[n].count && x->group[n].base == RSP && !x->group[n].absolute;
    for (unsigned k = 0; k < x->nr && nr < 2; k++) {
        x86_step_fn f = x->insn[k]->step;
        bool on_stack = x->insn[k]->base == RSP || (x86_rows[x->insn[k]->row].flags & ROW_BRANCH) || f == step_push
                        || f == step_pop || f == step_pushf || f == step_popf || f == step_leave;
        nr += x->note[k].group < 0 && on_stack && f != step_jcc;
    }
    return nr < 2;
}

static void look_at_accesses(struct xl *x)
{
    struct values v = { .next = 0 }, at[XL_INSNS];
    struct access a;
    struct origin origin_of[XL_GROUPS];
    uint8_t first_of[XL_GROUPS];
    unsigned frozen = 0;
    all_unknown(&v);
    set_unknown(&v, XL_BASE_RIP);
    set_unknown(&v, XL_BASE_NONE);
    for (unsigned k = 0; k < x->nr; k++) {
        const struct x86_insn *i = x->insn[k];
        struct xl_note *n = &x->note[k];
        at[k] = v;
        if (access_of(i, x->at[k], &a)) {
            unsigned before = x->nr_groups;
            n->group = (int8_t)join(x, &v, &a, origin_of, frozen);
            n->delta = offset_in(&v, &a) - (int32_t)a.disp;
            n->disp = (int32_t)a.disp;
            n->write = a.write;
            if (x->nr_groups != before)
                first_of[before] = (uint8_t)k;
        }
        if (!goes_on_by_branch(x, k))
            follow(&v, i);
        if (x->way[k] != XL_LEAVES)
            frozen = x->nr_groups; /* what is behind may not be reached, nor may the page be written that is read before */
    }
    for (unsigned n = 0; n < x->nr_groups; n++)
        place_check(x, &x->group[n], first_of[n], origin_of[n], at);
    for (unsigned k = 0; k < x->nr; k++)
        if (x->note[k].group >= 0 && !x->group[x->note[k].group].count)
            x->note[k].group = -1;
    x->stack_is_one = stack_is_one(x);
}

void xl_look(struct xl *x)
{
    x->nr_groups = 0;
    x->stack_is_one = false;
    for (unsigned k = 0; k < x->nr; k++)
        x->note[k] = (struct xl_note){ .group = -1 };
    look_at_flags(x);
    if (!x->habits->plain)
        look_at_accesses(x);
}

void xl_forget_checks(struct xl *x)
{
    for (unsigned n = 0; n < x->nr_groups; n++)
        x->group[n].checked = false;
    x->rcx_group = -1;
}
