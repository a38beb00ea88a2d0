/* SPDX-License-Identifier: MIT */
/*
 * virtio-net: a network card on a netdev.
 *
 * Queue 0 receives, queue 1 transmits. Frames that came are pulled from the back end while the driver has buffers; without
 * buffers they wait there, and its bounded queue decides. What the driver leaves to do about a frame (checksum, segments) is
 * checked against the frame's length before the back end hears of it; what is wrong with a frame costs the driver that frame. No
 * control queue: the card receives everything that its network sends. Spec: virtio 1.2, 5.1.
 */
#ifndef DOPPEL_DEVICE_VIRTIO_NET_H
#define DOPPEL_DEVICE_VIRTIO_NET_H

#include "device/virtio/virtio.h"

struct netdev;

enum { VIRTIO_NET_RX = 0, VIRTIO_NET_TX = 1, VIRTIO_NET_QUEUES = 2 };
enum { VIRTIO_NET_MAC_LEN = 6, VIRTIO_NET_MERGE_MAX = 64 };

struct virtio_net {
    struct virtio_device vdev; /* first */
    struct netdev *dev;        /* borrowed (the board frees it after the device) */
    uint8_t mac[VIRTIO_NET_MAC_LEN];
    struct virtio_chain rx[VIRTIO_NET_MERGE_MAX]; /* the buffers of the frame that is being given to the driver */
};

extern const struct device_class virtio_net_class;

/* The back end is attached (its lock: the machine's) by the caller, with virtio_net_frames and the card. */
void virtio_net_init(struct virtio_net *net, struct netdev *dev, const uint8_t mac[VIRTIO_NET_MAC_LEN], struct gmem *gmem,
                     struct vm_clock *clock);
/* A netdev_fn: the back end has frames. */
void virtio_net_frames(void *net);

#endif
