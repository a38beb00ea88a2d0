/* SPDX-License-Identifier: MIT */
/*
 * I/O APIC: pins to messages.
 */
#include "device/ioapic.h"

#include <errno.h>

#include "device/lapic.h"

enum { REG_SELECT = 0x00, REG_WINDOW = 0x10, REG_EOI = 0x40 };
enum { INDEX_ID = 0, INDEX_VERSION = 1, INDEX_ARBITRATION = 2, INDEX_REDIR = 0x10 };
enum { VERSION = 0x20 | (IOAPIC_PINS - 1) << 16 };
enum {
    REDIR_LOGICAL = 1 << 11,
    REDIR_STATUS = 1 << 12,
    REDIR_REMOTE_IRR = 1 << 14,
    REDIR_LEVEL = 1 << 15,
    REDIR_MASKED = 1 << 16
};
enum { REDIR_LOW_MASK = 0x1ffff, REDIR_READ_ONLY = REDIR_STATUS | REDIR_REMOTE_IRR };
#define REDIR_HIGH_MASK 0xff00000000000000ULL

static unsigned delivery(uint64_t redir)
{
    return redir >> 8 & 7;
}

/* Trigger mode counts for ordinary interrupts only; NMI, INIT, SMI and ExtINT are edges. */
static bool is_level(uint64_t redir)
{
    return (redir & REDIR_LEVEL) && (delivery(redir) == LAPIC_FIXED || delivery(redir) == LAPIC_LOWEST);
}

static void send(struct ioapic *io, unsigned pin)
{
    uint64_t redir = io->redir[pin];
    struct lapic_message msg = {
        .dest = (uint32_t)(redir >> 56),
        .logical = redir & REDIR_LOGICAL,
        .vector = (uint8_t)redir,
        .delivery = (uint8_t)delivery(redir),
        .level = is_level(redir),
    };
    if (is_level(redir)) /* before sending: an EOI may come at once */
        io->redir[pin] |= REDIR_REMOTE_IRR;
    if (lapic_bus_send(io->lapics, &msg) == 0)
        io->redir[pin] &= ~(uint64_t)REDIR_REMOTE_IRR; /* nobody took it: it stays a request */
}

/* Sends a level-triggered pin's interrupt if it is asserted and not in service. */
static void serve_level(struct ioapic *io, unsigned pin)
{
    uint64_t redir = io->redir[pin];
    if (is_level(redir) && (io->lines >> pin & 1) && !(redir & (REDIR_MASKED | REDIR_REMOTE_IRR)))
        send(io, pin);
}

void ioapic_set_irq(void *ioapic, unsigned pin, bool level)
{
    struct ioapic *io = ioapic;
    if (pin >= IOAPIC_PINS)
        return;
    uint32_t bit = 1U << pin;
    bool rise = level && !(io->lines & bit);
    io->lines = level ? io->lines | bit : io->lines & ~bit;
    uint64_t redir = io->redir[pin];
    if (!level || (redir & REDIR_MASKED))
        return;
    if (is_level(redir))
        serve_level(io, pin);
    else if (rise || delivery(redir) == LAPIC_EXTINT) /* the 8259 says "still" after each acknowledge */
        send(io, pin);
}

void ioapic_eoi(void *ioapic, uint8_t vector)
{
    struct ioapic *io = ioapic;
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
        if (!(io->redir[pin] & REDIR_REMOTE_IRR) || (uint8_t)io->redir[pin] != vector)
            continue;
        io->redir[pin] &= ~(uint64_t)REDIR_REMOTE_IRR;
        serve_level(io, pin);
    }
}

static void write_redir(struct ioapic *io, unsigned reg, uint32_t v)
{
    unsigned pin = reg / 2;
    uint64_t *redir = &io->redir[pin];
    if (reg & 1) {
        *redir = (*redir & 0xffffffff) | ((uint64_t)v << 32 & REDIR_HIGH_MASK);
    } else {
        uint64_t keep = *redir & (REDIR_HIGH_MASK | REDIR_READ_ONLY);
        *redir = keep | (v & REDIR_LOW_MASK & ~(uint32_t)REDIR_READ_ONLY);
        if (!is_level(*redir)) /* a level cannot be in service on an edge pin; guests without EOI register rely on it */
            *redir &= ~(uint64_t)REDIR_REMOTE_IRR;
    }
    serve_level(io, pin);
}

static uint32_t read_window(struct ioapic *io)
{
    unsigned reg = io->select;
    if (reg == INDEX_ID || reg == INDEX_ARBITRATION)
        return (uint32_t)io->id << 24;
    if (reg == INDEX_VERSION)
        return VERSION;
    if (reg >= INDEX_REDIR && reg < INDEX_REDIR + 2 * IOAPIC_PINS) {
        uint64_t redir = io->redir[(reg - INDEX_REDIR) / 2];
        return (uint32_t)(reg & 1 ? redir >> 32 : redir);
    }
    guest_err(&io->errors, "ioapic: read of register %#x", reg);
    return 0;
}

static void write_window(struct ioapic *io, uint32_t v)
{
    unsigned reg = io->select;
    if (reg == INDEX_ID)
        io->id = v >> 24 & 0xf;
    else if (reg >= INDEX_REDIR && reg < INDEX_REDIR + 2 * IOAPIC_PINS)
        write_redir(io, reg - INDEX_REDIR, v);
    else
        guest_err(&io->errors, "ioapic: write to register %#x", reg);
}

static uint64_t ioapic_read(void *dev, uint64_t offset, unsigned size)
{
    struct ioapic *io = dev;
    (void)size; /* 4: see the ops */
    if (offset == REG_SELECT)
        return io->select;
    return offset == REG_WINDOW ? read_window(io) : 0;
}

static void ioapic_write(void *dev, uint64_t offset, uint64_t value, unsigned size)
{
    struct ioapic *io = dev;
    (void)size;
    if (offset == REG_SELECT)
        io->select = (uint8_t)value;
    else if (offset == REG_WINDOW)
        write_window(io, (uint32_t)value);
    else if (offset == REG_EOI)
        ioapic_eoi(io, (uint8_t)value);
    else
        guest_err(&io->errors, "ioapic: write at offset %#x", (unsigned)offset);
}

/* The input lines stay: they are the other chips'. */
static void ioapic_reset(void *dev)
{
    struct ioapic *io = dev;
    io->select = io->id = 0;
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++)
        io->redir[pin] = REDIR_MASKED;
}

static int ioapic_post_load(void *object, struct error *err)
{
    struct ioapic *io = object;
    if (io->lines >> IOAPIC_PINS)
        return error_set(err, -EINVAL, "ioapic: lines %#x beyond its %d pins", io->lines, IOAPIC_PINS);
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++)
        io->redir[pin] &= REDIR_HIGH_MASK | REDIR_LOW_MASK;
    io->id &= 0xf;
    return 0;
}

static const struct state_field ioapic_fields[] = {
    STATE_U8(struct ioapic, select),
    STATE_U8(struct ioapic, id),
    STATE_U32(struct ioapic, lines),
    STATE_ARRAY(struct ioapic, redir, STATE_U64),
    STATE_END,
};
static const struct state_desc ioapic_state = {
    .name = "ioapic",
    .version = 1,
    .fields = ioapic_fields,
    .post_load = ioapic_post_load,
};

const struct io_ops ioapic_io_ops = { .read = ioapic_read, .write = ioapic_write, .min_size = 4, .max_size = 4 };
const struct device_class ioapic_class = { .name = "ioapic", .reset = ioapic_reset, .state = &ioapic_state };

void ioapic_init(struct ioapic *ioapic, struct lapic_bus *lapics)
{
    *ioapic = (struct ioapic){ .lapics = lapics };
    ioapic_reset(ioapic);
    lapics->eoi = ioapic_eoi;
    lapics->ioapic = ioapic;
}
