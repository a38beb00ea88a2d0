/* SPDX-License-Identifier: MIT */
/*
 * The virtio devices that a vm_config asks for, whatever board they go into: an entropy source, disks, a network card, shares, a
 * console, a balloon and sockets, in this order.
 *
 * The board gives each device a transport and lists both as its chips.
 */
#ifndef DOPPEL_MACHINE_VIRTIO_DEVICES_H
#define DOPPEL_MACHINE_VIRTIO_DEVICES_H

#include "device/virtio/balloon.h"
#include "device/virtio/blk.h"
#include "device/virtio/console.h"
#include "device/virtio/fs.h"
#include "device/virtio/net.h"
#include "device/virtio/rng.h"
#include "device/virtio/vsock.h"
#include "machine/machine.h"

enum { VIRTIO_DEVICES_MAX = 1 + VM_DISKS_MAX + 1 + VM_SHARES_MAX + 3 }; /* devices */

/* Takes a device, whose struct begins with the virtio_device, into the board, which lists it as a chip in front of its transport,
 * also when it fails. -ENOSPC. */
typedef int (*virtio_plug_fn)(void *opaque, const struct device_class *class, struct virtio_device *vdev, struct error *err);

struct virtio_devices {
    struct vm *vm; /* borrowed (the machine's) */
    virtio_plug_fn plug;
    void *opaque; /* borrowed (the board) */
    struct virtio_rng rng;
    struct virtio_blk blk[VM_DISKS_MAX];
    struct blockdev *disk[VM_DISKS_MAX]; /* owned */
    struct virtio_net net;
    struct netdev *network; /* owned; NULL: no card */
    struct virtio_fs fs[VM_SHARES_MAX];
    struct fs *share[VM_SHARES_MAX]; /* owned */
    bool has_console, has_balloon;
    struct virtio_console console;
    struct virtio_balloon balloon;
    struct virtio_vsock vsock;
    struct vsockdev *sockets; /* owned; NULL: no vsock */
};

/* Makes the devices that config asks for. On failure, too, the caller ends the chips it was given and calls
 * virtio_devices_done(). */
MUST_CHECK int virtio_devices_init(struct virtio_devices *devices, const struct vm_config *config,
                                   const struct machine_ports *ports, struct vm *vm, virtio_plug_fn plug, void *opaque,
                                   struct error *err);
/* Closes disks, network, shares and sockets; the devices have ended. Takes zeroed ones. */
void virtio_devices_done(struct virtio_devices *devices);
/* See struct board_ops. Machine's lock held. */
bool virtio_devices_console_size(struct virtio_devices *devices, unsigned cols, unsigned rows);
bool virtio_devices_set_balloon(struct virtio_devices *devices, uint64_t keep);
bool virtio_devices_get_balloon(struct virtio_devices *devices, struct machine_balloon *ret_balloon);

#endif
