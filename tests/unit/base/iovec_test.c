/* SPDX-License-Identifier: MIT */
/*
 * Laws of slices: their bytes are those of the range, and no piece of them is empty.
 */
#include "base/iovec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

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

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(every_slice_has_the_bytes_of_its_range) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
