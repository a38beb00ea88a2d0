/* SPDX-License-Identifier: MIT */
/*
 * Product of two matrices of floats. Built with -O3 -march=x86-64-v3: AVX2 and FMA in the inner loop.
 */
#include "../bench.h"

enum { N = 224 };
static float a[N][N], b[N][N], c[N][N];

static void set_up(void)
{
    for (unsigned i = 0; i < N; i++) {
        for (unsigned j = 0; j < N; j++) {
            a[i][j] = (float)(random_next() % 1000) / 64;
            b[i][j] = (float)(random_next() % 1000) / 64;
        }
    }
}

static uint64_t unit(unsigned n)
{
    uint64_t sum = 0;
    a[n % N][n / N % N] += 1;
    memset(c, 0, sizeof(c));
    for (unsigned i = 0; i < N; i++)
        for (unsigned k = 0; k < N; k++)
            for (unsigned j = 0; j < N; j++)
                c[i][j] += a[i][k] * b[k][j];
    for (unsigned i = 0; i < N; i++)
        sum = sum * 31 + (uint64_t)c[i][(i + n) % N];
    return sum;
}
