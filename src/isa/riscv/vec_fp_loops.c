/* SPDX-License-Identifier: MIT */
/*
 * Floating-point vector functions that need no arithmetic, as loops over integers for compilers to vectorise: signs, minimum and
 * maximum, comparisons.
 *
 * All but the signs give up where a NaN is among the operands.
 */
#include "isa/riscv/vec_fp.h"

/* true unless a NaN was among the operands. */
typedef bool (*loop_fn)(void *restrict ret, const void *restrict a, const void *restrict b, unsigned n);

/* Bits of numbers as integers in the same order, where -0 is less than 0. */
#define KEY(x, itype, magnitude) ((itype)((itype)(x) ^ ((itype)(x) < 0 ? (magnitude) : 0)))
#define IS_NAN(x, magnitude, inf) (((x) & (magnitude)) > (inf))

/* r = an expression of x and y for all elements; stops nowhere, so that it is vectorised. */
#define LOOP(name, bits, rtype, itype, magnitude, inf, expr)                                                                     \
    static bool name##_##bits(void *restrict ret, const void *restrict a, const void *restrict b, unsigned n)                    \
    {                                                                                                                            \
        const uint##bits##_t *p = a, *q = b;                                                                                     \
        rtype *r = ret;                                                                                                          \
        uint##bits##_t nan = 0;                                                                                                  \
        for (unsigned k = 0; k < n; k++) {                                                                                       \
            uint##bits##_t x = p[k], y = q[k];                                                                                   \
            itype l = KEY(x, itype, magnitude), g = KEY(y, itype, magnitude);                                                    \
            bool zeroes = ((x | y) & (magnitude)) == 0;                                                                          \
            nan |= IS_NAN(x, magnitude, inf) | IS_NAN(y, magnitude, inf);                                                        \
            (void)l;                                                                                                             \
            (void)g;                                                                                                             \
            (void)zeroes;                                                                                                        \
            r[k] = (rtype)(expr);                                                                                                \
        }                                                                                                                        \
        return !nan;                                                                                                             \
    }
#define LOOPS(bits, itype, magnitude, inf)                                                                                       \
    LOOP(min, bits, uint##bits##_t, itype, magnitude, inf, l < g ? x : y)                                                        \
    LOOP(max, bits, uint##bits##_t, itype, magnitude, inf, l < g ? y : x)                                                        \
    LOOP(eq, bits, uint8_t, itype, magnitude, inf, (x == y) | zeroes)                                                            \
    LOOP(ne, bits, uint8_t, itype, magnitude, inf, !((x == y) | zeroes))                                                         \
    LOOP(lt, bits, uint8_t, itype, magnitude, inf, (l < g) & !zeroes)                                                            \
    LOOP(le, bits, uint8_t, itype, magnitude, inf, (l <= g) | zeroes)                                                            \
    LOOP(gt, bits, uint8_t, itype, magnitude, inf, (l > g) & !zeroes)                                                            \
    LOOP(ge, bits, uint8_t, itype, magnitude, inf, (l >= g) | zeroes)
LOOPS(16, int16_t, INT16_MAX, 0x7c00)
LOOPS(32, int32_t, INT32_MAX, 0x7f800000)
LOOPS(64, int64_t, INT64_MAX, 0x7ff0000000000000)

#define SIGNS(name, bits, magnitude, sign)                                                                                       \
    static bool name##_##bits(void *restrict ret, const void *restrict a, const void *restrict b, unsigned n)                    \
    {                                                                                                                            \
        const uint##bits##_t *p = a, *q = b;                                                                                     \
        uint##bits##_t *r = ret;                                                                                                 \
        for (unsigned k = 0; k < n; k++) {                                                                                       \
            uint##bits##_t x = p[k], y = q[k];                                                                                   \
            r[k] = (uint##bits##_t)((x & (magnitude)) | ((sign) & ~(uint##bits##_t)(magnitude)));                                \
        }                                                                                                                        \
        return true;                                                                                                             \
    }
#define ALL_SIGNS(bits, magnitude)                                                                                               \
    SIGNS(sgnj, bits, magnitude, y)                                                                                              \
    SIGNS(sgnjn, bits, magnitude, ~y)                                                                                            \
    SIGNS(sgnjx, bits, magnitude, x ^ y)
ALL_SIGNS(16, INT16_MAX)
ALL_SIGNS(32, INT32_MAX)
ALL_SIGNS(64, INT64_MAX)

#define ENTRY(name)                                                                                                              \
    {                                                                                                                            \
        vec_fp_##name,                                                                                                           \
        {                                                                                                                        \
            name##_16, name##_32, name##_64                                                                                      \
        }                                                                                                                        \
    }
static const struct {
    vec_fp_fn fn;
    loop_fn loop[3]; /* by enum fp_format */
} TABLE[] = { ENTRY(min), ENTRY(max), ENTRY(eq),   ENTRY(ne),    ENTRY(lt),   ENTRY(le),
              ENTRY(gt),  ENTRY(ge),  ENTRY(sgnj), ENTRY(sgnjn), ENTRY(sgnjx) };

bool vec_fp_plain(const struct vec_fp *v, vec_fp_fn fn, void *restrict ret, const void *restrict a, const void *restrict b,
                  unsigned n)
{
    for (unsigned k = 0; k < sizeof(TABLE) / sizeof(TABLE[0]); k++)
        if (TABLE[k].fn == fn)
            return TABLE[k].loop[vec_fp_format(v->to)](ret, a, b, n);
    return false;
}
