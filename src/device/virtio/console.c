/* SPDX-License-Identifier: MIT */
/*
 * virtio-console: bytes between queues and a chardev.
 */
#include "device/virtio/console.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

#include "backend/chardev.h"
#include "base/checked.h"

/* Spec: 5.3.3 */
#define F_SIZE (1ULL << 0)
#define F_EMERG_WRITE (1ULL << 2)

enum {
    QUEUE_SIZE = 64,
    PIECE = 1024,         /* bytes copied at a time */
    TURN_BYTES = 1 << 20, /* written in one go: others want the machine's lock, too */
};

/* Spec: 5.3.4 */
struct config {
    uint16_t cols, rows;
    uint32_t max_nr_ports; /* of a multiport device */
    uint32_t emerg_wr;
};
static_assert(sizeof(struct config) == 12, "virtio_console_config has 12 bytes");

static struct virtio_console *to_console(struct virtio_device *vdev)
{
    return (struct virtio_console *)vdev;
}

/* ---- input ---- */

static void notify_rx(struct virtio_console *con)
{
    struct virtio_device *vdev = &con->vdev;
    struct virtio_chain chain;
    uint8_t bytes[PIECE];
    bool any = false;
    while (chardev_readable(con->chardev) > 0 && virtio_pop(vdev, VIRTIO_CONSOLE_RX, &chain)) {
        size_t len = chardev_read(con->chardev, bytes, MIN(chain.in_len, sizeof(bytes)));
        virtio_push(vdev, VIRTIO_CONSOLE_RX, &chain, (uint32_t)virtio_chain_write(&chain, 0, bytes, len));
        any = true;
    }
    if (any)
        virtio_signal(vdev, VIRTIO_CONSOLE_RX);
}

/* ---- output ---- */

/* Writes what the back end takes of the chain, from con->sent on, at most `max` bytes; returns how many. */
static size_t write_some(struct virtio_console *con, const struct virtio_chain *chain, size_t max)
{
    uint8_t bytes[PIECE];
    size_t done = 0;
    while (done < max) {
        size_t len = virtio_chain_read(chain, con->sent, bytes, MIN(sizeof(bytes), max - done));
        size_t taken = chardev_write(con->chardev, bytes, len);
        con->sent += (uint32_t)taken; /* a chain has less than 4 GiB */
        done += taken;
        con->stalled = taken < len;
        if (taken < sizeof(bytes))
            break;
    }
    return done;
}

static void notify_tx(struct virtio_console *con)
{
    struct virtio_device *vdev = &con->vdev;
    struct virtio_chain chain;
    size_t left = TURN_BYTES;
    bool any = false;
    con->stalled = false;
    while (virtio_pop(vdev, VIRTIO_CONSOLE_TX, &chain)) {
        left -= write_some(con, &chain, left);
        if (con->sent < chain.out_len) {
            virtio_unpop(vdev, VIRTIO_CONSOLE_TX);
            if (!con->stalled)
                virtio_again(vdev, VIRTIO_CONSOLE_TX);
            break; /* else the back end calls */
        }
        con->sent = 0;
        virtio_push(vdev, VIRTIO_CONSOLE_TX, &chain, 0);
        any = true;
    }
    if (any)
        virtio_signal(vdev, VIRTIO_CONSOLE_TX);
}

static void console_notify(struct virtio_device *vdev, unsigned n)
{
    if (n == VIRTIO_CONSOLE_TX)
        notify_tx(to_console(vdev));
    else
        notify_rx(to_console(vdev));
}

static void console_driver_ok(struct virtio_device *vdev)
{
    const struct virtio_console *con = to_console(vdev);
    if (con->cols && con->rows)
        virtio_config_changed(vdev);     /* Linux takes the first size from a change only, too */
    virtio_run(vdev, VIRTIO_CONSOLE_RX); /* for what waited */
}

static void console_reset(struct virtio_device *vdev)
{
    struct virtio_console *con = to_console(vdev);
    con->sent = 0;
    con->stalled = false;
}

/* ---- configuration ---- */

static void console_config_read(struct virtio_device *vdev, unsigned offset, void *buf, unsigned len)
{
    const struct virtio_console *con = to_console(vdev);
    const struct config c = { .cols = con->cols, .rows = con->rows, .max_nr_ports = 1 };
    memcpy(buf, (const uint8_t *)&c + offset, len);
}

/* The last words of a driver that has no queues yet. */
static void console_config_write(struct virtio_device *vdev, unsigned offset, const void *buf, unsigned len)
{
    if (offset == offsetof(struct config, emerg_wr) && len > 0)
        (void)chardev_write(to_console(vdev)->chardev, buf, 1); /* what it does not take is lost: there is nothing to wait for */
    else
        guest_err(&vdev->errors, "virtio-console: write of configuration byte %u", offset);
}

static const struct virtio_class console_virtio_class = {
    .name = "virtio-console",
    .id = VIRTIO_ID_CONSOLE,
    .pci_class = 0x078000, /* communication, other */
    .queue_size = QUEUE_SIZE,
    .config_size = sizeof(struct config),
    .config_read = console_config_read,
    .config_write = console_config_write,
    .notify = console_notify,
    .driver_ok = console_driver_ok,
    .reset = console_reset,
};

static void console_done(void *dev)
{
    struct virtio_console *con = dev;
    chardev_attach(con->chardev, NULL, NULL, NULL);
    virtio_done(&con->vdev);
}

static const struct state_field console_fields[] = {
    STATE_STRUCT(struct virtio_console, vdev, &virtio_device_state),
    STATE_U32(struct virtio_console, sent),
    STATE_END,
};
static const struct state_desc console_state = { .name = "virtio_console", .version = 1, .fields = console_fields };

const struct device_class virtio_console_class = {
    .name = "virtio-console",
    .reset = virtio_reset,
    .done = console_done,
    .state = &console_state,
};

void virtio_console_init(struct virtio_console *con, struct chardev *chardev, struct gmem *gmem, struct vm_clock *clock)
{
    *con = (struct virtio_console){ .chardev = chardev };
    virtio_init(&con->vdev, &console_virtio_class, F_SIZE | F_EMERG_WRITE, VIRTIO_CONSOLE_QUEUES, gmem, clock);
}

void virtio_console_ready(void *opaque)
{
    struct virtio_console *con = opaque;
    uint16_t cols, rows;
    if (chardev_size(con->chardev, &cols, &rows)) /* before the input that may be meant for it */
        virtio_console_resize(con, cols, rows);
    virtio_run(&con->vdev, VIRTIO_CONSOLE_RX);
    if (con->stalled)
        virtio_run(&con->vdev, VIRTIO_CONSOLE_TX);
}

void virtio_console_resize(struct virtio_console *con, uint16_t cols, uint16_t rows)
{
    if (con->cols == cols && con->rows == rows)
        return;
    con->cols = cols;
    con->rows = rows;
    virtio_config_changed(&con->vdev);
}
