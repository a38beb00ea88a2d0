/* SPDX-License-Identifier: MIT */
/*
 * Laws of the error convention and of log limits.
 */
#include "base/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"

static void set_returns_and_stores_the_code(void **state)
{
    (void)state;
    struct error err = { 0 };
    assert_int_equal(error_set(&err, -ENOENT, "file %d", 7), -ENOENT);
    assert_int_equal(err.code, -ENOENT);
    assert_string_equal(err.msg, "file 7");
    assert_int_equal(error_set(NULL, -EINVAL, "nobody listens"), -EINVAL);
}

static void prefix_stands_in_front_and_keeps_the_code(void **state)
{
    (void)state;
    struct error err = { 0 };
    (void)error_set(&err, -EPERM, "no right");
    assert_int_equal(error_prefix(&err, "kernel '%s'", "k"), -EPERM);
    assert_string_equal(err.msg, "kernel 'k': no right");
    assert_int_equal(error_prefix(NULL, "x"), -EIO);
}

static void a_message_is_one_line(void **state)
{
    (void)state;
    struct error err = { 0 };
    (void)error_set(&err, -EIO, "a\nb\x1b[31m\x7f");
    assert_string_equal(err.msg, "a?b?[31m?");
    (void)error_prefix(&err, "f\r");
    assert_string_equal(err.msg, "f?: a?b?[31m?");
}

static void long_messages_are_cut_and_terminated(void **state)
{
    (void)state;
    struct error err = { 0 };
    char big[600];
    memset(big, 'x', sizeof(big) - 1);
    big[sizeof(big) - 1] = '\0';
    (void)error_set(&err, -EIO, "%s", big);
    assert_int_equal(strlen(err.msg), sizeof(err.msg) - 1);
    (void)error_prefix(&err, "%s", "front");
    assert_int_equal(strlen(err.msg), sizeof(err.msg) - 1);
    assert_int_equal(memcmp(err.msg, "front: xxx", 10), 0);
    (void)error_prefix(&err, "%s", big);
    assert_int_equal(strlen(err.msg), sizeof(err.msg) - 1);
}

static void a_long_context_does_not_hide_the_fact(void **state)
{
    (void)state;
    struct error err = { 0 };
    char name[300];
    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    (void)error_set(&err, -ENOENT, "No such file");
    assert_int_equal(error_prefix(&err, "disk '%s'", name), -ENOENT);
    assert_int_equal(strlen(err.msg), sizeof(err.msg) - 1);
    assert_int_equal(memcmp(err.msg, "disk 'nnn", 9), 0);
    assert_string_equal(err.msg + strlen(err.msg) - 20, "nnn...: No such file");
}

static void a_limit_passes_its_burst_only(void **state)
{
    (void)state;
    struct log_limit limit = { 0 };
    unsigned passed = 0;
    for (int i = 0; i < 100; i++)
        passed += log_limit_pass(&limit, 3);
    assert_int_equal(passed, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(set_returns_and_stores_the_code),
        cmocka_unit_test(prefix_stands_in_front_and_keeps_the_code),
        cmocka_unit_test(a_message_is_one_line),
        cmocka_unit_test(long_messages_are_cut_and_terminated),
        cmocka_unit_test(a_long_context_does_not_hide_the_fact),
        cmocka_unit_test(a_limit_passes_its_burst_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
