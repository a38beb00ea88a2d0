/* SPDX-License-Identifier: MIT */
/*
 * The console tap: a ring of output and a matcher for the panic line, over any other back end.
 */
#include "machine/console.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "backend/byte_ring.h"
#include "base/checked.h"

/* Its first byte occurs nowhere else in it, so a failed match can start again at the byte that failed. */
static const char panic_line[] = "Kernel panic - not syncing";

struct console {
    struct chardev head;
    struct chardev *below;         /* owned, may be NULL */
    const struct console_tap *tap; /* borrowed (whoever set it takes it off), may be NULL */
    struct byte_ring fed;          /* owned */
    size_t matched;                /* bytes of panic_line seen */
    bool panic;
    size_t at, len; /* ring: next byte goes to `at` */
    uint8_t kept[CONSOLE_KEEP];
};

static void keep(struct console *c, const uint8_t *data, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        c->kept[c->at] = data[i];
        c->at = (c->at + 1) % CONSOLE_KEEP;
        if (data[i] != (uint8_t)panic_line[c->matched])
            c->matched = 0;
        if (data[i] == (uint8_t)panic_line[c->matched] && ++c->matched == sizeof(panic_line) - 1) {
            c->panic = true;
            c->matched = 0;
        }
    }
    c->len = MIN(c->len + len, (size_t)CONSOLE_KEEP);
}

static size_t console_write(struct chardev *dev, const uint8_t *data, size_t len)
{
    struct console *c = (struct console *)dev;
    size_t n = chardev_write(c->below, data, len);
    keep(c, data, n);
    if (c->tap && n)
        c->tap->output(c->tap->opaque, data, n);
    return n;
}

static size_t console_readable(struct chardev *dev)
{
    struct console *c = (struct console *)dev;
    return c->fed.len ? c->fed.len : chardev_readable(c->below);
}

static size_t console_read(struct chardev *dev, uint8_t *data, size_t cap)
{
    struct console *c = (struct console *)dev;
    if (c->fed.len == 0)
        return chardev_read(c->below, data, cap);
    size_t n = byte_ring_take(&c->fed, data, cap);
    if (c->tap && c->fed.len == 0)
        c->tap->room(c->tap->opaque);
    return n;
}

static bool console_ended(struct chardev *dev)
{
    struct console *c = (struct console *)dev;
    return !c->tap && c->fed.len == 0 && chardev_ended(c->below);
}

static void on_below(void *opaque)
{
    struct console *c = opaque;
    if (c->head.notify)
        c->head.notify(c->head.opaque);
}

static void console_attached(struct chardev *dev)
{
    chardev_attach(((struct console *)dev)->below, dev->lock, on_below, dev);
}

static void console_free(struct chardev *dev)
{
    struct console *c = (struct console *)dev;
    chardev_free(c->below);
    byte_ring_done(&c->fed);
    free(c);
}

static const struct chardev_ops console_ops = {
    .write = console_write,
    .readable = console_readable,
    .read = console_read,
    .ended = console_ended,
    .attached = console_attached,
    .free = console_free,
};

int console_new(struct chardev *below, struct chardev **ret_dev, struct error *err)
{
    struct console *c = calloc(1, sizeof(*c));
    if (!c)
        return error_set(err, -ENOMEM, "out of memory for a console");
    if (byte_ring_init(&c->fed, CONSOLE_FEED) < 0) {
        free(c);
        return error_set(err, -ENOMEM, "out of memory for a console");
    }
    c->head.ops = &console_ops;
    c->below = below;
    *ret_dev = &c->head;
    return 0;
}

void console_set_tap(struct chardev *dev, const struct console_tap *tap)
{
    ((struct console *)dev)->tap = tap;
}

size_t console_feed(struct chardev *dev, const uint8_t *data, size_t len)
{
    struct console *c = (struct console *)dev;
    size_t n = byte_ring_put(&c->fed, data, len);
    if (n)
        on_below(c);
    return n;
}

bool console_saw_panic(const struct chardev *dev)
{
    return dev && ((const struct console *)dev)->panic;
}

void console_forget(struct chardev *dev)
{
    struct console *c = (struct console *)dev;
    c->panic = false;
    c->matched = 0;
}

size_t console_copy(const struct chardev *dev, void *buf, size_t cap)
{
    const struct console *c = (const struct console *)dev;
    size_t n = MIN(c->len, cap);
    size_t from = (c->at + CONSOLE_KEEP - n) % CONSOLE_KEEP;
    for (size_t i = 0; i < n; i++)
        ((uint8_t *)buf)[i] = c->kept[(from + i) % CONSOLE_KEEP];
    return n;
}
