/* SPDX-License-Identifier: MIT */
/*
 * Implementation of decompression by magic: one loop a library, all growing one output blob.
 */
#include "machine/decompress.h"

#include "base/checked.h"

#include <errno.h>
#include <limits.h>
#include <lz4.h>
#include <lzma.h>
#include <stdbool.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

enum {
    OUT_STEP = 1 << 20,
    LZ4_MAGIC = 0x184c2102,
    LZ4_BLOCK_MAX = 8 << 20, /* decompressed bytes of one legacy block */
};
#define XZ_MEMORY_MAX (512UL << 20)

struct magic {
    enum compression type;
    unsigned len;
    uint8_t bytes[8];
};

static const struct magic magics[] = {
    { COMPRESSION_GZIP, 3, { 0x1f, 0x8b, 0x08 } },      { COMPRESSION_XZ, 6, { 0xfd, '7', 'z', 'X', 'Z', 0x00 } },
    { COMPRESSION_LZ4, 4, { 0x02, 0x21, 0x4c, 0x18 } }, { COMPRESSION_ZSTD, 4, { 0x28, 0xb5, 0x2f, 0xfd } },
    { COMPRESSION_BZIP2, 3, { 'B', 'Z', 'h' } },        { COMPRESSION_LZMA, 3, { 0x5d, 0x00, 0x00 } },
    { COMPRESSION_LZO, 4, { 0x89, 'L', 'Z', 'O' } },
};

static int corrupt(struct error *err, enum compression c, const char *why)
{
    return error_set(err, -EBADMSG, "corrupt %s data: %s", compression_name(c), why);
}

static int truncated(struct error *err, enum compression c)
{
    return corrupt(err, c, "it ends too early");
}

/* At least one free byte behind b->len, a large step if the limit allows it. */
static int grow(struct blob *b, size_t max, struct error *err)
{
    if (b->capacity > b->len)
        return 0;
    if (b->len >= max)
        return error_set(err, -E2BIG, "decompresses to more than %zu bytes", max);
    return blob_reserve(b, MIN((size_t)OUT_STEP, max - b->len), max, err);
}

static int inflate_loop(z_stream *z, size_t max, struct blob *out, struct error *err)
{
    for (;;) {
        int r = grow(out, max, err);
        if (r < 0)
            return r;
        size_t room = MIN(out->capacity - out->len, (size_t)INT_MAX);
        z->next_out = out->data + out->len;
        z->avail_out = room;
        int zr = inflate(z, Z_NO_FLUSH);
        out->len += room - z->avail_out;
        if (zr == Z_STREAM_END)
            return 0;
        if (zr == Z_MEM_ERROR)
            return error_set(err, -ENOMEM, "no memory for the gzip decoder");
        if (zr == Z_BUF_ERROR || (zr == Z_OK && z->avail_in == 0 && z->avail_out != 0))
            return truncated(err, COMPRESSION_GZIP);
        if (zr != Z_OK)
            return corrupt(err, COMPRESSION_GZIP, z->msg ? z->msg : "bad stream");
    }
}

static int gunzip(const uint8_t *data, size_t len, size_t max, struct blob *out, struct error *err)
{
    if (len > UINT_MAX)
        return error_set(err, -E2BIG, "more than %u bytes of gzip data", UINT_MAX);
    z_stream z = { .next_in = (uint8_t *)data, .avail_in = len };
    if (inflateInit2(&z, 16 + MAX_WBITS) != Z_OK)
        return error_set(err, -ENOMEM, "no memory for the gzip decoder");
    int r = inflate_loop(&z, max, out, err);
    (void)inflateEnd(&z); /* frees; cannot fail for a stream that was initialised */
    return r;
}

static int unxz_loop(lzma_stream *s, size_t max, struct blob *out, struct error *err)
{
    for (;;) {
        int r = grow(out, max, err);
        if (r < 0)
            return r;
        s->next_out = out->data + out->len;
        s->avail_out = out->capacity - out->len;
        lzma_ret lr = lzma_code(s, LZMA_FINISH);
        out->len = out->capacity - s->avail_out;
        if (lr == LZMA_STREAM_END)
            return 0;
        if (lr == LZMA_MEM_ERROR || lr == LZMA_MEMLIMIT_ERROR)
            return error_set(err, -ENOMEM, "xz data needs more than %lu bytes to decode", XZ_MEMORY_MAX);
        if (lr == LZMA_BUF_ERROR)
            return truncated(err, COMPRESSION_XZ);
        if (lr == LZMA_OPTIONS_ERROR)
            return corrupt(err, COMPRESSION_XZ, "unknown filter or option");
        if (lr != LZMA_OK)
            return corrupt(err, COMPRESSION_XZ, "bad stream or checksum");
    }
}

static int unxz(const uint8_t *data, size_t len, size_t max, struct blob *out, struct error *err)
{
    lzma_stream s = LZMA_STREAM_INIT;
    if (lzma_stream_decoder(&s, XZ_MEMORY_MAX, 0) != LZMA_OK)
        return error_set(err, -ENOMEM, "no memory for the xz decoder");
    s.next_in = data;
    s.avail_in = len;
    int r = unxz_loop(&s, max, out, err);
    lzma_end(&s);
    return r;
}

static uint32_t le32(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static int unlz4_block(const uint8_t *data, size_t len, size_t max, struct blob *out, struct error *err)
{
    size_t room = MIN((size_t)LZ4_BLOCK_MAX, max - out->len);
    int r = blob_reserve(out, room, max, err);
    if (r < 0)
        return r;
    int n = LZ4_decompress_safe((const char *)data, (char *)out->data + out->len, len, room);
    if (n < 0 && room < LZ4_BLOCK_MAX) /* most likely: the library does not tell the two apart */
        return error_set(err, -E2BIG, "decompresses to more than %zu bytes or is corrupt", max);
    if (n < 0)
        return corrupt(err, COMPRESSION_LZ4, "bad block");
    out->len += n;
    return 0;
}

/* At most how many bytes come out, so that the blob need not grow: all blocks but the last are full. */
static size_t unlz4_bound(const uint8_t *data, size_t len, size_t max)
{
    size_t bound = 0;
    for (size_t at = 4; len - at > 4 && bound < max;) {
        uint32_t n = le32(data + at);
        at += 4;
        if (n == LZ4_MAGIC)
            continue;
        if (n == 0 || n > len - at)
            break;
        at += n;
        bound += LZ4_BLOCK_MAX;
    }
    return MIN(bound, max);
}

/* A legacy frame has no end mark: it is a list of (length, block) up to the end of the data. Linux appends the
 * decompressed size, 4 bytes where the next length would be; zero padding ends the list too. */
static int unlz4(const uint8_t *data, size_t len, size_t max, struct blob *out, struct error *err)
{
    size_t at = 4;
    int r = blob_reserve(out, unlz4_bound(data, len, max), max, err);
    if (r < 0)
        return r;
    while (len - at > 4) {
        uint32_t n = le32(data + at);
        at += 4;
        if (n == LZ4_MAGIC)
            continue;
        if (n == 0)
            break;
        if (n > LZ4_COMPRESSBOUND(LZ4_BLOCK_MAX))
            return corrupt(err, COMPRESSION_LZ4, "bad block length");
        if (n > len - at)
            return truncated(err, COMPRESSION_LZ4);
        r = unlz4_block(data + at, n, max, out, err);
        if (r < 0)
            return r;
        at += n;
    }
    return out->len ? 0 : truncated(err, COMPRESSION_LZ4);
}

static int unzstd_loop(ZSTD_DStream *z, ZSTD_inBuffer *in, size_t max, struct blob *out, struct error *err)
{
    for (;;) {
        int r = grow(out, max, err);
        if (r < 0)
            return r;
        ZSTD_outBuffer ob = { .dst = out->data, .size = out->capacity, .pos = out->len };
        size_t in_before = in->pos;
        size_t zr = ZSTD_decompressStream(z, &ob, in);
        if (ZSTD_isError(zr))
            return corrupt(err, COMPRESSION_ZSTD, ZSTD_getErrorName(zr));
        bool stuck = ob.pos == out->len && in->pos == in_before;
        out->len = ob.pos;
        if (zr == 0)
            return 0;
        if (stuck || (in->pos == in->size && ob.pos < ob.size))
            return truncated(err, COMPRESSION_ZSTD);
    }
}

static int unzstd(const uint8_t *data, size_t len, size_t max, struct blob *out, struct error *err)
{
    ZSTD_DStream *z = ZSTD_createDStream(); /* its window limit, 128 MiB, is what zstd -22 needs */
    if (!z)
        return error_set(err, -ENOMEM, "no memory for the zstd decoder");
    ZSTD_inBuffer in = { .src = data, .size = len };
    int r = unzstd_loop(z, &in, max, out, err);
    ZSTD_freeDStream(z);
    return r;
}

static int decompress_as(enum compression c, const uint8_t *data, size_t len, size_t max, struct blob *out, struct error *err)
{
    switch (c) {
    case COMPRESSION_NONE: return blob_append(out, data, len, max, err);
    case COMPRESSION_GZIP: return gunzip(data, len, max, out, err);
    case COMPRESSION_XZ: return unxz(data, len, max, out, err);
    case COMPRESSION_LZ4: return unlz4(data, len, max, out, err);
    case COMPRESSION_ZSTD: return unzstd(data, len, max, out, err);
    case COMPRESSION_BZIP2:
    case COMPRESSION_LZMA:
    case COMPRESSION_LZO: break;
    }
    return error_set(err, -ENOTSUP, "%s compression is not supported (gzip, xz, lz4 and zstd are)", compression_name(c));
}

enum compression compression_detect(const void *data, size_t len)
{
    for (size_t i = 0; i < ARRAY_SIZE(magics); i++) {
        if (len >= magics[i].len && memcmp(data, magics[i].bytes, magics[i].len) == 0)
            return magics[i].type;
    }
    return COMPRESSION_NONE;
}

const char *compression_name(enum compression c)
{
    switch (c) {
    case COMPRESSION_NONE: return "none";
    case COMPRESSION_GZIP: return "gzip";
    case COMPRESSION_XZ: return "xz";
    case COMPRESSION_LZ4: return "lz4";
    case COMPRESSION_ZSTD: return "zstd";
    case COMPRESSION_BZIP2: return "bzip2";
    case COMPRESSION_LZMA: return "lzma";
    case COMPRESSION_LZO: return "lzo";
    }
    return "?";
}

int decompress(const void *data, size_t len, size_t max, struct blob *ret_blob, struct error *err)
{
    struct blob out = { 0 };
    int r = decompress_as(compression_detect(data, len), data, len, max, &out, err);
    if (r < 0) {
        blob_done(&out);
        return r;
    }
    *ret_blob = out;
    return 0;
}
