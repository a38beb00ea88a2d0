/* SPDX-License-Identifier: MIT */
/*
 * AES-128 in counter mode with the AES instructions, four blocks at a time. Built with -maes. Spec: SDM 2A AESENC
 */
#include "../bench.h"

#include <cpuid.h>
#include <immintrin.h>

static __m128i key[11], data[1024];

static void set_up(void)
{
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_AES))
        unsupported();
    for (unsigned k = 0; k < 11; k++)
        key[k] = _mm_set_epi64x((long long)random_next(), (long long)random_next());
}

static uint64_t unit(unsigned n)
{
    __m128i count = _mm_set_epi64x(n, 0), one = _mm_set_epi64x(0, 1), all = _mm_setzero_si128();
    for (unsigned round = 0; round < 160; round++) {
        for (unsigned k = 0; k < 1024; k += 4) {
            __m128i b[4];
            for (unsigned j = 0; j < 4; j++) {
                b[j] = _mm_xor_si128(count, key[0]);
                count = _mm_add_epi64(count, one);
            }
            for (unsigned r = 1; r < 10; r++)
                for (unsigned j = 0; j < 4; j++)
                    b[j] = _mm_aesenc_si128(b[j], key[r]);
            for (unsigned j = 0; j < 4; j++)
                data[k + j] = _mm_xor_si128(data[k + j], _mm_aesenclast_si128(b[j], key[10]));
        }
    }
    for (unsigned k = 0; k < 1024; k++)
        all = _mm_xor_si128(all, data[k]);
    return (uint64_t)_mm_cvtsi128_si64(all);
}
