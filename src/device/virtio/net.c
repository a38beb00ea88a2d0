/* SPDX-License-Identifier: MIT */
/*
 * virtio-net: frames between queues and the back end.
 */
#include "device/virtio/net.h"

#include <assert.h>
#include <string.h>

#include "backend/netdev.h"
#include "base/checked.h"

/* Spec: 5.1.3 */
#define F_CSUM (1ULL << 0)
#define F_GUEST_CSUM (1ULL << 1)
#define F_MTU (1ULL << 3)
#define F_MAC (1ULL << 5)
#define F_GUEST_TSO4 (1ULL << 7)
#define F_GUEST_TSO6 (1ULL << 8)
#define F_HOST_TSO4 (1ULL << 11)
#define F_HOST_TSO6 (1ULL << 12)
#define F_MRG_RXBUF (1ULL << 15)
#define F_STATUS (1ULL << 16)

enum { QUEUE_SIZE = 256, FRAMES_A_TURN = 256, STATUS_LINK_UP = 1 };

/* Spec: 5.1.4 */
struct config {
    uint8_t mac[VIRTIO_NET_MAC_LEN];
    uint16_t status;
    uint16_t max_virtqueue_pairs;
    uint16_t mtu;
} __attribute__((packed));

/* In front of each frame. Spec: 5.1.6 */
struct net_header {
    struct netdev_header h;
    uint16_t num_buffers;
};
static_assert(sizeof(struct net_header) == 12, "virtio_net_hdr has 12 bytes");
static_assert(VIRTIO_NET_MAC_LEN == (int)NETDEV_MAC_LEN, "one kind of address");

static struct virtio_net *to_net(struct virtio_device *vdev)
{
    return (struct virtio_net *)vdev;
}

/* ---- transmission ---- */

static bool segments_are_good(const struct virtio_device *vdev, const struct netdev_header *h)
{
    switch (h->gso_type) {
    case NETDEV_GSO_NONE: return true;
    case NETDEV_GSO_TCP4: return virtio_has(vdev, F_HOST_TSO4) && h->gso_size > 0 && (h->flags & NETDEV_NEEDS_CSUM);
    case NETDEV_GSO_TCP6: return virtio_has(vdev, F_HOST_TSO6) && h->gso_size > 0 && (h->flags & NETDEV_NEEDS_CSUM);
    default: return false; /* ECN and UDP were not offered */
    }
}

/* Reduces the driver's header to what the back end may see; false: it makes no sense for a frame of `len` bytes. */
static bool check_header(const struct virtio_device *vdev, struct netdev_header *h, size_t len)
{
    h->flags &= NETDEV_NEEDS_CSUM; /* Spec: 5.1.6.2: other bits are not the driver's */
    if (!segments_are_good(vdev, h))
        return false;
    if (h->flags && (!virtio_has(vdev, F_CSUM) || (size_t)h->csum_start + h->csum_offset + sizeof(uint16_t) > len))
        return false;
    if (h->gso_type == NETDEV_GSO_NONE)
        h->gso_size = h->hdr_len = 0;
    if (h->hdr_len > len)
        return false;
    if (!h->flags)
        h->csum_start = h->csum_offset = 0;
    return true;
}

static size_t longest_frame(const struct virtio_net *net, const struct netdev_header *h)
{
    return h->gso_type == NETDEV_GSO_NONE ? net->dev->mtu + (size_t)NETDEV_ETH_HEADER + NETDEV_VLAN_TAG : NETDEV_FRAME_MAX;
}

static void transmit(struct virtio_net *net, const struct virtio_chain *chain)
{
    struct virtio_device *vdev = &net->vdev;
    struct net_header header;
    struct iovec iov[VIRTIO_QUEUE_MAX];
    if (virtio_chain_read(chain, 0, &header, sizeof(header)) != sizeof(header)) {
        virtio_broken(vdev, "frame without a header");
        return;
    }
    size_t len = chain->out_len - sizeof(header);
    if (!check_header(vdev, &header.h, len) || len < NETDEV_ETH_HEADER || len > longest_frame(net, &header.h)) {
        guest_err(&vdev->errors, "virtio-net: bad frame of %zu bytes (flags %#x, segments %#x of %u, checksum %u + %u)", len,
                  header.h.flags, header.h.gso_type, header.h.gso_size, header.h.csum_start, header.h.csum_offset);
        return;
    }
    unsigned nr = virtio_chain_out_slice(chain, sizeof(header), len, iov);
    netdev_send(net->dev, &header.h, iov, nr, len);
}

static void notify_tx(struct virtio_net *net)
{
    struct virtio_device *vdev = &net->vdev;
    struct virtio_chain chain;
    bool any = false;
    while (virtio_pop(vdev, VIRTIO_NET_TX, &chain)) {
        transmit(net, &chain);
        virtio_push(vdev, VIRTIO_NET_TX, &chain, 0);
        any = true;
    }
    if (!any)
        return;
    virtio_signal(vdev, VIRTIO_NET_TX);
    netdev_kick(net->dev);
}

/* ---- reception ---- */

enum rx_result { RX_GIVEN, RX_LOST, RX_NO_BUFFERS };

/* Takes buffers for `need` bytes into net->rx; 0: there are not enough, none is taken. */
static unsigned take_buffers(struct virtio_net *net, size_t need, unsigned max)
{
    size_t room = 0;
    unsigned nr = 0;
    while (room < need && nr < max && virtio_pop(&net->vdev, VIRTIO_NET_RX, &net->rx[nr]))
        room += net->rx[nr++].in_len;
    if (room >= need)
        return nr;
    while (nr > 0) {
        nr--;
        virtio_unpop(&net->vdev, VIRTIO_NET_RX);
    }
    return 0;
}

/* Writes into the nr buffers and gives them back. */
static void fill(struct virtio_net *net, unsigned nr, const struct net_header *header, const uint8_t *data, size_t len)
{
    uint32_t used[VIRTIO_NET_MERGE_MAX];
    size_t at = 0;
    (void)virtio_chain_write(&net->rx[0], 0, header, sizeof(*header)); /* there is room: see receive() */
    for (unsigned i = 0; i < nr; i++) {
        size_t offset = i == 0 ? sizeof(*header) : 0;
        size_t part = virtio_chain_write(&net->rx[i], offset, data + at, len - at);
        used[i] = (uint32_t)(offset + part);
        at += part;
    }
    for (unsigned i = 0; i < nr; i++)
        virtio_push(&net->vdev, VIRTIO_NET_RX, &net->rx[i], used[i]);
}

/* What the driver can do about a frame is what it said; the back end was told. */
static void make_header(const struct virtio_net *net, const struct netdev_frame *frame, struct net_header *ret_header)
{
    *ret_header = (struct net_header){ .h = frame->header };
    if (!virtio_has(&net->vdev, F_GUEST_CSUM))
        ret_header->h = (struct netdev_header){ 0 };
    else if (net->dev->valid)
        ret_header->h.flags |= NETDEV_CSUM_VALID;
}

static enum rx_result receive(struct virtio_net *net, const struct netdev_frame *frame)
{
    struct virtio_device *vdev = &net->vdev;
    struct net_header header;
    bool merge = virtio_has(vdev, F_MRG_RXBUF);
    unsigned nr = take_buffers(net, sizeof(header) + frame->len, merge ? VIRTIO_NET_MERGE_MAX : 1);
    if (nr == 0)
        return RX_NO_BUFFERS;
    if (net->rx[0].in_len < sizeof(header)) {
        virtio_broken(vdev, "buffer without room for a header");
        return RX_LOST;
    }
    make_header(net, frame, &header);
    header.num_buffers = (uint16_t)nr;
    fill(net, nr, &header, frame->data, frame->len);
    return RX_GIVEN;
}

/* The frame does not fit into what the driver offers: is that for want of buffers, or will it never? */
static bool never_fits(struct virtio_net *net)
{
    struct virtio_device *vdev = &net->vdev;
    unsigned max = virtio_has(vdev, F_MRG_RXBUF) ? MIN((unsigned)VIRTIO_NET_MERGE_MAX, (unsigned)vdev->queue[VIRTIO_NET_RX].size)
                                                 : 1;
    unsigned nr = 0;
    while (nr < max && virtio_pop(vdev, VIRTIO_NET_RX, &net->rx[0]))
        nr++;
    for (unsigned i = 0; i < nr; i++)
        virtio_unpop(vdev, VIRTIO_NET_RX);
    return nr == max;
}

static void notify_rx(struct virtio_net *net)
{
    struct virtio_device *vdev = &net->vdev;
    struct netdev_frame frame;
    bool any = false;
    for (unsigned turn = 0; virtio_live(vdev) && netdev_next(net->dev, &frame); turn++) {
        if (turn == FRAMES_A_TURN) { /* others want the machine's lock, too */
            virtio_again(vdev, VIRTIO_NET_RX);
            break;
        }
        enum rx_result result = receive(net, &frame);
        if (result == RX_NO_BUFFERS && !never_fits(net))
            break; /* the driver's notification, or the budget's next turn, goes on */
        if (result != RX_GIVEN)
            guest_err(&vdev->errors, "virtio-net: frame of %zu bytes, for which buffers are too small", frame.len);
        netdev_taken(net->dev);
        any |= result == RX_GIVEN;
    }
    if (any)
        virtio_signal(vdev, VIRTIO_NET_RX);
}

static void net_notify(struct virtio_device *vdev, unsigned n)
{
    if (n == VIRTIO_NET_TX)
        notify_tx(to_net(vdev));
    notify_rx(to_net(vdev)); /* after transmission, too: the network may have answered at once */
}

void virtio_net_frames(void *opaque)
{
    struct virtio_net *net = opaque;
    virtio_run(&net->vdev, VIRTIO_NET_RX);
}

/* ---- configuration ---- */

/* Tells the back end what the driver does about frames that come. */
static void tell_offload(struct virtio_device *vdev)
{
    unsigned offload = 0;
    if (virtio_has(vdev, F_GUEST_CSUM))
        offload = NETDEV_CSUM | (virtio_has(vdev, F_GUEST_TSO4) ? NETDEV_TSO4 : 0)
                  | (virtio_has(vdev, F_GUEST_TSO6) ? NETDEV_TSO6 : 0);
    netdev_set_offload(to_net(vdev)->dev, offload);
}

static void net_driver_ok(struct virtio_device *vdev)
{
    tell_offload(vdev);
    virtio_run(vdev, VIRTIO_NET_RX); /* for what waited */
}

static void net_config_read(struct virtio_device *vdev, unsigned offset, void *buf, unsigned len)
{
    struct virtio_net *net = to_net(vdev);
    struct config c = { .status = STATUS_LINK_UP, .max_virtqueue_pairs = 1, .mtu = (uint16_t)net->dev->mtu };
    memcpy(c.mac, net->mac, sizeof(c.mac));
    memcpy(buf, (const uint8_t *)&c + offset, len);
}

static const struct virtio_class net_virtio_class = {
    .name = "virtio-net",
    .id = VIRTIO_ID_NET,
    .pci_class = 0x020000, /* network, Ethernet */
    .queue_size = QUEUE_SIZE,
    .config_size = sizeof(struct config),
    .config_read = net_config_read,
    .notify = net_notify,
    .driver_ok = net_driver_ok,
    .reset = tell_offload, /* features are 0 */
};

static void net_done(void *dev)
{
    virtio_done(dev);
}

static int net_post_load(void *object, struct error *err)
{
    struct virtio_net *net = object;
    (void)err;
    tell_offload(&net->vdev);
    return 0;
}

/* The address is the board's, from the configuration. */
static const struct state_field net_fields[] = {
    STATE_STRUCT(struct virtio_net, vdev, &virtio_device_state),
    STATE_END,
};
static const struct state_desc net_state = {
    .name = "virtio_net", .version = 1, .fields = net_fields, .post_load = net_post_load
};

const struct device_class virtio_net_class = {
    .name = "virtio-net",
    .reset = virtio_reset,
    .done = net_done,
    .state = &net_state,
};

void virtio_net_init(struct virtio_net *net, struct netdev *dev, const uint8_t mac[VIRTIO_NET_MAC_LEN], struct gmem *gmem,
                     struct vm_clock *clock)
{
    uint64_t features = F_MAC | F_STATUS | F_MTU | F_MRG_RXBUF;
    if (dev->offload & NETDEV_CSUM)
        features |= F_CSUM | F_GUEST_CSUM;
    if (dev->offload & NETDEV_TSO4)
        features |= F_HOST_TSO4 | F_GUEST_TSO4;
    if (dev->offload & NETDEV_TSO6)
        features |= F_HOST_TSO6 | F_GUEST_TSO6;
    if (dev->valid)
        features |= F_GUEST_CSUM;
    memset(net, 0, sizeof(*net)); /* too large for an initialiser's copy on the stack */
    net->dev = dev;
    memcpy(net->mac, mac, sizeof(net->mac));
    virtio_init(&net->vdev, &net_virtio_class, features, VIRTIO_NET_QUEUES, gmem, clock);
}
