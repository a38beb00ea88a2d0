/* SPDX-License-Identifier: MIT */
/*
 * Laws of decoded blocks: what is known of where execution went on from one.
 */
#include "../../../support/bare_x86.h"

#include "isa/x86/blocks.h"

/* jz +2; nop; jmp $; nop; jmp $ */
static const uint8_t FORK[] = { 0x74, 0x03, 0x90, 0xeb, 0xfe, 0x90, 0xeb, 0xfe };
enum { START = BARE_CODE, NEXT = BARE_CODE + 2, TAKEN = BARE_CODE + 5, BYTES = 1 << 20 };

struct way {
    struct bare b;
    struct x86_blocks *blocks;
};

static struct x86_block *go(struct way *w, uint64_t rip)
{
    w->b.c->rip = rip;
    struct x86_block *found = x86_blocks_find(w->blocks, w->b.c);
    assert_non_null(found);
    return found;
}

static unsigned times(const struct x86_block *from, uint64_t lin)
{
    for (unsigned k = 0; k < BLOCK_SUCCESSORS; k++)
        if (from->after[k].block && from->after[k].lin == lin)
            return from->times[k];
    return 0;
}

static int setup(void **state)
{
    static struct way w;
    bare_init(&w.b);
    bare_long(&w.b);
    assert_int_equal(gmem_write(&w.b.vm.gmem, BARE_CODE, FORK, sizeof(FORK)), 0);
    w.blocks = x86_blocks_new(BYTES, 2);
    assert_non_null(w.blocks);
    *state = &w;
    return 0;
}

static int teardown(void **state)
{
    struct way *w = *state;
    x86_blocks_free(w->blocks);
    bare_done(&w->b);
    return 0;
}

static void each_way_on_is_counted(void **state)
{
    struct way *w = *state;
    struct x86_block *start = NULL;
    for (unsigned k = 0; k < 7; k++) {
        start = go(w, START);
        go(w, k % 3 ? NEXT : TAKEN);
    }
    assert_int_equal(times(start, NEXT), 4);
    assert_int_equal(times(start, TAKEN), 3);
}

static void what_is_found_after_losing_track_is_no_successor(void **state)
{
    struct way *w = *state;
    struct x86_block *start = go(w, START);
    go(w, NEXT);
    go(w, START);
    x86_blocks_lose_track(w->blocks);
    go(w, TAKEN);
    assert_int_equal(times(start, NEXT), 1);
    assert_int_equal(times(start, TAKEN), 0);
}

static void the_count_stays_at_its_end(void **state)
{
    struct way *w = *state;
    struct x86_block *start = NULL;
    for (unsigned k = 0; k < 300; k++) {
        start = go(w, START);
        go(w, NEXT);
    }
    assert_int_equal(times(start, NEXT), UINT8_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_way_on_is_counted, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_found_after_losing_track_is_no_successor, setup, teardown),
        cmocka_unit_test_setup_teardown(the_count_stays_at_its_end, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
