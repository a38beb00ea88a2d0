/* SPDX-License-Identifier: MIT */
/*
 * The Mandelbrot set in doubles: a dependent chain of scalar SSE2, no memory.
 */
#include "../bench.h"

enum { SIZE = 48, LIMIT = 300 };

static void set_up(void)
{
}

static uint64_t unit(unsigned n)
{
    uint64_t sum = 0;
    for (unsigned py = 0; py < SIZE; py++) {
        for (unsigned px = 0; px < SIZE; px++) {
            double cx = px * 3.0 / SIZE - 2, cy = py * 2.0 / SIZE - 1 + n * 1e-6, x = 0, y = 0;
            unsigned k = 0;
            while (k < LIMIT && x * x + y * y < 4) {
                double t = x * x - y * y + cx;
                y = 2 * x * y + cy;
                x = t;
                k++;
            }
            sum = sum * 3 + k;
        }
    }
    return sum;
}
