/* SPDX-License-Identifier: MIT */
/*
 * Laws of the user's device tree: what was asked for is in it, the rest is as it was, and what is broken or describes another
 * machine is refused with a reason.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <libfdt.h>

#include "machine/virt.h"
#include "machine/virt_dtb.h"

enum { FILE_MAX = 16 << 10 };

static uint8_t given[FILE_MAX] __attribute__((aligned(8))), tree[VIRT_FDT_MAX] __attribute__((aligned(8)));
static size_t given_len, tree_len;
static struct error err;

static struct virt_fdt_args some_args(void)
{
    return (struct virt_fdt_args){
        .profile = riscv_profile_default(),
        .harts = 1,
        .ram = VIRT_RAM,
        .memory = 64 << 20,
        .cmdline = "quiet",
        .initrd = 0x83000000,
        .initrd_end = 0x83001234,
    };
}

/* The file: the board's own tree with another model and without /chosen. */
static int begin(void **state)
{
    const struct virt_fdt_args args = some_args();
    (void)state;
    if (virt_fdt_build(&args, given, sizeof(given), &given_len, &err) < 0 || fdt_open_into(given, given, FILE_MAX) < 0)
        return -1;
    if (fdt_setprop_string(given, 0, "model", "the user's") < 0 || fdt_del_node(given, fdt_path_offset(given, "/chosen")) < 0)
        return -1;
    given_len = fdt_totalsize(given);
    return 0;
}

static int complete(const struct virt_fdt_args *args, size_t cap)
{
    memset(&err, 0, sizeof(err));
    tree_len = 0;
    return virt_dtb_complete(given, given_len, args, tree, cap, &tree_len, &err);
}

static const void *chosen(const char *name, int want_len)
{
    int len = 0;
    const void *p = fdt_getprop(tree, fdt_path_offset(tree, "/chosen"), name, &len);
    if (p)
        assert_int_equal(len, want_len);
    return p;
}

static void command_line_and_initrd_are_put_in_and_the_rest_stays(void **state)
{
    struct virt_fdt_args args = some_args();
    (void)state;
    assert_int_equal(complete(&args, sizeof(tree)), 0);
    assert_int_equal(fdt_check_full(tree, tree_len), 0);
    assert_string_equal(fdt_getprop(tree, 0, "model", NULL), "the user's");
    assert_string_equal(chosen("bootargs", 6), "quiet");
    assert_int_equal(fdt64_ld(chosen("linux,initrd-start", 8)), 0x83000000);
    assert_int_equal(fdt64_ld(chosen("linux,initrd-end", 8)), 0x83001234);
    memcpy(given, tree, tree_len); /* a tree that names an initrd, for a machine without one */
    given_len = tree_len;
    args.initrd_end = args.initrd;
    assert_int_equal(complete(&args, sizeof(tree)), 0);
    assert_null(chosen("linux,initrd-start", 8));
    assert_null(chosen("linux,initrd-end", 8));
}

static void expect_refusal(const struct virt_fdt_args *args, size_t cap, int code, const char *words)
{
    assert_int_equal(complete(args, cap), code);
    assert_int_equal(tree_len, 0);
    if (!strstr(err.msg, words))
        fail_msg("'%s' does not say '%s'", err.msg, words);
}

static void what_is_no_tree_is_refused(void **state)
{
    const struct virt_fdt_args args = some_args();
    const size_t whole = given_len;
    (void)state;
    for (given_len = 0; given_len < whole; given_len += given_len < 64 ? 1 : 101)
        expect_refusal(&args, sizeof(tree), -EINVAL, "not a flattened device tree");
    given_len = whole;
    expect_refusal(&args, whole / 2, -E2BIG, "does not fit");
    given[0] ^= 1;
    expect_refusal(&args, sizeof(tree), -EINVAL, "not a flattened device tree");
}

static void a_tree_of_another_machine_is_refused(void **state)
{
    struct virt_fdt_args args = some_args();
    (void)state;
    args.memory = 32 << 20;
    expect_refusal(&args, sizeof(tree), -EINVAL, "'memory@80000000' has 0x4000000 bytes at 0x80000000");
    args = some_args();
    args.ram += 2 << 20, args.memory -= 2 << 20; /* the same memory, told otherwise */
    assert_int_equal(complete(&args, sizeof(tree)), 0);
    const int memory = fdt_path_offset(given, "/memory@80000000");
    const fdt64_t wide[] = { cpu_to_fdt64(VIRT_RAM), cpu_to_fdt64(UINT64_MAX) };
    assert_int_equal(fdt_setprop(given, memory, "reg", wide, sizeof(wide)), 0);
    expect_refusal(&args, sizeof(tree), -EINVAL, "0xffffffffffffffff bytes");
    assert_int_equal(fdt_setprop(given, memory, "reg", wide, 12), 0);
    expect_refusal(&args, sizeof(tree), -EINVAL, "(reg)");
    assert_int_equal(fdt_setprop_u32(given, 0, "#address-cells", 3), 0);
    expect_refusal(&args, sizeof(tree), -EINVAL, "3 address");
    assert_int_equal(fdt_del_node(given, memory), 0);
    expect_refusal(&args, sizeof(tree), -EINVAL, "no memory");
}

/* libfdt's own check would follow a null pointer: the root of such a tree is to have a path. */
static void a_tree_of_an_old_version_is_refused(void **state)
{
    const struct virt_fdt_args args = some_args();
    (void)state;
    fdt_set_version(given, 2);
    assert_int_equal(complete(&args, sizeof(tree)), -EINVAL);
    assert_non_null(strstr(err.msg, "BADVERSION"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(command_line_and_initrd_are_put_in_and_the_rest_stays, begin),
        cmocka_unit_test_setup(what_is_no_tree_is_refused, begin),
        cmocka_unit_test_setup(a_tree_of_another_machine_is_refused, begin),
        cmocka_unit_test_setup(a_tree_of_an_old_version_is_refused, begin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
