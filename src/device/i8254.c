/* SPDX-License-Identifier: MIT */
/*
 * 8254 timer: counts and outputs as functions of guest time.
 *
 * Time is in ticks of the 8254's clock since guest time 0. While the gate lets a channel count, `elapsed` is the number
 * of clocks since its count was loaded; a closed gate freezes it in `held`. A new count for a periodic mode waits in
 * next_reload until settle() finds that the running cycle is over.
 */
#include "device/i8254.h"

#include <errno.h>

#include "base/checked.h"

enum { CONTROL = 3 };
enum { ACCESS_LATCH = 0, ACCESS_LOW = 1, ACCESS_HIGH = 2, ACCESS_BOTH = 3, READ_BACK = 3 };
enum { STATUS_OUT = 0x80, STATUS_NULL = 0x40 };
#define NO_TICK UINT64_MAX
#define MIN_IRQ_NS 50000

static uint64_t now_tick(const struct i8254 *p)
{
    return (uint64_t)((unsigned __int128)vm_clock_now(p->clock) * I8254_HZ / NS_PER_S);
}

/* First ns at which now_tick() gives this tick. */
static ns_t tick_ns(uint64_t tick)
{
    unsigned __int128 ns = ((unsigned __int128)tick * NS_PER_S + I8254_HZ - 1) / I8254_HZ;
    return ns >= VM_TIME_NEVER ? VM_TIME_NEVER : (ns_t)ns;
}

static bool periodic(const struct i8254_channel *c)
{
    return c->mode == 2 || c->mode == 3;
}

/* Modes 1 and 5 start at a rising gate edge and then ignore the gate. */
static bool triggered(const struct i8254_channel *c)
{
    return c->mode == 1 || c->mode == 5;
}

static bool counting(const struct i8254_channel *c)
{
    return c->started && (c->gate || triggered(c));
}

static uint64_t elapsed(const struct i8254_channel *c, uint64_t t)
{
    return c->held + (counting(c) && t > c->start ? t - c->start : 0);
}

static uint32_t modulus(const struct i8254_channel *c)
{
    return c->bcd ? 10000 : 0x10000;
}

/* Clocks of the cycle in which the output of mode 3 is high. */
static uint32_t high_half(uint32_t reload)
{
    return (reload + 1) / 2;
}

/* Clocks from the load at which a waiting count takes over, when `e` have passed: the end of the (half) cycle. */
static uint64_t cycle_end(const struct i8254_channel *c, uint64_t e)
{
    uint64_t phase = e % c->reload, base = e - phase;
    if (c->mode == 3 && phase < high_half(c->reload))
        return base + high_half(c->reload);
    return base + c->reload;
}

/* Lets a waiting count of a periodic mode take over if its moment has come. The moment is the end of the cycle that ran when
 * the count was written, so settle() must come before any write. */
static void settle(struct i8254_channel *c, uint64_t t)
{
    if (!periodic(c) || !c->next_reload || !counting(c))
        return;
    uint64_t end = c->next_at;
    if (elapsed(c, t) < end)
        return;
    bool mid = c->mode == 3 && end % c->reload != 0;
    c->start += end - c->held;
    c->reload = c->next_reload;
    c->next_reload = 0;
    c->held = mid ? high_half(c->reload) : 0;
}

static uint32_t count_at(const struct i8254_channel *c, uint64_t t)
{
    uint32_t n = c->reload, m = modulus(c);
    if (!c->started)
        return n % m;
    uint64_t e = elapsed(c, t);
    if (!periodic(c))
        return (uint32_t)((n + m - e % m) % m);
    uint32_t phase = (uint32_t)(e % n);
    if (c->mode == 2)
        return (n - phase) % m;
    uint32_t half = high_half(n); /* counts by two; odd counts load the even number below */
    return ((n & ~1U) - 2 * (phase < half ? phase : phase - half)) % m;
}

static bool out_at(const struct i8254_channel *c, uint64_t t)
{
    uint64_t e = elapsed(c, t);
    switch (c->mode) {
    case 0: return c->started && e >= c->reload;
    case 1: return !c->started || e >= c->reload;
    case 2: return !c->started || !c->gate || e % c->reload != c->reload - 1;
    case 3: return !c->started || !c->gate || e % c->reload < high_half(c->reload);
    default: return !c->started || e != c->reload; /* 4, 5: low for one clock */
    }
}

/* Tick after t of the next rising edge of the output, NO_TICK when none will come by itself. */
static uint64_t next_rise(const struct i8254_channel *c, uint64_t t)
{
    if (!counting(c))
        return NO_TICK;
    uint64_t e = elapsed(c, t), at;
    if (c->mode == 0 || c->mode == 1)
        at = c->reload;
    else if (c->mode >= 4)
        at = c->reload + 1;
    else
        at = e - e % c->reload + c->reload;
    if (c->mode == 3 && c->next_reload && c->next_at > e && c->next_at % c->reload)
        at = c->next_at + (c->next_reload - high_half(c->next_reload)); /* the new count takes over before the edge */
    if (at <= e)
        return NO_TICK;
    return MAX(c->start, t) + (at - e);
}

/* Arms for channel 0's next edge after tick t, but not before `soonest`. */
static void arm(struct i8254 *p, uint64_t t, ns_t soonest)
{
    uint64_t rise = next_rise(&p->ch[0], t);
    p->edge_at = rise == NO_TICK ? VM_TIME_NEVER : (uint64_t)MAX(tick_ns(rise), soonest);
    vm_timer_arm(&p->timer, (ns_t)p->edge_at);
}

/* Drives channel 0's line to the present level and arms for the next edge. */
static void update(struct i8254 *p)
{
    struct i8254_channel *c = &p->ch[0];
    uint64_t t = now_tick(p);
    settle(c, t);
    irq_set(&p->irq, out_at(c, t));
    arm(p, t, 0);
}

static void on_rise(void *opaque, ns_t now)
{
    struct i8254 *p = opaque;
    struct i8254_channel *c = &p->ch[0];
    uint64_t t = now_tick(p);
    settle(c, t);
    irq_set(&p->irq, false);
    irq_set(&p->irq, true);
    arm(p, t, now + MIN_IRQ_NS);
}

/* Loads a count at the next clock. */
static void start(struct i8254_channel *c, uint64_t t)
{
    if (c->next_reload)
        c->reload = c->next_reload;
    c->next_reload = 0;
    c->started = true;
    c->held = 0;
    c->start = t + 1;
}

static uint32_t from_bcd(uint16_t v)
{
    return (v >> 12) * 1000U + (v >> 8 & 15) * 100U + (v >> 4 & 15) * 10U + (v & 15);
}

static uint16_t to_register(const struct i8254_channel *c, uint32_t count)
{
    if (!c->bcd)
        return (uint16_t)count;
    return (uint16_t)(count / 1000 % 10 << 12 | count / 100 % 10 << 8 | count / 10 % 10 << 4 | count % 10);
}

static void write_count(struct i8254 *p, struct i8254_channel *c, uint16_t v, uint64_t t)
{
    uint32_t n = c->bcd ? from_bcd(v) : v;
    if (n == 0 || n > modulus(c))
        n = modulus(c);
    if (n == 1 && periodic(c)) {
        guest_err(&p->errors, "i8254: count 1 in mode %u", c->mode);
        n = 2; /* not legal; the chip stops or counts something */
    }
    bool first = !c->loaded;
    c->loaded = true;
    c->next_reload = n;
    if (triggered(c))
        return; /* waits for the gate */
    if (periodic(c) && !first && counting(c) && t >= c->start)
        c->next_at = cycle_end(c, elapsed(c, t));
    else
        start(c, t);
}

static void write_counter(struct i8254 *p, struct i8254_channel *c, uint8_t v)
{
    uint64_t t = now_tick(p);
    settle(c, t);
    if (c->access == ACCESS_LOW) {
        write_count(p, c, v, t);
    } else if (c->access == ACCESS_HIGH) {
        write_count(p, c, (uint16_t)(v << 8), t);
    } else if (!c->write_high) {
        if (c->mode == 0) { /* the first byte stops the count and drops the output */
            c->held = 0;
            c->started = false;
        }
        c->low = v;
        c->write_high = true;
    } else {
        c->write_high = false;
        write_count(p, c, (uint16_t)(v << 8 | c->low), t);
    }
}

static void latch_count(struct i8254_channel *c, uint64_t t)
{
    if (c->latched)
        return; /* the first latch holds until it was read */
    c->latch = to_register(c, count_at(c, t));
    c->latched = c->access == ACCESS_BOTH ? 2 : 1;
}

/* A count was written and is not the one being counted yet. */
static bool null_count(const struct i8254_channel *c, uint64_t t)
{
    return !c->loaded || c->next_reload || (c->started && t < c->start);
}

static void latch_status(struct i8254_channel *c, uint64_t t)
{
    if (c->status_latched)
        return;
    c->status = (uint8_t)((out_at(c, t) ? STATUS_OUT : 0) | (null_count(c, t) ? STATUS_NULL : 0) | c->access << 4 | c->mode << 1
                          | c->bcd);
    c->status_latched = true;
}

static void read_back(struct i8254 *p, uint8_t v)
{
    uint64_t t = now_tick(p);
    for (unsigned n = 0; n < I8254_CHANNELS; n++) {
        struct i8254_channel *c = &p->ch[n];
        if (!(v & 2 << n))
            continue;
        settle(c, t);
        if (!(v & 0x20))
            latch_count(c, t);
        if (!(v & 0x10))
            latch_status(c, t);
    }
}

static void write_control(struct i8254 *p, uint8_t v)
{
    unsigned n = v >> 6;
    if (n == READ_BACK) {
        read_back(p, v);
        return;
    }
    struct i8254_channel *c = &p->ch[n];
    uint64_t t = now_tick(p);
    settle(c, t);
    if ((v >> 4 & 3) == ACCESS_LATCH) {
        latch_count(c, t);
        return;
    }
    unsigned mode = v >> 1 & 7;
    uint32_t count = count_at(c, t);
    *c = (struct i8254_channel){
        .gate = c->gate,
        .mode = (uint8_t)(mode > 5 ? mode - 4 : mode), /* 6 and 7 are 2 and 3 */
        .access = v >> 4 & 3,
        .bcd = v & 1,
    };
    c->reload = count < 2 ? modulus(c) : MIN(count, modulus(c));
}

static uint8_t read_counter(struct i8254 *p, struct i8254_channel *c)
{
    if (c->status_latched) {
        c->status_latched = false;
        return c->status;
    }
    if (c->latched) {
        bool high = c->access == ACCESS_HIGH || (c->access == ACCESS_BOTH && c->latched == 1);
        c->latched--;
        return (uint8_t)(high ? c->latch >> 8 : c->latch);
    }
    uint64_t t = now_tick(p);
    settle(c, t);
    uint16_t v = to_register(c, count_at(c, t));
    bool high = c->access == ACCESS_HIGH || (c->access == ACCESS_BOTH && c->read_high);
    if (c->access == ACCESS_BOTH)
        c->read_high = !c->read_high;
    return (uint8_t)(high ? v >> 8 : v);
}

static uint64_t i8254_read(void *dev, uint64_t offset, unsigned size)
{
    struct i8254 *p = dev;
    (void)size;
    if (offset >= CONTROL) {
        guest_err(&p->errors, "i8254: read of the control word");
        return 0xff;
    }
    return read_counter(p, &p->ch[offset]);
}

static void i8254_write(void *dev, uint64_t offset, uint64_t value, unsigned size)
{
    struct i8254 *p = dev;
    (void)size;
    if (p->timer.deadline <= vm_clock_now(p->clock)) {
        vm_timer_disarm(&p->timer);
        on_rise(p, vm_clock_now(p->clock)); /* this edge came before the write */
    }
    if (offset >= CONTROL)
        write_control(p, (uint8_t)value);
    else
        write_counter(p, &p->ch[offset], (uint8_t)value);
    if (offset == 0 || (offset >= CONTROL && (value >> 6 & 3) == 0))
        update(p);
}

bool i8254_out(struct i8254 *pit, unsigned n)
{
    uint64_t t = now_tick(pit);
    settle(&pit->ch[n], t);
    return out_at(&pit->ch[n], t);
}

void i8254_set_gate(struct i8254 *pit, unsigned n, bool level)
{
    struct i8254_channel *c = &pit->ch[n];
    uint64_t t = now_tick(pit);
    settle(c, t);
    if (level == c->gate)
        return;
    if (!triggered(c)) { /* freeze, or count on from here */
        c->held = elapsed(c, t);
        c->start = MAX(t, c->start);
    }
    c->gate = level;
    if (level && c->loaded && (triggered(c) || periodic(c)))
        start(c, t);
    if (n == 0)
        update(pit);
}

static void i8254_reset(void *dev)
{
    struct i8254 *p = dev;
    for (unsigned n = 0; n < I8254_CHANNELS; n++)
        p->ch[n] = (struct i8254_channel){ .access = ACCESS_BOTH, .reload = 0x10000, .gate = n != 2, .mode = 3 };
    update(p);
}

static void i8254_done(void *dev)
{
    vm_timer_disarm(&((struct i8254 *)dev)->timer);
}

static int channel_post_load(void *object, struct error *err)
{
    struct i8254_channel *c = object;
    if (c->mode > 5 || c->access < ACCESS_LOW || c->access > ACCESS_BOTH || c->latched > 2)
        return error_set(err, -EINVAL, "i8254: mode %u, access %u or latch %u out of range", c->mode, c->access, c->latched);
    uint32_t min = periodic(c) ? 2 : 1;
    if (c->reload < min || c->reload > modulus(c) || c->next_reload > modulus(c) || (c->next_reload && c->next_reload < min))
        return error_set(err, -EINVAL, "i8254: count %u or %u out of range", c->reload, c->next_reload);
    if ((c->start | c->held | c->next_at) >> 62)
        return error_set(err, -EINVAL, "i8254: a time beyond the end of time");
    return 0;
}

static void i8254_pre_save(void *object)
{
    struct i8254 *p = object;
    uint64_t t = now_tick(p);
    for (unsigned n = 0; n < I8254_CHANNELS; n++)
        settle(&p->ch[n], t);
}

/* The line's level is the receiver's state; an edge that was due is still due. */
static int i8254_post_load(void *object, struct error *err)
{
    struct i8254 *p = object;
    if (p->edge_at > VM_TIME_NEVER)
        return error_set(err, -EINVAL, "i8254: an edge beyond the end of time");
    vm_timer_arm(&p->timer, (ns_t)p->edge_at);
    return 0;
}

static const struct state_field channel_fields[] = {
    STATE_U64(struct i8254_channel, start),
    STATE_U64(struct i8254_channel, held),
    STATE_U64(struct i8254_channel, next_at),
    STATE_U32(struct i8254_channel, reload),
    STATE_U32(struct i8254_channel, next_reload),
    STATE_U16(struct i8254_channel, latch),
    STATE_U8(struct i8254_channel, status),
    STATE_U8(struct i8254_channel, mode),
    STATE_U8(struct i8254_channel, access),
    STATE_U8(struct i8254_channel, low),
    STATE_U8(struct i8254_channel, latched),
    STATE_BOOL(struct i8254_channel, bcd),
    STATE_BOOL(struct i8254_channel, gate),
    STATE_BOOL(struct i8254_channel, write_high),
    STATE_BOOL(struct i8254_channel, read_high),
    STATE_BOOL(struct i8254_channel, status_latched),
    STATE_BOOL(struct i8254_channel, loaded),
    STATE_BOOL(struct i8254_channel, started),
    STATE_END,
};
static const struct state_desc channel_state = {
    .name = "i8254_channel",
    .version = 1,
    .fields = channel_fields,
    .post_load = channel_post_load,
};
static const struct state_field i8254_fields[] = {
    STATE_STRUCTS(struct i8254, ch, &channel_state),
    STATE_U64(struct i8254, edge_at),
    STATE_END,
};
static const struct state_desc i8254_state = {
    .name = "i8254",
    .version = 1,
    .fields = i8254_fields,
    .pre_save = i8254_pre_save,
    .post_load = i8254_post_load,
};

const struct io_ops i8254_io_ops = { .read = i8254_read, .write = i8254_write, .min_size = 1, .max_size = 1 };
const struct device_class i8254_class = {
    .name = "i8254",
    .reset = i8254_reset,
    .done = i8254_done,
    .state = &i8254_state,
};

void i8254_init(struct i8254 *pit, struct vm_clock *clock, const struct irq_line *irq)
{
    *pit = (struct i8254){ .clock = clock, .edge_at = VM_TIME_NEVER };
    if (irq)
        pit->irq = *irq;
    vm_timer_init(&pit->timer, clock, on_rise, pit);
}
