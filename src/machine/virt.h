/* SPDX-License-Identifier: MIT */
/*
 * Board `virt`: a riscv64 machine with the memory map of QEMU's board of that name.
 *
 * The guest starts in S-mode with the monitor as its SBI firmware and finds a device tree (virt_fdt.h) by a1. What QEMU's board
 * has is where it has it; a second UART and virtio-mmio places beyond the eighth are additions.
 */
#ifndef DOPPEL_MACHINE_VIRT_H
#define DOPPEL_MACHINE_VIRT_H

#include "machine/board.h"

enum {
    VIRT_TEST = 0x100000,
    VIRT_RTC = 0x101000,
    VIRT_CLINT = 0x2000000,
    VIRT_PLIC = 0xc000000,
    VIRT_UART = 0x10000000,
    VIRT_UART2 = 0x10000100,
    VIRT_VIRTIO = 0x10001000, /* VIRT_VIRTIO_SLOTS places of VIRT_VIRTIO_STRIDE bytes */
    VIRT_VIRTIO_STRIDE = 0x1000,
    VIRT_VIRTIO_SLOTS = 31,
    VIRT_IRQ_UART = 10,
    VIRT_IRQ_RTC = 11,
    VIRT_IRQ_UART2 = 12,
    VIRT_ECAM = 0x30000000,
    VIRT_PCI = 0x40000000, /* memory of PCI functions, VIRT_PCI_SIZE bytes */
    VIRT_PCI_SIZE = 0x40000000,
    VIRT_IRQ_PCI = 32, /* to 35: INTA# of slots 0, 1, 2, 3, 4, ... in turn */
    VIRT_HARTS_MAX = 8,
};
#define VIRT_RAM 0x80000000UL
#define VIRT_BOOT_END 0x100000000UL /* what is loaded at power-on lies below */

/* The interrupt of a virtio-mmio place: 1 to 8 as on QEMU's board, then 40 and on. */
static inline unsigned virt_virtio_irq(unsigned place)
{
    return place < 8 ? 1 + place : 32 + place;
}

extern const struct board_ops virt_board_ops;

#endif
