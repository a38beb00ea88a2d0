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

#endif
