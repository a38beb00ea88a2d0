/* SPDX-License-Identifier: MIT */
/*
 * The host's end of the framed channel that carries a guest command's stdin, stdout, stderr and exit status.
 *
 * The bytes travel over the guest's second serial port; docs/run-command.md describes the frames, guests/init.c is the
 * other end. This file only turns bytes into events and stdin into frames: no I/O, no threads (one owner), memory of
 * fixed size. The guest is hostile: any byte sequence is survived, a broken one ends the channel with -EPROTO.
 */
#ifndef DOPPEL_MACHINE_STDIO_CHANNEL_H
#define DOPPEL_MACHINE_STDIO_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* Type bytes. A frame: type, length of the data (16 bits, low byte first), data. */
enum stdio_frame {
    STDIO_FRAME_READY = 'R',  /* guest to host; data: protocol version */
    STDIO_FRAME_STDOUT = 'O', /* guest to host */
    STDIO_FRAME_STDERR = 'E', /* guest to host */
    STDIO_FRAME_CREDIT = 'C', /* guest to host; data: 16 bits, low byte first: that many more bytes of stdin may come */
    STDIO_FRAME_EXIT = 'X',   /* guest to host; data: exit status, 128 + signal number when killed */
    STDIO_FRAME_STDIN = 'I',  /* host to guest */
    STDIO_FRAME_EOF = 'F',    /* host to guest; no data: stdin ends */
};

enum {
    STDIO_VERSION = 1,
    STDIO_HEADER_LEN = 3,
    STDIO_DATA_MAX = 1024, /* bytes of stdin in one frame from the host */
    STDIO_FRAME_MAX = STDIO_HEADER_LEN + STDIO_DATA_MAX,
    STDIO_CREDIT_MAX = 1 << 20, /* credit beyond this is not counted */
};

enum stdio_event_type {
    STDIO_EVENT_READY,  /* init runs; about to start the command */
    STDIO_EVENT_STDOUT, /* data, len: some output; a frame may come in several pieces */
    STDIO_EVENT_STDERR, /* the same */
    STDIO_EVENT_CREDIT, /* stdio_channel_room() grew */
    STDIO_EVENT_EXIT,   /* status; the last event */
};

struct stdio_event {
    enum stdio_event_type type;
    const uint8_t *data; /* borrowed for the call */
    size_t len;
    uint8_t status;
};
typedef void (*stdio_event_fn)(void *opaque, const struct stdio_event *event);

struct stdio_channel {
    uint8_t header[STDIO_HEADER_LEN];
    uint8_t small[2]; /* data of the frames of fixed length */
    uint8_t header_len;
    uint8_t small_len;
    uint16_t left; /* data bytes of the current frame still to come */
    uint32_t credit;
    bool ready;
    bool exited;
    bool eof_sent;
    bool broken;
};

/* Start state: also to be called when the guest was reset. */
void stdio_channel_init(struct stdio_channel *ch);

/* Takes bytes from the guest and calls fn for each event, in order. Bytes after the exit status are ignored. -EPROTO on
 * a broken frame; from then on every call fails. */
MUST_CHECK int stdio_channel_receive(struct stdio_channel *ch, const void *data, size_t len, stdio_event_fn fn, void *opaque,
                                     struct error *err);

/* Bytes of stdin the guest is ready to take now. 0 after EOF, exit or an error. */
size_t stdio_channel_room(const struct stdio_channel *ch);

/* Writes a frame with the first bytes of stdin to `ret_frame` (STDIO_FRAME_MAX bytes of room): at most `len`,
 * stdio_channel_room() and STDIO_DATA_MAX of them. Returns how many were taken; the frame has STDIO_HEADER_LEN bytes
 * more; 0: nothing was written. */
size_t stdio_channel_encode_stdin(struct stdio_channel *ch, const void *data, size_t len, uint8_t *ret_frame);

/* Writes the end-of-file frame, once: returns its length, STDIO_HEADER_LEN, or 0 when it was sent before or the guest is
 * not ready for it. */
size_t stdio_channel_encode_eof(struct stdio_channel *ch, uint8_t *ret_frame);

#endif
