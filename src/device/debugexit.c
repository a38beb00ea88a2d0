/* SPDX-License-Identifier: MIT */
/*
 * Debug exit port.
 */
#include "device/debugexit.h"

static uint64_t debugexit_read(void *dev, uint64_t offset, unsigned size)
{
    (void)dev;
    (void)offset;
    (void)size;
    return 0;
}

static void debugexit_write(void *dev, uint64_t offset, uint64_t value, unsigned size)
{
    struct debugexit *d = dev;
    (void)offset;
    (void)size;
    d->last = (uint32_t)value;
    if (d->fn)
        d->fn(d->opaque, d->last << 1 | 1);
}

static void debugexit_reset(void *dev)
{
    ((struct debugexit *)dev)->last = 0;
}

static const struct state_field debugexit_fields[] = {
    STATE_U32(struct debugexit, last),
    STATE_END,
};
static const struct state_desc debugexit_state = { .name = "debugexit", .version = 1, .fields = debugexit_fields };

const struct io_ops debugexit_io_ops = { .read = debugexit_read, .write = debugexit_write, .min_size = 1, .max_size = 4 };
const struct device_class debugexit_class = {
    .name = "debugexit",
    .reset = debugexit_reset,
    .state = &debugexit_state,
};

void debugexit_init(struct debugexit *dev, debugexit_fn fn, void *opaque)
{
    *dev = (struct debugexit){ .fn = fn, .opaque = opaque };
}
