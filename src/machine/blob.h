/* SPDX-License-Identifier: MIT */
/*
 * A growing byte buffer with a limit, and whole files read into it.
 */
#ifndef DOPPEL_MACHINE_BLOB_H
#define DOPPEL_MACHINE_BLOB_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct blob {
    uint8_t *data; /* owned; NULL while capacity is 0 */
    size_t len;
    size_t capacity;
};

/* Frees the bytes; the blob is empty and usable again. */
void blob_done(struct blob *b);
/* Room for `more` bytes behind len; len stays. -E2BIG when len + more is over `max`, -ENOMEM. */
MUST_CHECK int blob_reserve(struct blob *b, size_t more, size_t max, struct error *err);
/* Appends a copy. Errors as blob_reserve(). */
MUST_CHECK int blob_append(struct blob *b, const void *data, size_t len, size_t max, struct error *err);
/* Reads a file or pipe whole. Messages name the path: -ENOENT and so on, -EISDIR, -ENODATA when empty, -E2BIG when
 * larger than `max` bytes. */
MUST_CHECK int blob_read_file(const char *path, size_t max, struct blob *ret_blob, struct error *err);

#endif
