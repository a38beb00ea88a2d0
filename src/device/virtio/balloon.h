/* SPDX-License-Identifier: MIT */
/*
 * virtio-balloon: the guest gives memory back to the host: as much as it is told to, and what it reports to be free.
 *
 * Given back is guest memory itself (gmem_discard()): the host takes the pages away, and the guest finds zeroes should it look.
 * So there is nothing to do when the balloon deflates: pages that are touched are made anew. What the driver fills in about its
 * memory (the statistics queue) is kept as the latest; virtio_balloon_ask() asks for news, which come soon, or never.
 *
 * Queues are numbered as drivers do it: inflate 0, deflate 1, then statistics and reporting, each only if negotiated (Linux, and
 * QEMU's device; the specification's fixed numbers have no room for a queue that is not there). Offered: STATS_VQ,
 * DEFLATE_ON_OOM, PAGE_POISON (with a poison other than 0, reports are ignored: the pages must keep it), PAGE_REPORTING. Spec:
 * virtio 1.2, 5.5.
 */
#ifndef DOPPEL_DEVICE_VIRTIO_BALLOON_H
#define DOPPEL_DEVICE_VIRTIO_BALLOON_H

#include "device/virtio/virtio.h"

enum { VIRTIO_BALLOON_QUEUES = 4 };
enum { VIRTIO_BALLOON_PAGE_SHIFT = 12 }; /* its pages, whatever the guest's are. Spec: 5.5.6 */

/* Tags of statistics. Spec: 5.5.6.4 */
enum virtio_balloon_stat {
    VIRTIO_BALLOON_SWAP_IN,      /* bytes, ever */
    VIRTIO_BALLOON_SWAP_OUT,     /* bytes, ever */
    VIRTIO_BALLOON_MAJOR_FAULTS, /* ever */
    VIRTIO_BALLOON_MINOR_FAULTS, /* ever */
    VIRTIO_BALLOON_FREE,         /* bytes, as the next three */
    VIRTIO_BALLOON_TOTAL,
    VIRTIO_BALLOON_AVAILABLE,
    VIRTIO_BALLOON_CACHES,
    VIRTIO_BALLOON_HTLB_ALLOC, /* huge pages, ever */
    VIRTIO_BALLOON_HTLB_FAIL,  /* ever */
    VIRTIO_BALLOON_STAT_LAST = VIRTIO_BALLOON_HTLB_FAIL
};
enum { VIRTIO_BALLOON_STATS = VIRTIO_BALLOON_STAT_LAST + 1 };

struct virtio_balloon {
    struct virtio_device vdev; /* first */
    struct virtio_chain held;  /* the driver's buffer for statistics, while holds */
    bool holds;
    uint64_t released; /* bytes given back, by reports and by inflating, ever; not state */
    /* state */
    uint32_t num_pages, actual, poison_val; /* pages the driver is to give, has given; what it fills free pages with */
    uint64_t stat[VIRTIO_BALLOON_STATS];    /* the latest */
    uint32_t known;                         /* which of them are, a bit each */
    uint64_t stats_at;                      /* guest time of the latest, ns; 0: none came */
};

extern const struct device_class virtio_balloon_class;

void virtio_balloon_init(struct virtio_balloon *b, struct gmem *gmem, struct vm_clock *clock);
/* How many pages (of 4 KiB) the guest is to give; tells the driver if that is news. Machine's lock held, as below. */
void virtio_balloon_set_pages(struct virtio_balloon *b, uint32_t pages);
/* Asks the driver for statistics. */
void virtio_balloon_ask(struct virtio_balloon *b);

#endif
