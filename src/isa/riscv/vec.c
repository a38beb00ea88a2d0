/* SPDX-License-Identifier: MIT */
/*
 * Configuration of the vector extension, and what its step functions share. See vec.h.
 */
#include "isa/riscv/vec.h"

/* ---- vtype, vl. Spec: volume I 30.3, 30.6 ---- */

uint64_t riscv_vtype_legal(uint64_t v)
{
    unsigned sew = riscv_vtype_sew(v);
    int lmul = riscv_vtype_lmul(v);
    /* SEW <= LMUL * ELEN, and LMUL is no 1/16 */
    return v >> 8 || sew > 3 || lmul == -4 || (int)sew - 3 > lmul ? RISCV_VILL : v;
}

unsigned riscv_vlmax(uint64_t vtype, unsigned vlenb)
{
    int lmul = riscv_vtype_lmul(vtype) - (int)riscv_vtype_sew(vtype);
    if (vtype & RISCV_VILL)
        return 0;
    return lmul < 0 ? vlenb >> -lmul : vlenb << lmul;
}

/* Sets vtype, and vl to avl or to what there is room for. */
static void configure(struct riscv_cpu *c, const struct riscv_insn *i, uint64_t vtype, uint64_t avl)
{
    if (!riscv_unit_on(c, MSTATUS_VS))
        riscv_raise_illegal(c, i);
    c->vtype = riscv_vtype_legal(vtype);
    uint64_t max = riscv_vlmax(c->vtype, c->vlenb);
    c->vl = (uint16_t)(avl < max ? avl : max);
    c->vstart = 0;
    riscv_vec_dirty(c);
    set_rd(c, i, c->vl);
}

/* From rs1; with rs1 = x0 as much as there is room for, or with rd = x0, too, what it is. */
static uint64_t wanted(const struct riscv_cpu *c, const struct riscv_insn *i)
{
    return i->rs1 ? c->x[i->rs1] : i->rd ? UINT64_MAX : c->vl;
}

void rv_vsetvli(struct riscv_cpu *c, const struct riscv_insn *i)
{
    configure(c, i, (uint64_t)i->imm, wanted(c, i));
}

void rv_vsetivli(struct riscv_cpu *c, const struct riscv_insn *i)
{
    configure(c, i, (uint64_t)i->imm, i->rs1);
}

void rv_vsetvl(struct riscv_cpu *c, const struct riscv_insn *i)
{
    configure(c, i, c->x[i->rs2], wanted(c, i));
}

/* ---- legality ---- */

void vec_enter(struct vec *v, struct riscv_cpu *c, const struct riscv_insn *i)
{
    if (!riscv_unit_on(c, MSTATUS_VS) || (c->vtype & RISCV_VILL))
        riscv_raise_illegal(c, i);
    *v = (struct vec){ .c = c,
                       .i = i,
                       .sew = riscv_vtype_sew(c->vtype),
                       .lmul = riscv_vtype_lmul(c->vtype),
                       .first = c->vstart,
                       .vl = c->vl,
                       .masked = vec_is_masked(i) };
}

static unsigned regs(int emul)
{
    return emul > 0 ? 1U << emul : 1;
}

static bool overlap(unsigned a, unsigned na, unsigned b, unsigned nb)
{
    return a < b + nb && b < a + na;
}

void vec_check_overlap(const struct vec *v, unsigned dst_eew, unsigned reg, unsigned eew)
{
    unsigned rd = v->i->rd, nd = regs(vec_emul(v, dst_eew)), n = regs(vec_emul(v, eew));
    if (dst_eew == eew || !overlap(rd, nd, reg, n))
        return;
    bool low = dst_eew < eew && rd == reg;
    bool high = dst_eew > eew && vec_emul(v, eew) >= 0 && rd + nd == reg + n;
    vec_require(v, low || high);
}

void vec_check_mask_overlap(const struct vec *v, unsigned reg, unsigned eew)
{
    unsigned rd = v->i->rd;
    vec_require(v, rd == reg || !overlap(rd, 1, reg, regs(vec_emul(v, eew))));
}

void vec_check_apart(const struct vec *v, unsigned dst_eew, unsigned reg, unsigned eew)
{
    vec_require(v, !overlap(v->i->rd, regs(vec_emul(v, dst_eew)), reg, regs(vec_emul(v, eew))));
}

void vec_check_form(const struct vec *v, enum vec_form form, enum vec_operand operand)
{
    unsigned dst = vec_dst_eew(v, form), a = vec_a_eew(v, form);
    vec_check_src(v, v->i->rs2, a);
    if (operand == VEC_V)
        vec_check_src(v, v->i->rs1, v->sew);
    if (form == VEC_MASK || form == VEC_MASK_CARRY) {
        vec_check_mask_overlap(v, v->i->rs2, a);
        if (operand == VEC_V)
            vec_check_mask_overlap(v, v->i->rs1, v->sew);
        return;
    }
    vec_check_dst(v, dst);
    vec_check_overlap(v, dst, v->i->rs2, a);
    if (operand == VEC_V)
        vec_check_overlap(v, dst, v->i->rs1, v->sew);
}

/* ---- scalars, masks ---- */

void vec_splat(void *buf, unsigned eew, uint64_t x, unsigned n)
{
    uint16_t *h = buf;
    uint32_t *w = buf;
    uint64_t *d = buf;
    switch (eew) {
    case 0: memset(buf, (int)(x & 0xff), n); break;
    case 1:
        for (unsigned k = 0; k < n; k++)
            h[k] = (uint16_t)x;
        break;
    case 2:
        for (unsigned k = 0; k < n; k++)
            w[k] = (uint32_t)x;
        break;
    default:
        for (unsigned k = 0; k < n; k++)
            d[k] = x;
    }
}

/* Eight bits as eight bytes of 0 or 1. */
static uint64_t spread(uint8_t bits)
{
    uint64_t x = bits * 0x0101010101010101ULL & 0x8040201008040201ULL;
    return (x + 0x7f7f7f7f7f7f7f7fULL) >> 7 & 0x0101010101010101ULL;
}

void vec_bits_to_bytes(const struct vec *v, unsigned reg, uint8_t *bytes)
{
    const uint8_t *bits = vec_reg(v, reg);
    unsigned n = vec_count(v), k = 0;
    for (; k < n && (v->first + k) & 7; k++)
        bytes[k] = vec_bit(bits, v->first + k);
    for (; k < n; k += 8) {
        uint64_t eight = spread(bits[(v->first + k) >> 3]);
        memcpy(bytes + k, &eight, 8);
    }
}

/* ---- results ---- */

#define BLEND(name, type)                                                                                                        \
    static void name(void *restrict to, const void *restrict from, const uint8_t *restrict active, unsigned n)                   \
    {                                                                                                                            \
        type *restrict d = to;                                                                                                   \
        const type *restrict s = from;                                                                                           \
        for (unsigned k = 0; k < n; k++)                                                                                         \
            d[k] = active[k] ? s[k] : d[k];                                                                                      \
    }
BLEND(blend8, uint8_t)
BLEND(blend16, uint16_t)
BLEND(blend32, uint32_t)
BLEND(blend64, uint64_t)

void vec_select(void *to, unsigned eew, const void *from, const uint8_t *active, unsigned n)
{
    static void (*const blend[])(void *, const void *, const uint8_t *, unsigned) = { blend8, blend16, blend32, blend64 };
    blend[eew](to, from, active, n);
}

void vec_write(const struct vec *v, unsigned eew, const void *out)
{
    uint8_t active[VEC_GROUP_MAX];
    unsigned n = vec_count(v);
    if (!n)
        return;
    uint8_t *to = vec_reg(v, v->i->rd) + ((size_t)v->first << eew);
    if (!v->masked) {
        memcpy(to, out, (size_t)n << eew);
        return;
    }
    vec_bits_to_bytes(v, 0, active);
    vec_select(to, eew, out, active, n);
}

/* Eight bytes of 0 or 1 as bits. */
static uint8_t gather_bits(const uint8_t *bytes)
{
    uint64_t x;
    memcpy(&x, bytes, 8);
    return (uint8_t)(x * 0x0102040810204080ULL >> 56);
}

void vec_write_mask(const struct vec *v, const uint8_t *bytes)
{
    uint8_t *to = vec_reg(v, v->i->rd), mask[RISCV_VLENB_MAX], eight[8] = { 0 };
    memcpy(mask, vec_reg(v, 0), v->c->vlenb);
    for (unsigned k = v->first; k < v->vl;) {
        unsigned at = k >> 3, low = k & 7, n = v->vl - k < 8 - low ? v->vl - k : 8 - low;
        unsigned body = (0xffU >> (8 - n)) << low & (v->masked ? mask[at] : 0xffU);
        const uint8_t *these = bytes + (k - v->first);
        if (n < 8) {
            memcpy(eight + low, these, n);
            these = eight;
        }
        to[at] = (uint8_t)((to[at] & ~body) | (gather_bits(these) & body));
        k += n;
    }
}

/* ---- element by element ---- */

/* What functions find in d. */
static void fill_result(const struct vec *v, enum vec_form form, void *out, unsigned n)
{
    uint8_t bytes[VEC_GROUP_MAX];
    switch (form) {
    case VEC_SAME:
    case VEC_WIDE:
    case VEC_WIDE_A:
    case VEC_NARROW: memcpy(out, vec_src(v, v->i->rd, vec_dst_eew(v, form)), (size_t)n << vec_dst_eew(v, form)); break;
    case VEC_MASK: break;
    case VEC_MASK_CARRY:
        if (v->masked)
            vec_bits_to_bytes(v, 0, out);
        else
            memset(out, 0, n);
        break;
    case VEC_CARRY:
        vec_bits_to_bytes(v, 0, bytes);
        for (unsigned k = 0; k < n; k++)
            vec_set(out, v->sew, k, bytes[k]);
        break;
    }
}

void vec_each(struct riscv_cpu *c, const struct riscv_insn *i, const struct vec_fns *f, enum vec_form form,
              enum vec_operand operand)
{
    uint64_t out[VEC_GROUP_MAX / 8], scalars[VEC_GROUP_MAX / 8];
    struct vec v;
    vec_enter(&v, c, i);
    vec_require(&v, f->fn[v.sew] != NULL);
    vec_check_form(&v, form, operand);
    unsigned n = vec_count(&v), dst = vec_dst_eew(&v, form);
    const void *b = operand == VEC_NONE ? vec_src(&v, i->rs2, v.sew) : scalars;
    if (operand == VEC_V)
        b = vec_src(&v, i->rs1, v.sew);
    else if (operand != VEC_NONE)
        vec_splat(scalars, v.sew, operand == VEC_X ? c->x[i->rs1] : (uint64_t)(int64_t)i->imm, n);
    fill_result(&v, form, out, n);
    f->fn[v.sew](out, vec_src(&v, i->rs2, vec_a_eew(&v, form)), b, n);
    if (form == VEC_CARRY || form == VEC_MASK_CARRY)
        v.masked = false;
    if (form == VEC_MASK || form == VEC_MASK_CARRY)
        vec_write_mask(&v, (const uint8_t *)out);
    else
        vec_write(&v, dst, out);
    vec_leave(&v);
}
