/* SPDX-License-Identifier: MIT */
/*
 * The x86 decoder: bytes to struct x86_insn.
 *
 * Phases, in the order of the bytes: prefixes and REX (or VEX/EVEX), opcode, ModRM; then the row is known and says how to read
 * what follows: SIB and displacement, then operand by operand, the immediates. struct decoder lives on the stack of
 * x86_decode(); fetch() is the only reader of the bytes, and remembers why it could not go on.
 *
 * Where CPUs differ we do as Intel's: near branches in 64-bit mode ignore 66 (AMD cuts them to 16 bits).
 * Spec: SDM 2A chapter 2, 2D appendix A.
 */
#include "isa/x86/decode.h"

#include <string.h>

#include "isa/x86/decode_tables.h"

enum { MAX = X86_INSN_MAX };

/* Bytes before the opcode. */
enum prefix_kind { NOT_PREFIX, PFX_SEG, PFX_66, PFX_67, PFX_LOCK, PFX_REP, PFX_REX };

static const uint8_t prefix_kinds[256] = {
    [0x26] = PFX_SEG, [0x2e] = PFX_SEG, [0x36] = PFX_SEG, [0x3e] = PFX_SEG, [0x64] = PFX_SEG, [0x65] = PFX_SEG,
    [0x66] = PFX_66, [0x67] = PFX_67, [0xf0] = PFX_LOCK, [0xf2] = PFX_REP, [0xf3] = PFX_REP,
    [0x40 ... 0x4f] = PFX_REX,
};

/* Bytes of each enum x86_size; the column is chosen by its enum x86_size_by. */
static const uint8_t size_table[][4] = {
    {0}, {1}, {2}, {4}, {8}, {10}, {16}, {32}, {64}, /* SIZE_0 .. SIZE_o */
    {1, 2, 4, 8},     /* v: by operand size 1 2 4 8 */
    {1, 2, 4, 4},     /* z */
    {0, 4, 8, 8},     /* a */
    {0, 4, 6, 10},    /* p */
    {0, 14, 28, 28},  /* env */
    {0, 94, 108, 108}, /* st */
    {4, 8},           /* y: by W */
    {16, 32, 64},     /* x: by vector length */
    {8, 16, 32},      /* h */
    {4, 8, 16},       /* f */
    {2, 4, 8},        /* e */
    {4, 4, 8},        /* m: by enum x86_mode */
    {6, 6, 10},       /* s */
};

struct decoder {
    const uint8_t *bytes;
    unsigned len, pos;
    int error; /* first X86_DECODE_* met by fetch(), or 0 */
    enum x86_mode mode;
    struct x86_insn *insn;
    const struct x86_form *form;
    uint8_t rep, rex, seg;
    bool has66, has67, rex_w;
    /* Register number extensions, 0 or 8 (16: EVEX R' and V'), and the vector length 0..3. */
    uint8_t r, x, b, r2, v2, vl;
    uint8_t map, pp, opcode;
    uint8_t mod, reg, rm;
    uint8_t column[BY_MODE + 1]; /* of size_table */
};

/* The next n bytes, little-endian, zero-extended; 0 with d->error set when they are not there. */
static uint64_t fetch(struct decoder *d, unsigned n)
{
    unsigned end = d->pos + n;
    if (end > d->len || end > MAX) {
        if (!d->error)
            d->error = end > MAX ? X86_DECODE_LONG : X86_DECODE_SHORT;
        return 0;
    }
    uint64_t v = 0;
    for (unsigned i = 0; i < n; i++)
        v |= (uint64_t)d->bytes[d->pos + i] << (8 * i);
    d->pos = end;
    return v;
}

static int64_t extend(uint64_t v, unsigned size)
{
    unsigned sh = 64 - 8 * size;
    return size ? (int64_t)(v << sh) >> sh : 0;
}

/* ---- prefixes ---- */

static uint8_t segment_prefix(uint8_t byte)
{
    return byte >= 0x64 ? byte - 0x64 + SEG_FS : byte >> 3 & 3;
}

/* Eats legacy prefixes and REX. A REX that is not the last prefix is void. */
static void decode_prefixes(struct decoder *d)
{
    bool mode64 = d->mode == X86_MODE_64;
    d->seg = X86_NO_REG;
    while (d->pos < d->len && d->pos < MAX) {
        uint8_t byte = d->bytes[d->pos];
        uint8_t kind = prefix_kinds[byte];
        if (kind == NOT_PREFIX || (kind == PFX_REX && !mode64))
            return;
        d->rex = 0;
        switch (kind) {
        case PFX_SEG:
            if (!mode64 || byte >= 0x64)
                d->seg = segment_prefix(byte);
            break;
        case PFX_66: d->has66 = true; break;
        case PFX_67: d->has67 = true; break;
        case PFX_LOCK: d->insn->lock = true; break;
        case PFX_REP: d->rep = byte; break;
        case PFX_REX:
            d->rex = byte;
            d->insn->layout.rex = d->pos;
            break;
        }
        d->pos++;
    }
}

static void apply_rex(struct decoder *d)
{
    d->rex_w = d->rex & 8;
    d->r = (d->rex & 4) << 1;
    d->x = (d->rex & 2) << 2;
    d->b = (d->rex & 1) << 3;
    if (!d->rex)
        d->insn->layout.rex = 0;
}

/* C4, C5 and 62 are LES, LDS and BOUND outside 64-bit mode unless a register form follows, which those do not have. */
static bool is_vex(const struct decoder *d, uint8_t opcode)
{
    if (opcode != 0xc4 && opcode != 0xc5 && opcode != 0x62)
        return false;
    return d->mode == X86_MODE_64 || d->pos >= d->len || d->bytes[d->pos] >= 0xc0;
}

/* The byte of VEX and EVEX that has W, vvvv and pp. */
static void vex_w_vvvv_pp(struct decoder *d, uint8_t byte)
{
    static const uint8_t slots[4] = {0, 1, 2, 3}; /* pp: none 66 F3 F2, as FACT_PREFIX */
    d->rex_w = byte & 0x80;
    d->insn->vvvv = ~byte >> 3 & 15;
    d->pp = slots[byte & 3];
}

static int decode_vex(struct decoder *d, uint8_t escape)
{
    uint8_t b1 = fetch(d, 1);
    uint8_t b2 = b1;
    unsigned map = 1;
    d->r = b1 & 0x80 ? 0 : 8;
    if (escape == 0xc4) {
        b2 = fetch(d, 1);
        map = b1 & 31;
        d->x = b1 & 0x40 ? 0 : 8;
        d->b = b1 & 0x20 ? 0 : 8;
    }
    vex_w_vvvv_pp(d, b2);
    if (escape == 0xc5)
        d->rex_w = false;
    d->vl = b2 >> 2 & 1;
    d->insn->enc = X86_ENC_VEX;
    if (d->error)
        return d->error;
    if (map < 1 || map > 3)
        return X86_DECODE_INVALID;
    d->map = X86_MAP_VEX + map - 1;
    return 0;
}

static int decode_evex(struct decoder *d)
{
    struct x86_insn *i = d->insn;
    uint8_t p0 = fetch(d, 1), p1 = fetch(d, 1), p2 = fetch(d, 1);
    unsigned map = p0 & 7;
    if (d->error)
        return d->error;
    if (map < 1 || map > 3 || (p0 & 8) || !(p1 & 4))
        return X86_DECODE_INVALID;
    d->map = X86_MAP_EVEX + map - 1;
    d->r = p0 & 0x80 ? 0 : 8;
    d->x = p0 & 0x40 ? 0 : 8;
    d->b = p0 & 0x20 ? 0 : 8;
    d->r2 = p0 & 0x10 ? 0 : 16;
    vex_w_vvvv_pp(d, p1);
    d->v2 = p2 & 8 ? 0 : 16;
    d->vl = p2 >> 5 & 3;
    i->enc = X86_ENC_EVEX;
    i->aaa = p2 & 7;
    i->evex_b = p2 & 0x10;
    i->zeroing = p2 & 0x80;
    return 0;
}

/* ---- opcode ---- */

static int decode_opcode(struct decoder *d)
{
    uint8_t op = fetch(d, 1);
    if (!d->error && is_vex(d, op)) {
        if (d->mode != X86_MODE_64 && d->pos >= d->len)
            fetch(d, 1); /* LES, LDS and BOUND take prefixes, VEX does not: the next byte must be seen first */
        if (d->error)
            return d->error;
        if (d->has66 || d->rep || d->rex || d->insn->lock)
            return X86_DECODE_INVALID;
        d->insn->layout.rex = d->pos - 1;
        int r = op == 0x62 ? decode_evex(d) : decode_vex(d, op);
        if (r < 0)
            return r;
        op = fetch(d, 1);
    } else {
        apply_rex(d);
        d->pp = d->rep ? (d->rep == X86_REP_REP ? 2 : 3) : d->has66;
        if (op == 0x0f) {
            d->map = X86_MAP_0F;
            op = fetch(d, 1);
            if (op == 0x38 || op == 0x3a) {
                d->map = op == 0x38 ? X86_MAP_0F38 : X86_MAP_0F3A;
                op = fetch(d, 1);
            }
        }
    }
    d->opcode = op;
    d->insn->layout.opcode = d->pos - 1;
    return d->error;
}

/* Reads ModRM if the group has it, and finds the row. */
static int find_row(struct decoder *d)
{
    const struct x86_group *g = &x86_groups[x86_opcode_group[d->map][d->opcode]];
    if (g->base == 0)
        return X86_DECODE_INVALID;
    unsigned mod3 = d->b >> 3;
    if (g->has_modrm) {
        uint8_t modrm = fetch(d, 1);
        if (d->error)
            return d->error;
        d->insn->layout.modrm = d->pos - 1;
        d->insn->modrm = modrm;
        d->mod = modrm >> 6;
        d->reg = modrm >> 3 & 7;
        d->rm = modrm & 7;
        mod3 = d->mod == 3;
    }
    unsigned vl = d->insn->enc == X86_ENC_EVEX && d->insn->evex_b && mod3 ? 2 : d->vl;
    if (vl == 3)
        return X86_DECODE_INVALID;
    const uint16_t *weight = g->weight;
    unsigned leaf = g->base + d->pp * weight[FACT_PREFIX] + (d->mode == X86_MODE_64) * weight[FACT_MODE64] +
                    mod3 * weight[FACT_MOD3] + d->reg * weight[FACT_REG] + d->rm * weight[FACT_RM] +
                    d->rex_w * weight[FACT_W] + vl * weight[FACT_L];
    unsigned row = x86_leaves[leaf];
    if (!row)
        return X86_DECODE_INVALID;
    d->form = &x86_forms[row];
    d->insn->row = row;
    d->insn->step = d->form->step;
    return 0;
}

/* ---- sizes and EVEX rules, once the row is known ---- */

static unsigned operand_size(const struct decoder *d)
{
    bool has66 = d->has66 && !(d->form->flags & FORM_EAT66);
    bool mode64 = d->mode == X86_MODE_64;
    unsigned plain = (d->mode == X86_MODE_16) != has66 ? 2 : 4;
    switch ((enum x86_opsize_rule)d->form->opsize) {
    case OPSIZE_NORMAL: return d->rex_w ? 8 : plain;
    case OPSIZE_BYTE: return 1;
    case OPSIZE_D64: return !mode64 ? plain : d->rex_w || !has66 ? 8 : 2;
    case OPSIZE_F64: return mode64 ? 8 : plain;
    case OPSIZE_MODE: return mode64 ? 8 : 4;
    case OPSIZE_Z: return plain == 2 && !d->rex_w ? 2 : 4;
    case OPSIZE_Y: return d->rex_w && mode64 ? 8 : 4;
    }
    return plain;
}

static int set_vector_length(struct decoder *d)
{
    struct x86_insn *i = d->insn;
    unsigned flags = d->form->flags;
    if (i->enc == X86_ENC_EVEX && i->evex_b && d->mod == 3) {
        if (!(flags & (FORM_ER | FORM_SAE)))
            return X86_DECODE_INVALID;
        i->rc = d->vl;
        d->vl = 2;
    }
    if (flags & FORM_LIG)
        d->vl = 0;
    i->vl = i->enc == X86_ENC_LEGACY ? 0 : 16 << d->vl;
    return 0;
}

static int check_evex(struct decoder *d)
{
    struct x86_insn *i = d->insn;
    unsigned flags = d->form->flags;
    if (i->evex_b && d->mod != 3) {
        if (!(flags & FORM_BCST))
            return X86_DECODE_INVALID;
        i->bcst = true;
    }
    if (i->aaa && !(flags & FORM_MASK))
        return X86_DECODE_INVALID;
    if (!i->aaa && (flags & FORM_MASK_REQUIRED))
        return X86_DECODE_INVALID;
    if (i->zeroing && (!i->aaa || !(flags & FORM_ZERO)))
        return X86_DECODE_INVALID;
    i->elem = d->form->elem;
    return 0;
}

/*
 * vvvv and V' must be all ones when they name nothing (VSIB uses V' for the index). Outside 64-bit mode there are 8 registers:
 * V' must be 1, the other bits that would name more are ignored (R and X are 0 there by is_vex()).
 */
static int check_vvvv(struct decoder *d)
{
    struct x86_insn *i = d->insn;
    unsigned flags = d->form->flags;
    bool mode64 = d->mode == X86_MODE_64;
    if (!(flags & FORM_VVVV) && (i->vvvv || (d->v2 && !(flags & FORM_VSIB))))
        return X86_DECODE_INVALID;
    if (d->v2 && !mode64)
        return X86_DECODE_INVALID;
    if (flags & FORM_VVVV)
        i->vvvv |= d->v2;
    if (!mode64) {
        i->vvvv &= 7;
        d->b = 0;
        d->r2 = 0;
    }
    return 0;
}

static int set_sizes(struct decoder *d)
{
    struct x86_insn *i = d->insn;
    unsigned flags = d->form->flags;
    i->opsize = operand_size(d);
    i->rex_w = d->rex_w;
    i->rep = flags & FORM_EATREP ? X86_REP_NONE : d->rep;
    static const uint8_t addrsizes[3][2] = {{2, 4}, {4, 2}, {8, 4}};
    i->addrsize = addrsizes[d->mode][d->has67];
    if (set_vector_length(d) < 0)
        return X86_DECODE_INVALID;
    if (i->enc == X86_ENC_EVEX && check_evex(d) < 0)
        return X86_DECODE_INVALID;
    if (i->enc != X86_ENC_LEGACY && check_vvvv(d) < 0)
        return X86_DECODE_INVALID;
    d->column[BY_OPSIZE] = __builtin_ctz(i->opsize);
    d->column[BY_Y] = d->rex_w && d->mode == X86_MODE_64;
    d->column[BY_VL] = d->vl;
    d->column[BY_MODE] = d->mode;
    if (i->lock && (!(flags & FORM_LOCK) || d->mod == 3))
        return X86_DECODE_INVALID;
    return 0;
}

static unsigned size_of(const struct decoder *d, uint8_t size)
{
    return size_table[size & 31][d->column[size >> 5]];
}

/* Bytes the memory operand of an EVEX row takes, also the scale of its disp8. Spec: SDM 2A 2.7.5 */
static unsigned tuple_size(const struct decoder *d)
{
    unsigned vl = d->insn->vl, elem = d->form->elem;
    switch ((enum x86_tuple)d->form->tuple) {
    case TUPLE_NONE: return 1;
    case TUPLE_FULL: return d->insn->bcst ? elem : vl;
    case TUPLE_HALF: return d->insn->bcst ? elem : vl / 2;
    case TUPLE_FULLMEM: return vl;
    case TUPLE_T1S: return elem;
    case TUPLE_T2: return 2 * elem;
    case TUPLE_T4: return 4 * elem;
    case TUPLE_T8: return 8 * elem;
    case TUPLE_HALFMEM: return vl / 2;
    case TUPLE_QUARTERMEM: return vl / 4;
    case TUPLE_EIGHTHMEM: return vl / 8;
    case TUPLE_MEM128: return 16;
    case TUPLE_MOVDDUP: return vl == 16 ? 8 : vl;
    }
    return 1;
}

/* ---- memory operand ---- */

static void fetch_disp(struct decoder *d, unsigned size)
{
    struct x86_insn *i = d->insn;
    if (!size)
        return;
    i->layout.disp = d->pos;
    i->layout.disp_size = size;
    i->disp = extend(fetch(d, size), size);
    if (size == 1 && i->enc == X86_ENC_EVEX)
        i->disp *= tuple_size(d);
}

/* Spec: SDM 2A table 2-1 */
static int decode_mem16(struct decoder *d)
{
    static const uint8_t bases[8] = {RBX, RBX, RBP, RBP, RSI, RDI, RBP, RBX};
    static const uint8_t indexes[8] = {RSI, RDI, RSI, RDI, X86_NO_REG, X86_NO_REG, X86_NO_REG, X86_NO_REG};
    struct x86_insn *i = d->insn;
    if (d->form->flags & FORM_VSIB)
        return X86_DECODE_INVALID;
    i->base = bases[d->rm];
    i->index = indexes[d->rm];
    if (d->mod == 0 && d->rm == 6) {
        i->base = X86_NO_REG;
        fetch_disp(d, 2);
    } else {
        fetch_disp(d, d->mod);
    }
    i->seg = i->base == RBP ? SEG_SS : SEG_DS;
    return 0;
}

static void decode_sib(struct decoder *d)
{
    struct x86_insn *i = d->insn;
    uint8_t sib = fetch(d, 1);
    unsigned index = (sib >> 3 & 7) + d->x;
    i->layout.sib = d->pos - 1;
    i->scale = 1 << (sib >> 6);
    if (d->form->flags & FORM_VSIB)
        i->index = index + d->v2;
    else if (index != RSP)
        i->index = index;
    if ((sib & 7) == 5 && d->mod == 0)
        i->base = X86_NO_REG;
    else
        i->base = (sib & 7) + d->b;
}

/* Spec: SDM 2A tables 2-2 and 2-3, 2.2.1.6 for RIP */
static int decode_mem32(struct decoder *d)
{
    struct x86_insn *i = d->insn;
    unsigned disp = d->mod == 1 ? 1 : d->mod == 2 ? 4 : 0;
    i->base = d->rm + d->b;
    if (d->rm == 4)
        decode_sib(d);
    else if (d->form->flags & FORM_VSIB)
        return X86_DECODE_INVALID;
    else if (d->rm == 5 && d->mod == 0)
        i->base = d->mode == X86_MODE_64 ? X86_RIP_REG : X86_NO_REG;
    if (i->base >= X86_RIP_REG)
        disp = 4;
    fetch_disp(d, disp);
    i->seg = i->base == RSP || i->base == RBP ? SEG_SS : SEG_DS;
    return 0;
}

static int decode_mem(struct decoder *d)
{
    struct x86_insn *i = d->insn;
    i->base = i->index = X86_NO_REG;
    i->scale = 1;
    i->seg = SEG_DS;
    bool memory = (d->form->flags & FORM_MODRM) && d->mod != 3 && !(d->form->flags & FORM_ANYMOD);
    if (memory) {
        int r = i->addrsize == 2 ? decode_mem16(d) : decode_mem32(d);
        if (r < 0)
            return r;
    }
    if (d->seg != X86_NO_REG)
        i->seg = d->seg;
    return 0;
}

/* ---- operands ---- */

static void fetch_imm(struct decoder *d, unsigned size, bool sign)
{
    struct x86_insn *i = d->insn;
    if (!i->layout.imm)
        i->layout.imm = d->pos;
    i->layout.imm_size += size;
    uint64_t v = fetch(d, size);
    i->imm = sign ? (uint64_t)extend(v, size) : v;
}

static void general(const struct decoder *d, struct x86_opnd *o, unsigned reg)
{
    o->kind = OPND_REG;
    o->reg = reg;
    if (o->size == 1 && !d->rex && reg >= 4 && d->insn->enc == X86_ENC_LEGACY) {
        o->kind = OPND_REGH;
        o->reg = reg - 4;
    }
}

/* The register ModRM.rm names in a register class of `kind`. */
static int rm_operand(const struct decoder *d, const struct x86_opnd_form *f, struct x86_opnd *o, enum x86_opnd_kind kind)
{
    if (d->mod != 3 && !(d->form->flags & FORM_ANYMOD)) {
        o->kind = OPND_MEM;
        o->size = d->form->tuple ? tuple_size(d) : size_of(d, f->msize);
        return 0;
    }
    o->kind = kind;
    switch (kind) {
    case OPND_REG: general(d, o, d->rm + d->b); break;
    case OPND_VEC: o->reg = d->rm + d->b + (d->insn->enc == X86_ENC_EVEX ? d->x << 1 : 0); break;
    default: o->reg = d->rm; break;
    }
    return 0;
}

static int control_register(const struct decoder *d, struct x86_opnd *o)
{
    o->kind = OPND_CR;
    o->reg = d->reg + d->r;
    return 1 << o->reg & (1 << 0 | 1 << 2 | 1 << 3 | 1 << 4 | 1 << 8) ? 0 : X86_DECODE_INVALID;
}

static int debug_register(const struct decoder *d, struct x86_opnd *o)
{
    o->kind = OPND_DR;
    o->reg = d->reg;
    return d->r ? X86_DECODE_INVALID : 0;
}

/* CS can be read, not loaded. */
static int segment_register(const struct decoder *d, struct x86_opnd *o)
{
    o->kind = OPND_SEG;
    o->reg = d->reg;
    return d->reg > SEG_GS || (d->reg == SEG_CS && (o->access & OPND_W)) ? X86_DECODE_INVALID : 0;
}

static int opmask_register(struct x86_opnd *o, unsigned reg)
{
    o->kind = OPND_K;
    o->reg = reg;
    return reg > 7 ? X86_DECODE_INVALID : 0;
}

static int reg_operand(const struct decoder *d, struct x86_opnd *o)
{
    if (d->r2)
        return X86_DECODE_INVALID;
    general(d, o, d->reg + d->r);
    return 0;
}

static int vvvv_operand(const struct decoder *d, struct x86_opnd *o)
{
    if (d->v2)
        return X86_DECODE_INVALID;
    o->kind = OPND_REG;
    o->reg = d->insn->vvvv;
    return 0;
}

/* Immediates and the like: what is read from behind ModRM. */
static void immediate_operand(struct decoder *d, const struct x86_opnd_form *f, struct x86_opnd *o)
{
    struct x86_insn *i = d->insn;
    unsigned bytes = f->size == SIZE_z && o->size > 4 ? 4 : o->size;
    o->kind = OPND_IMM;
    switch ((enum x86_loc)f->loc) {
    case LOC_I: fetch_imm(d, bytes, f->size == SIZE_z); break;
    case LOC_sI: fetch_imm(d, bytes, true); break;
    case LOC_ONE: i->imm = 1; break;
    case LOC_J:
        o->kind = OPND_REL;
        fetch_imm(d, bytes, true);
        break;
    case LOC_I2:
        o->kind = OPND_IMM2;
        i->imm2 = fetch(d, 1);
        i->layout.imm_size++;
        break;
    case LOC_A: /* two operands: the offset, then the selector */
        fetch_imm(d, bytes, false);
        i->op[1] = (struct x86_opnd){.kind = OPND_IMM2, .size = 2, .access = OPND_R};
        i->imm2 = fetch(d, 2);
        i->layout.imm_size += 2;
        break;
    case LOC_O:
        o->kind = OPND_MEM;
        i->layout.disp = d->pos;
        i->layout.disp_size = i->addrsize;
        i->disp = (int64_t)fetch(d, i->addrsize);
        break;
    default: /* LOC_L */
        fetch_imm(d, 1, false);
        o->kind = OPND_VEC;
        o->reg = i->imm >> 4 & (d->mode == X86_MODE_64 ? 15 : 7);
        break;
    }
}

static void fixed_operand(const struct x86_opnd_form *f, struct x86_opnd *o, enum x86_opnd_kind kind)
{
    o->kind = kind;
    o->reg = f->access >> 4;
}

static const uint8_t slot_of[] = {
    [LOC_E] = SLOT_RM,   [LOC_M] = SLOT_RM,   [LOC_R] = SLOT_RM,     [LOC_W] = SLOT_RM,   [LOC_U] = SLOT_RM,
    [LOC_Q] = SLOT_RM,   [LOC_N] = SLOT_RM,   [LOC_KE] = SLOT_RM,    [LOC_KR] = SLOT_RM,  [LOC_STI] = SLOT_RM,
    [LOC_G] = SLOT_REG,  [LOC_S] = SLOT_REG,  [LOC_C] = SLOT_REG,    [LOC_D] = SLOT_REG,  [LOC_V] = SLOT_REG,
    [LOC_P] = SLOT_REG,  [LOC_KG] = SLOT_REG, [LOC_B] = SLOT_VVVV,   [LOC_H] = SLOT_VVVV, [LOC_KB] = SLOT_VVVV,
    [LOC_Z] = SLOT_OPCODE, [LOC_L] = SLOT_IMM, [LOC_ONE] = SLOT_FIXED,
};

static int decode_operand(struct decoder *d, const struct x86_opnd_form *f, struct x86_opnd *o)
{
    o->size = size_of(d, f->size);
    o->access = f->access & 3;
    o->slot = slot_of[f->loc];
    switch ((enum x86_loc)f->loc) {
    case LOC_NONE: return 0;
    case LOC_E: case LOC_M: case LOC_R: return rm_operand(d, f, o, OPND_REG);
    case LOC_W: case LOC_U: return rm_operand(d, f, o, OPND_VEC);
    case LOC_Q: case LOC_N: return rm_operand(d, f, o, OPND_MMX);
    case LOC_KE: case LOC_KR: return rm_operand(d, f, o, OPND_K);
    case LOC_G: return reg_operand(d, o);
    case LOC_B: return vvvv_operand(d, o);
    case LOC_Z: general(d, o, (d->opcode & 7) + d->b); return 0;
    case LOC_S: return segment_register(d, o);
    case LOC_C: return control_register(d, o);
    case LOC_D: return debug_register(d, o);
    case LOC_V: o->kind = OPND_VEC; o->reg = d->reg + d->r + d->r2; return 0;
    case LOC_H: o->kind = OPND_VEC; o->reg = d->insn->vvvv; return 0;
    case LOC_P: o->kind = OPND_MMX; o->reg = d->reg; return 0;
    case LOC_KG: return opmask_register(o, d->reg + d->r + d->r2);
    case LOC_KB: return opmask_register(o, d->insn->vvvv);
    case LOC_STI: o->kind = OPND_ST; o->reg = d->rm; return 0;
    case LOC_REG: fixed_operand(f, o, OPND_REG); return 0;
    case LOC_REGH: fixed_operand(f, o, OPND_REGH); return 0;
    case LOC_SEG: fixed_operand(f, o, OPND_SEG); return 0;
    case LOC_ST: fixed_operand(f, o, OPND_ST); return 0;
    case LOC_VEC: fixed_operand(f, o, OPND_VEC); return 0;
    case LOC_I: case LOC_sI: case LOC_I2: case LOC_J: case LOC_A: case LOC_O: case LOC_L: case LOC_ONE:
        immediate_operand(d, f, o);
        return 0;
    }
    return X86_DECODE_INVALID;
}

/* Gathers may not use one register twice. Spec: SDM 2A 2.3.12 (AVX2), 2C VPGATHERDD (AVX-512) */
static int check_vsib(const struct decoder *d)
{
    const struct x86_insn *i = d->insn;
    if (!(d->form->flags & FORM_VSIB) || i->op[0].kind != OPND_VEC)
        return 0;
    if (i->op[0].reg == i->index)
        return X86_DECODE_INVALID;
    if (i->enc == X86_ENC_VEX && (i->vvvv == i->index || i->vvvv == i->op[0].reg))
        return X86_DECODE_INVALID;
    return 0;
}

static int decode_operands(struct decoder *d)
{
    struct x86_insn *i = d->insn;
    i->nr_opnds = d->form->nr_opnds;
    for (unsigned n = 0; n < i->nr_opnds && d->form->op[n].loc != LOC_NONE; n++) {
        int r = decode_operand(d, &d->form->op[n], &i->op[n]);
        if (r < 0)
            return r;
    }
    return check_vsib(d);
}

int x86_decode(const uint8_t *bytes, unsigned len, enum x86_mode mode, struct x86_insn *ret)
{
    struct x86_insn insn;
    struct decoder d = {.bytes = bytes, .len = len, .mode = mode, .insn = &insn};
    memset(&insn, 0, sizeof(insn));
    decode_prefixes(&d);
    int r = decode_opcode(&d);
    if (r == 0)
        r = find_row(&d);
    if (r == 0)
        r = set_sizes(&d);
    if (r == 0)
        r = decode_mem(&d);
    if (r == 0)
        r = decode_operands(&d);
    if (d.error)
        return d.error;
    if (r < 0)
        return r;
    insn.len = d.pos;
    memcpy(insn.bytes, bytes, d.pos);
    *ret = insn;
    return insn.len;
}

x86_step_fn x86_row_step(unsigned row)
{
    return x86_forms[row].step;
}
