/* SPDX-License-Identifier: MIT */
/*
 * The PCI slots of a board, and what plugs virtio devices into them: each behind a virtio-pci function of its own, from slot 1
 * on.
 *
 * INTA# of slot s goes to line s % 4, which the slots share; MSI-X messages go where the board says.
 */
#ifndef DOPPEL_MACHINE_PCI_SLOTS_H
#define DOPPEL_MACHINE_PCI_SLOTS_H

#include "device/virtio/pci.h"
#include "machine/board.h"

enum { PCI_SLOTS_MAX = 31, PCI_SLOTS_INTX = 4, PCI_SLOTS_CHIPS = 2 * PCI_SLOTS_MAX };
/* Bytes of the window that the functions' memory takes. */
#define PCI_SLOTS_WINDOW ((uint64_t)PCI_SLOTS_MAX * VIRTIO_PCI_BAR_SIZE)

struct pci_slots {
    struct pci_bus *bus; /* borrowed (the board's) */
    struct irq_line line[PCI_SLOTS_INTX];
    struct msi_sink msi;
    unsigned nr;
    struct virtio_pci slot[PCI_SLOTS_MAX]; /* slot[i] is PCI slot i + 1 */
    uint32_t intx[PCI_SLOTS_INTX];         /* slots that pull a line, a bit each */
    struct board_chip chip[PCI_SLOTS_CHIPS];
    unsigned nr_chips;
};

/* Empty slots. line: where INTA# of slots 0, 1, 2, 3, 4, ... go in turn (copied); msi is copied, without a function MSI-X is
 * lost. */
void pci_slots_init(struct pci_slots *slots, struct pci_bus *bus, const struct irq_line line[PCI_SLOTS_INTX],
                    const struct msi_sink *msi);
/* A virtio_plug_fn; opaque: the slots. What is in chip[] the board ends, also after a failure. */
MUST_CHECK int pci_slots_plug(void *opaque, const struct device_class *class, struct virtio_device *vdev, struct error *err);
/* What firmware does: addresses for the functions' memory from `base` on, PCI_SLOTS_WINDOW bytes, and decoding on. */
void pci_slots_assign(struct pci_slots *slots, uint32_t base);

#endif
