/* SPDX-License-Identifier: MIT */
/*
 * Board `pc`: an x86-64 machine with the chips of a PC, PCI, ACPI and no firmware of its own.
 *
 * The guest sees, by pc_regions below: RAM, a hole for legacy video, ACPI tables where a BIOS would be (and zeros where option
 * ROMs would), a window for PCI
 * memory, ECAM, IOAPIC, local APICs, and the rest of RAM from 4 GiB on.
 */
#ifndef DOPPEL_MACHINE_PC_H
#define DOPPEL_MACHINE_PC_H

#include "machine/board.h"

enum {
    PC_LOW_RAM_END = 0xa0000, /* video memory: nothing */
    PC_ROMS = 0xc0000,        /* where option ROMs would be: shadow RAM, zeros. Kernels search it 16 bytes at a time */
    PC_TABLES = 0xe0000,      /* ACPI tables, written by us at power-on */
    PC_TABLES_END = 0x100000,
};
#define PC_RAM_HOLE 0xc0000000UL /* RAM ends here, at 3 GiB; PCI memory window up to ECAM */
#define PC_ECAM 0xe0000000UL
#define PC_IOAPIC 0xfec00000UL
#define PC_LAPIC 0xfee00000UL
#define PC_RAM_HIGH 0x100000000UL /* the rest of RAM */

enum { PC_PM_BASE = 0x600, PC_DEBUGEXIT = 0xf4, PC_CF8 = 0xcf8 };
enum { PC_IRQ_PIT = 0, PC_IRQ_KBD = 1, PC_IRQ_COM2 = 3, PC_IRQ_COM1 = 4, PC_IRQ_RTC = 8, PC_IRQ_SCI = 9 };
enum { PC_GSI_PIT = 2, PC_GSI_PCI = 16 }; /* PCI INTA#..INTD# of slot 0 are GSI 16..19; each next slot is turned by one */

extern const struct board_ops pc_board_ops;

#endif
