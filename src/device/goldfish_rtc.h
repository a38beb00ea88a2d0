/* SPDX-License-Identifier: MIT */
/*
 * Goldfish real-time clock: nanoseconds since 1970 in two registers, and one alarm.
 *
 * Time is the guest's wall clock plus an offset that the guest changes by writing it; reading the low half holds the high one.
 * Spec: platform/external/qemu docs/GOLDFISH-VIRTUAL-HARDWARE.TXT, "Goldfish real-time clock"; Linux
 * drivers/rtc/rtc-goldfish.c for setting the time, which is not in there
 */
#ifndef DOPPEL_DEVICE_GOLDFISH_RTC_H
#define DOPPEL_DEVICE_GOLDFISH_RTC_H

#include "core/bus.h"
#include "core/device.h"
#include "core/irq.h"
#include "core/vm_clock.h"

enum { GOLDFISH_RTC_IO_SIZE = 0x1000 };

struct goldfish_rtc {
    struct vm_clock *clock; /* borrowed (the machine's) */
    struct irq_line irq;
    struct vm_timer timer;
    struct guest_errors errors;
    /* state */
    uint64_t offset; /* signed ns, added to the wall clock; it survives a reset */
    uint64_t alarm;  /* ns since 1970 */
    uint32_t high;   /* of the time, as the last read of the low half left it */
    bool armed;      /* the alarm is to come */
    bool pending;    /* it came, and was not acknowledged */
    bool enabled;    /* it interrupts */
};

extern const struct io_ops goldfish_rtc_io_ops; /* GOLDFISH_RTC_IO_SIZE bytes */
extern const struct device_class goldfish_rtc_class;

/* The line is copied. */
void goldfish_rtc_init(struct goldfish_rtc *rtc, struct vm_clock *clock, const struct irq_line *irq);

#endif
