/* SPDX-License-Identifier: MIT */
/*
 * Elements of floating-point vector instructions: estimates, rounding to odd, integers of all sizes, operand orders; and that
 * many elements at once are the same as one after the other.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "isa/riscv/vec_fp.h"

enum { NO_FLAG = 0, INEXACT_OVERFLOW = FFLAG_OF | FFLAG_NX };
static const uint8_t ALL_SIZES[] = { 16, 32, 64 };
#define EACH_SIZE(bits) (const uint8_t *bits = ALL_SIZES; bits < ALL_SIZES + 3; bits++)
#define EACH_MODE(rm) (unsigned rm = RM_RNE; rm <= RM_RMM; rm++)

/* Values of a format by what they are. */
static uint64_t infinity(unsigned bits)
{
    return bits == 64 ? 0x7ff0000000000000 : bits == 32 ? 0x7f800000 : 0x7c00;
}

static unsigned fraction_bits(unsigned bits)
{
    return bits == 64 ? 52 : bits == 32 ? 23 : 10;
}

static uint64_t sign(unsigned bits)
{
    return 1ULL << (bits - 1);
}

static uint64_t quiet_nan(unsigned bits)
{
    return fp_nan(vec_fp_format(bits));
}

static uint64_t signalling_nan(unsigned bits)
{
    return infinity(bits) | 1;
}

static double number(unsigned bits, uint64_t a)
{
    uint8_t flags = 0;
    uint64_t u = fp_convert(vec_fp_format(bits), FP_D, a, RM_RNE, &flags);
    double d;
    memcpy(&d, &u, sizeof(d));
    return d;
}

static void expect_from(unsigned from, unsigned to, unsigned rm, vec_fp_fn fn, uint64_t a, uint64_t b, uint64_t want,
                        uint8_t flags)
{
    struct vec_fp v = { .from = (uint8_t)from, .to = (uint8_t)to, .rm = (enum riscv_rm)rm };
    uint64_t got = fn(&v, a, b, 0);
    if (got != want || v.flags != flags)
        fail_msg("%u to %u bits, mode %u: of %#lx, %#lx: %#lx flags %#x, not %#lx flags %#x", from, to, rm, a, b, got, v.flags,
                 want, flags);
}

static void expect(unsigned bits, unsigned rm, vec_fp_fn fn, uint64_t a, uint64_t b, uint64_t want, uint8_t flags)
{
    expect_from(bits, bits, rm, fn, a, b, want, flags);
}

/* ---- estimates ---- */

static uint64_t estimate(unsigned bits, vec_fp_fn fn, uint64_t a)
{
    struct vec_fp v = { .from = (uint8_t)bits, .to = (uint8_t)bits };
    uint64_t r = fn(&v, a, 0, 0);
    assert_int_equal(v.flags, 0);
    return r;
}

static bool near_one(double x, double below, double above)
{
    return x > below && x < above;
}

/* Every number of binary16 whose estimate is normal. */
static void estimates_have_seven_bits(void **state)
{
    const double below = 1 - 0x1p-7, above = 1 + 0x1p-7;
    (void)state;
    for (uint64_t a = 1; a < 0x7c00; a++) {
        double x = number(16, a);
        if (x > 0x1p-15 && x <= 0x1p14) {
            assert_true(near_one(number(16, estimate(16, vec_fp_rec7, a)) * x, below, above));
            assert_true(near_one(number(16, estimate(16, vec_fp_rec7, a | 0x8000)) * -x, below, above));
        }
        double y = number(16, estimate(16, vec_fp_rsqrt7, a));
        assert_true(near_one(y * y * x, below * below, above * above));
    }
}

/* Entries of the specification's tables 16 and 17: index, output. */
static void estimates_are_the_tables(void **state)
{
    static const uint8_t rec[][2] = { { 0, 127 }, { 1, 125 }, { 6, 116 },  { 63, 43 },
                                      { 66, 40 }, { 67, 40 }, { 109, 10 }, { 127, 0 } };
    static const uint8_t root[][2] = { { 0, 52 }, { 3, 48 },   { 19, 30 },  { 20, 30 },
                                       { 63, 0 }, { 64, 127 }, { 69, 118 }, { 127, 53 } };
    (void)state;
    for
        EACH_SIZE(bits)
        {
            unsigned f = fraction_bits(*bits);
            uint64_t one = (infinity(*bits) >> 1 & infinity(*bits)), implicit = 1ULL << f;
            for (unsigned k = 0; k < 8; k++) {
                uint64_t low = (1ULL << (f - 7)) - 1; /* the bits below seven do not matter */
                uint64_t want = one - implicit + ((uint64_t)rec[k][1] << (f - 7));
                assert_int_equal(estimate(*bits, vec_fp_rec7, one + ((uint64_t)rec[k][0] << (f - 7))), want);
                assert_int_equal(estimate(*bits, vec_fp_rec7, (one + ((uint64_t)rec[k][0] << (f - 7))) | low), want);
                uint64_t in = one + (root[k][0] < 64 ? implicit : 0) + ((uint64_t)(root[k][0] & 63) << (f - 6));
                assert_int_equal(estimate(*bits, vec_fp_rsqrt7, in | low), one - implicit + ((uint64_t)root[k][1] << (f - 7)));
            }
        }
}

static void estimates_of_what_is_not_finite(void **state)
{
    (void)state;
    for
        EACH_SIZE(bits)
        for
            EACH_MODE(rm)
            {
                uint64_t inf = infinity(*bits), minus = sign(*bits), nan = quiet_nan(*bits);
                expect(*bits, rm, vec_fp_rec7, 0, 0, inf, FFLAG_DZ);
                expect(*bits, rm, vec_fp_rec7, minus, 0, inf | minus, FFLAG_DZ);
                expect(*bits, rm, vec_fp_rec7, inf, 0, 0, NO_FLAG);
                expect(*bits, rm, vec_fp_rec7, inf | minus, 0, minus, NO_FLAG);
                expect(*bits, rm, vec_fp_rec7, nan | minus | 5, 0, nan, NO_FLAG);
                expect(*bits, rm, vec_fp_rec7, signalling_nan(*bits), 0, nan, FFLAG_NV);
                expect(*bits, rm, vec_fp_rsqrt7, 0, 0, inf, FFLAG_DZ);
                expect(*bits, rm, vec_fp_rsqrt7, minus, 0, inf | minus, FFLAG_DZ);
                expect(*bits, rm, vec_fp_rsqrt7, inf, 0, 0, NO_FLAG);
                expect(*bits, rm, vec_fp_rsqrt7, inf | minus, 0, nan, FFLAG_NV);
                expect(*bits, rm, vec_fp_rsqrt7, minus | 1, 0, nan, FFLAG_NV);
                expect(*bits, rm, vec_fp_rsqrt7, nan | minus, 0, nan, NO_FLAG);
                expect(*bits, rm, vec_fp_rsqrt7, signalling_nan(*bits) | minus, 0, nan, FFLAG_NV);
            }
}

/* Below 2^-(bias + 1) the reciprocal is too large; the mode says whether it is infinity. */
static void reciprocals_too_large(void **state)
{
    (void)state;
    for
        EACH_SIZE(bits)
        for
            EACH_MODE(rm)
            {
                uint64_t inf = infinity(*bits), minus = sign(*bits), quarter = 1ULL << (fraction_bits(*bits) - 2);
                uint64_t up = inf - (rm == RM_RTZ || rm == RM_RDN), down = inf - (rm == RM_RTZ || rm == RM_RUP);
                expect(*bits, rm, vec_fp_rec7, 1, 0, up, INEXACT_OVERFLOW);
                expect(*bits, rm, vec_fp_rec7, quarter - 1, 0, up, INEXACT_OVERFLOW);
                expect(*bits, rm, vec_fp_rec7, minus | 1, 0, minus | down, INEXACT_OVERFLOW);
                uint64_t largest = inf - 1 - ((1ULL << (fraction_bits(*bits) - 7)) - 1);
                expect(*bits, rm, vec_fp_rec7, quarter, 0, largest, NO_FLAG);
            }
}

/* The largest inputs give subnormal numbers, without a flag. */
static void reciprocals_that_are_subnormal(void **state)
{
    (void)state;
    for
        EACH_SIZE(bits)
        {
            unsigned f = fraction_bits(*bits);
            uint64_t exponent = infinity(*bits) - (1ULL << f); /* 2^bias */
            assert_int_equal(estimate(*bits, vec_fp_rec7, exponent), 255ULL << (f - 7) >> 2);
            assert_int_equal(estimate(*bits, vec_fp_rec7, infinity(*bits) - 1), 128ULL << (f - 7) >> 2);
            assert_int_equal(estimate(*bits, vec_fp_rec7, exponent - (1ULL << f)), 255ULL << (f - 7) >> 1);
            assert_int_equal(estimate(*bits, vec_fp_rec7, exponent - (2ULL << f)), (1ULL << f) | 127ULL << (f - 7));
        }
}

/* ---- conversions ---- */

static void rounding_to_odd(void **state)
{
    static const struct {
        uint64_t a;
        uint32_t want;
        uint8_t flags;
    } s[] = {
        { 0x3ff0000000000000, 0x3f800000, 0 },
        { 0x3ff0000000000001, 0x3f800001, FFLAG_NX },
        { 0x3ff000001fffffff, 0x3f800001, FFLAG_NX },
        { 0x3ff0000020000000, 0x3f800001, 0 },
        { 0x3ff0000020000001, 0x3f800001, FFLAG_NX },
        { 0xbff000003fffffff, 0xbf800001, FFLAG_NX },
        { 0x7fefffffffffffff, 0x7f7fffff, INEXACT_OVERFLOW },
        { 0xffe0000000000000, 0xff7fffff, INEXACT_OVERFLOW },
        { 0x7ff0000000000000, 0x7f800000, 0 },
        { 0x7ff0000000000001, 0x7fc00000, FFLAG_NV },
        { 0xfff8000000000001, 0x7fc00000, 0 },
        { 0x0000000000000001, 0x00000001, FFLAG_NX | FFLAG_UF },
        { 0x8000000000000000, 0x80000000, 0 },
        { 0x380fffffffffffff, 0x007fffff, FFLAG_NX | FFLAG_UF },
        { 0x3810000000000001, 0x00800001, FFLAG_NX },
    };
    (void)state;
    for (unsigned k = 0; k < sizeof(s) / sizeof(s[0]); k++)
        for
            EACH_MODE(rm)
    expect_from(64, 32, rm, vec_fp_cvt_rod_f_f, s[k].a, 0, s[k].want, s[k].flags);
}

/* Rounded to odd first, a second rounding is as good as one. */
static void rounding_to_odd_is_harmless(void **state)
{
    (void)state;
    uint64_t a = 0x3f00000000000001;
    for (unsigned n = 0; n < 200000; n++) {
        a = a * 6364136223846793005 + 1442695040888963407;
        uint64_t x = (a >> 4 & 0x000fffffffffffff) | (uint64_t)(1023 - 30 + n % 50) << 52 | (a & sign(64));
        for
            EACH_MODE(rm)
            {
                struct vec_fp odd = { .from = 64, .to = 32, .rm = (enum riscv_rm)rm };
                uint64_t between = vec_fp_cvt_rod_f_f(&odd, x, 0, 0);
                uint8_t flags = 0, unused = 0;
                uint64_t want = fp_convert(FP_D, FP_H, x, (enum riscv_rm)rm, &flags);
                assert_int_equal(fp_convert(FP_S, FP_H, between, (enum riscv_rm)rm, &unused), want);
            }
    }
}

static void integers_saturate(void **state)
{
    (void)state;
    /* binary16 to 8 bits: 127, 127.5, 128, -128, -129, 255, 255.5, 256, -0.5, infinities, NaN */
    expect_from(16, 8, RM_RNE, vec_fp_cvt_x_f, 0x57f0, 0, 0x7f, NO_FLAG);
    expect_from(16, 8, RM_RNE, vec_fp_cvt_x_f, 0x57f8, 0, 0x7f, FFLAG_NV);
    expect_from(16, 8, RM_RTZ, vec_fp_cvt_x_f, 0x57f8, 0, 0x7f, FFLAG_NX);
    expect_from(16, 8, RM_RNE, vec_fp_cvt_rtz_x_f, 0x57f8, 0, 0x7f, FFLAG_NX);
    expect_from(16, 8, RM_RNE, vec_fp_cvt_x_f, 0x5800, 0, 0x7f, FFLAG_NV);
    expect_from(16, 8, RM_RNE, vec_fp_cvt_x_f, 0xd800, 0, 0x80, NO_FLAG);
    expect_from(16, 8, RM_RNE, vec_fp_cvt_x_f, 0xd808, 0, 0x80, FFLAG_NV);
    expect_from(16, 8, RM_RNE, vec_fp_cvt_xu_f, 0x5bf8, 0, 0xff, NO_FLAG);
    expect_from(16, 8, RM_RDN, vec_fp_cvt_xu_f, 0x5bfc, 0, 0xff, FFLAG_NX);
    expect_from(16, 8, RM_RMM, vec_fp_cvt_xu_f, 0x5bfc, 0, 0xff, FFLAG_NV);
    expect_from(16, 8, RM_RUP, vec_fp_cvt_xu_f, 0xb800, 0, 0, FFLAG_NX);
    expect_from(16, 8, RM_RDN, vec_fp_cvt_xu_f, 0xb800, 0, 0, FFLAG_NV);
    expect_from(16, 8, RM_RDN, vec_fp_cvt_rtz_xu_f, 0xb800, 0, 0, FFLAG_NX);
    expect_from(16, 8, RM_RNE, vec_fp_cvt_xu_f, 0xfc00, 0, 0, FFLAG_NV);
    expect_from(16, 8, RM_RNE, vec_fp_cvt_xu_f, 0xfe00, 0, 0xff, FFLAG_NV);
    expect_from(16, 16, RM_RNE, vec_fp_cvt_x_f, 0x7bff, 0, 0x7fff, FFLAG_NV);
    expect_from(16, 16, RM_RNE, vec_fp_cvt_xu_f, 0x7bff, 0, 0xffe0, NO_FLAG);
    expect_from(32, 16, RM_RNE, vec_fp_cvt_x_f, 0xc7000000, 0, 0x8000, NO_FLAG);
    expect_from(32, 16, RM_RNE, vec_fp_cvt_x_f, 0xc7000200, 0, 0x8000, FFLAG_NV);
    expect_from(64, 32, RM_RUP, vec_fp_cvt_x_f, 0x41dfffffffc00001, 0, 0x7fffffff, FFLAG_NV);
    expect_from(64, 32, RM_RNE, vec_fp_cvt_xu_f, 0x41efffffffe00000, 0, 0xffffffff, NO_FLAG);
    expect_from(64, 64, RM_RNE, vec_fp_cvt_x_f, 0x43e0000000000000, 0, INT64_MAX, FFLAG_NV);
    expect_from(64, 64, RM_RNE, vec_fp_cvt_xu_f, 0x43e0000000000000, 0, 1ULL << 63, NO_FLAG);
    expect_from(32, 64, RM_RNE, vec_fp_cvt_x_f, 0xbf800000, 0, ~0ULL, NO_FLAG);
    expect_from(16, 32, RM_RNE, vec_fp_cvt_x_f, 0xbc00, 0, 0xffffffff, NO_FLAG);
}

static void integers_become_numbers(void **state)
{
    (void)state;
    expect_from(8, 16, RM_RNE, vec_fp_cvt_f_x, 0x80, 0, 0xd800, NO_FLAG);
    expect_from(8, 16, RM_RNE, vec_fp_cvt_f_xu, 0x80, 0, 0x5800, NO_FLAG);
    expect_from(16, 16, RM_RNE, vec_fp_cvt_f_xu, 0xffff, 0, 0x7c00, INEXACT_OVERFLOW);
    expect_from(16, 16, RM_RDN, vec_fp_cvt_f_xu, 0xffff, 0, 0x7bff, FFLAG_NX);
    expect_from(16, 16, RM_RNE, vec_fp_cvt_f_x, 0xffff, 0, 0xbc00, NO_FLAG);
    expect_from(32, 16, RM_RUP, vec_fp_cvt_f_x, 0x80000000, 0, 0xfbff, INEXACT_OVERFLOW);
    expect_from(64, 32, RM_RNE, vec_fp_cvt_f_x, 1ULL << 63, 0, 0xdf000000, NO_FLAG);
    expect_from(64, 64, RM_RMM, vec_fp_cvt_f_xu, (1ULL << 53) + 1, 0, 0x4340000000000001, FFLAG_NX);
    expect_from(64, 64, RM_RNE, vec_fp_cvt_f_xu, (1ULL << 53) + 1, 0, 0x4340000000000000, FFLAG_NX);
}

/* ---- operand orders: 2, 3 and 5 in binary32 ---- */

static void operands_stand_where_they_should(void **state)
{
    static const struct {
        vec_fp_fn fn;
        float want;
    } s[] = {
        { vec_fp_add, 5 },    { vec_fp_sub, -1 },    { vec_fp_rsub, 1 },    { vec_fp_mul, 6 },     { vec_fp_div, 2.0F / 3 },
        { vec_fp_rdiv, 1.5 }, { vec_fp_macc, 11 },   { vec_fp_nmacc, -11 }, { vec_fp_msac, 1 },    { vec_fp_nmsac, -1 },
        { vec_fp_madd, 17 },  { vec_fp_nmadd, -17 }, { vec_fp_msub, 13 },   { vec_fp_nmsub, -13 }, { vec_fp_min, 2 },
        { vec_fp_max, 3 },    { vec_fp_sgnj, 2 },    { vec_fp_sgnjn, -2 },  { vec_fp_sgnjx, 2 },
    };
    (void)state;
    for (unsigned k = 0; k < sizeof(s) / sizeof(s[0]); k++) {
        struct vec_fp v = { .from = 32, .to = 32 };
        uint32_t got = (uint32_t)s[k].fn(&v, 0x40000000, 0x40400000, 0x40a00000), want;
        memcpy(&want, &s[k].want, sizeof(want));
        if (got != want)
            fail_msg("function %u: %#x, not %#x", k, got, want);
    }
}

static void comparisons(void **state)
{
    (void)state;
    for
        EACH_SIZE(bits)
        {
            uint64_t inf = infinity(*bits), nan = quiet_nan(*bits), loud = signalling_nan(*bits), minus = sign(*bits);
            expect(*bits, RM_RNE, vec_fp_eq, 0, minus, 1, NO_FLAG);
            expect(*bits, RM_RNE, vec_fp_ne, 0, minus, 0, NO_FLAG);
            expect(*bits, RM_RNE, vec_fp_ne, nan, nan, 1, NO_FLAG);
            expect(*bits, RM_RNE, vec_fp_ne, 1, loud, 1, FFLAG_NV);
            expect(*bits, RM_RNE, vec_fp_eq, nan, 1, 0, NO_FLAG);
            expect(*bits, RM_RNE, vec_fp_lt, inf | minus, inf, 1, NO_FLAG);
            expect(*bits, RM_RNE, vec_fp_gt, inf | minus, inf, 0, NO_FLAG);
            expect(*bits, RM_RNE, vec_fp_gt, 2, 1, 1, NO_FLAG);
            expect(*bits, RM_RNE, vec_fp_ge, 1, 1, 1, NO_FLAG);
            expect(*bits, RM_RNE, vec_fp_ge, 1, 2, 0, NO_FLAG);
            expect(*bits, RM_RNE, vec_fp_le, 1, nan, 0, FFLAG_NV);
            expect(*bits, RM_RNE, vec_fp_ge, nan, 1, 0, FFLAG_NV);
            expect(*bits, RM_RNE, vec_fp_min, minus, 0, minus, NO_FLAG);
            expect(*bits, RM_RNE, vec_fp_max, minus, 0, 0, NO_FLAG);
            expect(*bits, RM_RNE, vec_fp_max, loud, 5, 5, FFLAG_NV);
            expect(*bits, RM_RNE, vec_fp_min, nan, nan | minus, nan, NO_FLAG);
            expect(*bits, RM_RNE, vec_fp_sgnj, loud, minus, loud | minus, NO_FLAG);
        }
}

/* ---- many at once ---- */

static uint64_t rnd(void)
{
    static uint64_t seed = 0x2545f4914f6cdd1d;
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

/* Near 1, subnormal, or anything (of which a few are NaNs). */
static uint64_t value(unsigned bits)
{
    unsigned f = fraction_bits(bits);
    uint64_t low = bits == 64 ? rnd() : rnd() & 0xffffffff, bias = infinity(bits) >> 1 & infinity(bits);
    switch (rnd() % 16) {
    case 0: return low;
    case 1: return low & ((1ULL << f) - 1);
    case 2: return (low & sign(bits)) | (rnd() % 2 ? infinity(bits) - 1 : 0);
    default: return bias + (low & ((4ULL << f) - 1));
    }
}

static void many_are_one_after_the_other(void **state)
{
    static const vec_fp_fn fns[] = { vec_fp_add,   vec_fp_sub,  vec_fp_rsub,  vec_fp_mul,   vec_fp_div,
                                     vec_fp_rdiv,  vec_fp_sqrt, vec_fp_macc,  vec_fp_nmacc, vec_fp_msac,
                                     vec_fp_nmsac, vec_fp_madd, vec_fp_nmadd, vec_fp_msub,  vec_fp_nmsub };
    unsigned done = 0, refused = 0;
    (void)state;
    for (unsigned n = 0; n < 30000; n++) {
        uint64_t x[3][8] = { 0 }, want[8] = { 0 }, got[8];
        uint8_t active[16];
        unsigned bits = n & 1 ? 32 : 64, size = bits / 8, nr = 1 + (unsigned)(rnd() % (sizeof(want) / size));
        bool masked = rnd() & 1;
        vec_fp_fn fn = fns[rnd() % (sizeof(fns) / sizeof(fns[0]))];
        struct vec_fp one = { .from = (uint8_t)bits, .to = (uint8_t)bits, .rm = (enum riscv_rm)(rnd() % 5) }, many = one;
        for (unsigned k = 0; k < nr; k++) {
            active[k] = !masked || rnd() & 1;
            for (unsigned p = 0; p < 3; p++) {
                uint64_t v = value(bits);
                memcpy((char *)x[p] + k * size, &v, size);
            }
            uint64_t a = 0, b = 0, d = 0;
            memcpy(&a, (char *)x[0] + k * size, size);
            memcpy(&b, (char *)x[1] + k * size, size);
            memcpy(&d, (char *)x[2] + k * size, size);
            uint64_t r = active[k] ? fn(&one, a, b, d) : 0;
            memcpy((char *)want + k * size, &r, size);
        }
        memcpy(got, x[2], sizeof(got));
        if (!vec_fp_many(&many, fn, got, x[0], x[1], got, masked ? active : NULL, nr * size)) {
            assert_memory_equal(got, x[2], sizeof(got));
            assert_int_equal(many.flags, 0);
            refused++;
            continue;
        }
        for (unsigned k = 0; k < nr; k++)
            if (active[k])
                assert_memory_equal((char *)got + k * size, (char *)want + k * size, size);
        assert_memory_equal((char *)got + nr * size, (char *)x[2] + nr * size, sizeof(got) - nr * size);
        assert_int_equal(many.flags, one.flags);
        done++;
    }
    assert_true(done > 5000 && refused > 1000);
}

/* Mostly small enough for any integer, never a NaN. */
static uint64_t tame(unsigned bits)
{
    unsigned f = fraction_bits(bits);
    uint64_t low = bits == 64 ? rnd() : rnd() & ((1ULL << bits) - 1), bias = infinity(bits) >> 1 & infinity(bits);
    switch (rnd() % 32) {
    case 0: return low & sign(bits);
    case 1: return infinity(bits) | (low & sign(bits));
    case 2: return low & ((1ULL << f) - 1);
    default: return bias + (rnd() % 16 << f) - (4ULL << f) + (low & ((1ULL << f) - 1)) + (rnd() % 4 ? 0 : sign(bits));
    }
}

static uint64_t element(const void *v, unsigned bits, unsigned k)
{
    uint64_t x = 0;
    memcpy(&x, (const char *)v + k * bits / 8, bits / 8);
    return x;
}

static void put_element(void *v, unsigned bits, unsigned k, uint64_t x)
{
    memcpy((char *)v + k * bits / 8, &x, bits / 8);
}

static void plain_is_one_after_the_other(void **state)
{
    static const vec_fp_fn fns[] = { vec_fp_min, vec_fp_max, vec_fp_sgnj, vec_fp_sgnjn, vec_fp_sgnjx, vec_fp_eq,
                                     vec_fp_ne,  vec_fp_lt,  vec_fp_le,   vec_fp_gt,    vec_fp_ge };
    unsigned refused = 0;
    (void)state;
    for (unsigned n = 0; n < 30000; n++) {
        uint64_t a[4] = { 0 }, b[4] = { 0 }, got[4];
        unsigned bits = ALL_SIZES[rnd() % 3], which = (unsigned)(rnd() % 11), nr = 1 + (unsigned)(rnd() % (256 / bits));
        struct vec_fp v = { .from = (uint8_t)bits, .to = (uint8_t)bits }, one = v;
        bool nan = rnd() % 8 == 0;
        for (unsigned k = 0; k < nr; k++) {
            put_element(a, bits, k, tame(bits));
            put_element(b, bits, k, rnd() % 4 ? tame(bits) : element(a, bits, k) ^ (rnd() & sign(bits)));
        }
        if (nan)
            put_element(rnd() & 1 ? a : b, bits, (unsigned)(rnd() % nr), quiet_nan(bits) | (rnd() & sign(bits)));
        bool done = vec_fp_plain(&v, fns[which], got, a, b, nr);
        assert_int_equal(done, !nan || (which >= 2 && which <= 4));
        refused += !done;
        for (unsigned k = 0; done && k < nr; k++)
            assert_int_equal(element(got, which >= 5 ? 8 : bits, k),
                             fns[which](&one, element(a, bits, k), element(b, bits, k), 0));
        assert_int_equal(v.flags, 0);
    }
    assert_true(refused > 1000);
}

static void many_conversions_are_one_after_the_other(void **state)
{
    static const vec_fp_fn fns[] = { vec_fp_cvt_xu_f, vec_fp_cvt_x_f, vec_fp_cvt_rtz_xu_f, vec_fp_cvt_rtz_x_f,
                                     vec_fp_cvt_f_xu, vec_fp_cvt_f_x, vec_fp_cvt_f_f,      vec_fp_cvt_rod_f_f };
    unsigned done[8] = { 0 }, refused = 0;
    (void)state;
    for (unsigned n = 0; n < 60000; n++) {
        uint64_t a[4] = { 0 }, got[4];
        unsigned which = (unsigned)(rnd() % 8), from = 16U << rnd() % 3, to = rnd() & 1 ? from : rnd() & 1 ? from / 2 : from * 2;
        if ((which >= 4 && to < 16) || to > 64 || (which >= 6 && to == from))
            continue;
        unsigned nr = 1 + (unsigned)(rnd() % (256 / (from > to ? from : to)));
        struct vec_fp many = { .from = (uint8_t)from, .to = (uint8_t)to, .rm = (enum riscv_rm)(rnd() % 5) }, one = many;
        for (unsigned k = 0; k < nr; k++)
            put_element(a, from, k, which == 4 || which == 5 ? rnd() >> rnd() % 64 : rnd() % 16 ? tame(from) : value(from));
        if (!vec_fp_convert_many(&many, fns[which], got, a, nr)) {
            assert_int_equal(many.flags, 0);
            refused++;
            continue;
        }
        done[which]++;
        for (unsigned k = 0; k < nr; k++)
            assert_int_equal(element(got, to, k), fns[which](&one, element(a, from, k), 0, 0));
        assert_int_equal(many.flags, one.flags);
    }
    for (unsigned k = 0; k < 7; k++)
        assert_true(done[k] > 500);
    assert_true(done[7] == 0 && refused > 1000);
}

static void sums_are_one_after_the_other(void **state)
{
    unsigned done = 0, refused = 0;
    (void)state;
    for (unsigned n = 0; n < 20000; n++) {
        uint64_t a[8];
        unsigned bits = ALL_SIZES[rnd() % 3], nr = (unsigned)(rnd() % (512 / bits));
        struct vec_fp many = { .from = (uint8_t)bits, .to = (uint8_t)bits, .rm = (enum riscv_rm)(rnd() % 5) }, one = many;
        uint64_t first = rnd() % 8 ? tame(bits) : value(bits), sum = first, want = first;
        for (unsigned k = 0; k < nr; k++) {
            put_element(a, bits, k, rnd() % 64 ? tame(bits) : value(bits));
            want = vec_fp_add(&one, want, element(a, bits, k), 0);
        }
        if (vec_fp_sum(&many, &sum, a, nr)) {
            assert_int_equal(sum, want);
            assert_int_equal(many.flags, one.flags);
            done++;
        } else {
            assert_int_equal(sum, first);
            assert_int_equal(many.flags, 0);
            refused++;
        }
    }
    assert_true(done > 3000 && refused > 3000);
}

static void widening_is_exact(void **state)
{
    (void)state;
    for (unsigned n = 0; n < 0x10000; n++) {
        uint16_t h = (uint16_t)n;
        uint32_t s;
        uint8_t flags = 0;
        vec_fp_widen(FP_H, &s, &h, 1);
        uint64_t want = fp_convert(FP_H, FP_S, h, RM_RNE, &flags), got = s;
        if ((h & 0x7fff) > 0x7c00)
            assert_true((got & 0x7fffffff) > 0x7f800000);
        else
            assert_int_equal(got, want);
        s = n % 64 ? (uint32_t)rnd() : n << 16;
        vec_fp_widen(FP_S, &got, &s, 1);
        if ((s & 0x7fffffff) <= 0x7f800000)
            assert_int_equal(got, fp_convert(FP_S, FP_D, s, RM_RNE, &flags));
        else
            assert_true((got & INT64_MAX) > 0x7ff0000000000000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(estimates_have_seven_bits),
        cmocka_unit_test(estimates_are_the_tables),
        cmocka_unit_test(estimates_of_what_is_not_finite),
        cmocka_unit_test(reciprocals_too_large),
        cmocka_unit_test(reciprocals_that_are_subnormal),
        cmocka_unit_test(rounding_to_odd),
        cmocka_unit_test(rounding_to_odd_is_harmless),
        cmocka_unit_test(integers_saturate),
        cmocka_unit_test(integers_become_numbers),
        cmocka_unit_test(operands_stand_where_they_should),
        cmocka_unit_test(comparisons),
        cmocka_unit_test(many_are_one_after_the_other),
        cmocka_unit_test(plain_is_one_after_the_other),
        cmocka_unit_test(many_conversions_are_one_after_the_other),
        cmocka_unit_test(sums_are_one_after_the_other),
        cmocka_unit_test(widening_is_exact),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
