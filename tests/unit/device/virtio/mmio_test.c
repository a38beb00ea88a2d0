/* SPDX-License-Identifier: MIT */
/*
 * Laws of virtio over MMIO.
 */
#include "device/virtio/mmio.h"

#include "support/chip.h"
#include "support/virtio_driver.h"
#include "support/virtio_echo.h"

enum { DATA = 0x40000 };
enum { ACK = 1, DRIVER = 2, OK = 4, FEATURES = 8 };

static struct gmem gm;
static struct vm_clock vclock;
static struct echo echo;
static struct virtio_mmio m;
static struct probe irq;
static struct driver drv;

static uint32_t get(unsigned offset)
{
    return (uint32_t)virtio_mmio_io_ops.read(&m, offset, 4);
}

static void put(unsigned offset, uint32_t v)
{
    virtio_mmio_io_ops.write(&m, offset, v, 4);
}

static int setup(void **state)
{
    (void)state;
    irq = (struct probe){ 0 };
    test_clock(&vclock);
    drv_memory(&gm);
    echo_init(&echo, &gm, &vclock);
    virtio_mmio_init(&m, &echo.vdev, PROBE_LINE(&irq));
    virtio_mmio_class.reset(&m);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    virtio_done(&echo.vdev);
    gmem_done(&gm);
    return 0;
}

static void put_area(unsigned at, uint64_t gpa)
{
    put(at, (uint32_t)gpa);
    put(at + 4, (uint32_t)(gpa >> 32));
}

static void go_live(void)
{
    put(0x70, 0);
    put(0x70, ACK);
    put(0x70, ACK | DRIVER);
    for (unsigned word = 0; word < 2; word++) {
        put(0x14, word);
        put(0x24, word);
        put(0x20, get(0x10));
    }
    put(0x70, ACK | DRIVER | FEATURES);
    assert_int_equal(get(0x70), ACK | DRIVER | FEATURES);
    put(0x30, 0);
    assert_int_equal(get(0x44), 0);
    assert_int_equal(get(0x34), ECHO_SIZE);
    drv_init(&drv, &gm, 0x10000, 4);
    put(0x38, 4);
    put_area(0x80, drv.desc);
    put_area(0x90, drv.avail);
    put_area(0xa0, drv.used);
    put(0x44, 1);
    assert_int_equal(get(0x44), 1);
    put(0x70, ACK | DRIVER | FEATURES | OK);
}

static void kick(void)
{
    drv_write(&drv, DATA, "ping", 4);
    drv_desc(&drv, 0, DATA, 4, DRV_NEXT, 1);
    drv_desc(&drv, 1, DATA + 64, 4, DRV_WRITE, 0);
    drv_offer(&drv, 0);
    put(0x50, 0);
}

static void it_says_what_it_is(void **state)
{
    (void)state;
    assert_int_equal(get(0), 0x74726976);
    assert_int_equal(get(4), 2);
    assert_int_equal(get(8), 42);
    put(0x30, ECHO_QUEUES);
    assert_int_equal(get(0x34), 0);
    assert_int_equal(get(0xb0), UINT32_MAX); /* no shared memory */
}

static void an_empty_place_has_device_0(void **state)
{
    (void)state;
    virtio_mmio_init(&m, NULL, NULL);
    assert_int_equal(get(0), 0x74726976);
    assert_int_equal(get(8), 0);
    for (unsigned at = 0; at < VIRTIO_MMIO_SIZE; at += 4) {
        put(at, ~0U);
        (void)get(at);
    }
    virtio_mmio_init(&m, &echo.vdev, NULL);
}

static void a_chain_goes_round(void **state)
{
    (void)state;
    go_live();
    kick();
    assert_int_equal(echo.chains, 1);
    assert_true(irq.level);
    assert_int_equal(get(0x60), 1);
    assert_true(irq.level); /* reading is not acknowledging */
    virtio_config_changed(&echo.vdev);
    assert_int_equal(get(0x60), 3);
    put(0x64, 1);
    assert_true(irq.level);
    put(0x64, 2);
    assert_false(irq.level);
}

static void status_0_resets(void **state)
{
    (void)state;
    go_live();
    kick();
    put(0x70, 0);
    assert_false(irq.level);
    assert_int_equal(get(0x60), 0);
    go_live();
    kick();
    assert_int_equal(echo.chains, 2);
}

static void configuration_space_has_bytes(void **state)
{
    (void)state;
    assert_int_equal(virtio_mmio_io_ops.read(&m, 0x101, 1), 0x22);
    virtio_mmio_io_ops.write(&m, 0x106, 0xabcd, 2);
    assert_int_equal(virtio_mmio_io_ops.read(&m, 0x104, 4), 0xabcd6655);
    assert_int_equal(virtio_mmio_io_ops.read(&m, 0x108, 4), 0);
}

static void wrong_widths_and_places_do_nothing(void **state)
{
    (void)state;
    go_live();
    for (unsigned at = 0; at < 0x100; at++)
        for (unsigned size = 1; size <= 4; size *= 2) {
            (void)virtio_mmio_io_ops.read(&m, at, size);
            if (size < 4 || at % 4)
                virtio_mmio_io_ops.write(&m, at, 0, size);
        }
    assert_true(virtio_live(&echo.vdev));
}

static void state_survives_save_and_load(void **state)
{
    (void)state;
    static struct echo other_echo;
    static struct virtio_mmio other;
    struct probe line = { 0 };
    go_live();
    kick();
    echo_init(&other_echo, &gm, &vclock);
    virtio_mmio_init(&other, &other_echo.vdev, PROBE_LINE(&line));
    check_round_trip(&virtio_device_state, &echo.vdev, &other_echo.vdev);
    check_round_trip(virtio_mmio_class.state, &m, &other);
    assert_true(line.level);
    virtio_done(&other_echo.vdev);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(it_says_what_it_is),
        T(an_empty_place_has_device_0),
        T(a_chain_goes_round),
        T(status_0_resets),
        T(configuration_space_has_bytes),
        T(wrong_widths_and_places_do_nothing),
        T(state_survives_save_and_load),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
