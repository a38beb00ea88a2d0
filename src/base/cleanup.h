/* SPDX-License-Identifier: MIT */
/*
 * Scope-bound clean-up: AUTO_FREE and AUTO_CLOSE locals, TAKE_PTR and take_fd to hand them on.
 */
#ifndef DOPPEL_BASE_CLEANUP_H
#define DOPPEL_BASE_CLEANUP_H

#include <stdlib.h>
#include <unistd.h>

static inline void cleanup_free(void *p)
{
    free(*(void **)p);
}

static inline void cleanup_close(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd); /* nothing to report: the data was written or is being thrown away */
}

/* A pointer freed when the scope is left. Initialise it. */
#define AUTO_FREE __attribute__((cleanup(cleanup_free)))
/* A file descriptor closed when the scope is left. Initialise it, to -1 if nothing is open yet. */
#define AUTO_CLOSE __attribute__((cleanup(cleanup_close)))

/* The pointer's value; the variable becomes NULL, so that AUTO_FREE leaves it alone. */
#define TAKE_PTR(p)                                                                                                              \
    ({                                                                                                                           \
        __typeof__(p) take_ptr_ = (p);                                                                                           \
        (p) = NULL;                                                                                                              \
        take_ptr_;                                                                                                               \
    })

/* The descriptor's value; the variable becomes -1. */
static inline int take_fd(int *fd)
{
    int v = *fd;
    *fd = -1;
    return v;
}

#endif
