/* SPDX-License-Identifier: MIT */
/*
 * SHA-256's compression with the SHA instructions. Built with -msha -msse4.1. Spec: SDM 2B SHA256RNDS2
 */
#include "../bench.h"

#include <cpuid.h>
#include <immintrin.h>

static __m128i message[1024];
static __m128i cdgh, abef;

static void set_up(void)
{
    unsigned a, b, c, d;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(b & bit_SHA))
        unsupported();
    for (unsigned k = 0; k < 1024; k++)
        message[k] = _mm_set_epi64x((long long)random_next(), (long long)random_next());
    abef = message[0];
    cdgh = message[1];
}

/* The rounds of one block; the round constants are of no matter for time and left out. */
static void block(const __m128i *p)
{
    __m128i w[4] = { p[0], p[1], p[2], p[3] }, a = abef, c = cdgh;
    for (unsigned k = 0; k < 16; k++) {
        __m128i now = w[k & 3], last = w[(k + 3) & 3];
        c = _mm_sha256rnds2_epu32(c, a, now);
        a = _mm_sha256rnds2_epu32(a, c, _mm_shuffle_epi32(now, 0x0e));
        __m128i next = _mm_add_epi32(_mm_sha256msg1_epu32(now, w[(k + 1) & 3]), _mm_alignr_epi8(last, w[(k + 2) & 3], 4));
        w[k & 3] = _mm_sha256msg2_epu32(next, last);
    }
    abef = _mm_add_epi32(abef, a);
    cdgh = _mm_add_epi32(cdgh, c);
}

static uint64_t unit(unsigned n)
{
    message[n % 1024] = abef;
    for (unsigned round = 0; round < 256; round++)
        for (unsigned k = 0; k + 4 <= 1024; k += 16)
            block(message + k);
    return (uint64_t)_mm_cvtsi128_si64(_mm_xor_si128(abef, cdgh));
}
