/* SPDX-License-Identifier: MIT */
/*
 * virtio-vsock: stream sockets between guest and host, on a vsockdev.
 *
 * The host is CID 2. A connection is a stream of the back end and has its number; it is known to the guest by its pair of ports.
 * Credit goes both ways: what the guest has sent and the host's socket does not take is kept, up to the VIRTIO_VSOCK_BUF bytes
 * the guest was told of; more costs it the connection. What the host sends stays in its socket until the guest has both credit
 * and buffers for it. Packets that we owe the guest are bits of their connection, and go out when it offers buffers; resets for
 * connections that do not exist are few, and when they wait nothing more is taken from the guest. So memory is bounded, and a
 * guest that offers no buffers stops itself only.
 *
 * Connections are no state: a machine that was loaded tells its driver to drop them all. Spec: virtio 1.2, 5.10.
 */
#ifndef DOPPEL_DEVICE_VIRTIO_VSOCK_H
#define DOPPEL_DEVICE_VIRTIO_VSOCK_H

#include "backend/byte_ring.h"
#include "backend/vsockdev.h"
#include "device/virtio/virtio.h"

enum { VIRTIO_VSOCK_RX = 0, VIRTIO_VSOCK_TX = 1, VIRTIO_VSOCK_EVENT = 2, VIRTIO_VSOCK_QUEUES = 3 };
enum { VIRTIO_VSOCK_BUF = 64 << 10, VIRTIO_VSOCK_RESETS = 32, VIRTIO_VSOCK_CID_HOST = 2 };
/* Ports that connections from the host come from, upwards. */
#define VIRTIO_VSOCK_FIRST_PORT (1U << 30)

enum virtio_vsock_state { VIRTIO_VSOCK_FREE, VIRTIO_VSOCK_ASKED /* the guest, who has not answered */, VIRTIO_VSOCK_OPEN };

struct virtio_vsock_conn {
    enum virtio_vsock_state state;
    uint32_t guest_port, host_port;
    uint32_t buf_alloc, peer_fwd;   /* the guest's buffer, and the bytes it has taken out of it, modulo 2^32 as all counts */
    uint32_t sent;                  /* bytes to the guest */
    uint32_t forwarded, told;       /* bytes from the guest that the host took, and of which the guest knows */
    struct byte_ring held;          /* owned: bytes from the guest that the host has not taken; no memory until there are some */
    unsigned owed;                  /* packets to be sent, a bit each */
    unsigned guest_shut, host_shut; /* who sends or receives no more, as SHUTDOWN's flags */
    bool readable;                  /* there may be bytes in the host's socket */
    bool gone;                      /* the host's side is closed both ways */
    bool credit_asked;              /* the guest was asked how much more it takes */
    ns_t deadline;                  /* guest time when we stop waiting for the guest, VM_TIME_NEVER: never */
};

/* A reset for a packet of no connection. */
struct virtio_vsock_reset {
    uint32_t guest_port, host_port;
    uint16_t type;
};

struct virtio_vsock {
    struct virtio_device vdev; /* first */
    struct vsockdev *dev;      /* borrowed (the board frees it after the device) */
    uint64_t cid;              /* the guest's */
    struct vm_timer timer;     /* the nearest deadline */
    uint32_t next_port;        /* of the host, for who connects to the guest */
    unsigned turn;             /* the connection that sends next */
    unsigned nr_resets;
    struct virtio_vsock_reset reset[VIRTIO_VSOCK_RESETS];
    struct virtio_vsock_conn conn[VSOCKDEV_STREAMS_MAX];
    bool tx_waits;      /* for room in reset[] */
    bool event_pending; /* the driver is to drop its connections */
};

extern const struct device_class virtio_vsock_class;

/* cid: the guest's, 3..2^32-2. Attaches itself to the back end; lock: the machine's, NULL in tests without threads. */
void virtio_vsock_init(struct virtio_vsock *v, struct vsockdev *dev, uint64_t cid, struct gmem *gmem, struct vm_clock *clock,
                       pthread_mutex_t *lock);

#endif
