/* SPDX-License-Identifier: MIT */
/*
 * Parts of scattered memory.
 */
#ifndef DOPPEL_BASE_IOVEC_H
#define DOPPEL_BASE_IOVEC_H

#include <stddef.h>
#include <sys/uio.h>

/* The pieces of [offset, offset + len) of what the nr pieces make up, as far as there is that much; ret_iov has room for nr.
 * Returns how many. */
unsigned iovec_slice(const struct iovec *iov, unsigned nr, size_t offset, size_t len, struct iovec *ret_iov);

/* Bytes of all pieces. */
size_t iovec_len(const struct iovec *iov, unsigned nr);
/* Where [offset, offset + len) is in one piece; NULL: it is not. */
void *iovec_flat(const struct iovec *iov, unsigned nr, size_t offset, size_t len);
/* Copies `len` bytes from the pieces, `offset` on, or into them; as far as there is that much. */
void iovec_gather(const struct iovec *iov, unsigned nr, size_t offset, void *to, size_t len);
void iovec_scatter(const struct iovec *iov, unsigned nr, size_t offset, const void *from, size_t len);

#endif
