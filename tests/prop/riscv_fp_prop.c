/* SPDX-License-Identifier: MIT */
/*
 * Laws of the RISC-V floating point over random and corner values: the arithmetic in integers is the host's, bit for bit and flag
 * for flag; binary16 is binary64 rounded once; ties away from zero differ from ties to even only in ties.
 *
 * usage: riscv_fp_prop [SEED]
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

#include "isa/riscv/fp.h"
#include "isa/riscv/fp_num.h"

enum { ROUNDS = 200000 };

static uint64_t seed = 0x9e3779b97f4a7c15;

static uint64_t rnd(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

/* Half of them corners: zeroes, subnormals, limits, infinities, NaNs, small integers; exponents near each other in the rest, so
 * that sums cancel. */
static uint64_t value(enum fp_format format)
{
    static const uint8_t fraction[] = { [FP_H] = 10, [FP_S] = 23, [FP_D] = 52 };
    unsigned f = fraction[format], e = fp_bits(format) - 1 - f;
    uint64_t sign = rnd() & 1 ? fp_sign_bit(format) : 0, ones = (1ULL << f) - 1, max = (1ULL << e) - 1, bias = max / 2;
    switch (rnd() % 8) {
    case 0: return sign;
    case 1: return sign | (rnd() & ones >> rnd() % f);                             /* subnormal */
    case 2: return sign | (max - rnd() % 2) << f | (rnd() % 3 ? 0 : rnd() & ones); /* infinity, NaN, huge */
    case 3: return sign | (bias + rnd() % 4) << f | (rnd() % 2 ? 0 : ones ^ (rnd() % 4));
    case 4: return sign | (1 + rnd() % 3) << f | (rnd() & ones); /* smallest normal ones */
    case 5: return sign | (bias + rnd() % f) << f | (rnd() & (ones << rnd() % f & ones));
    default: return rnd() & (format == FP_D ? ~0ULL : (1ULL << fp_bits(format)) - 1);
    }
}

static void soft_is_host(void **state)
{
    static const enum riscv_rm modes[] = { RM_RNE, RM_RTZ, RM_RDN, RM_RUP };
    (void)state;
    for (unsigned n = 0; n < ROUNDS; n++) {
        enum fp_format format = n & 1 ? FP_S : FP_D;
        enum fp_op op = (enum fp_op)(rnd() % (FP_MADD + 1));
        enum riscv_rm rm = modes[rnd() % 4];
        uint64_t a = value(format), b = value(format), d = value(format);
        uint8_t soft_flags = 0, host_flags = 0;
        if (op == FP_MADD && !fp_host_has_fma())
            continue;
        uint64_t soft = fp_soft(format, op, a, b, d, rm, &soft_flags), host = fp_host(format, op, a, b, d, rm, &host_flags);
        if (soft != host || soft_flags != host_flags)
            fail_msg("format %d op %d rm %d: %lx %lx %lx: soft %lx %x, host %lx %x", format, op, rm, a, b, d, soft, soft_flags,
                     host, host_flags);
    }
}

/* Binary64 has more than twice the bits of binary16, so rounding a basic operation twice to nearest even is harmless. */
static void half_is_double_rounded(void **state)
{
    (void)state;
    for (unsigned n = 0; n < ROUNDS; n++) {
        enum fp_op op = (enum fp_op)(rnd() % (FP_SQRT + 1));
        uint64_t a = value(FP_H), b = op == FP_SQRT ? 0 : value(FP_H);
        uint8_t flags = 0, f = 0;
        uint64_t half = fp_soft(FP_H, op, a, b, 0, RM_RNE, &flags);
        uint64_t wide = fp_host(FP_D, op, fp_convert(FP_H, FP_D, a, RM_RNE, &f), fp_convert(FP_H, FP_D, b, RM_RNE, &f), 0, RM_RNE,
                                &f);
        uint64_t narrow = fp_convert(FP_D, FP_H, wide, RM_RNE, &f);
        if (half != narrow || flags != f)
            fail_msg("op %d: %lx %lx: %lx %x, by binary64 %lx %x", op, a, b, half, flags, narrow, f);
    }
}

/* RMM gives one of the two neighbours RDN and RUP give, and where it is not RNE's, the other neighbour's magnitude is less. */
static void ties_go_away_from_zero(void **state)
{
    (void)state;
    unsigned differ = 0;
    for (unsigned n = 0; n < ROUNDS; n++) {
        enum fp_format format = (enum fp_format)(rnd() % 3);
        enum fp_op op = (enum fp_op)(rnd() % (FP_MADD + 1));
        uint64_t a = value(format), b = value(format), d = value(format), r[5];
        uint8_t flags[5] = { 0 };
        for (unsigned rm = RM_RNE; rm <= RM_RMM; rm++)
            r[rm] = fp_soft(format, op, a, b, d, (enum riscv_rm)rm, &flags[rm]);
        if (r[RM_RMM] == r[RM_RNE])
            continue;
        uint64_t magnitude = ~fp_sign_bit(format);
        differ++;
        assert_true(r[RM_RMM] == r[RM_RDN] || r[RM_RMM] == r[RM_RUP]);
        assert_true((r[RM_RMM] & magnitude) > (r[RM_RNE] & magnitude));
        assert_int_equal(r[RM_RNE], r[RM_RTZ]);
        assert_int_equal(r[RM_RMM] & 1, 1); /* even was chosen, so this one is odd */
    }
    assert_true(differ > 100);
}

/* What an integer becomes and comes back as is itself where the format holds it. */
static void integers_survive(void **state)
{
    (void)state;
    for (unsigned n = 0; n < ROUNDS; n++) {
        uint64_t v = rnd() >> rnd() % 64;
        uint8_t flags = 0;
        for (unsigned kind = FP_W; kind <= FP_LU; kind++) {
            uint64_t in = kind == FP_W || kind == FP_WU ? (uint64_t)(int32_t)v : v;
            uint64_t f = fp_from_int((enum fp_int)kind, FP_D, in, RM_RNE, &flags);
            if (!(flags & FFLAG_NX))
                assert_int_equal(fp_to_int(FP_D, (enum fp_int)kind, f, RM_RTZ, &flags), in);
            flags = 0;
        }
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(soft_is_host),
        cmocka_unit_test(half_is_double_rounded),
        cmocka_unit_test(ties_go_away_from_zero),
        cmocka_unit_test(integers_survive),
    };
    if (argc > 1)
        seed = strtoull(argv[1], NULL, 0) | 1;
    print_message("seed %#lx\n", seed);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
