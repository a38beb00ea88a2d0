/* SPDX-License-Identifier: MIT */
/*
 * Laws of split virtqueues: what drivers offer comes out, and what a hostile one offers is refused.
 */
#include "device/virtio/queue.h"

#include <errno.h>

#include "support/chip.h"
#include "support/virtio_driver.h"

enum { SIZE = 8, BASE = 0x10000, DATA = 0x40000 };

static struct gmem gm;
static struct virtio_queue q;
static struct driver drv;
static struct virtio_chain chain;

static void start(uint16_t size, bool event_idx, bool indirect)
{
    drv_init(&drv, &gm, BASE, size);
    q = (struct virtio_queue){ .gmem = &gm, .size_max = VIRTIO_QUEUE_MAX };
    virtio_queue_reset(&q);
    q.size = size;
    q.event_idx = event_idx;
    q.indirect = indirect;
    q.desc_gpa = drv.desc;
    q.avail_gpa = drv.avail;
    q.used_gpa = drv.used;
    assert_int_equal(virtio_queue_start(&q), 0);
}

static int setup(void **state)
{
    (void)state;
    drv_memory(&gm);
    start(SIZE, true, true);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    gmem_done(&gm);
    return 0;
}

static void refused(const char *why)
{
    assert_int_equal(virtio_queue_pop(&q, &chain), -EINVAL);
    assert_non_null(strstr(q.why, why));
    assert_int_equal(q.in_flight, 0);
}

static void a_chain_comes_out_in_order(void **state)
{
    (void)state;
    drv_write(&drv, DATA, "hello world", 11);
    drv_desc(&drv, 3, DATA, 6, DRV_NEXT, 1);
    drv_desc(&drv, 1, DATA + 6, 5, DRV_NEXT, 7);
    drv_desc(&drv, 7, DATA + 0x1000, 100, DRV_WRITE | DRV_NEXT, 0);
    drv_desc(&drv, 0, DATA + 0x3000, 50, DRV_WRITE, 0);
    assert_int_equal(virtio_queue_pop(&q, &chain), 0);
    drv_offer(&drv, 3);
    assert_int_equal(virtio_queue_pop(&q, &chain), 1);
    assert_int_equal(chain.nr_out, 2);
    assert_int_equal(chain.nr_in, 2);
    assert_int_equal(chain.out_len, 11);
    assert_int_equal(chain.in_len, 150);
    char text[32] = { 0 };
    assert_int_equal(virtio_chain_read(&chain, 3, text, sizeof(text)), 8);
    assert_string_equal(text, "lo world");
    assert_int_equal(virtio_chain_write(&chain, 98, "abcdef", 6), 6);
    drv_read(&drv, DATA + 0x1000 + 98, text, 2);
    drv_read(&drv, DATA + 0x3000, text + 2, 4);
    assert_memory_equal(text, "abcdef", 6);
    assert_int_equal(virtio_chain_write(&chain, 149, "xy", 2), 1);
    assert_int_equal(virtio_chain_write(&chain, 1000, "xy", 2), 0);
    virtio_queue_push(&q, &chain, 150);
    uint32_t head, len;
    assert_true(drv_take(&drv, &head, &len));
    assert_int_equal(head, 3);
    assert_int_equal(len, 150);
    assert_false(drv_take(&drv, &head, &len));
}

static void indices_wrap(void **state)
{
    (void)state;
    q.last_avail = q.used_idx = drv.avail_idx = drv.used_idx = 0xfffc;
    drv_put16(&drv, drv.used + 2, 0xfffc);
    drv_put16(&drv, drv.avail + 2, 0xfffc);
    for (unsigned i = 0; i < 20; i++) {
        uint32_t head, len;
        drv_desc(&drv, i % SIZE, DATA + 16 * i, 16, DRV_WRITE, 0);
        drv_offer(&drv, (uint16_t)(i % SIZE));
        assert_int_equal(virtio_queue_pop(&q, &chain), 1);
        virtio_queue_push(&q, &chain, i);
        assert_true(drv_take(&drv, &head, &len));
        assert_int_equal(head, i % SIZE);
        assert_int_equal(len, i);
    }
}

static void unpop_gives_the_same_chain_again(void **state)
{
    (void)state;
    drv_desc(&drv, 2, DATA, 16, 0, 0);
    drv_offer(&drv, 2);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(virtio_queue_pop(&q, &chain), 1);
        assert_int_equal(chain.head, 2);
        virtio_queue_unpop(&q);
    }
    assert_int_equal(q.in_flight, 0);
}

static void indirect_tables(void **state)
{
    (void)state;
    uint64_t table = DATA + 0x8000;
    drv_desc_at(&drv, table, 0, DATA, 8, DRV_NEXT, 2);
    drv_desc_at(&drv, table, 2, DATA + 0x100, 8, DRV_WRITE, 0);
    drv_desc(&drv, 0, DATA + 0x200, 4, DRV_NEXT, 5);
    drv_desc(&drv, 5, table, 3 * 16, DRV_INDIRECT | DRV_WRITE, 0); /* its WRITE bit means nothing */
    drv_offer(&drv, 0);
    assert_int_equal(virtio_queue_pop(&q, &chain), 1);
    assert_int_equal(chain.out_len, 12);
    assert_int_equal(chain.in_len, 8);
    assert_int_equal(chain.head, 0);
}

static void empty_descriptors_are_skipped(void **state)
{
    (void)state;
    drv_desc(&drv, 0, ~0ULL, 0, DRV_NEXT, 1);
    drv_desc(&drv, 1, DATA, 4, 0, 0);
    drv_offer(&drv, 0);
    assert_int_equal(virtio_queue_pop(&q, &chain), 1);
    assert_int_equal(chain.nr_out, 1);
}

static void a_loop_is_refused(void **state)
{
    (void)state;
    drv_desc(&drv, 0, DATA, 4, DRV_NEXT, 1);
    drv_desc(&drv, 1, DATA, 4, DRV_NEXT, 0);
    drv_offer(&drv, 0);
    refused("longer than the queue");
    drv_desc(&drv, 2, DATA, 0, DRV_NEXT, 2); /* of nothing */
    start(SIZE, true, true);
    drv_offer(&drv, 2);
    refused("longer than the queue");
}

static void a_full_length_chain_is_taken(void **state)
{
    (void)state;
    start(VIRTIO_QUEUE_MAX, true, true);
    for (unsigned i = 0; i < VIRTIO_QUEUE_MAX; i++)
        drv_desc(&drv, i, DATA, 1, i + 1 < VIRTIO_QUEUE_MAX ? DRV_NEXT : 0, (uint16_t)(i + 1));
    drv_offer(&drv, 0);
    assert_int_equal(virtio_queue_pop(&q, &chain), 1);
    assert_int_equal(chain.nr_out, VIRTIO_QUEUE_MAX);
}

static void indices_out_of_range_are_refused(void **state)
{
    (void)state;
    drv_offer(&drv, SIZE);
    refused("out of range");
    start(SIZE, true, true);
    drv_desc(&drv, 0, DATA, 4, DRV_NEXT, 0xffff);
    drv_offer(&drv, 0);
    refused("out of range");
    start(SIZE, true, true);
    drv_desc_at(&drv, DATA, 0, DATA, 8, DRV_NEXT, 2);
    drv_desc(&drv, 0, DATA, 2 * 16, DRV_INDIRECT, 0);
    drv_offer(&drv, 0);
    refused("out of range");
}

static void buffers_outside_of_memory_are_refused(void **state)
{
    (void)state;
    static const struct {
        uint64_t addr;
        uint32_t len;
    } bad[] = { { DRV_RAM, 1 }, { DRV_RAM - 4, 5 }, { ~0ULL, 1 }, { ~0ULL - 3, 8 }, { 1ULL << 63, 16 }, { 0, DRV_RAM + 1 } };
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        start(SIZE, true, true);
        drv_desc(&drv, 0, bad[i].addr, bad[i].len, 0, 0);
        drv_offer(&drv, 0);
        refused("outside of memory");
    }
}

static void too_many_bytes_are_refused(void **state)
{
    (void)state;
    drv_desc(&drv, 0, 0, VIRTIO_CHAIN_BYTES_MAX + 1, 0, 0);
    drv_offer(&drv, 0);
    refused("too many bytes");
    start(SIZE, true, true);
    drv_desc(&drv, 0, 0, DRV_RAM, DRV_NEXT, 1);
    drv_desc(&drv, 1, 0, UINT32_MAX, DRV_WRITE, 0);
    drv_offer(&drv, 0);
    refused("too many bytes");
}

static void readable_behind_writable_is_refused(void **state)
{
    (void)state;
    drv_desc(&drv, 0, DATA, 4, DRV_NEXT | DRV_WRITE, 1);
    drv_desc(&drv, 1, DATA, 4, 0, 0);
    drv_offer(&drv, 0);
    refused("behind a writable");
}

static void malformed_indirect_tables_are_refused(void **state)
{
    (void)state;
    static const struct {
        uint64_t addr;
        uint32_t len;
        uint16_t flags;
        const char *why;
    } bad[] = {
        { DATA, 0, 0, "bad size" },
        { DATA, 15, 0, "bad size" },
        { DATA + 4, 16, 0, "alignment" },
        { DATA, 16, DRV_NEXT, "before others" },
        { DRV_RAM, 16, 0, "outside of memory" },
        { 0, 0xfffffff0, 0, "outside of memory" },
    };
    drv_desc_at(&drv, DATA, 0, DATA, 8, 0, 0);
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        start(SIZE, true, true);
        drv_desc(&drv, 0, bad[i].addr, bad[i].len, DRV_INDIRECT | bad[i].flags, 0);
        drv_offer(&drv, 0);
        refused(bad[i].why);
    }
    start(SIZE, true, true);
    drv_desc_at(&drv, DATA, 0, DATA, 16, DRV_INDIRECT, 0); /* in itself */
    drv_desc(&drv, 0, DATA, 16, DRV_INDIRECT, 0);
    drv_offer(&drv, 0);
    refused("inside");
    start(SIZE, true, false);
    drv_desc(&drv, 0, DATA, 16, DRV_INDIRECT, 0);
    drv_offer(&drv, 0);
    refused("not negotiated");
    start(SIZE, true, true);
    for (unsigned i = 0; i < 16; i++)
        drv_desc_at(&drv, DATA, i, DATA, 1, DRV_NEXT, (uint16_t)(i + 1));
    drv_desc(&drv, 0, DATA, 16 * 16, DRV_INDIRECT, 0);
    drv_offer(&drv, 0);
    refused("longer than the queue");
}

static void an_index_too_far_ahead_is_refused(void **state)
{
    (void)state;
    drv_put16(&drv, drv.avail + 2, SIZE + 1);
    refused("more chains than");
}

static void no_more_chains_are_out_than_descriptors(void **state)
{
    (void)state;
    drv_desc(&drv, 0, DATA, 4, 0, 0);
    for (unsigned i = 0; i < SIZE; i++) {
        drv_offer(&drv, 0);
        assert_int_equal(virtio_queue_pop(&q, &chain), 1);
    }
    drv_offer(&drv, 0);
    assert_int_equal(virtio_queue_pop(&q, &chain), -EINVAL);
    assert_non_null(strstr(q.why, "chains out"));
}

static void bad_rings_do_not_start(void **state)
{
    (void)state;
    static const uint64_t at[] = { BASE + 8, BASE + 1, DRV_RAM, DRV_RAM - 16, ~0ULL << 12, 1ULL << 40 };
    for (unsigned area = 0; area < 3; area++)
        for (unsigned i = 0; i < ARRAY_SIZE(at); i++) {
            start(SIZE, true, true);
            uint64_t *gpa[] = { &q.desc_gpa, &q.avail_gpa, &q.used_gpa };
            virtio_queue_reset(&q);
            q.size = SIZE;
            q.desc_gpa = drv.desc;
            q.avail_gpa = drv.avail;
            q.used_gpa = drv.used;
            *gpa[area] = at[i];
            if ((area > 0 && i == 0) || (area == 1 && i == 3) || (at[i] == DRV_RAM - 16 && area == 1))
                continue; /* aligned enough there */
            assert_int_equal(virtio_queue_start(&q), -EINVAL);
            assert_int_equal(virtio_queue_pop(&q, &chain), 0);
        }
    for (unsigned size = 0; size <= 3; size += 3) {
        virtio_queue_reset(&q);
        q.size = (uint16_t)size;
        assert_int_equal(virtio_queue_start(&q), -EINVAL);
    }
}

static void push_after_reset_touches_nothing(void **state)
{
    (void)state;
    drv_desc(&drv, 0, DATA, 4, DRV_WRITE, 0);
    drv_offer(&drv, 0);
    assert_int_equal(virtio_queue_pop(&q, &chain), 1);
    virtio_queue_reset(&q);
    virtio_queue_push(&q, &chain, 4);
    assert_int_equal(drv_get16(&drv, drv.used + 2), 0);
}

static void one(void)
{
    drv_offer(&drv, 0);
    assert_int_equal(virtio_queue_pop(&q, &chain), 1);
    virtio_queue_push(&q, &chain, 0);
}

static void flags_switch_signals_off_without_event_index(void **state)
{
    (void)state;
    start(SIZE, false, false);
    drv_desc(&drv, 0, DATA, 4, 0, 0);
    one();
    assert_true(virtio_queue_should_signal(&q));
    drv_put16(&drv, drv.avail, 1);
    one();
    assert_false(virtio_queue_should_signal(&q));
}

static void event_index_asks_for_signals(void **state)
{
    (void)state;
    drv_desc(&drv, 0, DATA, 4, 0, 0);
    one();
    assert_true(virtio_queue_should_signal(&q)); /* the first */
    assert_false(virtio_queue_should_signal(&q));
    drv_put16(&drv, drv.avail + 4 + 2 * SIZE, 2); /* used_event: tell me when the third was used */
    one();
    assert_false(virtio_queue_should_signal(&q));
    one();
    assert_true(virtio_queue_should_signal(&q));
    one();
    assert_false(virtio_queue_should_signal(&q));
}

static void an_empty_queue_asks_for_the_next_notification(void **state)
{
    (void)state;
    drv_desc(&drv, 0, DATA, 4, 0, 0);
    for (uint16_t i = 1; i < 5; i++) {
        one();
        assert_int_equal(virtio_queue_pop(&q, &chain), 0);
        assert_int_equal(drv_get16(&drv, drv.used + 4 + 8 * SIZE), i);
    }
}

static void writes_are_noted_for_translated_code(void **state)
{
    (void)state;
    uint32_t gen;
    uint64_t page = DATA >> 12;
    drv_desc(&drv, 0, DATA, 0x3000, DRV_WRITE, 0);
    drv_offer(&drv, 0);
    assert_int_equal(virtio_queue_pop(&q, &chain), 1);
    assert_true(gmem_mark_code(&gm, page + 2, &gen));
    (void)virtio_chain_write(&chain, 0x1ffe, "ab", 2);
    assert_int_equal(gmem_code_gen(&gm, page + 2), gen);
    virtio_chain_wrote(&chain, 0x1fff, 2);
    assert_int_equal(gmem_code_gen(&gm, page + 2), gen + 1);
}

static void state_survives_save_and_load(void **state)
{
    (void)state;
    static struct virtio_queue other;
    drv_desc(&drv, 0, DATA, 4, 0, 0);
    one();
    (void)virtio_queue_should_signal(&q);
    q.ready = true;
    other = (struct virtio_queue){ .gmem = &gm, .size_max = VIRTIO_QUEUE_MAX };
    check_round_trip(&virtio_queue_state, &q, &other);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_chain_comes_out_in_order),
        T(indices_wrap),
        T(unpop_gives_the_same_chain_again),
        T(indirect_tables),
        T(empty_descriptors_are_skipped),
        T(a_loop_is_refused),
        T(a_full_length_chain_is_taken),
        T(indices_out_of_range_are_refused),
        T(buffers_outside_of_memory_are_refused),
        T(too_many_bytes_are_refused),
        T(readable_behind_writable_is_refused),
        T(malformed_indirect_tables_are_refused),
        T(an_index_too_far_ahead_is_refused),
        T(no_more_chains_are_out_than_descriptors),
        T(bad_rings_do_not_start),
        T(push_after_reset_touches_nothing),
        T(flags_switch_signals_off_without_event_index),
        T(event_index_asks_for_signals),
        T(an_empty_queue_asks_for_the_next_notification),
        T(writes_are_noted_for_translated_code),
        T(state_survives_save_and_load),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
