/* SPDX-License-Identifier: MIT */
/*
 * virtio-rng: random bytes of the host.
 *
 * One queue; each chain's in part is filled, up to VIRTIO_RNG_BYTES_MAX bytes of it, so that a guest cannot keep us busy with one
 * request. Drivers go by the length that comes back.
 * Spec: virtio 1.2, 5.4.
 */
#ifndef DOPPEL_DEVICE_VIRTIO_RNG_H
#define DOPPEL_DEVICE_VIRTIO_RNG_H

#include "device/virtio/virtio.h"

enum { VIRTIO_RNG_BYTES_MAX = 4096 };

struct virtio_rng {
    struct virtio_device vdev; /* first */
    /* Fills buf with random bytes; tests replace it. */
    void (*fill)(void *buf, size_t len);
};

extern const struct device_class virtio_rng_class;

void virtio_rng_init(struct virtio_rng *rng, struct gmem *gmem, struct vm_clock *clock);

#endif
