/* SPDX-License-Identifier: MIT */
/*
 * Laws of the reports of `doppel classify`, on verdicts made up here.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "classify/report.h"

enum { ROWS = 4 };

static struct classify_insn insns[ROWS];
static struct classify_result result;

static void make(bool with_offender)
{
    memset(insns, 0, sizeof(insns));
    for (unsigned n = 0; n < ROWS; n++)
        insns[n].row = (uint16_t)n;
    strcpy(insns[0].name, "hlt");
    insns[0].classes = CLASSIFY_PRIVILEGED | CLASSIFY_CONTROL;
    strcpy(insns[1].name, "add");
    strcpy(insns[2].name, "<b>&");
    insns[2].classes = with_offender ? CLASSIFY_MODE : 0;
    strcpy(insns[3].name, "<b>&");
    insns[3].classes = with_offender ? CLASSIFY_LOCATION : 0;
    result = (struct classify_result){ .isa = "toy", .option = "open", .setting = "none", .seed = 5, .nr = ROWS, .insn = insns };
}

/* A witness with one fact; opaque: the error to give instead, or 0. */
static int replay(void *opaque, const struct classify_insn *i, unsigned n, struct classify_witness *w, struct error *err)
{
    const int *fails = opaque;
    assert_true(i->classes >> n & 1);
    if (*fails)
        return error_set(err, *fails, "no witness for %s", i->name);
    *w = (struct classify_witness){
        .varied = "the mode", .side = { "supervisor", n == 1 ? NULL : "user" }, .seed = 5, .number = 9
    };
    strcpy(w->text, "x <y>");
    strcpy(w->outcome[0], "completed");
    w->fact = calloc(1, sizeof(*w->fact));
    assert_non_null(w->fact);
    w->nr_facts = 1;
    strcpy(w->fact[0].field, "flag");
    strcpy(w->fact[0].before[0], "0x1");
    strcpy(w->fact[0].after[0], "0x2");
    return 0;
}

typedef int (*report_fn)(FILE *out, struct error *err, int *fails);

static int as_text(FILE *out, struct error *err, int *fails)
{
    return report_text(&result, false, replay, fails, out, err);
}

static int as_json(FILE *out, struct error *err, int *fails)
{
    return report_json(&result, replay, fails, out, err);
}

static int as_html(FILE *out, struct error *err, int *fails)
{
    return report_html(&result, replay, fails, out, err);
}

/* The report's text, to be freed. */
static char *written(report_fn fn)
{
    char *text = NULL;
    size_t len = 0;
    int fails = 0;
    struct error err = { 0 };
    FILE *f = open_memstream(&text, &len);
    assert_non_null(f);
    assert_int_equal(fn(f, &err, &fails), 0);
    assert_int_equal(fclose(f), 0);
    return text;
}

static json_t *parsed(void)
{
    char *text = written(as_json);
    json_t *j = json_loads(text, 0, NULL);
    assert_non_null(j);
    free(text);
    return j;
}

static void json_names_each_offender_once(void **state)
{
    (void)state;
    make(true);
    json_t *j = parsed(), *offenders = json_object_get(j, "offenders"), *list = json_object_get(j, "instructions");
    assert_string_equal(json_string_value(json_object_get(j, "isa")), "toy");
    assert_true(json_is_false(json_object_get(j, "virtualizable")));
    assert_int_equal(json_array_size(offenders), 1);
    assert_string_equal(json_string_value(json_array_get(offenders, 0)), "<b>&");
    assert_int_equal(json_array_size(list), ROWS);
    json_t *hlt = json_array_get(list, 0), *add = json_array_get(list, 1);
    assert_int_equal(json_array_size(json_object_get(hlt, "classes")), 2);
    assert_string_equal(json_string_value(json_object_get(json_object_get(hlt, "witness"), "class")), "control-sensitive");
    assert_string_equal(json_string_value(json_array_get(json_object_get(add, "classes"), 0)), "innocuous");
    assert_null(json_object_get(add, "witness"));
    json_decref(j);
}

static void without_an_offender_it_is_virtualizable(void **state)
{
    (void)state;
    make(false);
    json_t *j = parsed();
    assert_true(json_is_true(json_object_get(j, "virtualizable")));
    assert_int_equal(json_array_size(json_object_get(j, "offenders")), 0);
    json_decref(j);
    char *text = written(as_text);
    assert_non_null(strstr(text, "toy is virtualizable by trap and emulate"));
    free(text);
}

static void a_page_needs_nothing_from_elsewhere_and_escapes_text(void **state)
{
    (void)state;
    make(true);
    char *text = written(as_html);
    assert_non_null(strstr(text, "<svg"));
    assert_non_null(strstr(text, "&lt;b&gt;&amp;"));
    assert_null(strstr(text, "<b>&<"));
    assert_null(strstr(text, "http"));
    assert_null(strstr(text, "<script"));
    free(text);
}

/* Sensitive inside privileged when it is a subset, else beside it. */
static void the_picture_shows_whether_it_is_a_subset(void **state)
{
    (void)state;
    make(false);
    char *text = written(as_html);
    char *outer = strstr(text, "class=\"privileged\""), *inner = strstr(text, "class=\"sensitive\"");
    assert_true(outer && inner && outer < inner);
    free(text);
    make(true);
    text = written(as_html);
    outer = strstr(text, "class=\"privileged\"");
    inner = strstr(text, "class=\"sensitive\"");
    assert_true(outer && inner && inner < outer);
    free(text);
}

static unsigned count_of(const char *text, const char *word)
{
    unsigned n = 0;
    for (; (text = strstr(text, word)); text++)
        n++;
    return n;
}

/* And a witness is asked for by the instruction, or by both. */
static void a_register_stands_for_the_instructions_that_name_it(void **state)
{
    int fails = 0;
    struct error err = { 0 };
    (void)state;
    make(false);
    insns[1].classes = insns[2].classes = CLASSIFY_PRIVILEGED | CLASSIFY_MODE;
    strcpy(insns[1].name, "get clock");
    strcpy(insns[2].name, "put clock");
    char *text = written(as_html);
    *strstr(text, "</svg>") = 0;
    assert_int_equal(count_of(text, ">hlt clock<"), 1);
    free(text);
    assert_int_equal(report_witness(&result, "get", replay, &fails, stdout, &err), 0);
    assert_int_equal(report_witness(&result, "put clock", replay, &fails, stdout, &err), 0);
    assert_int_equal(report_witness(&result, "clock", replay, &fails, stdout, &err), -ENOENT);
    assert_int_equal(report_witness(&result, "get cl", replay, &fails, stdout, &err), -ENOENT);
}

static void a_witness_that_cannot_be_made_is_an_error(void **state)
{
    static const report_fn all[] = { as_text, as_json, as_html };
    int fails = -ENOMEM;
    (void)state;
    make(true);
    for (unsigned n = 0; n < sizeof(all) / sizeof(all[0]); n++) {
        char *text = NULL;
        size_t len = 0;
        struct error err = { 0 };
        FILE *f = open_memstream(&text, &len);
        assert_int_equal(all[n](f, &err, &fails), -ENOMEM);
        (void)fclose(f);
        free(text);
    }
}

static void an_unknown_name_has_no_witness(void **state)
{
    int fails = 0;
    struct error err = { 0 };
    (void)state;
    make(true);
    assert_int_equal(report_witness(&result, "nonesuch", replay, &fails, stdout, &err), -ENOENT);
    assert_non_null(strstr(err.msg, "nonesuch"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_names_each_offender_once),
        cmocka_unit_test(without_an_offender_it_is_virtualizable),
        cmocka_unit_test(a_page_needs_nothing_from_elsewhere_and_escapes_text),
        cmocka_unit_test(the_picture_shows_whether_it_is_a_subset),
        cmocka_unit_test(a_register_stands_for_the_instructions_that_name_it),
        cmocka_unit_test(a_witness_that_cannot_be_made_is_an_error),
        cmocka_unit_test(an_unknown_name_has_no_witness),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
