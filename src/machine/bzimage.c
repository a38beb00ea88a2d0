/* SPDX-License-Identifier: MIT */
/*
 * Implementation of the bzImage reader.
 */
#include "machine/bzimage.h"

#include "base/checked.h"
#include "machine/decompress.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

enum {
    HEADER_AT = 0x1f1,
    BOOT_FLAG_AT = 0x1fe,
    JUMP_LEN_AT = 0x201, /* displacement byte of the short jump: the header ends that far behind the jump */
    MAGIC_AT = 0x202,
    VERSION_MIN = 0x0208,
    SECTOR = 512,
    SETUP_SECTS_DEFAULT = 4,
};

_Bool bzimage_detect(const void *data, size_t len)
{
    const uint8_t *p = data;
    return len >= MAGIC_AT + 4 && p[BOOT_FLAG_AT] == 0x55 && p[BOOT_FLAG_AT + 1] == 0xaa && memcmp(p + MAGIC_AT, "HdrS", 4) == 0;
}

static int find_payload(const uint8_t *data, size_t len, struct bzimage *bz, struct error *err)
{
    const struct setup_header *h = &bz->header;
    const uint64_t setup = ((uint64_t)(h->setup_sects ? h->setup_sects : SETUP_SECTS_DEFAULT) + 1) * SECTOR;
    const uint64_t start = setup + h->payload_offset;
    const uint64_t end = start + h->payload_length;
    const uint64_t whole = setup + (uint64_t)h->syssize * 16;
    if (h->payload_length <= 4)
        return error_set(err, -ENOEXEC, "a bzImage whose header says it has no payload");
    if (len < end)
        return error_set(err, -ENOEXEC, "truncated: a bzImage of %ju bytes cut off after %zu", (uintmax_t)MAX(whole, end), len);
    bz->payload = data + start;
    bz->payload_len = h->payload_length;
    return 0;
}

int bzimage_parse(const void *data, size_t len, struct bzimage *ret_bz, struct error *err)
{
    const uint8_t *p = data;
    const size_t header_end = MIN((size_t)MAGIC_AT + p[JUMP_LEN_AT], HEADER_AT + sizeof(struct setup_header));
    if (len < HEADER_AT + sizeof(struct setup_header))
        return error_set(err, -ENOEXEC, "truncated: a bzImage cut off after %zu bytes", len);
    struct bzimage bz = { 0 };
    memcpy(&bz.header, p + HEADER_AT, header_end - HEADER_AT);
    if (bz.header.version < VERSION_MIN)
        return error_set(err, -ENOTSUP, "a kernel of boot protocol %u.%02u, 2.08 (Linux 2.6.26) is the oldest that works",
                         bz.header.version >> 8, bz.header.version & 0xff);
    if (header_end < HEADER_AT + offsetof(struct setup_header, setup_data))
        return error_set(err, -ENOEXEC, "a bzImage whose header is only %zu bytes long", header_end - HEADER_AT);
    int r = find_payload(p, len, &bz, err);
    if (r < 0)
        return r;
    *ret_bz = bz;
    return 0;
}

int bzimage_unpack(const struct bzimage *bz, size_t max, struct blob *ret_vmlinux, struct error *err)
{
    struct blob out;
    if (compression_detect(bz->payload, bz->payload_len) == COMPRESSION_NONE && memcmp(bz->payload, "\177ELF", 4) != 0)
        return error_set(err, -ENOTSUP, "corrupt or unknown compression (payload begins with %02x %02x %02x %02x)",
                         bz->payload[0], bz->payload[1], bz->payload[2], bz->payload[3]);
    int r = decompress(bz->payload, bz->payload_len, max, &out, err);
    if (r < 0)
        return r;
    uint32_t size;
    memcpy(&size, bz->payload + bz->payload_len - 4, sizeof(size));
    if (compression_detect(bz->payload, bz->payload_len) != COMPRESSION_NONE && size != (uint32_t)out.len) {
        r = error_set(err, -EBADMSG, "corrupt: %zu bytes decompressed, %u expected", out.len, size);
        blob_done(&out);
        return r;
    }
    *ret_vmlinux = out;
    return 0;
}
