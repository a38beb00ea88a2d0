/* SPDX-License-Identifier: MIT */
/*
 * System control port B: four bits of memory, three of wiring.
 */
#include "device/port61.h"

#include "device/i8254.h"

enum { WRITABLE = PORT61_GATE2 | PORT61_SPEAKER | PORT61_PARITY_OFF | PORT61_IOCHK_OFF };
enum { REFRESH_NS = 15085 };

static uint64_t port61_read(void *dev, uint64_t offset, unsigned size)
{
    struct port61 *p = dev;
    (void)offset;
    (void)size;
    uint8_t v = p->control;
    if (vm_clock_now(p->clock) / REFRESH_NS & 1)
        v |= PORT61_REFRESH;
    if (i8254_out(p->pit, 2))
        v |= PORT61_OUT2;
    return v;
}

static void port61_write(void *dev, uint64_t offset, uint64_t value, unsigned size)
{
    struct port61 *p = dev;
    (void)offset;
    (void)size;
    p->control = (uint8_t)value & WRITABLE;
    i8254_set_gate(p->pit, 2, p->control & PORT61_GATE2);
}

static void port61_reset(void *dev)
{
    struct port61 *p = dev;
    p->control = 0;
    i8254_set_gate(p->pit, 2, false);
}

static int port61_post_load(void *object, struct error *err)
{
    struct port61 *p = object;
    (void)err;
    p->control &= WRITABLE; /* the gate itself is the timer's state */
    return 0;
}

static const struct state_field port61_fields[] = {
    STATE_U8(struct port61, control),
    STATE_END,
};
static const struct state_desc port61_state = {
    .name = "port61",
    .version = 1,
    .fields = port61_fields,
    .post_load = port61_post_load,
};

const struct io_ops port61_io_ops = { .read = port61_read, .write = port61_write, .min_size = 1, .max_size = 1 };
const struct device_class port61_class = { .name = "port61", .reset = port61_reset, .state = &port61_state };

void port61_init(struct port61 *port, struct vm_clock *clock, struct i8254 *pit)
{
    *port = (struct port61){ .clock = clock, .pit = pit };
}
