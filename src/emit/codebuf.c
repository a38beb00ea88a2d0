/* SPDX-License-Identifier: MIT */
/*
 * Host code memory: see codebuf.h.
 *
 * The two views come from one memfd; its descriptor is closed at once, the mappings keep the memory.
 * Spec: memfd_create(2), mmap(2), mremap(2).
 */
#include "emit/codebuf.h"

#include <errno.h>
#include <linux/mman.h> /* MADV_COLLAPSE is not in every libc */
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"

enum { CODEBUF_INT3 = 0xcc, LARGE_PAGE = 2 << 20 };
static const size_t codebuf_max = 1UL << 30;

/* Maps the executable view within reach of `near` if there is room, else anywhere. */
static uint8_t *map_rx(size_t size, int fd, const void *near)
{
    enum { STEP = 64 << 20, TRIES = 24 };
    uintptr_t at = ((uintptr_t)near & ~(uintptr_t)(LARGE_PAGE - 1)) + STEP; /* what `near` lies in may grow, too */
    for (unsigned k = 0; near && k < TRIES; k++, at += STEP) {
        void *rx = mmap((void *)at, size, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_FIXED_NOREPLACE, fd, 0);
        if (rx == (void *)at)
            return rx;
        if (rx != MAP_FAILED)
            (void)munmap(rx, size); /* a kernel that takes it for a hint: our own mapping */
    }
    return mmap(NULL, size, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
}

/* Maps the writable view at a multiple of large pages: the host makes no large ones where the views differ in that. */
static uint8_t *map_rw(size_t size, int fd)
{
    uint8_t *room = mmap(NULL, size + LARGE_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (room == MAP_FAILED)
        return MAP_FAILED;
    size_t before = -(uintptr_t)room & (LARGE_PAGE - 1);
    uint8_t *rw = mmap(room + before, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
    if (rw == MAP_FAILED) {
        (void)munmap(room, size + LARGE_PAGE); /* our own mapping, as below: cannot fail */
        return MAP_FAILED;
    }
    if (before)
        (void)munmap(room, before);
    (void)munmap(rw + size, LARGE_PAGE - before);
    return rw;
}

int codebuf_init(struct codebuf *cb, size_t size, const void *near, struct error *err)
{
    AUTO_CLOSE int fd = -1;
    uint8_t *rw, *rx;

    if (size == 0 || size > codebuf_max)
        return error_set(err, -EINVAL, "code memory: %zu bytes is not in 1..%zu", size, codebuf_max);
    size = (size + 4095) & ~(size_t)4095;
    fd = memfd_create("doppel-code", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, (off_t)size) < 0)
        return error_set(err, -errno, "code memory: cannot make %zu bytes: %s", size, strerror(errno));
    rw = map_rw(size, fd);
    if (rw == MAP_FAILED)
        return error_set(err, -errno, "code memory: cannot map %zu bytes writable: %s", size, strerror(errno));
    rx = map_rx(size, fd, near);
    if (rx == MAP_FAILED) {
        int ret = error_set(err, -errno, "code memory: cannot map %zu bytes executable: %s", size, strerror(errno));
        munmap(rw, size);
        return ret;
    }
    *cb = (struct codebuf){ .rw = rw, .rx = rx, .size = size, .end = size };
    return 0;
}

int codebuf_init_named(struct codebuf *cb, size_t size, struct error *err)
{
    if (size == 0 || size > codebuf_max)
        return error_set(err, -EINVAL, "code memory: %zu bytes is not in 1..%zu", size, codebuf_max);
    size = (size + 4095) & ~(size_t)4095;
    uint8_t *rw = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (rw == MAP_FAILED)
        return error_set(err, -errno, "code memory: cannot map %zu bytes writable: %s", size, strerror(errno));
    uint8_t *rx = mremap(rw, 0, size, MREMAP_MAYMOVE); /* old size 0: a second view of the same memory */
    if (rx == MAP_FAILED || mprotect(rx, size, PROT_READ | PROT_EXEC) < 0) {
        int ret = error_set(err, -errno, "code memory: cannot map %zu bytes executable: %s", size, strerror(errno));
        if (rx != MAP_FAILED)
            munmap(rx, size);
        munmap(rw, size);
        return ret;
    }
    *cb = (struct codebuf){ .rw = rw, .rx = rx, .size = size, .end = size };
    return 0;
}

void codebuf_goes(struct codebuf *cb, size_t from, size_t to)
{
    size_t page = to & ~(size_t)(LARGE_PAGE - 1);
    if ((from != to && from >= page) || cb->size - page < LARGE_PAGE)
        return;
    (void)*(const volatile uint8_t *)(cb->rw + page); /* the host makes none where there is nothing at all */
    (void)madvise(cb->rw + page, LARGE_PAGE, MADV_COLLAPSE);
}

void codebuf_done(struct codebuf *cb)
{
    if (!cb->rw)
        return;
    munmap(cb->rw, cb->size);
    munmap(cb->rx, cb->size);
    *cb = (struct codebuf){ 0 };
}

void codebuf_reset(struct codebuf *cb)
{
    codebuf_rollback(cb, 0);
}

void codebuf_rollback(struct codebuf *cb, size_t pos)
{
    cb->pos = pos;
    cb->failed = false;
}

void codebuf_align(struct codebuf *cb, size_t align)
{
    while (cb->pos % align != 0 && !cb->failed)
        codebuf_put1(cb, CODEBUF_INT3);
}
