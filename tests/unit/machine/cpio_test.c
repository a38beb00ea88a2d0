/* SPDX-License-Identifier: MIT */
/*
 * Laws of the newc writer, checked with a reader written from the format's description.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/checked.h"
#include "machine/cpio.h"

#include <cmocka.h>

#include "support/cpio_reader.h"

static void every_kind_of_entry_is_read_back(void **state)
{
    (void)state;
    struct cpio c;
    struct blob b;
    size_t at = 0;
    cpio_init(&c, 1 << 20);
    assert_int_equal(cpio_add_dir(&c, "bin", 0755, NULL), 0);
    assert_int_equal(cpio_add_file(&c, "bin/x", 0640, "abcde", 5, NULL), 0);
    assert_int_equal(cpio_add_symlink(&c, "bin/sh", "/bin/busybox", NULL), 0);
    assert_int_equal(cpio_add_char_device(&c, "console", 0600, 5, 1, NULL), 0);
    assert_int_equal(cpio_add_file(&c, "empty", 0644, NULL, 0, NULL), 0);
    assert_int_equal(cpio_finish(&c, &b, NULL), 0);
    struct cpio_entry e[6];
    for (unsigned i = 0; i < 6; i++)
        e[i] = cpio_read_entry(&b, &at);
    assert_true(e[0].mode == (S_IFDIR | 0755) && e[0].nlink == 2 && !strcmp(e[0].name, "bin"));
    assert_true(e[1].mode == (S_IFREG | 0640) && e[1].size == 5 && !memcmp(e[1].data, "abcde", 5));
    assert_true(e[2].mode == (S_IFLNK | 0777) && e[2].size == 12 && !memcmp(e[2].data, "/bin/busybox", 12));
    assert_true(e[3].mode == (S_IFCHR | 0600) && e[3].rmajor == 5 && e[3].rminor == 1 && e[3].size == 0);
    assert_true(e[4].mode == (S_IFREG | 0644) && e[4].size == 0);
    assert_string_equal(e[5].name, "TRAILER!!!");
    assert_int_equal(b.len % 512, 0);
    for (; at < b.len; at++)
        assert_int_equal(b.data[at], 0);
    blob_done(&b);
}

static void inode_numbers_differ_and_checksums_are_zero(void **state)
{
    (void)state;
    struct cpio c;
    struct blob b;
    size_t at = 0;
    cpio_init(&c, 1 << 20);
    for (unsigned i = 0; i < 20; i++) {
        char name[8];
        snprintf(name, sizeof(name), "f%u", i);
        assert_int_equal(cpio_add_file(&c, name, 0644, "twenty bytes of data", i, NULL), 0);
    }
    assert_int_equal(cpio_finish(&c, &b, NULL), 0);
    unsigned last = 0;
    for (unsigned i = 0; i < 20; i++) {
        struct cpio_entry e = cpio_read_entry(&b, &at);
        assert_true(e.ino > last && e.check == 0);
        last = e.ino;
    }
    blob_done(&b);
}

static void bad_names_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = { "", "/abs", "dir/" };
    struct cpio c;
    char *longest = malloc(CPIO_NAME_MAX + 2);
    memset(longest, 'a', CPIO_NAME_MAX + 1);
    longest[CPIO_NAME_MAX + 1] = '\0';
    cpio_init(&c, 1 << 20);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(cpio_add_dir(&c, bad[i], 0755, NULL), -EINVAL);
    assert_int_equal(cpio_add_dir(&c, longest, 0755, NULL), -EINVAL);
    assert_int_equal(cpio_add_dir(&c, longest + 1, 0755, NULL), 0);
    assert_int_equal(cpio_add_symlink(&c, "l", "", NULL), -EINVAL);
    free(longest);
    cpio_done(&c);
}

static void archive_limit_is_kept(void **state)
{
    (void)state;
    static const uint8_t data[4096];
    struct cpio c;
    struct error err = { 0 };
    cpio_init(&c, 4096);
    assert_int_equal(cpio_add_file(&c, "big", 0644, data, sizeof(data), &err), -E2BIG);
    assert_non_null(strstr(err.msg, "big"));
    cpio_done(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_of_entry_is_read_back),
        cmocka_unit_test(inode_numbers_differ_and_checksums_are_zero),
        cmocka_unit_test(bad_names_are_refused),
        cmocka_unit_test(archive_limit_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
