/* SPDX-License-Identifier: MIT */
/*
 * 8259A: request, service and mask registers, and who wins.
 *
 * A request is a latched edge (irr) or the level itself on level-triggered lines; `requests` gives both. Priorities are
 * handled by rotating the registers so that the highest-priority line is bit 0.
 */
#include "device/i8259.h"

#include <errno.h>

enum { ICW1_ICW4 = 0x01, ICW1_SINGLE = 0x02, ICW1_LTIM = 0x08, ICW1_INIT = 0x10 };
enum { ICW4_8086 = 0x01, ICW4_AEOI = 0x02, ICW4_SFNM = 0x10 };
enum { OCW3_SELECT = 0x08, OCW3_READ_ISR = 0x01, OCW3_READ = 0x02, OCW3_POLL = 0x04, OCW3_SMM = 0x20, OCW3_ESMM = 0x40 };
enum ocw2 {
    OCW2_ROTATE_AEOI_OFF,
    OCW2_EOI,
    OCW2_NOP,
    OCW2_SPECIFIC_EOI,
    OCW2_ROTATE_AEOI_ON,
    OCW2_ROTATE_EOI,
    OCW2_SET_PRIORITY,
    OCW2_ROTATE_SPECIFIC
};
enum { SPURIOUS = 7, NOBODY = 8 };

/* bit 0 of the result is the line with the highest priority */
static uint8_t rotate(const struct i8259 *p, uint8_t lines)
{
    unsigned by = (p->lowest + 1) & 7;
    return (uint8_t)(lines >> by | lines << (8 - by));
}

/* Rank (0 highest) of the first of these lines, NOBODY for none. */
static unsigned rank(const struct i8259 *p, uint8_t lines)
{
    return lines ? (unsigned)__builtin_ctz(rotate(p, lines)) : NOBODY;
}

static unsigned line_of_rank(const struct i8259 *p, unsigned r)
{
    return (p->lowest + 1 + r) & 7;
}

static uint8_t requests(const struct i8259 *p)
{
    uint8_t level = p->icw1 & ICW1_LTIM ? 0xff : p->elcr;
    return (uint8_t)((p->irr & ~level) | (p->lines & level));
}

/* Line that asserts INT now, or -1. */
static int winner(const struct i8259 *p)
{
    unsigned r = rank(p, requests(p) & (uint8_t)~p->imr);
    if (r == NOBODY)
        return -1;
    uint8_t serving = p->isr;
    if (p->special_mask)
        serving &= (uint8_t)~p->imr;
    unsigned line = line_of_rank(p, r), busy = rank(p, serving);
    /* in special fully nested mode a slave that is being served may interrupt again */
    if ((p->icw4 & ICW4_SFNM) && p->slave && line == I8259_CASCADE_PIN && r == busy)
        return (int)line;
    return r < busy ? (int)line : -1;
}

static void update(struct i8259 *p)
{
    irq_set(&p->intr, p->expect == 0 && winner(p) >= 0);
}

void i8259_set_irq(void *pic, unsigned pin, bool level)
{
    struct i8259 *p = pic;
    uint8_t bit = (uint8_t)(1 << (pin & 7));
    if (level && !(p->lines & bit))
        p->irr |= bit;
    if (!level)
        p->irr &= (uint8_t)~bit; /* the request must stay up until it is acknowledged */
    p->lines = (uint8_t)(level ? p->lines | bit : p->lines & ~bit);
    update(p);
}

static void acknowledge(struct i8259 *p, unsigned line)
{
    uint8_t bit = (uint8_t)(1 << line);
    p->irr &= (uint8_t)~bit;
    if (!(p->icw4 & ICW4_AEOI))
        p->isr |= bit;
    else if (p->rotate_aeoi)
        p->lowest = (uint8_t)line;
    update(p);
}

int i8259_inta(void *pic, bool take)
{
    struct i8259 *p = pic;
    struct i8259 *slave = p->slave;
    int line = winner(p);
    if (line < 0)
        return p->vector + SPURIOUS; /* the request went away: line 7, without its in-service bit */
    if (line != I8259_CASCADE_PIN || !slave) {
        if (take)
            acknowledge(p, (unsigned)line);
        return p->vector + line;
    }
    int slave_line = winner(slave);
    if (take) {
        acknowledge(p, (unsigned)line);
        if (slave_line >= 0)
            acknowledge(slave, (unsigned)slave_line);
    }
    return slave->vector + (slave_line < 0 ? SPURIOUS : slave_line);
}

static void end_of_interrupt(struct i8259 *p, unsigned line, bool rotates)
{
    p->isr &= (uint8_t) ~(1 << line);
    if (rotates)
        p->lowest = (uint8_t)line;
}

/* Non-specific EOI ends the in-service line with the highest priority; masked ones are passed over in special mask mode. */
static void nonspecific_eoi(struct i8259 *p, bool rotates)
{
    uint8_t serving = p->special_mask ? p->isr & (uint8_t)~p->imr : p->isr;
    unsigned r = rank(p, serving);
    if (r != NOBODY)
        end_of_interrupt(p, line_of_rank(p, r), rotates);
}

static void write_ocw2(struct i8259 *p, uint8_t v)
{
    unsigned line = v & 7;
    switch ((enum ocw2)(v >> 5)) {
    case OCW2_ROTATE_AEOI_OFF: p->rotate_aeoi = false; break;
    case OCW2_ROTATE_AEOI_ON: p->rotate_aeoi = true; break;
    case OCW2_EOI: nonspecific_eoi(p, false); break;
    case OCW2_ROTATE_EOI: nonspecific_eoi(p, true); break;
    case OCW2_SPECIFIC_EOI: end_of_interrupt(p, line, false); break;
    case OCW2_ROTATE_SPECIFIC: end_of_interrupt(p, line, true); break;
    case OCW2_SET_PRIORITY: p->lowest = (uint8_t)line; break;
    case OCW2_NOP: break;
    }
}

static void write_ocw3(struct i8259 *p, uint8_t v)
{
    p->poll = v & OCW3_POLL;
    if (v & OCW3_READ)
        p->read_isr = v & OCW3_READ_ISR;
    if (v & OCW3_ESMM)
        p->special_mask = v & OCW3_SMM;
}

/* Spec: "Initialization command word 1": what an ICW1 does by itself */
static void write_icw1(struct i8259 *p, uint8_t v)
{
    p->icw1 = v;
    p->irr = p->isr = p->imr = 0; /* the edge detectors are cleared: a line that is up must fall first */
    p->lowest = 7;
    p->special_mask = p->read_isr = p->poll = p->rotate_aeoi = false;
    if (!(v & ICW1_ICW4))
        p->icw4 = 0;
    p->expect = 2;
}

static void write_odd(struct i8259 *p, uint8_t v)
{
    bool icw4 = p->icw1 & ICW1_ICW4;
    switch (p->expect) {
    case 2:
        p->vector = v & 0xf8;
        p->expect = !(p->icw1 & ICW1_SINGLE) ? 3 : icw4 ? 4 : 0;
        break;
    case 3:
        p->icw3 = v;
        if (v != (p->is_slave ? I8259_CASCADE_PIN : 1 << I8259_CASCADE_PIN))
            guest_err(&p->errors, "i8259: ICW3 %#x does not match the wiring", v);
        p->expect = icw4 ? 4 : 0;
        break;
    case 4:
        p->icw4 = v;
        if (!(v & ICW4_8086))
            guest_err(&p->errors, "i8259: MCS-80 mode on a PC");
        p->expect = 0;
        break;
    default: p->imr = v; break;
    }
}

static void i8259_write(void *dev, uint64_t offset, uint64_t value, unsigned size)
{
    struct i8259 *p = dev;
    uint8_t v = (uint8_t)value;
    (void)size;
    if (offset & 1)
        write_odd(p, v);
    else if (v & ICW1_INIT)
        write_icw1(p, v);
    else if (v & OCW3_SELECT)
        write_ocw3(p, v);
    else
        write_ocw2(p, v);
    update(p);
}

/* The poll command's answer: bit 7 and the line, acknowledged. Spec: "Poll command" */
static uint8_t poll(struct i8259 *p)
{
    p->poll = false;
    int line = winner(p);
    if (line < 0)
        return 0;
    acknowledge(p, (unsigned)line);
    return (uint8_t)(0x80 | line);
}

static uint64_t i8259_read(void *dev, uint64_t offset, unsigned size)
{
    struct i8259 *p = dev;
    (void)size;
    if (p->poll)
        return poll(p);
    if (offset & 1)
        return p->imr;
    return p->read_isr ? p->isr : requests(p);
}

static uint64_t elcr_read(void *dev, uint64_t offset, unsigned size)
{
    (void)offset;
    (void)size;
    return ((struct i8259 *)dev)->elcr;
}

static void elcr_write(void *dev, uint64_t offset, uint64_t value, unsigned size)
{
    struct i8259 *p = dev;
    (void)offset;
    (void)size;
    p->elcr = (uint8_t)value & p->elcr_mask;
    update(p);
}

/* The input lines stay: they are the other chips'. */
static void i8259_reset(void *dev)
{
    struct i8259 *p = dev;
    p->irr = p->isr = p->imr = p->elcr = p->vector = p->icw1 = p->icw3 = p->icw4 = p->expect = 0;
    p->lowest = 7;
    p->read_isr = p->poll = p->special_mask = p->rotate_aeoi = false;
    update(p);
}

/* The output's level is the receiver's state. */
static int i8259_post_load(void *object, struct error *err)
{
    struct i8259 *p = object;
    if (p->lowest > 7 || p->expect > 4 || p->expect == 1)
        return error_set(err, -EINVAL, "i8259: priority %u or ICW %u out of range", p->lowest, p->expect);
    if (p->vector & 7)
        return error_set(err, -EINVAL, "i8259: vector base %#x is not a multiple of 8", p->vector);
    p->elcr &= p->elcr_mask;
    return 0;
}

static const struct state_field i8259_fields[] = {
    STATE_U8(struct i8259, lines),         STATE_U8(struct i8259, irr),
    STATE_U8(struct i8259, isr),           STATE_U8(struct i8259, imr),
    STATE_U8(struct i8259, elcr),          STATE_U8(struct i8259, vector),
    STATE_U8(struct i8259, icw1),          STATE_U8(struct i8259, icw3),
    STATE_U8(struct i8259, icw4),          STATE_U8(struct i8259, expect),
    STATE_U8(struct i8259, lowest),        STATE_BOOL(struct i8259, read_isr),
    STATE_BOOL(struct i8259, poll),        STATE_BOOL(struct i8259, special_mask),
    STATE_BOOL(struct i8259, rotate_aeoi), STATE_END,
};
static const struct state_desc i8259_state = {
    .name = "i8259",
    .version = 1,
    .fields = i8259_fields,
    .post_load = i8259_post_load,
};

const struct io_ops i8259_io_ops = { .read = i8259_read, .write = i8259_write, .min_size = 1, .max_size = 1 };
const struct io_ops i8259_elcr_io_ops = { .read = elcr_read, .write = elcr_write, .min_size = 1, .max_size = 1 };
const struct device_class i8259_class = { .name = "i8259", .reset = i8259_reset, .state = &i8259_state };

void i8259_init(struct i8259 *pic, struct i8259 *slave, const struct irq_line *intr)
{
    *pic = (struct i8259){
        .slave = slave,
        .is_slave = !slave,
        /* IRQ 0, 1, 2, 8 and 13 are always edges */
        .elcr_mask = slave ? 0xf8 : 0xde,
    };
    if (intr)
        pic->intr = *intr;
}
