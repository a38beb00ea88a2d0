/* SPDX-License-Identifier: MIT */
/*
 * Memory in large pages: see pages.h. Spec: mmap(2), madvise(2)
 */
#include "base/pages.h"

#include <stdint.h>
#include <sys/mman.h>

#include "base/checked.h"

static const size_t LARGE = 2 << 20;

void *pages_new(size_t bytes)
{
    size_t size, room;
    if (bytes == 0 || ckd_add(&size, bytes, LARGE - 1) || ckd_add(&room, size &= ~(LARGE - 1), LARGE))
        return NULL;
    uint8_t *all = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (all == MAP_FAILED)
        return NULL;
    size_t before = -(uintptr_t)all & (LARGE - 1);
    if (before)
        (void)munmap(all, before); /* parts of our own mapping, here and below: cannot fail */
    (void)munmap(all + before + size, LARGE - before);
    (void)madvise(all + before, size, MADV_HUGEPAGE); /* small pages do as well, only slower */
    return all + before;
}

void pages_free(void *p, size_t bytes)
{
    if (p)
        (void)munmap(p, ALIGN_UP(bytes, LARGE));
}
