/* SPDX-License-Identifier: MIT */
/*
 * Reads cpio archives in the newc format, written from the format's description; include it behind cmocka.h.
 */
#ifndef DOPPEL_TESTS_SUPPORT_CPIO_READER_H
#define DOPPEL_TESTS_SUPPORT_CPIO_READER_H

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "machine/blob.h"

enum { CPIO_HEADER = 110 };

struct cpio_entry {
    unsigned ino, mode, nlink, size, rmajor, rminor, check;
    const char *name;
    const uint8_t *data;
};

static inline unsigned cpio_hex(const uint8_t *header, unsigned field)
{
    char digits[9] = { 0 };
    memcpy(digits, header + 6 + 8 * field, 8);
    for (unsigned i = 0; i < 8; i++)
        assert_non_null(strchr("0123456789ABCDEFabcdef", digits[i]));
    return strtoul(digits, NULL, 16);
}

/* Reads the entry at *at and steps over it. */
static inline struct cpio_entry cpio_read_entry(const struct blob *b, size_t *at)
{
    assert_true(*at % 4 == 0 && *at + CPIO_HEADER <= b->len);
    const uint8_t *h = b->data + *at;
    assert_memory_equal(h, "070701", 6);
    struct cpio_entry e = { cpio_hex(h, 0),  cpio_hex(h, 1), cpio_hex(h, 4),
                            cpio_hex(h, 6),  cpio_hex(h, 9), cpio_hex(h, 10),
                            cpio_hex(h, 12), NULL,           NULL };
    const unsigned name_size = cpio_hex(h, 11);
    e.name = (const char *)h + CPIO_HEADER;
    assert_int_equal(strlen(e.name) + 1, name_size);
    size_t data_at = ALIGN_UP(*at + CPIO_HEADER + name_size, (size_t)4);
    e.data = b->data + data_at;
    *at = ALIGN_UP(data_at + e.size, (size_t)4);
    assert_true(*at <= b->len);
    return e;
}

#endif
