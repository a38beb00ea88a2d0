/* SPDX-License-Identifier: MIT */
/*
 * Opening disks, and the operations that every back end shares.
 */
#include "backend/blockdev.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "backend/hostfile.h"
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

static int open_overlay(const struct blockdev_config *config, struct loop *loop, struct blockdev **ret_dev, struct error *err)
{
    struct hostfile_info info;
    AUTO_CLOSE int base = -1;
    AUTO_CLOSE int over = -1;
    int r = hostfile_open(config->path, true, &base, &info, err);
    if (r == 0)
        r = config->overlay_path ? hostfile_create(config->overlay_path, &over, err) : hostfile_temporary(&over, err);
    if (r == 0) {
        r = blockdev_overlay_new(loop, base, info.size, over, config->overlay_path != NULL, ret_dev, err);
        if (r < 0 && config->overlay_path)
            r = error_prefix(err, "overlay '%s'", config->overlay_path);
    }
    if (r < 0)
        return r;
    (void)take_fd(&base);
    (void)take_fd(&over);
    return 0;
}

int blockdev_open(const struct blockdev_config *config, struct loop *loop, struct blockdev **ret_dev, struct error *err)
{
    int r = config->overlay ? open_overlay(config, loop, ret_dev, err) : open_plain(config, loop, ret_dev, err);
    return r < 0 ? error_prefix(err, "disk '%s'", config->path) : 0;
}
