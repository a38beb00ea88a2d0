/* SPDX-License-Identifier: MIT */
/*
 * Goldfish real-time clock.
 */
#include "device/goldfish_rtc.h"

enum rtc_reg {
    TIME_LOW = 0x00,
    TIME_HIGH = 0x04,
    ALARM_LOW = 0x08,
    ALARM_HIGH = 0x0c,
    IRQ_ENABLED = 0x10,
    CLEAR_ALARM = 0x14,
    ALARM_STATUS = 0x18,
    CLEAR_INTERRUPT = 0x1c,
};

static uint64_t rtc_now(const struct goldfish_rtc *r)
{
    return (uint64_t)vm_clock_wall(r->clock) + r->offset;
}

static uint64_t with_low(uint64_t v, uint32_t low)
{
    return (v & ~(uint64_t)UINT32_MAX) | low;
}

static uint64_t with_high(uint64_t v, uint32_t high)
{
    return (uint64_t)high << 32 | (uint32_t)v;
}

/* Rings if it is time to, drives the line, and arms the timer for an alarm to come. */
static void update(struct goldfish_rtc *r)
{
    const uint64_t now = rtc_now(r);
    if (r->armed && r->alarm <= now) {
        r->armed = false;
        r->pending = true;
    }
    irq_set(&r->irq, r->pending && r->enabled);
    const uint64_t at = (uint64_t)vm_clock_now(r->clock) + (r->alarm - now);
    vm_timer_arm(&r->timer, !r->armed || (r->alarm - now) >> 63 || at >> 63 ? VM_TIME_NEVER : (ns_t)at);
}

static void on_alarm(void *opaque, ns_t now)
{
    (void)now;
    update(opaque);
}

static uint64_t rtc_read(void *dev, uint64_t offset, unsigned size)
{
    struct goldfish_rtc *r = dev;
    (void)size;
    switch (offset) {
    case TIME_LOW: {
        const uint64_t now = rtc_now(r);
        r->high = (uint32_t)(now >> 32);
        return (uint32_t)now;
    }
    case TIME_HIGH: return r->high;
    case ALARM_LOW: return (uint32_t)r->alarm;
    case ALARM_HIGH: return r->alarm >> 32;
    case IRQ_ENABLED: return r->enabled;
    case ALARM_STATUS: return r->armed;
    default: guest_err(&r->errors, "goldfish_rtc: read of register %#x", (unsigned)offset); return 0;
    }
}

static void rtc_write(void *dev, uint64_t offset, uint64_t value, unsigned size)
{
    struct goldfish_rtc *r = dev;
    const uint32_t v = (uint32_t)value;
    const uint64_t now = rtc_now(r);
    (void)size;
    switch (offset) {
    case TIME_LOW: r->offset += with_low(now, v) - now; break;
    case TIME_HIGH: r->offset += with_high(now, v) - now; break;
    case ALARM_LOW: /* comes last, and arms */
        r->alarm = with_low(r->alarm, v);
        r->armed = true;
        break;
    case ALARM_HIGH: r->alarm = with_high(r->alarm, v); break;
    case IRQ_ENABLED: r->enabled = v & 1; break;
    case CLEAR_ALARM: r->armed = false; break;
    case CLEAR_INTERRUPT: r->pending = false; break;
    default: guest_err(&r->errors, "goldfish_rtc: write to register %#x", (unsigned)offset); return;
    }
    update(r);
}

static void rtc_reset(void *dev)
{
    struct goldfish_rtc *r = dev;
    r->alarm = 0;
    r->high = 0;
    r->armed = r->pending = r->enabled = false;
    update(r);
}

static void rtc_done(void *dev)
{
    vm_timer_disarm(&((struct goldfish_rtc *)dev)->timer);
}

static int rtc_post_load(void *object, struct error *err)
{
    struct goldfish_rtc *r = object;
    (void)err;
    irq_set(&r->irq, r->pending && r->enabled);
    vm_timer_arm(&r->timer, r->armed ? vm_clock_now(r->clock) : VM_TIME_NEVER); /* looks at the time once it goes on */
    return 0;
}

static const struct state_field rtc_fields[] = {
    STATE_U64(struct goldfish_rtc, offset),
    STATE_U64(struct goldfish_rtc, alarm),
    STATE_U32(struct goldfish_rtc, high),
    STATE_BOOL(struct goldfish_rtc, armed),
    STATE_BOOL(struct goldfish_rtc, pending),
    STATE_BOOL(struct goldfish_rtc, enabled),
    STATE_END,
};
static const struct state_desc rtc_state = {
    .name = "goldfish_rtc",
    .version = 1,
    .fields = rtc_fields,
    .post_load = rtc_post_load,
};

const struct io_ops goldfish_rtc_io_ops = { .read = rtc_read, .write = rtc_write, .min_size = 4, .max_size = 4 };
const struct device_class goldfish_rtc_class = {
    .name = "goldfish_rtc",
    .reset = rtc_reset,
    .done = rtc_done,
    .state = &rtc_state,
};

void goldfish_rtc_init(struct goldfish_rtc *rtc, struct vm_clock *clock, const struct irq_line *irq)
{
    *rtc = (struct goldfish_rtc){ .clock = clock };
    if (irq)
        rtc->irq = *irq;
    vm_timer_init(&rtc->timer, clock, on_alarm, rtc);
}
