/* SPDX-License-Identifier: MIT */
/*
 * Debug exit port (f4h): a write of v ends the machine with status (v << 1) | 1.
 *
 * Spec: none; behaves as QEMU's isa-debug-exit.
 */
#ifndef DOPPEL_DEVICE_DEBUGEXIT_H
#define DOPPEL_DEVICE_DEBUGEXIT_H

#include "core/bus.h"
#include "core/device.h"

enum { DEBUGEXIT_IO_SIZE = 4 };

/* The guest is done; status is (v << 1) | 1. On a vCPU thread with the machine's lock held; must not block. */
typedef void (*debugexit_fn)(void *opaque, uint32_t status);

struct debugexit {
    debugexit_fn fn;
    void *opaque;  /* borrowed (the machine) */
    uint32_t last; /* state: last value written */
};

extern const struct io_ops debugexit_io_ops; /* DEBUGEXIT_IO_SIZE bytes */
extern const struct device_class debugexit_class;

void debugexit_init(struct debugexit *dev, debugexit_fn fn, void *opaque);

#endif
