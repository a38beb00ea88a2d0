/* SPDX-License-Identifier: MIT */
/*
 * A small process that connects to the Unix sockets of a virtual socket device, PATH_0 to PATH_4294967295, and to no others.
 *
 * The sandbox takes socket() and connect() from the machine's process, which could not be told from connections to all the user's
 * sockets (neither seccomp nor Landlock sees the name). What is left is to ask the broker for a number.
 */
#ifndef DOPPEL_BACKEND_VSOCK_BROKER_H
#define DOPPEL_BACKEND_VSOCK_BROKER_H

#include <stdint.h>

#include "base/error.h"

/* Starts the broker; before the sandbox, and before there is anything in memory worth a copy. *ret_fd, to be closed by the
 * caller, leads to it; when all copies of it are closed, it ends. `path` fits into an address with a port behind it. What the
 * host says. */
MUST_CHECK int vsock_broker_new(const char *path, int *ret_fd, struct error *err);
/* A socket that is connected to the path with _PORT behind it, close-on-exec and non-blocking; else what connect(2) says, or
 * -ECONNREFUSED when the broker is gone. One caller at a time; waits for the broker, who does not wait for anybody. */
MUST_CHECK int vsock_broker_connect(int fd, uint32_t port);

#endif
