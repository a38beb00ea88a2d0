/* SPDX-License-Identifier: MIT */
/*
 * PCI host bridge: configuration mechanism 1 at CF8h, the ECAM window, the reset register at CF9h, and function 00:00.0.
 *
 * One bus, number 0. Accesses to other buses find nothing.
 * Spec: PCI Local Bus 3.0, 3.2.2.3.2; PCI Firmware 3.3, 4.1.2 (ECAM); Intel 82371SB (PIIX3) 2.5.6 (reset control).
 */
#ifndef DOPPEL_DEVICE_PCIHOST_H
#define DOPPEL_DEVICE_PCIHOST_H

#include "device/pci.h"

enum {
    PCIHOST_IO_SIZE = 8,
    PCIHOST_ECAM_SIZE = 1 << 20, /* one bus: 256 functions of 4 KiB */
    PCIHOST_RESET_PORT = 1,      /* offset: port CF9h */
    PCIHOST_RESET_VALUE = 6,     /* for the FADT */
};

struct pcihost {
    struct pci_bus bus;
    struct irq_line reset; /* pulsed to reset the machine */
    struct guest_errors errors;
    /* state */
    struct pci_func bridge;
    uint32_t address; /* CONFIG_ADDRESS */
    uint8_t reset_control;
};

extern const struct io_ops pcihost_io_ops;   /* PCIHOST_IO_SIZE bytes: port CF8h */
extern const struct io_ops pcihost_ecam_ops; /* PCIHOST_ECAM_SIZE bytes, same device pointer */
extern const struct device_class pcihost_class;

/* Devices are added to host->bus with pci_bus_add(). The line is copied. */
void pcihost_init(struct pcihost *host, struct bus *mmio, struct bus *pio, const struct irq_line *reset);

#endif
