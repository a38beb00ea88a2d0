/* SPDX-License-Identifier: MIT */
/*
 * MC146818: time from the wall clock, interrupt flags found by looking back.
 *
 * "RTC time" is the guest's wall clock plus `offset`, in ns since 1970; the time registers show its seconds. refresh()
 * sets the flags of everything that happened in (checked, now]; a host timer is armed only for events that would
 * interrupt.
 */
#include "device/mc146818.h"

#include <errno.h>
#include <time.h>

enum rtc_reg { SEC, SEC_ALARM, MIN_, MIN_ALARM, HOUR, HOUR_ALARM, WEEKDAY, DAY, MONTH, YEAR, REG_A, REG_B, REG_C, REG_D };
enum { A_UIP = 0x80, A_DIVIDER = 0x70, A_NORMAL = 0x20, A_HELD = 0x60, A_RATE = 0x0f };
enum { B_SET = 0x80, B_PIE = 0x40, B_AIE = 0x20, B_UIE = 0x10, B_BINARY = 0x04, B_24H = 0x02, B_DSE = 0x01 };
enum { C_IRQF = 0x80, C_PF = 0x40, C_AF = 0x20, C_UF = 0x10, C_FLAGS = C_PF | C_AF | C_UF };
enum { D_VALID = 0x80 };
enum { HOUR_PM = 0x80, ALARM_ANY = 0xc0 };
enum { INDEX_MASK = 0x7f };
enum { UPDATE_NS = 244000 + 1984000 }; /* UIP is up this long before the registers change. Spec: table 6 */
#define SECOND ((uint64_t)NS_PER_S)

static bool held(const struct mc146818 *r)
{
    return (r->ram[REG_B] & B_SET) || (r->ram[REG_A] & A_HELD) == A_HELD;
}

static uint64_t rtc_now(const struct mc146818 *r)
{
    uint64_t t = (uint64_t)vm_clock_wall(r->clock) + r->offset;
    return t >> 63 ? 0 : t;
}

/* Period of the periodic interrupt in ns, 0 for none. Spec: table 5, 32.768 kHz */
static uint64_t period(const struct mc146818 *r)
{
    unsigned rate = r->ram[REG_A] & A_RATE;
    if (rate == 0 || held(r))
        return 0;
    if (rate <= 2)
        rate += 7;
    return (SECOND << (rate - 1)) / 32768;
}

static uint8_t encode(const struct mc146818 *r, unsigned v)
{
    return (uint8_t)(r->ram[REG_B] & B_BINARY ? v : v / 10 % 10 << 4 | v % 10);
}

static unsigned decode(const struct mc146818 *r, uint8_t v)
{
    return r->ram[REG_B] & B_BINARY ? v : (v >> 4) * 10U + (v & 15);
}

static uint8_t encode_hour(const struct mc146818 *r, unsigned hour)
{
    if (r->ram[REG_B] & B_24H)
        return encode(r, hour);
    return encode(r, (hour + 11) % 12 + 1) | (hour >= 12 ? HOUR_PM : 0);
}

static unsigned decode_hour(const struct mc146818 *r, uint8_t v)
{
    if (r->ram[REG_B] & B_24H)
        return decode(r, v);
    return decode(r, v & (uint8_t)~HOUR_PM) % 12 + (v & HOUR_PM ? 12 : 0);
}

/* Fills the time registers with RTC time t. */
static void show_time(struct mc146818 *r, uint64_t t)
{
    time_t s = (time_t)(t / SECOND);
    struct tm tm;
    if (!gmtime_r(&s, &tm))
        return;
    r->ram[SEC] = encode(r, (unsigned)tm.tm_sec);
    r->ram[MIN_] = encode(r, (unsigned)tm.tm_min);
    r->ram[HOUR] = encode_hour(r, (unsigned)tm.tm_hour);
    r->ram[WEEKDAY] = encode(r, (unsigned)tm.tm_wday + 1);
    r->ram[DAY] = encode(r, (unsigned)tm.tm_mday);
    r->ram[MONTH] = encode(r, (unsigned)tm.tm_mon + 1);
    r->ram[YEAR] = encode(r, (unsigned)tm.tm_year % 100);
    r->ram[MC146818_CENTURY] = encode(r, (unsigned)(tm.tm_year / 100 + 19));
}

/* RTC time that the registers say, nonsense values carried over as a calendar does. */
static uint64_t registers_time(const struct mc146818 *r)
{
    int century = (int)decode(r, r->ram[MC146818_CENTURY]);
    struct tm tm = {
        .tm_sec = (int)decode(r, r->ram[SEC]),
        .tm_min = (int)decode(r, r->ram[MIN_]),
        .tm_hour = (int)decode_hour(r, r->ram[HOUR]),
        .tm_mday = (int)decode(r, r->ram[DAY]),
        .tm_mon = (int)decode(r, r->ram[MONTH]) - 1,
        .tm_year = (int)decode(r, r->ram[YEAR]) + (century - 19) * 100,
    };
    int64_t s = timegm(&tm);
    if (s < 0 || s >= (int64_t)(VM_TIME_NEVER / NS_PER_S))
        return 0;
    return (uint64_t)s * SECOND;
}

static bool alarm_matches(const struct mc146818 *r, enum rtc_reg alarm, uint8_t value)
{
    return r->ram[alarm] >= ALARM_ANY || r->ram[alarm] == value;
}

/* Next RTC time after t at which the alarm goes off, UINT64_MAX for never. The rest of this minute, of this hour, hours of
 * a day, then minutes and seconds again: fewer than 300 steps. */
static uint64_t next_alarm(const struct mc146818 *r, uint64_t t)
{
    uint64_t s = t / SECOND + 1;
    for (unsigned step = 0; step < 300; step++) {
        unsigned hour = (unsigned)(s / 3600 % 24), min = (unsigned)(s / 60 % 60), sec = (unsigned)(s % 60);
        if (!alarm_matches(r, HOUR_ALARM, encode_hour(r, hour)))
            s += 3600 - min * 60 - sec;
        else if (!alarm_matches(r, MIN_ALARM, encode(r, min)))
            s += 60 - sec;
        else if (!alarm_matches(r, SEC_ALARM, encode(r, sec)))
            s++;
        else
            return s * SECOND;
    }
    return UINT64_MAX;
}

/* Sets the flags of what happened since the last look. */
static void refresh(struct mc146818 *r)
{
    uint64_t now = rtc_now(r), since = r->checked, p = period(r);
    r->checked = now;
    if (now <= since)
        return;
    if (p && now / p != since / p)
        r->ram[REG_C] |= C_PF;
    if (held(r) || now / SECOND == since / SECOND)
        return;
    r->ram[REG_C] |= C_UF;
    if (next_alarm(r, since) <= now)
        r->ram[REG_C] |= C_AF;
}

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Drives the line and arms for the next event that will interrupt. */
static void update(struct mc146818 *r)
{
    refresh(r);
    uint8_t enabled = r->ram[REG_B] & C_FLAGS; /* same bits */
    bool up = r->ram[REG_C] & enabled;
    r->ram[REG_C] = (uint8_t)((r->ram[REG_C] & C_FLAGS) | (up ? C_IRQF : 0));
    irq_set(&r->irq, up);
    uint64_t now = rtc_now(r), next = UINT64_MAX, p = period(r);
    if (!up && (enabled & C_PF) && p)
        next = (now / p + 1) * p;
    if (!up && (enabled & C_UF) && !held(r))
        next = min_u64(next, (now / SECOND + 1) * SECOND);
    if (!up && (enabled & C_AF) && !held(r))
        next = min_u64(next, next_alarm(r, now));
    uint64_t at = (uint64_t)vm_clock_now(r->clock) + (next - now);
    vm_timer_arm(&r->timer, next == UINT64_MAX || at >> 63 ? VM_TIME_NEVER : (ns_t)at);
}

static void on_event(void *opaque, ns_t now)
{
    (void)now;
    update(opaque);
}

/* Makes RTC time t now. */
static void set_time(struct mc146818 *r, uint64_t t)
{
    r->offset = t - (uint64_t)vm_clock_wall(r->clock);
    r->checked = t;
}

/* Before a change of A or B: the registers take the time if the clock runs. */
static void hold_time(struct mc146818 *r)
{
    if (!held(r))
        show_time(r, rtc_now(r));
}

static void write_a(struct mc146818 *r, uint8_t v)
{
    bool was = held(r), reset = (r->ram[REG_A] & A_HELD) == A_HELD;
    hold_time(r);
    r->ram[REG_A] = v & (uint8_t)~A_UIP;
    if ((v & A_DIVIDER) != A_NORMAL && (v & A_HELD) != A_HELD)
        guest_err(&r->errors, "mc146818: divider %#x for another crystal", v);
    if (was && !held(r)) /* the first update comes half a second after a divider reset */
        set_time(r, registers_time(r) + (reset ? SECOND / 2 : 0));
}

static void write_b(struct mc146818 *r, uint8_t v)
{
    bool was = held(r);
    if (v & B_SET)
        v &= (uint8_t)~B_UIE;
    if (v & B_DSE)
        guest_err(&r->errors, "mc146818: daylight saving is not done");
    hold_time(r);
    uint8_t flip = v ^ r->ram[REG_B];
    bool plain = !(flip & (B_BINARY | B_24H)); /* else the registers' contents now read differently, as on the chip */
    r->ram[REG_B] = v;
    if (was && !held(r))
        set_time(r, registers_time(r));
    else if (!was && held(r) && !plain)
        show_time(r, rtc_now(r)); /* chosen together with SET: the time is stored in the new format */
}

/* A time register written while the clock runs: that field changes at once. */
static void write_time(struct mc146818 *r, unsigned reg, uint8_t v)
{
    uint64_t frac = rtc_now(r) % SECOND;
    hold_time(r);
    r->ram[reg] = v;
    if (!held(r))
        set_time(r, registers_time(r) + frac);
}

static bool is_time(unsigned reg)
{
    return (reg <= YEAR && reg != SEC_ALARM && reg != MIN_ALARM && reg != HOUR_ALARM) || reg == MC146818_CENTURY;
}

static void write_reg(struct mc146818 *r, unsigned reg, uint8_t v)
{
    refresh(r);
    if (is_time(reg))
        write_time(r, reg, v);
    else if (reg == REG_A)
        write_a(r, v);
    else if (reg == REG_B)
        write_b(r, v);
    else if (reg == REG_C || reg == REG_D)
        guest_err(&r->errors, "mc146818: write to read-only register %#x", reg);
    else
        r->ram[reg] = v;
    update(r);
}

static uint8_t read_reg(struct mc146818 *r, unsigned reg)
{
    if (is_time(reg)) {
        if (!held(r))
            show_time(r, rtc_now(r));
        return r->ram[reg];
    }
    if (reg == REG_A) {
        bool uip = !held(r) && rtc_now(r) % SECOND >= SECOND - UPDATE_NS;
        return r->ram[REG_A] | (uip ? A_UIP : 0);
    }
    if (reg == REG_C) {
        update(r);
        uint8_t v = r->ram[REG_C];
        r->ram[REG_C] = 0;
        update(r);
        return v;
    }
    return reg == REG_D ? D_VALID : r->ram[reg];
}

static uint64_t rtc_read(void *dev, uint64_t offset, unsigned size)
{
    struct mc146818 *r = dev;
    (void)size;
    if (offset == 0)
        return 0xff; /* the index is write-only */
    return read_reg(r, r->index & INDEX_MASK);
}

static void rtc_write(void *dev, uint64_t offset, uint64_t value, unsigned size)
{
    struct mc146818 *r = dev;
    (void)size;
    if (offset == 0)
        r->index = (uint8_t)value;
    else
        write_reg(r, r->index & INDEX_MASK, (uint8_t)value);
}

void mc146818_poke(struct mc146818 *rtc, unsigned index, uint8_t value)
{
    if (index > REG_D && index < MC146818_NVRAM && index != MC146818_CENTURY)
        rtc->ram[index] = value;
}

/* RESET clears the interrupt enables and flags; time and memory live on the battery. */
static void rtc_reset(void *dev)
{
    struct mc146818 *r = dev;
    refresh(r);
    r->index = 0;
    if (held(r)) {
        uint64_t t = registers_time(r);
        r->ram[REG_B] &= (uint8_t)~B_SET;
        r->ram[REG_A] = A_NORMAL | 6;
        set_time(r, t);
    }
    r->ram[REG_A] = A_NORMAL | 6; /* as firmware leaves it: 1024 Hz */
    r->ram[REG_B] &= (uint8_t) ~(B_PIE | B_AIE | B_UIE | 0x08);
    r->ram[REG_C] = 0;
    update(r);
}

static void rtc_done(void *dev)
{
    vm_timer_disarm(&((struct mc146818 *)dev)->timer);
}

/* The saved registers show the time of the save, and a loaded clock keeps its own time. */
static void rtc_pre_save(void *object)
{
    struct mc146818 *r = object;
    update(r);
    hold_time(r);
}

static int rtc_post_load(void *object, struct error *err)
{
    struct mc146818 *r = object;
    if (r->checked >> 63)
        return error_set(err, -EINVAL, "mc146818: a time beyond the end of time");
    r->ram[REG_A] &= (uint8_t)~A_UIP;
    vm_timer_arm(&r->timer, vm_clock_now(r->clock)); /* looks at what happened since, once time goes on */
    return 0;
}

static const struct state_field rtc_fields[] = {
    STATE_U8(struct mc146818, index),
    STATE_BYTES(struct mc146818, ram),
    STATE_U64(struct mc146818, offset),
    STATE_U64(struct mc146818, checked),
    STATE_END,
};
static const struct state_desc rtc_state = {
    .name = "mc146818",
    .version = 1,
    .fields = rtc_fields,
    .pre_save = rtc_pre_save,
    .post_load = rtc_post_load,
};

const struct io_ops mc146818_io_ops = { .read = rtc_read, .write = rtc_write, .min_size = 1, .max_size = 1 };
const struct device_class mc146818_class = {
    .name = "mc146818",
    .reset = rtc_reset,
    .done = rtc_done,
    .state = &rtc_state,
};

void mc146818_init(struct mc146818 *rtc, struct vm_clock *clock, const struct irq_line *irq)
{
    *rtc = (struct mc146818){ .clock = clock };
    if (irq)
        rtc->irq = *irq;
    rtc->ram[REG_A] = A_NORMAL | 6;
    rtc->ram[REG_B] = B_24H;
    vm_timer_init(&rtc->timer, clock, on_event, rtc);
    rtc->checked = rtc_now(rtc);
}
