/* SPDX-License-Identifier: MIT */
/*
 * virtio-vsock: packets between queues and streams of the back end.
 *
 * The parts: connections, what comes from the guest (one function an operation), what goes to it, the back end's events, time.
 */
#include "device/virtio/vsock.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/checked.h"

/* Spec: 5.10.3 */
#define F_STREAM (1ULL << 0)

enum { QUEUE_SIZE = 128, ANSWER_S = 5, END_S = 2 };
enum { TYPE_STREAM = 1 };

/* Spec: 5.10.6 */
enum op {
    OP_REQUEST = 1,
    OP_RESPONSE = 2,
    OP_RST = 3,
    OP_SHUTDOWN = 4,
    OP_RW = 5,
    OP_CREDIT_UPDATE = 6,
    OP_CREDIT_REQUEST = 7,
};
enum { SHUT_RECEIVE = 1 << 0, SHUT_SEND = 1 << 1, SHUT_BOTH = SHUT_RECEIVE | SHUT_SEND };
enum {
    OWE_REQUEST = 1 << 0,
    OWE_RESPONSE = 1 << 1,
    OWE_CREDIT = 1 << 2,
    OWE_CREDIT_REQUEST = 1 << 3,
    OWE_SHUTDOWN = 1 << 4,
    OWE_RST = 1 << 5
};

struct packet {
    uint64_t src_cid, dst_cid;
    uint32_t src_port, dst_port;
    uint32_t len;
    uint16_t type, op;
    uint32_t flags, buf_alloc, fwd_cnt;
} __attribute__((packed));
static_assert(sizeof(struct packet) == 44, "virtio_vsock_hdr has 44 bytes");

enum { EVENT_TRANSPORT_RESET = 0 };

static struct virtio_vsock *to_vsock(struct virtio_device *vdev)
{
    return (struct virtio_vsock *)vdev;
}

static unsigned number(const struct virtio_vsock *v, const struct virtio_vsock_conn *c)
{
    return (unsigned)(c - v->conn);
}

/* ---- connections ---- */

static struct virtio_vsock_conn *find(struct virtio_vsock *v, uint32_t guest_port, uint32_t host_port)
{
    for (unsigned n = 0; n < VSOCKDEV_STREAMS_MAX; n++) {
        struct virtio_vsock_conn *c = &v->conn[n];
        if (c->state != VIRTIO_VSOCK_FREE && c->guest_port == guest_port && c->host_port == host_port)
            return c;
    }
    return NULL;
}

static struct virtio_vsock_conn *begin(struct virtio_vsock *v, unsigned stream, uint32_t guest_port, uint32_t host_port)
{
    struct virtio_vsock_conn *c = &v->conn[stream];
    assert(stream < VSOCKDEV_STREAMS_MAX && c->state == VIRTIO_VSOCK_FREE);
    *c = (struct virtio_vsock_conn){
        .guest_port = guest_port, .host_port = host_port, .readable = true, .deadline = VM_TIME_NEVER
    };
    return c;
}

/* Bytes that may be sent to the guest. */
static uint32_t credit(const struct virtio_vsock_conn *c)
{
    uint32_t out = c->sent - c->peer_fwd; /* what a driver that lies about it gets is its own affair */
    return out < c->buf_alloc ? c->buf_alloc - out : 0;
}

/* Closes the stream; the guest hears nothing of it. */
static void drop(struct virtio_vsock *v, struct virtio_vsock_conn *c)
{
    v->dev->ops->close(v->dev, number(v, c));
    byte_ring_done(&c->held);
    *c = (struct virtio_vsock_conn){ .state = VIRTIO_VSOCK_FREE };
}

/* The guest is to hear that it is over; what else was owed is not worth telling. */
static void owe_reset(struct virtio_vsock_conn *c)
{
    c->owed = OWE_RST;
}

static void set_deadline(struct virtio_vsock *v, struct virtio_vsock_conn *c, int seconds)
{
    c->deadline = vm_clock_now(v->timer.clock) + seconds * NS_PER_S;
    if (c->deadline < v->timer.deadline)
        vm_timer_arm(&v->timer, c->deadline);
}

/* The host's side sends or receives no more. */
static void host_shuts(struct virtio_vsock *v, struct virtio_vsock_conn *c, unsigned flags)
{
    if ((c->host_shut | flags) == c->host_shut || c->state != VIRTIO_VSOCK_OPEN)
        return;
    c->host_shut |= flags;
    c->owed |= OWE_SHUTDOWN;
    if (c->host_shut == SHUT_BOTH)
        set_deadline(v, c, END_S); /* for the guest's reset. Spec: 5.10.6.5.1 */
}

/* ---- from the guest to the host ---- */

static void took(struct virtio_vsock_conn *c, size_t bytes)
{
    c->forwarded += (uint32_t)bytes;
    if (c->forwarded - c->told >= VIRTIO_VSOCK_BUF / 4)
        c->owed |= OWE_CREDIT;
}

/* What the host's socket took of these bytes: all when it is closed, where they are lost as in any socket. */
static size_t write_host(struct virtio_vsock *v, struct virtio_vsock_conn *c, const struct iovec *iov, unsigned nr, size_t len)
{
    ssize_t n = len && !(c->host_shut & SHUT_RECEIVE) ? v->dev->ops->write(v->dev, number(v, c), iov, nr) : (ssize_t)len;
    if (n == -EAGAIN)
        return 0;
    if (n < 0) {
        host_shuts(v, c, SHUT_RECEIVE);
        return len;
    }
    return MIN((size_t)n, len);
}

/* Acts on the guest's SHUTDOWN when all it sent is written. */
static void finish(struct virtio_vsock *v, struct virtio_vsock_conn *c)
{
    if (c->held.len > 0 || !c->guest_shut)
        return;
    if (c->guest_shut == SHUT_BOTH)
        owe_reset(c); /* Spec: 5.10.6.5: the end of a clean disconnect */
    else
        v->dev->ops->shutdown(v->dev, number(v, c), c->guest_shut & SHUT_RECEIVE, c->guest_shut & SHUT_SEND);
}

static void flush(struct virtio_vsock *v, struct virtio_vsock_conn *c)
{
    while (c->held.len > 0) {
        const uint8_t *data;
        size_t len = byte_ring_front(&c->held, &data);
        const struct iovec iov = { .iov_base = (void *)data, .iov_len = len };
        size_t n = write_host(v, c, &iov, 1, len);
        if (n == 0)
            return;
        byte_ring_drop(&c->held, n);
        took(c, n);
    }
    finish(v, c);
}

/* Keeps the rest of a packet, from `at` on; false: it is more than the guest may send, or there is no memory. */
static bool hold(struct virtio_vsock_conn *c, const struct virtio_chain *chain, size_t at, size_t end)
{
    uint8_t bytes[1024];
    if (!c->held.data && byte_ring_init(&c->held, VIRTIO_VSOCK_BUF) < 0)
        return false;
    if (end - at > byte_ring_room(&c->held))
        return false;
    while (at < end) {
        size_t n = virtio_chain_read(chain, at, bytes, MIN(sizeof(bytes), end - at));
        at += byte_ring_put(&c->held, bytes, n);
    }
    return true;
}

static void take_data(struct virtio_vsock *v, struct virtio_vsock_conn *c, const struct packet *p,
                      const struct virtio_chain *chain)
{
    struct iovec iov[VIRTIO_QUEUE_MAX];
    const size_t end = sizeof(*p) + (size_t)p->len;
    if (c->state != VIRTIO_VSOCK_OPEN || (c->guest_shut & SHUT_SEND) || end > chain->out_len
        || p->len > VIRTIO_VSOCK_BUF - c->held.len) {
        guest_err(&v->vdev.errors, "virtio-vsock: %u bytes that cannot be (%zu wait)", p->len, c->held.len);
        owe_reset(c);
        return;
    }
    size_t done = 0;
    if (c->held.len == 0) {
        unsigned nr = virtio_chain_out_slice(chain, sizeof(*p), p->len, iov);
        done = write_host(v, c, iov, nr, p->len);
        took(c, done);
    }
    if (done < p->len && !hold(c, chain, sizeof(*p) + done, end))
        owe_reset(c);
}

/* A reset for a packet that belongs nowhere; there is room, see notify_tx(). */
static void refuse(struct virtio_vsock *v, const struct packet *p)
{
    if (p->op != OP_RST)
        v->reset[v->nr_resets++] = (struct virtio_vsock_reset){ .guest_port = p->src_port,
                                                                .host_port = p->dst_port,
                                                                .type = p->type };
}

static void connect_host(struct virtio_vsock *v, const struct packet *p)
{
    int stream = v->dev->ops->connect(v->dev, p->dst_port);
    if (stream < 0) {
        refuse(v, p);
        return;
    }
    struct virtio_vsock_conn *c = begin(v, (unsigned)stream, p->src_port, p->dst_port);
    c->state = VIRTIO_VSOCK_OPEN;
    c->buf_alloc = p->buf_alloc;
    c->peer_fwd = p->fwd_cnt;
    c->owed = OWE_RESPONSE;
}

static void take_response(struct virtio_vsock *v, struct virtio_vsock_conn *c)
{
    if (c->state != VIRTIO_VSOCK_ASKED) {
        owe_reset(c);
        return;
    }
    c->state = VIRTIO_VSOCK_OPEN;
    c->deadline = VM_TIME_NEVER;
    v->dev->ops->accepted(v->dev, number(v, c), c->host_port);
}

static void take_shutdown(struct virtio_vsock *v, struct virtio_vsock_conn *c, uint32_t flags)
{
    c->guest_shut |= flags & SHUT_BOTH;
    finish(v, c);
}

static void take_of_conn(struct virtio_vsock *v, struct virtio_vsock_conn *c, const struct packet *p,
                         const struct virtio_chain *chain)
{
    c->buf_alloc = p->buf_alloc;
    c->peer_fwd = p->fwd_cnt;
    if (credit(c) > 0)
        c->credit_asked = false; /* else asking again would get the same answer, for ever */
    switch (p->op) {
    case OP_RESPONSE: take_response(v, c); break;
    case OP_RST: drop(v, c); break;
    case OP_SHUTDOWN: take_shutdown(v, c, p->flags); break;
    case OP_RW: take_data(v, c, p, chain); break;
    case OP_CREDIT_UPDATE: break;
    case OP_CREDIT_REQUEST: c->owed |= OWE_CREDIT; break;
    default: owe_reset(c); break; /* also a request for what is there already */
    }
}

static void take_packet(struct virtio_vsock *v, const struct virtio_chain *chain)
{
    struct packet p;
    if (virtio_chain_read(chain, 0, &p, sizeof(p)) != sizeof(p)) {
        virtio_broken(&v->vdev, "packet without a header");
        return;
    }
    if (p.src_cid != v->cid || p.dst_cid != VIRTIO_VSOCK_CID_HOST) {
        guest_err(&v->vdev.errors, "virtio-vsock: packet from %#llx to %#llx", (unsigned long long)p.src_cid,
                  (unsigned long long)p.dst_cid);
        return; /* there is nobody to answer. Spec: 5.10.6.4.1 */
    }
    struct virtio_vsock_conn *c = p.type == TYPE_STREAM ? find(v, p.src_port, p.dst_port) : NULL;
    if (c)
        take_of_conn(v, c, &p, chain);
    else if (p.type == TYPE_STREAM && p.op == OP_REQUEST)
        connect_host(v, &p);
    else
        refuse(v, &p);
}

/* ---- from the host to the guest ---- */

static struct packet packet_of(struct virtio_vsock *v, struct virtio_vsock_conn *c, enum op op)
{
    c->told = c->forwarded;
    c->owed &= ~(unsigned)OWE_CREDIT;
    return (struct packet){
        .src_cid = VIRTIO_VSOCK_CID_HOST,
        .dst_cid = v->cid,
        .src_port = c->host_port,
        .dst_port = c->guest_port,
        .type = TYPE_STREAM,
        .op = (uint16_t)op,
        .buf_alloc = VIRTIO_VSOCK_BUF,
        .fwd_cnt = c->forwarded,
    };
}

/* A buffer with room for a header; false: there is none now. */
static bool pop_buffer(struct virtio_vsock *v, struct virtio_chain *ret_chain)
{
    if (!virtio_pop(&v->vdev, VIRTIO_VSOCK_RX, ret_chain))
        return false;
    if (ret_chain->in_len >= sizeof(struct packet))
        return true;
    virtio_broken(&v->vdev, "buffer without room for a header");
    return false;
}

static void give(struct virtio_vsock *v, const struct virtio_chain *chain, const struct packet *p)
{
    (void)virtio_chain_write(chain, 0, p, sizeof(*p)); /* there is room */
    virtio_push(&v->vdev, VIRTIO_VSOCK_RX, chain, (uint32_t)sizeof(*p) + p->len);
}

static bool send_reset(struct virtio_vsock *v)
{
    struct virtio_chain chain;
    if (!pop_buffer(v, &chain))
        return false;
    const struct virtio_vsock_reset *r = &v->reset[--v->nr_resets];
    const struct packet p = {
        .src_cid = VIRTIO_VSOCK_CID_HOST,
        .dst_cid = v->cid,
        .src_port = r->host_port,
        .dst_port = r->guest_port,
        .type = r->type,
        .op = OP_RST,
    };
    give(v, &chain, &p);
    return true;
}

/* Sends the first of the packets that are owed. A shutdown comes behind all bytes, for it is only owed when they are sent. */
static bool send_owed(struct virtio_vsock *v, struct virtio_vsock_conn *c)
{
    static const struct {
        unsigned bit;
        enum op op;
    } order[] = {
        { OWE_RST, OP_RST },
        { OWE_REQUEST, OP_REQUEST },
        { OWE_RESPONSE, OP_RESPONSE },
        { OWE_SHUTDOWN, OP_SHUTDOWN },
        { OWE_CREDIT_REQUEST, OP_CREDIT_REQUEST },
        { OWE_CREDIT, OP_CREDIT_UPDATE },
    };
    struct virtio_chain chain;
    unsigned i = 0;
    if (!pop_buffer(v, &chain))
        return false;
    while (!(c->owed & order[i].bit))
        i++;
    c->owed &= ~order[i].bit;
    struct packet p = packet_of(v, c, order[i].op);
    if (p.op == OP_SHUTDOWN)
        p.flags = c->host_shut;
    give(v, &chain, &p);
    if (p.op == OP_RST)
        drop(v, c);
    return true;
}

static bool has_data(struct virtio_vsock_conn *c)
{
    if (c->state != VIRTIO_VSOCK_OPEN || !c->readable || (c->guest_shut & SHUT_RECEIVE) || (c->host_shut & SHUT_SEND))
        return false;
    if (credit(c) > 0)
        return true;
    if (!c->credit_asked) {
        c->credit_asked = true;
        c->owed |= OWE_CREDIT_REQUEST;
    }
    return false;
}

/* Reads from the host's socket into a buffer of the guest; false: there is no buffer. */
static bool send_data(struct virtio_vsock *v, struct virtio_vsock_conn *c)
{
    struct virtio_chain chain;
    struct iovec iov[VIRTIO_QUEUE_MAX];
    if (!pop_buffer(v, &chain))
        return false;
    size_t room = MIN(chain.in_len - sizeof(struct packet), (size_t)credit(c));
    unsigned nr = virtio_chain_in_slice(&chain, sizeof(struct packet), room, iov);
    ssize_t n = nr ? v->dev->ops->read(v->dev, number(v, c), iov, nr) : -ENOBUFS;
    if (n <= 0) {
        virtio_unpop(&v->vdev, VIRTIO_VSOCK_RX);
        c->readable = false;
        if (n == 0)
            host_shuts(v, c, c->gone ? SHUT_BOTH : SHUT_SEND);
        else if (n != -EAGAIN)
            owe_reset(c);
        return true;
    }
    virtio_chain_wrote(&chain, sizeof(struct packet), (size_t)n);
    c->sent += (uint32_t)n;
    struct packet p = packet_of(v, c, OP_RW);
    p.len = (uint32_t)n;
    give(v, &chain, &p);
    return true;
}

/* Sends what there is, one packet of each connection in turn, while the guest has buffers. */
static void send_all(struct virtio_vsock *v)
{
    bool more = true;
    const uint16_t before = v->vdev.queue[VIRTIO_VSOCK_RX].used_idx;
    while (more && v->nr_resets > 0)
        more = send_reset(v);
    for (unsigned idle = 0; more && idle < VSOCKDEV_STREAMS_MAX; v->turn = (v->turn + 1) % VSOCKDEV_STREAMS_MAX) {
        struct virtio_vsock_conn *c = &v->conn[v->turn];
        idle++;
        if (c->state == VIRTIO_VSOCK_FREE)
            continue;
        const bool data = has_data(c); /* may owe */
        if (!c->owed && !data)
            continue;
        more = c->owed ? send_owed(v, c) : send_data(v, c);
        idle = 0;
    }
    if (v->vdev.queue[VIRTIO_VSOCK_RX].used_idx != before)
        virtio_signal(&v->vdev, VIRTIO_VSOCK_RX);
}

/* ---- queues ---- */

static void notify_tx(struct virtio_vsock *v)
{
    struct virtio_device *vdev = &v->vdev;
    struct virtio_chain chain;
    bool any = false;
    while (v->nr_resets < VIRTIO_VSOCK_RESETS && virtio_pop(vdev, VIRTIO_VSOCK_TX, &chain)) {
        take_packet(v, &chain);
        virtio_push(vdev, VIRTIO_VSOCK_TX, &chain, 0);
        any = true;
    }
    v->tx_waits = v->nr_resets == VIRTIO_VSOCK_RESETS;
    if (any)
        virtio_signal(vdev, VIRTIO_VSOCK_TX);
    send_all(v);
}

static void notify_event(struct virtio_vsock *v)
{
    const uint32_t event = EVENT_TRANSPORT_RESET;
    struct virtio_chain chain;
    if (!v->event_pending || !virtio_pop(&v->vdev, VIRTIO_VSOCK_EVENT, &chain))
        return;
    v->event_pending = false;
    virtio_push(&v->vdev, VIRTIO_VSOCK_EVENT, &chain, (uint32_t)virtio_chain_write(&chain, 0, &event, sizeof(event)));
    virtio_signal(&v->vdev, VIRTIO_VSOCK_EVENT);
}

static void vsock_notify(struct virtio_device *vdev, unsigned n)
{
    struct virtio_vsock *v = to_vsock(vdev);
    if (n == VIRTIO_VSOCK_EVENT)
        notify_event(v);
    else if (n == VIRTIO_VSOCK_TX)
        notify_tx(v);
    else {
        send_all(v);
        if (v->tx_waits && v->nr_resets < VIRTIO_VSOCK_RESETS)
            virtio_again(vdev, VIRTIO_VSOCK_TX);
    }
}

/* ---- the back end ---- */

static bool port_is_used(const struct virtio_vsock *v, uint32_t port)
{
    for (unsigned n = 0; n < VSOCKDEV_STREAMS_MAX; n++)
        if (v->conn[n].state != VIRTIO_VSOCK_FREE && v->conn[n].host_port == port)
            return true;
    return false;
}

static bool on_incoming(void *opaque, unsigned stream, uint32_t port)
{
    struct virtio_vsock *v = opaque;
    if (!virtio_live(&v->vdev))
        return false;
    do /* at most as often as there are connections */
        v->next_port = v->next_port == UINT32_MAX - 1 ? VIRTIO_VSOCK_FIRST_PORT : v->next_port + 1;
    while (port_is_used(v, v->next_port));
    struct virtio_vsock_conn *c = begin(v, stream, port, v->next_port);
    c->state = VIRTIO_VSOCK_ASKED;
    c->owed = OWE_REQUEST;
    set_deadline(v, c, ANSWER_S);
    virtio_run(&v->vdev, VIRTIO_VSOCK_RX);
    return true;
}

static void on_ready(void *opaque, unsigned stream, unsigned events)
{
    struct virtio_vsock *v = opaque;
    struct virtio_vsock_conn *c = &v->conn[stream];
    if (c->state == VIRTIO_VSOCK_FREE)
        return;
    if (events & VSOCKDEV_READABLE)
        c->readable = true;
    if (events & VSOCKDEV_GONE)
        c->gone = true;
    if (c->gone && (c->host_shut & SHUT_SEND))
        host_shuts(v, c, SHUT_RECEIVE);
    if (events & VSOCKDEV_WRITABLE)
        flush(v, c);
    virtio_run(&v->vdev, VIRTIO_VSOCK_RX);
}

static const struct vsockdev_front front = { .incoming = on_incoming, .ready = on_ready };

/* ---- time ---- */

static void on_deadline(void *opaque, ns_t now)
{
    struct virtio_vsock *v = opaque;
    ns_t next = VM_TIME_NEVER;
    for (unsigned n = 0; n < VSOCKDEV_STREAMS_MAX; n++) {
        struct virtio_vsock_conn *c = &v->conn[n];
        if (c->state == VIRTIO_VSOCK_FREE || c->deadline == VM_TIME_NEVER)
            continue;
        if (c->deadline > now) {
            next = MIN(next, c->deadline);
        } else if (c->owed & OWE_RST) {
            drop(v, c); /* the guest does not even take that */
        } else {
            owe_reset(c);
            c->deadline = now + END_S * NS_PER_S;
            next = MIN(next, c->deadline);
        }
    }
    vm_timer_arm(&v->timer, next);
    virtio_run(&v->vdev, VIRTIO_VSOCK_RX);
}

/* ---- life ---- */

static void vsock_reset(struct virtio_device *vdev)
{
    struct virtio_vsock *v = to_vsock(vdev);
    for (unsigned n = 0; n < VSOCKDEV_STREAMS_MAX; n++)
        if (v->conn[n].state != VIRTIO_VSOCK_FREE)
            drop(v, &v->conn[n]);
    vm_timer_disarm(&v->timer);
    v->nr_resets = v->turn = 0;
    v->next_port = VIRTIO_VSOCK_FIRST_PORT;
    v->tx_waits = v->event_pending = false;
}

/* Spec: 5.10.4 */
static void vsock_config_read(struct virtio_device *vdev, unsigned offset, void *buf, unsigned len)
{
    memcpy(buf, (const uint8_t *)&to_vsock(vdev)->cid + offset, len);
}

static const struct virtio_class vsock_virtio_class = {
    .name = "virtio-vsock",
    .id = VIRTIO_ID_VSOCK,
    .pci_class = 0x028000, /* network, other */
    .queue_size = QUEUE_SIZE,
    .config_size = sizeof(uint64_t),
    .config_read = vsock_config_read,
    .notify = vsock_notify,
    .reset = vsock_reset,
};

static void vsock_done(void *dev)
{
    struct virtio_vsock *v = dev;
    virtio_done(&v->vdev);
    vsock_reset(&v->vdev); /* streams and their memory */
}

static int vsock_post_load(void *object, struct error *err)
{
    struct virtio_vsock *v = object;
    (void)err;
    vsock_reset(&v->vdev);
    v->event_pending = virtio_live(&v->vdev); /* all queues are looked at once time goes on. Spec: 5.10.6.7 */
    return 0;
}

static const struct state_field vsock_fields[] = {
    STATE_STRUCT(struct virtio_vsock, vdev, &virtio_device_state),
    STATE_END,
};
static const struct state_desc vsock_state = {
    .name = "virtio_vsock", .version = 1, .fields = vsock_fields, .post_load = vsock_post_load
};

const struct device_class virtio_vsock_class = {
    .name = "virtio-vsock",
    .reset = virtio_reset,
    .done = vsock_done,
    .state = &vsock_state,
};

void virtio_vsock_init(struct virtio_vsock *v, struct vsockdev *dev, uint64_t cid, struct gmem *gmem, struct vm_clock *clock,
                       pthread_mutex_t *lock)
{
    memset(v, 0, sizeof(*v)); /* too large for an initialiser's copy on the stack */
    v->dev = dev;
    v->cid = cid;
    v->next_port = VIRTIO_VSOCK_FIRST_PORT;
    vm_timer_init(&v->timer, clock, on_deadline, v);
    virtio_init(&v->vdev, &vsock_virtio_class, F_STREAM, VIRTIO_VSOCK_QUEUES, gmem, clock);
    vsockdev_attach(dev, lock, &front, v);
}
