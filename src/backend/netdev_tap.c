/* SPDX-License-Identifier: MIT */
/*
 * A network interface of the host that somebody made for us: TAP.
 *
 * Frames carry a virtio_net_hdr both ways, so checksums and cutting segments are left to the host's kernel, or to nobody when the
 * frame stays on this host. The interface's own queue is the only one: a frame is read when the front end asks for it. The loop
 * watches an epoll set in which the interface is armed for one event at a time, and armed again when a read found nothing; so a
 * front end without room costs nothing. Spec: Linux, Documentation/networking/tuntap.rst; linux/if_tun.h.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "backend/netdev.h"
#include "base/checked.h"
#include "base/cleanup.h"
#include "base/loop.h"

#define TUN_DEVICE "/dev/net/tun"
enum { PIECES_MAX = 512 };

static_assert(sizeof(struct netdev_header) == sizeof(struct virtio_net_hdr), "the kernel's header is ours");
static_assert(NETDEV_NEEDS_CSUM == VIRTIO_NET_HDR_F_NEEDS_CSUM && NETDEV_CSUM_VALID == VIRTIO_NET_HDR_F_DATA_VALID
                  && NETDEV_GSO_TCP4 == VIRTIO_NET_HDR_GSO_TCPV4 && NETDEV_GSO_TCP6 == VIRTIO_NET_HDR_GSO_TCPV6
                  && NETDEV_GSO_ECN == VIRTIO_NET_HDR_GSO_ECN,
              "its values too");

struct netdev_tap {
    struct netdev head;
    struct loop *loop; /* borrowed (outlives back ends) */
    int fd, epoll_fd;  /* owned */
    size_t len;        /* of the frame in `frame`, 0: none */
    struct netdev_header header;
    uint8_t frame[NETDEV_FRAME_MAX];
};

static struct netdev_tap *to_tap(struct netdev *dev)
{
    return (struct netdev_tap *)dev;
}

/* Asks for one event; any thread. */
static void arm(struct netdev_tap *t)
{
    struct epoll_event ev = { .events = EPOLLIN | EPOLLONESHOT };
    (void)epoll_ctl(t->epoll_fd, EPOLL_CTL_MOD, t->fd, &ev); /* it is in there */
}

static void on_event(void *opaque, uint32_t events)
{
    struct netdev_tap *t = opaque;
    struct epoll_event ev;
    (void)events;
    netdev_lock(&t->head);
    if (epoll_wait(t->epoll_fd, &ev, 1, 0) > 0)
        netdev_notify(&t->head);
    netdev_unlock(&t->head);
}

static void tap_send(struct netdev *dev, const struct netdev_header *h, const struct iovec *iov, unsigned nr_iov, size_t len)
{
    struct netdev_tap *t = to_tap(dev);
    struct netdev_header header = *h;
    struct iovec all[PIECES_MAX];
    (void)len;
    if (nr_iov + 1 > PIECES_MAX)
        return;
    all[0] = (struct iovec){ .iov_base = &header, .iov_len = sizeof(header) };
    memcpy(all + 1, iov, nr_iov * sizeof(*iov));
    if (writev(t->fd, all, (int)nr_iov + 1) < 0)
        return; /* lost: the interface is down or full, or what the guest wrote meanwhile is no frame any more */
}

static bool tap_next(struct netdev *dev, struct netdev_frame *ret_frame)
{
    struct netdev_tap *t = to_tap(dev);
    struct iovec iov[2] = { { &t->header, sizeof(t->header) }, { t->frame, sizeof(t->frame) } };
    if (t->len == 0) {
        ssize_t n = readv(t->fd, iov, ARRAY_SIZE(iov));
        if (n <= (ssize_t)sizeof(t->header)) {
            if (n >= 0 || errno != EBADFD) /* EBADFD: the interface was deleted, which would be an event for ever */
                arm(t);
            return false;
        }
        t->len = (size_t)n - sizeof(t->header);
    }
    *ret_frame = (struct netdev_frame){ .header = t->header, .data = t->frame, .len = t->len };
    return true;
}

static void tap_taken(struct netdev *dev)
{
    to_tap(dev)->len = 0;
}

static unsigned tun_offload(unsigned offload)
{
    if (!(offload & NETDEV_CSUM))
        return 0;
    return TUN_F_CSUM | (offload & NETDEV_TSO4 ? TUN_F_TSO4 : 0) | (offload & NETDEV_TSO6 ? TUN_F_TSO6 : 0);
}

static void tap_set_offload(struct netdev *dev, unsigned offload)
{
    if (ioctl(to_tap(dev)->fd, TUNSETOFFLOAD, tun_offload(offload)) < 0)
        return; /* the same call went well at the start */
}

static void tap_free(struct netdev *dev)
{
    struct netdev_tap *t = to_tap(dev);
    if (t->epoll_fd >= 0) {
        loop_remove_fd(t->loop, t->epoll_fd);
        (void)close(t->epoll_fd); /* a kernel object without data */
    }
    if (t->fd >= 0)
        (void)close(t->fd); /* as above */
    free(t);
}

static const struct netdev_ops tap_ops = {
    .send = tap_send,
    .next = tap_next,
    .taken = tap_taken,
    .set_offload = tap_set_offload,
    .free = tap_free,
};

/* ---- set-up ---- */

static int refuse(int code, struct error *err)
{
    switch (code) {
    case EPERM:
    case EACCES:
        return error_set(err, -code, "%s (it must belong to you: ip tuntap add dev NAME mode tap user YOU)", strerror(code));
    case EBUSY: return error_set(err, -code, "another program uses it (each machine needs an interface of its own)");
    case EINVAL: return error_set(err, -code, "it is not a TAP interface (ip tuntap add dev NAME mode tap user YOU)");
    default: return error_set(err, -code, "%s", strerror(code));
    }
}

/* The interface's MTU, or the usual one. */
static unsigned mtu_of(struct ifreq *req)
{
    AUTO_CLOSE int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || ioctl(fd, SIOCGIFMTU, req) < 0 || req->ifr_mtu < 68)
        return NETDEV_MTU;
    return MIN((unsigned)req->ifr_mtu, 65535U);
}

static int open_tap(struct netdev_tap *t, const char *name, struct error *err)
{
    struct ifreq req = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
    const int size = sizeof(struct netdev_header), little = 1;
    if (if_nametoindex(name) == 0) /* else it would be made for us, without an address, and gone with us */
        return error_set(err, -ENODEV, "there is no such interface (ip tuntap add dev %s mode tap user YOU; ip link set %s up)",
                         name, name);
    t->fd = open(TUN_DEVICE, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (t->fd < 0)
        return error_set(err, -errno, "%s: %s (--net user needs no device)", TUN_DEVICE, strerror(errno));
    memcpy(req.ifr_name, name, strlen(name));
    if (ioctl(t->fd, TUNSETIFF, &req) < 0)
        return refuse(errno, err);
    if (ioctl(t->fd, TUNSETVNETHDRSZ, &size) < 0 || ioctl(t->fd, TUNSETVNETLE, &little) < 0)
        return error_set(err, -errno, "its headers: %s (the kernel is too old for it)", strerror(errno));
    t->head.offload = NETDEV_CSUM | NETDEV_TSO4 | NETDEV_TSO6;
    if (ioctl(t->fd, TUNSETOFFLOAD, tun_offload(t->head.offload)) < 0)
        t->head.offload = 0;
    (void)ioctl(t->fd, TUNSETOFFLOAD, 0); /* until the front end says what it can do */
    t->head.mtu = mtu_of(&req);
    return 0;
}

static int watch(struct netdev_tap *t, struct error *err)
{
    struct epoll_event ev = { .events = EPOLLIN | EPOLLONESHOT };
    t->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (t->epoll_fd < 0 || epoll_ctl(t->epoll_fd, EPOLL_CTL_ADD, t->fd, &ev) < 0)
        return error_set(err, -errno, "cannot watch it: %s", strerror(errno));
    return loop_add_fd(t->loop, t->epoll_fd, EPOLLIN, on_event, t, err);
}

int netdev_tap_new(struct loop *loop, const struct netdev_config *config, struct netdev **ret_dev, struct error *err)
{
    struct netdev_tap *t = calloc(1, sizeof(*t));
    if (!t)
        return error_set(err, -ENOMEM, "out of memory");
    t->head.ops = &tap_ops;
    t->loop = loop;
    t->fd = t->epoll_fd = -1;
    int r = open_tap(t, config->tap, err);
    if (r == 0)
        r = watch(t, err);
    if (r < 0) {
        tap_free(&t->head);
        return r;
    }
    *ret_dev = &t->head;
    return 0;
}
