/* SPDX-License-Identifier: MIT */
/*
 * Host code memory: one memfd (or anonymous memory) mapped twice, writable at one address and executable at another, never both
 * at one.
 *
 * Code is appended at `pos` through the writable view. Running out of room sets `failed`, which makes every later put a
 * no-op, so that emitters need one check at the end. codebuf_reset() empties the buffer; the caller knows that nobody
 * runs in it. Not thread-safe; made and used by one thread (others may execute).
 */
#ifndef DOPPEL_EMIT_CODEBUF_H
#define DOPPEL_EMIT_CODEBUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/error.h"

struct codebuf {
    uint8_t *rw; /* owned mapping, read-write view */
    uint8_t *rx; /* owned mapping, read-execute view of the same bytes */
    size_t size; /* bytes */
    size_t end;  /* nothing is put there and behind; `size` unless its user says less */
    size_t pos;  /* next byte to write */
    bool failed; /* sticky: something did not fit since the last reset or rollback */
};

/* Maps `size` bytes (rounded up to pages; at most 1 GiB), if possible so that code reaches `near` (NULL: nothing) relative to
 * rip. -EINVAL, -ENOMEM, or what memfd_create(2) and mmap(2) say. */
MUST_CHECK int codebuf_init(struct codebuf *cb, size_t size, const void *near, struct error *err);
/* The same from shared anonymous memory, which perf(1), unlike memfd's, looks up in /tmp/perf-PID.map. */
MUST_CHECK int codebuf_init_named(struct codebuf *cb, size_t size, struct error *err);
/* `pos` goes up from `from` to `to`, or begins there (from == to): when `to` is in other 2 MiB, makes these a large page of the
 * host now (it does so even where its settings for shared memory say never; Linux 6.1). That saves the faults of 512 small ones
 * in both views, and code that is spread out waits less for the host's TLB. */
void codebuf_goes(struct codebuf *cb, size_t from, size_t to);
/* Unmaps; takes a zeroed buffer too. */
void codebuf_done(struct codebuf *cb);
/* Forgets all code and the sticky error. */
void codebuf_reset(struct codebuf *cb);
/* Drops what was written since `pos` (an earlier cb->pos) and clears the sticky error. */
void codebuf_rollback(struct codebuf *cb, size_t pos);
/* Pads with int3 to a multiple of `align` (a power of two). */
void codebuf_align(struct codebuf *cb, size_t align);
/* Execution address of the next byte. */
static inline const uint8_t *codebuf_here(const struct codebuf *cb)
{
    return cb->rx + cb->pos;
}

/* Whether all code can reach an address relative to rip. */
static inline bool codebuf_reaches(const struct codebuf *cb, const void *address)
{
    const int64_t far = (1LL << 31) - 4096;
    int64_t first = (int64_t)((uintptr_t)address - (uintptr_t)cb->rx), last = first - (int64_t)cb->size;
    return first > -far && first < far && last > -far && last < far;
}

/* Whether an execution address lies in this buffer. */
static inline bool codebuf_contains(const struct codebuf *cb, uintptr_t addr)
{
    return addr - (uintptr_t)cb->rx < cb->size;
}

static inline void codebuf_put1(struct codebuf *cb, uint8_t v)
{
    if (cb->pos < cb->end && !cb->failed)
        cb->rw[cb->pos++] = v;
    else
        cb->failed = true;
}

/* Appends len bytes. */
static inline void codebuf_put(struct codebuf *cb, const void *bytes, size_t len)
{
    if (cb->failed || cb->pos > cb->end || len > cb->end - cb->pos) {
        cb->failed = true;
        return;
    }
    memcpy(cb->rw + cb->pos, bytes, len);
    cb->pos += len;
}

static inline void codebuf_put4(struct codebuf *cb, uint32_t v)
{
    codebuf_put(cb, &v, sizeof(v));
}

static inline void codebuf_put8(struct codebuf *cb, uint64_t v)
{
    codebuf_put(cb, &v, sizeof(v));
}

#endif
