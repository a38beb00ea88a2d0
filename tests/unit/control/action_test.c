/* SPDX-License-Identifier: MIT */
/*
 * Laws of actions and their lines.
 */
#include "control/action.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <string.h>

#include <cmocka.h>

static void lines_give_back_what_they_were_made_from(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ACTION_NR; i++) {
        struct action a = { .id = (enum action_id)i, .grace_s = ACTION_GRACE_DEFAULT }, b;
        char line[ACTION_LINE_MAX];
        if (a.id == ACTION_STOP)
            a = (struct action){ .id = ACTION_STOP, .force = true, .grace_s = 77 };
        if (a.id == ACTION_BALLOON)
            a.keep = 3ULL << 40;
        int n = action_encode(&a, line, sizeof(line));
        assert_true(n > 1 && line[n - 1] == '\n');
        assert_int_equal(action_decode(line, (size_t)n - 1, &b, NULL), 0);
        assert_int_equal(a.id, b.id);
        assert_int_equal(a.force, b.force);
        assert_int_equal(a.grace_s, b.grace_s);
        assert_true(a.keep == b.keep);
    }
}

static void replies_give_back_what_they_were_made_from(void **state)
{
    (void)state;
    const struct reply a = {
        .ok = false,
        .text = "no: \"it\" is \\ so",
        .info = { .name = "one",
                  .pid = 77,
                  .state = MACHINE_PAUSED,
                  .arch = "x86-64",
                  .engine = "bt",
                  .cpus = 3,
                  .memory = 1ULL << 40,
                  .uptime_s = 1.5 },
    };
    struct reply b;
    char line[ACTION_LINE_MAX];
    int n = reply_encode(&a, line, sizeof(line));
    assert_true(n > 1 && line[n - 1] == '\n');
    assert_int_equal(reply_decode(line, (size_t)n - 1, &b, NULL), 0);
    assert_int_equal(a.ok, b.ok);
    assert_string_equal(a.text, b.text);
    assert_string_equal(a.info.name, b.info.name);
    assert_int_equal(a.info.state, b.info.state);
    assert_int_equal(a.info.pid, b.info.pid);
    assert_int_equal(a.info.cpus, b.info.cpus);
    assert_true(a.info.memory == b.info.memory && a.info.uptime_s == b.info.uptime_s);
    assert_int_equal(reply_encode(&a, line, 40), -ENOMEM);
}

static void a_balloon_is_told_with_the_figures_there_are(void **state)
{
    (void)state;
    struct reply a = {
        .ok = true,
        .info = { .name = "one", .pid = 77, .arch = "x86-64", .engine = "bt", .cpus = 1 },
        .has_balloon = true,
        .balloon = { .target = 1 << 30,
                     .actual = 1 << 29,
                     .driver = true,
                     .released = 5,
                     .age = 12345,
                     .known = 1U << MACHINE_BALLOON_FREE | 1U << MACHINE_BALLOON_HTLB_FAIL,
                     .stat = { [MACHINE_BALLOON_FREE] = 99, [MACHINE_BALLOON_HTLB_FAIL] = UINT64_MAX } },
    };
    struct reply b;
    char line[ACTION_LINE_MAX];
    int n = reply_encode(&a, line, sizeof(line));
    assert_true(n > 1);
    assert_int_equal(reply_decode(line, (size_t)n - 1, &b, NULL), 0);
    assert_true(b.has_balloon && b.balloon.driver);
    assert_int_equal(b.balloon.target, 1 << 30);
    assert_int_equal(b.balloon.actual, 1 << 29);
    assert_int_equal(b.balloon.released, 5);
    assert_int_equal(b.balloon.age, 12345);
    assert_int_equal(b.balloon.known, a.balloon.known);
    assert_int_equal(b.balloon.stat[MACHINE_BALLOON_FREE], 99);
    assert_true(b.balloon.stat[MACHINE_BALLOON_HTLB_FAIL] == INT64_MAX); /* what a guest made up is cut */
    a.balloon.known = (1U << MACHINE_BALLOON_STATS) - 1;                 /* the longest */
    memset(a.balloon.stat, 0xff, sizeof(a.balloon.stat));
    memset(a.text, 1, sizeof(a.text) - 1);
    assert_true(reply_encode(&a, line, sizeof(line)) > 1);
    a.has_balloon = false;
    n = reply_encode(&a, line, sizeof(line));
    assert_int_equal(reply_decode(line, (size_t)n - 1, &b, NULL), 0);
    assert_false(b.has_balloon);
}

static void nonsense_is_refused_with_words(void **state)
{
    (void)state;
    static const char *const bad[] = { "",
                                       "x",
                                       "[]",
                                       "{}",
                                       "{\"action\":1}",
                                       "{\"action\":\"fly\"}",
                                       "{\"action\":\"info\",\"force\":true}",
                                       "{\"action\":\"stop\",\"force\":1}",
                                       "{\"action\":\"stop\",\"grace\":-1}",
                                       "{\"action\":\"stop\",\"grace\":3601}",
                                       "{\"action\":\"stop\",\"grace\":1.5}",
                                       "{\"action\":\"stop\",\"grace\":99999999999999999999}",
                                       "{\"action\":\"info\",\"action\":\"stop\"}",
                                       "{\"action\":\"info\",\"keep\":1}",
                                       "{\"action\":\"balloon\",\"keep\":0}",
                                       "{\"action\":\"balloon\",\"keep\":-5}",
                                       "{\"action\":\"balloon\",\"keep\":\"1G\"}",
                                       "{\"action\":\"info\"} x",
                                       "{\"action\":\"in\\u0000fo\"}" };
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct action a;
        struct error err = { 0 };
        assert_int_equal(action_decode(bad[i], strlen(bad[i]), &a, &err), -EPROTO);
        assert_true(err.msg[0]);
    }
    static char deep[ACTION_LINE_MAX];
    struct action a;
    memset(deep, '[', sizeof(deep));
    assert_int_equal(action_decode(deep, sizeof(deep) - 1, &a, NULL), -EPROTO);
    assert_int_equal(action_decode(deep, sizeof(deep), &a, NULL), -EPROTO);
}

static void actions_are_legal_in_the_states_where_they_mean_something(void **state)
{
    (void)state;
    for (unsigned s = 0; s < MACHINE_STATE_NR; s++) {
        assert_int_equal(action_check(ACTION_INFO, (enum machine_state)s, NULL), 0);
        assert_int_equal(action_check(ACTION_RESUME, (enum machine_state)s, NULL) == 0, s == MACHINE_PAUSED);
        assert_int_equal(action_check(ACTION_STOP, (enum machine_state)s, NULL) == 0, s != MACHINE_ENDING);
    }
    struct error err;
    assert_int_equal(action_check(ACTION_PAUSE, MACHINE_PAUSED, &err), -EINVAL);
    assert_string_equal(err.msg, "pause: the machine is paused");
}

static void names_of_machines_are_harmless_names_of_files(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",    ".",        "..",      "-x",  "a/b",
        "a b", "\xc3\xa4", ".hidden", "a\n", "01234567890123456789012345678901234567890123456789012345678901234"
    };
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(machine_name_check(bad[i], NULL), -EINVAL);
    assert_int_equal(machine_name_check("vm-1", NULL), 0);
    assert_int_equal(machine_name_check("A.b_c-9", NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_give_back_what_they_were_made_from),
        cmocka_unit_test(replies_give_back_what_they_were_made_from),
        cmocka_unit_test(a_balloon_is_told_with_the_figures_there_are),
        cmocka_unit_test(nonsense_is_refused_with_words),
        cmocka_unit_test(actions_are_legal_in_the_states_where_they_mean_something),
        cmocka_unit_test(names_of_machines_are_harmless_names_of_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
