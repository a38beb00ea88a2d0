/* SPDX-License-Identifier: MIT */
/*
 * ACPI fixed hardware: PM1a event and control blocks and the power management timer.
 *
 * The machine is always in ACPI mode (no SMI command port), so SCI_EN reads 1. Sleep states other than S5 do not exist.
 * One general-purpose
 * event, 0: somebody asks for a shutdown (the DSDT notifies the guest). The reset register is port CF9h, in pcihost.
 * Spec: ACPI 6.5, 4.8.3 and 4.8.1.
 */
#ifndef DOPPEL_DEVICE_ACPIPM_H
#define DOPPEL_DEVICE_ACPIPM_H

#include "core/bus.h"
#include "core/device.h"
#include "core/irq.h"
#include "core/vm_clock.h"

enum {
    ACPIPM_IO_SIZE = 16,
    ACPIPM_EVT = 0,  /* offset of PM1a_EVT_BLK, 4 bytes: status, enable */
    ACPIPM_CNT = 4,  /* offset of PM1a_CNT_BLK, 2 bytes */
    ACPIPM_TMR = 8,  /* offset of PM_TMR_BLK, 4 bytes */
    ACPIPM_GPE = 12, /* offset of GPE0_BLK, 2 bytes: status, enable */
    ACPIPM_GPE_LEN = 2,
    ACPIPM_S5 = 5, /* SLP_TYP value for the DSDT's _S5 */
    ACPIPM_HZ = 3579545,
};

struct acpipm {
    struct vm_clock *clock;   /* borrowed (the machine's) */
    struct irq_line sci;      /* level */
    struct irq_line poweroff; /* pulsed on entry to S5 */
    bool timer32;             /* the PM timer has 32 bits (FADT TMR_VAL_EXT), else 24 */
    struct vm_timer timer;
    struct guest_errors errors;
    /* state */
    uint16_t status, enable, control;
    uint8_t gpe_status, gpe_enable;
    uint64_t toggles; /* times the timer's top bit had changed when TMR_STS was last looked at */
};

extern const struct io_ops acpipm_io_ops; /* ACPIPM_IO_SIZE bytes */
extern const struct device_class acpipm_class;

/* The lines are copied. */
void acpipm_init(struct acpipm *pm, struct vm_clock *clock, bool timer32, const struct irq_line *sci,
                 const struct irq_line *poweroff);
/* The user presses the power button; when the guest has not enabled its event, a shutdown is asked for by GPE 0 instead. Whether
 * the guest listens to either. Machine's lock held. */
bool acpipm_power_button(struct acpipm *pm);

#endif
