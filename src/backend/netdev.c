/* SPDX-License-Identifier: MIT */
/*
 * Opening networks, and the operations that every back end shares.
 */
#include "backend/netdev.h"

void netdev_attach(struct netdev *dev, pthread_mutex_t *lock, netdev_fn fn, void *opaque)
{
    dev->lock = lock;
    dev->notify = fn;
    dev->opaque = opaque;
}

void netdev_send(struct netdev *dev, const struct netdev_header *h, const struct iovec *iov, unsigned nr_iov, size_t len)
{
    dev->ops->send(dev, h, iov, nr_iov, len);
}

void netdev_kick(struct netdev *dev)
{
    if (dev->ops->kick)
        dev->ops->kick(dev);
}

bool netdev_next(struct netdev *dev, struct netdev_frame *ret_frame)
{
    return dev->ops->next(dev, ret_frame);
}

void netdev_taken(struct netdev *dev)
{
    dev->ops->taken(dev);
}

void netdev_set_offload(struct netdev *dev, unsigned offload)
{
    if (dev->ops->set_offload)
        dev->ops->set_offload(dev, offload & dev->offload);
}

void netdev_free(struct netdev *dev)
{
    if (dev)
        dev->ops->free(dev);
}

void netdev_lock(struct netdev *dev)
{
    if (dev->lock)
        (void)pthread_mutex_lock(dev->lock); /* a plain mutex never fails */
}

void netdev_unlock(struct netdev *dev)
{
    if (dev->lock)
        (void)pthread_mutex_unlock(dev->lock);
}

int netdev_open(const struct netdev_config *config, struct loop *loop, struct netdev **ret_dev, struct error *err)
{
    if (config->kind == NETDEV_TAP) {
        int r = netdev_tap_new(loop, config, ret_dev, err);
        return r < 0 ? error_prefix(err, "network tap '%s'", config->tap) : 0;
    }
    int r = netdev_slirp_new(loop, config, ret_dev, err);
    return r < 0 ? error_prefix(err, "network") : 0;
}
