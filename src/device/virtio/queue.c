/* SPDX-License-Identifier: MIT */
/*
 * Split virtqueues: walking chains, giving them back, and when to tell the driver.
 *
 * The driver runs on other threads while we look. Ring indices are atomics with the order that the specification asks of both
 * sides; each pairing is named at its place ("driver:" says what the guest does). Host and guest are little-endian.
 */
#include "device/virtio/queue.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "base/checked.h"
#include "base/iovec.h"

enum { DESC_NEXT = 1 << 0, DESC_WRITE = 1 << 1, DESC_INDIRECT = 1 << 2 };
enum { AVAIL_NO_INTERRUPT = 1 << 0 };
enum { DESC_ALIGN = 16, AVAIL_ALIGN = 2, USED_ALIGN = 4, USED_ENTRY = 8 };

/* Spec: 2.7.5. Two halves, so that each is read once. */
struct vring_desc {
    _Atomic uint64_t addr;
    _Atomic uint64_t rest; /* len:32, flags:16, next:16 */
};

/* Spec: 2.7.6. Behind ring[size] stands used_event. */
struct vring_avail {
    _Atomic uint16_t flags, idx;
    _Atomic uint16_t ring[];
};

/* Spec: 2.7.8. Behind ring[size] stands avail_event. */
struct vring_used {
    _Atomic uint16_t flags, idx;
    /* then entries of id:32, len:32, which are aligned to 4 bytes only */
};

/* A descriptor's copy. */
struct desc {
    uint64_t addr;
    uint32_t len;
    uint16_t flags, next;
};

/* Where a walk is. */
struct walk {
    struct virtio_queue *q;
    struct virtio_chain *chain;
    const struct vring_desc *table; /* the queue's, or an indirect one */
    unsigned nr;                    /* descriptors in it */
    unsigned seen;                  /* descriptors so far */
    bool indirect;                  /* in an indirect table */
};

static size_t avail_bytes(unsigned size)
{
    return sizeof(struct vring_avail) + (size + 1) * sizeof(uint16_t);
}

static size_t used_bytes(unsigned size)
{
    return sizeof(struct vring_used) + size * (size_t)USED_ENTRY + sizeof(uint16_t);
}

static _Atomic uint16_t *used_event(const struct virtio_queue *q)
{
    return &q->avail->ring[q->size];
}

static uint8_t *used_at(const struct virtio_queue *q, size_t offset)
{
    return (uint8_t *)q->used + offset;
}

static _Atomic uint16_t *avail_event(const struct virtio_queue *q)
{
    return (_Atomic uint16_t *)(void *)used_at(q, sizeof(uint32_t) + q->size * sizeof(uint64_t));
}

static int wrong(struct virtio_queue *q, const char *why)
{
    q->why = why;
    return -EINVAL;
}

void virtio_queue_reset(struct virtio_queue *q)
{
    *q = (struct virtio_queue){ .gmem = q->gmem, .bytes_max = q->bytes_max, .size_max = q->size_max, .size = q->size_max };
}

static bool size_is_good(const struct virtio_queue *q)
{
    return q->size > 0 && q->size <= q->size_max && (q->size & (q->size - 1)) == 0;
}

int virtio_queue_start(struct virtio_queue *q)
{
    if (!size_is_good(q))
        return wrong(q, "bad size");
    if (q->desc_gpa % DESC_ALIGN || q->avail_gpa % AVAIL_ALIGN || q->used_gpa % USED_ALIGN)
        return wrong(q, "misaligned rings");
    struct vring_desc *desc = gmem_pin(q->gmem, q->desc_gpa, q->size * sizeof(*desc));
    struct vring_avail *avail = gmem_pin(q->gmem, q->avail_gpa, avail_bytes(q->size));
    struct vring_used *used = gmem_pin(q->gmem, q->used_gpa, used_bytes(q->size));
    if (!desc || !avail || !used)
        return wrong(q, "rings outside of memory");
    q->desc = desc;
    q->avail = avail;
    q->used = used;
    return 0;
}

/* ---- taking chains ---- */

static struct desc read_desc(const struct vring_desc *from)
{
    uint64_t addr = atomic_load_explicit(&from->addr, memory_order_relaxed);
    uint64_t rest = atomic_load_explicit(&from->rest, memory_order_relaxed);
    return (struct desc){ .addr = addr, .len = (uint32_t)rest, .flags = (uint16_t)(rest >> 32), .next = (uint16_t)(rest >> 48) };
}

/* The walk goes on in the table that d describes. */
static int enter_indirect(struct walk *w, const struct desc *d)
{
    if (!w->q->indirect)
        return wrong(w->q, "indirect descriptor, which was not negotiated");
    if (w->indirect || (d->flags & DESC_NEXT))
        return wrong(w->q, "indirect descriptor inside or before others");
    if (d->len == 0 || d->len % sizeof(struct vring_desc) || d->addr % sizeof(uint64_t))
        return wrong(w->q, "indirect table of a bad size or alignment");
    w->table = gmem_pin(w->q->gmem, d->addr, d->len);
    if (!w->table)
        return wrong(w->q, "indirect table outside of memory");
    w->nr = (unsigned)(d->len / sizeof(struct vring_desc));
    w->indirect = true;
    return 0;
}

static int add_piece(struct walk *w, const struct desc *d)
{
    struct virtio_chain *c = w->chain;
    bool in = d->flags & DESC_WRITE;
    if (!in && c->nr_in > 0)
        return wrong(w->q, "readable descriptor behind a writable one");
    if (d->len == 0)
        return 0;
    if (d->len > (w->q->bytes_max ? w->q->bytes_max : VIRTIO_CHAIN_BYTES_MAX) - c->out_len - c->in_len)
        return wrong(w->q, "chain of too many bytes");
    void *host = gmem_pin(w->q->gmem, d->addr, d->len);
    if (!host)
        return wrong(w->q, "buffer outside of memory");
    c->iov[c->nr_out + c->nr_in] = (struct iovec){ .iov_base = host, .iov_len = d->len };
    *(in ? &c->nr_in : &c->nr_out) += 1;
    *(in ? &c->in_len : &c->out_len) += d->len;
    return 0;
}

/* Fills w->chain, beginning with descriptor `at` of w->table. */
static int walk_chain(struct walk *w, unsigned at)
{
    for (;;) {
        if (at >= w->nr)
            return wrong(w->q, "descriptor index out of range");
        struct desc d = read_desc(&w->table[at]);
        int r;
        if (d.flags & DESC_INDIRECT) {
            r = enter_indirect(w, &d);
            at = 0;
        } else {
            if (w->seen++ >= w->q->size) /* also what ends a loop */
                return wrong(w->q, "chain longer than the queue");
            r = add_piece(w, &d);
            if (r == 0 && !(d.flags & DESC_NEXT))
                return 0;
            at = d.next;
        }
        if (r < 0)
            return r;
    }
}

/* Chains the driver has offered and we have not taken; may be more than the queue has, from a hostile one. */
static uint16_t pending(const struct virtio_queue *q)
{
    /* acquire; driver: writes descriptors and ring entry, then the index (2.7.13.3: a barrier between) */
    uint16_t idx = atomic_load_explicit(&q->avail->idx, memory_order_acquire);
    return (uint16_t)(idx - q->last_avail);
}

/* Asks for a notification of the next chain, then looks once more. */
static uint16_t pending_after_asking(struct virtio_queue *q)
{
    if (!q->event_idx)
        return 0; /* flags never ask for silence, so a chain added now is notified */
    atomic_store_explicit(avail_event(q), q->last_avail, memory_order_relaxed);
    gmem_note_write(q->gmem, (void *)avail_event(q));
    /* driver: writes the index, full barrier, reads avail_event; either it sees what we ask for, or we see its index */
    atomic_thread_fence(memory_order_seq_cst);
    return pending(q);
}

int virtio_queue_pop(struct virtio_queue *q, struct virtio_chain *ret_chain)
{
    if (!q->desc)
        return 0;
    uint16_t n = pending(q);
    if (n == 0)
        n = pending_after_asking(q);
    if (n == 0)
        return 0;
    if (n > q->size)
        return wrong(q, "more chains than descriptors");
    if (q->in_flight >= q->size)
        return wrong(q, "more chains out than descriptors");
    unsigned head = atomic_load_explicit(&q->avail->ring[q->last_avail & (q->size - 1)], memory_order_relaxed);
    ret_chain->gmem = q->gmem; /* not all of it: clearing the pieces would cost more than the rest */
    ret_chain->head = (uint16_t)head;
    ret_chain->nr_out = ret_chain->nr_in = 0;
    ret_chain->out_len = ret_chain->in_len = 0;
    struct walk w = { .q = q, .chain = ret_chain, .table = q->desc, .nr = q->size };
    int r = walk_chain(&w, head);
    if (r < 0)
        return r;
    q->last_avail++;
    q->in_flight++;
    return 1;
}

void virtio_queue_unpop(struct virtio_queue *q)
{
    if (!q->desc || q->in_flight == 0)
        return;
    q->last_avail--;
    q->in_flight--;
}

/* ---- giving them back ---- */

void virtio_queue_push(struct virtio_queue *q, const struct virtio_chain *chain, uint32_t written)
{
    if (!q->desc || q->in_flight == 0)
        return;
    q->in_flight--;
    uint8_t *entry = used_at(q, sizeof(struct vring_used) + (q->used_idx & (q->size - 1)) * (size_t)USED_ENTRY);
    const uint32_t elem[2] = { chain->head, written };
    memcpy(entry, elem, sizeof(elem));
    q->used_idx++;
    /* release; driver: reads the index, then the entry and the buffers (2.7.14: a barrier between) */
    atomic_store_explicit(&q->used->idx, q->used_idx, memory_order_release);
    gmem_note_write(q->gmem, entry);
    gmem_note_write(q->gmem, entry + sizeof(uint32_t)); /* it may lie across two pages */
    gmem_note_write(q->gmem, (void *)&q->used->idx);
}

bool virtio_queue_should_signal(struct virtio_queue *q)
{
    if (!q->desc)
        return false;
    uint16_t old = q->signalled, now = q->used_idx;
    bool told = q->told;
    /* driver: writes used_event (or flags), full barrier, reads the used index; either we see what it asks for, or it sees our
     * index */
    atomic_thread_fence(memory_order_seq_cst);
    if (!q->event_idx)
        return !(atomic_load_explicit(&q->avail->flags, memory_order_relaxed) & AVAIL_NO_INTERRUPT);
    q->signalled = now;
    q->told = true;
    uint16_t event = atomic_load_explicit(used_event(q), memory_order_relaxed);
    return !told || (uint16_t)(now - event - 1) < (uint16_t)(now - old); /* Spec: 2.7.7.2 */
}

/* ---- contents ---- */

unsigned virtio_chain_out_slice(const struct virtio_chain *chain, size_t offset, size_t len, struct iovec *ret_iov)
{
    return iovec_slice(chain->iov, chain->nr_out, offset, len, ret_iov);
}

unsigned virtio_chain_in_slice(const struct virtio_chain *chain, size_t offset, size_t len, struct iovec *ret_iov)
{
    return iovec_slice(chain->iov + chain->nr_out, chain->nr_in, offset, len, ret_iov);
}

size_t virtio_chain_read(const struct virtio_chain *chain, size_t offset, void *buf, size_t len)
{
    struct iovec piece[VIRTIO_QUEUE_MAX];
    unsigned nr = virtio_chain_out_slice(chain, offset, len, piece);
    uint8_t *to = buf;
    for (unsigned i = 0; i < nr; i++) {
        memcpy(to, piece[i].iov_base, piece[i].iov_len);
        to += piece[i].iov_len;
    }
    return (size_t)(to - (uint8_t *)buf);
}

static void note(struct gmem *gm, const struct iovec *piece)
{
    const uint8_t *at = piece->iov_base, *end = at + piece->iov_len;
    while (at < end) {
        gmem_note_write(gm, at);
        at += GPAGE_SIZE - ((uint64_t)(at - gm->host) & ~GPAGE_MASK);
    }
}

size_t virtio_chain_write(const struct virtio_chain *chain, size_t offset, const void *buf, size_t len)
{
    struct iovec piece[VIRTIO_QUEUE_MAX];
    unsigned nr = virtio_chain_in_slice(chain, offset, len, piece);
    const uint8_t *from = buf;
    for (unsigned i = 0; i < nr; i++) {
        memcpy(piece[i].iov_base, from, piece[i].iov_len);
        note(chain->gmem, &piece[i]);
        from += piece[i].iov_len;
    }
    return (size_t)(from - (const uint8_t *)buf);
}

void virtio_chain_wrote(const struct virtio_chain *chain, size_t offset, size_t len)
{
    struct iovec piece[VIRTIO_QUEUE_MAX];
    unsigned nr = virtio_chain_in_slice(chain, offset, len, piece);
    for (unsigned i = 0; i < nr; i++)
        note(chain->gmem, &piece[i]);
}

static int queue_post_load(void *object, struct error *err)
{
    struct virtio_queue *q = object;
    q->desc = NULL;
    q->avail = NULL;
    q->used = NULL;
    q->in_flight = 0;
    if (q->size_max && !size_is_good(q))
        return error_set(err, -EINVAL, "virtqueue: size %u: a power of two up to %u is possible", q->size, q->size_max);
    return 0; /* the device starts it: which features hold is its state */
}

static const struct state_field queue_fields[] = {
    STATE_U16(struct virtio_queue, size),     STATE_BOOL(struct virtio_queue, ready),
    STATE_U64(struct virtio_queue, desc_gpa), STATE_U64(struct virtio_queue, avail_gpa),
    STATE_U64(struct virtio_queue, used_gpa), STATE_U16(struct virtio_queue, last_avail),
    STATE_U16(struct virtio_queue, used_idx), STATE_U16(struct virtio_queue, signalled),
    STATE_BOOL(struct virtio_queue, told),    STATE_END,
};
const struct state_desc virtio_queue_state = {
    .name = "virtio_queue",
    .version = 1,
    .fields = queue_fields,
    .post_load = queue_post_load,
};
