/* SPDX-License-Identifier: MIT */
/*
 * Laws of the command channel's framing, host side.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "machine/stdio_channel.h"

#include <cmocka.h>

struct seen {
    char out[256], err[256];
    size_t out_len, err_len;
    unsigned ready, credits, exits;
    int status;
};

static void note(void *opaque, const struct stdio_event *ev)
{
    struct seen *s = opaque;
    switch (ev->type) {
    case STDIO_EVENT_READY: s->ready++; break;
    case STDIO_EVENT_CREDIT: s->credits++; break;
    case STDIO_EVENT_EXIT:
        s->exits++;
        s->status = ev->status;
        break;
    case STDIO_EVENT_STDOUT:
        assert_true(s->out_len + ev->len <= sizeof(s->out));
        memcpy(s->out + s->out_len, ev->data, ev->len);
        s->out_len += ev->len;
        break;
    case STDIO_EVENT_STDERR:
        assert_true(s->err_len + ev->len <= sizeof(s->err));
        memcpy(s->err + s->err_len, ev->data, ev->len);
        s->err_len += ev->len;
        break;
    }
}

static void drop(void *opaque, const struct stdio_event *ev)
{
    uint64_t *sum = opaque; /* touches the data, for the address sanitizer */
    for (size_t i = 0; i < ev->len; i++)
        *sum += ev->data[i];
}

static const char session[] = "R\1\0\1C\2\0\x00\x20O\5\0helloE\3\0oh!O\0\0O\1\0\0C\2\0\1\0X\1\0\7garbage";

static void frames_become_events_however_they_are_cut(void **state)
{
    (void)state;
    for (size_t step = 1; step < sizeof(session); step++) {
        struct stdio_channel ch;
        struct seen s = { 0 };
        stdio_channel_init(&ch);
        for (size_t at = 0; at < sizeof(session) - 1; at += step)
            assert_int_equal(stdio_channel_receive(&ch, session + at, MIN(step, sizeof(session) - 1 - at), note, &s, NULL), 0);
        assert_true(s.ready == 1 && s.credits == 2 && s.exits == 1 && s.status == 7);
        assert_int_equal(s.out_len, 6);
        assert_memory_equal(s.out, "hello\0", 6);
        assert_int_equal(s.err_len, 3);
        assert_memory_equal(s.err, "oh!", 3);
        assert_int_equal(stdio_channel_room(&ch), 0); /* after the exit */
    }
}

static void start(struct stdio_channel *ch, const char *credit_frame)
{
    struct seen s = { 0 };
    stdio_channel_init(ch);
    assert_int_equal(stdio_channel_receive(ch, "R\1\0\1", 4, note, &s, NULL), 0);
    assert_int_equal(stdio_channel_receive(ch, credit_frame, 5, note, &s, NULL), 0);
}

static void stdin_never_exceeds_credit(void **state)
{
    (void)state;
    struct stdio_channel ch;
    uint8_t frame[STDIO_FRAME_MAX], data[4096];
    memset(data, 'x', sizeof(data));
    start(&ch, "C\2\0\xdc\5"); /* 1500 */
    assert_int_equal(stdio_channel_room(&ch), 1500);
    assert_int_equal(stdio_channel_encode_stdin(&ch, data, sizeof(data), frame), STDIO_DATA_MAX);
    assert_memory_equal(frame, "I\0\4x", 4);
    assert_int_equal(stdio_channel_encode_stdin(&ch, data, sizeof(data), frame), 1500 - STDIO_DATA_MAX);
    assert_int_equal(stdio_channel_encode_stdin(&ch, data, sizeof(data), frame), 0);
    assert_int_equal(stdio_channel_room(&ch), 0);
}

static void credit_saturates(void **state)
{
    (void)state;
    struct stdio_channel ch;
    struct seen s = { 0 };
    start(&ch, "C\2\0\xff\xff");
    for (unsigned i = 0; i < 100000; i++)
        assert_int_equal(stdio_channel_receive(&ch, "C\2\0\xff\xff", 5, note, &s, NULL), 0);
    assert_int_equal(stdio_channel_room(&ch), STDIO_CREDIT_MAX);
}

static void eof_is_sent_once_and_ends_stdin(void **state)
{
    (void)state;
    struct stdio_channel ch;
    uint8_t frame[STDIO_FRAME_MAX];
    stdio_channel_init(&ch);
    assert_int_equal(stdio_channel_encode_eof(&ch, frame), 0); /* not ready */
    start(&ch, "C\2\0\1\0");
    assert_int_equal(stdio_channel_encode_eof(&ch, frame), STDIO_HEADER_LEN);
    assert_memory_equal(frame, "F\0\0", 3);
    assert_int_equal(stdio_channel_encode_eof(&ch, frame), 0);
    assert_int_equal(stdio_channel_encode_stdin(&ch, "a", 1, frame), 0);
}

static void broken_frames_end_the_channel(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
    } bad[] = {
        { "O\1\0a", 4 },         /* before ready */
        { "R\2\0\1\1", 5 },      /* wrong length */
        { "R\1\0\2", 4 },        /* wrong version */
        { "R\1\0\1R\1\0\1", 8 }, /* ready twice */
        { "R\1\0\1I\1\0a", 8 },  /* a type only the host sends */
        { "R\1\0\1C\1\0\1", 8 }, /* short credit */
        { "R\1\0\1X\0\0", 7 },   /* exit without status */
        { "R\1\0\1\0\0\0", 7 },  /* unknown type */
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct stdio_channel ch;
        struct seen s = { 0 };
        struct error err = { 0 };
        uint8_t frame[STDIO_FRAME_MAX];
        stdio_channel_init(&ch);
        assert_int_equal(stdio_channel_receive(&ch, bad[i].bytes, bad[i].len, note, &s, &err), -EPROTO);
        assert_true(err.msg[0] != '\0' && s.exits == 0 && s.out_len == 0);
        assert_int_equal(stdio_channel_receive(&ch, "R\1\0\1", 4, note, &s, &err), -EPROTO);
        assert_int_equal(stdio_channel_encode_stdin(&ch, "a", 1, frame), 0);
    }
}

static void random_bytes_are_survived(void **state)
{
    (void)state;
    uint32_t x = 1;
    uint64_t sum = 0;
    for (unsigned round = 0; round < 20000; round++) {
        struct stdio_channel ch;
        uint8_t data[64] = "R\1\0\1";
        for (unsigned i = 4; i < sizeof(data); i++) {
            x = x * 1664525 + 1013904223;
            data[i] = x >> 30 ? "OECX\0\1\2\0"[x >> 16 & 7] : x >> 20;
        }
        stdio_channel_init(&ch);
        int r = stdio_channel_receive(&ch, data, sizeof(data), drop, &sum, NULL);
        assert_true(r == 0 || r == -EPROTO);
        assert_true(stdio_channel_room(&ch) <= STDIO_CREDIT_MAX);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_become_events_however_they_are_cut),
        cmocka_unit_test(stdin_never_exceeds_credit),
        cmocka_unit_test(credit_saturates),
        cmocka_unit_test(eof_is_sent_once_and_ends_stdin),
        cmocka_unit_test(broken_frames_end_the_channel),
        cmocka_unit_test(random_bytes_are_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
