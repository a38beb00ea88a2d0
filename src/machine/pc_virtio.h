/* SPDX-License-Identifier: MIT */
/*
 * The virtio devices of board `pc`: each behind a virtio-pci function in a PCI slot of its own, from slot 1 on.
 *
 * INTA# of slot s is GSI PC_GSI_PCI + s % 4, which the slots share; MSI-X goes to the local APICs. pc_virtio_assign() does what
 * firmware does: it gives the BARs addresses, in the window at PC_RAM_HOLE.
 */
#ifndef DOPPEL_MACHINE_PC_VIRTIO_H
#define DOPPEL_MACHINE_PC_VIRTIO_H

#include "device/virtio/pci.h"
#include "machine/board.h"
#include "machine/virtio_devices.h"

struct ioapic;
struct lapic_bus;

enum { PC_SLOTS = 31, PC_INTX = 4, PC_VIRTIO_CHIPS = 2 * PC_SLOTS };

struct pc_virtio {
    struct pci_bus *bus; /* borrowed (the board's, as the next two) */
    struct ioapic *ioapic;
    struct lapic_bus *lapics;
    unsigned nr_slots;
    struct virtio_pci slot[PC_SLOTS]; /* slot[i] is PCI slot i + 1 */
    uint32_t intx[PC_INTX];           /* slots that pull GSI PC_GSI_PCI + i, a bit each */
    struct board_chip chip[PC_VIRTIO_CHIPS];
    unsigned nr_chips;
    struct virtio_devices devices;
};

/* Makes the devices that config asks for. On failure, too, the caller ends what is in chip[] and calls pc_virtio_done(). */
MUST_CHECK int pc_virtio_init(struct pc_virtio *pv, const struct vm_config *config, const struct machine_ports *ports,
                              struct vm *vm, struct pci_bus *bus, struct ioapic *ioapic, struct lapic_bus *lapics,
                              struct error *err);
/* Closes disks, network, shares and sockets; the devices have ended. Takes zeroed ones. */
void pc_virtio_done(struct pc_virtio *pv);
/* Addresses for the BARs, memory decoding on. */
void pc_virtio_assign(struct pc_virtio *pv);

#endif
