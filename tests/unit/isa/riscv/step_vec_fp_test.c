/* SPDX-License-Identifier: MIT */
/*
 * Floating-point vector instructions on a hart: what makes them illegal, masks, flags, operands in all widths, reductions, moves.
 * What single elements become is vec_fp_test.c's.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

#include "isa/riscv/decode.h"
#include "isa/riscv/vec_fp.h"
#include "support/bare_riscv.h"

enum { E8, E16, E32, E64 };
enum { M1 = 0, M2 = 1, M4 = 2, M8 = 3, MF2 = 7 };
enum { VD = 8, VS1 = 24, VS2 = 16, FS1 = 10, HANDLER = 0x100 };
#define STATUS_ON 0x6600 /* FS and VS dirty */

/* ---- a hart ---- */

static struct bare_riscv m;
static struct riscv_profile profile;

static int set_up_with(const char *model)
{
    struct error err;
    const struct riscv_config config = { .profile = &profile };
    int r = riscv_profile_make(model, &profile, &err);
    if (r == 0)
        r = bare_riscv_init(&m, &config, &err);
    if (r == 0) {
        m.c->mtvec = RV_RAM + HANDLER;
        m.c->mstatus |= STATUS_ON;
    }
    return r;
}

static int set_up(void **state)
{
    (void)state;
    return set_up_with("max");
}

static int set_up_min(void **state)
{
    (void)state;
    return set_up_with("max,-zvfh");
}

static int tear_down(void **state)
{
    (void)state;
    bare_riscv_done(&m);
    return 0;
}

/* The row of a mnemonic with VD, VS2, and VS1 or FS1 in its fields; masked or not. */
static uint32_t encoded(const char *name, bool masked)
{
    for (const struct riscv_row *r = riscv_rows; r < riscv_rows + riscv_nr_rows; r++)
        if (strcmp(r->name, name) == 0) {
            bool f = r->format == RISCV_FMT_VF || r->format == RISCV_FMT_VFA || r->format == RISCV_FMT_VFM
                     || r->format == RISCV_FMT_VMVF;
            unsigned rd = r->format == RISCV_FMT_F2V ? FS1 : VD;
            uint32_t fields = rd << 7 | (f ? FS1 : VS1) << 15 | VS2 << 20 | (masked ? 0U : 1U << 25);
            return r->match | (fields & ~r->mask);
        }
    fail_msg("no %s", name);
    return 0;
}

static void configure(unsigned sew, unsigned lmul, unsigned vl)
{
    m.c->vtype = sew << 3 | lmul;
    m.c->vl = (uint16_t)vl;
    m.c->vstart = 0;
    m.c->fflags = 0;
}

/* Whether it was legal. */
static bool step(uint32_t word)
{
    static unsigned at;
    gpa_t pc = RV_RAM + 0x1000 + 4 * (at++ % 0x1000);
    rv_poke(&m, pc, word, 4);
    m.c->pc = pc;
    riscv_run_step(m.vcpu->engine_cpu, m.c);
    if (m.c->pc == pc + 4)
        return true;
    assert_int_equal(m.c->pc, RV_RAM + HANDLER);
    assert_int_equal(m.c->mcause, 2);
    m.c->mstatus |= STATUS_ON;
    return false;
}

static void run(const char *name)
{
    if (!step(encoded(name, false)))
        fail_msg("%s is illegal", name);
}

static void run_masked(const char *name)
{
    if (!step(encoded(name, true)))
        fail_msg("%s is illegal", name);
}

static void put(unsigned reg, unsigned eew, unsigned k, uint64_t x)
{
    memcpy(m.c->v + reg * m.c->vlenb + (k << eew), &x, 1U << eew);
}

static uint64_t get(unsigned reg, unsigned eew, unsigned k)
{
    uint64_t x = 0;
    memcpy(&x, m.c->v + reg * m.c->vlenb + (k << eew), 1U << eew);
    return x;
}

static void put_all(unsigned reg, unsigned eew, const uint64_t *x, unsigned n)
{
    for (unsigned k = 0; k < n; k++)
        put(reg, eew, k, x[k]);
}

static void mask(unsigned bits)
{
    put(0, E8, 0, bits);
}

/* x as a number eew wide, not boxed. */
static uint64_t num(unsigned eew, double x)
{
    uint64_t u;
    uint8_t flags = 0;
    memcpy(&u, &x, sizeof(u));
    return fp_convert(FP_D, vec_fp_format(8U << eew), u, RM_RNE, &flags);
}

static void set_f(unsigned eew, uint64_t x)
{
    m.c->f[FS1] = eew == E64 ? x : x | ~0ULL << (8U << eew);
}

static bool is_fp(const struct riscv_row *r)
{
    return strncmp(r->name, "vf", 2) == 0 ? strcmp(r->name, "vfirst.m") != 0 : strncmp(r->name, "vmf", 3) == 0;
}

/* ---- what is illegal ---- */

static bool legal(const struct riscv_row *r, unsigned sew)
{
    configure(sew, M1, 1);
    return step(encoded(r->name, strcmp(r->name, "vfmerge.vfm") == 0));
}

/* Bits of the SEWs that each has, with and without Zvfh: E8 is bit 0. */
static unsigned widths(const char *name, bool half)
{
    bool wide = strncmp(name, "vfw", 3) == 0, narrow = strncmp(name, "vfn", 3) == 0 && strstr(name, ".w");
    unsigned w = wide || narrow ? 4 : 12;
    if (strcmp(name, "vfwcvt.f.f.v") == 0 || strcmp(name, "vfncvt.f.f.w") == 0)
        return 6;
    if (wide && strstr(name, "cvt.f.x"))
        return half ? 7 : 6;
    if (narrow && !strstr(name, "cvt.f.x") && !strstr(name, ".f.f"))
        return half ? 7 : 6;
    return half ? w | 2 : w;
}

static void only_widths_that_there_are(bool half)
{
    unsigned rows = 0;
    for (const struct riscv_row *r = riscv_rows; r < riscv_rows + riscv_nr_rows; r++) {
        if (!is_fp(r))
            continue;
        rows++;
        for (unsigned sew = E8; sew <= E64; sew++)
            if (legal(r, sew) != (widths(r->name, half) >> sew & 1))
                fail_msg("%s with SEW %u is %s", r->name, 8U << sew, widths(r->name, half) >> sew & 1 ? "illegal" : "legal");
    }
    assert_int_equal(rows, 101);
}

static void widths_with_zvfh(void **state)
{
    (void)state;
    only_widths_that_there_are(true);
}

static void widths_with_zvfhmin(void **state)
{
    (void)state;
    only_widths_that_there_are(false);
}

static void reserved_rounding_modes_and_fp_off(void **state)
{
    (void)state;
    for (const struct riscv_row *r = riscv_rows; r < riscv_rows + riscv_nr_rows; r++) {
        if (!is_fp(r))
            continue;
        for (unsigned frm = 0; frm < 8; frm++) {
            m.c->frm = (uint8_t)frm;
            assert_int_equal(legal(r, E32), frm <= RM_RMM);
        }
        m.c->frm = 0;
        m.c->mstatus &= ~MSTATUS_FS;
        assert_false(legal(r, E32));
        m.c->mstatus &= ~MSTATUS_VS;
        assert_false(legal(r, E32));
    }
}

static void reductions_begin_at_zero(void **state)
{
    (void)state;
    configure(E32, M1, 4);
    m.c->vstart = 1;
    assert_false(step(encoded("vfredosum.vs", false)));
    assert_int_equal(m.c->vstart, 1);
    assert_true(step(encoded("vfadd.vv", false)));
    assert_int_equal(m.c->vstart, 0);
}

/* ---- arithmetic ---- */

static const double CORNER[] = { 0.0, -0.0, 1.0, -1.5, 0x1p-14, 0x1.ffcp15, 0x1p-24, 3.0, -0x1p-3, 7e4, 0x1.004p1, 0x1.ffcp0 };
enum { CORNERS = sizeof(CORNER) / sizeof(CORNER[0]), SPECIALS = 3 };

static uint64_t corner(unsigned eew, unsigned n)
{
    enum fp_format format = vec_fp_format(8U << eew);
    uint64_t inf = num(eew, __builtin_inf());
    const uint64_t special[SPECIALS] = { fp_sign_bit(format) | inf, inf | 1 /* signalling */, fp_nan(format) | 6 };
    return n < CORNERS ? num(eew, CORNER[n]) : special[n - CORNERS];
}

static const struct {
    const char *name, *scalar; /* scalar: "" if both forms are there */
    enum fp_op op;
    bool swap;
} BASIC[] = { { "vfadd", "", FP_ADD, false }, { "vfsub", "", FP_SUB, false }, { "vfrsub", "vf", FP_SUB, true },
              { "vfmul", "", FP_MUL, false }, { "vfdiv", "", FP_DIV, false }, { "vfrdiv", "vf", FP_DIV, true } };

/* All pairs of corner values, in all rounding modes and widths, by vectors and with scalars: as the scalar instructions do it. */
static void arithmetic_is_the_scalar_one(void **state)
{
    char name[32];
    (void)state;
    for (unsigned eew = E16; eew <= E64; eew++)
        for (unsigned op = 0; op < sizeof(BASIC) / sizeof(BASIC[0]); op++)
            for (unsigned rm = RM_RNE; rm <= RM_RMM; rm++)
                for (unsigned n = 0; n < CORNERS + SPECIALS; n++) {
                    bool vf = rm & 1 || BASIC[op].scalar[0];
                    uint64_t b = corner(eew, n);
                    uint8_t flags = 0;
                    (void)snprintf(name, sizeof(name), "%s.%s", BASIC[op].name, vf ? "vf" : "vv");
                    configure(eew, M8, CORNERS + SPECIALS);
                    m.c->frm = (uint8_t)rm;
                    set_f(eew, b);
                    for (unsigned k = 0; k < CORNERS + SPECIALS; k++) {
                        put(VS2, eew, k, corner(eew, k));
                        put(VS1, eew, k, b);
                    }
                    run(name);
                    for (unsigned k = 0; k < CORNERS + SPECIALS; k++) {
                        uint64_t a = corner(eew, k);
                        uint64_t want = fp_arith(vec_fp_format(8U << eew), BASIC[op].op, BASIC[op].swap ? b : a,
                                                 BASIC[op].swap ? a : b, 0, (enum riscv_rm)rm, &flags);
                        if (get(VD, eew, k) != want)
                            fail_msg("%s of %#lx, %#lx in mode %u: %#lx, not %#lx", name, a, b, rm, get(VD, eew, k), want);
                    }
                    assert_int_equal(m.c->fflags, flags);
                }
}

/* A scalar that is not boxed is a NaN, quiet. */
static void scalars_are_boxed(void **state)
{
    (void)state;
    configure(E32, M1, 1);
    put(VS2, E32, 0, num(E32, 1));
    m.c->f[FS1] = num(E32, 1);
    run("vfadd.vf");
    assert_int_equal(get(VD, E32, 0), 0x7fc00000);
    assert_int_equal(m.c->fflags, 0);
    m.c->f[FS1] = 0xffffffff00000000 | num(E32, 1);
    run("vfadd.vf");
    assert_int_equal(get(VD, E32, 0), num(E32, 2));
    m.c->f[FS1] = 0xffffffff00000000 | num(E32, 1);
    configure(E16, M1, 1);
    run("vfmv.v.f");
    assert_int_equal(get(VD, E16, 0), 0x7e00);
}

/* Inactive elements, those before vstart and behind vl stay, and raise nothing. */
static void inactive_elements_raise_nothing(void **state)
{
    (void)state;
    for (unsigned masked = 0; masked < 2; masked++) {
        configure(E64, M2, 3);
        for (unsigned k = 0; k < 4; k++) {
            put(VS2, E64, k, num(E64, k == 1 ? 1 : 0));
            put(VS1, E64, k, num(E64, k == 1 ? 2 : 0)); /* 0 / 0 elsewhere */
            put(VD, E64, k, 0xdead0000 + k);
        }
        mask(2);
        if (!masked) {
            m.c->vl = 2;
            m.c->vstart = 1;
        }
        assert_true(step(encoded("vfdiv.vv", masked)));
        assert_int_equal(get(VD, E64, 0), 0xdead0000);
        assert_int_equal(get(VD, E64, 1), num(E64, 0.5));
        assert_int_equal(get(VD, E64, 2), 0xdead0002);
        assert_int_equal(get(VD, E64, 3), 0xdead0003);
        assert_int_equal(m.c->fflags, 0);
    }
    mask(1);
    configure(E64, M2, 3);
    run_masked("vfdiv.vv");
    assert_int_equal(m.c->fflags, FFLAG_NV);
}

static void flags_make_fp_dirty(void **state)
{
    (void)state;
    configure(E32, M1, 1);
    put(VS2, E32, 0, 0x7f800001);
    put(VS1, E32, 0, 0);
    m.c->mstatus = (m.c->mstatus & ~(MSTATUS_FS | MSTATUS_VS)) | 0x2200; /* initial */
    run("vfadd.vv");
    assert_int_equal(m.c->fflags, FFLAG_NV);
    assert_int_equal(m.c->mstatus & (MSTATUS_FS | MSTATUS_VS), MSTATUS_FS | MSTATUS_VS);
}

/* Products of two widened numbers are exact, sums have one rounding. */
static void widening_operations(void **state)
{
    (void)state;
    const uint64_t a[] = { num(E32, 0x1.000002p0), num(E32, 3), 0x7f800001, num(E32, 0x1p-149) };
    const uint64_t b[] = { num(E32, 0x1.000002p0), num(E32, -2), num(E32, 1), num(E32, 0x1p-149) };
    configure(E32, M1, 4);
    put_all(VS2, E32, a, 4);
    put_all(VS1, E32, b, 4);
    run("vfwmul.vv");
    assert_int_equal(get(VD, E64, 0), num(E64, 0x1.000004000004p0));
    assert_int_equal(get(VD, E64, 1), num(E64, -6));
    assert_int_equal(get(VD, E64, 2), fp_nan(FP_D));
    assert_int_equal(get(VD, E64, 3), num(E64, 0x1p-298));
    assert_int_equal(m.c->fflags, FFLAG_NV);
    for (unsigned k = 0; k < 4; k++)
        put(VD, E64, k, num(E64, 10));
    run("vfwnmsac.vv"); /* -(a * b) + d */
    assert_int_equal(get(VD, E64, 1), num(E64, 16));
    const uint64_t wide[] = { num(E64, 0x1p53), num(E64, 5) };
    put_all(VS2, E64, wide, 2);
    put(VS1, E32, 0, num(E32, 1));
    configure(E32, M1, 2);
    m.c->frm = RM_RUP;
    run("vfwadd.wv");
    assert_int_equal(get(VD, E64, 0), num(E64, 0x1.0000000000001p53));
    assert_int_equal(get(VD, E64, 1), num(E64, 3));
    assert_int_equal(m.c->fflags, FFLAG_NX);
    set_f(E32, num(E32, 2));
    run("vfwsub.wf");
    assert_int_equal(get(VD, E64, 1), num(E64, 3));
}

static void comparisons_write_bits(void **state)
{
    (void)state;
    const uint64_t a[] = { num(E16, 1), num(E16, 2), num(E16, 3), fp_nan(FP_H), num(E16, -0.0), num(E16, 9) };
    configure(E16, M1, 5);
    put_all(VS2, E16, a, 6);
    set_f(E16, num(E16, 2));
    put(VD, E8, 0, 0xff);
    run("vmfge.vf");
    assert_int_equal(get(VD, E8, 0), 0xe6); /* 1 and 2; 5 and up stay */
    assert_int_equal(m.c->fflags, FFLAG_NV);
    configure(E16, M1, 5);
    run("vmfne.vf");
    assert_int_equal(get(VD, E8, 0), 0xfd);
    assert_int_equal(m.c->fflags, 0);
    mask(0x11);
    put(VD, E8, 0, 0);
    run_masked("vmfle.vf");
    assert_int_equal(get(VD, E8, 0), 0x11);
}

/* ---- conversions ---- */

static void conversions_between_widths(void **state)
{
    (void)state;
    const uint64_t halves[] = { num(E16, 1.5), num(E16, -2.5), num(E16, 300), 0x7c01 };
    configure(E16, M1, 4);
    put_all(VS2, E16, halves, 4);
    run("vfwcvt.f.f.v");
    assert_int_equal(get(VD, E32, 1), num(E32, -2.5));
    assert_int_equal(get(VD, E32, 3), fp_nan(FP_S));
    run("vfwcvt.x.f.v");
    assert_int_equal(get(VD, E32, 0), 2);
    assert_int_equal(get(VD, E32, 1), (uint32_t)-2);
    run("vfwcvt.rtz.x.f.v");
    assert_int_equal(get(VD, E32, 0), 1);
    configure(E8, MF2, 4);
    run("vfncvt.xu.f.w");
    assert_int_equal(get(VD, E32, 0), 0xffff0002); /* 2, 0, 255, 255 */
    assert_int_equal(m.c->fflags, FFLAG_NV | FFLAG_NX);
    put(VS2, E32, 0, 0x80ff7f01);
    run("vfwcvt.f.x.v");
    assert_int_equal(get(VD, E16, 0), num(E16, 1));
    assert_int_equal(get(VD, E16, 2), num(E16, -1));
    assert_int_equal(get(VD, E16, 3), num(E16, -128));
    configure(E32, M1, 1);
    put(VS2, E64, 0, 0x3ff0000000000001);
    run("vfncvt.rod.f.f.w");
    assert_int_equal(get(VD, E32, 0), 0x3f800001);
    run("vfncvt.f.f.w");
    assert_int_equal(get(VD, E32, 0), 0x3f800000);
    put(VS2, E64, 0, (1ULL << 24) + 1);
    m.c->frm = RM_RMM;
    run("vfncvt.f.xu.w");
    assert_int_equal(get(VD, E32, 0), num(E32, (1 << 24) + 2));
}

/* vfcvt.rtz.* is vfcvt.* in that mode. */
static void towards_zero_is_the_mode(void **state)
{
    static const char *const names[][2] = { { "vfcvt.rtz.x.f.v", "vfcvt.x.f.v" },   { "vfcvt.rtz.xu.f.v", "vfcvt.xu.f.v" },
                                            { "vfwcvt.rtz.x.f.v", "vfwcvt.x.f.v" }, { "vfwcvt.rtz.xu.f.v", "vfwcvt.xu.f.v" },
                                            { "vfncvt.rtz.x.f.w", "vfncvt.x.f.w" }, { "vfncvt.rtz.xu.f.w", "vfncvt.xu.f.w" } };
    (void)state;
    for (unsigned n = 0; n < 6; n++)
        for (unsigned k = 0; k < CORNERS + SPECIALS; k++) {
            bool narrow = n >= 4;
            uint64_t got[2];
            uint8_t flags[2];
            for (unsigned way = 0; way < 2; way++) {
                configure(narrow ? E8 : E16, M1, 1);
                put(VS2, E16, 0, corner(E16, k));
                put(VD, E64, 0, 0);
                m.c->frm = way ? RM_RTZ : RM_RUP;
                run(names[n][way]);
                got[way] = get(VD, E64, 0);
                flags[way] = m.c->fflags;
            }
            assert_int_equal(got[0], got[1]);
            assert_int_equal(flags[0], flags[1]);
        }
}

/* ---- reductions ---- */

static void sums_are_ordered(void **state)
{
    (void)state;
    const uint64_t a[] = { num(E32, 0x1p30), num(E32, 1), num(E32, -0x1p30), num(E32, 1) };
    configure(E32, M1, 4);
    put_all(VS2, E32, a, 4);
    put(VS1, E32, 0, num(E32, 0));
    run("vfredosum.vs");
    assert_int_equal(get(VD, E32, 0), num(E32, 1));
    assert_int_equal(m.c->fflags, FFLAG_NX);
    put(VD, E64, 0, 0);
    put(VS1, E64, 0, num(E64, 0.5));
    configure(E32, M1, 4);
    run("vfwredosum.vs");
    assert_int_equal(get(VD, E64, 0), num(E64, 2.5));
    assert_int_equal(m.c->fflags, 0);
    mask(0xa);
    put(VS1, E32, 0, num(E32, 3));
    put(VD, E32, 1, 0x1234);
    run_masked("vfredusum.vs");
    assert_int_equal(get(VD, E32, 0), num(E32, 5));
    assert_int_equal(get(VD, E32, 1), 0x1234);
    run("vfredmax.vs");
    assert_int_equal(get(VD, E32, 0), num(E32, 0x1p30));
    run("vfredmin.vs");
    assert_int_equal(get(VD, E32, 0), num(E32, -0x1p30));
}

/* Without active elements the scalar is copied as it is; without any, nothing is. */
static void empty_sums(void **state)
{
    static const char *const names[] = { "vfredosum.vs", "vfredusum.vs", "vfredmin.vs", "vfredmax.vs" };
    (void)state;
    for (unsigned n = 0; n < 4; n++) {
        configure(E32, M1, 4);
        put(VS1, E32, 0, 0xff800001);
        mask(0);
        run_masked(names[n]);
        assert_int_equal(get(VD, E32, 0), 0xff800001);
        assert_int_equal(m.c->fflags, 0);
        configure(E32, M1, 0);
        put(VD, E32, 0, 77);
        run(names[n]);
        assert_int_equal(get(VD, E32, 0), 77);
    }
}

/* ---- moves ---- */

static void merges_and_moves(void **state)
{
    (void)state;
    const uint64_t a[] = { 1, 2, 3, 4 };
    configure(E32, M1, 3);
    put_all(VS2, E32, a, 4);
    put_all(VD, E32, a, 4);
    set_f(E32, 0x7f800001);
    mask(0xa);
    run_masked("vfmerge.vfm");
    assert_int_equal(get(VD, E32, 0), 1);
    assert_int_equal(get(VD, E32, 1), 0x7f800001);
    assert_int_equal(get(VD, E32, 2), 3);
    assert_int_equal(get(VD, E32, 3), 4);
    run("vfmv.s.f");
    assert_int_equal(get(VD, E32, 0), 0x7f800001);
    assert_int_equal(get(VD, E32, 2), 3);
    configure(E32, M8, 0);
    put(VD, E32, 0, 5);
    run("vfmv.s.f"); /* no element, no move */
    assert_int_equal(get(VD, E32, 0), 5);
    run("vfmv.f.s"); /* whatever vl is */
    assert_int_equal(m.c->f[FS1], 0xffffffff00000001);
    configure(E16, M1, 1);
    put(VS2, E16, 0, 0x8123);
    run("vfmv.f.s");
    assert_int_equal(m.c->f[FS1], 0xffffffffffff8123);
    assert_int_equal(m.c->fflags, 0);
}

static void slides(void **state)
{
    (void)state;
    const uint64_t a[] = { 10, 11, 12, 13 };
    configure(E16, M1, 3);
    put_all(VS2, E16, a, 4);
    put_all(VD, E16, a, 4);
    set_f(E16, 99);
    run("vfslide1up.vf");
    assert_int_equal(get(VD, E64, 0), 0x000d000b000a0063);
    run("vfslide1down.vf");
    assert_int_equal(get(VD, E64, 0), 0x000d0063000c000b);
    uint32_t word = encoded("vfslide1up.vf", false);
    assert_false(step((word & ~(31U << 7)) | VS2 << 7)); /* up not onto itself */
    assert_true(step((encoded("vfslide1down.vf", false) & ~(31U << 7)) | VS2 << 7));
    assert_int_equal(get(VS2, E64, 0), 0x000d0063000c000b);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(widths_with_zvfh),
        cmocka_unit_test_setup_teardown(widths_with_zvfhmin, set_up_min, tear_down),
        TEST(reserved_rounding_modes_and_fp_off),
        TEST(reductions_begin_at_zero),
        TEST(arithmetic_is_the_scalar_one),
        TEST(scalars_are_boxed),
        TEST(inactive_elements_raise_nothing),
        TEST(flags_make_fp_dirty),
        TEST(widening_operations),
        TEST(comparisons_write_bits),
        TEST(conversions_between_widths),
        TEST(towards_zero_is_the_mode),
        TEST(sums_are_ordered),
        TEST(empty_sums),
        TEST(merges_and_moves),
        TEST(slides),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
