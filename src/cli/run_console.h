/* SPDX-License-Identifier: MIT */
/*
 * The virtio console of `doppel run --console`, and how it learns the size of our terminal.
 */
#ifndef DOPPEL_CLI_RUN_CONSOLE_H
#define DOPPEL_CLI_RUN_CONSOLE_H

#include <stdbool.h>

#include "base/error.h"

struct chardev;
struct loop;
struct machine;

struct run_console {
    struct loop *loop;       /* borrowed (freed later) */
    struct machine *machine; /* borrowed (freed before, when no loop runs) */
    struct chardev *dev;     /* owned; NULL: there is no such console */
    bool terminal;           /* it has our stdin and stdout */
    int fd, resize_fd;       /* owned: its file; an eventfd: the terminal may have another size; -1: none */
};
#define RUN_CONSOLE_NONE                                                                                                         \
    (struct run_console)                                                                                                         \
    {                                                                                                                            \
        .fd = -1, .resize_fd = -1                                                                                                \
    }

/* what: as of run_serial_open(); NULL: no console. */
MUST_CHECK int run_console_open(struct run_console *rc, struct loop *loop, const char *what, struct error *err);
/* Tells the guest our terminal's size, now and whenever it changes. Before the loop runs. */
MUST_CHECK int run_console_follow(struct run_console *rc, struct machine *machine, struct error *err);
/* Takes RUN_CONSOLE_NONE. The machine is gone. */
void run_console_done(struct run_console *rc);

#endif
