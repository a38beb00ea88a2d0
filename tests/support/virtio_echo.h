/* SPDX-License-Identifier: MIT */
/*
 * A virtio device for tests of the core and the transports: copies what a chain gives it back into the chain.
 *
 * Two queues and 8 bytes of configuration space, of which the driver may write the second half. With `hold` set, chains stay
 * under way until the test, or quiesce, ends them.
 */
#ifndef DOPPEL_TESTS_VIRTIO_ECHO_H
#define DOPPEL_TESTS_VIRTIO_ECHO_H

#include <string.h>

#include "device/virtio/virtio.h"

enum { ECHO_QUEUES = 2, ECHO_SIZE = 8, ECHO_CONFIG = 8 };
#define ECHO_FEATURE (1ULL << 3)

struct echo {
    struct virtio_device vdev;
    unsigned chains, oks, resets, quiesces;
    bool hold;
    unsigned held_nr, held_queue;
    struct virtio_chain held;
    uint8_t config[ECHO_CONFIG];
};

static inline void echo_config_read(struct virtio_device *vdev, unsigned offset, void *buf, unsigned len)
{
    memcpy(buf, ((struct echo *)vdev)->config + offset, len);
}

static inline void echo_config_write(struct virtio_device *vdev, unsigned offset, const void *buf, unsigned len)
{
    if (offset >= ECHO_CONFIG / 2)
        memcpy(((struct echo *)vdev)->config + offset, buf, len);
}

static inline void echo_answer(struct echo *e, unsigned n, const struct virtio_chain *chain)
{
    uint8_t bytes[64];
    size_t len = virtio_chain_read(chain, 0, bytes, sizeof(bytes));
    virtio_push(&e->vdev, n, chain, (uint32_t)virtio_chain_write(chain, 0, bytes, len));
    virtio_signal(&e->vdev, n);
}

static inline void echo_notify(struct virtio_device *vdev, unsigned n)
{
    struct echo *e = (struct echo *)vdev;
    struct virtio_chain chain;
    while (virtio_pop(vdev, n, &chain)) {
        e->chains++;
        if (e->hold && e->held_nr == 0) {
            e->held = chain;
            e->held_nr = 1;
            e->held_queue = n;
        } else {
            echo_answer(e, n, &chain);
        }
    }
}

static inline void echo_quiesce(struct virtio_device *vdev)
{
    struct echo *e = (struct echo *)vdev;
    e->quiesces++;
    if (e->held_nr)
        echo_answer(e, e->held_queue, &e->held);
    e->held_nr = 0;
}

static inline void echo_ok(struct virtio_device *vdev)
{
    ((struct echo *)vdev)->oks++;
}

static inline void echo_reset(struct virtio_device *vdev)
{
    ((struct echo *)vdev)->resets++;
}

static const struct virtio_class echo_class = {
    .name = "virtio-echo",
    .id = 42,
    .pci_class = 0xff0000,
    .queue_size = ECHO_SIZE,
    .config_size = ECHO_CONFIG,
    .config_read = echo_config_read,
    .config_write = echo_config_write,
    .notify = echo_notify,
    .driver_ok = echo_ok,
    .quiesce = echo_quiesce,
    .reset = echo_reset,
};

static inline void echo_init(struct echo *e, struct gmem *gm, struct vm_clock *clock)
{
    memset(e, 0, sizeof(*e));
    virtio_init(&e->vdev, &echo_class, ECHO_FEATURE, ECHO_QUEUES, gm, clock);
    memcpy(e->config, "\x11\x22\x33\x44\x55\x66\x77\x88", ECHO_CONFIG);
}

#endif
