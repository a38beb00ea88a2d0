/* SPDX-License-Identifier: MIT */
/*
 * What vector instructions compute, element by element, over corner values, against plain C that knows nothing of src/isa/riscv:
 * encodings by hand from the manual, results by 128-bit integers. Each at every SEW, masked and not, at several vl and vstart,
 * with vectors, scalars and immediates; elements that are not active and not in the body stay.
 */
#include "vector.h"

#define VLEN 256
enum { VD = 8, VS1 = 16, VS2 = 24, X1 = 11 };

typedef __int128 i128;

/* One element's operands: as unsigned and as signed numbers; d: what vd held. */
struct e {
    i128 a, b, d, sa, sb, sd;
    unsigned sew, bit, rm; /* bits; v0's bit; vxrm */
    bool sat;
};

enum kind { SAME, WIDE, WIDE_A, NARROW, TO_MASK, CARRY, TO_MASK_CARRY };
enum { VV = 1, VX = 2, VI = 4, VU = 8, OPM = 16 /* OPMVV, OPMVX */ };

static i128 power(unsigned n)
{
    return (i128)1 << n;
}

/* v / 2^n, rounded. Spec: 30.3.8 */
static i128 scaled(const struct e *e, i128 v, unsigned n)
{
    i128 q = v / power(n), rest = v - q * power(n);
    if (rest < 0)
        q--, rest += power(n);
    bool odd = q % 2 != 0;
    switch (e->rm) {
    case 0: return q + (2 * rest >= power(n) && rest);
    case 1: return q + (2 * rest > power(n) || (2 * rest == power(n) && odd));
    case 2: return q;
    default: return q + (rest && !odd);
    }
}

static i128 limited(struct e *e, i128 v, i128 low, i128 high)
{
    e->sat |= v < low || v > high;
    return v < low ? low : v > high ? high : v;
}

static i128 limited_s(struct e *e, i128 v)
{
    return limited(e, v, -power(e->sew - 1), power(e->sew - 1) - 1);
}

static i128 limited_u(struct e *e, i128 v)
{
    return limited(e, v, 0, power(e->sew) - 1);
}

static i128 floor_shift(i128 v, unsigned n)
{
    i128 q = v / power(n);
    return q * power(n) > v ? q - 1 : q;
}

#define SH (unsigned)(e->b % e->sew)
#define SH2 (unsigned)(e->b % (2 * e->sew))
#define LEAST (-power(e->sew - 1))

/* funct6, forms, kind, result */
#define OPS(X)                                                                                                                   \
    X(vadd, 0x00, VV | VX | VI, SAME, e->a + e->b)                                                                               \
    X(vsub, 0x02, VV | VX, SAME, e->a - e->b)                                                                                    \
    X(vrsub, 0x03, VX | VI, SAME, e->b - e->a)                                                                                   \
    X(vminu, 0x04, VV | VX, SAME, e->a < e->b ? e->a : e->b)                                                                     \
    X(vmin, 0x05, VV | VX, SAME, e->sa < e->sb ? e->sa : e->sb)                                                                  \
    X(vmaxu, 0x06, VV | VX, SAME, e->a < e->b ? e->b : e->a)                                                                     \
    X(vmax, 0x07, VV | VX, SAME, e->sa < e->sb ? e->sb : e->sa)                                                                  \
    X(vand, 0x09, VV | VX | VI, SAME, e->a & e->b)                                                                               \
    X(vor, 0x0a, VV | VX | VI, SAME, e->a | e->b)                                                                                \
    X(vxor, 0x0b, VV | VX | VI, SAME, e->a ^ e->b)                                                                               \
    X(vadc, 0x10, VV | VX | VI, CARRY, e->a + e->b + e->bit)                                                                     \
    X(vmadc, 0x11, VV | VX | VI, TO_MASK_CARRY, e->a + e->b + e->bit >= power(e->sew))                                           \
    X(vsbc, 0x12, VV | VX, CARRY, e->a - e->b - e->bit)                                                                          \
    X(vmsbc, 0x13, VV | VX, TO_MASK_CARRY, e->a - e->b - e->bit < 0)                                                             \
    X(vmerge, 0x17, VV | VX | VI, CARRY, e->bit ? e->b : e->a)                                                                   \
    X(vmseq, 0x18, VV | VX | VI, TO_MASK, e->a == e->b)                                                                          \
    X(vmsne, 0x19, VV | VX | VI, TO_MASK, e->a != e->b)                                                                          \
    X(vmsltu, 0x1a, VV | VX, TO_MASK, e->a < e->b)                                                                               \
    X(vmslt, 0x1b, VV | VX, TO_MASK, e->sa < e->sb)                                                                              \
    X(vmsleu, 0x1c, VV | VX | VI, TO_MASK, e->a <= e->b)                                                                         \
    X(vmsle, 0x1d, VV | VX | VI, TO_MASK, e->sa <= e->sb)                                                                        \
    X(vmsgtu, 0x1e, VX | VI, TO_MASK, e->a > e->b)                                                                               \
    X(vmsgt, 0x1f, VX | VI, TO_MASK, e->sa > e->sb)                                                                              \
    X(vsll, 0x25, VV | VX | VU, SAME, e->a * power(SH))                                                                          \
    X(vsrl, 0x28, VV | VX | VU, SAME, e->a / power(SH))                                                                          \
    X(vsra, 0x29, VV | VX | VU, SAME, floor_shift(e->sa, SH))                                                                    \
    X(vnsrl, 0x2c, VV | VX | VU, NARROW, e->a / power(SH2))                                                                      \
    X(vnsra, 0x2d, VV | VX | VU, NARROW, floor_shift(e->sa, SH2))                                                                \
    X(vdivu, 0x20, VV | VX | OPM, SAME, e->b ? e->a / e->b : -1)                                                                 \
    X(vdiv, 0x21, VV | VX | OPM, SAME, e->b ? e->sa / e->sb : -1)                                                                \
    X(vremu, 0x22, VV | VX | OPM, SAME, e->b ? e->a % e->b : e->a)                                                               \
    X(vrem, 0x23, VV | VX | OPM, SAME, e->b ? e->sa % e->sb : e->a)                                                              \
    X(vmulhu, 0x24, VV | VX | OPM, SAME, (i128)((unsigned __int128)e->a * (unsigned __int128)e->b >> e->sew))                    \
    X(vmul, 0x25, VV | VX | OPM, SAME, e->sa * e->sb)                                                                            \
    X(vmulhsu, 0x26, VV | VX | OPM, SAME, floor_shift(e->sa * e->b, e->sew))                                                     \
    X(vmulh, 0x27, VV | VX | OPM, SAME, floor_shift(e->sa * e->sb, e->sew))                                                      \
    X(vmadd, 0x29, VV | VX | OPM, SAME, e->sb * e->sd + e->sa)                                                                   \
    X(vnmsub, 0x2b, VV | VX | OPM, SAME, -(e->sb * e->sd) + e->sa)                                                               \
    X(vmacc, 0x2d, VV | VX | OPM, SAME, e->sb * e->sa + e->sd)                                                                   \
    X(vnmsac, 0x2f, VV | VX | OPM, SAME, -(e->sb * e->sa) + e->sd)                                                               \
    X(vwaddu, 0x30, VV | VX | OPM, WIDE, e->a + e->b)                                                                            \
    X(vwadd, 0x31, VV | VX | OPM, WIDE, e->sa + e->sb)                                                                           \
    X(vwsubu, 0x32, VV | VX | OPM, WIDE, e->a - e->b)                                                                            \
    X(vwsub, 0x33, VV | VX | OPM, WIDE, e->sa - e->sb)                                                                           \
    X(vwaddu_w, 0x34, VV | VX | OPM, WIDE_A, e->a + e->b)                                                                        \
    X(vwadd_w, 0x35, VV | VX | OPM, WIDE_A, e->sa + e->sb)                                                                       \
    X(vwsubu_w, 0x36, VV | VX | OPM, WIDE_A, e->a - e->b)                                                                        \
    X(vwsub_w, 0x37, VV | VX | OPM, WIDE_A, e->sa - e->sb)                                                                       \
    X(vwmulu, 0x38, VV | VX | OPM, WIDE, e->a * e->b)                                                                            \
    X(vwmulsu, 0x3a, VV | VX | OPM, WIDE, e->sa * e->b)                                                                          \
    X(vwmul, 0x3b, VV | VX | OPM, WIDE, e->sa * e->sb)                                                                           \
    X(vwmaccu, 0x3c, VV | VX | OPM, WIDE, e->a * e->b + e->d)                                                                    \
    X(vwmacc, 0x3d, VV | VX | OPM, WIDE, e->sa * e->sb + e->d)                                                                   \
    X(vwmaccus, 0x3e, VX | OPM, WIDE, e->sa * e->b + e->d)                                                                       \
    X(vwmaccsu, 0x3f, VV | VX | OPM, WIDE, e->a * e->sb + e->d)                                                                  \
    X(vsaddu, 0x20, VV | VX | VI, SAME, limited_u(e, e->a + e->b))                                                               \
    X(vsadd, 0x21, VV | VX | VI, SAME, limited_s(e, e->sa + e->sb))                                                              \
    X(vssubu, 0x22, VV | VX, SAME, limited_u(e, e->a - e->b))                                                                    \
    X(vssub, 0x23, VV | VX, SAME, limited_s(e, e->sa - e->sb))                                                                   \
    X(vaaddu, 0x08, VV | VX | OPM, SAME, scaled(e, e->a + e->b, 1))                                                              \
    X(vaadd, 0x09, VV | VX | OPM, SAME, scaled(e, e->sa + e->sb, 1))                                                             \
    X(vasubu, 0x0a, VV | VX | OPM, SAME, scaled(e, e->a - e->b, 1))                                                              \
    X(vasub, 0x0b, VV | VX | OPM, SAME, scaled(e, e->sa - e->sb, 1))                                                             \
    X(vsmul, 0x27, VV | VX, SAME, limited_s(e, scaled(e, e->sa * e->sb, e->sew - 1)))                                            \
    X(vssrl, 0x2a, VV | VX | VU, SAME, scaled(e, e->a, SH))                                                                      \
    X(vssra, 0x2b, VV | VX | VU, SAME, scaled(e, e->sa, SH))                                                                     \
    X(vnclipu, 0x2e, VV | VX | VU, NARROW, limited_u(e, scaled(e, e->a, SH2)))                                                   \
    X(vnclip, 0x2f, VV | VX | VU, NARROW, limited_s(e, scaled(e, e->sa, SH2)))                                                   \
    X(vandn, 0x01, VV | VX, SAME, e->a - (e->a & e->b))                                                                          \
    X(vrol, 0x15, VV | VX, SAME, e->a * power(SH) + (SH ? e->a / power(e->sew - SH) : 0))                                        \
    X(vror, 0x14, VV | VX | VU, SAME, e->a / power(SH) + (SH ? e->a * power(e->sew - SH) : 0))                                   \
    X(vwsll, 0x35, VV | VX | VU, WIDE, e->a * power(SH2))

#define EXPECT(name, f6, forms, kind, value)                                                                                     \
    static i128 x_##name(struct e *e)                                                                                            \
    {                                                                                                                            \
        return value;                                                                                                            \
    }
OPS(EXPECT)

static const struct op {
    const char *name;
    unsigned f6, forms;
    enum kind kind;
    i128 (*expect)(struct e *e);
} ops[] = {
#define ROW(name, f6, forms, kind, value) { #name, f6, forms, kind, x_##name },
    OPS(ROW)
#undef ROW
};

/* ---- the model: the instruction's effect on a copy of the registers ---- */

struct trial {
    const struct op *op;
    unsigned form, sew, lmul, vl, vstart, rm; /* sew in bits, lmul in registers */
    bool masked;
    uint64_t scalar;
    int imm; /* as written: -16 to 15, or 0 to 31 */
};

static i128 sign_extended(i128 v, unsigned bits)
{
    return v >= power(bits - 1) ? v - power(bits) : v;
}

static bool expect_into(const struct trial *t, uint8_t *v)
{
    const enum kind k = t->op->kind;
    unsigned dst = t->sew * (k == WIDE || k == WIDE_A ? 2 : 1), src = t->sew * (k == WIDE_A || k == NARROW ? 2 : 1);
    uint8_t old[32 * VLEN / 8];
    bool sat = false, to_mask = k == TO_MASK || k == TO_MASK_CARRY, is_operand = k == CARRY || k == TO_MASK_CARRY;
    memcpy(old, v, sizeof(old));
    for (unsigned n = t->vstart; n < t->vl; n++) {
        bool bit = old[n / 8] >> n % 8 & 1;
        struct e e = { .sew = t->sew, .rm = t->rm, .bit = is_operand && t->masked && bit };
        if (t->masked && !bit && !is_operand)
            continue;
        e.a = element(old, VLEN, VS2, src, n);
        e.b = t->form == VV ? element(old, VLEN, VS1, t->sew, n) : t->form == VX ? t->scalar : (uint64_t)(int64_t)t->imm;
        e.b &= power(t->sew) - 1;
        e.d = to_mask ? 0 : element(old, VLEN, VD, dst, n);
        e.sa = sign_extended(e.a, src);
        e.sb = sign_extended(e.b, t->sew);
        e.sd = sign_extended(e.d, dst);
        i128 r = t->op->expect(&e);
        sat |= e.sat;
        if (to_mask)
            v[VD * VLEN / 8 + n / 8] = (uint8_t)((v[VD * VLEN / 8 + n / 8] & ~(1 << n % 8)) | (r ? 1 << n % 8 : 0));
        else
            set_element(v, VLEN, VD, dst, n, (uint64_t)r);
    }
    return sat;
}

static uint32_t encoding(const struct trial *t)
{
    bool opm = t->op->forms & OPM;
    unsigned f3 = t->form == VV ? (opm ? 2 : 0) : t->form == VX ? (opm ? 6 : 4) : 3;
    unsigned vs1 = t->form == VV ? VS1 : t->form == VX ? X1 : (unsigned)t->imm & 31;
    return vector_op(t->op->f6, !t->masked, VS2, vs1, f3, VD);
}

static void try(const struct trial *t)
{
    struct riscv_cpu *c = m.c;
    uint8_t want[sizeof(c->v)];
    configure(t->sew, (int)__builtin_ctz(t->lmul), t->vl);
    c->vstart = (uint16_t)t->vstart;
    c->vxrm = (uint8_t)t->rm;
    c->vxsat = 0;
    c->x[X1] = t->scalar;
    memcpy(want, c->v, sizeof(want));
    bool sat = expect_into(t, want);
    do_step(encoding(t));
    if (c->mcause != 0 || memcmp(want, c->v, sizeof(want)) != 0 || c->vxsat != sat || c->vstart != 0)
        fail_msg("%s form %u, SEW %u, LMUL %u, vl %u, vstart %u, vxrm %u%s: cause %lu, vxsat %u (%d)", t->op->name, t->form,
                 t->sew, t->lmul, t->vl, t->vstart, t->rm, t->masked ? ", masked" : "", c->mcause, c->vxsat, sat);
}

static void try_forms(struct trial t)
{
    for (unsigned form = VV; form <= VU; form *= 2) {
        if (!(t.op->forms & form))
            continue;
        t.form = form;
        t.scalar = corner(t.sew, t.vl + t.rm);
        t.imm = (int)((t.vl * 7 + t.sew + t.rm) & 31) - (form == VI ? 16 : 0);
        try(&t);
    }
}

static void arithmetic_agrees_with_the_manual(void **state)
{
    static const unsigned starts[] = { 0, 1, 3 };
    (void)state;
    for (unsigned n = 0; n < sizeof(ops) / sizeof(ops[0]); n++) {
        bool wide = ops[n].kind == WIDE || ops[n].kind == WIDE_A || ops[n].kind == NARROW;
        for (unsigned sew = 8; sew <= (wide ? 32 : 64); sew *= 2) {
            for (unsigned turn = 0; turn < 48; turn++) {
                unsigned lmul = 1U << turn % 3, max = VLEN / sew * lmul;
                bool carries = ops[n].kind == CARRY, masked = carries || turn & 1;
                struct trial t = { .op = &ops[n], .sew = sew, .lmul = lmul, .rm = turn % 4, .masked = masked };
                t.vl = turn % 6 == 5 ? turn / 6 : max - (turn % 5 == 0 ? 1 : 0);
                t.vstart = turn % 4 == 3 ? starts[turn / 4 % 3] : 0;
                fill_registers(turn * 77 + sew, sew);
                try_forms(t);
            }
        }
    }
}

/* ---- reductions: funct6, funct3, result of two numbers ---- */

static void reductions_take_all_active_elements(void **state)
{
    static const struct {
        unsigned f6, f3;
        bool is_signed, wide;
    } kinds[] = { { 0, 2, false, false }, { 1, 2, false, false }, { 2, 2, false, false }, { 3, 2, false, false },
                  { 4, 2, false, false }, { 5, 2, true, false },  { 6, 2, false, false }, { 7, 2, true, false },
                  { 48, 0, false, true }, { 49, 0, true, true } };
    (void)state;
    for (unsigned n = 0; n < 10; n++) {
        for (unsigned sew = 8; sew <= (kinds[n].wide ? 32 : 64); sew *= 2) {
            for (unsigned turn = 0; turn < 16; turn++) {
                unsigned lmul = 1U << turn % 4, max = VLEN / sew * lmul, vl = turn < 4 ? turn : max - turn % 2;
                unsigned dst = kinds[n].wide ? 2 * sew : sew;
                bool masked = turn % 3 == 1;
                uint8_t want[sizeof(m.c->v)];
                fill_registers(turn + sew, sew);
                memcpy(want, m.c->v, sizeof(want));
                i128 r = element(want, VLEN, 7, dst, 0);
                r = kinds[n].is_signed ? sign_extended(r, dst) : r;
                for (unsigned k = 0; k < vl; k++) {
                    i128 x = element(want, VLEN, VS2, sew, k);
                    x = kinds[n].is_signed ? sign_extended(x, sew) : x;
                    if (masked && !(want[k / 8] >> k % 8 & 1))
                        continue;
                    switch (kinds[n].f6 & 7) {
                    case 0: r += x; break;
                    case 1: r = kinds[n].wide ? r + x : r & x; break;
                    case 2: r |= x; break;
                    case 3: r ^= x; break;
                    case 4:
                    case 5: r = x < r ? x : r; break;
                    default: r = x > r ? x : r; break;
                    }
                }
                if (vl)
                    set_element(want, VLEN, 5, dst, 0, (uint64_t)r);
                configure(sew, (int)turn % 4, vl);
                do_step(vector_op(kinds[n].f6, !masked, VS2, 7, kinds[n].f3, 5));
                assert_int_equal(m.c->mcause, 0);
                assert_memory_equal(want, m.c->v, sizeof(want));
            }
        }
    }
}

/* ---- masks ---- */

static void mask_logic_changes_the_body_only(void **state)
{
    (void)state;
    for (unsigned op = 0; op < 8; op++) {
        for (unsigned vl = 0; vl <= VLEN; vl += 13) {
            static const unsigned f6[] = { 0x19, 0x1d, 0x18, 0x1b, 0x1a, 0x1e, 0x1c, 0x1f };
            unsigned start = vl % 5 == 3 ? vl / 2 : 0;
            uint8_t want[sizeof(m.c->v)];
            fill_registers(vl, 8);
            memcpy(want, m.c->v, sizeof(want));
            for (unsigned k = start; k < vl; k++) {
                bool a = want[VS2 * VLEN / 8 + k / 8] >> k % 8 & 1, b = want[VS1 * VLEN / 8 + k / 8] >> k % 8 & 1;
                const bool results[] = { a && b, !(a && b), a && !b, a != b, a || b, !(a || b), a || !b, a == b };
                set_bit(want + VD * VLEN / 8, k, results[op]);
            }
            configure(8, 3, vl);
            m.c->vstart = (uint16_t)start;
            do_step(vector_op(f6[op], 1, VS2, VS1, 2, VD));
            assert_int_equal(m.c->mcause, 0);
            assert_memory_equal(want, m.c->v, sizeof(want));
        }
    }
}

static void the_first_bit_is_found_and_surrounded(void **state)
{
    (void)state;
    for (unsigned turn = 0; turn < 60; turn++) {
        unsigned vl = turn % 7 ? VLEN / 8 - turn % 3 : turn / 7;
        bool masked = turn & 1;
        uint8_t before[sizeof(m.c->v)], want[3][sizeof(m.c->v)];
        uint64_t count = 0, first = ~0ULL;
        fill_registers(turn, 8);
        memset(m.c->v + VS2 * VLEN / 8, 0, VLEN / 8);
        for (unsigned k = turn % 11; k < VLEN && turn % 5; k += 9)
            set_bit(m.c->v + VS2 * VLEN / 8, k, true);
        memcpy(before, m.c->v, sizeof(before));
        for (unsigned f = 0; f < 3; f++)
            memcpy(want[f], before, sizeof(before));
        for (unsigned k = 0; k < vl; k++) {
            bool active = !masked || (before[k / 8] >> k % 8 & 1), set = before[VS2 * VLEN / 8 + k / 8] >> k % 8 & 1;
            if (!active)
                continue;
            bool found = first != ~0ULL, here = set && !found;
            set_bit(want[0] + VD * VLEN / 8, k, !found && !here); /* vmsbf */
            set_bit(want[1] + VD * VLEN / 8, k, here);            /* vmsof */
            set_bit(want[2] + VD * VLEN / 8, k, !found);          /* vmsif */
            first = here ? k : first;
            count += set;
        }
        configure(8, 0, vl);
        do_step(vector_op(0x10, !masked, VS2, 16, 2, X1));
        assert_int_equal(m.c->x[X1], count);
        do_step(vector_op(0x10, !masked, VS2, 17, 2, X1));
        assert_int_equal(m.c->x[X1], first);
        for (unsigned f = 0; f < 3; f++) {
            memcpy(m.c->v, before, sizeof(before));
            do_step(vector_op(0x14, !masked, VS2, f + 1, 2, VD));
            assert_int_equal(m.c->mcause, 0);
            assert_memory_equal(want[f], m.c->v, sizeof(before));
        }
    }
}

static void iota_counts_active_bits_and_id_counts_elements(void **state)
{
    (void)state;
    for (unsigned sew = 8; sew <= 64; sew *= 2) {
        for (unsigned turn = 0; turn < 12; turn++) {
            unsigned vl = VLEN / sew * 2 - turn % 3, count = 0;
            bool masked = turn & 1;
            uint8_t iota[sizeof(m.c->v)], id[sizeof(m.c->v)];
            fill_registers(turn, 8);
            memcpy(iota, m.c->v, sizeof(iota));
            memcpy(id, m.c->v, sizeof(id));
            for (unsigned k = 0; k < vl; k++) {
                if (masked && !(m.c->v[k / 8] >> k % 8 & 1))
                    continue;
                set_element(iota, VLEN, VD, sew, k, count);
                set_element(id, VLEN, VS1, sew, k, k);
                count += m.c->v[VS2 * VLEN / 8 + k / 8] >> k % 8 & 1;
            }
            memcpy(id + VD * VLEN / 8, iota + VD * VLEN / 8, 2 * VLEN / 8);
            configure(sew, 1, vl);
            do_step(vector_op(0x14, !masked, VS2, 16, 2, VD));
            assert_memory_equal(iota, m.c->v, sizeof(iota));
            do_step(vector_op(0x14, !masked, 0, 17, 2, VS1));
            assert_memory_equal(id, m.c->v, sizeof(id));
            assert_int_equal(m.c->mcause, 0);
        }
    }
}

/* ---- permutation ---- */

static uint64_t source(const uint8_t *v, unsigned sew, unsigned max, uint64_t n)
{
    return n < max ? element(v, VLEN, VS2, sew, (unsigned)n) : 0;
}

/* What element k of vd becomes; false: it stays. */
static bool moved(unsigned op, const uint8_t *v, unsigned sew, unsigned max, unsigned vl, unsigned k, uint64_t x, uint64_t *ret)
{
    switch (op) {
    case 0: *ret = source(v, sew, max, k - x); return k >= x;             /* vslideup.vx */
    case 1: *ret = x < max ? source(v, sew, max, k + x) : 0; return true; /* vslidedown.vx */
    case 2: *ret = k ? source(v, sew, max, k - 1) : x; return true;       /* vslide1up.vx */
    case 3: *ret = k + 1 < vl ? source(v, sew, max, k + 1) : x; return true;
    case 4: *ret = source(v, sew, max, element(v, VLEN, VS1, sew, k)); return true; /* vrgather.vv */
    case 5: *ret = source(v, sew, max, x); return true;
    default: *ret = source(v, sew, max, element(v, VLEN, VS1, 16, k)); return true; /* vrgatherei16.vv */
    }
}

static void slides_and_gathers_move_elements(void **state)
{
    static const struct {
        unsigned f6, f3;
    } code[] = { { 14, 4 }, { 15, 4 }, { 14, 6 }, { 15, 6 }, { 12, 0 }, { 12, 4 }, { 14, 0 } };
    static const uint64_t by[] = { 0, 1, 3, 15, 16, 63, ~0ULL, 1ULL << 63, 31, 7 };
    (void)state;
    for (unsigned op = 0; op < 7; op++) {
        for (unsigned sew = 8; sew <= 64; sew *= 2) {
            for (unsigned turn = 0; turn < 40; turn++) {
                unsigned max = 2 * VLEN / sew, vl = turn % 9 == 8 ? 0 : max - turn % 4, start = turn % 5 == 4 ? 2 : 0;
                bool masked = turn & 1;
                uint64_t x = by[turn % 10], r;
                uint8_t want[sizeof(m.c->v)], old[sizeof(m.c->v)];
                fill_registers(turn, sew);
                for (unsigned k = 0; k < max; k++)
                    if (op != 6 || sew <= 16)
                        set_element(m.c->v, VLEN, VS1, op == 6 ? 16 : sew, k, (k * 7 + turn) % (max + 3));
                memcpy(want, m.c->v, sizeof(want));
                memcpy(old, m.c->v, sizeof(old));
                for (unsigned k = start; k < vl; k++)
                    if ((!masked || (old[k / 8] >> k % 8 & 1)) && moved(op, old, sew, max, vl, k, x, &r))
                        set_element(want, VLEN, VD, sew, k, r);
                configure(sew, 1, vl);
                m.c->vstart = (uint16_t)start;
                m.c->x[X1] = x;
                do_step(vector_op(code[op].f6, !masked, VS2, op == 4 || op == 6 ? VS1 : X1, code[op].f3, VD));
                if (m.c->mcause || memcmp(want, m.c->v, sizeof(want)) != 0)
                    fail_msg("op %u, SEW %u, turn %u", op, sew, turn);
            }
        }
    }
}

static void compress_packs_and_leaves_the_rest(void **state)
{
    (void)state;
    for (unsigned sew = 8; sew <= 64; sew *= 2) {
        unsigned n = 0, vl = 2 * VLEN / sew - 1;
        uint8_t want[sizeof(m.c->v)];
        fill_registers(sew, sew);
        memcpy(want, m.c->v, sizeof(want));
        for (unsigned k = 0; k < vl; k++)
            if (m.c->v[VS1 * VLEN / 8 + k / 8] >> k % 8 & 1)
                set_element(want, VLEN, VD, sew, n++, element(m.c->v, VLEN, VS2, sew, k));
        configure(sew, 1, vl);
        do_step(vector_op(0x17, 1, VS2, VS1, 2, VD));
        assert_int_equal(m.c->mcause, 0);
        assert_memory_equal(want, m.c->v, sizeof(want));
    }
}

static void element_0_and_whole_registers_move_whatever_vl_is(void **state)
{
    uint8_t want[sizeof(m.c->v)];
    (void)state;
    fill_registers(3, 32);
    set_element(m.c->v, VLEN, VS2, 32, 0, 0x80000001);
    configure(32, 3, 0);
    m.c->vstart = 9;
    do_step(vector_op(0x10, 1, VS2, 0, 2, X1)); /* vmv.x.s */
    assert_int_equal(m.c->x[X1], 0xffffffff80000001);
    assert_int_equal(m.c->vstart, 0);
    memcpy(want, m.c->v, sizeof(want));
    do_step(vector_op(0x10, 1, 0, X1, 6, VD)); /* vmv.s.x with vl = 0: nothing */
    assert_memory_equal(want, m.c->v, sizeof(want));
    configure(32, -1, 1);
    m.c->x[X1] = 0x123456789abcdef0;
    do_step(vector_op(0x10, 1, 0, X1, 6, 9)); /* v9, whatever LMUL */
    set_element(want, VLEN, 9, 32, 0, 0x9abcdef0);
    assert_memory_equal(want, m.c->v, sizeof(want));
    for (unsigned nr = 1; nr <= 8; nr *= 2) { /* vmv<nr>r.v from element 3 on */
        fill_registers(nr, 16);
        memcpy(want, m.c->v, sizeof(want));
        memcpy(want + VD * VLEN / 8 + 6, want + VS2 * VLEN / 8 + 6, nr * VLEN / 8 - 6);
        configure(16, 0, 0);
        m.c->vstart = 3;
        do_step(vector_op(0x27, 1, VS2, nr - 1, 3, VD));
        assert_int_equal(m.c->mcause, 0);
        assert_memory_equal(want, m.c->v, sizeof(want));
    }
}

/* The bits of x, of `bits`, turned as code says. */
static uint64_t turned(unsigned code, uint64_t x, unsigned bits)
{
    uint64_t r = 0;
    unsigned ones = 0, first = bits, last = bits; /* from below, from above */
    for (unsigned k = 0; k < bits; k++) {
        bool one = x >> k & 1;
        unsigned to = code == 8 ? (k & ~7U) + 7 - k % 8 : code == 9 ? bits - 8 - (k & ~7U) + k % 8 : bits - 1 - k;
        r |= (uint64_t)one << to;
        ones += one;
        first = one && first == bits ? k : first;
        last = one ? bits - 1 - k : last;
    }
    return code == 12 ? last : code == 13 ? first : code == 14 ? ones : r;
}

static void bits_are_turned_and_counted(void **state)
{
    static const uint8_t codes[] = { 8, 9, 10, 12, 13, 14 };
    (void)state;
    for (unsigned n = 0; n < 6; n++) {
        for (unsigned sew = 8; sew <= 64; sew *= 2) {
            unsigned max = 2 * VLEN / sew;
            uint8_t want[sizeof(m.c->v)];
            fill_registers(sew + n, sew);
            memcpy(want, m.c->v, sizeof(want));
            for (unsigned k = 0; k < max; k++)
                if (want[k / 8] >> k % 8 & 1)
                    set_element(want, VLEN, VD, sew, k, turned(codes[n], element(want, VLEN, VS2, sew, k), sew));
            configure(sew, 1, max);
            do_step(vector_op(0x12, 0, VS2, codes[n], 2, VD));
            if (m.c->mcause || memcmp(want, m.c->v, sizeof(want)) != 0)
                fail_msg("code %u, SEW %u", codes[n], sew);
        }
    }
}

static void extension_widens_fractions(void **state)
{
    (void)state;
    for (unsigned times = 1; times <= 3; times++) {
        for (unsigned sew = 8U << times; sew <= 64; sew *= 2) {
            for (unsigned is_signed = 0; is_signed < 2; is_signed++) {
                unsigned from = sew >> times, max = 2 * VLEN / sew;
                uint8_t want[sizeof(m.c->v)];
                fill_registers(sew + times, from);
                memcpy(want, m.c->v, sizeof(want));
                for (unsigned k = 0; k < max; k++) {
                    i128 x = element(m.c->v, VLEN, VS2, from, k);
                    set_element(want, VLEN, VD, sew, k, (uint64_t)(is_signed ? sign_extended(x, from) : x));
                }
                configure(sew, 1, max);
                do_step(vector_op(0x12, 1, VS2, 8 - 2 * times + is_signed, 2, VD));
                assert_int_equal(m.c->mcause, 0);
                assert_memory_equal(want, m.c->v, sizeof(want));
            }
        }
    }
}

static int set_up_vectors(void **state)
{
    (void)state;
    return start_vectors("max,vlen=256");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arithmetic_agrees_with_the_manual),
        cmocka_unit_test(reductions_take_all_active_elements),
        cmocka_unit_test(mask_logic_changes_the_body_only),
        cmocka_unit_test(the_first_bit_is_found_and_surrounded),
        cmocka_unit_test(iota_counts_active_bits_and_id_counts_elements),
        cmocka_unit_test(slides_and_gathers_move_elements),
        cmocka_unit_test(compress_packs_and_leaves_the_rest),
        cmocka_unit_test(element_0_and_whole_registers_move_whatever_vl_is),
        cmocka_unit_test(bits_are_turned_and_counted),
        cmocka_unit_test(extension_widens_fractions),
    };
    return cmocka_run_group_tests(tests, set_up_vectors, stop_vectors);
}
