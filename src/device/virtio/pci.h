/* SPDX-License-Identifier: MIT */
/*
 * virtio over PCI: a modern-only transport with one memory BAR and MSI-X.
 *
 * The BAR holds, a page each: the common registers and the interrupt status, the device's configuration space, the notification
 * registers (four bytes a queue), and the MSI-X table with its pending bits. Without MSI-X the interrupt is INTA#.
 * Spec: virtio 1.2, 4.1.
 */
#ifndef DOPPEL_DEVICE_VIRTIO_PCI_H
#define DOPPEL_DEVICE_VIRTIO_PCI_H

#include "device/msix.h"
#include "device/virtio/virtio.h"

enum { VIRTIO_PCI_BAR_SIZE = 0x4000 };

struct virtio_pci {
    struct virtio_device *vdev; /* borrowed (the board frees transports before devices) */
    uint8_t access_cap;         /* offset of the capability for access through configuration space */
    /* state */
    struct pci_func func;
    struct msix msix;
    uint32_t offered_word, accepted_word; /* feature selectors */
    uint16_t queue;                       /* selected */
    uint16_t config_vector, queue_vector[VIRTIO_QUEUES_MAX];
    uint8_t isr;
};

/* The transport as a chip. Its device is a chip of its own, which the board resets, saves and loads before it: what the device
 * ends then still gets its interrupt. */
extern const struct device_class virtio_pci_class;

/* Makes the function and connects the device, whose queues are known by now; the caller adds virtio_pci->func to a bus, with its
 * INTx line set. The sink is copied. */
void virtio_pci_init(struct virtio_pci *pci, struct virtio_device *vdev, const struct msi_sink *sink);

#endif
