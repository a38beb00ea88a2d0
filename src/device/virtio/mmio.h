/* SPDX-License-Identifier: MIT */
/*
 * virtio over MMIO: version 2 of the register layout, one interrupt line a device.
 *
 * For boards without PCI, which tell the guest about each device in a device tree or on the kernel's command line.
 * Spec: virtio 1.2, 4.2.
 */
#ifndef DOPPEL_DEVICE_VIRTIO_MMIO_H
#define DOPPEL_DEVICE_VIRTIO_MMIO_H

#include "core/bus.h"
#include "core/irq.h"
#include "device/virtio/virtio.h"

enum { VIRTIO_MMIO_SIZE = 0x200 };

struct virtio_mmio {
    struct virtio_device *vdev; /* borrowed (the board frees transports before devices); NULL: an empty place */
    struct irq_line irq;
    struct guest_errors errors;
    /* state */
    uint32_t offered_word, accepted_word; /* feature selectors */
    uint32_t queue;                       /* selected */
    uint32_t isr;
};

extern const struct io_ops virtio_mmio_io_ops; /* VIRTIO_MMIO_SIZE bytes */
/* The transport as a chip; its device is one of its own, which comes before it. */
extern const struct device_class virtio_mmio_class;

/* Connects the device. vdev NULL: guests see a place without a device. The line is copied. */
void virtio_mmio_init(struct virtio_mmio *mmio, struct virtio_device *vdev, const struct irq_line *irq);

#endif
