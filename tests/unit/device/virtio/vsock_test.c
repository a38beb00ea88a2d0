/* SPDX-License-Identifier: MIT */
/*
 * Laws of virtio-vsock, on streams in memory: bytes the test puts into them, and bytes that were written to them.
 */
#include "device/virtio/vsock.h"

#include <errno.h>
#include <stdio.h>

#include "support/chip.h"
#include "support/virtio_driver.h"

enum {
    CID = 42,
    HOST = 2,
    TX_DATA = 0x40000,
    RX_DATA = 0x60000,
    RX_SIZE = 0x1000,
    HEADER = 44,
    GUEST_PORT = 1000,
    HOST_PORT = 80
};
enum { REQUEST = 1, RESPONSE, RST, SHUTDOWN, RW, CREDIT_UPDATE, CREDIT_REQUEST };
enum { CAP = 200000 };

struct packet {
    uint64_t src_cid, dst_cid;
    uint32_t src_port, dst_port, len;
    uint16_t type, op;
    uint32_t flags, buf_alloc, fwd_cnt;
} __attribute__((packed));

/* The only stream there is: number 3. */
enum { STREAM = 3 };
struct memory_dev {
    struct vsockdev head;
    bool refuse, open, shut_read, shut_write, end;
    uint32_t port, accepted;
    size_t room; /* bytes it takes before it is full */
    uint8_t in[CAP], out[CAP];
    size_t in_at, in_len, out_len;
    int error;
};

static struct gmem gm;
static struct vm_clock vclock;
static struct memory_dev dev;
static struct virtio_vsock vsock;
static struct driver rx, tx, event;

static int dev_connect(struct vsockdev *d, uint32_t port)
{
    (void)d;
    if (dev.refuse || dev.open)
        return -ECONNREFUSED;
    dev.open = true;
    dev.port = port;
    return STREAM;
}

static void dev_accepted(struct vsockdev *d, unsigned stream, uint32_t port)
{
    (void)d;
    assert_int_equal(stream, STREAM);
    dev.accepted = port;
}

static ssize_t dev_read(struct vsockdev *d, unsigned stream, const struct iovec *iov, unsigned nr)
{
    (void)d;
    size_t done = 0;
    assert_true(stream == STREAM && dev.open);
    for (unsigned i = 0; i < nr; i++) {
        size_t n = iov[i].iov_len < dev.in_len - dev.in_at ? iov[i].iov_len : dev.in_len - dev.in_at;
        memcpy(iov[i].iov_base, dev.in + dev.in_at, n);
        dev.in_at += n;
        done += n;
    }
    return done ? (ssize_t)done : dev.end ? 0 : -EAGAIN;
}

static ssize_t dev_write(struct vsockdev *d, unsigned stream, const struct iovec *iov, unsigned nr)
{
    (void)d;
    size_t done = 0;
    assert_true(stream == STREAM && dev.open);
    if (dev.error)
        return dev.error;
    for (unsigned i = 0; i < nr; i++) {
        size_t n = iov[i].iov_len < dev.room ? iov[i].iov_len : dev.room;
        memcpy(dev.out + dev.out_len, iov[i].iov_base, n);
        dev.out_len += n;
        dev.room -= n;
        done += n;
    }
    return done ? (ssize_t)done : -EAGAIN;
}

static void dev_shutdown(struct vsockdev *d, unsigned stream, bool read, bool write)
{
    (void)d;
    assert_int_equal(stream, STREAM);
    dev.shut_read |= read;
    dev.shut_write |= write;
}

static void dev_close(struct vsockdev *d, unsigned stream)
{
    (void)d;
    assert_true(stream == STREAM && dev.open);
    dev.open = false;
}

static const struct vsockdev_ops dev_ops = {
    .connect = dev_connect,
    .accepted = dev_accepted,
    .read = dev_read,
    .write = dev_write,
    .shutdown = dev_shutdown,
    .close = dev_close,
};

/* ---- the driver ---- */

static void offer_rx(unsigned nr)
{
    for (unsigned i = 0; i < nr; i++) {
        unsigned slot = rx.avail_idx % rx.size;
        drv_desc(&rx, slot, RX_DATA + slot * (uint64_t)RX_SIZE, RX_SIZE, DRV_WRITE, 0);
        drv_offer(&rx, (uint16_t)slot);
    }
    virtio_notify(&vsock.vdev, VIRTIO_VSOCK_RX);
}

static void bring_up(void)
{
    static const uint8_t zero[0x4000];
    drv_negotiate(&vsock.vdev, 0);
    drv_init(&rx, &gm, 0x10000, 32);
    drv_init(&tx, &gm, 0x14000, 32);
    drv_init(&event, &gm, 0x18000, 8);
    struct driver *const all[] = { &rx, &tx, &event };
    for (unsigned i = 0; i < 3; i++) {
        drv_write(all[i], all[i]->desc, zero, sizeof(zero));
        drv_set_up_queue(all[i], &vsock.vdev, i);
    }
    drv_ok(&vsock.vdev);
    offer_rx(16);
}

static int setup(void **state)
{
    (void)state;
    test_clock(&vclock);
    drv_memory(&gm);
    dev = (struct memory_dev){ .head.ops = &dev_ops, .room = CAP };
    virtio_vsock_init(&vsock, &dev.head, CID, &gm, &vclock, NULL);
    bring_up();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    virtio_vsock_class.done(&vsock);
    assert_false(dev.open);
    gmem_done(&gm);
    return 0;
}

static struct packet make(unsigned op)
{
    return (struct packet){ .src_cid = CID,
                            .dst_cid = HOST,
                            .src_port = GUEST_PORT,
                            .dst_port = HOST_PORT,
                            .type = 1,
                            .op = (uint16_t)op,
                            .buf_alloc = 10000 };
}

/* Sends it with `len` bytes behind it; the device takes it, or not (then false). */
static bool put(const struct packet *p, const void *data, uint32_t len)
{
    uint32_t head, used;
    unsigned slot = 2 * tx.avail_idx % tx.size;
    drv_write(&tx, TX_DATA, p, sizeof(*p));
    if (len)
        drv_write(&tx, TX_DATA + 0x100, data, len);
    drv_desc(&tx, slot, TX_DATA, HEADER, len ? DRV_NEXT : 0, (uint16_t)(slot + 1));
    drv_desc(&tx, slot + 1, TX_DATA + 0x100, len, 0, 0);
    drv_offer(&tx, (uint16_t)slot);
    virtio_notify(&vsock.vdev, VIRTIO_VSOCK_TX);
    return drv_take(&tx, &head, &used);
}

static void put_op(unsigned op)
{
    const struct packet p = make(op);
    assert_true(put(&p, NULL, 0));
}

static void put_shutdown(uint32_t flags)
{
    struct packet p = make(SHUTDOWN);
    p.flags = flags;
    assert_true(put(&p, NULL, 0));
}

static void put_data(const void *data, uint32_t len)
{
    struct packet p = make(RW);
    p.len = len;
    assert_true(put(&p, data, len));
}

/* The next packet from the device; its data goes to `data`. op 0: there is none. */
static struct packet take(uint8_t *data)
{
    struct packet p = { 0 };
    uint32_t head, used;
    if (!drv_take(&rx, &head, &used))
        return p;
    drv_read(&rx, RX_DATA + head * (uint64_t)RX_SIZE, &p, sizeof(p));
    assert_int_equal(used, HEADER + p.len);
    assert_int_equal(p.src_cid, HOST);
    assert_int_equal(p.dst_cid, CID);
    if (p.len)
        drv_read(&rx, RX_DATA + head * (uint64_t)RX_SIZE + HEADER, data, p.len);
    return p;
}

static void expect_op(unsigned op)
{
    uint8_t data[RX_SIZE];
    assert_int_equal(take(data).op, op);
}

static void connect_guest(void)
{
    put_op(REQUEST);
    expect_op(RESPONSE);
}

static void host_sends(const void *data, size_t len)
{
    memcpy(dev.in + dev.in_len, data, len);
    dev.in_len += len;
    dev.head.front->ready(dev.head.opaque, STREAM, VSOCKDEV_READABLE);
}

/* ---- laws ---- */

static void the_guest_connects_and_bytes_go_both_ways(void **state)
{
    (void)state;
    uint8_t data[RX_SIZE];
    put_op(REQUEST);
    assert_int_equal(dev.port, HOST_PORT);
    struct packet p = take(data);
    assert_int_equal(p.op, RESPONSE);
    assert_int_equal(p.src_port, HOST_PORT);
    assert_int_equal(p.dst_port, GUEST_PORT);
    assert_int_equal(p.type, 1);
    assert_int_equal(p.buf_alloc, VIRTIO_VSOCK_BUF);
    put_data("hello", 5);
    assert_int_equal(dev.out_len, 5);
    assert_memory_equal(dev.out, "hello", 5);
    host_sends("world!", 6);
    p = take(data);
    assert_int_equal(p.op, RW);
    assert_int_equal(p.len, 6);
    assert_int_equal(p.fwd_cnt, 5);
    assert_memory_equal(data, "world!", 6);
}

static void who_is_refused_gets_a_reset(void **state)
{
    (void)state;
    dev.refuse = true;
    put_op(REQUEST);
    expect_op(RST);
    put_data("x", 1); /* of no connection */
    expect_op(RST);
    put_op(RST); /* is not answered */
    expect_op(0);
    dev.refuse = false;
    struct packet p = make(REQUEST);
    p.type = 2; /* SEQPACKET was not offered */
    assert_true(put(&p, NULL, 0));
    uint8_t data[RX_SIZE];
    p = take(data);
    assert_int_equal(p.op, RST);
    assert_int_equal(p.type, 2);
    assert_false(dev.open);
}

static void packets_of_other_cids_are_dropped(void **state)
{
    (void)state;
    struct packet p = make(REQUEST);
    p.src_cid = CID + 1;
    assert_true(put(&p, NULL, 0));
    p = make(REQUEST);
    p.dst_cid = 7;
    assert_true(put(&p, NULL, 0));
    expect_op(0);
    assert_false(dev.open);
    assert_int_equal(virtio_config_read(&vsock.vdev, 0, 8), CID);
}

static void the_host_connects_when_the_guest_accepts(void **state)
{
    (void)state;
    uint8_t data[RX_SIZE];
    dev.open = true;
    assert_true(dev.head.front->incoming(dev.head.opaque, STREAM, 5000));
    struct packet p = take(data);
    assert_int_equal(p.op, REQUEST);
    assert_int_equal(p.dst_port, 5000);
    assert_int_equal(dev.accepted, 0);
    struct packet answer = make(RESPONSE);
    answer.src_port = 5000;
    answer.dst_port = p.src_port;
    assert_true(put(&answer, NULL, 0));
    assert_int_equal(dev.accepted, p.src_port);
    host_sends("hi", 2);
    assert_int_equal(take(data).op, RW);
    answer.op = RST;
    assert_true(put(&answer, NULL, 0));
    assert_false(dev.open);
}

static void a_guest_that_does_not_answer_loses_the_connection(void **state)
{
    (void)state;
    dev.open = true;
    assert_true(dev.head.front->incoming(dev.head.opaque, STREAM, 5000));
    expect_op(REQUEST);
    vm_clock_advance(&vclock, 6 * NS_PER_S);
    expect_op(RST);
    assert_false(dev.open);
    virtio_set_status(&vsock.vdev, 0);
    dev.open = true; /* nobody is there at all */
    assert_false(dev.head.front->incoming(dev.head.opaque, STREAM, 5000));
    dev.open = false;
}

static void what_the_host_does_not_take_is_kept_in_order(void **state)
{
    (void)state;
    uint8_t data[3000];
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * 31 + i / 256);
    connect_guest();
    dev.room = 1000;
    put_data(data, 3000);
    put_data(data, 3000);
    assert_int_equal(dev.out_len, 1000);
    put_shutdown(2); /* sends no more: the host hears of it behind all bytes */
    assert_false(dev.shut_write);
    dev.room = CAP;
    dev.head.front->ready(dev.head.opaque, STREAM, VSOCKDEV_WRITABLE);
    assert_int_equal(dev.out_len, 6000);
    assert_memory_equal(dev.out, data, 3000);
    assert_memory_equal(dev.out + 3000, data, 3000);
    assert_true(dev.shut_write);
    assert_true(dev.open);
}

static void more_than_the_credit_costs_the_connection(void **state)
{
    (void)state;
    static uint8_t data[16384];
    connect_guest();
    dev.room = 0;
    for (unsigned i = 0; i < VIRTIO_VSOCK_BUF / sizeof(data); i++)
        put_data(data, sizeof(data));
    expect_op(0); /* the buffer is full to the last byte */
    put_data(data, 1);
    expect_op(RST);
    assert_false(dev.open);
}

static void credit_is_told_when_a_quarter_was_taken_and_when_asked(void **state)
{
    (void)state;
    static uint8_t data[VIRTIO_VSOCK_BUF / 4];
    uint8_t got[RX_SIZE];
    connect_guest();
    put_data(data, sizeof(data) - 1);
    expect_op(0);
    put_data(data, 1);
    struct packet p = take(got);
    assert_int_equal(p.op, CREDIT_UPDATE);
    assert_int_equal(p.fwd_cnt, sizeof(data));
    put_data(data, 10);
    put_op(CREDIT_REQUEST);
    p = take(got);
    assert_int_equal(p.op, CREDIT_UPDATE);
    assert_int_equal(p.fwd_cnt, sizeof(data) + 10);
}

static void the_guest_gets_no_more_than_its_credit(void **state)
{
    (void)state;
    static uint8_t data[20000];
    uint8_t got[RX_SIZE];
    size_t sum = 0;
    connect_guest(); /* credit: 10000 */
    host_sends(data, sizeof(data));
    struct packet p;
    while ((p = take(got)).op == RW)
        sum += p.len;
    assert_int_equal(sum, 10000);
    assert_int_equal(p.op, CREDIT_REQUEST);
    put_op(CREDIT_UPDATE); /* nothing was taken: asking again would never end */
    expect_op(0);
    p = make(CREDIT_UPDATE);
    p.fwd_cnt = 10000;
    offer_rx(16);
    assert_true(put(&p, NULL, 0));
    while ((p = take(got)).op == RW)
        sum += p.len;
    assert_int_equal(sum, 20000);
}

static void without_buffers_bytes_stay_in_the_host(void **state)
{
    (void)state;
    static uint8_t data[100];
    connect_guest();
    while (vsock.vdev.queue[VIRTIO_VSOCK_RX].used_idx < 16) /* use up the buffers */
        host_sends(data, 1);
    host_sends(data, 50);
    assert_int_equal(dev.in_len - dev.in_at, 50);
    offer_rx(1);
    assert_int_equal(dev.in_len - dev.in_at, 0);
}

static void resets_that_cannot_be_sent_stop_the_guest_not_us(void **state)
{
    (void)state;
    const struct packet p = make(RW);
    unsigned taken = 0;
    dev.refuse = true;
    for (unsigned i = 0; i < 16; i++)
        put_op(RW); /* uses up the buffers */
    while (taken < 100 && put(&p, NULL, 0))
        taken++;
    assert_int_equal(taken, VIRTIO_VSOCK_RESETS);
    offer_rx(16);
    vm_clock_advance(&vclock, 1000);
    uint32_t head, used;
    assert_true(drv_take(&tx, &head, &used));
}

static void the_hosts_end_is_a_shutdown_behind_all_bytes(void **state)
{
    (void)state;
    uint8_t got[RX_SIZE];
    connect_guest();
    dev.end = true;
    host_sends("last", 4);
    assert_int_equal(take(got).op, RW);
    struct packet p = take(got);
    assert_int_equal(p.op, SHUTDOWN);
    assert_int_equal(p.flags, 2);
    put_data("still", 5); /* half closed */
    assert_int_equal(dev.out_len, 5);
    dev.head.front->ready(dev.head.opaque, STREAM, VSOCKDEV_READABLE | VSOCKDEV_GONE);
    p = take(got);
    assert_int_equal(p.op, SHUTDOWN);
    assert_int_equal(p.flags, 3);
    vm_clock_advance(&vclock, 3 * NS_PER_S); /* the guest does not answer with its reset */
    expect_op(RST);
    assert_false(dev.open);
}

static void the_guests_end_is_answered_with_a_reset(void **state)
{
    (void)state;
    connect_guest();
    dev.room = 1;
    put_data("abc", 3);
    put_shutdown(3);
    expect_op(0);
    assert_true(dev.open); /* two bytes are not written yet */
    dev.room = CAP;
    dev.head.front->ready(dev.head.opaque, STREAM, VSOCKDEV_WRITABLE);
    assert_memory_equal(dev.out, "abc", 3);
    expect_op(RST);
    assert_false(dev.open);
}

static void a_host_that_reads_no_more_is_a_shutdown(void **state)
{
    (void)state;
    uint8_t got[RX_SIZE];
    connect_guest();
    dev.error = -EPIPE;
    put_data("abc", 3);
    struct packet p = take(got);
    assert_int_equal(p.op, SHUTDOWN);
    assert_int_equal(p.flags, 1);
    host_sends("still", 5);
    assert_int_equal(take(got).op, RW);
}

static void odd_packets_of_a_connection_reset_it(void **state)
{
    (void)state;
    connect_guest();
    struct packet p = make(RW);
    p.len = 500; /* of which 3 are there */
    assert_true(put(&p, "abc", 3));
    expect_op(RST);
    connect_guest();
    put_op(99);
    expect_op(RST);
    connect_guest();
    put_op(REQUEST); /* again */
    expect_op(RST);
    connect_guest();
    put_op(RESPONSE);
    expect_op(RST);
    assert_int_equal(dev.out_len, 0);
    assert_true(virtio_live(&vsock.vdev));
}

static void a_packet_without_a_header_breaks_the_device(void **state)
{
    (void)state;
    drv_desc(&tx, 0, TX_DATA, HEADER - 1, 0, 0);
    drv_offer(&tx, 0);
    virtio_notify(&vsock.vdev, VIRTIO_VSOCK_TX);
    assert_false(virtio_live(&vsock.vdev));
}

static void a_reset_closes_all_and_a_loaded_machine_says_so(void **state)
{
    (void)state;
    struct state_buf buf = { 0 };
    struct error err;
    uint32_t head, used, id = 7;
    connect_guest();
    assert_int_equal(state_save(virtio_vsock_class.state, &vsock, &buf), 0);
    virtio_set_status(&vsock.vdev, 0);
    assert_false(dev.open);
    assert_int_equal(state_load(virtio_vsock_class.state, &vsock, &buf, &err), 0);
    state_buf_done(&buf);
    drv_desc(&event, 0, TX_DATA, 4, DRV_WRITE, 0);
    drv_write(&event, TX_DATA, &id, sizeof(id));
    drv_offer(&event, 0);
    vm_clock_advance(&vclock, 1000);
    assert_true(drv_take(&event, &head, &used));
    assert_int_equal(used, 4);
    drv_read(&event, TX_DATA, &id, sizeof(id));
    assert_int_equal(id, 0);
    put_data("x", 1); /* it does not know the connection any more */
    expect_op(RST);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(the_guest_connects_and_bytes_go_both_ways),
        T(who_is_refused_gets_a_reset),
        T(packets_of_other_cids_are_dropped),
        T(the_host_connects_when_the_guest_accepts),
        T(a_guest_that_does_not_answer_loses_the_connection),
        T(what_the_host_does_not_take_is_kept_in_order),
        T(more_than_the_credit_costs_the_connection),
        T(credit_is_told_when_a_quarter_was_taken_and_when_asked),
        T(the_guest_gets_no_more_than_its_credit),
        T(without_buffers_bytes_stay_in_the_host),
        T(resets_that_cannot_be_sent_stop_the_guest_not_us),
        T(the_hosts_end_is_a_shutdown_behind_all_bytes),
        T(the_guests_end_is_answered_with_a_reset),
        T(a_host_that_reads_no_more_is_a_shutdown),
        T(odd_packets_of_a_connection_reset_it),
        T(a_packet_without_a_header_breaks_the_device),
        T(a_reset_closes_all_and_a_loaded_machine_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
