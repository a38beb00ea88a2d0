/* SPDX-License-Identifier: MIT */
/*
 * Random instructions of every innocuous row for lockstep_test's generator.
 *
 * host_gen.c gives the bytes; here the REX prefix is dropped at times (AH..BH), registers are moved to those the translator
 * treats specially, and a memory operand is encoded anew in some addressing form, behind moves that make it point to data.
 */
#include "lockstep_emit.h"

#include <stdlib.h>
#include <string.h>

#include "isa/x86/insn_steps.h"

enum { INTEGER, VECTOR, X87, AVX512 };

bool ls_insn_init(struct ls_gen *g)
{
    unsigned n = gen_rows(g->gen);
    for (unsigned k = 0; k < 4; k++) {
        g->rows[k] = calloc(n, sizeof(uint16_t));
        if (!g->rows[k])
            return false;
    }
    for (unsigned k = 0; k < n; k++) {
        uint32_t flags = x86_rows[gen_row(g->gen, k)].flags;
        unsigned kind = flags & ROW_AVX512            ? AVX512
                        : flags & (ROW_X87 | ROW_MMX) ? X87
                        : flags & (ROW_SSE | ROW_AVX) ? VECTOR
                                                      : INTEGER;
        g->rows[kind][g->nr_rows[kind]++] = (uint16_t)k;
    }
    return true;
}

static bool is_prefix(uint8_t b)
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

/* Position behind the legacy prefixes: of REX, VEX, EVEX or the opcode. */
static unsigned head_of(const uint8_t *bytes)
{
    unsigned at = 0;
    while (is_prefix(bytes[at]) || ((bytes[at] & 0xf0) == 0x40 && is_prefix(bytes[at + 1])))
        at++;
    return at;
}

static bool has_rex(const struct x86_insn *i)
{
    return i->enc == X86_ENC_LEGACY && (i->bytes[head_of(i->bytes)] & 0xf0) == 0x40;
}

static const struct x86_opnd *mem_operand(const struct x86_insn *i)
{
    for (unsigned n = 0; n < i->nr_opnds; n++)
        if (i->op[n].kind == OPND_MEM)
            return &i->op[n];
    return NULL;
}

static bool writes_reg(const struct x86_insn *i, unsigned reg)
{
    for (unsigned n = 0; n < i->nr_opnds; n++)
        if (i->op[n].kind == OPND_REG && i->op[n].reg == reg && (i->op[n].access & OPND_W))
            return true;
    return false;
}

/* Changes some bytes if what they then mean is of the same row. */
static void try_bytes(struct ls_gen *g, struct x86_insn *i, const uint8_t *bytes, unsigned len)
{
    uint8_t padded[X86_INSN_MAX] = { 0 };
    struct x86_insn j;
    memcpy(padded, bytes, len);
    if (x86_decode(padded, X86_INSN_MAX, X86_MODE_64, &j) == (int)len && j.row == i->row && gen_testable(g->gen, &j))
        *i = j;
}

static void drop_rex(struct ls_gen *g, struct x86_insn *i)
{
    uint8_t b[X86_INSN_MAX];
    unsigned at = head_of(i->bytes);
    if (!has_rex(i))
        return;
    memcpy(b, i->bytes, i->len);
    memmove(b + at, b + at + 1, i->len - at - 1);
    try_bytes(g, i, b, i->len - 1u);
}

/* A REX prefix that does not stand last is none. */
static void add_stale_rex(struct ls_gen *g, struct x86_insn *i)
{
    static const uint8_t behind[] = { 0x2e, 0x3e, 0x67, 0x26 };
    uint8_t b[X86_INSN_MAX + 2] = { (uint8_t)(0x40 | below(g, 16)), behind[below(g, 4)] };
    if (i->len + 2 > X86_INSN_MAX)
        return;
    memcpy(b + 2, i->bytes, i->len);
    try_bytes(g, i, b, i->len + 2u);
}

/* [rax] instead of the register in ModRM.rm. */
static void make_memory(struct ls_gen *g, struct x86_insn *i)
{
    uint8_t b[X86_INSN_MAX];
    if (!i->layout.modrm || i->modrm < 0xc0)
        return;
    memcpy(b, i->bytes, i->len);
    b[i->layout.modrm] = i->modrm & 0x38;
    try_bytes(g, i, b, i->len);
}

/* Moves the register in ModRM.reg, or the one in rm or the opcode, to any. */
static void move_register(struct ls_gen *g, struct x86_insn *i)
{
    uint8_t b[X86_INSN_MAX];
    unsigned reg = ls_any_reg(g), at = head_of(i->bytes), hi = reg >> 3, low = reg & 7;
    bool of_reg = i->layout.modrm && percent(g, 50);
    memcpy(b, i->bytes, i->len);
    if (i->layout.modrm && !of_reg && i->modrm < 0xc0)
        return;
    if (i->layout.modrm)
        b[i->layout.modrm] = (uint8_t)(of_reg ? (i->modrm & 0xc7) | low << 3 : (i->modrm & 0xf8) | low);
    else
        b[i->layout.opcode] = (uint8_t)((b[i->layout.opcode] & 0xf8) | low);
    if (has_rex(i))
        b[at] = (uint8_t)((b[at] & ~(of_reg ? 4 : 1)) | hi << (of_reg ? 2 : 0));
    else if (i->enc == X86_ENC_VEX && b[at] == 0xc4)
        b[at + 1] = (uint8_t)((b[at + 1] & ~(of_reg ? 0x80 : 0x20)) | !hi << (of_reg ? 7 : 5));
    else if (hi)
        return;
    try_bytes(g, i, b, i->len);
}

/* ---- memory operands ---- */

/* An instruction's parts, to be put together with another memory operand. */
struct parts {
    uint8_t front[24]; /* prefixes and opcode, up to ModRM */
    unsigned nr_front, head;
    const struct x86_insn *i;
    bool extends; /* can name registers 8 to 15 */
    bool plain32; /* address size 4 */
};

static void parts_of(struct parts *p, const struct x86_insn *i)
{
    p->i = i;
    p->nr_front = i->layout.modrm;
    memcpy(p->front, i->bytes, p->nr_front);
    p->head = head_of(i->bytes);
    p->extends = has_rex(i) || (i->enc != X86_ENC_LEGACY && i->bytes[p->head] != 0xc5);
    p->plain32 = i->addrsize == 4;
}

static void add_prefix(struct parts *p, uint8_t prefix)
{
    memmove(p->front + 1, p->front, p->nr_front++);
    p->front[0] = prefix;
    p->head++;
}

static void set_extension(struct parts *p, unsigned base, unsigned index)
{
    unsigned b = base < 16 && base >= 8, x = index < 16 && index >= 8;
    uint8_t *h = p->front + p->head;
    if (!p->extends)
        return;
    if (p->i->enc == X86_ENC_LEGACY)
        h[0] = (uint8_t)((h[0] & ~3) | x << 1 | b);
    else
        h[1] = (uint8_t)((h[1] & ~0x60) | !x << 6 | !b << 5);
}

/* base, index: X86_NO_REG for none; base X86_RIP_REG: disp is the address. Vector indices (VSIB) too. */
static void put_with(struct ls_gen *g, struct parts *p, unsigned base, unsigned index, unsigned scale, int64_t disp)
{
    uint8_t b[40];
    unsigned n = p->nr_front, reg = p->i->modrm & 0x38, nr_imm = p->i->layout.imm ? p->i->layout.imm_size : 0;
    bool sib = index != X86_NO_REG || base == X86_NO_REG || (base & 7) == 4, disp8 = false, none = false;
    set_extension(p, base == X86_RIP_REG ? 0 : base, index);
    memcpy(b, p->front, n);
    if (base < 16) {
        none = disp == 0 && (base & 7) != 5 && percent(g, 60);
        disp8 = disp == (int8_t)disp && p->i->enc != X86_ENC_EVEX && percent(g, 80);
    }
    if (base == X86_RIP_REG) {
        b[n++] = (uint8_t)(reg | 5);
        disp -= (int64_t)ls_code_va(g->pos + n + 4 + nr_imm);
    } else {
        unsigned mod = base == X86_NO_REG || none ? 0 : disp8 ? 1 : 2;
        b[n++] = (uint8_t)(mod << 6 | reg | (sib ? 4 : base & 7));
        if (sib)
            b[n++] = (uint8_t)((unsigned)__builtin_ctz(scale) << 6 | (index == X86_NO_REG ? 4 : index & 7) << 3
                               | (base == X86_NO_REG ? 5 : base & 7));
    }
    int32_t disp32 = (int32_t)disp;
    if (!none) {
        memcpy(b + n, &disp32, 4);
        n += disp8 ? 1 : 4;
    }
    memcpy(b + n, p->i->bytes + p->i->layout.imm, nr_imm);
    n += nr_imm;
    if (n <= X86_INSN_MAX || percent(g, 30)) /* too long is #GP */
        ls_put(g, b, n);
}

static unsigned base_register(struct ls_gen *g, const struct parts *p)
{
    unsigned reg = ls_any_reg(g);
    return p->extends ? reg : reg & 7;
}

static uint64_t noise_above(struct ls_gen *g, const struct parts *p, uint64_t v)
{
    if (!p->plain32)
        return v;
    uint64_t above = percent(g, 50) ? LS_V_DECOY - LS_V_WINDOW : rng_next(&g->r) << 32;
    return (uint32_t)v | (percent(g, 50) ? above : 0);
}

/* Off the cluster's register, nothing moved; false when there is no cluster. */
static bool put_clustered(struct ls_gen *g, struct parts *p, uint64_t segment_base)
{
    if (g->cluster < 0 || p->plain32 || segment_base || (!p->extends && g->cluster >= 8) || percent(g, 15))
        return false;
    if (writes_reg(p->i, (unsigned)g->cluster) && percent(g, 80))
        return false;
    int64_t disp = percent(g, 70) ? 8 * ((int64_t)below(g, 24) - 8) : (int64_t)below(g, 300) - 150;
    put_with(g, p, (unsigned)g->cluster, X86_NO_REG, 1, disp);
    return true;
}

/* With base and index registers made to fit, or a form without. */
static void put_memory(struct ls_gen *g, struct parts *p, uint64_t va, uint64_t segment_base)
{
    const struct x86_insn *i = p->i;
    bool vsib = x86_rows[i->row].flags & ROW_VSIB;
    uint64_t ea = va - segment_base;
    unsigned base = base_register(g, p), form = below(g, 10);
    int64_t disp = percent(g, 50) ? 0 : percent(g, 70) ? (int64_t)below(g, 256) - 128 : (int64_t)below(g, 1 << 16) - 0x8000;
    if (vsib) {
        ls_mov(g, base, noise_above(g, p, ea - (uint64_t)disp));
        put_with(g, p, base, i->index & 15, i->scale, disp);
    } else if (form < 4) {
        ls_mov(g, base, noise_above(g, p, ea - (uint64_t)disp));
        put_with(g, p, base, X86_NO_REG, 1, disp);
    } else if (form < 7) {
        unsigned index = base_register(g, p), scale = 1u << below(g, 4);
        uint64_t times = percent(g, 50) ? below(g, 64) : 0 - (uint64_t)below(g, 64);
        if (index == RSP || index == base)
            index = base == RBP ? RSI : RBP;
        ls_mov(g, index, noise_above(g, p, times));
        ls_mov(g, base, noise_above(g, p, ea - (uint64_t)disp - times * scale));
        put_with(g, p, base, index, scale, disp);
    } else if (form < 9 && !segment_base) {
        put_with(g, p, X86_RIP_REG, X86_NO_REG, 1, (int64_t)ea);
    } else if (ea == (uint64_t)(int32_t)ea) {
        put_with(g, p, X86_NO_REG, X86_NO_REG, 1, (int64_t)ea); /* an absolute address */
    } else {                                                    /* an index alone */
        unsigned index = (base & 7) == 4 ? base ^ 1 : base;
        ls_mov(g, index, noise_above(g, p, ea - (uint64_t)disp));
        put_with(g, p, X86_NO_REG, index, 1, disp);
    }
}

static void put_mem_insn(struct ls_gen *g, const struct x86_insn *i)
{
    struct parts p;
    uint64_t va, segment_base = 0;
    const struct x86_opnd *o = mem_operand(i);
    parts_of(&p, i);
    if (!p.plain32 && percent(g, 7)) {
        add_prefix(&p, 0x67);
        p.plain32 = true;
    }
    if (percent(g, 8)) {
        bool fs = percent(g, 50);
        add_prefix(&p, fs ? 0x64 : 0x65);
        segment_base = fs ? g->p->fs_base : g->p->gs_base;
    }
    if ((x86_rows[i->row].flags & ROW_LOCK) && !i->lock && !i->rep && percent(g, 20))
        add_prefix(&p, 0xf0);
    if (put_clustered(g, &p, segment_base))
        return;
    va = ls_data(g, o->size);
    if ((i->step == step_bt || i->step == step_bts || i->step == step_btr || i->step == step_btc) && i->op[1].kind == OPND_REG)
        ls_mov(g, i->op[1].reg, below(g, 4000));
    put_memory(g, &p, p.plain32 || segment_base ? va : ls_aliased(g, va), segment_base);
}

/* ---- what has no operand to aim ---- */

static bool is_string(const struct x86_insn *i)
{
    return i->step == step_movs || i->step == step_cmps || i->step == step_stos || i->step == step_lods || i->step == step_scas;
}

static void aim_implicit(struct ls_gen *g, const struct x86_insn *i)
{
    if (is_string(i)) {
        ls_mov(g, RSI, ls_aliased(g, ls_data(g, 8)));
        ls_mov(g, RDI, ls_aliased(g, ls_data(g, 8)));
        ls_mov(g, RCX, below(g, percent(g, 80) ? 20 : 300));
    } else if (i->step == step_xlat) {
        ls_mov(g, RBX, ls_data(g, 1));
    } else if (i->step == step_maskmov || i->step == step_maskmovq || i->step == step_maskmovdqu) {
        ls_mov(g, RDI, ls_data(g, 16));
    } else if (i->step == step_push || i->step == step_pop || i->step == step_leave || i->step == step_enter) {
        if (percent(g, 60))
            ls_set_stack(g);
        if (i->step == step_leave)
            ls_mov(g, RBP, ls_data(g, 8));
    }
}

/* ---- choosing ---- */

/* Its result is the same everywhere, and it does not spoil what comes. */
static bool wanted(struct ls_gen *g, const struct x86_insn *i)
{
    if ((i->step == step_shld || i->step == step_shrd) && i->opsize == 2)
        return false; /* a count beyond 16 */
    bool stack = i->step == step_push || i->step == step_pop || i->step == step_leave || i->step == step_enter
                 || i->step == step_pushf || writes_reg(i, RSP);
    if (stack && (g->in_function || percent(g, 40)))
        return false;
    return g->cluster < 0 || !writes_reg(i, (unsigned)g->cluster) || percent(g, 20);
}

static bool leaves_flags_open(const struct x86_insn *i)
{
    x86_step_fn f = i->step;
    unsigned undefined = x86_rows[i->row].flags_undef;
    if (f == step_and || f == step_or || f == step_xor || f == step_test)
        undefined &= ~(unsigned)FLAG_AF; /* every CPU clears it */
    return undefined;
}

static unsigned any_kind(struct ls_gen *g)
{
    unsigned n = below(g, 100);
    if (n < 62)
        return INTEGER;
    if (n < 92)
        return VECTOR;
    return n < 97 || !g->p->avx512 || !g->nr_rows[AVX512] ? X87 : AVX512;
}

void ls_insn(struct ls_gen *g)
{
    struct x86_insn i;
    unsigned kind = any_kind(g);
    for (unsigned attempt = 0;; attempt++) {
        if (attempt == 20)
            return;
        if (!gen_make(g->gen, &g->r, g->rows[kind][below(g, g->nr_rows[kind])], &i))
            continue;
        if (percent(g, 50))
            make_memory(g, &i);
        if (percent(g, 35))
            drop_rex(g, &i);
        if (percent(g, 50))
            move_register(g, &i);
        if (percent(g, 50))
            move_register(g, &i);
        if (percent(g, 4))
            add_stale_rex(g, &i);
        if (wanted(g, &i))
            break;
    }
    aim_implicit(g, &i);
    if (mem_operand(&i) && i.layout.modrm)
        put_mem_insn(g, &i);
    else
        ls_put(g, i.bytes, i.len);
    if (leaves_flags_open(&i))
        ls_define_flags(g);
}
