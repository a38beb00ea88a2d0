/* SPDX-License-Identifier: MIT */
/*
 * Laws of decompression: what a library compressed comes back, anything else fails with a limit and a reason.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include "support/kernel_image.h"

#include <cmocka.h>

static const enum compression all[] = { COMPRESSION_GZIP, COMPRESSION_XZ, COMPRESSION_LZ4, COMPRESSION_ZSTD };

/* Text with repetitions and x86 calls (for the BCJ filter). */
static struct blob sample(size_t len)
{
    struct blob b = { 0 };
    uint32_t x = 12345;
    while (b.len < len) {
        const uint8_t call[] = { 0xe8, x >> 4, x >> 12, 0, 0, 0x90, x, x >> 8 };
        image_put(&b, call, MIN(sizeof(call), len - b.len));
        x = x * 1664525 + 1013904223;
    }
    return b;
}

static void round_trip(size_t len)
{
    for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
        struct blob in = sample(len), packed = { 0 }, out;
        struct error err = { 0 };
        image_compress(&packed, all[i], in.data, in.len);
        assert_int_equal(compression_detect(packed.data, packed.len), all[i]);
        if (decompress(packed.data, packed.len, len, &out, &err) < 0)
            fail_msg("%s: %s", compression_name(all[i]), err.msg);
        assert_int_equal(out.len, in.len);
        assert_memory_equal(out.data, in.data, in.len);
        blob_done(&in);
        blob_done(&packed);
        blob_done(&out);
    }
}

static void small_data_comes_back(void **state)
{
    (void)state;
    round_trip(1);
    round_trip(5000);
}

static void data_of_several_lz4_blocks_comes_back(void **state)
{
    (void)state;
    round_trip((8 << 20) + 4321);
    round_trip(16 << 20); /* ends on a block boundary, only the size follows */
}

static void output_limit_is_kept(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
        struct blob in = sample(100000), packed = { 0 }, out = { 0 };
        image_compress(&packed, all[i], in.data, in.len);
        assert_int_equal(decompress(packed.data, packed.len, 99999, &out, NULL), -E2BIG);
        assert_null(out.data);
        blob_done(&in);
        blob_done(&packed);
    }
}

static void truncation_is_an_error_at_every_length(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
        struct blob in = sample(3000), packed = { 0 }, out = { 0 };
        image_compress(&packed, all[i], in.data, in.len);
        const size_t stream = packed.len - (all[i] == COMPRESSION_GZIP ? 0 : 4);
        for (size_t len = 6; len < stream; len++) {
            uint8_t *exact = malloc(len); /* for the address sanitizer */
            memcpy(exact, packed.data, len);
            assert_int_equal(decompress(exact, len, 1 << 20, &out, NULL), -EBADMSG);
            free(exact);
        }
        blob_done(&in);
        blob_done(&packed);
    }
}

static void checksummed_formats_notice_a_flipped_bit(void **state)
{
    (void)state;
    static const enum compression summed[] = { COMPRESSION_GZIP, COMPRESSION_XZ };
    for (size_t i = 0; i < ARRAY_SIZE(summed); i++) {
        struct blob in = sample(2000), packed = { 0 }, out = { 0 };
        image_compress(&packed, summed[i], in.data, in.len);
        packed.data[packed.len / 2] ^= 0x10;
        assert_true(decompress(packed.data, packed.len, 1 << 20, &out, NULL) < 0);
        blob_done(&in);
        blob_done(&packed);
    }
}

static void unsupported_formats_are_named(void **state)
{
    (void)state;
    static const char *const magics[] = { "BZh91AY&SY", "\x5d\x00\x00\x80\x00", "\x89LZO\x00\x0d\x0a" };
    static const char *const names[] = { "bzip2", "lzma", "lzo" };
    for (size_t i = 0; i < ARRAY_SIZE(magics); i++) {
        struct blob out;
        struct error err = { 0 };
        char data[16] = { 0 };
        memcpy(data, magics[i], 5);
        assert_int_equal(decompress(data, sizeof(data), 1 << 20, &out, &err), -ENOTSUP);
        assert_non_null(strstr(err.msg, names[i]));
    }
}

static void plain_data_is_copied(void **state)
{
    (void)state;
    struct blob out;
    assert_int_equal(decompress("hello", 5, 5, &out, NULL), 0);
    assert_memory_equal(out.data, "hello", 5);
    blob_done(&out);
    assert_int_equal(decompress("hello", 5, 4, &out, NULL), -E2BIG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_data_comes_back),
        cmocka_unit_test(data_of_several_lz4_blocks_comes_back),
        cmocka_unit_test(output_limit_is_kept),
        cmocka_unit_test(truncation_is_an_error_at_every_length),
        cmocka_unit_test(checksummed_formats_notice_a_flipped_bit),
        cmocka_unit_test(unsupported_formats_are_named),
        cmocka_unit_test(plain_data_is_copied),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
