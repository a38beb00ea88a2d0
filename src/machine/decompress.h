/* SPDX-License-Identifier: MIT */
/*
 * Whole-buffer decompression of the formats Linux kernels come in, told apart by their first bytes.
 *
 * gzip (zlib), xz with any filter liblzma knows (x86 BCJ included), lz4 in the legacy frame format, zstd. The input is
 * untrusted: output and decoder memory are limited, and bytes behind the compressed stream (Linux appends the size, build
 * tools pad) are ignored.
 *
 * Spec: RFC 1952; The .xz File Format 1.1.0; lz4_Frame_format.md "Legacy frame"; RFC 8878.
 */
#ifndef DOPPEL_MACHINE_DECOMPRESS_H
#define DOPPEL_MACHINE_DECOMPRESS_H

#include "machine/blob.h"

enum compression {
    COMPRESSION_NONE, /* no known magic */
    COMPRESSION_GZIP,
    COMPRESSION_XZ,
    COMPRESSION_LZ4,
    COMPRESSION_ZSTD,
    COMPRESSION_BZIP2, /* recognised only, to name it in messages, like the next two */
    COMPRESSION_LZMA,
    COMPRESSION_LZO,
};

enum compression compression_detect(const void *data, size_t len);
/* "gzip" and so on; static text. */
const char *compression_name(enum compression c);

/*
 * Decompresses into *ret_blob (initialised here; the caller frees it with blob_done()). COMPRESSION_NONE copies.
 * -EBADMSG corrupt or truncated, -E2BIG more than `max` bytes come out, -ENOTSUP bzip2, lzma and lzo, -ENOMEM.
 */
MUST_CHECK int decompress(const void *data, size_t len, size_t max, struct blob *ret_blob, struct error *err);

#endif
