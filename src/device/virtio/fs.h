/* SPDX-License-Identifier: MIT */
/*
 * virtio-fs: a folder of the host, by FUSE requests in chains.
 *
 * Queue 0 is for what must not wait behind other requests (FORGET), queue 1 for all else; both hand their chains to the back end,
 * whose threads serve them. Reading, writing and the answer go straight to guest memory. A reset and saving wait for what is
 * under way; what the guest knows of the share (numbers of files, open ones) is no state: a machine that is restored from a file
 * mounts it again. Spec: virtio 1.2, 5.11.
 */
#ifndef DOPPEL_DEVICE_VIRTIO_FS_H
#define DOPPEL_DEVICE_VIRTIO_FS_H

#include "device/virtio/virtio.h"

struct fs;
struct fs_job;

enum { VIRTIO_FS_TAG_SIZE = 36 };

struct virtio_fs {
    struct virtio_device vdev;    /* first */
    struct fs *fs;                /* borrowed (the board frees it after us) */
    char tag[VIRTIO_FS_TAG_SIZE]; /* NUL-padded */
    struct fs_job *spare;         /* owned list, for requests to come */
};

extern const struct device_class virtio_fs_class;

/* tag is cut after VIRTIO_FS_TAG_SIZE bytes. */
void virtio_fs_init(struct virtio_fs *vfs, struct fs *fs, const char *tag, struct gmem *gmem, struct vm_clock *clock);

#endif
