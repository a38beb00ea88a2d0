/* SPDX-License-Identifier: MIT */
/*
 * Laws of the initramfs builder, over a small guest folder made for the test.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "machine/initramfs.h"

#include <cmocka.h>

#include "support/cpio_reader.h"

#define MODULES "modules/6.1.0-test/"

/* As depmod writes it: dependencies in reverse order of loading. */
static const char modules_dep[] = "kernel/virtio.ko:\n"
                                  "kernel/virtio_ring.ko: kernel/virtio.ko\n"
                                  "kernel/ext4.ko: kernel/jbd2.ko\n"
                                  "kernel/drivers/virtio_blk.ko: kernel/virtio_ring.ko kernel/virtio.ko\n"
                                  "kernel/char/virtio_rng.ko: kernel/virtio_ring.ko kernel/virtio.ko\n";

static const char *const files[][2] = {
    { "busybox", "BUSYBOX" },
    { "applets", "bin/sh\nusr/bin/env\nusr/bin/[\nnowhere/x\n" },
    { MODULES "modules.dep", modules_dep },
    { MODULES "kernel/virtio.ko", "virtio!" },
    { MODULES "kernel/virtio_ring.ko", "virtio_ring!" },
    { MODULES "kernel/drivers/virtio_blk.ko", "virtio_blk!" },
    { MODULES "kernel/char/virtio_rng.ko", "virtio_rng!" },
};
static const char *const dirs[] = { "", "modules", MODULES, MODULES "kernel", MODULES "kernel/drivers", MODULES "kernel/char" };

static char root[64];

static const char *in_root(const char *name)
{
    static char path[256];
    snprintf(path, sizeof(path), "%s/%s", root, name);
    return path;
}

static int setup(void **state)
{
    (void)state;
    strcpy(root, "/tmp/doppel-initramfs-test-XXXXXX");
    assert_non_null(mkdtemp(root));
    for (size_t i = 1; i < ARRAY_SIZE(dirs); i++)
        assert_int_equal(mkdir(in_root(dirs[i]), 0755), 0);
    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        FILE *f = fopen(in_root(files[i][0]), "w");
        assert_non_null(f);
        fputs(files[i][1], f);
        assert_int_equal(fclose(f), 0);
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(files); i++)
        (void)unlink(in_root(files[i][0]));
    for (size_t i = ARRAY_SIZE(dirs); i-- > 0;)
        (void)rmdir(in_root(dirs[i]));
    return 0;
}

/* The entry called `name`; .name is NULL when there is none. */
static struct cpio_entry find(const struct blob *b, const char *name)
{
    struct cpio_entry e;
    size_t at = 0;
    do
        e = cpio_read_entry(b, &at);
    while (strcmp(e.name, name) != 0 && strcmp(e.name, "TRAILER!!!") != 0);
    return strcmp(e.name, name) == 0 ? e : (struct cpio_entry){ 0 };
}

static void expect_file(const struct blob *b, const char *name, unsigned mode, const char *data, size_t len)
{
    struct cpio_entry e = find(b, name);
    if (!e.name)
        fail_msg("no %s", name);
    assert_int_equal(e.mode, mode);
    assert_int_equal(e.size, len);
    assert_memory_equal(e.data, data, len);
}

static struct blob build(bool with_modules, const char *const *command)
{
    const struct initramfs_args args = { .arch = "x86-64", .guest_dir = root, .with_modules = with_modules, .command = command };
    struct error err = { 0 };
    struct blob b = { 0 };
    if (initramfs_build(&args, &b, &err) < 0)
        fail_msg("%s", err.msg);
    return b;
}

static void everything_has_its_place(void **state)
{
    (void)state;
    struct blob b = build(true, NULL);
    expect_file(&b, "bin/busybox", S_IFREG | 0755, "BUSYBOX", 7);
    expect_file(&b, "bin/sh", S_IFLNK | 0777, "/bin/busybox", 12);
    expect_file(&b, "usr/bin/[", S_IFLNK | 0777, "/bin/busybox", 12);
    assert_null(find(&b, "nowhere/x").name); /* no such folder in the skeleton */
    assert_null(find(&b, "lib/doppel/command").name);
    struct cpio_entry init = find(&b, "init");
    assert_int_equal(init.mode, S_IFREG | 0755);
    assert_memory_equal(init.data, "\177ELF", 4);
    struct cpio_entry console = find(&b, "dev/console");
    assert_true(S_ISCHR(console.mode) && console.rmajor == 5 && console.rminor == 1);
    assert_int_equal(find(&b, "tmp").mode, S_IFDIR | 01777);
    blob_done(&b);
}

static void folders_come_before_what_is_in_them(void **state)
{
    (void)state;
    struct blob b = build(true, NULL);
    size_t at = 0;
    for (struct cpio_entry e = cpio_read_entry(&b, &at); strcmp(e.name, "TRAILER!!!") != 0; e = cpio_read_entry(&b, &at)) {
        char parent[256];
        snprintf(parent, sizeof(parent), "%s", e.name);
        char *slash = strrchr(parent, '/');
        if (!slash)
            continue;
        *slash = '\0';
        struct cpio_entry p = find(&b, parent);
        assert_true(p.name && p.name < e.name && S_ISDIR(p.mode));
    }
    blob_done(&b);
}

static void modules_are_listed_in_loading_order_with_the_devices_that_need_them(void **state)
{
    (void)state;
    static const char order[] = "* /lib/modules/virtio.ko\n* /lib/modules/virtio_ring.ko\n0x1042 /lib/modules/virtio_blk.ko\n"
                                "0x1044 /lib/modules/virtio_rng.ko\n";
    struct blob b = build(true, NULL);
    expect_file(&b, "lib/doppel/modules", S_IFREG | 0644, order, sizeof(order) - 1);
    expect_file(&b, "lib/modules/virtio_ring.ko", S_IFREG | 0644, "virtio_ring!", 12);
    assert_null(find(&b, "lib/modules/ext4.ko").name);
    blob_done(&b);
    b = build(false, NULL);
    assert_null(find(&b, "lib/doppel/modules").name);
    blob_done(&b);
}

static void command_is_stored_with_its_nuls(void **state)
{
    (void)state;
    static const char *const command[] = { "sh", "-c", "a  b\nc", "", NULL };
    struct blob b = build(false, command);
    expect_file(&b, "lib/doppel/command", S_IFREG | 0600, "sh\0-c\0a  b\nc\0", 14);
    blob_done(&b);
}

static void a_network_is_described_for_init_and_the_resolver(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        const struct initramfs_args args = {
            .arch = "x86-64", .guest_dir = root, .network = "eth0 1.2.3.4", .nameserver = i ? "1.2.3.5" : NULL
        };
        struct blob b;
        assert_int_equal(initramfs_build(&args, &b, NULL), 0);
        expect_file(&b, "lib/doppel/network", S_IFREG | 0644, "eth0 1.2.3.4", 12);
        if (i)
            expect_file(&b, "etc/resolv.conf", S_IFREG | 0644, "nameserver 1.2.3.5\n", 19);
        else
            assert_null(find(&b, "etc/resolv.conf").name);
        blob_done(&b);
    }
    struct blob b = build(false, NULL);
    assert_null(find(&b, "lib/doppel/network").name);
    assert_int_equal(find(&b, "etc/udhcpc/default.script").mode, S_IFREG | 0755);
    blob_done(&b);
}

static void command_that_is_too_long_is_refused(void **state)
{
    (void)state;
    char *word = malloc(INITRAMFS_COMMAND_MAX + 1);
    memset(word, 'x', INITRAMFS_COMMAND_MAX);
    word[INITRAMFS_COMMAND_MAX] = '\0';
    const char *const command[] = { word, NULL };
    const struct initramfs_args args = { .arch = "x86-64", .guest_dir = root, .command = command };
    struct error err = { 0 };
    struct blob b;
    assert_int_equal(initramfs_build(&args, &b, &err), -E2BIG);
    free(word);
}

static void shares_and_the_commands_folder_are_stored(void **state)
{
    (void)state;
    static const char *const command[] = { "true", NULL };
    static const struct initramfs_share share[] = { { "t", "/a", false }, { "u", "/a/b", true } };
    const struct initramfs_args args = {
        .arch = "x86-64", .guest_dir = root, .command = command, .share = share, .nr_shares = 2, .cwd = "/a/c"
    };
    struct error err = { 0 };
    struct blob b = { 0 };
    assert_int_equal(initramfs_build(&args, &b, &err), 0);
    expect_file(&b, "lib/doppel/shares", S_IFREG | 0600, "t\0/a\0\0u\0/a/b\0ro\0", 16);
    expect_file(&b, "lib/doppel/cwd", S_IFREG | 0600, "/a/c", 4);
    blob_done(&b);
}

static void missing_files_are_named(void **state)
{
    (void)state;
    static const char *const needed[] = { "busybox", "applets", MODULES "modules.dep", MODULES "kernel/virtio_ring.ko" };
    const struct initramfs_args args = { .arch = "x86-64", .guest_dir = root, .with_modules = true };
    for (size_t i = 0; i < ARRAY_SIZE(needed); i++) {
        struct error err = { 0 };
        struct blob b;
        teardown(NULL);
        setup(NULL);
        assert_int_equal(unlink(in_root(needed[i])), 0);
        assert_int_equal(initramfs_build(&args, &b, &err), -ENOENT);
        assert_non_null(strstr(err.msg, needed[i]));
        assert_non_null(strstr(err.msg, "make guests"));
    }
}

#define LAW(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LAW(everything_has_its_place),
        LAW(folders_come_before_what_is_in_them),
        LAW(modules_are_listed_in_loading_order_with_the_devices_that_need_them),
        LAW(command_is_stored_with_its_nuls),
        LAW(a_network_is_described_for_init_and_the_resolver),
        LAW(command_that_is_too_long_is_refused),
        LAW(shares_and_the_commands_folder_are_stored),
        LAW(missing_files_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
