/* SPDX-License-Identifier: MIT */
/*
 * virtio-console: one terminal (hvc0 in a Linux guest) on a chardev, with its size.
 *
 * Queue 0 receives, queue 1 transmits. Input waits in the back end until the driver has buffers for it. Output that the back end
 * does not take is left in its queue: the chain is put back, and how far it was written is remembered, so no chain is ever out
 * and nothing is lost. One port only: no multiport, no control queues. Spec: virtio 1.2, 5.3.
 */
#ifndef DOPPEL_DEVICE_VIRTIO_CONSOLE_H
#define DOPPEL_DEVICE_VIRTIO_CONSOLE_H

#include "device/virtio/virtio.h"

struct chardev;

enum { VIRTIO_CONSOLE_RX = 0, VIRTIO_CONSOLE_TX = 1, VIRTIO_CONSOLE_QUEUES = 2 };

struct virtio_console {
    struct virtio_device vdev; /* first */
    struct chardev *chardev;   /* borrowed (its owner frees it after the device) */
    uint16_t cols, rows;       /* of the terminal; 0: unknown. Not state: they are the host's */
    bool stalled;              /* the back end has no room for output */
    /* state */
    uint32_t sent; /* bytes of the transmit queue's next chain that are written already */
};

extern const struct device_class virtio_console_class;

/* The caller attaches virtio_console_ready with the console to the chardev. */
void virtio_console_init(struct virtio_console *con, struct chardev *chardev, struct gmem *gmem, struct vm_clock *clock);
/* A chardev_fn: input arrived, or room for output came back. */
void virtio_console_ready(void *con);
/* The terminal has this many columns and rows; tells the driver if that is news. Machine's lock held. */
void virtio_console_resize(struct virtio_console *con, uint16_t cols, uint16_t rows);

#endif
