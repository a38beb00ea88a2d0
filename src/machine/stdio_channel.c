/* SPDX-License-Identifier: MIT */
/*
 * Implementation of the command channel's framing.
 */
#include "machine/stdio_channel.h"

#include "base/checked.h"

#include <errno.h>
#include <string.h>

static int broken(struct stdio_channel *ch, struct error *err, const char *why)
{
    ch->broken = true;
    return error_set(err, -EPROTO, "the guest sent a broken frame on its command channel: %s", why);
}

/* Data length of a frame of fixed length, -1 for output, -2 for an unknown type. */
static int fixed_len(uint8_t type)
{
    switch (type) {
    case STDIO_FRAME_READY:
    case STDIO_FRAME_EXIT: return 1;
    case STDIO_FRAME_CREDIT: return 2;
    case STDIO_FRAME_STDOUT:
    case STDIO_FRAME_STDERR: return -1;
    default: return -2;
    }
}

/* A header is complete. */
static int begin_frame(struct stdio_channel *ch, struct error *err)
{
    const int fixed = fixed_len(ch->header[0]);
    ch->left = ch->header[1] | ch->header[2] << 8;
    ch->small_len = 0;
    if (fixed == -2)
        return broken(ch, err, "unknown type");
    if (fixed >= 0 && ch->left != fixed)
        return broken(ch, err, "wrong length");
    if (!ch->ready && ch->header[0] != STDIO_FRAME_READY)
        return broken(ch, err, "not ready yet");
    if (ch->left == 0)
        ch->header_len = 0;
    return 0;
}

/* A frame of fixed length is complete in ch->small. */
static int end_small(struct stdio_channel *ch, stdio_event_fn fn, void *opaque, struct error *err)
{
    struct stdio_event ev = { .type = STDIO_EVENT_READY };
    switch (ch->header[0]) {
    case STDIO_FRAME_READY:
        if (ch->ready || ch->small[0] != STDIO_VERSION)
            return broken(ch, err, ch->ready ? "ready twice" : "unknown protocol version");
        ch->ready = true;
        break;
    case STDIO_FRAME_CREDIT:
        ch->credit = MIN(ch->credit + (ch->small[0] | (uint32_t)ch->small[1] << 8), (uint32_t)STDIO_CREDIT_MAX);
        ev.type = STDIO_EVENT_CREDIT;
        break;
    case STDIO_FRAME_EXIT:
        ch->exited = true;
        ev.type = STDIO_EVENT_EXIT;
        ev.status = ch->small[0];
        break;
    }
    ch->header_len = 0;
    fn(opaque, &ev);
    return 0;
}

/* Takes data of the current frame; returns how much. */
static int take_data(struct stdio_channel *ch, const uint8_t *p, size_t len, stdio_event_fn fn, void *opaque, struct error *err)
{
    const uint8_t type = ch->header[0];
    if (type == STDIO_FRAME_STDOUT || type == STDIO_FRAME_STDERR) {
        const struct stdio_event ev = {
            .type = type == STDIO_FRAME_STDOUT ? STDIO_EVENT_STDOUT : STDIO_EVENT_STDERR,
            .data = p,
            .len = MIN(len, (size_t)ch->left),
        };
        ch->left -= ev.len;
        if (ch->left == 0)
            ch->header_len = 0;
        fn(opaque, &ev);
        return ev.len;
    }
    ch->small[ch->small_len++] = *p;
    ch->left--;
    int r = ch->left == 0 ? end_small(ch, fn, opaque, err) : 0;
    return r < 0 ? r : 1;
}

static size_t put_header(uint8_t *frame, uint8_t type, size_t len)
{
    frame[0] = type;
    frame[1] = len & 0xff;
    frame[2] = len >> 8;
    return STDIO_HEADER_LEN;
}

void stdio_channel_init(struct stdio_channel *ch)
{
    *ch = (struct stdio_channel){ 0 };
}

int stdio_channel_receive(struct stdio_channel *ch, const void *data, size_t len, stdio_event_fn fn, void *opaque,
                          struct error *err)
{
    const uint8_t *p = data;
    if (ch->broken)
        return broken(ch, err, "an earlier one");
    while (len && !ch->exited) {
        int n = 1;
        if (ch->header_len < STDIO_HEADER_LEN) {
            ch->header[ch->header_len++] = *p;
            if (ch->header_len == STDIO_HEADER_LEN && begin_frame(ch, err) < 0)
                return -EPROTO;
        } else {
            n = take_data(ch, p, len, fn, opaque, err);
        }
        if (n < 0)
            return n;
        p += n;
        len -= n;
    }
    return 0;
}

size_t stdio_channel_room(const struct stdio_channel *ch)
{
    return ch->eof_sent || ch->exited || ch->broken ? 0 : ch->credit;
}

size_t stdio_channel_encode_stdin(struct stdio_channel *ch, const void *data, size_t len, uint8_t *ret_frame)
{
    len = MIN(MIN(len, stdio_channel_room(ch)), (size_t)STDIO_DATA_MAX);
    if (len == 0)
        return 0;
    memcpy(ret_frame + put_header(ret_frame, STDIO_FRAME_STDIN, len), data, len);
    ch->credit -= len;
    return len;
}

size_t stdio_channel_encode_eof(struct stdio_channel *ch, uint8_t *ret_frame)
{
    if (!ch->ready || ch->eof_sent || ch->exited || ch->broken)
        return 0;
    ch->eof_sent = true;
    return put_header(ret_frame, STDIO_FRAME_EOF, 0);
}
