/* SPDX-License-Identifier: MIT */
/*
 * Host code memory: what is made a large page keeps what was in it, in both views.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "emit/codebuf.h"

enum { LARGE = 2 << 20, SIZE = 3 * LARGE + 4096 };

static void large_pages_keep_what_is_in_them(void **state)
{
    struct codebuf cb;
    (void)state;
    assert_int_equal(codebuf_init(&cb, SIZE, NULL, NULL), 0);
    codebuf_goes(&cb, 100, 100);
    for (size_t at = 0; at < SIZE; at += 1000) {
        size_t from = cb.pos;
        cb.pos = at;
        codebuf_put4(&cb, (uint32_t)at);
        codebuf_goes(&cb, from, cb.pos); /* also into the last page, which is no large one */
    }
    assert_false(cb.failed);
    for (size_t at = 0; at < SIZE; at += 1000) {
        uint32_t rw, rx;
        memcpy(&rw, cb.rw + at, 4);
        memcpy(&rx, cb.rx + at, 4);
        assert_int_equal(rw, at);
        assert_int_equal(rx, at);
    }
    codebuf_done(&cb);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(large_pages_keep_what_is_in_them) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
