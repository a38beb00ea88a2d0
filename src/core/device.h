/* SPDX-License-Identifier: MIT */
/*
 * What every chip offers the board: a name, reset, its declared state and an end.
 */
#ifndef DOPPEL_CORE_DEVICE_H
#define DOPPEL_CORE_DEVICE_H

#include "base/log.h"
#include "core/state_desc.h"

/* All called with the machine's lock held or before any thread starts. */
struct device_class {
    const char *name;               /* the chip's name */
    void (*reset)(void *dev);       /* mandatory: power-on state */
    void (*done)(void *dev);        /* optional: releases what init took; the memory is the caller's */
    const struct state_desc *state; /* mandatory */
};

/* One guest mistake: counted, logged at debug level, at most a few times a device. */
struct guest_errors {
    uint64_t count;
    struct log_limit limit;
};
#define guest_err(errs, ...)                                                                                                     \
    do {                                                                                                                         \
        (errs)->count++;                                                                                                         \
        if (log_limit_pass(&(errs)->limit, 8))                                                                                   \
            log_debug(__VA_ARGS__);                                                                                              \
    } while (0)

#endif
