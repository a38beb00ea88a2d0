/* SPDX-License-Identifier: MIT */
/*
 * Puts guest memory into a memfd, for tests that map it a second time: elsewhere, or privately.
 */
#ifndef DOPPEL_TESTS_SHARED_RAM_H
#define DOPPEL_TESTS_SHARED_RAM_H

#include <sys/mman.h>
#include <unistd.h>

#include "core/gmem.h"

/* Replaces the mapping at gm->host by a shared one of a new memfd with the same contents, while no vCPU runs. The descriptor, the
 * caller's; -1 when that failed. */
static inline int shared_ram(struct gmem *gm)
{
    int fd = memfd_create("doppel-test-ram", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, (off_t)gm->size) < 0 || pwrite(fd, gm->host, gm->size, 0) != (ssize_t)gm->size
        || mmap(gm->host, gm->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

#endif
