/* SPDX-License-Identifier: MIT */
/*
 * Page faults: maps anonymous memory, touches each page, unmaps.
 */
#include "../bench.h"

#include <sys/mman.h>

enum { PAGES = 256 };

static void set_up(void)
{
}

static uint64_t unit(unsigned n)
{
    uint64_t sum = n;
    for (unsigned round = 0; round < 4; round++) {
        uint8_t *p = mmap(NULL, PAGES * 4096UL, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED)
            fail("mmap");
        (void)madvise(p, PAGES * 4096UL, MADV_NOHUGEPAGE); /* or there is one fault for all of them on some hosts */
        for (unsigned k = 0; k < PAGES; k++)
            p[k * 4096UL] = (uint8_t)k;
        for (unsigned k = 0; k < PAGES; k++)
            sum += p[k * 4096UL];
        munmap(p, PAGES * 4096UL);
    }
    return sum;
}
