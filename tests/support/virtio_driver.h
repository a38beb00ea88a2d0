/* SPDX-License-Identifier: MIT */
/*
 * The driver's side of a split virtqueue, for tests: rings at fixed places of a small guest memory, written by hand.
 *
 * Every helper writes guest memory through gmem_write(), so that a test can write nonsense as easily as sense.
 */
#ifndef DOPPEL_TESTS_VIRTIO_DRIVER_H
#define DOPPEL_TESTS_VIRTIO_DRIVER_H

#include <stdlib.h>
#include <string.h>

#include "core/gmem.h"
#include "device/virtio/virtio.h"

enum { DRV_NEXT = 1, DRV_WRITE = 2, DRV_INDIRECT = 4 };
enum { DRV_RAM = 1 << 20 };

struct driver {
    struct gmem *gmem;
    uint64_t desc, avail, used; /* guest addresses */
    uint16_t size;
    uint16_t avail_idx; /* chains offered */
    uint16_t used_idx;  /* chains taken back */
};

struct driver_desc {
    uint64_t addr;
    uint32_t len;
    uint16_t flags, next;
};

static inline void drv_memory(struct gmem *gm)
{
    if (gmem_init(gm, DRV_RAM, NULL) < 0 || gmem_add_slot(gm, 0, DRV_RAM, 0, NULL) < 0)
        abort();
}

static inline void drv_write(struct driver *d, uint64_t gpa, const void *data, size_t len)
{
    if (gmem_write(d->gmem, gpa, data, len) < 0)
        abort();
}

static inline void drv_read(struct driver *d, uint64_t gpa, void *data, size_t len)
{
    if (gmem_read(d->gmem, gpa, data, len) < 0)
        abort();
}

static inline void drv_put16(struct driver *d, uint64_t gpa, uint16_t v)
{
    drv_write(d, gpa, &v, sizeof(v));
}

static inline uint16_t drv_get16(struct driver *d, uint64_t gpa)
{
    uint16_t v;
    drv_read(d, gpa, &v, sizeof(v));
    return v;
}

/* Rings in the 16 KiB behind `base`, which is a multiple of 4096. */
static inline void drv_init(struct driver *d, struct gmem *gm, uint64_t base, uint16_t size)
{
    *d = (struct driver){ .gmem = gm, .desc = base, .avail = base + 0x2000, .used = base + 0x3000, .size = size };
}

static inline void drv_desc_at(struct driver *d, uint64_t table, unsigned i, uint64_t addr, uint32_t len, uint16_t flags,
                               uint16_t next)
{
    const struct driver_desc desc = { addr, len, flags, next };
    drv_write(d, table + i * sizeof(desc), &desc, sizeof(desc));
}

static inline void drv_desc(struct driver *d, unsigned i, uint64_t addr, uint32_t len, uint16_t flags, uint16_t next)
{
    drv_desc_at(d, d->desc, i, addr, len, flags, next);
}

/* Makes chain `head` available. */
static inline void drv_offer(struct driver *d, uint16_t head)
{
    drv_put16(d, d->avail + 4 + 2 * (d->avail_idx % d->size), head);
    drv_put16(d, d->avail + 2, ++d->avail_idx);
}

/* Takes a chain back; false when the device has given none. */
static inline bool drv_take(struct driver *d, uint32_t *ret_head, uint32_t *ret_len)
{
    if (drv_get16(d, d->used + 2) == d->used_idx)
        return false;
    uint64_t entry = d->used + 4 + 8 * (d->used_idx % d->size);
    drv_read(d, entry, ret_head, 4);
    drv_read(d, entry + 4, ret_len, 4);
    d->used_idx++;
    return true;
}

/* The queue as the transport would set it up. */
static inline void drv_set_up_queue(struct driver *d, struct virtio_device *vdev, unsigned n)
{
    const uint64_t area[] = { d->desc, d->avail, d->used };
    virtio_set_queue_size(vdev, n, d->size);
    for (unsigned i = 0; i < 3; i++) {
        virtio_set_queue_area(vdev, n, (enum virtio_area)i, 0, (uint32_t)area[i]);
        virtio_set_queue_area(vdev, n, (enum virtio_area)i, 32, (uint32_t)(area[i] >> 32));
    }
    virtio_enable_queue(vdev, n);
}

/* Negotiates `features` and VERSION_1; the queues are to be set up next, then DRIVER_OK. */
static inline void drv_negotiate(struct virtio_device *vdev, uint64_t features)
{
    features |= VIRTIO_F_VERSION_1;
    virtio_set_status(vdev, VIRTIO_STATUS_ACKNOWLEDGE);
    virtio_set_status(vdev, VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER);
    virtio_accept(vdev, 0, (uint32_t)features);
    virtio_accept(vdev, 1, (uint32_t)(features >> 32));
    virtio_set_status(vdev, VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER | VIRTIO_STATUS_FEATURES_OK);
}

static inline void drv_ok(struct virtio_device *vdev)
{
    virtio_set_status(vdev, vdev->status | VIRTIO_STATUS_DRIVER_OK);
}

#endif
