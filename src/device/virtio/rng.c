/* SPDX-License-Identifier: MIT */
/*
 * virtio-rng: getrandom(2) into chains.
 */
#include "device/virtio/rng.h"

#include <sys/random.h>

#include "base/checked.h"

enum { GETRANDOM_WHOLE = 256 }; /* up to this many bytes come at once, uninterrupted. getrandom(2) */

static void fill_from_host(void *buf, size_t len)
{
    uint8_t *at = buf, *end = at + len;
    while (at < end) {
        ssize_t n = getrandom(at, MIN((size_t)(end - at), (size_t)GETRANDOM_WHOLE), 0);
        at += MAX(n, 0); /* the host is up, so it cannot fail but for EINTR */
    }
}

static void rng_notify(struct virtio_device *vdev, unsigned n)
{
    struct virtio_rng *rng = (struct virtio_rng *)vdev;
    struct virtio_chain chain;
    uint8_t bytes[VIRTIO_RNG_BYTES_MAX];
    bool any = false;
    while (virtio_pop(vdev, n, &chain)) {
        size_t len = MIN(chain.in_len, sizeof(bytes));
        rng->fill(bytes, len);
        virtio_push(vdev, n, &chain, (uint32_t)virtio_chain_write(&chain, 0, bytes, len));
        any = true;
    }
    if (any)
        virtio_signal(vdev, n);
}

static const struct virtio_class rng_virtio_class = {
    .name = "virtio-rng",
    .id = VIRTIO_ID_RNG,
    .pci_class = 0xff0000, /* of no kind that PCI knows */
    .queue_size = 64,
    .notify = rng_notify,
};

static void rng_done(void *dev)
{
    virtio_done(dev);
}

static const struct state_field rng_fields[] = {
    STATE_STRUCT(struct virtio_rng, vdev, &virtio_device_state),
    STATE_END,
};
static const struct state_desc rng_state = { .name = "virtio_rng", .version = 1, .fields = rng_fields };

const struct device_class virtio_rng_class = {
    .name = "virtio-rng",
    .reset = virtio_reset,
    .done = rng_done,
    .state = &rng_state,
};

void virtio_rng_init(struct virtio_rng *rng, struct gmem *gmem, struct vm_clock *clock)
{
    rng->fill = fill_from_host;
    virtio_init(&rng->vdev, &rng_virtio_class, 0, 1, gmem, clock);
}
