/* SPDX-License-Identifier: MIT */
/*
 * Laws of virtio-blk, on a disk in memory whose requests end when the test says so.
 */
#include "device/virtio/blk.h"

#include <errno.h>

#include "backend/blockdev.h"
#include "support/chip.h"
#include "support/virtio_driver.h"

enum { SECTORS = 64, SIZE = SECTORS * 512, PENDING = 300 };
enum { T_IN = 0, T_OUT = 1, T_FLUSH = 4, T_GET_ID = 8, T_DISCARD = 11, T_ZEROES = 13 };
enum { OK = 0, IOERR = 1, UNSUPP = 2, NONE = 0xee };
enum { HEADER = 0x40000, DATA = 0x50000, STATUS = 0x48000 };
#define F_RO (1ULL << 5)
#define F_FLUSH (1ULL << 9)
#define F_DISCARD (1ULL << 13)
#define F_ZEROES (1ULL << 14)
#define USUAL (F_FLUSH | F_DISCARD | F_ZEROES | VIRTIO_F_INDIRECT_DESC)

struct memory_disk {
    struct blockdev head;
    uint8_t data[SIZE];
    struct blockdev_request *pending[PENDING];
    unsigned nr, flushes, kicks;
    bool hold;
    int result;
};

static struct gmem gm;
static struct vm_clock vclock;
static struct memory_disk disk;
static struct virtio_blk blk;
static struct driver drv;
static unsigned irqs;

static void end_one(struct memory_disk *d, struct blockdev_request *req)
{
    uint64_t at = req->offset;
    for (unsigned i = 0; i < req->nr_iov && d->result == 0; i++) {
        assert_true(at + req->iov[i].iov_len <= SIZE);
        if (req->op == BLOCKDEV_READ)
            memcpy(req->iov[i].iov_base, d->data + at, req->iov[i].iov_len);
        else
            memcpy(d->data + at, req->iov[i].iov_base, req->iov[i].iov_len);
        at += req->iov[i].iov_len;
    }
    if (req->op == BLOCKDEV_ZERO)
        memset(d->data + req->offset, 0, req->len);
    d->flushes += req->op == BLOCKDEV_FLUSH;
    req->done(req, d->result);
}

static void disk_drain(struct blockdev *dev)
{
    struct memory_disk *d = (struct memory_disk *)dev;
    while (d->nr > 0) {
        struct blockdev_request *req = d->pending[--d->nr]; /* the last first: any order is fine */
        end_one(d, req);
    }
}

static void disk_submit(struct blockdev *dev, struct blockdev_request *req)
{
    struct memory_disk *d = (struct memory_disk *)dev;
    assert_true(d->nr < PENDING);
    assert_true(req->offset % 512 == 0 && req->offset + req->len <= SIZE);
    d->pending[d->nr++] = req;
}

static void disk_kick(struct blockdev *dev)
{
    struct memory_disk *d = (struct memory_disk *)dev;
    d->kicks++;
    if (!d->hold)
        disk_drain(dev);
}

static const struct blockdev_ops disk_ops = { .submit = disk_submit, .kick = disk_kick, .drain = disk_drain };

static void on_queue(void *transport, unsigned n)
{
    (void)transport;
    (void)n;
    irqs++;
}

static void on_config(void *transport)
{
    (void)transport;
}

static const struct virtio_transport_ops transport = { .queue_irq = on_queue, .config_irq = on_config };

static void go_live(uint64_t features)
{
    drv_negotiate(&blk.vdev, features);
    assert_int_equal(blk.vdev.status, 11);
    drv_init(&drv, &gm, 0x10000, 256);
    drv_set_up_queue(&drv, &blk.vdev, 0);
    drv_ok(&blk.vdev);
}

static int setup(void **state)
{
    (void)state;
    irqs = 0;
    test_clock(&vclock);
    drv_memory(&gm);
    memset(&disk, 0, sizeof(disk));
    disk.head = (struct blockdev){ .ops = &disk_ops, .size = SIZE, .block_size = 4096 };
    for (unsigned i = 0; i < SIZE; i++)
        disk.data[i] = (uint8_t)(i / 512 + i);
    virtio_blk_init(&blk, &disk.head, "serial", 2, &gm, &vclock);
    virtio_connect(&blk.vdev, &transport, &blk);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    virtio_blk_class.done(&blk);
    gmem_done(&gm);
    return 0;
}

static void put_header(uint32_t type, uint64_t sector)
{
    const uint64_t header[2] = { type, sector };
    uint8_t none = NONE;
    drv_write(&drv, HEADER, header, sizeof(header));
    drv_write(&drv, STATUS, &none, 1);
}

/* Header, `len` bytes of data for the device to read or write, status; descriptors from 4 * slot on. */
static void offer(unsigned slot, uint32_t type, uint64_t sector, uint32_t len, bool in)
{
    unsigned d = 4 * slot;
    put_header(type, sector);
    drv_desc(&drv, d, HEADER, 16, DRV_NEXT, (uint16_t)(len ? d + 1 : d + 3));
    drv_desc(&drv, d + 1, DATA, len / 2, DRV_NEXT | (in ? DRV_WRITE : 0), (uint16_t)(d + 2));
    drv_desc(&drv, d + 2, DATA + len / 2, len - len / 2, DRV_NEXT | (in ? DRV_WRITE : 0), (uint16_t)(d + 3));
    drv_desc(&drv, d + 3, STATUS, 1, DRV_WRITE, 0);
    drv_offer(&drv, (uint16_t)d);
}

static unsigned status_of(void)
{
    uint8_t status;
    drv_read(&drv, STATUS, &status, 1);
    return status;
}

/* One request, to its end; returns the status, and the used length. */
static unsigned request(uint32_t type, uint64_t sector, uint32_t len, bool in, uint32_t *ret_len)
{
    uint32_t head, used;
    offer(0, type, sector, len, in);
    virtio_notify(&blk.vdev, 0);
    assert_true(drv_take(&drv, &head, &used));
    assert_false(drv_take(&drv, &head, ret_len ? ret_len : &used));
    if (ret_len)
        *ret_len = used;
    return status_of();
}

static void the_configuration_describes_the_disk(void **state)
{
    (void)state;
    assert_int_equal(virtio_config_read(&blk.vdev, 0, 8), SECTORS);
    assert_int_equal(virtio_config_read(&blk.vdev, 12, 4), 254);
    assert_int_equal(virtio_config_read(&blk.vdev, 20, 4), 512);
    assert_int_equal(virtio_config_read(&blk.vdev, 24, 1), 3); /* 4096 = 512 << 3 */
    assert_int_equal(virtio_config_read(&blk.vdev, 34, 2), 2);
    assert_int_equal(virtio_config_read(&blk.vdev, 56, 1), 1);
}

static void reads_and_writes_move_sectors(void **state)
{
    (void)state;
    uint8_t buf[2048];
    uint32_t len;
    go_live(USUAL);
    assert_int_equal(request(T_IN, 3, 1024, true, &len), OK);
    assert_int_equal(len, 1025);
    drv_read(&drv, DATA, buf, 1024);
    assert_memory_equal(buf, disk.data + 3 * 512, 1024);
    memset(buf, 0x5a, sizeof(buf));
    drv_write(&drv, DATA, buf, sizeof(buf));
    assert_int_equal(request(T_OUT, 60, 2048, false, &len), OK);
    assert_memory_equal(disk.data + 60 * 512, buf, 2048);
    assert_int_equal(disk.flushes, 0);
    assert_int_equal(irqs, 2);
}

static void ranges_outside_of_the_disk_are_errors(void **state)
{
    (void)state;
    go_live(USUAL);
    static const struct {
        uint64_t sector;
        uint32_t len;
    } bad[] = { { SECTORS, 512 }, { SECTORS - 1, 1024 }, { ~0ULL, 512 }, { 1ULL << 55, 512 }, { 0, 511 },
                { 0, 513 },       { 0, SIZE + 512 } };
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        assert_int_equal(request(T_IN, bad[i].sector, bad[i].len, true, NULL), IOERR);
        assert_int_equal(request(T_OUT, bad[i].sector, bad[i].len, false, NULL), IOERR);
    }
    assert_int_equal(request(T_IN, SECTORS, 0, true, NULL), OK); /* nothing at the end */
}

static void a_flush_ends_when_the_disk_says_so(void **state)
{
    (void)state;
    uint32_t head, len;
    go_live(USUAL);
    disk.hold = true;
    offer(0, T_FLUSH, 0, 0, false);
    virtio_notify(&blk.vdev, 0);
    assert_false(drv_take(&drv, &head, &len));
    assert_int_equal(status_of(), NONE);
    disk_drain(&disk.head);
    assert_true(drv_take(&drv, &head, &len));
    assert_int_equal(status_of(), OK);
    assert_int_equal(disk.flushes, 1);
}

static void without_flush_each_write_is_flushed(void **state)
{
    (void)state;
    go_live(0);
    assert_int_equal(request(T_OUT, 0, 512, false, NULL), OK);
    assert_int_equal(disk.flushes, 1);
    assert_int_equal(request(T_IN, 0, 512, true, NULL), OK);
    assert_int_equal(disk.flushes, 1);
}

static void errors_of_the_host_reach_the_driver(void **state)
{
    (void)state;
    go_live(USUAL);
    disk.result = -ENOSPC;
    assert_int_equal(request(T_OUT, 0, 512, false, NULL), IOERR);
    assert_int_equal(request(T_IN, 0, 512, true, NULL), IOERR);
    assert_int_equal(request(T_FLUSH, 0, 0, false, NULL), IOERR);
    assert_true(virtio_live(&blk.vdev));
}

static void a_read_only_disk_is_not_written(void **state)
{
    (void)state;
    disk.head.read_only = true;
    virtio_blk_init(&blk, &disk.head, "serial", 1, &gm, &vclock);
    assert_int_equal(virtio_offered(&blk.vdev, 0) & (F_RO | F_DISCARD | F_ZEROES), F_RO);
    go_live(F_RO | F_FLUSH);
    assert_int_equal(request(T_OUT, 0, 512, false, NULL), IOERR);
    const uint64_t segment[2] = { 0, 8 };
    drv_write(&drv, DATA, segment, sizeof(segment));
    assert_int_equal(request(T_DISCARD, 0, 16, false, NULL), IOERR);
    assert_int_equal(request(T_IN, 0, 512, true, NULL), OK);
}

static unsigned segment(uint32_t type, uint64_t sector, uint32_t sectors, uint32_t flags)
{
    const uint64_t seg[2] = { sector, (uint64_t)flags << 32 | sectors };
    drv_write(&drv, DATA, seg, sizeof(seg));
    return request(type, 0, sizeof(seg), false, NULL);
}

static void discard_and_write_zeroes_check_their_segment(void **state)
{
    (void)state;
    static const uint8_t zero[1024];
    go_live(USUAL);
    assert_int_equal(segment(T_ZEROES, 4, 2, 1), OK);
    assert_memory_equal(disk.data + 4 * 512, zero, 1024);
    assert_int_equal(segment(T_DISCARD, 8, 8, 0), OK);
    assert_int_equal(segment(T_DISCARD, 8, 8, 1), UNSUPP);
    assert_int_equal(segment(T_ZEROES, 8, 8, 2), UNSUPP);
    assert_int_equal(segment(T_ZEROES, SECTORS, 1, 0), IOERR);
    assert_int_equal(segment(T_DISCARD, ~0ULL, 1, 0), IOERR);
    assert_int_equal(segment(T_ZEROES, 0, 0xffffffff, 0), IOERR);
    assert_int_equal(segment(T_ZEROES, 0, 0, 0), OK);
    assert_int_equal(request(T_DISCARD, 0, 32, false, NULL), IOERR); /* two segments */
    assert_int_equal(request(T_DISCARD, 0, 15, false, NULL), IOERR);
}

static void the_serial_number_is_given(void **state)
{
    (void)state;
    char id[VIRTIO_BLK_ID_SIZE];
    uint32_t len;
    go_live(USUAL);
    assert_int_equal(request(T_GET_ID, 0, sizeof(id), true, &len), OK);
    drv_read(&drv, DATA, id, sizeof(id));
    assert_string_equal(id, "serial");
    assert_int_equal(request(T_GET_ID, 0, 10, true, NULL), IOERR);
    assert_int_equal(request(99, 0, 10, true, NULL), UNSUPP);
}

static void chains_without_header_or_status_break_the_device(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        go_live(USUAL);
        put_header(T_IN, 0);
        drv_desc(&drv, 0, HEADER, i == 0 ? 15 : 16, i == 1 ? 0 : DRV_NEXT, 1);
        drv_desc(&drv, 1, STATUS, i == 2 ? 0 : 1, DRV_WRITE, 0);
        drv_offer(&drv, 0);
        virtio_notify(&blk.vdev, 0);
        assert_false(virtio_live(&blk.vdev));
        virtio_set_status(&blk.vdev, 0);
    }
}

static void many_requests_are_under_way_and_end_in_any_order(void **state)
{
    (void)state;
    enum { MANY = 60 };
    uint32_t head, len, seen = 0;
    go_live(USUAL);
    disk.hold = true;
    for (unsigned i = 0; i < MANY; i++)
        offer(i, T_IN, i % SECTORS, 512, true);
    virtio_notify(&blk.vdev, 0);
    assert_int_equal(disk.nr, MANY);
    disk_drain(&disk.head);
    while (drv_take(&drv, &head, &len)) {
        assert_int_equal(len, 513);
        seen++;
    }
    assert_int_equal(seen, MANY);
}

static void a_reset_waits_for_the_disk_and_tells_nobody(void **state)
{
    (void)state;
    go_live(USUAL);
    disk.hold = true;
    offer(0, T_OUT, 0, 512, false);
    virtio_notify(&blk.vdev, 0);
    assert_int_equal(disk.nr, 1);
    virtio_set_status(&blk.vdev, 0);
    assert_int_equal(disk.nr, 0);
    assert_int_equal(irqs, 0);
    assert_int_equal(drv_get16(&drv, drv.used + 2), 0);
    disk.hold = false;
    go_live(USUAL);
    drv.avail_idx = 0;
    drv_put16(&drv, drv.avail + 2, 0);
    assert_int_equal(request(T_IN, 0, 512, true, NULL), OK);
}

static void saving_ends_requests_and_state_survives(void **state)
{
    (void)state;
    static struct virtio_blk other;
    uint32_t head, len;
    go_live(USUAL);
    disk.hold = true;
    offer(0, T_IN, 0, 512, true);
    virtio_notify(&blk.vdev, 0);
    virtio_blk_init(&other, &disk.head, "serial", 2, &gm, &vclock);
    check_round_trip(virtio_blk_class.state, &blk, &other);
    assert_true(drv_take(&drv, &head, &len));
    virtio_blk_class.done(&other);
}

static void what_the_disk_wrote_is_noted_for_translated_code(void **state)
{
    (void)state;
    uint32_t gen;
    go_live(USUAL);
    assert_true(gmem_mark_code(&gm, DATA >> 12, &gen));
    assert_int_equal(request(T_IN, 0, 512, true, NULL), OK);
    assert_int_equal(gmem_code_gen(&gm, DATA >> 12), gen + 1);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(the_configuration_describes_the_disk),
        T(reads_and_writes_move_sectors),
        T(ranges_outside_of_the_disk_are_errors),
        T(a_flush_ends_when_the_disk_says_so),
        T(without_flush_each_write_is_flushed),
        T(errors_of_the_host_reach_the_driver),
        T(a_read_only_disk_is_not_written),
        T(discard_and_write_zeroes_check_their_segment),
        T(the_serial_number_is_given),
        T(chains_without_header_or_status_break_the_device),
        T(many_requests_are_under_way_and_end_in_any_order),
        T(a_reset_waits_for_the_disk_and_tells_nobody),
        T(saving_ends_requests_and_state_survives),
        T(what_the_disk_wrote_is_noted_for_translated_code),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
