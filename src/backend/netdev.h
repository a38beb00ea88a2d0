/* SPDX-License-Identifier: MIT */
/*
 * A network of the host, as a network card (front end) uses it: frames out, frames in, each with what is left to do about it.
 *
 * Frames come in by pulling: the back end says that there are some (netdev_attach()), and the front end takes one after the other
 * as far as its guest has room. What it does not take waits in a bounded queue - the interface's own, or NETDEV_QUEUE_BYTES - and
 * when that is full, new frames are lost or the host's sockets are not read, as on a real network. Frames out are taken at once,
 * or lost.
 *
 * A frame may come with a header that leaves work to its receiver: a checksum to fill in, segments to cut. The kernel's TAP does
 * such work, in the form of a virtio_net_hdr; slirp does not and gets whole frames.
 *
 * Every function but opening: the front end's lock is held. Back ends: netdev_slirp.c, netdev_tap.c.
 */
#ifndef DOPPEL_BACKEND_NETDEV_H
#define DOPPEL_BACKEND_NETDEV_H

#include <net/if.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/error.h"

struct loop;
struct netdev;

enum {
    NETDEV_MAC_LEN = 6,
    NETDEV_ETH_HEADER = 14,
    NETDEV_VLAN_TAG = 4,
    NETDEV_MTU = 1500,
    NETDEV_USER_MTU = 16384,                                        /* at most, and where none is asked for: see netdev_slirp.c */
    NETDEV_USER_MTU_MIN = 1280,                                     /* of IPv6 */
    NETDEV_FRAME_MAX = 65535 + NETDEV_ETH_HEADER + NETDEV_VLAN_TAG, /* with segments to cut */
    NETDEV_FORWARDS_MAX = 64,
    NETDEV_QUEUE_BYTES = 512 << 10,
};

/* What a header can leave to the receiver of a frame; the same for both directions. */
enum netdev_offload {
    NETDEV_CSUM = 1 << 0, /* the checksum */
    NETDEV_TSO4 = 1 << 1, /* segments of TCP over IPv4 */
    NETDEV_TSO6 = 1 << 2, /* over IPv6 */
};

/* Bits of flags; values of gso_type. */
enum { NETDEV_NEEDS_CSUM = 1, NETDEV_CSUM_VALID = 2 };
enum { NETDEV_GSO_NONE = 0, NETDEV_GSO_TCP4 = 1, NETDEV_GSO_TCP6 = 4, NETDEV_GSO_ECN = 0x80 };

/* The layout is that of struct virtio_net_hdr of Linux, and of virtio 1.2, 5.1.6, up to num_buffers. All 0: nothing is left to
 * do. */
struct netdev_header {
    uint8_t flags;        /* NETDEV_NEEDS_CSUM: to be filled in; NETDEV_CSUM_VALID: need not be looked at */
    uint8_t gso_type;     /* NETDEV_GSO_* */
    uint16_t hdr_len;     /* bytes of headers up to TCP's; a hint */
    uint16_t gso_size;    /* bytes of data in each segment */
    uint16_t csum_start;  /* from this byte to the end the sum is taken */
    uint16_t csum_offset; /* behind csum_start: where it goes */
};

/* A frame that came. */
struct netdev_frame {
    struct netdev_header header;
    const uint8_t *data; /* the back end's, until netdev_taken() */
    size_t len;          /* up to NETDEV_FRAME_MAX */
};

/* There are frames. Front end's lock held; must not block. */
typedef void (*netdev_fn)(void *opaque);

/* A back end. All called with the front end's lock held; free: no loop may run. */
struct netdev_ops {
    /* Mandatory; must not block, cannot fail (frames get lost). h is valid for the frame's length. */
    void (*send)(struct netdev *dev, const struct netdev_header *h, const struct iovec *iov, unsigned nr_iov, size_t len);
    void (*kick)(struct netdev *dev); /* optional; after some sends */
    /* Mandatory: true: *ret_frame is the next frame. False: there is none; the front end will be notified when one comes. */
    bool (*next)(struct netdev *dev, struct netdev_frame *ret_frame);
    void (*taken)(struct netdev *dev); /* mandatory; the frame of the last next() */
    /* Optional: what the front end can do with frames that come (enum netdev_offload); none before the first call. */
    void (*set_offload)(struct netdev *dev, unsigned offload);
    void (*free)(struct netdev *dev); /* mandatory */
};

/* Head of every back end's struct. */
struct netdev {
    const struct netdev_ops *ops; /* borrowed (static tables) */
    pthread_mutex_t *lock;        /* borrowed: the front end's; NULL in tests without threads */
    netdev_fn notify;             /* NULL: nobody attached */
    void *opaque;                 /* borrowed (the front end outlives the loop) */
    unsigned offload; /* enum netdev_offload: what it can do with frames that it is given, and leave in those it has */
    bool valid;       /* the checksums of its frames are right */
    unsigned mtu;     /* of the network */
};

enum netdev_kind { NETDEV_NONE, NETDEV_USER, NETDEV_TAP };

/* A port of the host that leads to one of the guest. */
struct netdev_forward {
    bool udp;
    struct in_addr host;
    uint16_t host_port, guest_port;
};

/* Which network, and how. */
struct netdev_config {
    enum netdev_kind kind;
    bool restricted; /* USER: the guest reaches nothing but what is forwarded to it */
    bool ipv6;       /* USER: the network has it, too, unless it is restricted */
    unsigned mtu;    /* USER: NETDEV_USER_MTU_MIN to NETDEV_USER_MTU */
    bool has_mac;
    uint8_t mac[NETDEV_MAC_LEN];
    char tap[IFNAMSIZ]; /* TAP: the interface */
    struct netdev_forward forward[NETDEV_FORWARDS_MAX];
    unsigned nr_forwards;
};

/* The network of NETDEV_USER, as the guest sees it: the guest, its gateway (which is also this host), its name server. */
#define NETDEV_USER_NETWORK "10.0.2.0"
#define NETDEV_USER_NETMASK "255.255.255.0"
#define NETDEV_USER_GATEWAY "10.0.2.2"
#define NETDEV_USER_DNS "10.0.2.3"
#define NETDEV_USER_GUEST "10.0.2.15"
/* The same for IPv6; the guest's address is of its own making, in the network that the gateway announces. */
#define NETDEV_USER_PREFIX6 "fec0::"
#define NETDEV_USER_PREFIX6_LEN 64
#define NETDEV_USER_GATEWAY6 "fec0::2"
#define NETDEV_USER_DNS6 "fec0::3"

/* ---- options ---- */

/* "user[,hostfwd=tcp|udp:[ADDR:]HOSTPORT:GUESTPORT]...[,restrict][,ipv6=on|off][,mtu=N][,mac=MAC]", "tap=INTERFACE[,mac=MAC]",
 * "none". -EINVAL. */
MUST_CHECK int netdev_config_parse(const char *text, struct netdev_config *ret_config, struct error *err);
/* The card's address: the one that was asked for, or a locally administered one, the same in each run. */
void netdev_config_mac(const struct netdev_config *config, uint8_t ret_mac[NETDEV_MAC_LEN]);
/* "tcp:127.0.0.1:8080:80", for messages. */
void netdev_forward_text(const struct netdev_forward *forward, char *text, size_t cap);

/* ---- networks ---- */

/* kind is not NETDEV_NONE. Before the loop runs. What the two below say, in the network's name. */
MUST_CHECK int netdev_open(const struct netdev_config *config, struct loop *loop, struct netdev **ret_dev, struct error *err);
/* `lock` is taken around notifications. Before the loop runs. */
void netdev_attach(struct netdev *dev, pthread_mutex_t *lock, netdev_fn fn, void *opaque);
void netdev_send(struct netdev *dev, const struct netdev_header *h, const struct iovec *iov, unsigned nr_iov, size_t len);
void netdev_kick(struct netdev *dev);
MUST_CHECK bool netdev_next(struct netdev *dev, struct netdev_frame *ret_frame);
void netdev_taken(struct netdev *dev);
void netdev_set_offload(struct netdev *dev, unsigned offload);
/* NULL is fine. No loop may run. */
void netdev_free(struct netdev *dev);

/* --- the back ends --- */
/* -EADDRINUSE and the like: a port cannot be had. -ENOMEM. */
MUST_CHECK int netdev_slirp_new(struct loop *loop, const struct netdev_config *config, struct netdev **ret_dev,
                                struct error *err);
/* -ENODEV (no such interface), -ENOENT (no /dev/net/tun), -EPERM, -EBUSY. */
MUST_CHECK int netdev_tap_new(struct loop *loop, const struct netdev_config *config, struct netdev **ret_dev, struct error *err);

/* For back ends: runs the front end's callback; its lock is held. */
static inline void netdev_notify(struct netdev *dev)
{
    if (dev->notify)
        dev->notify(dev->opaque);
}

/* For back ends: the lock around events of the loop. */
void netdev_lock(struct netdev *dev);
void netdev_unlock(struct netdev *dev);

#endif
