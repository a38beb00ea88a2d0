/* SPDX-License-Identifier: MIT */
/*
 * Laws of virtio-rng.
 */
#include "device/virtio/rng.h"

#include "support/chip.h"
#include "support/virtio_driver.h"

enum { DATA = 0x40000 };

static struct gmem gm;
static struct vm_clock vclock;
static struct virtio_rng rng;
static struct driver drv;

static void fill_with_7(void *buf, size_t len)
{
    memset(buf, 7, len);
}

static int setup(void **state)
{
    (void)state;
    test_clock(&vclock);
    drv_memory(&gm);
    virtio_rng_init(&rng, &gm, &vclock);
    drv_negotiate(&rng.vdev, 0);
    drv_init(&drv, &gm, 0x10000, 8);
    drv_set_up_queue(&drv, &rng.vdev, 0);
    drv_ok(&rng.vdev);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    virtio_rng_class.done(&rng);
    gmem_done(&gm);
    return 0;
}

/* Asks for `len` bytes, returns how many came. */
static uint32_t ask(uint32_t len)
{
    uint32_t head, used;
    drv_desc(&drv, 0, DATA, len, DRV_WRITE, 0);
    drv_offer(&drv, 0);
    virtio_notify(&rng.vdev, 0);
    assert_true(drv_take(&drv, &head, &used));
    return used;
}

static void fills_what_is_asked_for_and_no_more(void **state)
{
    (void)state;
    uint8_t got[9], want[9] = { 7, 7, 7, 7, 7, 7, 7, 7, 0 };
    rng.fill = fill_with_7;
    assert_int_equal(ask(8), 8);
    drv_read(&drv, DATA, got, sizeof(got));
    assert_memory_equal(got, want, sizeof(got));
}

static void one_request_gives_a_bounded_number_of_bytes(void **state)
{
    (void)state;
    assert_int_equal(ask(0x80000), VIRTIO_RNG_BYTES_MAX);
    assert_int_equal(ask(0), 0);
}

static void two_requests_give_different_bytes(void **state)
{
    (void)state;
    uint8_t a[600], b[600];
    assert_int_equal(ask(sizeof(a)), sizeof(a));
    drv_read(&drv, DATA, a, sizeof(a));
    assert_int_equal(ask(sizeof(b)), sizeof(b));
    drv_read(&drv, DATA, b, sizeof(b));
    assert_memory_not_equal(a, b, sizeof(a));
    assert_memory_not_equal(a + 500, b + 500, 100);
}

static void a_chain_without_room_gets_nothing(void **state)
{
    (void)state;
    uint32_t head, used;
    drv_desc(&drv, 0, DATA, 16, 0, 0);
    drv_offer(&drv, 0);
    virtio_notify(&rng.vdev, 0);
    assert_true(drv_take(&drv, &head, &used));
    assert_int_equal(used, 0);
    assert_true(virtio_live(&rng.vdev));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(fills_what_is_asked_for_and_no_more),
        T(one_request_gives_a_bounded_number_of_bytes),
        T(two_requests_give_different_bytes),
        T(a_chain_without_room_gets_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
