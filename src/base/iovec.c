/* SPDX-License-Identifier: MIT */
/*
 * Slices of arrays of iovecs.
 */
#include "base/iovec.h"

#include <stdint.h>

#include "base/checked.h"

unsigned iovec_slice(const struct iovec *iov, unsigned nr, size_t offset, size_t len, struct iovec *ret_iov)
{
    unsigned n = 0;
    for (unsigned i = 0; i < nr && len > 0; i++) {
        if (offset >= iov[i].iov_len) {
            offset -= iov[i].iov_len;
            continue;
        }
        size_t part = MIN(iov[i].iov_len - offset, len);
        ret_iov[n++] = (struct iovec){ .iov_base = (uint8_t *)iov[i].iov_base + offset, .iov_len = part };
        len -= part;
        offset = 0;
    }
    return n;
}
