/* SPDX-License-Identifier: MIT */
/*
 * Local APICs on a bus, enabled, each with a vCPU that nobody runs.
 */
#ifndef DOPPEL_TESTS_SUPPORT_LAPICS_H
#define DOPPEL_TESTS_SUPPORT_LAPICS_H

#include "device/lapic.h"
#include "support/chip.h"

enum { LAPICS = 4 };

static struct vm_clock vclock;
static struct lapic_bus bus;
static struct lapic apic[LAPICS];
static struct vcpu cpu[LAPICS];
static unsigned eois; /* of level-triggered interrupts, that the bus told of */
static uint8_t last_eoi;

static inline void lapics_eoi_seen(void *opaque, uint8_t vector)
{
    (void)opaque;
    eois++;
    last_eoi = vector;
}

static inline int lapics_setup(void **state)
{
    (void)state;
    test_clock(&vclock);
    lapic_bus_init(&bus);
    bus.eoi = lapics_eoi_seen;
    eois = 0;
    last_eoi = 0;
    for (unsigned i = 0; i < LAPICS; i++) {
        memset(&cpu[i], 0, sizeof(cpu[i]));
        cpu[i].id = i;
        lapic_init(&apic[i], &bus, i, &cpu[i], &vclock);
        lapic_class.reset(&apic[i]);
        lapic_write(&apic[i], LAPIC_SVR, LAPIC_SVR_ENABLE | 0xff);
    }
    return 0;
}

static inline int lapics_teardown(void **state)
{
    (void)state;
    for (unsigned i = 0; i < LAPICS; i++)
        lapic_class.done(&apic[i]);
    return 0;
}

#endif
