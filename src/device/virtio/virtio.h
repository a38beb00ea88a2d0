/* SPDX-License-Identifier: MIT */
/*
 * A virtio device as its transport and its own code see it: features, status, queues, configuration space.
 *
 * How a device is written (device/virtio/rng.c is the smallest example):
 *  - its struct begins with `struct virtio_device vdev`; its init fills what it needs and calls virtio_init() with a const
 *    struct virtio_class and the features that it offers;
 *  - notify() answers the chains of a queue: `while (virtio_pop(vdev, n, &chain)) { ... virtio_push(vdev, n, &chain, bytes); }`
 * and then virtio_signal(vdev, n). Requests that end later push and signal then, on any thread, with the machine's lock held;
 *  - chains are popped inside notify() only, which has a budget, so that a guest cannot keep us busy for ever. What else makes
 * work on a queue possible (a packet came) calls virtio_run();
 *  - what a driver gets wrong beyond its rings is virtio_broken(): the device stands still until it is reset;
 *  - a device with requests under way has quiesce(), after which nothing touches guest memory any more. It is called
 *    before a reset and before the state is saved, so requests under way are never state;
 *  - its state_desc embeds `STATE_STRUCT(struct virtio_x, vdev, &virtio_device_state)`, and the device_class that it shows to the
 * board has virtio_reset() for its reset and virtio_done() in its done. Devices know no transport: interrupts go out through
 * struct virtio_transport_ops. device/virtio/pci.h and mmio.h are transports; the board makes device and transport and connects
 * them.
 *
 * Always offered besides the device's own: VERSION_1 (mandatory for the driver), INDIRECT_DESC, EVENT_IDX. Everything here is
 * called with the machine's lock held, or before any thread starts. Not there: packed rings, legacy drivers, queue reset. Spec:
 * virtio 1.2, chapters 2 and 3.
 */
#ifndef DOPPEL_DEVICE_VIRTIO_VIRTIO_H
#define DOPPEL_DEVICE_VIRTIO_VIRTIO_H

#include "core/device.h"
#include "core/vm_clock.h"
#include "device/virtio/queue.h"

enum { VIRTIO_QUEUES_MAX = 8 };

/* Feature bits that are not a device's own. Spec: chapter 6 */
#define VIRTIO_F_INDIRECT_DESC (1ULL << 28)
#define VIRTIO_F_EVENT_IDX (1ULL << 29)
#define VIRTIO_F_VERSION_1 (1ULL << 32)

/* Device status. Spec: 2.1 */
enum {
    VIRTIO_STATUS_ACKNOWLEDGE = 1 << 0,
    VIRTIO_STATUS_DRIVER = 1 << 1,
    VIRTIO_STATUS_DRIVER_OK = 1 << 2,
    VIRTIO_STATUS_FEATURES_OK = 1 << 3,
    VIRTIO_STATUS_NEEDS_RESET = 1 << 6,
    VIRTIO_STATUS_FAILED = 1 << 7,
};

/* Device IDs. Spec: chapter 5 */
enum virtio_id {
    VIRTIO_ID_NET = 1,
    VIRTIO_ID_BLOCK = 2,
    VIRTIO_ID_CONSOLE = 3,
    VIRTIO_ID_RNG = 4,
    VIRTIO_ID_BALLOON = 5,
    VIRTIO_ID_9P = 9,
    VIRTIO_ID_VSOCK = 19,
    VIRTIO_ID_FS = 26
};

struct virtio_device;

/* What a kind of device is. All hooks: machine's lock held, must not block (but for quiesce), cannot fail. */
struct virtio_class {
    const char *name;     /* "virtio-rng" */
    uint16_t id;          /* enum virtio_id */
    uint32_t pci_class;   /* for virtio-pci: class << 16 | subclass << 8 | interface */
    uint16_t queue_size;  /* descriptors of each queue at most: a power of two up to VIRTIO_QUEUE_MAX */
    uint32_t chain_bytes; /* bytes a chain can have; 0: VIRTIO_CHAIN_BYTES_MAX */
    uint32_t config_size; /* bytes of configuration space; 0: none, and then no config hooks */
    /* Mandatory with config_size. Fills buf with `len` bytes from `offset` on, which lie inside config_size. */
    void (*config_read)(struct virtio_device *vdev, unsigned offset, void *buf, unsigned len);
    /* Optional: without, writes are the guest's mistake. */
    void (*config_write)(struct virtio_device *vdev, unsigned offset, const void *buf, unsigned len);
    /* Mandatory. The driver added chains to queue n, or virtio_run() was called. Only while the device is live. */
    void (*notify)(struct virtio_device *vdev, unsigned n);
    /* Optional. The driver set DRIVER_OK: features are final, queues are started. */
    void (*driver_ok)(struct virtio_device *vdev);
    /* Optional; for devices with requests under way, which it waits for (that may block) or takes back. Pushes are still possible
     * and reach the guest, unless this is a reset. Afterwards nothing touches guest memory until the next notify(). */
    void (*quiesce)(struct virtio_device *vdev);
    /* Optional. The device's own fields to power-on; queues are stopped and quiesce() was called. */
    void (*reset)(struct virtio_device *vdev);
};

/* How a device reaches its driver. */
struct virtio_transport_ops {
    void (*queue_irq)(void *transport, unsigned n); /* chains were given back on queue n */
    void (*config_irq)(void *transport);            /* configuration or status changed */
};

struct virtio_device {
    const struct virtio_class *class;             /* static */
    const struct virtio_transport_ops *transport; /* static; NULL: not connected, interrupts get lost */
    void *transport_dev;                          /* borrowed (the board frees transports after devices) */
    struct gmem *gmem;                            /* borrowed (the machine's) */
    struct vm_timer again;                        /* to go on with what the budget left over */
    uint32_t left_over;                           /* queues, a bit each */
    uint32_t budget;                              /* chains notify() may still take */
    bool in_notify;
    uint64_t offered; /* features */
    unsigned nr_queues;
    struct guest_errors errors;
    /* state */
    uint64_t features; /* that the driver accepted; final with FEATURES_OK */
    uint8_t status;
    uint8_t config_generation;
    struct virtio_queue queue[VIRTIO_QUEUES_MAX];
};

extern const struct state_desc virtio_device_state;

/* ---- for devices ---- */

/* features: the device's own bits. nr_queues: 1..VIRTIO_QUEUES_MAX. */
void virtio_init(struct virtio_device *vdev, const struct virtio_class *class, uint64_t features, unsigned nr_queues,
                 struct gmem *gmem, struct vm_clock *clock);
/* Quiesces and disarms; for the device's own done. */
void virtio_done(struct virtio_device *vdev);
static inline bool virtio_has(const struct virtio_device *vdev, uint64_t feature)
{
    return (vdev->features & feature) == feature;
}
/* The driver is there and nothing is broken: queues may be used. */
bool virtio_live(const struct virtio_device *vdev);
/* Inside notify() only. True: *ret_chain is the next chain of queue n, to be pushed some time. False: no chain, no budget, or the
 * device is not live. */
MUST_CHECK bool virtio_pop(struct virtio_device *vdev, unsigned n, struct virtio_chain *ret_chain);
/* Inside notify() only: takes back the last virtio_pop() of this queue, or the last ones, once for each. */
void virtio_unpop(struct virtio_device *vdev, unsigned n);
/* Inside notify() only: call it again soon, for there is more to do than should be done in one go. */
void virtio_again(struct virtio_device *vdev, unsigned n);
/* Gives a chain back with `written` bytes of its in part filled from the beginning. Without effect when the device was reset. */
void virtio_push(struct virtio_device *vdev, unsigned n, const struct virtio_chain *chain, uint32_t written);
/* Interrupts the driver if it wants that; once after some pushes. */
void virtio_signal(struct virtio_device *vdev, unsigned n);
/* Calls notify() for queue n with a fresh budget, if the device is live; a budget that is used up calls it again soon. Not from
 * inside notify(). */
void virtio_run(struct virtio_device *vdev, unsigned n);
/* The driver broke a rule: sets NEEDS_RESET, tells the driver, and pops nothing until the reset. why: static text. */
void virtio_broken(struct virtio_device *vdev, const char *why);
/* The device changed its configuration space: new generation, and an interrupt. */
void virtio_config_changed(struct virtio_device *vdev);
/* Power-on state, also what a driver's reset does; a device_class.reset (dev begins with the virtio_device). */
void virtio_reset(void *dev);

/* ---- for transports ---- */

void virtio_connect(struct virtio_device *vdev, const struct virtio_transport_ops *ops, void *transport);
/* 32 bits of the offered or accepted features; `word` 0 or 1, others read as 0. */
uint32_t virtio_offered(const struct virtio_device *vdev, uint32_t word);
uint32_t virtio_accepted(const struct virtio_device *vdev, uint32_t word);
void virtio_accept(struct virtio_device *vdev, uint32_t word, uint32_t bits);
/* A write to the status register; 0 resets. */
void virtio_set_status(struct virtio_device *vdev, uint8_t status);
/* Queue n, or NULL when the device has no such queue. */
struct virtio_queue *virtio_get_queue(struct virtio_device *vdev, unsigned n);
/* The driver sets up queue n; refused (and counted) once it is enabled. which: the three areas. */
enum virtio_area { VIRTIO_AREA_DESC, VIRTIO_AREA_AVAIL, VIRTIO_AREA_USED };
void virtio_set_queue_size(struct virtio_device *vdev, unsigned n, uint32_t size);
/* Replaces the low (shift 0) or high (shift 32) half of an address. */
void virtio_set_queue_area(struct virtio_device *vdev, unsigned n, enum virtio_area which, unsigned shift, uint32_t half);
void virtio_enable_queue(struct virtio_device *vdev, unsigned n);
/* The driver's notification. */
void virtio_notify(struct virtio_device *vdev, uint32_t n);
/* Configuration space accesses, any offset; size 1, 2, 4 or 8. What lies outside reads as 0. */
uint64_t virtio_config_read(struct virtio_device *vdev, uint64_t offset, unsigned size);
void virtio_config_write(struct virtio_device *vdev, uint64_t offset, uint64_t value, unsigned size);

#endif
