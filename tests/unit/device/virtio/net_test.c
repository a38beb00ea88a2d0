/* SPDX-License-Identifier: MIT */
/*
 * Laws of virtio-net, on a network in memory: frames the test puts into it, and the last one that was sent.
 */
#include "device/virtio/net.h"

#include <stdio.h>

#include "backend/netdev.h"
#include "support/chip.h"
#include "support/virtio_driver.h"

enum { HEADER = 12, DATA = 0x40000, RX_DATA = 0x60000, FRAME = 1000, RX_SIZE = 2048, WAITING = 1000 };
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
#define ALL_TX (F_CSUM | F_HOST_TSO4 | F_HOST_TSO6)

struct memory_net {
    struct netdev head;
    unsigned waiting; /* frames of frame_len bytes that came */
    size_t frame_len;
    struct netdev_header frame_header;
    unsigned given;
    unsigned sent, kicks, told;
    struct netdev_header sent_header;
    size_t sent_len;
    uint8_t sent_data[70000], frame[70000];
};

static struct gmem gm;
static struct vm_clock vclock;
static struct memory_net wire;
static struct virtio_net net;
static struct driver rx, tx;
static unsigned irqs[2];
static const uint8_t mac[6] = { 2, 1, 2, 3, 4, 5 };

static void wire_send(struct netdev *dev, const struct netdev_header *h, const struct iovec *iov, unsigned nr_iov, size_t len)
{
    struct memory_net *w = (struct memory_net *)dev;
    size_t at = 0;
    for (unsigned i = 0; i < nr_iov; at += iov[i++].iov_len)
        memcpy(w->sent_data + at, iov[i].iov_base, iov[i].iov_len);
    assert_int_equal(at, len);
    w->sent++;
    w->sent_len = len;
    w->sent_header = *h;
}

static void wire_kick(struct netdev *dev)
{
    ((struct memory_net *)dev)->kicks++;
}

static bool wire_next(struct netdev *dev, struct netdev_frame *ret_frame)
{
    struct memory_net *w = (struct memory_net *)dev;
    if (w->waiting == 0)
        return false;
    *ret_frame = (struct netdev_frame){ .header = w->frame_header, .data = w->frame, .len = w->frame_len };
    return true;
}

static void wire_taken(struct netdev *dev)
{
    struct memory_net *w = (struct memory_net *)dev;
    assert_true(w->waiting > 0);
    w->waiting--;
    w->given++;
}

static void wire_set_offload(struct netdev *dev, unsigned offload)
{
    ((struct memory_net *)dev)->told = offload;
}

static const struct netdev_ops wire_ops = {
    .send = wire_send, .kick = wire_kick, .next = wire_next, .taken = wire_taken, .set_offload = wire_set_offload
};

static void on_queue(void *transport, unsigned n)
{
    (void)transport;
    irqs[n]++;
}

static void on_config(void *transport)
{
    (void)transport;
}

static const struct virtio_transport_ops transport = { .queue_irq = on_queue, .config_irq = on_config };

static void make(unsigned offload, bool valid)
{
    memset(&wire, 0, sizeof(wire));
    wire.head = (struct netdev){ .ops = &wire_ops, .offload = offload, .valid = valid, .mtu = 1500 };
    wire.frame_len = FRAME;
    for (unsigned i = 0; i < sizeof(wire.frame); i++)
        wire.frame[i] = (uint8_t)(i * 7 + i / 256);
    virtio_net_init(&net, &wire.head, mac, &gm, &vclock);
    netdev_attach(&wire.head, NULL, virtio_net_frames, &net);
    virtio_connect(&net.vdev, &transport, &net);
}

static void go_live(uint64_t features)
{
    drv_negotiate(&net.vdev, features);
    assert_int_equal(net.vdev.status, 11);
    drv_init(&rx, &gm, 0x10000, 128);
    drv_init(&tx, &gm, 0x20000, 128);
    drv_set_up_queue(&rx, &net.vdev, VIRTIO_NET_RX);
    drv_set_up_queue(&tx, &net.vdev, VIRTIO_NET_TX);
    drv_ok(&net.vdev);
}

static int setup(void **state)
{
    (void)state;
    irqs[0] = irqs[1] = 0;
    test_clock(&vclock);
    drv_memory(&gm);
    make(NETDEV_CSUM | NETDEV_TSO4 | NETDEV_TSO6, false);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    virtio_net_class.done(&net);
    gmem_done(&gm);
    return 0;
}

/* Sends a frame of `len` bytes behind header h; true when the network got one. */
static bool send_frame(const struct netdev_header *h, uint32_t len)
{
    uint8_t header[HEADER] = { 0 };
    unsigned before = wire.sent;
    uint32_t head, used;
    memcpy(header, h, sizeof(*h));
    drv_write(&tx, DATA, header, HEADER);
    drv_desc(&tx, 0, DATA, HEADER, len ? DRV_NEXT : 0, 1);
    drv_desc(&tx, 1, DATA + 0x100, len, 0, 0);
    drv_offer(&tx, 0);
    virtio_notify(&net.vdev, VIRTIO_NET_TX);
    assert_true(drv_take(&tx, &head, &used));
    assert_int_equal(used, 0);
    return wire.sent > before;
}

/* Offers a buffer of `len` bytes, number i. */
static void offer_buffer(unsigned i, uint32_t len)
{
    drv_desc(&rx, i, RX_DATA + i * RX_SIZE, len, DRV_WRITE, 0);
    drv_offer(&rx, (uint16_t)i);
}

static void frames_come(unsigned nr)
{
    wire.waiting += nr;
    netdev_notify(&wire.head);
}

static void the_configuration_has_address_link_and_mtu(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 6; i++)
        assert_int_equal(virtio_config_read(&net.vdev, i, 1), mac[i]);
    assert_int_equal(virtio_config_read(&net.vdev, 6, 2), 1);
    assert_int_equal(virtio_config_read(&net.vdev, 10, 2), 1500);
    assert_int_equal(virtio_config_read(&net.vdev, 12, 1), 0);
}

static void offloads_are_those_of_the_network(void **state)
{
    (void)state;
    const uint64_t always = F_MTU | F_MAC | F_MRG_RXBUF | F_STATUS, mask = 0x3ffffff;
    assert_int_equal(net.vdev.offered & mask, always | ALL_TX | F_GUEST_CSUM | F_GUEST_TSO4 | F_GUEST_TSO6);
    make(0, true);
    assert_int_equal(net.vdev.offered & mask, always | F_GUEST_CSUM);
    make(0, false);
    assert_int_equal(net.vdev.offered & mask, always);
}

static void the_network_hears_what_the_driver_can_do(void **state)
{
    (void)state;
    go_live(F_GUEST_CSUM | F_GUEST_TSO4);
    assert_int_equal(wire.told, NETDEV_CSUM | NETDEV_TSO4);
    virtio_set_status(&net.vdev, 0);
    assert_int_equal(wire.told, 0);
    go_live(F_GUEST_TSO6);
    assert_int_equal(wire.told, 0);
}

static void frames_are_sent_as_they_are(void **state)
{
    (void)state;
    go_live(0);
    uint8_t data[1500];
    for (unsigned i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * 3);
    drv_write(&tx, DATA + 0x100, data, sizeof(data));
    assert_true(send_frame(&(struct netdev_header){ 0 }, sizeof(data)));
    assert_int_equal(wire.sent_len, sizeof(data));
    assert_memory_equal(wire.sent_data, data, sizeof(data));
    assert_int_equal(wire.kicks, 1);
    assert_int_equal(irqs[VIRTIO_NET_TX], 1);
}

static void frames_too_short_or_too_long_are_not_sent(void **state)
{
    (void)state;
    go_live(0);
    assert_false(send_frame(&(struct netdev_header){ 0 }, 0));
    assert_false(send_frame(&(struct netdev_header){ 0 }, 13));
    assert_true(send_frame(&(struct netdev_header){ 0 }, 14));
    assert_true(send_frame(&(struct netdev_header){ 0 }, 1518));
    assert_false(send_frame(&(struct netdev_header){ 0 }, 1519));
    assert_true(virtio_live(&net.vdev));
}

static void offload_headers_are_held_against_the_frame(void **state)
{
    (void)state;
    static const struct {
        struct netdev_header h;
        uint32_t len;
        bool good;
    } row[] = {
        { { .flags = 1, .csum_start = 34, .csum_offset = 16 }, 100, true },
        { { .flags = 1, .csum_start = 34, .csum_offset = 64 }, 100, true },
        { { .flags = 1, .csum_start = 34, .csum_offset = 65 }, 100, false },
        { { .flags = 1, .csum_start = 0xffff, .csum_offset = 0xffff }, 1500, false },
        { { .flags = 1, .csum_start = 100, .csum_offset = 0 }, 100, false },
        { { .gso_type = 1, .flags = 1, .hdr_len = 54, .gso_size = 1460, .csum_start = 34, .csum_offset = 16 }, 60000, true },
        { { .gso_type = 4, .flags = 1, .hdr_len = 74, .gso_size = 1440, .csum_start = 54, .csum_offset = 16 }, 60000, true },
        { { .gso_type = 1, .flags = 1, .hdr_len = 54, .gso_size = 0, .csum_start = 34, .csum_offset = 16 }, 60000, false },
        { { .gso_type = 1, .flags = 0, .hdr_len = 54, .gso_size = 1460 }, 3000, false },
        { { .gso_type = 1, .flags = 1, .hdr_len = 3001, .gso_size = 1460, .csum_start = 34, .csum_offset = 16 }, 3000, false },
        { { .gso_type = 3, .flags = 1, .gso_size = 1460, .csum_start = 34, .csum_offset = 16 }, 3000, false },
        { { .gso_type = 0x81, .flags = 1, .gso_size = 1460, .csum_start = 34, .csum_offset = 16 }, 3000, false },
        { { .gso_type = 1, .flags = 1, .hdr_len = 54, .gso_size = 1460, .csum_start = 34, .csum_offset = 16 }, 65554, false },
        { { .flags = 0xfe, .csum_start = 0xffff, .hdr_len = 0xffff, .gso_size = 9 }, 100, true }, /* nothing that counts */
    };
    go_live(ALL_TX);
    for (unsigned i = 0; i < ARRAY_SIZE(row); i++) {
        if (send_frame(&row[i].h, row[i].len) != row[i].good)
            fail_msg("row %u", i);
        if (row[i].good)
            assert_true(wire.sent_header.flags <= 1 && wire.sent_header.hdr_len <= row[i].len);
    }
    assert_memory_equal(&wire.sent_header, &(struct netdev_header){ 0 }, sizeof(struct netdev_header));
}

static void offload_that_was_not_negotiated_is_refused(void **state)
{
    (void)state;
    const struct netdev_header csum = { .flags = 1, .csum_start = 34, .csum_offset = 16 };
    const struct netdev_header tso = { .gso_type = 1, .flags = 1, .gso_size = 1460, .csum_start = 34, .csum_offset = 16 };
    go_live(0);
    assert_false(send_frame(&csum, 100));
    virtio_set_status(&net.vdev, 0);
    go_live(F_CSUM | F_HOST_TSO6);
    assert_true(send_frame(&csum, 100));
    assert_false(send_frame(&tso, 3000));
}

static void a_chain_without_a_header_breaks_the_device(void **state)
{
    (void)state;
    go_live(0);
    drv_desc(&tx, 0, DATA, 11, 0, 0);
    drv_offer(&tx, 0);
    virtio_notify(&net.vdev, VIRTIO_NET_TX);
    assert_false(virtio_live(&net.vdev));
    assert_int_equal(wire.sent, 0);
}

static void a_frame_that_came_fills_a_buffer(void **state)
{
    (void)state;
    uint8_t got[HEADER + FRAME];
    uint32_t head, used;
    go_live(0);
    offer_buffer(0, RX_SIZE);
    frames_come(1);
    assert_true(drv_take(&rx, &head, &used));
    assert_int_equal(used, HEADER + FRAME);
    drv_read(&rx, RX_DATA, got, sizeof(got));
    assert_memory_equal(got + HEADER, wire.frame, FRAME);
    static const uint8_t header[HEADER] = { [10] = 1 };
    assert_memory_equal(got, header, HEADER);
    assert_int_equal(irqs[VIRTIO_NET_RX], 1);
}

static void frames_wait_in_the_network_until_there_are_buffers(void **state)
{
    (void)state;
    uint32_t head, used;
    wire.waiting = 5;
    netdev_notify(&wire.head); /* nobody is there yet */
    go_live(0);
    assert_int_equal(wire.waiting, 5);
    for (unsigned i = 0; i < 3; i++)
        offer_buffer(i, RX_SIZE);
    virtio_notify(&net.vdev, VIRTIO_NET_RX);
    assert_int_equal(wire.waiting, 2);
    for (unsigned i = 0; i < 3; i++)
        assert_true(drv_take(&rx, &head, &used));
    assert_false(drv_take(&rx, &head, &used));
    netdev_notify(&wire.head);
    assert_int_equal(wire.waiting, 2);
}

static void buffers_of_before_driver_ok_are_used_at_once(void **state)
{
    (void)state;
    uint32_t head, used;
    wire.waiting = 1;
    drv_negotiate(&net.vdev, 0);
    drv_init(&rx, &gm, 0x10000, 128);
    drv_set_up_queue(&rx, &net.vdev, VIRTIO_NET_RX);
    offer_buffer(0, RX_SIZE);
    drv_ok(&net.vdev);
    assert_true(drv_take(&rx, &head, &used));
}

static void long_frames_are_spread_over_buffers(void **state)
{
    (void)state;
    enum { SMALL = 300 };
    uint32_t head, used, sum = 0;
    uint8_t got[SMALL];
    go_live(F_MRG_RXBUF);
    for (unsigned i = 0; i < 3; i++)
        offer_buffer(i, SMALL);
    frames_come(1);
    assert_false(drv_take(&rx, &head, &used)); /* 1012 bytes do not fit yet */
    offer_buffer(3, SMALL);
    virtio_notify(&net.vdev, VIRTIO_NET_RX);
    for (unsigned i = 0; i < 4; i++) {
        assert_true(drv_take(&rx, &head, &used));
        drv_read(&rx, RX_DATA + head * RX_SIZE, got, SMALL);
        unsigned skip = i == 0 ? HEADER : 0;
        if (i == 0)
            assert_int_equal(got[10], 4);
        assert_memory_equal(got + skip, wire.frame + sum, used - skip);
        sum += used - skip;
    }
    assert_int_equal(sum, FRAME);
    assert_int_equal(irqs[VIRTIO_NET_RX], 1);
}

static void a_frame_that_can_never_fit_is_lost(void **state)
{
    (void)state;
    go_live(0);
    offer_buffer(0, HEADER + FRAME - 1);
    frames_come(3);
    assert_int_equal(wire.waiting, 0);
    assert_int_equal(drv_get16(&rx, rx.used + 2), 0);
    wire.frame_len = FRAME - 1;
    frames_come(1);
    assert_int_equal(drv_get16(&rx, rx.used + 2), 1);
}

static void many_tiny_buffers_do_not_keep_us_busy(void **state)
{
    (void)state;
    go_live(F_MRG_RXBUF);
    for (unsigned i = 0; i < 128; i++)
        offer_buffer(i, 13);
    frames_come(WAITING);
    for (unsigned i = 0; i < 10; i++)
        vm_clock_advance(&vclock, 1);
    assert_int_equal(wire.waiting, 0);
    assert_int_equal(drv_get16(&rx, rx.used + 2), 0);
    assert_int_equal(net.vdev.left_over, 0);
    assert_true(virtio_live(&net.vdev));
}

static void a_buffer_without_room_for_the_header_breaks_the_device(void **state)
{
    (void)state;
    go_live(F_MRG_RXBUF);
    offer_buffer(0, 8);
    offer_buffer(1, RX_SIZE);
    frames_come(1);
    assert_false(virtio_live(&net.vdev));
}

static void headers_that_came_reach_a_driver_that_knows_them(void **state)
{
    (void)state;
    struct netdev_header got;
    const struct netdev_header h = { .flags = 1, .csum_start = 34, .csum_offset = 16 };
    for (unsigned i = 0; i < 2; i++) {
        go_live(i ? F_GUEST_CSUM : 0);
        wire.frame_header = h;
        offer_buffer(0, RX_SIZE);
        frames_come(1);
        drv_read(&rx, RX_DATA, &got, sizeof(got));
        assert_memory_equal(&got, i ? &h : &(struct netdev_header){ 0 }, sizeof(got));
        virtio_set_status(&net.vdev, 0);
        drv_put16(&rx, rx.used + 2, 0);
        drv_put16(&rx, rx.avail + 2, 0);
    }
    make(0, true);
    go_live(F_GUEST_CSUM);
    offer_buffer(0, RX_SIZE);
    frames_come(1);
    drv_read(&rx, RX_DATA, &got, sizeof(got));
    assert_int_equal(got.flags, NETDEV_CSUM_VALID);
}

static void state_survives_and_the_network_is_told_again(void **state)
{
    (void)state;
    static struct virtio_net other;
    go_live(F_GUEST_CSUM | F_MRG_RXBUF);
    virtio_net_init(&other, &wire.head, mac, &gm, &vclock);
    wire.told = 99;
    check_round_trip(virtio_net_class.state, &net, &other);
    assert_int_equal(wire.told, NETDEV_CSUM);
    virtio_net_class.done(&other);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(the_configuration_has_address_link_and_mtu),
        T(offloads_are_those_of_the_network),
        T(the_network_hears_what_the_driver_can_do),
        T(frames_are_sent_as_they_are),
        T(frames_too_short_or_too_long_are_not_sent),
        T(offload_headers_are_held_against_the_frame),
        T(offload_that_was_not_negotiated_is_refused),
        T(a_chain_without_a_header_breaks_the_device),
        T(a_frame_that_came_fills_a_buffer),
        T(frames_wait_in_the_network_until_there_are_buffers),
        T(buffers_of_before_driver_ok_are_used_at_once),
        T(long_frames_are_spread_over_buffers),
        T(a_frame_that_can_never_fit_is_lost),
        T(many_tiny_buffers_do_not_keep_us_busy),
        T(a_buffer_without_room_for_the_header_breaks_the_device),
        T(headers_that_came_reach_a_driver_that_knows_them),
        T(state_survives_and_the_network_is_told_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
