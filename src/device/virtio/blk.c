/* SPDX-License-Identifier: MIT */
/*
 * virtio-blk: requests from chains to the back end, and back.
 */
#include "device/virtio/blk.h"

#include <stdlib.h>
#include <string.h>

#include "backend/blockdev.h"
#include "base/checked.h"

/* Spec: 5.2.3 */
#define F_SEG_MAX (1ULL << 2)
#define F_RO (1ULL << 5)
#define F_BLK_SIZE (1ULL << 6)
#define F_FLUSH (1ULL << 9)
#define F_TOPOLOGY (1ULL << 10)
#define F_MQ (1ULL << 12)
#define F_DISCARD (1ULL << 13)
#define F_WRITE_ZEROES (1ULL << 14)

/* Spec: 5.2.6 */
enum request_type { T_IN = 0, T_OUT = 1, T_FLUSH = 4, T_GET_ID = 8, T_DISCARD = 11, T_WRITE_ZEROES = 13 };
enum request_status { S_OK = 0, S_IOERR = 1, S_UNSUPP = 2 };
enum { ZEROES_UNMAP = 1 << 0 };
enum { QUEUE_SIZE = 256, SEGMENTS_MAX = QUEUE_SIZE - 2 }; /* besides header and status */
enum { DISCARD_MAX = 1 << 21, ZEROES_MAX = 1 << 15 };     /* sectors: 1 GiB, 16 MiB */

/* Spec: 5.2.4 */
struct config {
    uint64_t capacity; /* sectors */
    uint32_t size_max, seg_max;
    uint8_t geometry[4];
    uint32_t blk_size;
    uint8_t physical_block_exp, alignment_offset;
    uint16_t min_io_size;
    uint32_t opt_io_size;
    uint8_t writeback, unused0;
    uint16_t num_queues;
    uint32_t max_discard_sectors, max_discard_seg, discard_sector_alignment;
    uint32_t max_write_zeroes_sectors, max_write_zeroes_seg;
    uint8_t write_zeroes_may_unmap, unused1[3];
} __attribute__((packed));

struct header {
    uint32_t type, reserved;
    uint64_t sector;
};

/* Of DISCARD and WRITE_ZEROES. */
struct segment {
    uint64_t sector;
    uint32_t sectors, flags;
};

struct blk_request {
    struct blk_request *next; /* while spare: there are never more than chains can be out */
    struct virtio_blk *blk;   /* borrowed (it drains before it goes) */
    unsigned queue;
    bool read; /* the back end wrote `data_len` bytes into the chain */
    uint32_t data_len;
    struct blockdev_request io;
    struct virtio_chain chain;
    struct iovec iov[VIRTIO_QUEUE_MAX];
};

static struct blk_request *request_of(struct blockdev_request *io)
{
    return (struct blk_request *)((char *)io - offsetof(struct blk_request, io));
}

static struct virtio_blk *to_blk(struct virtio_device *vdev)
{
    return (struct virtio_blk *)vdev;
}

/* A request to fill, not cleared; NULL: out of memory. */
static struct blk_request *take_request(struct virtio_blk *b)
{
    struct blk_request *req = b->spare;
    if (req)
        b->spare = req->next;
    else
        req = malloc(sizeof(*req));
    return req;
}

static void keep_request(struct virtio_blk *b, struct blk_request *req)
{
    req->next = b->spare;
    b->spare = req;
}

/* Writes the status byte and gives the chain back; `bytes` of data are in front of it. */
static void answer(struct virtio_blk *b, unsigned queue, const struct virtio_chain *chain, enum request_status status,
                   uint32_t bytes)
{
    uint8_t byte = (uint8_t)status;
    (void)virtio_chain_write(chain, chain->in_len - 1, &byte, 1);
    virtio_push(&b->vdev, queue, chain, bytes == chain->in_len - 1 ? chain->in_len : bytes);
    virtio_signal(&b->vdev, queue);
}

static void finish(struct blk_request *req, enum request_status status)
{
    struct virtio_blk *b = req->blk;
    if (req->read)
        virtio_chain_wrote(&req->chain, 0, req->data_len); /* before the driver hears of it; also what an error left */
    answer(b, req->queue, &req->chain, status, req->read && status == S_OK ? req->data_len : 0);
    keep_request(b, req);
}

/* The back end's callback. */
static void on_done(struct blockdev_request *io, int result)
{
    struct blk_request *req = request_of(io);
    struct virtio_blk *b = req->blk;
    bool wrote = io->op == BLOCKDEV_WRITE || io->op == BLOCKDEV_ZERO;
    if (result == 0 && wrote && !virtio_has(&b->vdev, F_FLUSH) && virtio_live(&b->vdev)) {
        *io = (struct blockdev_request){ .op = BLOCKDEV_FLUSH, .done = on_done }; /* Spec: 5.2.6.2 */
        blockdev_submit(b->disk, io);
        blockdev_kick(b->disk);
        return;
    }
    finish(req, result < 0 ? S_IOERR : S_OK);
}

/* ---- requests ---- */

static bool in_disk(const struct virtio_blk *b, uint64_t sector, uint64_t bytes)
{
    uint64_t sectors = b->disk->size / BLOCKDEV_SECTOR;
    return bytes % BLOCKDEV_SECTOR == 0 && sector <= sectors && bytes / BLOCKDEV_SECTOR <= sectors - sector;
}

/* Each of these fills req->io for the back end and returns true, or sets the status to answer with. */

static bool prepare_transfer(struct virtio_blk *b, struct blk_request *req, const struct header *h,
                             enum request_status *ret_status)
{
    const struct virtio_chain *c = &req->chain;
    bool read = h->type == T_IN;
    uint32_t len = read ? c->in_len - 1 : c->out_len - (uint32_t)sizeof(*h);
    *ret_status = S_IOERR;
    if (!in_disk(b, h->sector, len) || (!read && b->disk->read_only))
        return false;
    *ret_status = S_OK;
    if (len == 0)
        return false;
    unsigned nr = read ? virtio_chain_in_slice(c, 0, len, req->iov) : virtio_chain_out_slice(c, sizeof(*h), len, req->iov);
    req->io = (struct blockdev_request){ .op = read ? BLOCKDEV_READ : BLOCKDEV_WRITE,
                                         .offset = h->sector * BLOCKDEV_SECTOR,
                                         .len = len,
                                         .iov = req->iov,
                                         .nr_iov = nr };
    req->read = read;
    req->data_len = len;
    return true;
}

static bool prepare_segment(struct virtio_blk *b, struct blk_request *req, const struct header *h,
                            enum request_status *ret_status)
{
    const struct virtio_chain *c = &req->chain;
    bool zero = h->type == T_WRITE_ZEROES;
    struct segment s;
    *ret_status = S_IOERR;
    if (c->out_len != sizeof(*h) + sizeof(s) || virtio_chain_read(c, sizeof(*h), &s, sizeof(s)) != sizeof(s))
        return false; /* one segment is what we offer */
    if (b->disk->read_only || s.sectors > (zero ? ZEROES_MAX : DISCARD_MAX)
        || !in_disk(b, s.sector, (uint64_t)s.sectors * BLOCKDEV_SECTOR))
        return false;
    *ret_status = S_UNSUPP; /* Spec: 5.2.6.2 */
    if (s.flags & ~(zero ? (uint32_t)ZEROES_UNMAP : 0))
        return false;
    *ret_status = S_OK;
    req->io = (struct blockdev_request){
        .op = zero ? BLOCKDEV_ZERO : BLOCKDEV_DISCARD,
        .unmap = s.flags & ZEROES_UNMAP,
        .offset = s.sector * BLOCKDEV_SECTOR,
        .len = (uint64_t)s.sectors * BLOCKDEV_SECTOR,
    };
    return s.sectors > 0;
}

static enum request_status give_id(struct virtio_blk *b, const struct virtio_chain *c)
{
    if (c->in_len - 1 < VIRTIO_BLK_ID_SIZE)
        return S_IOERR;
    (void)virtio_chain_write(c, 0, b->id, VIRTIO_BLK_ID_SIZE);
    return S_OK;
}

/* True: req->io is to be submitted. False: the request ends now, with *ret_status and *ret_bytes of data. */
static bool prepare(struct virtio_blk *b, struct blk_request *req, enum request_status *ret_status, uint32_t *ret_bytes)
{
    struct header h;
    (void)virtio_chain_read(&req->chain, 0, &h, sizeof(h)); /* it is that long: see serve() */
    req->read = false;
    req->data_len = 0;
    *ret_bytes = 0;
    switch (h.type) {
    case T_IN:
    case T_OUT: return prepare_transfer(b, req, &h, ret_status);
    case T_DISCARD:
    case T_WRITE_ZEROES: return prepare_segment(b, req, &h, ret_status);
    case T_FLUSH: req->io = (struct blockdev_request){ .op = BLOCKDEV_FLUSH }; return true;
    case T_GET_ID:
        *ret_status = give_id(b, &req->chain);
        *ret_bytes = *ret_status == S_OK ? VIRTIO_BLK_ID_SIZE : 0;
        return false;
    default: *ret_status = S_UNSUPP; return false;
    }
}

/* Begins a request whose chain is filled in. */
static void serve(struct virtio_blk *b, unsigned queue, struct blk_request *req)
{
    enum request_status status;
    uint32_t bytes;
    req->blk = b;
    req->queue = queue;
    if (req->chain.out_len < sizeof(struct header) || req->chain.in_len < 1) {
        virtio_broken(&b->vdev, "request without header or status");
        keep_request(b, req);
    } else if (prepare(b, req, &status, &bytes)) {
        req->io.done = on_done;
        blockdev_submit(b->disk, &req->io);
    } else {
        answer(b, queue, &req->chain, status, bytes);
        keep_request(b, req);
    }
}

static void blk_notify(struct virtio_device *vdev, unsigned n)
{
    struct virtio_blk *b = to_blk(vdev);
    for (;;) {
        struct blk_request *req = take_request(b);
        if (!req) {
            virtio_broken(vdev, "the host is out of memory");
            break;
        }
        if (!virtio_pop(vdev, n, &req->chain)) {
            keep_request(b, req);
            break;
        }
        serve(b, n, req);
    }
    blockdev_kick(b->disk);
}

static void blk_quiesce(struct virtio_device *vdev)
{
    blockdev_drain(to_blk(vdev)->disk);
}

/* ---- configuration ---- */

static unsigned log2_of(unsigned v)
{
    return 31U - (unsigned)__builtin_clz(v | 1);
}

static void blk_config_read(struct virtio_device *vdev, unsigned offset, void *buf, unsigned len)
{
    const struct virtio_blk *b = to_blk(vdev);
    const unsigned block = b->disk->block_size;
    const struct config c = {
        .capacity = b->disk->size / BLOCKDEV_SECTOR,
        .seg_max = SEGMENTS_MAX,
        .blk_size = BLOCKDEV_SECTOR,
        .physical_block_exp = (uint8_t)log2_of(block / BLOCKDEV_SECTOR),
        .min_io_size = 1,
        .num_queues = (uint16_t)vdev->nr_queues,
        .max_discard_sectors = DISCARD_MAX,
        .max_discard_seg = 1,
        .discard_sector_alignment = block / BLOCKDEV_SECTOR,
        .max_write_zeroes_sectors = ZEROES_MAX,
        .max_write_zeroes_seg = 1,
        .write_zeroes_may_unmap = 1,
    };
    memcpy(buf, (const uint8_t *)&c + offset, len);
}

static const struct virtio_class blk_virtio_class = {
    .name = "virtio-blk",
    .id = VIRTIO_ID_BLOCK,
    .pci_class = 0x010000, /* mass storage, SCSI: what drivers of old systems look for */
    .queue_size = QUEUE_SIZE,
    .config_size = sizeof(struct config),
    .config_read = blk_config_read,
    .notify = blk_notify,
    .quiesce = blk_quiesce,
};

static void blk_done(void *dev)
{
    struct virtio_blk *b = dev;
    virtio_done(&b->vdev);
    while (b->spare) {
        struct blk_request *req = b->spare;
        b->spare = req->next;
        free(req);
    }
}

static const struct state_field blk_fields[] = {
    STATE_STRUCT(struct virtio_blk, vdev, &virtio_device_state),
    STATE_END,
};
static const struct state_desc blk_state = { .name = "virtio_blk", .version = 1, .fields = blk_fields };

const struct device_class virtio_blk_class = {
    .name = "virtio-blk",
    .reset = virtio_reset,
    .done = blk_done,
    .state = &blk_state,
};

void virtio_blk_init(struct virtio_blk *blk, struct blockdev *disk, const char *id, unsigned nr_queues, struct gmem *gmem,
                     struct vm_clock *clock)
{
    uint64_t features = F_SEG_MAX | F_BLK_SIZE | F_FLUSH | F_TOPOLOGY;
    features |= disk->read_only ? F_RO : F_DISCARD | F_WRITE_ZEROES;
    features |= nr_queues > 1 ? F_MQ : 0;
    *blk = (struct virtio_blk){ .disk = disk };
    memcpy(blk->id, id, MIN(strlen(id), sizeof(blk->id)));
    virtio_init(&blk->vdev, &blk_virtio_class, features, nr_queues, gmem, clock);
}
