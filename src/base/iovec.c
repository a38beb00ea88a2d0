/* SPDX-License-Identifier: MIT */
/*
 * Slices of arrays of iovecs, and copies.
 */
#include "base/iovec.h"

#include <stdint.h>
#include <string.h>

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

size_t iovec_len(const struct iovec *iov, unsigned nr)
{
    size_t len = 0;
    for (unsigned i = 0; i < nr; i++)
        len += iov[i].iov_len;
    return len;
}

void *iovec_flat(const struct iovec *iov, unsigned nr, size_t offset, size_t len)
{
    for (unsigned i = 0; i < nr; i++) {
        if (offset < iov[i].iov_len)
            return len <= iov[i].iov_len - offset ? (uint8_t *)iov[i].iov_base + offset : NULL;
        offset -= iov[i].iov_len;
    }
    return NULL;
}

void iovec_gather(const struct iovec *iov, unsigned nr, size_t offset, void *to, size_t len)
{
    for (unsigned i = 0; i < nr && len > 0; i++) {
        size_t skip = MIN(offset, iov[i].iov_len), part = MIN(iov[i].iov_len - skip, len);
        if (part > 0)
            memcpy(to, (const uint8_t *)iov[i].iov_base + skip, part);
        to = (uint8_t *)to + part;
        len -= part;
        offset -= skip;
    }
}

void iovec_scatter(const struct iovec *iov, unsigned nr, size_t offset, const void *from, size_t len)
{
    for (unsigned i = 0; i < nr && len > 0; i++) {
        size_t skip = MIN(offset, iov[i].iov_len), part = MIN(iov[i].iov_len - skip, len);
        if (part > 0)
            memcpy((uint8_t *)iov[i].iov_base + skip, from, part);
        from = (const uint8_t *)from + part;
        len -= part;
        offset -= skip;
    }
}
