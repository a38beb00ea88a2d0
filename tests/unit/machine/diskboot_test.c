/* SPDX-License-Identifier: MIT */
/*
 * Laws of kernels from disks: which file is taken, from which partition, and what damage leads to. File systems are made by
 * mke2fs.
 */
#include "machine/diskboot.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/checked.h"
#include "support/memory_disk.h"

enum { FS = 4 << 20, PART_AT = 1 << 20, DISK = PART_AT + FS + (1 << 20), SB = 1024 };
enum { OLD = 10, NEW, INITRD, PLAIN }; /* seeds of files */
enum { KERNEL_SIZE = 700001, INITRD_SIZE = 300007 };

static char folder[64];
static struct memory_disk disk;
static struct diskboot boot;
static struct error err;

static int setup(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/doppel-tree-XXXXXX");
    boot = (struct diskboot){ 0 };
    err = (struct error){ 0 };
    disk = memory_disk(DISK);
    return mkdtemp(folder) ? 0 : -1;
}

static int teardown(void **state)
{
    char command[128];
    (void)state;
    diskboot_done(&boot);
    free(disk.data);
    snprintf(command, sizeof(command), "rm -rf %s", folder);
    return system(command);
}

static void two_kernels(void)
{
    memory_disk_file(folder, "boot/vmlinuz-6.1.0-9-amd64", 5000, OLD);
    memory_disk_file(folder, "boot/initrd.img-6.1.0-9-amd64", 5000, OLD);
    memory_disk_file(folder, "boot/vmlinuz-6.1.0-40-amd64", KERNEL_SIZE, NEW);
    memory_disk_file(folder, "boot/initrd.img-6.1.0-40-amd64", INITRD_SIZE, INITRD);
}

static void put_fs(size_t at, const char *options)
{
    if (!memory_disk_mke2fs(&disk, at, FS, folder, options)) {
        print_message("skipped: mke2fs does not make a file system here\n");
        skip();
    }
}

static void expect_newest(unsigned partition)
{
    if (diskboot_load(&disk.head, &boot, &err) < 0)
        fail_msg("%s", err.msg);
    assert_string_equal(boot.kernel_name, "/boot/vmlinuz-6.1.0-40-amd64");
    assert_true(memory_disk_file_is(boot.kernel.data, boot.kernel.len, KERNEL_SIZE, NEW));
    assert_true(memory_disk_file_is(boot.initrd.data, boot.initrd.len, INITRD_SIZE, INITRD));
    assert_int_equal(boot.partition, partition);
    diskboot_done(&boot);
    boot = (struct diskboot){ 0 };
}

static void expect_error(int code)
{
    assert_int_equal(diskboot_load(&disk.head, &boot, &err), code);
    assert_int_equal(err.code, code);
    assert_true(err.msg[0]);
    assert_null(boot.kernel.data);
}

static void newest_release_and_its_initrd_from_every_kind_of_file_system(void **state)
{
    static const char *const kinds[] = { "-t ext4 -b 4096",
                                         "-t ext4 -b 1024",
                                         "-t ext2 -b 1024",
                                         "-t ext3 -b 2048",
                                         "-t ext4 -O ^64bit,^metadata_csum",
                                         "-t ext4 -I 256 -O inline_data,^metadata_csum" };
    (void)state;
    two_kernels();
    for (unsigned i = 0; i < ARRAY_SIZE(kinds); i++) {
        put_fs(0, kinds[i]);
        expect_newest(0);
    }
}

static void a_kernel_that_is_not_compressed_is_called_vmlinux(void **state)
{
    (void)state;
    memory_disk_file(folder, "boot/vmlinuz-6.1.0-9-amd64", 5000, OLD);
    memory_disk_file(folder, "boot/vmlinux-6.12-riscv64", KERNEL_SIZE, NEW);
    memory_disk_file(folder, "boot/initrd.img-6.12-riscv64", INITRD_SIZE, INITRD);
    put_fs(0, "-t ext4");
    assert_int_equal(diskboot_load(&disk.head, &boot, &err), 0);
    assert_string_equal(boot.kernel_name, "/boot/vmlinux-6.12-riscv64");
    assert_true(memory_disk_file_is(boot.kernel.data, boot.kernel.len, KERNEL_SIZE, NEW));
    assert_true(memory_disk_file_is(boot.initrd.data, boot.initrd.len, INITRD_SIZE, INITRD));
}

static void of_two_kernels_of_a_release_the_compressed_one_is_taken(void **state)
{
    (void)state;
    two_kernels();
    memory_disk_file(folder, "boot/vmlinux-6.1.0-40-amd64", 5000, OLD);
    put_fs(0, "-t ext4");
    expect_newest(0);
}

static void a_large_disk_is_read_in_few_steps(void **state)
{
    (void)state;
    two_kernels();
    put_fs(0, "-t ext4 -b 1024");
    expect_newest(0);
    assert_in_range(disk.reads, 1, 24);
}

static void links_in_the_root_are_taken_when_no_release_is_named(void **state)
{
    char path[128];
    (void)state;
    memory_disk_file(folder, "boot/kernel", KERNEL_SIZE, PLAIN);
    snprintf(path, sizeof(path), "%s/vmlinuz", folder);
    assert_int_equal(symlink("boot/kernel", path), 0);
    put_fs(0, "-t ext4");
    assert_int_equal(diskboot_load(&disk.head, &boot, &err), 0);
    assert_true(memory_disk_file_is(boot.kernel.data, boot.kernel.len, KERNEL_SIZE, PLAIN));
    assert_int_equal(boot.initrd.len, 0);
}

static void links_that_go_in_circles_or_nowhere_are_errors(void **state)
{
    char path[128];
    (void)state;
    memory_disk_file(folder, "boot/x", 10, PLAIN);
    snprintf(path, sizeof(path), "%s/boot/vmlinuz-1", folder);
    assert_int_equal(symlink("vmlinuz-1", path), 0);
    put_fs(0, "-t ext4");
    expect_error(-EUCLEAN);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink("nowhere", path), 0);
    put_fs(0, "-t ext4");
    expect_error(-ENOENT);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    put_fs(0, "-t ext4");
    expect_error(-EINVAL);
}

/* ---- partitions ---- */

static void poke32(size_t at, uint32_t v)
{
    memcpy(disk.data + at, &v, sizeof(v));
}

static void mbr_entry(size_t sector, unsigned i, uint8_t type, uint32_t start, uint32_t sectors)
{
    const size_t at = sector * 512 + 446 + (size_t)i * 16;
    disk.data[at + 4] = type;
    poke32(at + 8, start);
    poke32(at + 12, sectors);
    disk.data[sector * 512 + 510] = 0x55;
    disk.data[sector * 512 + 511] = 0xaa;
}

static void first_linux_partition_of_an_mbr(void **state)
{
    (void)state;
    two_kernels();
    put_fs(PART_AT, "-t ext4");
    mbr_entry(0, 0, 0x82, 8, 8);
    mbr_entry(0, 1, 0x83, 16, 8); /* of Linux, but no file system */
    mbr_entry(0, 2, 0x83, PART_AT / 512, FS / 512);
    expect_newest(3);
}

static void logical_partitions_count_from_5(void **state)
{
    (void)state;
    two_kernels();
    put_fs(PART_AT, "-t ext4");
    mbr_entry(0, 1, 0x05, 64, DISK / 512 - 64);
    mbr_entry(64, 0, 0x82, 8, 8);
    mbr_entry(64, 1, 0x05, 36, 100);
    mbr_entry(100, 0, 0x83, PART_AT / 512 - 100, FS / 512);
    expect_newest(6);
    mbr_entry(100, 0, 0x82, 8, 8);
    mbr_entry(100, 1, 0x05, 36, 100); /* points at itself */
    expect_error(-ENOENT);
}

static void gpt_partitions_of_both_types(void **state)
{
    static const uint8_t data[] = {
        0xaf, 0x3d, 0xc6, 0x0f, 0x83, 0x84, 0x72, 0x47, 0x8e, 0x79, 0x3d, 0x69, 0xd8, 0x47, 0x7d, 0xe4
    };
    static const uint8_t root[] = {
        0xe3, 0xbc, 0x68, 0x4f, 0xcd, 0xe8, 0xb1, 0x4d, 0x96, 0xe7, 0xfb, 0xca, 0xf9, 0x84, 0xb7, 0x09
    };
    const size_t e = 1024 + 2 * 128;
    const uint64_t first = PART_AT / 512, last = (PART_AT + FS) / 512 - 1;
    (void)state;
    two_kernels();
    put_fs(PART_AT, "-t ext4");
    mbr_entry(0, 0, 0xee, 1, DISK / 512 - 1);
    memcpy(disk.data + 512, "EFI PART", 8);
    poke32(512 + 72, 2);
    poke32(512 + 80, 128);
    poke32(512 + 84, 128);
    memcpy(disk.data + e + 32, &first, 8);
    memcpy(disk.data + e + 40, &last, 8);
    memcpy(disk.data + e, data, 16);
    expect_newest(3);
    memcpy(disk.data + e, root, 16);
    expect_newest(3);
    memset(disk.data + e + 40, 0xff, 8); /* beyond the disk */
    expect_error(-ENOENT);
    poke32(512 + 80, 0xffffffff);
    poke32(512 + 84, 0xffffffff);
    expect_error(-ENOENT);
}

/* ---- what cannot be booted ---- */

static void a_disk_without_linux_is_told_from_a_damaged_one(void **state)
{
    (void)state;
    expect_error(-ENOENT); /* blank */
    disk.head.size = 512;
    expect_error(-ENOENT);
    disk.head.size = DISK;
    memory_disk_file(folder, "data", 10000, PLAIN);
    put_fs(0, "-t ext4");
    expect_error(-ENOENT);
    memory_disk_file(folder, "boot/vmlinuz-1", 0, PLAIN);
    put_fs(0, "-t ext4");
    expect_error(-EINVAL);
}

static void damage_is_one_error(void **state)
{
    static const struct {
        size_t at;
        uint32_t value;
    } damages[] = { { 4, 1 << 30 }, { 24, 200 }, { 24, 6 }, { 32, 1 }, { 40, 0 }, { 88, 0xffff }, { 96, 0xffffffff } };
    (void)state;
    two_kernels();
    for (unsigned i = 0; i < ARRAY_SIZE(damages); i++) {
        put_fs(0, "-t ext4 -b 4096");
        poke32(SB + damages[i].at, damages[i].value);
        expect_error(-EUCLEAN);
    }
    put_fs(0, "-t ext4 -b 4096");
    memset(disk.data + 4096, 0, FS - 4096);
    expect_error(-EUCLEAN);
}

static void a_cut_or_failing_disk_is_an_error(void **state)
{
    (void)state;
    two_kernels();
    put_fs(0, "-t ext4");
    disk.head.size = FS / 2;
    expect_error(-EUCLEAN);
    disk.head.size = DISK;
    disk.fail_with = -EIO;
    expect_error(-EIO);
}

int main(void)
{
#define LAW(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        LAW(newest_release_and_its_initrd_from_every_kind_of_file_system),
        LAW(a_kernel_that_is_not_compressed_is_called_vmlinux),
        LAW(of_two_kernels_of_a_release_the_compressed_one_is_taken),
        LAW(a_large_disk_is_read_in_few_steps),
        LAW(links_in_the_root_are_taken_when_no_release_is_named),
        LAW(links_that_go_in_circles_or_nowhere_are_errors),
        LAW(first_linux_partition_of_an_mbr),
        LAW(logical_partitions_count_from_5),
        LAW(gpt_partitions_of_both_types),
        LAW(a_disk_without_linux_is_told_from_a_damaged_one),
        LAW(damage_is_one_error),
        LAW(a_cut_or_failing_disk_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
