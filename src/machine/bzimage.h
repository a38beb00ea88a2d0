/* SPDX-License-Identifier: MIT */
/*
 * Reads a Linux bzImage: the setup header and where the compressed vmlinux is.
 *
 * Spec: Linux Documentation/arch/x86/boot.rst "The Real-Mode Kernel Header" (protocol 2.08 and later).
 */
#ifndef DOPPEL_MACHINE_BZIMAGE_H
#define DOPPEL_MACHINE_BZIMAGE_H

#include <asm/bootparam.h>

#include "machine/blob.h"

struct bzimage {
    struct setup_header header; /* fields behind the header's own length are 0 */
    const uint8_t *payload;     /* borrowed from the image: compressed vmlinux */
    size_t payload_len;         /* bytes, with the decompressed size in the last 4 */
};

/* True when the bytes have the boot flag and the header magic. */
_Bool bzimage_detect(const void *data, size_t len);

/* -ENOTSUP protocol older than 2.08; -ENOEXEC truncated or broken. */
MUST_CHECK int bzimage_parse(const void *data, size_t len, struct bzimage *ret_bz, struct error *err);

/* Decompresses the payload, at most `max` bytes, and holds the result against the size the kernel's build appended.
 * Errors as decompress(), -EBADMSG when the sizes differ. */
MUST_CHECK int bzimage_unpack(const struct bzimage *bz, size_t max, struct blob *ret_vmlinux, struct error *err);

#endif
