/* SPDX-License-Identifier: MIT */
/*
 * What `doppel run --serial` and --console connect COM1 and the virtio console to.
 */
#ifndef DOPPEL_CLI_RUN_SERIAL_H
#define DOPPEL_CLI_RUN_SERIAL_H

#include <stdbool.h>

#include "base/error.h"

struct chardev;
struct loop;

/* option: "--serial" or "--console", for messages. what: "stdio", "none", "pty" (its path is printed to stderr), "unix:PATH", or
 * a file that is appended to. ret_dev gets what lies below the console: NULL for "none"; ret_fd a descriptor to close after it,
 * or -1. */
MUST_CHECK int run_serial_open(struct loop *loop, const char *option, const char *what, struct chardev **ret_dev, int *ret_fd,
                               struct error *err);
bool run_serial_is_stdio(const char *what);

#endif
