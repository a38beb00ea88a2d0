/* SPDX-License-Identifier: MIT */
/*
 * The chardev operations, and the null and buffer back ends.
 */
#include "backend/chardev.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "backend/byte_ring.h"
#include "base/checked.h"

void chardev_attach(struct chardev *dev, pthread_mutex_t *lock, chardev_fn fn, void *opaque)
{
    if (!dev)
        return;
    dev->lock = lock;
    dev->notify = fn;
    dev->opaque = opaque;
    if (fn && dev->ops->attached)
        dev->ops->attached(dev);
}

size_t chardev_write(struct chardev *dev, const uint8_t *data, size_t len)
{
    return dev ? dev->ops->write(dev, data, len) : len;
}

size_t chardev_readable(struct chardev *dev)
{
    return dev ? dev->ops->readable(dev) : 0;
}

size_t chardev_read(struct chardev *dev, uint8_t *data, size_t cap)
{
    return dev ? dev->ops->read(dev, data, cap) : 0;
}

bool chardev_ended(struct chardev *dev)
{
    return dev ? dev->ops->ended(dev) : true;
}

bool chardev_size(struct chardev *dev, uint16_t *ret_cols, uint16_t *ret_rows)
{
    return dev && dev->ops->size && dev->ops->size(dev, ret_cols, ret_rows);
}

void chardev_free(struct chardev *dev)
{
    if (dev)
        dev->ops->free(dev);
}

static size_t null_write(struct chardev *dev, const uint8_t *data, size_t len)
{
    (void)dev;
    (void)data;
    return len;
}

static size_t null_readable(struct chardev *dev)
{
    (void)dev;
    return 0;
}

static size_t null_read(struct chardev *dev, uint8_t *data, size_t cap)
{
    (void)dev;
    (void)data;
    (void)cap;
    return 0;
}

static bool null_ended(struct chardev *dev)
{
    (void)dev;
    return true;
}

static void null_free(struct chardev *dev)
{
    free(dev);
}

static const struct chardev_ops null_ops = {
    .write = null_write,
    .readable = null_readable,
    .read = null_read,
    .ended = null_ended,
    .free = null_free,
};

int chardev_null_new(struct chardev **ret_dev, struct error *err)
{
    struct chardev *dev = calloc(1, sizeof(*dev));
    if (!dev)
        return error_set(err, -ENOMEM, "out of memory for a null character device");
    dev->ops = &null_ops;
    *ret_dev = dev;
    return 0;
}

struct buffer_dev {
    struct chardev head;
    struct byte_ring in, out; /* owned */
};

static struct buffer_dev *to_buffer(struct chardev *dev)
{
    return (struct buffer_dev *)dev;
}

static size_t buffer_write(struct chardev *dev, const uint8_t *data, size_t len)
{
    return byte_ring_put(&to_buffer(dev)->out, data, len);
}

static size_t buffer_readable(struct chardev *dev)
{
    return to_buffer(dev)->in.len;
}

static size_t buffer_read(struct chardev *dev, uint8_t *data, size_t cap)
{
    return byte_ring_take(&to_buffer(dev)->in, data, cap);
}

static bool buffer_ended(struct chardev *dev)
{
    (void)dev;
    return false;
}

static void buffer_free(struct chardev *dev)
{
    byte_ring_done(&to_buffer(dev)->in);
    byte_ring_done(&to_buffer(dev)->out);
    free(dev);
}

static const struct chardev_ops buffer_ops = {
    .write = buffer_write,
    .readable = buffer_readable,
    .read = buffer_read,
    .ended = buffer_ended,
    .free = buffer_free,
};

int chardev_buffer_new(size_t cap, struct chardev **ret_dev, struct error *err)
{
    if (cap == 0)
        return error_set(err, -EINVAL, "a character buffer of 0 bytes");
    struct buffer_dev *b = calloc(1, sizeof(*b));
    if (!b)
        return error_set(err, -ENOMEM, "out of memory for a character buffer");
    b->head.ops = &buffer_ops;
    if (byte_ring_init(&b->in, cap) < 0 || byte_ring_init(&b->out, cap) < 0) {
        buffer_free(&b->head);
        return error_set(err, -ENOMEM, "out of memory for a character buffer of %zu bytes", cap);
    }
    *ret_dev = &b->head;
    return 0;
}

static void notify(struct chardev *dev)
{
    if (dev->notify)
        dev->notify(dev->opaque);
}

size_t chardev_buffer_feed(struct chardev *dev, const void *data, size_t len)
{
    size_t taken = byte_ring_put(&to_buffer(dev)->in, data, len);
    notify(dev);
    return taken;
}

size_t chardev_buffer_take(struct chardev *dev, void *data, size_t cap)
{
    size_t n = byte_ring_take(&to_buffer(dev)->out, data, cap);
    notify(dev);
    return n;
}
