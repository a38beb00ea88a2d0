/* SPDX-License-Identifier: MIT */
/*
 * Laws of the escape keys.
 */
#include "cli/terminal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void count(void *opaque)
{
    ++*(int *)opaque;
}

static void escapes_are_taken_out_wherever_the_input_is_cut(void **state)
{
    (void)state;
    static const char in[] = "ab\x01\x01"
                             "c\x01x"
                             "d\x01q"
                             "e";
    static const char out[] = "ab\x01"
                              "cde";
    for (size_t cut = 0; cut <= sizeof(in) - 1; cut++) {
        int quits = 0;
        struct escape_keys keys = { .quit = count, .opaque = &quits };
        uint8_t a[32], b[32], all[64];
        memcpy(a, in, cut);
        memcpy(b, in + cut, sizeof(in) - 1 - cut);
        size_t n = escape_keys_filter(&keys, a, cut);
        memcpy(all, a, n);
        size_t m = escape_keys_filter(&keys, b, sizeof(in) - 1 - cut);
        memcpy(all + n, b, m);
        assert_int_equal(n + m, sizeof(out) - 1);
        assert_memory_equal(all, out, n + m);
        assert_int_equal(quits, 1);
    }
}

static void other_bytes_pass_unchanged(void **state)
{
    (void)state;
    int quits = 0;
    struct escape_keys keys = { .quit = count, .opaque = &quits };
    uint8_t data[256], want[256];
    size_t n = 0;
    for (int i = 0; i < 256; i++)
        if (i != 1)
            data[n++] = (uint8_t)i;
    memcpy(want, data, n);
    assert_int_equal(escape_keys_filter(&keys, data, n), n);
    assert_memory_equal(data, want, n);
    assert_int_equal(quits, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(escapes_are_taken_out_wherever_the_input_is_cut),
        cmocka_unit_test(other_bytes_pass_unchanged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
