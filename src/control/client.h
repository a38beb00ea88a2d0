/* SPDX-License-Identifier: MIT */
/*
 * The other end of a machine's control socket: sends an action, waits for the reply.
 */
#ifndef DOPPEL_CONTROL_CLIENT_H
#define DOPPEL_CONTROL_CLIENT_H

#include "control/action.h"

/* Performs the action on the machine of that name; waits at most 10 s for the reply. ret_fd, if it is not NULL, gets the
 * connection (blocking): the console's bytes after ACTION_CONSOLE, and its end is the machine's. -ENOENT: no such machine;
 * -EPROTO; what the reply says is -EINVAL. */
MUST_CHECK int client_perform(const char *name, const struct action *action, struct reply *ret_reply, int *ret_fd,
                              struct error *err);
/* Waits until the machine has gone. -ETIMEDOUT. */
MUST_CHECK int client_wait_end(int fd, int seconds, struct error *err);

#endif
