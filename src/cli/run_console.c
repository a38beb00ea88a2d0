/* SPDX-License-Identifier: MIT */
/*
 * The virtio console of `doppel run --console`.
 *
 * The watcher hears of a new size by SIGWINCH; telling the guest takes the machine's lock, for which the watcher never waits: so
 * an eventfd brings the loop to do it.
 */
#include "cli/run_console.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "backend/chardev.h"
#include "base/loop.h"
#include "cli/run_serial.h"
#include "cli/terminal.h"
#include "cli/watcher.h"
#include "machine/machine.h"

int run_console_open(struct run_console *rc, struct loop *loop, const char *what, struct error *err)
{
    rc->loop = loop;
    rc->terminal = what && run_serial_is_stdio(what);
    return what ? run_serial_open(loop, "--console", what, &rc->dev, &rc->fd, err) : 0;
}

static void tell_size(struct run_console *rc)
{
    unsigned cols, rows;
    if (terminal_size(&cols, &rows))
        machine_console_size(rc->machine, cols, rows);
}

static void on_resize(void *opaque, uint32_t events)
{
    struct run_console *rc = opaque;
    uint64_t count;
    (void)events;
    if (read(rc->resize_fd, &count, sizeof(count)) > 0)
        tell_size(rc);
}

int run_console_follow(struct run_console *rc, struct machine *machine, struct error *err)
{
    if (!rc->terminal)
        return 0;
    rc->machine = machine;
    rc->resize_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (rc->resize_fd < 0)
        return error_set(err, -errno, "eventfd: %s", strerror(errno));
    int r = loop_add_fd(rc->loop, rc->resize_fd, EPOLLIN, on_resize, rc, err);
    if (r < 0) {
        (void)close(rc->resize_fd);
        rc->resize_fd = -1;
        return r;
    }
    watcher_set_resize(rc->resize_fd);
    tell_size(rc);
    return 0;
}

void run_console_done(struct run_console *rc)
{
    watcher_set_resize(-1);
    if (rc->resize_fd >= 0) {
        loop_remove_fd(rc->loop, rc->resize_fd);
        (void)close(rc->resize_fd);
    }
    chardev_free(rc->dev);
    if (rc->fd >= 0)
        (void)close(rc->fd); /* what it did not take went unseen anyway */
    *rc = RUN_CONSOLE_NONE;
}
