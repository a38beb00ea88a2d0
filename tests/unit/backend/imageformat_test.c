/* SPDX-License-Identifier: MIT */
/*
 * Laws of finding out what a disk is: by its header, unless it is named, and never such that a guest could have another file
 * read.
 */
#include "backend/imageformat.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "backend/blockdev.h"

enum { HEADER = 104, VERSION = 7, BACKING = 15, FEATURES = 79 }; /* lowest bytes of big-endian fields */

static char path[] = "/tmp/doppel-test-XXXXXX";

static int setup(void **state)
{
    (void)state;
    int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int teardown(void **state)
{
    (void)state;
    return unlink(path);
}

static void write_header(const uint8_t *header, size_t len)
{
    assert_int_equal(truncate(path, 0), 0);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(header, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
}

static int find(const char *format, enum imageformat *ret_format, const char **ret_name, struct error *err)
{
    const struct blockdev_config config = { .path = path, .format = format };
    return imageformat_find(&config, ret_format, ret_name, err);
}

static void expect_plain(const char *format)
{
    enum imageformat found = IMAGEFORMAT_URI;
    const char *name;
    assert_int_equal(find(format, &found, &name, NULL), 0);
    assert_int_equal(found, IMAGEFORMAT_PLAIN);
}

static void expect_served(const char *format, const char *want)
{
    enum imageformat found = IMAGEFORMAT_URI;
    const char *name = NULL;
    assert_int_equal(find(format, &found, &name, NULL), 0);
    assert_int_equal(found, IMAGEFORMAT_SERVED);
    assert_string_equal(name, want);
}

static void only_the_magic_makes_a_qcow2_image(void **state)
{
    (void)state;
    uint8_t h[HEADER] = { 'Q', 'F', 'I', 0xfb, [VERSION] = 3 };
    expect_plain(NULL); /* empty */
    for (size_t len = 0; len <= HEADER; len++) {
        write_header(h, len);
        len < 8 ? expect_plain(NULL) : expect_served(NULL, "qcow2");
    }
    h[VERSION] = 1; /* another format, which nobody has any more */
    write_header(h, HEADER);
    expect_plain(NULL);
    h[VERSION] = 2;
    for (unsigned i = 0; i < 4; i++) {
        h[i] ^= 0x20;
        write_header(h, HEADER);
        expect_plain(NULL);
        h[i] ^= 0x20;
    }
    write_header(h, HEADER);
    expect_served(NULL, "qcow2");
}

static void what_is_named_counts(void **state)
{
    (void)state;
    const uint8_t h[HEADER] = { 'Q', 'F', 'I', 0xfb, [VERSION] = 3 };
    write_header(h, HEADER);
    expect_plain("raw");
    expect_served("vmdk", "vmdk");
    write_header(h + 8, HEADER - 8);
    expect_served("qcow2", "qcow2");
}

static void other_files_are_not_opened_unasked(void **state)
{
    (void)state;
    static const unsigned places[][2] = { { BACKING, 2 }, { BACKING - 7, 2 }, { BACKING, 3 }, { FEATURES, 3 } };
    for (unsigned i = 0; i < 4; i++) {
        uint8_t h[HEADER] = { 'Q', 'F', 'I', 0xfb, [VERSION] = (uint8_t)places[i][1] };
        enum imageformat found;
        const char *name;
        struct error err;
        h[places[i][0]] = 4;
        write_header(h, HEADER);
        assert_int_equal(find(NULL, &found, &name, &err), -EINVAL);
        assert_non_null(strstr(err.msg, "format=qcow2"));
        expect_served("qcow2", "qcow2");
        expect_plain("raw");
    }
    uint8_t h[HEADER] = { 'Q', 'F', 'I', 0xfb, [VERSION] = 2, [FEATURES] = 4 }; /* version 2 has no features there */
    write_header(h, HEADER);
    expect_served(NULL, "qcow2");
}

static void uris_are_told_from_files(void **state)
{
    (void)state;
    enum imageformat found = IMAGEFORMAT_PLAIN;
    const char *name;
    struct blockdev_config config = { .path = "nbd+unix:///x?socket=y" };
    assert_int_equal(imageformat_find(&config, &found, &name, NULL), 0);
    assert_int_equal(found, IMAGEFORMAT_URI);
    config.format = "raw";
    assert_int_equal(imageformat_find(&config, &found, &name, NULL), -EINVAL);
    assert_false(imageformat_is_uri("./nbd://x") || imageformat_is_uri("nbd:x") || imageformat_is_uri(""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_the_magic_makes_a_qcow2_image),
        cmocka_unit_test(what_is_named_counts),
        cmocka_unit_test(other_files_are_not_opened_unasked),
        cmocka_unit_test(uris_are_told_from_files),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
