/* SPDX-License-Identifier: MIT */
/*
 * Fuzzer of virtio: queues, both transports, MSI-X and all devices, whatever a guest writes into registers and rings.
 *
 * A rig has a disk on MMIO, and on PCI one of each: rng, disk, network card, console, balloon, vsock, share. Actions are register
 * accesses, plausible set-ups, rings and chains, and noise over all of them; the disks are memory and end requests late and in
 * any order; the network has frames now and then, the console input and room, sockets bytes, ends and clients. The share's back
 * end is not the real one, which must not be near a fuzzer that may run as root (and has its own): this program defines
 * fs_submit() and its like itself, so that the library's are not linked. What must hold at all times: a disk is asked for ranges
 * inside of it and memory inside of the guest's; a network is given frames of possible lengths, with headers that fit them;
 * sockets are used as long as they are open, and are closed at the end; no more requests are under way than queues have
 * descriptors; saved, loaded and saved again is the same; damaged states are refused or survived. A rig that hangs is ended by
 * alarm(2). Meant for an ASan and UBSan build.
 */
#include "fuzz.h"

#include <assert.h>
#include <string.h>
#include <unistd.h>

#include <errno.h>

#include "backend/blockdev.h"
#include "backend/chardev.h"
#include "backend/fs.h"
#include "backend/netdev.h"
#include "backend/vsockdev.h"
#include "base/checked.h"
#include "device/virtio/balloon.h"
#include "device/virtio/blk.h"
#include "device/virtio/console.h"
#include "device/virtio/fs.h"
#include "device/virtio/mmio.h"
#include "device/virtio/net.h"
#include "device/virtio/pci.h"
#include "device/virtio/rng.h"
#include "device/virtio/vsock.h"

enum {
    RAM = 1 << 19,
    DATA = 0x10000,
    RINGS = 0x20000,
    RINGS_BYTES = 0x20000,
    DISK = 128 * 512,
    PENDING = 1100,
    ROUND = 800,
    HANG_S = 20,
    BLK_QUEUES = 3
};
enum device_nr { RNG, BLK, BLK_ON_MMIO, NET, CONSOLE, BALLOON, VSOCK, SHARE, DEVICES };
enum { PCI_DEVICES = DEVICES - 1, MTU = 1500, TERMINAL = 600, CID = 3, PORTS = 4 };
#define BAR 0xc0000000ULL
#define MMIO 0xd0000000ULL

struct memory_disk {
    struct blockdev head;
    struct rig *rig;
    uint8_t data[DISK];
    struct blockdev_request *pending[PENDING];
    unsigned nr, ended;
};

struct memory_net {
    struct netdev head;
    struct rig *rig;
    unsigned waiting, sent, given;
    size_t len; /* of the frame that is next */
    struct netdev_header header;
    uint8_t frame[NETDEV_FRAME_MAX];
};

struct memory_sockets {
    struct vsockdev head;
    struct rig *rig;
    bool open[VSOCKDEV_STREAMS_MAX];
    unsigned nr_open;
    uint64_t moved;
};

/* The share's back end: see above. */
struct fs {
    struct rig *rig;
    struct fs_request *pending[PENDING];
    unsigned nr, ended;
};

struct rig {
    struct gmem gm;
    struct vm_clock clock;
    struct bus mmio, pio;
    struct pci_bus bus;
    struct memory_disk disk[2];
    struct virtio_rng rng;
    struct virtio_blk blk[2];
    struct memory_net wire;
    struct virtio_net net;
    struct chardev *terminal;
    struct virtio_console console;
    struct virtio_balloon balloon;
    struct memory_sockets sockets;
    struct virtio_vsock vsock;
    struct fs folder;
    struct virtio_fs fs;
    struct virtio_pci pci[PCI_DEVICES]; /* of all but blk[1] */
    struct virtio_mmio mm;              /* of blk[1] */
    unsigned messages;
};

static_assert(RINGS + RINGS_BYTES <= RAM / 2 && DEVICES * 4 * 0x1000 <= RINGS_BYTES, "each queue has its rings");
static struct fuzz fuzz;

static void finding(const char *what)
{
    printf("FINDING: %s\n", what);
    (void)fflush(stdout);
    abort();
}

static uint64_t roll(void)
{
    return fuzz_u64(&fuzz);
}

static uint64_t below(uint64_t n)
{
    return fuzz_below(&fuzz, n);
}

/* ---- the disks ---- */

static void end_one(struct memory_disk *d, unsigned i)
{
    struct blockdev_request *req = d->pending[i];
    d->pending[i] = d->pending[--d->nr];
    uint8_t *at = d->data + req->offset;
    for (unsigned n = 0; n < req->nr_iov; n++) {
        if (req->op == BLOCKDEV_READ)
            memcpy(req->iov[n].iov_base, at, req->iov[n].iov_len);
        else
            memcpy(at, req->iov[n].iov_base, req->iov[n].iov_len);
        at += req->iov[n].iov_len;
    }
    d->ended++;
    req->done(req, below(8) ? 0 : -5);
}

static void disk_drain(struct blockdev *dev)
{
    struct memory_disk *d = (struct memory_disk *)dev;
    while (d->nr > 0)
        end_one(d, (unsigned)below(d->nr));
}

static void check_piece(const struct rig *r, const struct iovec *iov)
{
    const uint8_t *at = iov->iov_base;
    if (at < r->gm.host || iov->iov_len > RAM || at + iov->iov_len > r->gm.host + RAM)
        finding("memory that is not the guest's");
}

static void disk_submit(struct blockdev *dev, struct blockdev_request *req)
{
    struct memory_disk *d = (struct memory_disk *)dev;
    uint64_t sum = 0;
    if (req->offset > DISK || req->len > DISK - req->offset || req->offset % 512 || req->len % 512)
        finding("a range outside of the disk");
    for (unsigned i = 0; i < req->nr_iov; i++) {
        check_piece(d->rig, &req->iov[i]);
        sum += req->iov[i].iov_len;
    }
    if ((req->op == BLOCKDEV_READ || req->op == BLOCKDEV_WRITE) && sum != req->len)
        finding("a request whose pieces are not its length");
    if (d->nr == PENDING)
        finding("more requests than descriptors");
    d->pending[d->nr++] = req;
}

static const struct blockdev_ops disk_ops = { .submit = disk_submit, .drain = disk_drain };

/* ---- the network ---- */

static void net_send(struct netdev *dev, const struct netdev_header *h, const struct iovec *iov, unsigned nr_iov, size_t len)
{
    struct memory_net *w = (struct memory_net *)dev;
    size_t sum = 0;
    for (unsigned i = 0; i < nr_iov; sum += iov[i++].iov_len)
        check_piece(w->rig, &iov[i]);
    if (sum != len || len < 14 || len > (h->gso_type ? (size_t)NETDEV_FRAME_MAX : MTU + 18))
        finding("a frame of an impossible length");
    if ((h->flags & ~NETDEV_NEEDS_CSUM) || (h->flags && (size_t)h->csum_start + h->csum_offset + 2 > len) || h->hdr_len > len)
        finding("a header that does not fit its frame");
    if (h->gso_type && (!h->flags || !h->gso_size || (h->gso_type != NETDEV_GSO_TCP4 && h->gso_type != NETDEV_GSO_TCP6)))
        finding("segments that cannot be cut");
    w->sent++;
}

static bool net_next(struct netdev *dev, struct netdev_frame *ret_frame)
{
    struct memory_net *w = (struct memory_net *)dev;
    if (w->waiting == 0)
        return false;
    *ret_frame = (struct netdev_frame){ .header = w->header, .data = w->frame, .len = w->len };
    return true;
}

static void net_taken(struct netdev *dev)
{
    struct memory_net *w = (struct memory_net *)dev;
    if (w->waiting == 0)
        finding("a frame that was not there was taken");
    w->waiting--;
    w->given++;
    w->len = 14 + below(below(4) ? MTU : NETDEV_FRAME_MAX - 13);
}

static const struct netdev_ops net_ops = { .send = net_send, .next = net_next, .taken = net_taken };

static void frames_come(struct rig *r)
{
    r->wire.waiting += (unsigned)below(20);
    r->wire.header = (struct netdev_header){ .flags = (uint8_t)below(4), .gso_type = (uint8_t)below(2) };
    netdev_notify(&r->wire.head);
}

/* ---- the sockets ---- */

static void check_open(const struct memory_sockets *s, unsigned stream)
{
    if (stream >= VSOCKDEV_STREAMS_MAX || !s->open[stream])
        finding("a socket that is not open is used");
}

static int open_stream(struct memory_sockets *s)
{
    for (unsigned n = 0; n < VSOCKDEV_STREAMS_MAX; n++)
        if (!s->open[n]) {
            s->open[n] = true;
            s->nr_open++;
            return (int)n;
        }
    return -ENOSPC;
}

static int sockets_connect(struct vsockdev *dev, uint32_t port)
{
    (void)port;
    return below(8) ? open_stream((struct memory_sockets *)dev) : -ECONNREFUSED;
}

static void sockets_accepted(struct vsockdev *dev, unsigned stream, uint32_t port)
{
    (void)port;
    check_open((struct memory_sockets *)dev, stream);
}

static ssize_t move(struct memory_sockets *s, unsigned stream, const struct iovec *iov, unsigned nr, bool read)
{
    size_t sum = 0;
    check_open(s, stream);
    for (unsigned i = 0; i < nr; sum += iov[i++].iov_len)
        if (read)
            check_piece(s->rig, &iov[i]); /* what is written may come from a buffer */
    if (sum == 0)
        finding("a socket is asked for nothing");
    switch (below(8)) {
    case 0: return read ? 0 : -EPIPE;
    case 1: return -ECONNRESET;
    case 2:
    case 3: return -EAGAIN;
    default: break;
    }
    size_t n = 1 + below(sum);
    for (unsigned i = 0, left = (unsigned)n; i < nr && left > 0; left -= MIN(left, (unsigned)iov[i].iov_len), i++)
        if (read)
            memset(iov[i].iov_base, (int)n, MIN(left, iov[i].iov_len));
    s->moved += n;
    return (ssize_t)n;
}

static ssize_t sockets_read(struct vsockdev *dev, unsigned stream, const struct iovec *iov, unsigned nr)
{
    return move((struct memory_sockets *)dev, stream, iov, nr, true);
}

static ssize_t sockets_write(struct vsockdev *dev, unsigned stream, const struct iovec *iov, unsigned nr)
{
    return move((struct memory_sockets *)dev, stream, iov, nr, false);
}

static void sockets_shutdown(struct vsockdev *dev, unsigned stream, bool read, bool write)
{
    (void)read;
    (void)write;
    check_open((struct memory_sockets *)dev, stream);
}

static void sockets_close(struct vsockdev *dev, unsigned stream)
{
    struct memory_sockets *s = (struct memory_sockets *)dev;
    check_open(s, stream);
    s->open[stream] = false;
    s->nr_open--;
}

static const struct vsockdev_ops sockets_ops = {
    .connect = sockets_connect,
    .accepted = sockets_accepted,
    .read = sockets_read,
    .write = sockets_write,
    .shutdown = sockets_shutdown,
    .close = sockets_close,
};

static void sockets_happen(struct rig *r)
{
    struct memory_sockets *s = &r->sockets;
    if (below(4) == 0) {
        int n = open_stream(s);
        if (n >= 0 && !s->head.front->incoming(s->head.opaque, (unsigned)n, (uint32_t)below(PORTS)))
            sockets_close(&s->head, (unsigned)n);
        return;
    }
    for (unsigned n = 0; n < VSOCKDEV_STREAMS_MAX; n++)
        if (s->open[n] && below(2))
            s->head.front->ready(s->head.opaque, n, (unsigned)(below(4) | (below(8) == 0 ? VSOCKDEV_GONE : 0U)));
}

/* ---- the share ---- */

static void end_request(struct fs *fs, unsigned i)
{
    struct fs_request *req = fs->pending[i];
    fs->pending[i] = fs->pending[--fs->nr];
    if (req->nr_in)
        memset(req->in[0].iov_base, 0x5a, req->in[0].iov_len);
    req->written = below(2) ? req->in_len : below(req->in_len + 1);
    fs->ended++;
    req->done(req);
}

void fs_submit(struct fs *fs, struct fs_request *req)
{
    size_t out = 0, in = 0;
    for (unsigned i = 0; i < req->nr_out; out += req->out[i++].iov_len)
        check_piece(fs->rig, &req->out[i]);
    for (unsigned i = 0; i < req->nr_in; in += req->in[i++].iov_len)
        check_piece(fs->rig, &req->in[i]);
    if (out != req->out_len || in != req->in_len)
        finding("a request whose pieces are not its length");
    if (fs->nr == PENDING)
        finding("more requests than descriptors");
    fs->pending[fs->nr++] = req;
}

void fs_drain(struct fs *fs)
{
    while (fs->nr > 0)
        end_request(fs, (unsigned)below(fs->nr));
}

void fs_reset(struct fs *fs)
{
    if (fs->nr > 0)
        finding("a share is reset while requests are under way");
}

/* ---- the rig ---- */

static void message(void *opaque, uint64_t address, uint32_t data)
{
    (void)address;
    (void)data;
    ((struct rig *)opaque)->messages++;
}

static struct virtio_device *device(struct rig *r, unsigned i)
{
    struct virtio_device *const devices[DEVICES] = {
        [RNG] = &r->rng.vdev,         [BLK] = &r->blk[0].vdev,      [BLK_ON_MMIO] = &r->blk[1].vdev, [NET] = &r->net.vdev,
        [CONSOLE] = &r->console.vdev, [BALLOON] = &r->balloon.vdev, [VSOCK] = &r->vsock.vdev,        [SHARE] = &r->fs.vdev,
    };
    return devices[i];
}

/* Which function the device hangs on; not for the one that hangs on none. */
static unsigned pci_index(unsigned dev)
{
    return dev > BLK_ON_MMIO ? dev - 1 : dev;
}

static void rig_init(struct rig *r)
{
    memset(r, 0, sizeof(*r));
    vm_clock_init(&r->clock, NULL, NULL);
    vm_clock_set_manual(&r->clock);
    if (gmem_init(&r->gm, RAM, NULL) < 0 || gmem_add_slot(&r->gm, 0, RAM / 2, 0, NULL) < 0
        || gmem_add_slot(&r->gm, RAM, RAM / 2, RAM / 2, NULL) < 0) /* with a hole */
        abort();
    bus_init(&r->mmio);
    bus_init(&r->pio);
    pci_bus_init(&r->bus, &r->mmio, &r->pio);
    virtio_rng_init(&r->rng, &r->gm, &r->clock);
    for (unsigned i = 0; i < 2; i++) {
        r->disk[i].head = (struct blockdev){ .ops = &disk_ops, .size = DISK, .block_size = 4096, .read_only = false };
        r->disk[i].rig = r;
        virtio_blk_init(&r->blk[i], &r->disk[i].head, "fuzz", BLK_QUEUES, &r->gm, &r->clock);
    }
    static const uint8_t mac[] = { 2, 0, 0, 0, 0, 1 };
    r->wire.head = (struct netdev){ .ops = &net_ops, .offload = NETDEV_CSUM | NETDEV_TSO4 | NETDEV_TSO6, .mtu = MTU };
    r->wire.rig = r;
    r->wire.len = 60;
    virtio_net_init(&r->net, &r->wire.head, mac, &r->gm, &r->clock);
    netdev_attach(&r->wire.head, NULL, virtio_net_frames, &r->net);
    if (chardev_buffer_new(TERMINAL, &r->terminal, NULL) < 0)
        abort();
    virtio_console_init(&r->console, r->terminal, &r->gm, &r->clock);
    chardev_attach(r->terminal, NULL, virtio_console_ready, &r->console);
    virtio_balloon_init(&r->balloon, &r->gm, &r->clock);
    r->sockets = (struct memory_sockets){ .head.ops = &sockets_ops, .rig = r };
    virtio_vsock_init(&r->vsock, &r->sockets.head, CID, &r->gm, &r->clock, NULL);
    r->folder.rig = r;
    virtio_fs_init(&r->fs, &r->folder, "fuzz", &r->gm, &r->clock);
    const struct msi_sink sink = { .fn = message, .opaque = r };
    for (unsigned i = 0; i < DEVICES; i++)
        if (i != BLK_ON_MMIO)
            virtio_pci_init(&r->pci[pci_index(i)], device(r, i), &sink);
    virtio_mmio_init(&r->mm, &r->blk[1].vdev, NULL);
    for (unsigned i = 0; i < PCI_DEVICES; i++) {
        if (pci_bus_add(&r->bus, &r->pci[i].func, (uint8_t)(8 * (i + 1)), NULL) < 0)
            abort();
        pci_config_write(&r->bus, (uint8_t)(8 * (i + 1)), PCI_BAR0, (uint32_t)(BAR + i * VIRTIO_PCI_BAR_SIZE), 4);
        pci_config_write(&r->bus, (uint8_t)(8 * (i + 1)), PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
    }
    if (bus_map(&r->mmio, MMIO, VIRTIO_MMIO_SIZE, &virtio_mmio_io_ops, &r->mm, "virtio-mmio", NULL) < 0)
        abort();
}

static void rig_done(struct rig *r)
{
    virtio_rng_class.done(&r->rng);
    virtio_blk_class.done(&r->blk[0]);
    virtio_blk_class.done(&r->blk[1]);
    virtio_net_class.done(&r->net);
    virtio_console_class.done(&r->console);
    virtio_balloon_class.done(&r->balloon);
    virtio_vsock_class.done(&r->vsock);
    virtio_fs_class.done(&r->fs);
    chardev_free(r->terminal);
    if (r->sockets.nr_open || r->folder.nr)
        finding("sockets are open, or requests under way, when the device is gone");
    bus_done(&r->mmio);
    bus_done(&r->pio);
    gmem_done(&r->gm);
}

/* ---- actions ---- */

/* An address: mostly memory, with rings more often than chance has it. */
static uint64_t address(void)
{
    switch (below(8)) {
    case 0: return roll();
    case 1: return RAM / 2 - below(64);
    case 2: return below(2 * RAM);
    case 3:
    case 4: return RINGS + below(RINGS_BYTES) * (below(4) ? 16 : 1) % RINGS_BYTES;
    default: return DATA + below(0x8000) * (below(4) ? 16 : 1) % 0x8000;
    }
}

static uint64_t ring_base(unsigned dev, unsigned queue)
{
    return RINGS + (dev * 4ULL + queue) * 0x1000;
}

static void write_mem(struct rig *r, uint64_t at, const void *data, size_t len)
{
    int e = gmem_write(&r->gm, at, data, len);
    (void)e; /* outside of memory: nothing */
}

static void write_noise(struct rig *r)
{
    uint64_t v = roll() >> (8 * below(8));
    write_mem(r, address(), &v, 1 + below(8));
}

static void set_up_queue(struct rig *r, unsigned dev, unsigned queue)
{
    struct virtio_device *vdev = device(r, dev);
    uint64_t base = ring_base(dev, queue);
    uint64_t area[3] = { base, base + 0x400, base + 0x800 };
    virtio_set_queue_size(vdev, queue, 1U << below(6));
    if (below(16) == 0)
        area[below(3)] = address();
    for (unsigned i = 0; i < 3; i++) {
        virtio_set_queue_area(vdev, queue, (enum virtio_area)i, 0, (uint32_t)area[i]);
        virtio_set_queue_area(vdev, queue, (enum virtio_area)i, 32, (uint32_t)(area[i] >> 32));
    }
    virtio_enable_queue(vdev, queue);
}

/* MSI-X of the function in slot dev + 1, unmasked for the most part. */
static void set_up_messages(struct rig *r, unsigned dev)
{
    struct virtio_pci *p = &r->pci[dev];
    uint64_t bar = BAR + dev * (uint64_t)VIRTIO_PCI_BAR_SIZE;
    pci_config_write(&r->bus, (uint8_t)(8 * (dev + 1)), p->msix.cap + 2U, below(8) ? 0x8000 : 0xc000, 2);
    for (unsigned n = 0; n < p->msix.nr; n++)
        bus_write(&r->mmio, bar + 0x3000 + 16ULL * n + 12, below(8) == 0, 4);
    for (unsigned n = 0; n < p->vdev->nr_queues; n++) {
        bus_write(&r->mmio, bar + 0x16, n, 2);
        bus_write(&r->mmio, bar + 0x1a, below(p->msix.nr + 1), 2);
    }
}

static void bring_up(struct rig *r, unsigned dev)
{
    struct virtio_device *vdev = device(r, dev);
    virtio_set_status(vdev, 0);
    virtio_set_status(vdev, 3);
    virtio_accept(vdev, 0, virtio_offered(vdev, 0) & (uint32_t)(roll() | roll()));
    virtio_accept(vdev, 1, 1);
    virtio_set_status(vdev, 11);
    for (unsigned n = 0; n < vdev->nr_queues; n++)
        set_up_queue(r, dev, n);
    static const uint8_t zero[0xc00];
    for (unsigned n = 0; n < vdev->nr_queues; n++)
        write_mem(r, ring_base(dev, n), zero, sizeof(zero));
    if (dev != BLK_ON_MMIO && below(4))
        set_up_messages(r, pci_index(dev));
    virtio_set_status(vdev, 15);
}

/* A descriptor of queue q, plausible or not. */
static void write_desc(struct rig *r, const struct virtio_queue *q, uint64_t table)
{
    struct {
        uint64_t addr;
        uint32_t len;
        uint16_t flags, next;
    } d = { address(), (uint32_t)(below(8) ? 512 * below(8) + (below(3) ? 0 : below(32)) : roll()), (uint16_t)below(8),
            (uint16_t)below(q->size + (below(32) == 0)) };
    write_mem(r, table + 16 * below(q->size), &d, sizeof(d));
}

static void put_avail(struct rig *r, const struct virtio_queue *q, uint16_t head)
{
    uint16_t idx = 0, more;
    if (gmem_read(&r->gm, q->avail_gpa + 2, &idx, 2) < 0)
        return;
    write_mem(r, q->avail_gpa + 4 + 2 * (idx % q->size), &head, 2);
    more = (uint16_t)(idx + 1 + (below(64) == 0 ? below(300) : 0));
    write_mem(r, q->avail_gpa + 2, &more, 2);
}

/* A disk request that makes sense, but for now and then a number in it. */
static void offer_request(struct rig *r, const struct virtio_queue *q)
{
    static const uint32_t types[] = { 0, 1, 4, 8, 11, 13, 99 };
    if (q->size < 4)
        return;
    uint64_t at = DATA + below(64) * 64;
    uint32_t type = types[below(ARRAY_SIZE(types))], len = (uint32_t)(below(4) ? 512 * (1 + below(20)) : 16);
    const uint64_t header[] = { type, below(16) ? below(140) : roll(), below(130), (below(8) ? 0 : roll() << 32) | below(200) };
    write_mem(r, at, header, sizeof(header));
    const struct {
        uint64_t addr;
        uint32_t len;
        uint16_t flags, next;
    } d[3] = { { at, 16, 1, 1 },
               { type > 10 ? at + 16 : 0x1000 + below(64) * 256, len, (uint16_t)(1 | (type == 0 || type == 8 ? 2 : 0)), 2 },
               { at + 63, 1, 2, 0 } };
    write_mem(r, q->desc_gpa, d, sizeof(d));
    put_avail(r, q, 0);
}

/* A frame to send, or room for one, that makes sense but for now and then a number in it. */
static void offer_frame(struct rig *r, const struct virtio_queue *q)
{
    if (q->size < 4)
        return;
    bool in = q == &r->net.vdev.queue[VIRTIO_NET_RX];
    uint64_t at = DATA + below(64) * 64;
    uint32_t len = (uint32_t)(below(4) ? 14 + below(MTU) : below(0x4000));
    const uint16_t header[] = { (uint16_t)(below(2) | below(2) << 8 | (below(16) ? 0 : roll())),
                                (uint16_t)below(100),
                                (uint16_t)below(MTU),
                                (uint16_t)(below(8) ? 34 : roll()),
                                (uint16_t)(below(8) ? 16 : roll()),
                                0 };
    write_mem(r, at, header, sizeof(header));
    const struct {
        uint64_t addr;
        uint32_t len;
        uint16_t flags, next;
    } d[2] = { { at, below(32) ? 12 : (uint32_t)below(16), (uint16_t)(1 | (in ? 2 : 0)), 1 },
               { 0x1000 + below(64) * 256, len, in ? 2 : 0, 0 } };
    write_mem(r, q->desc_gpa, d, sizeof(d));
    put_avail(r, q, 0);
}

/* One or two pieces of memory, somewhere and of any length, to be read or written. */
static void offer_pieces(struct rig *r, const struct virtio_queue *q, bool in, uint64_t at, uint32_t first, uint32_t second)
{
    if (q->size < 4)
        return;
    const struct {
        uint64_t addr;
        uint32_t len;
        uint16_t flags, next;
    } d[2] = { { at, first, (uint16_t)((second ? 1 : 0) | (in ? 2 : 0)), 1 },
               { 0x1000 + below(64) * 256, second, in ? 2 : 0, 0 } };
    write_mem(r, q->desc_gpa, d, sizeof(d));
    put_avail(r, q, 0);
}

/* Page numbers, a report, or statistics. */
static void offer_balloon(struct rig *r, const struct virtio_queue *q)
{
    uint64_t at = DATA + below(64) * 64;
    const unsigned n = (unsigned)(q - r->balloon.vdev.queue);
    if (n >= 2 && below(2)) {
        offer_pieces(r, q, true, below(4) ? RAM + 4096 * below(32) : address(),
                     (uint32_t)(4096 * below(8) + below(2) * below(4096)), (uint32_t)(below(2) * below(9000)));
        return;
    }
    for (unsigned i = 0; i < 20; i++) {
        uint32_t number = (uint32_t)(below(16) ? (below(2) ? 64 + i : below(100)) : roll());
        if (n >= 2) {
            uint16_t tag = (uint16_t)below(14);
            write_mem(r, at + 10 * i, &tag, sizeof(tag));
        } else {
            write_mem(r, at + 4 * i, &number, sizeof(number));
        }
    }
    offer_pieces(r, q, false, at, (uint32_t)(below(8) ? 80 : below(0x8000)), (uint32_t)(below(4) ? 0 : below(200)));
}

/* A packet of a connection there is, or of another. */
static void offer_packet(struct rig *r, const struct virtio_queue *q)
{
    uint64_t at = DATA + below(64) * 64;
    const struct virtio_vsock_conn *c = &r->vsock.conn[below(2) ? below(8) : 0];
    const bool known = c->state != VIRTIO_VSOCK_FREE && below(4);
    const uint32_t len = (uint32_t)(below(8) ? below(4096) : 0);
    const struct {
        uint64_t src_cid, dst_cid;
        uint32_t src_port, dst_port, len;
        uint16_t type, op;
        uint32_t flags, buf_alloc, fwd_cnt;
    } __attribute__((packed)) p = {
        below(32) ? CID : roll(),
        below(32) ? 2 : roll(),
        known ? c->guest_port : (uint32_t)below(PORTS),
        known ? c->host_port : (uint32_t)below(PORTS),
        below(16) ? len : (uint32_t)roll(),
        (uint16_t)(below(32) ? 1 : below(4)),
        (uint16_t)(below(2) ? (known ? 5 : 1) : below(9)),
        (uint32_t)below(5),
        (uint32_t)(below(8) ? 0x40000 : roll()),
        known && below(8) ? c->sent - (uint32_t)below(100) : (uint32_t)roll(),
    };
    write_mem(r, at, &p, sizeof(p));
    offer_pieces(r, q, false, at, below(64) ? 44 : (uint32_t)below(60), len);
}

/* Packets, or room for some. */
static void offer_packets(struct rig *r, const struct virtio_queue *q)
{
    for (uint64_t n = 1 + below(8); n > 0; n--)
        if (q == &r->vsock.vdev.queue[VIRTIO_VSOCK_TX]) {
            offer_packet(r, q);
            virtio_notify(&r->vsock.vdev, VIRTIO_VSOCK_TX);
        } else {
            offer_pieces(r, q, true, DATA + below(64) * 64, below(64) ? 44 : (uint32_t)below(60),
                         (uint32_t)(below(8) ? 1 + below(4096) : 0));
        }
}

/* Something of the device's kind on one of its queues. */
static void offer(struct rig *r, unsigned dev, const struct virtio_queue *q)
{
    switch ((enum device_nr)dev) {
    case NET: offer_frame(r, q); break;
    case BALLOON: offer_balloon(r, q); break;
    case VSOCK: offer_packets(r, q); break;
    case CONSOLE:
        offer_pieces(r, q, q == &r->console.vdev.queue[VIRTIO_CONSOLE_RX], address(), (uint32_t)below(1000),
                     (uint32_t)below(1000));
        break;
    case RNG:
    case BLK:
    case BLK_ON_MMIO:
    case SHARE:
    case DEVICES: offer_request(r, q); break; /* pieces to read, then to write */
    }
}

static void access_bar(struct rig *r)
{
    uint64_t at = below(3) ? BAR + below(PCI_DEVICES) * VIRTIO_PCI_BAR_SIZE + below(4) * 0x1000 + below(0x48)
                           : MMIO + below(VIRTIO_MMIO_SIZE);
    unsigned size = 1U << below(4);
    if (below(2))
        at &= ~3ULL;
    uint64_t v = below(2) ? below(16) : roll() >> below(64);
    if (below(3))
        bus_write(&r->mmio, at, v, size);
    else
        (void)bus_read(&r->mmio, at, size);
}

static void access_config(struct rig *r)
{
    uint8_t devfn = (uint8_t)(8 * (1 + below(PCI_DEVICES)));
    unsigned size = 1U << below(3), at = (unsigned)below(256) & ~(size - 1);
    if (at >= PCI_BAR0 && at < PCI_BAR0 + 24)
        return; /* where the BARs lie is device_fuzz's */
    if (below(2))
        pci_config_write(&r->bus, devfn, at, (uint32_t)roll(), size);
    else
        (void)pci_config_read(&r->bus, devfn, at, size);
    pci_config_write(&r->bus, devfn, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
}

static void terminal_happens(struct rig *r)
{
    uint8_t bytes[TERMINAL];
    memset(bytes, 'x', sizeof(bytes));
    if (below(2))
        (void)chardev_buffer_feed(r->terminal, bytes, below(TERMINAL));
    else
        (void)chardev_buffer_take(r->terminal, bytes, below(TERMINAL));
    if (below(4) == 0)
        virtio_console_resize(&r->console, (uint16_t)below(200), (uint16_t)below(200));
}

static void balloon_happens(struct rig *r)
{
    if (below(2))
        virtio_balloon_ask(&r->balloon);
    else
        virtio_balloon_set_pages(&r->balloon, (uint32_t)below(64));
}

static void end_some(struct rig *r)
{
    if (below(3) == 0) {
        for (uint64_t n = below(8); n > 0 && r->folder.nr > 0; n--)
            end_request(&r->folder, (unsigned)below(r->folder.nr));
        return;
    }
    struct memory_disk *d = &r->disk[below(2)];
    for (uint64_t n = below(8); n > 0 && d->nr > 0; n--)
        end_one(d, (unsigned)below(d->nr));
}

/* What the host's side does. */
static void happen(struct rig *r, unsigned dev)
{
    switch ((enum device_nr)dev) {
    case NET: frames_come(r); break;
    case CONSOLE: terminal_happens(r); break;
    case BALLOON: balloon_happens(r); break;
    case VSOCK: sockets_happen(r); break;
    case RNG:
    case BLK:
    case BLK_ON_MMIO:
    case SHARE:
    case DEVICES: end_some(r); break;
    }
}

static void act(struct rig *r)
{
    unsigned dev = (unsigned)below(DEVICES);
    struct virtio_device *vdev = device(r, dev);
    const struct virtio_queue *q = &vdev->queue[below(vdev->nr_queues)];
    switch (below(16)) {
    case 0:
    case 1: access_bar(r); break;
    case 2: access_config(r); break;
    case 3: write_noise(r); break;
    case 4: write_desc(r, q, below(2) ? q->desc_gpa : address()); break;
    case 5:
    case 6:
    case 7:
        offer(r, dev, q);
        if (below(2))
            virtio_notify(vdev, (uint32_t)(q - vdev->queue));
        break;
    case 8: put_avail(r, q, (uint16_t)below(q->size)); break;
    case 9:
    case 10:
    case 11: virtio_notify(vdev, (uint32_t)(q - vdev->queue)); break;
    case 12: happen(r, dev); break;
    case 13: vm_clock_advance(&r->clock, (ns_t)below(below(64) ? 1000 : 4 * NS_PER_S)); break;
    case 14:
        if (!virtio_live(vdev) || below(64) == 0)
            bring_up(r, dev);
        break;
    case 15: virtio_config_changed(vdev); break;
    }
    for (unsigned n = 0; n < vdev->nr_queues; n++)
        if (vdev->queue[n].in_flight > vdev->queue[n].size)
            finding("more chains are out than the queue has descriptors");
}

/* ---- state ---- */

static const struct state_desc *part(struct rig *r, unsigned i, void **ret_object)
{
    static const struct device_class *const classes[DEVICES] = {
        [RNG] = &virtio_rng_class,     [BLK] = &virtio_blk_class,         [BLK_ON_MMIO] = &virtio_blk_class,
        [NET] = &virtio_net_class,     [CONSOLE] = &virtio_console_class, [BALLOON] = &virtio_balloon_class,
        [VSOCK] = &virtio_vsock_class, [SHARE] = &virtio_fs_class,
    };
    if (i < DEVICES) {
        *ret_object = device(r, i); /* what each begins with */
        return classes[i]->state;
    }
    i -= DEVICES;
    *ret_object = i < PCI_DEVICES ? (void *)&r->pci[i] : (void *)&r->mm;
    return i < PCI_DEVICES ? virtio_pci_class.state : virtio_mmio_class.state;
}

enum { PARTS = DEVICES + PCI_DEVICES + 1 };

static void save(struct rig *r, unsigned i, struct state_buf *buf)
{
    void *object;
    const struct state_desc *desc = part(r, i, &object);
    if (state_save(desc, object, buf) < 0)
        abort();
}

static int load(struct rig *r, unsigned i, struct state_buf *buf, struct error *err)
{
    void *object;
    const struct state_desc *desc = part(r, i, &object);
    buf->pos = 0;
    return state_load(desc, object, buf, err);
}

static void check_round_trip(struct rig *r)
{
    static struct rig copy;
    struct state_buf first[PARTS] = { 0 };
    rig_init(&copy);
    for (unsigned i = 0; i < PARTS; i++)
        save(r, i, &first[i]);
    for (unsigned i = 0; i < PARTS; i++) {
        struct error err = { 0 };
        struct state_buf second = { 0 };
        if (load(&copy, i, &first[i], &err) < 0)
            finding(err.msg);
        save(&copy, i, &second);
        if (second.len != first[i].len || memcmp(second.data, first[i].data, second.len) != 0)
            finding("load and save change the state");
        state_buf_done(&second);
        state_buf_done(&first[i]);
    }
    rig_done(&copy);
}

static void check_hostile_state(struct rig *r)
{
    static struct rig victim;
    rig_init(&victim);
    for (unsigned i = 0; i < PARTS; i++) {
        struct state_buf buf = { 0 };
        struct error err = { 0 };
        save(r, i, &buf);
        for (uint64_t n = 1 + below(6); n > 0; n--)
            buf.data[below(buf.len)] ^= (uint8_t)(1 << below(8));
        if (load(&victim, i, &buf, &err) < 0) { /* as promised, it can only be thrown away */
            state_buf_done(&buf);
            rig_done(&victim);
            return;
        }
        state_buf_done(&buf);
    }
    for (unsigned i = 0; i < 50; i++)
        act(&victim);
    rig_done(&victim);
}

int main(int argc, char **argv)
{
    static struct rig rig;
    uint64_t chains = 0, messages = 0, requests = 0, sent = 0, given = 0, released = 0, moved = 0, served = 0;
    fuzz_start(&fuzz, argc, argv, 10);
    while (fuzz_more(&fuzz)) {
        (void)alarm(HANG_S);
        rig_init(&rig);
        for (unsigned i = 0; i < DEVICES; i++)
            if (below(4))
                bring_up(&rig, i);
        for (unsigned i = 0; i < ROUND; i++)
            act(&rig);
        for (unsigned i = 0; i < DEVICES; i++)
            chains += device(&rig, i)->queue[0].used_idx;
        messages += rig.messages;
        requests += rig.disk[0].ended + rig.disk[1].ended;
        sent += rig.wire.sent;
        given += rig.wire.given;
        released += rig.balloon.released;
        moved += rig.sockets.moved;
        served += rig.folder.ended;
        check_round_trip(&rig);
        if (below(2))
            check_hostile_state(&rig);
        rig_done(&rig);
    }
    printf("%lu chains on first queues, %lu disk requests, %lu frames sent, %lu given, %lu messages\n", (unsigned long)chains,
           (unsigned long)requests, (unsigned long)sent, (unsigned long)given, (unsigned long)messages);
    printf("%lu KiB released, %lu bytes through sockets, %lu requests to the share\n", (unsigned long)(released >> 10),
           (unsigned long)moved, (unsigned long)served);
    return 0;
}
