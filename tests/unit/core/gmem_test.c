/* SPDX-License-Identifier: MIT */
/*
 * Laws of guest RAM: slots, checked copies, code marks.
 */
#include "core/gmem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

enum { PAGES = 16 };

/* 8 pages at 0, the other 8 at 4 GiB, the last of these continued by nothing. */
static int setup(void **state)
{
    static struct gmem gm;
    *state = &gm;
    return gmem_init(&gm, PAGES * GPAGE_SIZE, NULL) < 0 || gmem_add_slot(&gm, 0, 8 * GPAGE_SIZE, 0, NULL) < 0
           || gmem_add_slot(&gm, 1ULL << 32, 8 * GPAGE_SIZE, 8 * GPAGE_SIZE, NULL) < 0;
}

static int teardown(void **state)
{
    gmem_done(*state);
    return 0;
}

static void what_was_written_is_read(void **state)
{
    struct gmem *gm = *state;
    uint32_t v = 0x12345678, got = 0;
    assert_int_equal(gmem_write(gm, 0x1ffe, &v, 4), 0);
    assert_int_equal(gmem_read(gm, 0x1ffe, &got, 4), 0);
    assert_int_equal(got, v);
    assert_int_equal(gmem_write(gm, (1ULL << 32) + 5, &v, 4), 0);
    assert_int_equal(memcmp(gm->host + 8 * GPAGE_SIZE + 5, &v, 4), 0);
}

static void outside_nothing_is_copied(void **state)
{
    struct gmem *gm = *state;
    uint8_t buf[32] = { [0 ... 31] = 0x5a }, back[16];
    static const gpa_t bad[] = { 8 * GPAGE_SIZE - 16, 8 * GPAGE_SIZE, (1ULL << 32) - 1, (1ULL << 32) + 8 * GPAGE_SIZE - 31, ~0ULL,
                                 ~0ULL - 31 };
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(gmem_write(gm, bad[i], buf, 32), -EFAULT);
        assert_int_equal(gmem_read(gm, bad[i], buf, 32), -EFAULT);
        assert_null(gmem_pin(gm, bad[i], 32));
    }
    assert_int_equal(buf[0], 0x5a);
    assert_int_equal(gmem_read(gm, 8 * GPAGE_SIZE - 16, back, 16), 0);
    assert_int_equal(back[0], 0);
    assert_int_equal(gmem_read(gm, 0, buf, ~0ULL), -EFAULT);
    assert_null(gmem_pin(gm, 16, ~0ULL));
}

static void copies_run_through_touching_slots_but_pins_do_not(void **state)
{
    struct gmem *gm = *state;
    struct gmem two;
    assert_int_equal(gmem_init(&two, 2 * GPAGE_SIZE, NULL), 0);
    assert_int_equal(gmem_add_slot(&two, 0, GPAGE_SIZE, GPAGE_SIZE, NULL), 0);
    assert_int_equal(gmem_add_slot(&two, GPAGE_SIZE, GPAGE_SIZE, 0, NULL), 0);
    uint32_t v = 0xaabbccdd, got = 0;
    assert_int_equal(gmem_write(&two, GPAGE_SIZE - 2, &v, 4), 0);
    assert_int_equal(gmem_read(&two, GPAGE_SIZE - 2, &got, 4), 0);
    assert_int_equal(got, v);
    assert_int_equal(two.host[0], 0xbb);
    assert_null(gmem_pin(&two, GPAGE_SIZE - 2, 4));
    gmem_done(&two);
    (void)gm;
}

static void bad_slots_are_refused(void **state)
{
    struct gmem *gm = *state;
    assert_int_equal(gmem_add_slot(gm, 7 * GPAGE_SIZE, GPAGE_SIZE, 0, NULL), -EINVAL);
    assert_int_equal(gmem_add_slot(gm, (1ULL << 32) - GPAGE_SIZE, 2 * GPAGE_SIZE, 0, NULL), -EINVAL);
    assert_int_equal(gmem_add_slot(gm, 1 << 20, 100, 0, NULL), -EINVAL);
    assert_int_equal(gmem_add_slot(gm, 1 << 20, GPAGE_SIZE, PAGES * GPAGE_SIZE, NULL), -EINVAL);
    assert_int_equal(gmem_add_slot(gm, 0 - GPAGE_SIZE, 2 * GPAGE_SIZE, 0, NULL), -EINVAL);
    struct gmem bad;
    assert_int_equal(gmem_init(&bad, 100, NULL), -EINVAL);
    assert_int_equal(gmem_init(&bad, 0, NULL), -EINVAL);
    gmem_done(&bad);
}

static uint32_t mark(struct gmem *gm, uint64_t page)
{
    uint32_t gen = ~gmem_code_gen(gm, page);
    assert_true(gmem_mark_code(gm, page, &gen));
    return gen;
}

static void only_writes_to_marked_pages_bump_the_generation(void **state)
{
    struct gmem *gm = *state;
    uint32_t gen = mark(gm, 1);
    uint8_t x = 1;
    assert_int_equal(gmem_write(gm, 2 * GPAGE_SIZE, &x, 1), 0);
    assert_int_equal(gmem_write(gm, GPAGE_SIZE - 1, &x, 1), 0);
    assert_int_equal(gmem_code_gen(gm, 1), gen);
    uint16_t two = 2;
    assert_int_equal(gmem_write(gm, GPAGE_SIZE - 1, &two, 2), 0); /* reaches into page 1 */
    assert_int_not_equal(gmem_code_gen(gm, 1), gen);
    assert_int_equal(mark(gm, 1), gmem_code_gen(gm, 1));
}

static void reset_zeroes_and_makes_old_code_stale(void **state)
{
    struct gmem *gm = *state;
    uint32_t gen = mark(gm, 3);
    memset(gm->host, 0xee, gm->size);
    gmem_reset(gm);
    for (uint64_t i = 0; i < gm->size; i++)
        assert_int_equal(gm->host[i], 0);
    assert_int_equal(gm->code[3], 0);
    assert_int_not_equal(gmem_code_gen(gm, 3), gen);
}

static void discarded_pages_read_as_zeroes_and_make_old_code_stale(void **state)
{
    struct gmem *gm = *state;
    uint32_t gen[6];
    memset(gm->host, 0xee, gm->size);
    for (unsigned i = 1; i < 6; i++)
        gen[i] = mark(gm, i);
    assert_int_equal(gmem_discard(gm, gm->host + 2 * GPAGE_SIZE - 1, 3 * GPAGE_SIZE), 2 * GPAGE_SIZE); /* whole ones: 2 and 3 */
    for (unsigned i = 1; i < 6; i++) {
        const bool gone = i == 2 || i == 3;
        assert_int_equal(gm->host[i * GPAGE_SIZE], gone ? 0 : 0xee);
        assert_int_equal(gm->host[(i + 1) * GPAGE_SIZE - 1], gone ? 0 : 0xee);
        assert_int_equal(gmem_code_gen(gm, i) != gen[i], gone);
    }
    assert_int_equal(gmem_discard(gm, gm->host + 1, GPAGE_SIZE), 0);
    assert_int_equal(gmem_discard(gm, gm->host, 0), 0);
    assert_int_equal(gmem_discard(gm, gm->host + (PAGES - 1) * GPAGE_SIZE, GPAGE_SIZE), GPAGE_SIZE);
}

static struct gmem_storer storer_of(_Atomic uint32_t *attention)
{
    return (struct gmem_storer){ .attention = attention, .attention_bit = 4 };
}

static void a_storer_enters_only_when_it_has_seen_all_marks(void **state)
{
    struct gmem *gm = *state;
    _Atomic uint32_t attention = 0;
    struct gmem_storer s = storer_of(&attention);
    gmem_add_storer(gm, &s);
    assert_true(gmem_storer_enter(gm, &s));
    gmem_storer_leave(&s);
    (void)mark(gm, 1); /* it is outside */
    assert_int_equal(attention, 0);
    assert_false(gmem_storer_enter(gm, &s));
    assert_false(s.inside);
    s.seen = gm->nr_marks;
    assert_true(gmem_storer_enter(gm, &s));
    (void)mark(gm, 1); /* not its first mark */
    gmem_storer_leave(&s);
    gmem_remove_storer(gm, &s);
}

struct forgotten {
    const uint8_t *page[8];
    unsigned nr;
};

static void note_forgotten(void *opaque, const uint8_t *page)
{
    struct forgotten *f = opaque;
    assert_true(f->nr < 8);
    f->page[f->nr++] = page;
}

/* Few pages one by one, many at once; then nothing is left to forget. */
static void who_begins_to_store_forgets_what_was_marked(void **state)
{
    struct gmem *gm = *state;
    _Atomic uint32_t attention = 0;
    struct gmem_storer s = storer_of(&attention);
    struct forgotten f = { .nr = 0 };
    gmem_add_storer(gm, &s);
    for (uint64_t page = 1; page <= 3; page++)
        assert_true(gmem_mark_code(gm, page, &(uint32_t){ 0 }));
    gmem_storer_begin(gm, &s, note_forgotten, &f);
    assert_true(s.inside);
    gmem_storer_leave(&s);
    assert_int_equal(f.nr, 3);
    for (unsigned k = 0; k < 3; k++)
        assert_true(f.page[0] == gm->host + ((k + 1) << GPAGE_SHIFT) || f.page[1] == gm->host + ((k + 1) << GPAGE_SHIFT)
                    || f.page[2] == gm->host + ((k + 1) << GPAGE_SHIFT));
    f.nr = 0;
    gmem_storer_begin(gm, &s, note_forgotten, &f);
    gmem_storer_leave(&s);
    assert_int_equal(f.nr, 0);
    for (uint64_t page = 4; page <= 10; page++)
        assert_true(gmem_mark_code(gm, page, &(uint32_t){ 0 }));
    gmem_storer_begin(gm, &s, note_forgotten, &f);
    gmem_storer_leave(&s);
    assert_int_equal(f.nr, 1);
    assert_null(f.page[0]);
    gmem_remove_storer(gm, &s);
}

static void a_mark_is_in_force_when_no_storer_is_inside_from_before(void **state)
{
    struct gmem *gm = *state;
    _Atomic uint32_t attention[2] = { 0, 0 };
    struct gmem_storer s[2] = { storer_of(&attention[0]), storer_of(&attention[1]) };
    uint32_t gen;
    gmem_add_storer(gm, &s[0]);
    gmem_add_storer(gm, &s[1]);
    assert_true(gmem_storer_enter(gm, &s[0]));
    assert_false(gmem_mark_code(gm, 1, &gen));
    assert_int_equal(attention[0], 4); /* called */
    assert_int_equal(attention[1], 0); /* it is outside */
    assert_false(gmem_mark_code(gm, 1, &gen));
    gmem_storer_leave(&s[0]);
    s[0].seen = gm->nr_marks;
    assert_true(gmem_storer_enter(gm, &s[0])); /* inside, but it knows of the mark */
    assert_true(gmem_mark_code(gm, 1, &gen));
    assert_false(gmem_mark_code(gm, 2, &gen)); /* of this it does not */
    uint8_t x = 1;
    assert_int_equal(gmem_write(gm, 2 * GPAGE_SIZE, &x, 1), 0); /* takes the mark off before it is in force */
    assert_int_equal(gm->code[2], 0);
    s[0].seen = gm->nr_marks;
    assert_false(gmem_mark_code(gm, 2, &gen)); /* a new one, which it does not know */
    gmem_storer_leave(&s[0]);
    assert_true(gmem_mark_code(gm, 2, &gen));
    assert_int_equal(gen, gmem_code_gen(gm, 2));
    gmem_remove_storer(gm, &s[0]);
    gmem_remove_storer(gm, &s[1]);
}

static void a_write_to_a_marked_page_calls_every_storer(void **state)
{
    struct gmem *gm = *state;
    _Atomic uint32_t attention[2] = { 0, 3 };
    struct gmem_storer s[2] = { storer_of(&attention[0]), storer_of(&attention[1]) };
    gmem_add_storer(gm, &s[0]);
    gmem_add_storer(gm, &s[1]);
    (void)mark(gm, 1);
    uint8_t x = 1;
    assert_int_equal(gmem_write(gm, 2 * GPAGE_SIZE, &x, 1), 0);
    assert_int_equal(attention[0], 0);
    assert_int_equal(gmem_write(gm, GPAGE_SIZE, &x, 1), 0);
    assert_int_equal(attention[0], 4);
    assert_int_equal(attention[1], 7);
    gmem_remove_storer(gm, &s[0]);
    attention[0] = attention[1] = 0;
    (void)mark(gm, 1);
    assert_int_equal(gmem_write(gm, GPAGE_SIZE, &x, 1), 0);
    assert_int_equal(attention[0], 0);
    assert_int_equal(attention[1], 4);
    gmem_remove_storer(gm, &s[1]);
}

static void the_last_marks_and_writes_can_be_told(void **state)
{
    struct gmem *gm = *state;
    uint64_t page, marks = gm->nr_marks, writes = gm->nr_writes;
    assert_false(gmem_recent(gm->written, writes + 1, &page));
    for (unsigned k = 0; k < GMEM_RECENT + 1; k++) {
        uint8_t x = 1;
        (void)mark(gm, 1 + k % 2);
        assert_true(gmem_recent(gm->marked, marks + k + 1, &page));
        assert_int_equal(page, 1 + k % 2);
        assert_int_equal(gmem_write(gm, (1 + k % 2) * GPAGE_SIZE, &x, 1), 0);
        assert_true(gmem_recent(gm->written, writes + k + 1, &page));
        assert_int_equal(page, 1 + k % 2);
    }
    assert_false(gmem_recent(gm->written, writes + 1, &page)); /* overwritten */
    assert_true(gmem_recent(gm->written, writes + 2, &page));
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
static void shared_memory_is_the_same_and_others_can_map_it(void **state)
{
    struct gmem *gm = *state;
    uint8_t *host = gm->host;
    uint64_t v = 0x1122334455667788, w = 99, got = 1;
    assert_int_equal(gmem_write(gm, 0x2ff8, &v, 8), 0);
    assert_int_equal(gmem_share(gm, NULL), 0);
    assert_int_equal(gmem_share(gm, NULL), 0);
    assert_ptr_equal(gm->host, host);
    assert_int_equal(gmem_read(gm, 0x2ff8, &got, 8), 0);
    assert_int_equal(got, v);
    uint64_t *other = mmap(NULL, PAGES * GPAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, gm->fd, 0);
    assert_true(other != MAP_FAILED);
    assert_int_equal(other[0x2ff8 / 8], v);
    other[8 * GPAGE_SIZE / 8] = w;
    assert_int_equal(gmem_read(gm, 1ULL << 32, &got, 8), 0);
    assert_int_equal(got, w);
    assert_int_equal(gmem_discard(gm, gm->host + 0x2000, GPAGE_SIZE), GPAGE_SIZE);
    assert_int_equal(other[0x2ff8 / 8], 0);
    assert_int_equal(other[8 * GPAGE_SIZE / 8], w);
    gmem_reset(gm);
    assert_int_equal(other[8 * GPAGE_SIZE / 8], 0);
    assert_int_equal(munmap(other, PAGES * GPAGE_SIZE), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(what_was_written_is_read),
        T(outside_nothing_is_copied),
        T(copies_run_through_touching_slots_but_pins_do_not),
        T(bad_slots_are_refused),
        T(only_writes_to_marked_pages_bump_the_generation),
        T(reset_zeroes_and_makes_old_code_stale),
        T(discarded_pages_read_as_zeroes_and_make_old_code_stale),
        T(a_storer_enters_only_when_it_has_seen_all_marks),
        T(who_begins_to_store_forgets_what_was_marked),
        T(a_mark_is_in_force_when_no_storer_is_inside_from_before),
        T(a_write_to_a_marked_page_calls_every_storer),
        T(the_last_marks_and_writes_can_be_told),
        T(shared_memory_is_the_same_and_others_can_map_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
