/* SPDX-License-Identifier: MIT */
/*
 * The part that all virtio devices share: negotiation, status machine, queues with a budget, configuration space.
 *
 * A device is live between DRIVER_OK and the next reset, unless it is broken. Queues are started when they are enabled, and
 * stopped by a reset only; a chain that is pushed after it finds its queue stopped.
 */
#include "device/virtio/virtio.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/checked.h"

#define FEATURES_COMMON (VIRTIO_F_VERSION_1 | VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX)
enum {
    STATUS_DRIVERS = VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER | VIRTIO_STATUS_DRIVER_OK | VIRTIO_STATUS_FEATURES_OK
                     | VIRTIO_STATUS_FAILED,
};

static void config_irq(struct virtio_device *vdev)
{
    if (vdev->transport && (vdev->status & VIRTIO_STATUS_DRIVER_OK))
        vdev->transport->config_irq(vdev->transport_dev);
}

bool virtio_live(const struct virtio_device *vdev)
{
    return (vdev->status & (VIRTIO_STATUS_DRIVER_OK | VIRTIO_STATUS_NEEDS_RESET)) == VIRTIO_STATUS_DRIVER_OK;
}

void virtio_broken(struct virtio_device *vdev, const char *why)
{
    guest_err(&vdev->errors, "%s: %s", vdev->class->name, why);
    if (vdev->status & VIRTIO_STATUS_NEEDS_RESET)
        return;
    vdev->status |= VIRTIO_STATUS_NEEDS_RESET; /* Spec: 2.1.2 */
    config_irq(vdev);
}

void virtio_config_changed(struct virtio_device *vdev)
{
    vdev->config_generation++;
    config_irq(vdev);
}

/* ---- chains ---- */

bool virtio_pop(struct virtio_device *vdev, unsigned n, struct virtio_chain *ret_chain)
{
    assert(vdev->in_notify && n < vdev->nr_queues);
    if (!virtio_live(vdev))
        return false;
    if (vdev->budget == 0) {
        vdev->left_over |= 1U << n;
        return false;
    }
    int r = virtio_queue_pop(&vdev->queue[n], ret_chain);
    if (r < 0)
        virtio_broken(vdev, vdev->queue[n].why);
    vdev->budget -= r > 0;
    return r > 0;
}

void virtio_unpop(struct virtio_device *vdev, unsigned n)
{
    assert(vdev->in_notify && n < vdev->nr_queues);
    virtio_queue_unpop(&vdev->queue[n]);
    vdev->budget++;
}

void virtio_again(struct virtio_device *vdev, unsigned n)
{
    assert(vdev->in_notify && n < vdev->nr_queues);
    vdev->left_over |= 1U << n;
}

void virtio_push(struct virtio_device *vdev, unsigned n, const struct virtio_chain *chain, uint32_t written)
{
    assert(n < vdev->nr_queues);
    virtio_queue_push(&vdev->queue[n], chain, written);
}

void virtio_signal(struct virtio_device *vdev, unsigned n)
{
    assert(n < vdev->nr_queues);
    if ((vdev->status & VIRTIO_STATUS_DRIVER_OK) && virtio_queue_should_signal(&vdev->queue[n]) && vdev->transport)
        vdev->transport->queue_irq(vdev->transport_dev, n);
}

void virtio_run(struct virtio_device *vdev, unsigned n)
{
    assert(!vdev->in_notify && n < vdev->nr_queues);
    if (!virtio_live(vdev) || !vdev->queue[n].desc)
        return;
    vdev->budget = vdev->queue[n].size;
    vdev->left_over &= ~(1U << n);
    vdev->in_notify = true;
    vdev->class->notify(vdev, n);
    vdev->in_notify = false;
    if (vdev->left_over)
        vm_timer_arm(&vdev->again, vm_clock_now(vdev->again.clock));
}

static void run_left_over(void *opaque, ns_t now)
{
    struct virtio_device *vdev = opaque;
    (void)now;
    uint32_t queues = vdev->left_over;
    vdev->left_over = 0;
    for (unsigned n = 0; n < vdev->nr_queues; n++)
        if (queues >> n & 1)
            virtio_run(vdev, n);
}

void virtio_notify(struct virtio_device *vdev, uint32_t n)
{
    if (n >= vdev->nr_queues || !virtio_live(vdev) || !vdev->queue[n].desc)
        guest_err(&vdev->errors, "%s: notification of queue %u, which is not running", vdev->class->name, n);
    else
        virtio_run(vdev, n);
}

/* ---- set-up by the driver ---- */

uint32_t virtio_offered(const struct virtio_device *vdev, uint32_t word)
{
    return word < 2 ? (uint32_t)(vdev->offered >> 32 * word) : 0;
}

uint32_t virtio_accepted(const struct virtio_device *vdev, uint32_t word)
{
    return word < 2 ? (uint32_t)(vdev->features >> 32 * word) : 0;
}

void virtio_accept(struct virtio_device *vdev, uint32_t word, uint32_t bits)
{
    if (word >= 2) {
        if (bits)
            guest_err(&vdev->errors, "%s: features %#x of word %u", vdev->class->name, bits, word);
    } else if (vdev->status & VIRTIO_STATUS_FEATURES_OK) {
        guest_err(&vdev->errors, "%s: features after FEATURES_OK", vdev->class->name);
    } else {
        vdev->features = (vdev->features & ~(0xffffffffULL << 32 * word)) | (uint64_t)bits << 32 * word;
    }
}

static bool features_are_good(struct virtio_device *vdev)
{
    return (vdev->features & VIRTIO_F_VERSION_1) && !(vdev->features & ~vdev->offered);
}

static void stop_queues(struct virtio_device *vdev)
{
    for (unsigned n = 0; n < vdev->nr_queues; n++)
        virtio_queue_reset(&vdev->queue[n]);
}

void virtio_reset(void *dev)
{
    struct virtio_device *vdev = dev;
    vm_timer_disarm(&vdev->again);
    vdev->left_over = 0;
    vdev->status = 0;
    vdev->features = 0;
    stop_queues(vdev); /* first: what ends now must not reach the driver */
    if (vdev->class->quiesce)
        vdev->class->quiesce(vdev);
    if (vdev->class->reset)
        vdev->class->reset(vdev);
}

void virtio_set_status(struct virtio_device *vdev, uint8_t status)
{
    uint8_t old = vdev->status;
    if (status == 0) {
        virtio_reset(vdev);
        return;
    }
    if ((old & STATUS_DRIVERS) & ~status)
        guest_err(&vdev->errors, "%s: status %#x takes back bits of %#x", vdev->class->name, status, old);
    uint8_t now = old | (status & STATUS_DRIVERS);
    if ((now & ~old & VIRTIO_STATUS_FEATURES_OK) && !features_are_good(vdev)) {
        guest_err(&vdev->errors, "%s: features %#llx are not possible", vdev->class->name, (unsigned long long)vdev->features);
        now &= (uint8_t)~VIRTIO_STATUS_FEATURES_OK; /* the driver looks. Spec: 3.1.1, 6 */
    }
    if ((now & VIRTIO_STATUS_DRIVER_OK) && !(now & VIRTIO_STATUS_FEATURES_OK)) {
        guest_err(&vdev->errors, "%s: DRIVER_OK without FEATURES_OK", vdev->class->name);
        now &= (uint8_t)~VIRTIO_STATUS_DRIVER_OK;
    }
    vdev->status = now;
    if ((now & ~old & VIRTIO_STATUS_DRIVER_OK) && vdev->class->driver_ok)
        vdev->class->driver_ok(vdev);
    if ((now & ~old & VIRTIO_STATUS_DRIVER_OK) && (now & VIRTIO_STATUS_NEEDS_RESET))
        config_irq(vdev); /* it broke while nobody listened */
}

struct virtio_queue *virtio_get_queue(struct virtio_device *vdev, unsigned n)
{
    return n < vdev->nr_queues ? &vdev->queue[n] : NULL;
}

/* Queue n while it can be set up, else NULL. */
static struct virtio_queue *queue_to_set(struct virtio_device *vdev, unsigned n)
{
    struct virtio_queue *q = virtio_get_queue(vdev, n);
    if (q && !q->ready)
        return q;
    guest_err(&vdev->errors, "%s: set-up of queue %u, which %s", vdev->class->name, n, q ? "is enabled" : "does not exist");
    return NULL;
}

void virtio_set_queue_size(struct virtio_device *vdev, unsigned n, uint32_t size)
{
    struct virtio_queue *q = queue_to_set(vdev, n);
    if (q && size > 0 && size <= q->size_max && (size & (size - 1)) == 0)
        q->size = (uint16_t)size;
    else if (q)
        guest_err(&vdev->errors, "%s: queue size %u", vdev->class->name, size);
}

void virtio_set_queue_area(struct virtio_device *vdev, unsigned n, enum virtio_area which, unsigned shift, uint32_t half)
{
    struct virtio_queue *q = queue_to_set(vdev, n);
    if (!q)
        return;
    uint64_t *gpa = NULL;
    switch (which) {
    case VIRTIO_AREA_DESC: gpa = &q->desc_gpa; break;
    case VIRTIO_AREA_AVAIL: gpa = &q->avail_gpa; break;
    case VIRTIO_AREA_USED: gpa = &q->used_gpa; break;
    }
    *gpa = (*gpa & ~(0xffffffffULL << shift)) | (uint64_t)half << shift;
}

static int start_queue(struct virtio_device *vdev, struct virtio_queue *q)
{
    q->event_idx = virtio_has(vdev, VIRTIO_F_EVENT_IDX);
    q->indirect = virtio_has(vdev, VIRTIO_F_INDIRECT_DESC);
    return virtio_queue_start(q);
}

void virtio_enable_queue(struct virtio_device *vdev, unsigned n)
{
    struct virtio_queue *q = queue_to_set(vdev, n);
    if (!q)
        return;
    if (!(vdev->status & VIRTIO_STATUS_FEATURES_OK)) {
        guest_err(&vdev->errors, "%s: queue %u enabled before FEATURES_OK", vdev->class->name, n);
        return;
    }
    if (start_queue(vdev, q) < 0)
        virtio_broken(vdev, q->why);
    q->ready = true;
}

/* ---- configuration space ---- */

static bool inside_config(const struct virtio_device *vdev, uint64_t offset, unsigned size)
{
    return size <= vdev->class->config_size && offset <= vdev->class->config_size - size;
}

uint64_t virtio_config_read(struct virtio_device *vdev, uint64_t offset, unsigned size)
{
    uint64_t value = 0;
    if (inside_config(vdev, offset, size))
        vdev->class->config_read(vdev, (unsigned)offset, &value, size);
    else
        guest_err(&vdev->errors, "%s: read of configuration byte %llu", vdev->class->name, (unsigned long long)offset);
    return value;
}

void virtio_config_write(struct virtio_device *vdev, uint64_t offset, uint64_t value, unsigned size)
{
    if (vdev->class->config_write && inside_config(vdev, offset, size))
        vdev->class->config_write(vdev, (unsigned)offset, &value, size);
    else
        guest_err(&vdev->errors, "%s: write of configuration byte %llu", vdev->class->name, (unsigned long long)offset);
}

/* ---- life ---- */

void virtio_connect(struct virtio_device *vdev, const struct virtio_transport_ops *ops, void *transport)
{
    vdev->transport = ops;
    vdev->transport_dev = transport;
}

void virtio_init(struct virtio_device *vdev, const struct virtio_class *class, uint64_t features, unsigned nr_queues,
                 struct gmem *gmem, struct vm_clock *clock)
{
    assert(nr_queues > 0 && nr_queues <= VIRTIO_QUEUES_MAX && class->queue_size <= VIRTIO_QUEUE_MAX);
    *vdev = (struct virtio_device){ .class = class, .gmem = gmem, .offered = features | FEATURES_COMMON, .nr_queues = nr_queues };
    vm_timer_init(&vdev->again, clock, run_left_over, vdev);
    for (unsigned n = 0; n < nr_queues; n++) {
        vdev->queue[n] = (struct virtio_queue){ .gmem = gmem, .size_max = class->queue_size, .bytes_max = class->chain_bytes };
        virtio_queue_reset(&vdev->queue[n]);
    }
}

void virtio_done(struct virtio_device *vdev)
{
    if (!vdev->class)
        return;
    vm_timer_disarm(&vdev->again);
    stop_queues(vdev);
    if (vdev->class->quiesce)
        vdev->class->quiesce(vdev);
}

static void device_pre_save(void *object)
{
    struct virtio_device *vdev = object;
    if (vdev->class->quiesce)
        vdev->class->quiesce(vdev);
}

static int device_post_load(void *object, struct error *err)
{
    struct virtio_device *vdev = object;
    const char *name = vdev->class->name;
    if ((vdev->status & VIRTIO_STATUS_DRIVER_OK) && !(vdev->status & VIRTIO_STATUS_FEATURES_OK))
        return error_set(err, -EINVAL, "%s: status %#x", name, vdev->status);
    if ((vdev->status & VIRTIO_STATUS_FEATURES_OK) && !features_are_good(vdev))
        return error_set(err, -EINVAL, "%s: features %#llx, of which this one offers %#llx", name,
                         (unsigned long long)vdev->features, (unsigned long long)vdev->offered);
    for (unsigned n = 0; n < vdev->nr_queues; n++) {
        struct virtio_queue *q = &vdev->queue[n];
        if (q->ready && start_queue(vdev, q) < 0 && !(vdev->status & VIRTIO_STATUS_NEEDS_RESET))
            return error_set(err, -EINVAL, "%s: queue %u: %s", name, n, q->why);
    }
    vdev->left_over = virtio_live(vdev) ? (1U << vdev->nr_queues) - 1 : 0; /* a budget may have been used up: look at them all */
    if (vdev->left_over)
        vm_timer_arm(&vdev->again, vm_clock_now(vdev->again.clock));
    return 0;
}

static const struct state_field device_fields[] = {
    STATE_U64(struct virtio_device, features),
    STATE_U8(struct virtio_device, status),
    STATE_U8(struct virtio_device, config_generation),
    STATE_STRUCTS(struct virtio_device, queue, &virtio_queue_state),
    STATE_END,
};
const struct state_desc virtio_device_state = {
    .name = "virtio",
    .version = 1,
    .fields = device_fields,
    .pre_save = device_pre_save,
    .post_load = device_post_load,
};
