/* SPDX-License-Identifier: MIT */
/*
 * Laws of declared state: load(save(s)) = s, and nothing foreign, cut or altered is taken.
 */
#include "core/state_desc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <string.h>

#include <cmocka.h>

struct inner {
    uint16_t a;
    bool on;
    int not_state;
};

struct outer {
    uint8_t b;
    uint32_t c[3];
    uint8_t raw[2][4];
    struct inner one, many[2];
    uint64_t d;
    int saved, loaded;
};

static const struct state_field inner_fields[] = {
    STATE_U16(struct inner, a),
    STATE_BOOL(struct inner, on),
    STATE_END,
};
static const struct state_desc inner_desc = { .name = "inner", .version = 1, .fields = inner_fields };

static void pre_save(void *object)
{
    ((struct outer *)object)->saved++;
}

static int post_load(void *object, struct error *err)
{
    struct outer *o = object;
    o->loaded++;
    return o->d == 13 ? error_set(err, -EINVAL, "13 is bad luck") : 0;
}

static const struct state_field outer_fields[] = {
    STATE_U8(struct outer, b),
    STATE_ARRAY(struct outer, c, STATE_U32),
    STATE_BYTES(struct outer, raw),
    STATE_STRUCT(struct outer, one, &inner_desc),
    STATE_STRUCTS(struct outer, many, &inner_desc),
    STATE_U64(struct outer, d),
    STATE_END,
};
static const struct state_desc outer_desc = {
    .name = "outer", .version = 2, .fields = outer_fields, .pre_save = pre_save, .post_load = post_load
};
static const struct state_desc next_version = { .name = "outer", .version = 3, .fields = outer_fields };
static const struct state_desc other_name = { .name = "router", .version = 2, .fields = outer_fields };

static struct outer sample(void)
{
    return (struct outer){
        .b = 1,
        .c = { 2, 3, 0xffffffff },
        .raw = { { 4, 5, 6, 7 }, { 8, 9, 10, 11 } },
        .one = { 0x1234, true, 99 },
        .many = { { 1, false, 98 }, { 2, true, 97 } },
        .d = 0x1122334455667788,
    };
}

static void load_of_save_is_the_same(void **state)
{
    (void)state;
    struct outer a = sample(), b = { .one.not_state = 42 };
    struct state_buf buf = { 0 };
    assert_int_equal(state_save(&outer_desc, &a, &buf), 0);
    assert_int_equal(a.saved, 1);
    assert_int_equal(state_load(&outer_desc, &b, &buf, NULL), 0);
    assert_int_equal(b.loaded, 1);
    assert_null(state_diff(&outer_desc, &a, &b));
    assert_int_equal(buf.pos, buf.len);
    assert_int_equal(b.one.not_state, 42);
    state_buf_done(&buf);
}

static void diff_names_the_field(void **state)
{
    (void)state;
    struct outer a = sample(), b = sample();
    assert_null(state_diff(&outer_desc, &a, &b));
    b.many[1].on = false;
    assert_string_equal(state_diff(&outer_desc, &a, &b), "on");
    b = sample();
    b.c[2]--;
    assert_string_equal(state_diff(&outer_desc, &a, &b), "c");
}

static void every_truncation_is_refused(void **state)
{
    (void)state;
    struct outer a = sample(), b;
    struct state_buf buf = { 0 };
    assert_int_equal(state_save(&outer_desc, &a, &buf), 0);
    size_t full = buf.len;
    for (buf.len = 0; buf.len < full; buf.len++) {
        struct error err = { 0 };
        buf.pos = 0;
        assert_int_equal(state_load(&outer_desc, &b, &buf, &err), -EINVAL);
        assert_true(err.msg[0] != '\0');
    }
    state_buf_done(&buf);
}

static void other_names_and_versions_are_refused(void **state)
{
    (void)state;
    struct outer a = sample();
    struct state_buf buf = { 0 };
    assert_int_equal(state_save(&outer_desc, &a, &buf), 0);
    assert_int_equal(state_load(&next_version, &a, &buf, NULL), -EINVAL);
    buf.pos = 0;
    assert_int_equal(state_load(&other_name, &a, &buf, NULL), -EINVAL);
    buf.pos = 0;
    assert_int_equal(state_load(&inner_desc, &a.one, &buf, NULL), -EINVAL);
    state_buf_done(&buf);
}

/* A flipped bit is either refused or loads as a plain value: never anything outside the declared fields. */
static void any_flipped_bit_stays_inside_the_fields(void **state)
{
    (void)state;
    struct outer a = sample();
    struct state_buf buf = { 0 };
    assert_int_equal(state_save(&outer_desc, &a, &buf), 0);
    for (size_t bit = 0; bit < buf.len * 8; bit++) {
        struct {
            uint64_t before;
            struct outer o;
            uint64_t after;
        } guard = { 0x5555, { .one.not_state = 7, .many[0].not_state = 8, .many[1].not_state = 9 }, 0xaaaa };
        buf.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        buf.pos = 0;
        int r = state_load(&outer_desc, &guard.o, &buf, NULL);
        assert_true(r == 0 || r == -EINVAL);
        if (r == 0)
            assert_non_null(state_diff(&outer_desc, &a, &guard.o));
        assert_true(guard.before == 0x5555 && guard.after == 0xaaaa);
        assert_true(guard.o.one.not_state == 7 && guard.o.many[0].not_state == 8 && guard.o.many[1].not_state == 9);
        buf.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    state_buf_done(&buf);
}

static void post_load_may_refuse(void **state)
{
    (void)state;
    struct outer a = sample(), b;
    a.d = 13;
    struct state_buf buf = { 0 };
    assert_int_equal(state_save(&outer_desc, &a, &buf), 0);
    struct error err;
    assert_int_equal(state_load(&outer_desc, &b, &buf, &err), -EINVAL);
    assert_string_equal(err.msg, "13 is bad luck");
    state_buf_done(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(load_of_save_is_the_same),
        cmocka_unit_test(diff_names_the_field),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(other_names_and_versions_are_refused),
        cmocka_unit_test(any_flipped_bit_stays_inside_the_fields),
        cmocka_unit_test(post_load_may_refuse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
