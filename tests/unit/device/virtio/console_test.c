/* SPDX-License-Identifier: MIT */
/*
 * Laws of virtio-console, on a back end of the tests.
 */
#include "device/virtio/console.h"

#include "backend/chardev.h"
#include "support/chip.h"
#include "support/virtio_driver.h"

enum { DATA = 0x40000, RX_DATA = 0x60000, CAP = 1000, COLS = 0, ROWS = 2, MAX_PORTS = 4, EMERG = 8 };
#define F_SIZE 1ULL

static struct gmem gm;
static struct vm_clock vclock;
static struct chardev *wire;
static struct virtio_console con;
static struct driver rx, tx;
static unsigned config_irqs, queue_irqs[2];

static void on_queue(void *transport, unsigned n)
{
    (void)transport;
    queue_irqs[n]++;
}

static void on_config(void *transport)
{
    (void)transport;
    config_irqs++;
}

static const struct virtio_transport_ops transport = { .queue_irq = on_queue, .config_irq = on_config };

static void bring_up(void)
{
    drv_negotiate(&con.vdev, F_SIZE);
    drv_init(&rx, &gm, 0x10000, 8);
    drv_init(&tx, &gm, 0x20000, 8);
    static const uint8_t zero[0x4000];
    drv_write(&rx, 0x10000, zero, sizeof(zero));
    drv_write(&tx, 0x20000, zero, sizeof(zero));
    drv_set_up_queue(&rx, &con.vdev, VIRTIO_CONSOLE_RX);
    drv_set_up_queue(&tx, &con.vdev, VIRTIO_CONSOLE_TX);
    drv_ok(&con.vdev);
}

static int setup(void **state)
{
    (void)state;
    config_irqs = queue_irqs[0] = queue_irqs[1] = 0;
    test_clock(&vclock);
    drv_memory(&gm);
    assert_int_equal(chardev_buffer_new(CAP, &wire, NULL), 0);
    virtio_console_init(&con, wire, &gm, &vclock);
    chardev_attach(wire, NULL, virtio_console_ready, &con);
    virtio_connect(&con.vdev, &transport, NULL);
    bring_up();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    virtio_console_class.done(&con);
    chardev_free(wire);
    gmem_done(&gm);
    return 0;
}

static void offer_rx(uint32_t len)
{
    unsigned i = rx.avail_idx % rx.size;
    drv_desc(&rx, i, RX_DATA + i * 0x1000U, len, DRV_WRITE, 0);
    drv_offer(&rx, (uint16_t)i);
    virtio_notify(&con.vdev, VIRTIO_CONSOLE_RX);
}

static void offer_tx(uint32_t len)
{
    unsigned i = tx.avail_idx % tx.size;
    drv_desc(&tx, i, DATA, len, 0, 0);
    drv_offer(&tx, (uint16_t)i);
    virtio_notify(&con.vdev, VIRTIO_CONSOLE_TX);
}

static uint8_t pattern(size_t i)
{
    return (uint8_t)(i * 7 + i / 251);
}

static void fill(size_t len)
{
    for (size_t i = 0; i < len; i++) {
        uint8_t byte = pattern(i);
        drv_write(&tx, DATA + i, &byte, 1);
    }
}

static void input_waits_for_buffers_and_fills_them(void **state)
{
    (void)state;
    char got[6] = "";
    uint32_t head, len;
    assert_int_equal(chardev_buffer_feed(wire, "hello world", 11), 11);
    assert_false(drv_take(&rx, &head, &len));
    offer_rx(5);
    assert_true(drv_take(&rx, &head, &len));
    assert_int_equal(len, 5);
    drv_read(&rx, RX_DATA, got, 5);
    assert_string_equal(got, "hello");
    assert_int_equal(queue_irqs[VIRTIO_CONSOLE_RX], 1);
    offer_rx(100);
    assert_true(drv_take(&rx, &head, &len));
    assert_int_equal(len, 6);
    offer_rx(100);
    assert_false(drv_take(&rx, &head, &len)); /* nothing came */
    assert_int_equal(chardev_buffer_feed(wire, "!", 1), 1);
    assert_true(drv_take(&rx, &head, &len));
    assert_int_equal(len, 1);
}

/* Takes all output in small pieces, checks it, and returns how much it was. */
static size_t drain(void)
{
    uint8_t piece[300];
    size_t at = 0;
    for (size_t n; (n = chardev_buffer_take(wire, piece, sizeof(piece))) > 0; at += n)
        for (size_t i = 0; i < n; i++)
            assert_int_equal(piece[i], pattern(at + i));
    return at;
}

static void output_that_has_no_room_waits_and_none_is_lost(void **state)
{
    (void)state;
    uint32_t head, len;
    fill(5000);
    offer_tx(5000);
    assert_false(drv_take(&tx, &head, &len)); /* the wire holds CAP */
    assert_int_equal(drain(), 5000);
    assert_true(drv_take(&tx, &head, &len));
    assert_int_equal(len, 0);
    offer_tx(10);
    assert_true(drv_take(&tx, &head, &len));
    assert_int_equal(drain(), 10);
}

static void a_saved_console_goes_on_in_the_middle_of_a_chain(void **state)
{
    (void)state;
    struct state_buf buf = { 0 };
    struct error err;
    uint8_t first[CAP];
    uint32_t head, len;
    fill(1500);
    offer_tx(1500);
    assert_int_equal(state_save(virtio_console_class.state, &con, &buf), 0);
    virtio_console_class.done(&con);
    virtio_console_init(&con, wire, &gm, &vclock);
    chardev_attach(wire, NULL, virtio_console_ready, &con);
    assert_int_equal(chardev_buffer_take(wire, first, CAP), CAP);
    assert_int_equal(state_load(virtio_console_class.state, &con, &buf, &err), 0);
    state_buf_done(&buf);
    vm_clock_advance(&vclock, 1000);
    assert_true(drv_take(&tx, &head, &len));
    uint8_t rest[CAP];
    assert_int_equal(chardev_buffer_take(wire, rest, CAP), 500);
    for (size_t i = 0; i < 500; i++)
        assert_int_equal(rest[i], pattern(CAP + i));
}

static void a_reset_forgets_a_chain_that_was_written_in_part(void **state)
{
    (void)state;
    uint32_t head, len;
    fill(2000);
    offer_tx(2000);
    virtio_set_status(&con.vdev, 0);
    assert_int_equal(drain(), CAP);
    bring_up();
    offer_tx(10);
    assert_true(drv_take(&tx, &head, &len));
    assert_int_equal(drain(), 10);
}

static void a_chain_of_megabytes_is_written_in_turns(void **state)
{
    (void)state;
    uint32_t head, len;
    struct chardev *null;
    assert_int_equal(chardev_null_new(&null, NULL), 0);
    con.chardev = null;
    for (unsigned i = 0; i < 6; i++) /* the same 512 KiB, again and again */
        drv_desc(&tx, i, 0x80000, 0x80000, i < 5 ? DRV_NEXT : 0, (uint16_t)(i + 1));
    drv_offer(&tx, 0);
    virtio_notify(&con.vdev, VIRTIO_CONSOLE_TX);
    assert_false(drv_take(&tx, &head, &len));
    for (unsigned turns = 0; !drv_take(&tx, &head, &len); turns++) {
        assert_true(turns < 5);
        vm_clock_advance(&vclock, 1000);
    }
    con.chardev = wire;
    chardev_free(null);
}

static void the_size_is_in_the_configuration_and_changes_interrupt(void **state)
{
    (void)state;
    assert_int_equal(virtio_config_read(&con.vdev, COLS, 2), 0);
    virtio_console_resize(&con, 80, 25);
    assert_int_equal(config_irqs, 1);
    virtio_console_resize(&con, 80, 25);
    assert_int_equal(config_irqs, 1);
    assert_int_equal(virtio_config_read(&con.vdev, COLS, 2), 80);
    assert_int_equal(virtio_config_read(&con.vdev, ROWS, 2), 25);
    assert_int_equal(virtio_config_read(&con.vdev, MAX_PORTS, 4), 1);
    virtio_set_status(&con.vdev, 0); /* the next driver hears of it, too: Linux does not look by itself */
    bring_up();
    assert_int_equal(config_irqs, 2);
    assert_int_equal(virtio_config_read(&con.vdev, COLS, 2), 80);
}

static void an_emergency_write_needs_no_queue(void **state)
{
    (void)state;
    char got[4] = "";
    virtio_set_status(&con.vdev, 0);
    virtio_config_write(&con.vdev, EMERG, 'x', 4);
    virtio_config_write(&con.vdev, COLS, 7, 2);
    assert_int_equal(chardev_buffer_take(wire, got, sizeof(got)), 1);
    assert_string_equal(got, "x");
    assert_int_equal(virtio_config_read(&con.vdev, COLS, 2), 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(input_waits_for_buffers_and_fills_them),
        T(output_that_has_no_room_waits_and_none_is_lost),
        T(a_saved_console_goes_on_in_the_middle_of_a_chain),
        T(a_reset_forgets_a_chain_that_was_written_in_part),
        T(a_chain_of_megabytes_is_written_in_turns),
        T(the_size_is_in_the_configuration_and_changes_interrupt),
        T(an_emergency_write_needs_no_queue),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
