/* SPDX-License-Identifier: MIT */
/*
 * Laws of `doppel run`'s options: what is taken, what is refused, and that a refusal names the culprit.
 */
#include "cli/run_options.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { ARGS = 24 };

static int parse(struct run_options *o, struct error *err, const char *line)
{
    static char text[256];
    static char *argv[ARGS];
    int argc = 0;
    (void)strncpy(text, line, sizeof(text) - 1);
    for (char *word = strtok(text, " "); word && argc < ARGS - 1; word = strtok(NULL, " "))
        argv[argc++] = word;
    argv[argc] = NULL;
    *err = (struct error){ 0 };
    return run_options_parse(argc, argv, o, err);
}

static void defaults_make_a_small_machine(void **state)
{
    struct run_options o;
    struct error err;
    (void)state;
    assert_int_equal(parse(&o, &err, "run"), 0);
    assert_int_equal(o.vm.cpus, 1);
    assert_int_equal(o.vm.memory, 512 << 20);
    assert_string_equal(o.vm.arch, "x86-64");
    assert_null(o.command);
    assert_null(o.vm.kernel);
}

static void values_are_taken_behind_a_space_or_an_equals_sign(void **state)
{
    struct run_options o;
    struct error err;
    (void)state;
    assert_int_equal(
        parse(&o, &err, "run --cpus 4 --memory=2G --code-cache=4M --kernel k --append=a=b --timeout 1.5 --stats --reboot"), 0);
    assert_int_equal(o.vm.cpus, 4);
    assert_true(o.vm.memory == 2ULL << 30);
    assert_int_equal(o.vm.code_cache, 4 << 20);
    assert_string_equal(o.vm.kernel, "k");
    assert_string_equal(o.append, "a=b");
    assert_true(o.timeout == 1.5);
    assert_true(o.vm.stats && o.vm.reboot);
}

static void a_value_in_brackets_is_taken_behind_an_equals_sign_only(void **state)
{
    struct run_options o;
    struct error err;
    (void)state;
    assert_int_equal(parse(&o, &err, "run --trace-code --cpus 2"), 0);
    assert_string_equal(o.vm.trace_code, "doppel-code");
    assert_int_equal(o.vm.cpus, 2);
    assert_int_equal(parse(&o, &err, "run --trace-code=/tmp/x"), 0);
    assert_string_equal(o.vm.trace_code, "/tmp/x");
    assert_int_equal(parse(&o, &err, "run --trace-code"), 0);
}

static void everything_behind_two_dashes_is_the_command(void **state)
{
    struct run_options o;
    struct error err;
    (void)state;
    assert_int_equal(parse(&o, &err, "run --cpus 2 -- ls --cpus 3 -- x"), 0);
    assert_int_equal(o.vm.cpus, 2);
    assert_string_equal(o.command[0], "ls");
    assert_string_equal(o.command[1], "--cpus");
    assert_string_equal(o.command[4], "x");
    assert_null(o.command[5]);
}

static void bad_usage_is_refused_and_named(void **state)
{
    static const struct {
        const char *line, *named;
    } bad[] = {
        { "run --nope", "'--nope'" },
        { "run --cpu", "--cpu" },
        { "run -x", "'-x'" },
        { "run kernel", "'kernel'" },
        { "run --cpus 0", "--cpus" },
        { "run --cpus 65", "'65'" },
        { "run --cpus 2x", "'2x'" },
        { "run --cpus -1", "'-1'" },
        { "run --memory 31M", "'31M'" },
        { "run --memory 512", "512M?" },
        { "run --memory 4X", "'4X'" },
        { "run --code-cache 1023K", "'1023K' is less than 1M" },
        { "run --code-cache 64", "64M?" },
        { "run --memory 99999999999G", "too large" },
        { "run --timeout 0", "--timeout" },
        { "run --timeout nan", "'nan'" },
        { "run --timeout 1e99", "'1e99'" },
        { "run --stats=1", "--stats" },
        { "run --", "command" },
        { "run --reboot -- ls", "--reboot" },
        { "run --memory 999999999999999999999999G", "too large" },
        { "run --cpuss 2", "'--cpuss'" },
        { "run --console stdio --serial stdio", "--console" },
        { "run --console stdio -- ls", "--console" },
        { "run --console unix:", "'unix:'" },
        { "run --balloon=31M", "'31M'" },
        { "run --balloon=x", "'x'" },
        { "run --balloon 64M", "'64M'" },
        { "run --vsock ,cid=5", "no socket" },
        { "run --vsock v,cid=2", "'2'" },
        { "run --vsock v,cid=4294967295", "'4294967295'" },
        { "run --vsock v,cid=", "''" },
        { "run --vsock v,port=5", "'port=5'" },
    };
    (void)state;
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct run_options o;
        struct error err;
        assert_int_equal(parse(&o, &err, bad[i].line), -22);
        if (!strstr(err.msg, bad[i].named))
            fail_msg("%s: '%s' does not name %s", bad[i].line, err.msg, bad[i].named);
    }
}

static void sizes_count_in_powers_of_two(void **state)
{
    static const struct {
        const char *text;
        uint64_t bytes;
    } good[] = { { "1K", 1024 }, { "3m", 3 << 20 }, { "2GiB", 2ULL << 30 }, { "1TB", 1ULL << 40 }, { "0G", 0 } };
    (void)state;
    for (unsigned i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        uint64_t bytes = 1;
        assert_int_equal(parse_size(good[i].text, &bytes, NULL), 0);
        assert_true(bytes == good[i].bytes);
    }
    static const char *const bad[] = { "", "M", "-1M", "+1M", " 1M", "1MM", "1 M", "0x10M", "1.5G", "16777216T" };
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        uint64_t bytes;
        assert_true(parse_size(bad[i], &bytes, NULL) < 0);
    }
}

static void disks_have_options_behind_commas(void **state)
{
    struct run_options o;
    struct error err;
    (void)state;
    assert_int_equal(parse(&o, &err, "run --disk a --disk b,ro --disk=c,overlay --disk d,,1,overlay=e,,f --disk g,format=qcow2"),
                     0);
    assert_int_equal(o.vm.nr_disks, 5);
    assert_string_equal(o.vm.disk[0].path, "a");
    assert_false(o.vm.disk[0].read_only || o.vm.disk[0].overlay);
    assert_true(o.vm.disk[1].read_only);
    assert_true(o.vm.disk[2].overlay);
    assert_null(o.vm.disk[2].overlay_path);
    assert_string_equal(o.vm.disk[3].path, "d,1");
    assert_string_equal(o.vm.disk[3].overlay_path, "e,f");
    assert_null(o.vm.disk[3].format);
    assert_string_equal(o.vm.disk[4].format, "qcow2");
    assert_int_equal(vm_config_check(&o.vm, &err), 0);
    run_options_done(&o);
}

static void bad_disks_are_refused(void **state)
{
    struct run_options o;
    struct error err;
    (void)state;
    assert_int_equal(parse(&o, &err, "run --disk a,rw"), -EINVAL);
    assert_non_null(strstr(err.msg, "unknown 'rw'"));
    static const char *const bad[] = { "run --disk a,ro,overlay", "run --disk ,ro",
                                       "run --disk a,overlay=", "run --disk a,overlay=a" };
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(parse(&o, &err, bad[i]), 0);
        assert_int_equal(vm_config_check(&o.vm, &err), -EINVAL);
        run_options_done(&o);
    }
}

static void at_most_16_disks(void **state)
{
    struct run_options o;
    struct error err;
    char run[] = "run", disk[] = "--disk", name[] = "x";
    char *argv[2 * 17 + 1] = { run };
    (void)state;
    for (unsigned i = 0; i < 17; i++) {
        argv[1 + 2 * i] = disk;
        argv[2 + 2 * i] = name;
    }
    assert_int_equal(run_options_parse(1 + 2 * 16, argv, &o, &err), 0);
    run_options_done(&o);
    assert_int_equal(run_options_parse(1 + 2 * 17, argv, &o, &err), -EINVAL);
    assert_non_null(strstr(err.msg, "more than 16 disks"));
}

static void the_last_network_counts(void **state)
{
    struct run_options o;
    struct error err;
    (void)state;
    assert_int_equal(parse(&o, &err, "run --cpus 1"), 0);
    assert_int_equal(o.vm.net.kind, NETDEV_NONE);
    assert_int_equal(parse(&o, &err, "run --net user,hostfwd=tcp:8080:80 --net=tap=vm0"), 0);
    assert_int_equal(o.vm.net.kind, NETDEV_TAP);
    assert_string_equal(o.vm.net.tap, "vm0");
    assert_int_equal(o.vm.net.nr_forwards, 0);
    assert_int_equal(parse(&o, &err, "run --net user,ipv9"), -EINVAL);
    assert_non_null(strstr(err.msg, "--net: unknown 'ipv9'"));
}

static void shares_have_a_tag_and_may_be_read_only(void **state)
{
    struct run_options o;
    struct error err;
    (void)state;
    assert_int_equal(parse(&o, &err, "run --share /a --share b:tag,ro --share c::d,,e:f"), 0);
    assert_int_equal(o.vm.nr_shares, 3);
    assert_string_equal(o.vm.share[0].path, "/a");
    assert_string_equal(o.vm.share[0].tag, "share0");
    assert_false(o.vm.share[0].read_only);
    assert_string_equal(o.vm.share[1].path, "b");
    assert_string_equal(o.vm.share[1].tag, "tag");
    assert_true(o.vm.share[1].read_only);
    assert_string_equal(o.vm.share[2].path, "c:d,e");
    assert_string_equal(o.vm.share[2].tag, "f");
    assert_int_equal(vm_config_check(&o.vm, &err), 0);
    run_options_done(&o);
}

static void bad_shares_are_refused(void **state)
{
    struct run_options o;
    struct error err;
    (void)state;
    assert_int_equal(parse(&o, &err, "run --share a,rw"), -EINVAL);
    assert_int_equal(parse(&o, &err, "run --share a:b:c"), -EINVAL);
    assert_int_equal(parse(&o, &err,
                           "run --share 1 --share 2 --share 3 --share 4 --share 5 --share 6 --share 7 --share 8 "
                           "--share 9"),
                     -EINVAL);
    assert_non_null(strstr(err.msg, "more than 8 shares"));
    static const char *const bad[] = { "run --share ,ro",
                                       "run --share :tag",
                                       "run --share a:",
                                       "run --share a:x --share b:x",
                                       "run --share a:share1 --share b",
                                       "run --share a:1234567890123456789012345678901234567" };
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(parse(&o, &err, bad[i]), 0);
        assert_int_equal(vm_config_check(&o.vm, &err), -EINVAL);
        run_options_done(&o);
    }
    assert_int_equal(parse(&o, &err, "run --share a:123456789012345678901234567890123456"), 0);
    assert_int_equal(vm_config_check(&o.vm, &err), 0);
    run_options_done(&o);
}

static void a_second_terminal_takes_stdio_from_the_first(void **state)
{
    struct run_options o;
    struct error err;
    (void)state;
    assert_int_equal(parse(&o, &err, "run --console stdio"), 0);
    assert_string_equal(o.serial, "none");
    assert_string_equal(o.console, "stdio");
    assert_int_equal(parse(&o, &err, "run --console pty"), 0);
    assert_string_equal(o.serial, "stdio");
    assert_int_equal(parse(&o, &err, "run --console none"), 0);
    assert_null(o.console);
    assert_int_equal(parse(&o, &err, "run --console pty -- ls"), 0);
    assert_string_equal(o.serial, "none");
}

static void balloon_and_vsock_are_there_when_asked_for(void **state)
{
    struct run_options o;
    struct error err;
    (void)state;
    assert_int_equal(parse(&o, &err, "run"), 0);
    assert_true(!o.vm.balloon && !o.vm.vsock.path);
    assert_int_equal(parse(&o, &err, "run --balloon --vsock /tmp/v"), 0);
    assert_true(o.vm.balloon && o.vm.balloon_keep == 0);
    assert_string_equal(o.vm.vsock.path, "/tmp/v");
    assert_int_equal(o.vm.vsock.cid, 3);
    run_options_done(&o);
    assert_int_equal(parse(&o, &err, "run --balloon=128M --vsock a --vsock b,,c,cid=77"), 0); /* the last counts */
    assert_int_equal(o.vm.balloon_keep, 128 << 20);
    assert_string_equal(o.vm.vsock.path, "b,c");
    assert_int_equal(o.vm.vsock.cid, 77);
    run_options_done(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_make_a_small_machine),
        cmocka_unit_test(values_are_taken_behind_a_space_or_an_equals_sign),
        cmocka_unit_test(a_value_in_brackets_is_taken_behind_an_equals_sign_only),
        cmocka_unit_test(everything_behind_two_dashes_is_the_command),
        cmocka_unit_test(bad_usage_is_refused_and_named),
        cmocka_unit_test(sizes_count_in_powers_of_two),
        cmocka_unit_test(disks_have_options_behind_commas),
        cmocka_unit_test(bad_disks_are_refused),
        cmocka_unit_test(at_most_16_disks),
        cmocka_unit_test(the_last_network_counts),
        cmocka_unit_test(shares_have_a_tag_and_may_be_read_only),
        cmocka_unit_test(bad_shares_are_refused),
        cmocka_unit_test(a_second_terminal_takes_stdio_from_the_first),
        cmocka_unit_test(balloon_and_vsock_are_there_when_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
