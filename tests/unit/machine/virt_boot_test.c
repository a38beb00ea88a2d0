/* SPDX-License-Identifier: MIT */
/*
 * An Image that is read to where it belongs is there as one that was read before; other files are left to who knows them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "machine/virt_boot.h"

enum { RAM = 16 << 20, OFFSET = 2 << 20, LEN = 3 * 1000 * 1000 + 7, ROOM = 5 << 20, HEADER = 64 };
static const gpa_t BASE = 0x80000000;

static char path[] = "/tmp/doppel-virt-boot-XXXXXX";
static uint8_t image[LEN];
static struct gmem gm;

static void put8(unsigned at, uint64_t v)
{
    memcpy(image + at, &v, sizeof(v));
}

static void write_file(size_t len)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(image, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
}

static int set_up(void **state)
{
    (void)state;
    for (unsigned k = 0; k < LEN; k++)
        image[k] = (uint8_t)(k * 2654435761U >> 11);
    memset(image, 0, HEADER);
    put8(8, OFFSET);
    put8(16, ROOM);
    memcpy(image + 56, "RSC\x05", 4);
    return gmem_init(&gm, RAM, NULL) < 0 || gmem_add_slot(&gm, BASE, RAM, 0, NULL) < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    gmem_done(&gm);
    return 0;
}

static int load(struct virt_kernel *ret_kernel)
{
    struct error err = { 0 };
    *ret_kernel = (struct virt_kernel){ .entry = 1 };
    return virt_load_image_file(&gm, BASE, path, ret_kernel, &err);
}

static void it_is_where_it_belongs(void **state)
{
    struct virt_kernel file, memory;
    (void)state;
    write_file(LEN);
    memset(gm.host, 0xaa, RAM);
    assert_int_equal(load(&file), 1);
    assert_int_equal(virt_load_kernel(&gm, BASE, false, image, LEN, &memory, NULL), 0);
    assert_int_equal(file.entry, BASE + OFFSET);
    assert_int_equal(file.entry, memory.entry);
    assert_int_equal(file.extent.start, memory.extent.start);
    assert_int_equal(file.extent.end, memory.extent.end);
    assert_true(file.is_linux);
    memset(gm.host, 0xaa, RAM);
    assert_int_equal(load(&file), 1);
    assert_memory_equal(gm.host + OFFSET, image, LEN);
    for (unsigned k = LEN; k < ROOM; k++)
        assert_int_equal(gm.host[OFFSET + k], 0);
    assert_int_equal(gm.host[OFFSET - 1], 0xaa);
    assert_int_equal(gm.host[OFFSET + ROOM], 0xaa);
}

static void other_files_are_left_alone(void **state)
{
    static const struct {
        unsigned at;
        const char *bytes;
        size_t len;
    } other[] = { { 56, "RSC\x04", 4 },
                  { 0, "\x1f\x8b\x08", 3 },
                  { 0,
                    "\x7f"
                    "ELF",
                    4 },
                  { 0, "MZ\0\0zimg", 8 } };
    struct virt_kernel kernel;
    (void)state;
    for (unsigned k = 0; k < sizeof(other) / sizeof(other[0]); k++) {
        uint8_t was[8];
        memcpy(was, image + other[k].at, 8);
        memcpy(image + other[k].at, other[k].bytes, other[k].len);
        write_file(LEN);
        assert_int_equal(load(&kernel), 0);
        memcpy(image + other[k].at, was, 8);
    }
    write_file(HEADER - 1);
    assert_int_equal(load(&kernel), 0);
    assert_int_equal(virt_load_image_file(&gm, BASE, "/nowhere/at/all", &kernel, NULL), 0);
    assert_int_equal(virt_load_image_file(&gm, BASE, "/dev/zero", &kernel, NULL), 0);
    assert_int_equal(kernel.entry, 1);
}

static void a_fifo_is_not_opened(void **state)
{
    char fifo[64];
    struct virt_kernel kernel;
    (void)state;
    (void)snprintf(fifo, sizeof(fifo), "%s.fifo", path);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_int_equal(virt_load_image_file(&gm, BASE, fifo, &kernel, NULL), 0); /* and it does not wait for a writer */
    assert_int_equal(unlink(fifo), 0);
}

static void bad_ones_are_refused(void **state)
{
    struct virt_kernel kernel;
    (void)state;
    put8(16, RAM);
    write_file(LEN);
    assert_int_equal(load(&kernel), -12 /* ENOMEM */);
    put8(16, ROOM);
    put8(8, OFFSET + 8);
    write_file(LEN);
    assert_int_equal(load(&kernel), -8 /* ENOEXEC */);
    put8(8, OFFSET);
    put8(24, 1); /* big-endian */
    write_file(LEN);
    assert_int_equal(load(&kernel), -8);
    assert_int_equal(kernel.entry, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(it_is_where_it_belongs, set_up, tear_down),
        cmocka_unit_test_setup_teardown(other_files_are_left_alone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_fifo_is_not_opened, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bad_ones_are_refused, set_up, tear_down),
    };
    int fd = mkstemp(path);
    if (fd < 0 || close(fd) < 0)
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    (void)unlink(path);
    return failed;
}
