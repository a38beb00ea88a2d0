/* SPDX-License-Identifier: MIT */
/*
 * In the place of nbd_link.c and blockdev_nbd.c, where doppel is built without libnbd: says so.
 */
#include <errno.h>

#include "backend/blockdev.h"
#include "backend/nbd_link.h"

int nbd_link_open(const struct blockdev_config *config, const char *format, struct nbd_link **ret_link, struct error *err)
{
    (void)config;
    (void)ret_link;
    return error_set(err, -ENOTSUP, "%s%s needs libnbd, and doppel was built without (install libnbd-dev, and build again)",
                     format ? "a disk in format " : "an NBD server's disk", format ? format : "");
}

void nbd_link_close(struct nbd_link *link)
{
    (void)link;
}

void nbd_link_give_up(struct nbd_link *link, const char *why)
{
    (void)link;
    (void)why;
}

int nbd_link_read(struct nbd_link *link, const struct iovec *iov, unsigned nr, uint64_t offset)
{
    (void)link;
    (void)iov;
    (void)nr;
    (void)offset;
    return -ENOTSUP;
}

int blockdev_nbd_new(struct loop *loop, struct nbd_link *link, struct blockdev **ret_dev, struct error *err)
{
    (void)loop;
    (void)link;
    (void)ret_dev;
    return error_set(err, -ENOTSUP, "doppel was built without libnbd");
}
