/* SPDX-License-Identifier: MIT */
/*
 * The ACPI tables of board `pc`.
 *
 * RSDP first (16-byte aligned at the start, where a guest without boot parameters searches), then XSDT, FACS, DSDT,
 * FADT, MADT, MCFG. The DSDT is compiled from dsdt.asl at build time.
 * Spec: ACPI 6.5 chapter 5; PCI Firmware 3.3, 4.1.2 (MCFG).
 */
#ifndef DOPPEL_MACHINE_ACPI_H
#define DOPPEL_MACHINE_ACPI_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct acpi_args {
    uint32_t base; /* guest physical address where the tables will lie, a multiple of 64 */
    unsigned cpus; /* local APIC IDs 0 .. cpus-1 */
};

/* Writes the tables to buf, `cap` bytes, the rest zeroed; the RSDP is at args->base. -ENOSPC. */
MUST_CHECK int acpi_build(const struct acpi_args *args, uint8_t *buf, size_t cap, struct error *err);

#endif
