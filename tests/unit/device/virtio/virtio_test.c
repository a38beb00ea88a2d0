/* SPDX-License-Identifier: MIT */
/*
 * Laws of what all virtio devices share: negotiation, status, budget, breaking, state.
 */
#include "device/virtio/virtio.h"

#include "support/chip.h"
#include "support/virtio_driver.h"
#include "support/virtio_echo.h"

enum { DATA = 0x40000 };
enum { ACK = 1, DRIVER = 2, OK = 4, FEATURES = 8, NEEDS_RESET = 64 };

static struct gmem gm;
static struct vm_clock vclock;
static struct echo echo;
static struct driver drv[ECHO_QUEUES];
static unsigned queue_irqs, config_irqs;

static void on_queue(void *transport, unsigned n)
{
    (void)transport;
    (void)n;
    queue_irqs++;
}

static void on_config(void *transport)
{
    (void)transport;
    config_irqs++;
}

static const struct virtio_transport_ops transport = { .queue_irq = on_queue, .config_irq = on_config };

static void go_live(uint64_t features)
{
    drv_negotiate(&echo.vdev, features);
    for (unsigned n = 0; n < ECHO_QUEUES; n++) {
        drv_init(&drv[n], &gm, 0x10000 + n * 0x8000, ECHO_SIZE);
        drv_set_up_queue(&drv[n], &echo.vdev, n);
    }
    drv_ok(&echo.vdev);
}

static int setup(void **state)
{
    (void)state;
    queue_irqs = config_irqs = 0;
    test_clock(&vclock);
    drv_memory(&gm);
    echo_init(&echo, &gm, &vclock);
    virtio_connect(&echo.vdev, &transport, &echo);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    virtio_done(&echo.vdev);
    gmem_done(&gm);
    return 0;
}

/* Offers `text` on queue n with room for as much. */
static void offer(unsigned n, const char *text)
{
    uint32_t len = (uint32_t)strlen(text);
    drv_write(&drv[n], DATA, text, len);
    drv_desc(&drv[n], 0, DATA, len, DRV_NEXT, 1);
    drv_desc(&drv[n], 1, DATA + 0x1000, len, DRV_WRITE, 0);
    drv_offer(&drv[n], 0);
}

static void chains_are_answered_and_signalled(void **state)
{
    (void)state;
    char back[6] = { 0 };
    uint32_t head, len;
    go_live(ECHO_FEATURE | VIRTIO_F_EVENT_IDX);
    assert_int_equal(echo.oks, 1);
    assert_true(virtio_has(&echo.vdev, ECHO_FEATURE));
    offer(1, "hello");
    virtio_notify(&echo.vdev, 1);
    assert_true(drv_take(&drv[1], &head, &len));
    assert_int_equal(len, 5);
    drv_read(&drv[1], DATA + 0x1000, back, 5);
    assert_string_equal(back, "hello");
    assert_int_equal(queue_irqs, 1);
}

static void features_not_offered_are_refused(void **state)
{
    (void)state;
    drv_negotiate(&echo.vdev, 1ULL << 5);
    assert_int_equal(echo.vdev.status, ACK | DRIVER);
    virtio_set_status(&echo.vdev, ACK | DRIVER | OK);
    assert_false(virtio_live(&echo.vdev));
    drv_negotiate(&echo.vdev, ECHO_FEATURE); /* it may try again */
    assert_int_equal(echo.vdev.status, ACK | DRIVER | FEATURES);
}

static void version_1_is_mandatory(void **state)
{
    (void)state;
    virtio_set_status(&echo.vdev, ACK | DRIVER);
    virtio_set_status(&echo.vdev, ACK | DRIVER | FEATURES);
    assert_int_equal(echo.vdev.status, ACK | DRIVER);
}

static void features_are_final_after_features_ok(void **state)
{
    (void)state;
    drv_negotiate(&echo.vdev, 0);
    virtio_accept(&echo.vdev, 0, (uint32_t)ECHO_FEATURE);
    assert_false(virtio_has(&echo.vdev, ECHO_FEATURE));
    assert_int_equal(virtio_offered(&echo.vdev, 2), 0);
    virtio_accept(&echo.vdev, 77, ~0U);
    assert_int_equal(virtio_accepted(&echo.vdev, 1), 1);
}

static void status_bits_go_by_reset_only(void **state)
{
    (void)state;
    go_live(0);
    virtio_set_status(&echo.vdev, ACK);
    assert_true(virtio_live(&echo.vdev));
    virtio_set_status(&echo.vdev, 0);
    assert_int_equal(echo.vdev.status, 0);
    assert_int_equal(echo.resets, 1);
    assert_int_equal(echo.quiesces, 1);
    assert_int_equal(virtio_accepted(&echo.vdev, 1), 0);
    assert_false(virtio_get_queue(&echo.vdev, 0)->ready);
}

static void nothing_is_popped_before_driver_ok(void **state)
{
    (void)state;
    drv_negotiate(&echo.vdev, 0);
    drv_init(&drv[0], &gm, 0x10000, ECHO_SIZE);
    drv_set_up_queue(&drv[0], &echo.vdev, 0);
    offer(0, "x");
    virtio_notify(&echo.vdev, 0);
    assert_int_equal(echo.chains, 0);
    drv_ok(&echo.vdev);
    virtio_notify(&echo.vdev, 7);
    virtio_notify(&echo.vdev, ~0U);
    virtio_notify(&echo.vdev, 1); /* never enabled */
    assert_int_equal(echo.chains, 0);
    virtio_notify(&echo.vdev, 0);
    assert_int_equal(echo.chains, 1);
}

static void a_broken_ring_asks_for_a_reset_and_stands_still(void **state)
{
    (void)state;
    go_live(0);
    drv_offer(&drv[0], ECHO_SIZE);
    virtio_notify(&echo.vdev, 0);
    assert_int_equal(echo.vdev.status & NEEDS_RESET, NEEDS_RESET);
    assert_int_equal(config_irqs, 1);
    offer(1, "x");
    virtio_notify(&echo.vdev, 1);
    assert_int_equal(echo.chains, 0);
    assert_int_equal(config_irqs, 1);
    virtio_set_status(&echo.vdev, 0);
    go_live(0);
    offer(1, "x");
    virtio_notify(&echo.vdev, 1);
    assert_int_equal(echo.chains, 1);
}

static void rings_outside_of_memory_break_it_once_somebody_listens(void **state)
{
    (void)state;
    drv_negotiate(&echo.vdev, 0);
    virtio_set_queue_area(&echo.vdev, 0, VIRTIO_AREA_DESC, 32, 1);
    virtio_enable_queue(&echo.vdev, 0);
    assert_int_equal(config_irqs, 0);
    drv_ok(&echo.vdev);
    assert_int_equal(config_irqs, 1);
    assert_false(virtio_live(&echo.vdev));
}

static void a_running_queue_cannot_be_moved(void **state)
{
    (void)state;
    go_live(0);
    virtio_set_queue_area(&echo.vdev, 0, VIRTIO_AREA_USED, 0, 0x4000);
    virtio_set_queue_size(&echo.vdev, 0, 4);
    assert_int_equal(virtio_get_queue(&echo.vdev, 0)->used_gpa, drv[0].used);
    assert_int_equal(virtio_get_queue(&echo.vdev, 0)->size, ECHO_SIZE);
    virtio_set_status(&echo.vdev, 0);
    static const uint32_t bad[] = { 0, 3, 2 * ECHO_SIZE, 0x10008 };
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
        virtio_set_queue_size(&echo.vdev, 0, bad[i]);
    assert_int_equal(virtio_get_queue(&echo.vdev, 0)->size, ECHO_SIZE);
}

/* A driver that offers as fast as we answer. */
static void endless_notify(struct virtio_device *vdev, unsigned n)
{
    struct virtio_chain chain;
    while (virtio_pop(vdev, n, &chain)) {
        echo.chains++;
        virtio_push(vdev, n, &chain, 0);
        drv_offer(&drv[n], 0);
    }
}

static void a_driver_that_never_stops_does_not_keep_us(void **state)
{
    (void)state;
    struct virtio_class endless = echo_class;
    endless.notify = endless_notify;
    go_live(VIRTIO_F_EVENT_IDX);
    echo.vdev.class = &endless;
    offer(0, "x");
    virtio_notify(&echo.vdev, 0);
    assert_int_equal(echo.chains, ECHO_SIZE);
    (void)vm_clock_run(&vclock);                                  /* goes on by itself */
    assert_in_range(echo.chains, 2 * ECHO_SIZE, 100 * ECHO_SIZE); /* and vm_clock_run() came back */
    echo.vdev.class = &echo_class;
    virtio_set_status(&echo.vdev, 0);
    unsigned before = echo.chains;
    (void)vm_clock_run(&vclock);
    assert_int_equal(echo.chains, before);
}

static void a_reset_ends_what_is_under_way_unseen(void **state)
{
    (void)state;
    go_live(0);
    echo.hold = true;
    offer(0, "x");
    virtio_notify(&echo.vdev, 0);
    virtio_set_status(&echo.vdev, 0);
    assert_int_equal(echo.held_nr, 0);
    assert_int_equal(drv_get16(&drv[0], drv[0].used + 2), 0);
    assert_int_equal(queue_irqs, 0);
}

static void saving_ends_what_is_under_way_for_the_driver(void **state)
{
    (void)state;
    static struct echo other;
    uint32_t head, len;
    go_live(ECHO_FEATURE | VIRTIO_F_EVENT_IDX);
    echo.hold = true;
    offer(0, "abc");
    virtio_notify(&echo.vdev, 0);
    assert_false(drv_take(&drv[0], &head, &len));
    echo_init(&other, &gm, &vclock);
    virtio_connect(&other.vdev, &transport, &other);
    check_round_trip(&virtio_device_state, &echo.vdev, &other.vdev);
    assert_true(drv_take(&drv[0], &head, &len));
    assert_int_equal(queue_irqs, 1);
    offer(0, "def");
    virtio_notify(&other.vdev, 0); /* it goes on where the first one stood */
    assert_int_equal(other.chains, 1);
    assert_true(drv_take(&drv[0], &head, &len));
    virtio_done(&other.vdev);
}

static void states_that_cannot_be_are_refused(void **state)
{
    (void)state;
    static struct echo other;
    for (unsigned i = 0; i < 4; i++) {
        struct state_buf buf = { 0 };
        go_live(ECHO_FEATURE);
        switch (i) {
        case 0: echo.vdev.features |= 1ULL << 40; break;
        case 1: echo.vdev.queue[0].size = 5; break;
        case 2: echo.vdev.queue[0].desc_gpa = ~15ULL; break;
        case 3: echo.vdev.status = OK; break;
        }
        assert_int_equal(state_save(&virtio_device_state, &echo.vdev, &buf), 0);
        echo_init(&other, &gm, &vclock);
        assert_int_equal(state_load(&virtio_device_state, &other.vdev, &buf, NULL), -22);
        state_buf_done(&buf);
        virtio_reset(&echo.vdev);
    }
}

static void configuration_space_ends_where_it_ends(void **state)
{
    (void)state;
    assert_int_equal(virtio_config_read(&echo.vdev, 0, 4), 0x44332211);
    assert_int_equal(virtio_config_read(&echo.vdev, 6, 2), 0x8877);
    assert_int_equal(virtio_config_read(&echo.vdev, 5, 4), 0);
    assert_int_equal(virtio_config_read(&echo.vdev, ~0ULL, 2), 0);
    virtio_config_write(&echo.vdev, 4, 0xaabb, 2);
    virtio_config_write(&echo.vdev, 7, 0xffff, 2);
    assert_int_equal(virtio_config_read(&echo.vdev, 0, 8), 0x8877aabb44332211);
}

static void a_changed_configuration_is_told(void **state)
{
    (void)state;
    virtio_config_changed(&echo.vdev);
    assert_int_equal(config_irqs, 0); /* no driver yet */
    go_live(0);
    virtio_config_changed(&echo.vdev);
    assert_int_equal(config_irqs, 1);
    assert_int_equal(echo.vdev.config_generation, 2);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(chains_are_answered_and_signalled),
        T(features_not_offered_are_refused),
        T(version_1_is_mandatory),
        T(features_are_final_after_features_ok),
        T(status_bits_go_by_reset_only),
        T(nothing_is_popped_before_driver_ok),
        T(a_broken_ring_asks_for_a_reset_and_stands_still),
        T(rings_outside_of_memory_break_it_once_somebody_listens),
        T(a_running_queue_cannot_be_moved),
        T(a_driver_that_never_stops_does_not_keep_us),
        T(a_reset_ends_what_is_under_way_unseen),
        T(saving_ends_what_is_under_way_for_the_driver),
        T(states_that_cannot_be_are_refused),
        T(configuration_space_ends_where_it_ends),
        T(a_changed_configuration_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
