/* SPDX-License-Identifier: MIT */
/*
 * Laws of virtio-balloon. What was given back is known by its contents: they are gone.
 */
#include "device/virtio/balloon.h"

#include "support/chip.h"
#include "support/virtio_driver.h"

enum { NUMBERS = 0x40000, MEMORY = 0x80000, PAGES = 64, PAGE = 4096, STATS = 0x50000 };
enum { NUM_PAGES = 0, ACTUAL = 4, POISON = 12 };
#define F_STATS_VQ (1ULL << 1)
#define F_PAGE_POISON (1ULL << 4)
#define F_PAGE_REPORTING (1ULL << 5)

static struct gmem gm;
static struct vm_clock vclock;
static struct virtio_balloon balloon;
static struct driver drv[VIRTIO_BALLOON_QUEUES];
static unsigned config_irqs;

static void on_queue(void *transport, unsigned n)
{
    (void)transport;
    (void)n;
}

static void on_config(void *transport)
{
    (void)transport;
    config_irqs++;
}

static const struct virtio_transport_ops transport = { .queue_irq = on_queue, .config_irq = on_config };

/* Brings it up with these features and as many queues as they make. */
static void bring_up(uint64_t features, unsigned queues)
{
    virtio_set_status(&balloon.vdev, 0);
    drv_negotiate(&balloon.vdev, features);
    static const uint8_t zero[0x4000];
    for (unsigned i = 0; i < queues; i++) {
        drv_init(&drv[i], &gm, 0x10000 + i * 0x4000U, 64);
        drv_write(&drv[i], drv[i].desc, zero, sizeof(zero));
        drv_set_up_queue(&drv[i], &balloon.vdev, i);
    }
}

static int setup(void **state)
{
    (void)state;
    config_irqs = 0;
    test_clock(&vclock);
    drv_memory(&gm);
    virtio_balloon_init(&balloon, &gm, &vclock);
    virtio_connect(&balloon.vdev, &transport, NULL);
    memset(gm.host + MEMORY, 0x55, PAGES * PAGE);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    virtio_balloon_class.done(&balloon);
    gmem_done(&gm);
    return 0;
}

/* One chain of one piece on queue n; it comes back at once. */
static void ask(unsigned n, uint64_t gpa, uint32_t len, uint16_t flags)
{
    uint32_t head, used;
    drv_desc(&drv[n], 0, gpa, len, flags, 0);
    drv_offer(&drv[n], 0);
    virtio_notify(&balloon.vdev, n);
    assert_true(drv_take(&drv[n], &head, &used));
    assert_int_equal(used, 0);
}

static void inflate(const uint32_t *page, unsigned nr)
{
    drv_write(&drv[0], NUMBERS, page, nr * sizeof(*page));
    ask(0, NUMBERS, nr * (uint32_t)sizeof(*page), 0);
}

/* Which of the pages at MEMORY are gone, a bit each. */
static uint64_t gone(void)
{
    uint64_t bits = 0;
    for (unsigned i = 0; i < PAGES; i++) {
        uint8_t byte = gm.host[MEMORY + i * (size_t)PAGE + 77];
        assert_true(byte == 0 || byte == 0x55);
        bits |= byte ? 0 : 1ULL << i;
    }
    return bits;
}

static void listed_pages_and_no_others_are_given_back(void **state)
{
    (void)state;
    const uint32_t first = MEMORY / PAGE;
    const uint32_t up[] = { first, first + 1, first + 2, first + 9 }, down[] = { first + 20, first + 19, first + 18, first + 30 };
    bring_up(0, 2);
    drv_ok(&balloon.vdev);
    inflate(up, 4);
    assert_int_equal(gone(), 0x207);
    inflate(down, 4);
    assert_int_equal(gone(), 0x207 | 7ULL << 18 | 1ULL << 30);
    assert_int_equal(balloon.released, 8 * PAGE);
}

static void pages_that_are_no_memory_are_ignored_one_by_one(void **state)
{
    (void)state;
    const uint32_t last = DRV_RAM / PAGE - 1;
    const uint32_t page[] = { 0xffffffff, last, last + 1, last + 2, 0xfffffffe, MEMORY / PAGE + 3 };
    bring_up(0, 2);
    drv_ok(&balloon.vdev);
    gm.host[DRV_RAM - 1] = 1;
    inflate(page, 6);
    assert_int_equal(gm.host[DRV_RAM - 1], 0);
    assert_int_equal(gone(), 1 << 3);
    assert_true(virtio_live(&balloon.vdev));
}

static void code_on_a_page_that_is_given_back_is_noted(void **state)
{
    (void)state;
    const uint32_t page = MEMORY / PAGE + 5;
    uint32_t before;
    bring_up(0, 2);
    drv_ok(&balloon.vdev);
    assert_true(gmem_mark_code(&gm, page, &before));
    inflate(&page, 1);
    assert_int_not_equal(gmem_code_gen(&gm, page), before);
}

static void deflating_takes_nothing(void **state)
{
    (void)state;
    const uint32_t page = MEMORY / PAGE;
    bring_up(0, 2);
    drv_ok(&balloon.vdev);
    drv_write(&drv[1], NUMBERS, &page, sizeof(page));
    ask(1, NUMBERS, sizeof(page), 0);
    assert_int_equal(gone(), 0);
}

static void reported_pages_are_given_back_whole_ones_only(void **state)
{
    (void)state;
    bring_up(F_STATS_VQ | F_PAGE_REPORTING, 4);
    drv_ok(&balloon.vdev);
    ask(3, MEMORY + 100, 3 * PAGE, DRV_WRITE);
    assert_int_equal(gone(), 6);
    ask(3, MEMORY + 8 * PAGE, 100, DRV_WRITE);
    ask(3, MEMORY + 8 * PAGE, PAGE, 0); /* to be read: no report */
    assert_int_equal(gone(), 6);
    assert_int_equal(balloon.released, 2 * PAGE);
}

static void queues_are_numbered_by_what_was_negotiated(void **state)
{
    (void)state;
    bring_up(F_PAGE_REPORTING, 3);
    drv_ok(&balloon.vdev);
    ask(2, MEMORY, PAGE, DRV_WRITE);
    assert_int_equal(gone(), 1);
}

static void a_poison_keeps_reported_pages_as_they_are(void **state)
{
    (void)state;
    bring_up(F_PAGE_REPORTING | F_PAGE_POISON, 3);
    virtio_config_write(&balloon.vdev, POISON, 0xaaaaaaaa, 4);
    drv_ok(&balloon.vdev);
    ask(2, MEMORY, PAGE, DRV_WRITE);
    assert_int_equal(gone(), 0);
    assert_int_equal(virtio_config_read(&balloon.vdev, POISON, 4), 0xaaaaaaaa);
}

static void a_report_may_be_larger_than_other_chains(void **state)
{
    (void)state;
    uint32_t head, used;
    bring_up(F_PAGE_REPORTING, 3);
    drv_ok(&balloon.vdev);
    for (unsigned i = 0; i < 64; i++) /* 64 times the upper half of memory: 32 MiB */
        drv_desc(&drv[2], i, 0x80000, 0x80000, (uint16_t)(DRV_WRITE | (i < 63 ? DRV_NEXT : 0)), (uint16_t)(i + 1));
    drv_offer(&drv[2], 0);
    virtio_notify(&balloon.vdev, 2);
    assert_true(drv_take(&drv[2], &head, &used));
    assert_true(balloon.vdev.queue[2].bytes_max > VIRTIO_CHAIN_BYTES_MAX);
    assert_int_equal(gone(), UINT64_MAX);
}

static void a_new_target_interrupts_and_stays_over_a_reset(void **state)
{
    (void)state;
    bring_up(0, 2);
    drv_ok(&balloon.vdev);
    virtio_balloon_set_pages(&balloon, 1234);
    virtio_balloon_set_pages(&balloon, 1234);
    assert_int_equal(config_irqs, 1);
    virtio_config_write(&balloon.vdev, ACTUAL, 1000, 4);
    virtio_config_write(&balloon.vdev, NUM_PAGES, 1, 4); /* not the driver's */
    assert_int_equal(virtio_config_read(&balloon.vdev, NUM_PAGES, 4), 1234);
    assert_int_equal(virtio_config_read(&balloon.vdev, ACTUAL, 4), 1000);
    virtio_set_status(&balloon.vdev, 0);
    assert_int_equal(virtio_config_read(&balloon.vdev, NUM_PAGES, 4), 1234);
    assert_int_equal(virtio_config_read(&balloon.vdev, ACTUAL, 4), 0);
}

/* ---- statistics ---- */

static void offer_stats(uint64_t value)
{
    const struct {
        uint16_t tag;
        uint64_t val;
    } __attribute__((packed)) stat[] = { { VIRTIO_BALLOON_FREE, value }, { 77, 1 }, { VIRTIO_BALLOON_TOTAL, 99 } };
    drv_write(&drv[2], STATS, stat, sizeof(stat));
    drv_desc(&drv[2], 0, STATS, sizeof(stat), 0, 0);
    drv_offer(&drv[2], 0);
}

static void statistics_come_when_they_are_asked_for(void **state)
{
    (void)state;
    uint32_t head, used;
    bring_up(F_STATS_VQ, 3);
    offer_stats(5); /* before DRIVER_OK, as Linux does, and without a notification after it */
    drv_ok(&balloon.vdev);
    assert_int_equal(balloon.known, 1U << VIRTIO_BALLOON_FREE | 1U << VIRTIO_BALLOON_TOTAL);
    assert_int_equal(balloon.stat[VIRTIO_BALLOON_FREE], 5);
    assert_false(drv_take(&drv[2], &head, &used)); /* kept until somebody asks */
    virtio_balloon_ask(&balloon);
    virtio_balloon_ask(&balloon);
    assert_true(drv_take(&drv[2], &head, &used));
    offer_stats(6);
    virtio_notify(&balloon.vdev, 2);
    assert_int_equal(balloon.stat[VIRTIO_BALLOON_FREE], 6);
    assert_false(drv_take(&drv[2], &head, &used));
}

static void saving_gives_the_buffer_back(void **state)
{
    (void)state;
    struct state_buf buf = { 0 };
    struct error err;
    uint32_t head, used;
    bring_up(F_STATS_VQ, 3);
    offer_stats(5);
    drv_ok(&balloon.vdev);
    assert_int_equal(state_save(virtio_balloon_class.state, &balloon, &buf), 0);
    assert_true(drv_take(&drv[2], &head, &used));
    virtio_balloon_class.done(&balloon);
    virtio_balloon_init(&balloon, &gm, &vclock);
    assert_int_equal(state_load(virtio_balloon_class.state, &balloon, &buf, &err), 0);
    state_buf_done(&buf);
    assert_int_equal(balloon.stat[VIRTIO_BALLOON_FREE], 5);
    offer_stats(8);
    virtio_notify(&balloon.vdev, 2);
    assert_int_equal(balloon.stat[VIRTIO_BALLOON_FREE], 8);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(listed_pages_and_no_others_are_given_back),
        T(pages_that_are_no_memory_are_ignored_one_by_one),
        T(code_on_a_page_that_is_given_back_is_noted),
        T(deflating_takes_nothing),
        T(reported_pages_are_given_back_whole_ones_only),
        T(queues_are_numbered_by_what_was_negotiated),
        T(a_poison_keeps_reported_pages_as_they_are),
        T(a_report_may_be_larger_than_other_chains),
        T(a_new_target_interrupts_and_stays_over_a_reset),
        T(statistics_come_when_they_are_asked_for),
        T(saving_gives_the_buffer_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
