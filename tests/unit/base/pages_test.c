/* SPDX-License-Identifier: MIT */
/*
 * Memory in large pages: aligned, zero, ours alone, and no address space without end.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/pages.h"

enum { LARGE = 2 << 20 };

static void pages_are_aligned_zeroes(void **state)
{
    const size_t sizes[] = { 1, 4096, LARGE - 1, LARGE, LARGE + 1, 5 * LARGE };
    enum { NR = sizeof(sizes) / sizeof(sizes[0]) };
    uint8_t *p[NR];
    (void)state;
    for (unsigned k = 0; k < NR; k++) {
        p[k] = pages_new(sizes[k]);
        assert_non_null(p[k]);
        assert_int_equal((uintptr_t)p[k] % LARGE, 0);
        assert_int_equal(p[k][0] | p[k][sizes[k] - 1], 0);
        memset(p[k], (int)k + 1, sizes[k]);
    }
    for (unsigned k = 0; k < NR; k++) {
        assert_int_equal(p[k][0], k + 1);
        assert_int_equal(p[k][sizes[k] - 1], k + 1);
        pages_free(p[k], sizes[k]);
    }
    pages_free(NULL, LARGE);
}

static void too_much_is_refused(void **state)
{
    (void)state;
    assert_null(pages_new(0));
    assert_null(pages_new(SIZE_MAX));
    assert_null(pages_new(SIZE_MAX - LARGE));
    assert_null(pages_new(SIZE_MAX / 2));
}

static void what_is_freed_can_be_had_again(void **state)
{
    (void)state;
    for (unsigned k = 0; k < 100; k++) { /* 100 TiB in all */
        void *p = pages_new((size_t)1 << 40);
        assert_non_null(p);
        pages_free(p, (size_t)1 << 40);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_are_aligned_zeroes),
        cmocka_unit_test(too_much_is_refused),
        cmocka_unit_test(what_is_freed_can_be_had_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
