/* SPDX-License-Identifier: MIT */
/*
 * Laws of slices: their bytes are those of the range, and no piece of them is empty; copies touch the range and nothing else.
 */
#include "base/iovec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { BYTES = 24, PIECES = 4 };

static void every_slice_has_the_bytes_of_its_range(void **state)
{
    uint8_t memory[BYTES];
    const struct iovec iov[PIECES] = { { memory, 1 }, { memory + 1, 7 }, { memory + 8, 12 }, { memory + 20, 4 } };
    (void)state;
    for (size_t offset = 0; offset <= BYTES + 1; offset++)
        for (size_t len = 0; len <= BYTES + 1; len++) {
            struct iovec piece[PIECES];
            unsigned nr = iovec_slice(iov, PIECES, offset, len, piece);
            size_t at = offset;
            assert_in_range(nr, 0, PIECES);
            for (unsigned i = 0; i < nr; i++) {
                assert_ptr_equal(piece[i].iov_base, memory + at); /* the pieces lie one behind another */
                assert_true(piece[i].iov_len > 0);
                at += piece[i].iov_len;
            }
            size_t there = offset < BYTES ? BYTES - offset : 0;
            assert_int_equal(at - offset, len < there ? len : there);
        }
}

static void copies_are_of_the_range_and_flat_is_what_lies_in_one_piece(void **state)
{
    uint8_t memory[BYTES], out[BYTES + 1], before[BYTES];
    const struct iovec iov[PIECES] = { { memory, 1 }, { memory + 1, 7 }, { memory + 8, 12 }, { memory + 20, 4 } };
    static const size_t end_of[BYTES] = {
        1, 8, 8, 8, 8, 8, 8, 8, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 24, 24, 24, 24
    };
    (void)state;
    assert_int_equal(iovec_len(iov, PIECES), BYTES);
    for (size_t offset = 0; offset < BYTES; offset++)
        for (size_t len = 1; len <= BYTES - offset; len++) {
            for (unsigned i = 0; i < BYTES; i++)
                before[i] = memory[i] = (uint8_t)(i + 1);
            memset(out, 0xaa, sizeof(out));
            iovec_gather(iov, PIECES, offset, out, len);
            assert_memory_equal(out, memory + offset, len);
            assert_int_equal(out[len], 0xaa);
            for (size_t i = 0; i < len; i++)
                before[offset + i] = out[i] = (uint8_t)(0x80 + i);
            iovec_scatter(iov, PIECES, offset, out, len);
            assert_memory_equal(memory, before, BYTES);
            assert_ptr_equal(iovec_flat(iov, PIECES, offset, len), offset + len <= end_of[offset] ? memory + offset : NULL);
        }
    assert_null(iovec_flat(iov, PIECES, BYTES, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_slice_has_the_bytes_of_its_range),
        cmocka_unit_test(copies_are_of_the_range_and_flat_is_what_lies_in_one_piece),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
