/* SPDX-License-Identifier: MIT */
/*
 * I/O APIC: 24 pins, each a redirection entry that turns into a message to the local APICs.
 *
 * irq_lines carry "asserted", not a voltage, so the polarity bit is kept for the guest and has no effect here. Version
 * 20h: it has the EOI register. An edge that comes while its pin is masked is lost, as on the chip.
 * Spec: Intel 82093AA (290566-001); EOI register: Intel ICH9 316972-004, 13.5.
 */
#ifndef DOPPEL_DEVICE_IOAPIC_H
#define DOPPEL_DEVICE_IOAPIC_H

#include "core/bus.h"
#include "core/device.h"

struct lapic_bus;

enum { IOAPIC_IO_SIZE = 0x1000, IOAPIC_PINS = 24 };

struct ioapic {
    struct lapic_bus *lapics; /* borrowed (the board's) */
    struct guest_errors errors;
    /* state */
    uint8_t select; /* IOREGSEL */
    uint8_t id;     /* 4 bits */
    uint32_t lines; /* input levels, a bit a pin */
    uint64_t redir[IOAPIC_PINS];
};

extern const struct io_ops ioapic_io_ops; /* IOAPIC_IO_SIZE bytes */
extern const struct device_class ioapic_class;

/* Also registers itself as the listener for EOI broadcasts of `lapics`. */
void ioapic_init(struct ioapic *ioapic, struct lapic_bus *lapics);
/* An irq_fn: opaque is the struct ioapic, pin 0..23. */
void ioapic_set_irq(void *ioapic, unsigned pin, bool level);
/* A local APIC finished level-triggered `vector`. */
void ioapic_eoi(void *ioapic, uint8_t vector);

#endif
