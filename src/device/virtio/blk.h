/* SPDX-License-Identifier: MIT */
/*
 * virtio-blk: a disk.
 *
 * A notification hands all chains of a queue on to the back end; each ends by the back end's callback, with the machine's
 * lock held, in any order: at once, or on a thread of the back end. A flush ends when what was written before is on stable
 * storage; for a driver without FLUSH each write is flushed. Requests that make no sense end with an error status, chains without
 * room for a status break the device. Spec: virtio 1.2, 5.2.
 */
#ifndef DOPPEL_DEVICE_VIRTIO_BLK_H
#define DOPPEL_DEVICE_VIRTIO_BLK_H

#include "device/virtio/virtio.h"

struct blockdev;
struct blk_request;

enum { VIRTIO_BLK_QUEUES_MAX = 4, VIRTIO_BLK_ID_SIZE = 20 };

struct virtio_blk {
    struct virtio_device vdev;   /* first */
    struct blockdev *disk;       /* borrowed (the board frees it after us) */
    char id[VIRTIO_BLK_ID_SIZE]; /* serial number, NUL-padded */
    struct blk_request *spare;   /* owned list, for requests to come */
};

extern const struct device_class virtio_blk_class;

/* nr_queues: 1..VIRTIO_BLK_QUEUES_MAX. id is cut after VIRTIO_BLK_ID_SIZE bytes. */
void virtio_blk_init(struct virtio_blk *blk, struct blockdev *disk, const char *id, unsigned nr_queues, struct gmem *gmem,
                     struct vm_clock *clock);

#endif
