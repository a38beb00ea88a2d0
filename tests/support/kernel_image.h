/* SPDX-License-Identifier: MIT */
/*
 * Makes small kernel images of every format for tests of the loaders: compressed blobs, ELF, bzImage, Multiboot.
 */
#ifndef DOPPEL_TESTS_SUPPORT_KERNEL_IMAGE_H
#define DOPPEL_TESTS_SUPPORT_KERNEL_IMAGE_H

#include <assert.h>
#include <elf.h>
#include <lz4.h>
#include <lzma.h>
#include <stdbool.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "base/checked.h"
#include "core/types.h"
#include "machine/blob.h"
#include "machine/decompress.h"

#define IMAGE_MAX (64UL << 20)

static inline void image_put(struct blob *b, const void *data, size_t len)
{
    int r = blob_append(b, data, len, IMAGE_MAX, NULL);
    assert(r == 0);
    (void)r;
}

static inline void image_put32(struct blob *b, uint32_t v)
{
    image_put(b, &v, sizeof(v));
}

/* Writes `len` bytes at `at`, growing the blob with zeroes. */
static inline void image_poke(struct blob *b, size_t at, const void *data, size_t len)
{
    static const uint8_t zeroes[4096];
    while (b->len < at + len)
        image_put(b, zeroes, MIN(sizeof(zeroes), at + len - b->len));
    memcpy(b->data + at, data, len);
}

static inline void image_poke32(struct blob *b, size_t at, uint32_t v)
{
    image_poke(b, at, &v, sizeof(v));
}

static inline void image_gzip(struct blob *out, const void *data, size_t len)
{
    z_stream z = { .next_in = (uint8_t *)data, .avail_in = len };
    int r = deflateInit2(&z, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
    assert(r == Z_OK);
    r = blob_reserve(out, deflateBound(&z, len), IMAGE_MAX, NULL);
    assert(r == 0);
    z.next_out = out->data + out->len;
    z.avail_out = out->capacity - out->len;
    r = deflate(&z, Z_FINISH);
    assert(r == Z_STREAM_END);
    out->len += z.total_out;
    deflateEnd(&z);
}

/* As Linux' build does it: x86 BCJ filter, CRC32, LZMA2. */
static inline void image_xz(struct blob *out, const void *data, size_t len)
{
    lzma_options_lzma options;
    lzma_lzma_preset(&options, 0);
    lzma_filter filters[] = { { LZMA_FILTER_X86, NULL }, { LZMA_FILTER_LZMA2, &options }, { LZMA_VLI_UNKNOWN, NULL } };
    int r = blob_reserve(out, lzma_stream_buffer_bound(len), IMAGE_MAX, NULL);
    assert(r == 0);
    lzma_ret lr = lzma_stream_buffer_encode(filters, LZMA_CHECK_CRC32, NULL, data, len, out->data, &out->len, out->capacity);
    assert(lr == LZMA_OK);
    (void)r;
    (void)lr;
}

/* Blocks of 8 MiB, each behind its length. */
static inline void image_lz4(struct blob *out, const void *data, size_t len)
{
    enum { BLOCK = 8 << 20 };
    image_put32(out, 0x184c2102);
    for (size_t at = 0; at < len; at += BLOCK) {
        int n = MIN(len - at, (size_t)BLOCK);
        int r = blob_reserve(out, 4 + LZ4_compressBound(n), IMAGE_MAX, NULL);
        assert(r == 0);
        (void)r;
        uint32_t packed = LZ4_compress_default((const char *)data + at, (char *)out->data + out->len + 4, n,
                                               LZ4_compressBound(n));
        memcpy(out->data + out->len, &packed, 4);
        out->len += 4 + packed;
    }
}

static inline void image_zstd(struct blob *out, const void *data, size_t len)
{
    int r = blob_reserve(out, ZSTD_compressBound(len), IMAGE_MAX, NULL);
    assert(r == 0);
    (void)r;
    out->len += ZSTD_compress(out->data + out->len, out->capacity - out->len, data, len, 3);
}

/* Appends the data compressed, and like Linux' build the decompressed size (which gzip has by itself). */
static inline void image_compress(struct blob *out, enum compression c, const void *data, size_t len)
{
    switch (c) {
    case COMPRESSION_GZIP: image_gzip(out, data, len); return;
    case COMPRESSION_XZ: image_xz(out, data, len); break;
    case COMPRESSION_LZ4: image_lz4(out, data, len); break;
    case COMPRESSION_ZSTD: image_zstd(out, data, len); break;
    default: assert(!"a compressor");
    }
    image_put32(out, len);
}

/* Where things are in the files that image_elf() makes. */
enum { IMAGE_MB_AT = 0x100, IMAGE_NOTE_AT = 0x140, IMAGE_CODE_AT = 0x200 };

struct image_elf {
    bool is_32;
    uint16_t machine; /* 0: x86 of the class */
    uint16_t type;    /* 0: ET_EXEC */
    uint64_t entry;
    uint64_t vaddr;
    uint64_t paddr;
    const void *code;
    size_t code_len;
    uint64_t mem_size;  /* 0: code_len */
    uint64_t pvh_entry; /* 0: no note */
    bool interpreter;
    bool multiboot; /* with a header, flags mb_flags, without address fields */
    uint32_t mb_flags;
};

static inline void image_phdr(struct blob *b, const struct image_elf *e, unsigned i, uint32_t type, uint64_t at, uint64_t vaddr,
                              uint64_t paddr, uint64_t filesz, uint64_t memsz)
{
    const Elf64_Phdr p64 = {
        .p_type = type, .p_offset = at, .p_vaddr = vaddr, .p_paddr = paddr, .p_filesz = filesz, .p_memsz = memsz
    };
    const Elf32_Phdr p32 = {
        .p_type = type, .p_offset = at, .p_vaddr = vaddr, .p_paddr = paddr, .p_filesz = filesz, .p_memsz = memsz
    };
    if (e->is_32)
        image_poke(b, sizeof(Elf32_Ehdr) + i * sizeof(p32), &p32, sizeof(p32));
    else
        image_poke(b, sizeof(Elf64_Ehdr) + i * sizeof(p64), &p64, sizeof(p64));
}

/* An ELF file with one loadable segment and, if wanted, a PVH note, a Multiboot header, an interpreter. */
static inline struct blob image_elf(const struct image_elf *e)
{
    struct blob b = { 0 };
    unsigned n = 0;
    image_phdr(&b, e, n++, PT_LOAD, IMAGE_CODE_AT, e->vaddr, e->paddr, e->code_len, e->mem_size ? e->mem_size : e->code_len);
    if (e->pvh_entry) {
        const uint32_t note[] = { 4, 4, 18, 0x006e6558 /* "Xen" */, e->pvh_entry };
        image_poke(&b, IMAGE_NOTE_AT, note, sizeof(note));
        image_phdr(&b, e, n++, PT_NOTE, IMAGE_NOTE_AT, 0, 0, sizeof(note), sizeof(note));
    }
    if (e->interpreter)
        image_phdr(&b, e, n++, PT_INTERP, 0, 0, 0, 1, 1);
    if (e->multiboot) {
        image_poke32(&b, IMAGE_MB_AT, 0x1badb002);
        image_poke32(&b, IMAGE_MB_AT + 4, e->mb_flags);
        image_poke32(&b, IMAGE_MB_AT + 8, -(0x1badb002 + e->mb_flags));
    }
    image_poke(&b, IMAGE_CODE_AT, e->code, e->code_len);
    const uint16_t type = e->type ? e->type : ET_EXEC;
    if (e->is_32) {
        const Elf32_Ehdr h = { { 0x7f, 'E', 'L', 'F', ELFCLASS32, ELFDATA2LSB, 1 },
                               type,
                               e->machine ? e->machine : EM_386,
                               1,
                               e->entry,
                               sizeof(h),
                               0,
                               0,
                               sizeof(h),
                               sizeof(Elf32_Phdr),
                               n,
                               0,
                               0,
                               0 };
        image_poke(&b, 0, &h, sizeof(h));
    } else {
        const Elf64_Ehdr h = { { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, 1 },
                               type,
                               e->machine ? e->machine : EM_X86_64,
                               1,
                               e->entry,
                               sizeof(h),
                               0,
                               0,
                               sizeof(h),
                               sizeof(Elf64_Phdr),
                               n,
                               0,
                               0,
                               0 };
        image_poke(&b, 0, &h, sizeof(h));
    }
    return b;
}

/* A bzImage of boot protocol 2.15 with the payload behind one setup sector and 64 bytes of "decompressor". */
static inline struct blob image_bzimage(const struct blob *payload)
{
    enum { SETUP = 1024, PAYLOAD_AT = 64 };
    struct blob b = { 0 };
    image_poke(&b, SETUP + PAYLOAD_AT, payload->data, payload->len);
    image_poke(&b, 0x1f1, "\x01", 1); /* setup_sects */
    image_poke32(&b, 0x1f4, (PAYLOAD_AT + payload->len + 15) / 16);
    image_poke(&b, 0x1fe, "\x55\xaa\xeb\x6aHdrS\x0f\x02", 10);
    image_poke(&b, 0x211, "\x01", 1);      /* loadflags: LOADED_HIGH */
    image_poke32(&b, 0x22c, 0x7fffffff);   /* initrd_addr_max */
    image_poke(&b, 0x236, "\x7f\x00", 2);  /* xloadflags */
    image_poke32(&b, 0x238, 2047);         /* cmdline_size */
    image_poke32(&b, 0x248, PAYLOAD_AT);   /* payload_offset */
    image_poke32(&b, 0x24c, payload->len); /* payload_length */
    static const uint8_t pad[16];
    image_put(&b, pad, (16 - b.len % 16) % 16);
    return b;
}

#endif
