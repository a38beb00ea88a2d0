/* SPDX-License-Identifier: MIT */
/*
 * Laws of the escape keys.
 */
#include "cli/terminal.h"

#include "cli/monitor.h"

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

static char entered[4][MONITOR_LINE];
static unsigned nr_entered;

static void take_line(void *opaque, const char *line)
{
    (void)opaque;
    (void)strcpy(entered[nr_entered++ % 4], line);
}

static int refuse(void *opaque, const struct action *action, struct reply *ret_reply, struct error *err)
{
    (void)ret_reply;
    ++*(int *)opaque;
    return error_set(err, -1, "%s %d", action_name(action->id), action->force);
}

static void the_monitor_takes_what_is_typed_until_it_is_left(void **state)
{
    (void)state;
    int quits = 0, performed = 0;
    struct monitor m = { .submit = take_line };
    struct escape_keys keys = { .quit = count, .opaque = &quits, .monitor = &m };
    uint8_t data[] = "a\x01"
                     "cinx\x7f"
                     "fo\r\x15nope\x15pause\rback\rb\x01"
                     "c\x01\x01\x01xstop force\r\x01"
                     "cd";
    size_t n = escape_keys_filter(&keys, data, sizeof(data) - 1);
    assert_int_equal(n, 3);
    assert_memory_equal(data, "abd", 3);
    assert_int_equal(nr_entered, 3);
    assert_string_equal(entered[0], "info");
    assert_string_equal(entered[1], "pause");
    assert_string_equal(entered[2], "stop force");
    assert_int_equal(quits, 1);
    static const char *const lines[] = { "info", "stop force", "console",      "nonsense",  "help",
                                         "",     "balloon",    "balloon 512M", "balloon x", "balloon 0M" };
    for (unsigned i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
        monitor_execute(&m, lines[i], refuse, &performed);
    assert_int_equal(performed, 4);
}

static void a_line_of_any_length_is_cut(void **state)
{
    (void)state;
    struct monitor m = { .submit = take_line, .active = true };
    for (int i = 0; i < 500; i++)
        monitor_key(&m, (uint8_t)(i % 256 == '\r' || i % 256 == '\n' || i % 256 == 4 ? 'x' : i));
    assert_true(m.len < MONITOR_LINE);
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
        cmocka_unit_test(the_monitor_takes_what_is_typed_until_it_is_left),
        cmocka_unit_test(a_line_of_any_length_is_cut),
        cmocka_unit_test(other_bytes_pass_unchanged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
