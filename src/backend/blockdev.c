/* SPDX-License-Identifier: MIT */
/*
 * Opening disks, and the operations that every back end shares.
 */
#include "backend/blockdev.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "backend/hostfile.h"
#include "backend/imageformat.h"
#include "backend/nbd_link.h"
#include "backend/overlay.h"
#include "base/cleanup.h"

void blockdev_attach(struct blockdev *dev, pthread_mutex_t *lock)
{
    dev->lock = lock;
}

void blockdev_submit(struct blockdev *dev, struct blockdev_request *req)
{
    req->dev = dev;
    req->owned_iov = NULL;
    req->result = 0;
    dev->ops->submit(dev, req);
}

void blockdev_kick(struct blockdev *dev)
{
    if (dev->ops->kick)
        dev->ops->kick(dev);
}

void blockdev_drain(struct blockdev *dev)
{
    dev->ops->drain(dev);
}

void blockdev_free(struct blockdev *dev)
{
    if (!dev)
        return;
    dev->ops->drain(dev);
    dev->ops->free(dev);
}

/* io_uring where the host lets us, else threads. */
static int new_plain(struct loop *loop, int fd, struct blockdev **ret_dev, struct error *err)
{
    int r = blockdev_uring_new(loop, fd, ret_dev, err);
    return r == -ENOTSUP ? blockdev_file_new(loop, fd, ret_dev, err) : r;
}

static int open_plain(const struct blockdev_config *config, struct loop *loop, struct blockdev **ret_dev, struct error *err)
{
    struct hostfile_info info;
    AUTO_CLOSE int fd = -1;
    int r = hostfile_open(config->path, config->read_only, &fd, &info, err);
    if (r == 0)
        r = new_plain(loop, fd, ret_dev, err);
    if (r < 0)
        return r;
    (void)take_fd(&fd);
    (*ret_dev)->size = info.size;
    (*ret_dev)->read_only = config->read_only;
    (*ret_dev)->block_size = info.block_size;
    return 0;
}

static int open_server(const struct blockdev_config *config, const char *format, struct loop *loop, struct blockdev **ret_dev,
                       struct error *err)
{
    struct nbd_link *link = NULL;
    int r = nbd_link_open(config, format, &link, err);
    if (r == 0)
        r = blockdev_nbd_new(loop, link, ret_dev, err);
    if (r < 0) {
        nbd_link_close(link);
        return r;
    }
    (*ret_dev)->read_only = config->read_only;
    return 0;
}

/* ---- overlays ---- */

static int read_link(void *opaque, struct iovec *iov, unsigned nr, uint64_t offset)
{
    return nbd_link_read(opaque, iov, nr, offset);
}

static void close_link(void *opaque)
{
    nbd_link_close(opaque);
}

static int open_base(const struct blockdev_config *config, enum imageformat format, const char *name,
                     struct overlay_base *ret_base, uint64_t *ret_size, struct error *err)
{
    struct hostfile_info info;
    struct nbd_link *link;
    int fd, r;
    if (format == IMAGEFORMAT_PLAIN) {
        r = hostfile_open(config->path, true, &fd, &info, err);
        if (r < 0)
            return r;
        *ret_base = overlay_base_file(fd);
        *ret_size = info.size;
        return 0;
    }
    r = nbd_link_open(config, name, &link, err);
    if (r < 0)
        return r;
    *ret_base = (struct overlay_base){ .read = read_link, .close = close_link, .opaque = link };
    *ret_size = link->size;
    return 0;
}

static int open_overlay(const struct blockdev_config *config, enum imageformat format, const char *name, struct loop *loop,
                        struct blockdev **ret_dev, struct error *err)
{
    struct overlay_base base;
    uint64_t size;
    AUTO_CLOSE int over = -1;
    int r = open_base(config, format, name, &base, &size, err);
    if (r < 0)
        return r;
    r = config->overlay_path ? hostfile_create(config->overlay_path, &over, err) : hostfile_temporary(&over, err);
    if (r == 0) {
        r = blockdev_overlay_new(loop, &base, size, over, config->overlay_path != NULL, ret_dev, err);
        if (r < 0 && config->overlay_path)
            r = error_prefix(err, "overlay '%s'", config->overlay_path);
    }
    if (r < 0) {
        base.close(base.opaque);
        return r;
    }
    (void)take_fd(&over);
    return 0;
}

static int open_any(const struct blockdev_config *config, struct loop *loop, struct blockdev **ret_dev, struct error *err)
{
    enum imageformat format;
    const char *name;
    int r = imageformat_find(config, &format, &name, err);
    if (r < 0)
        return r;
    if (config->overlay)
        return open_overlay(config, format, name, loop, ret_dev, err);
    return format == IMAGEFORMAT_PLAIN ? open_plain(config, loop, ret_dev, err) : open_server(config, name, loop, ret_dev, err);
}

int blockdev_open(const struct blockdev_config *config, struct loop *loop, struct blockdev **ret_dev, struct error *err)
{
    int r = open_any(config, loop, ret_dev, err);
    return r < 0 ? error_prefix(err, "disk '%s'", config->path) : 0;
}
