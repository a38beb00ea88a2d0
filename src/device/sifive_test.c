/* SPDX-License-Identifier: MIT */
/*
 * Test finisher.
 */
#include "device/sifive_test.h"

static uint64_t sifive_test_read(void *dev, uint64_t offset, unsigned size)
{
    (void)dev;
    (void)offset;
    (void)size;
    return 0;
}

static void sifive_test_write(void *dev, uint64_t offset, uint64_t value, unsigned size)
{
    struct sifive_test *d = dev;
    (void)size;
    if (offset != 0)
        return;
    d->last = (uint32_t)value;
    switch (d->last & 0xffff) {
    case SIFIVE_TEST_PASS:
    case SIFIVE_TEST_FAIL:
    case SIFIVE_TEST_RESET:
        if (d->fn)
            d->fn(d->opaque, (enum sifive_test_end)(d->last & 0xffff), d->last >> 16);
        break;
    default: guest_err(&d->errors, "sifive_test: %#x says nothing", d->last);
    }
}

static void sifive_test_reset(void *dev)
{
    ((struct sifive_test *)dev)->last = 0;
}

static const struct state_field sifive_test_fields[] = {
    STATE_U32(struct sifive_test, last),
    STATE_END,
};
static const struct state_desc sifive_test_state = { .name = "sifive_test", .version = 1, .fields = sifive_test_fields };

const struct io_ops sifive_test_io_ops = { .read = sifive_test_read, .write = sifive_test_write, .min_size = 1, .max_size = 4 };
const struct device_class sifive_test_class = { .name = "sifive_test", .reset = sifive_test_reset, .state = &sifive_test_state };

void sifive_test_init(struct sifive_test *dev, sifive_test_fn fn, void *opaque)
{
    *dev = (struct sifive_test){ .fn = fn, .opaque = opaque };
}
