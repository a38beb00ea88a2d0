/* SPDX-License-Identifier: MIT */
/*
 * Unix stream sockets with a name in the file system: made where a dead one is left over, connected to, told apart.
 */
#ifndef DOPPEL_BASE_UNIXSOCK_H
#define DOPPEL_BASE_UNIXSOCK_H

#include <stdbool.h>

#include "base/error.h"

/* Listens at path, which only our user may connect to; the descriptor does not block. A socket there that nobody listens to any
 * more is replaced. -EADDRINUSE: somebody listens, -EEXIST: it is no socket, -ENAMETOOLONG, what the host says. */
MUST_CHECK int unixsock_listen(const char *path, int *ret_fd, struct error *err);
/* The descriptor blocks. -ENOENT, -ECONNREFUSED: nobody listens, -ENAMETOOLONG, what the host says. */
MUST_CHECK int unixsock_connect(const char *path, int *ret_fd, struct error *err);
/* Removes a socket that nobody listens to; true when there was one. */
bool unixsock_remove_stale(const char *path);

#endif
