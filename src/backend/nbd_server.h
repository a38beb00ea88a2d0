/* SPDX-License-Identifier: MIT */
/*
 * A qemu-nbd of our own, which serves an image in a format that is not ours to read (qcow2 and the like) to one client: us.
 *
 * It is started before the sandbox, and gets a listening Unix socket as systemd would hand it over; our connection waits in that
 * socket already, and its name is gone before the server is there. It ends when the connection does. Should it not notice, its
 * keeper ends it once we are gone: a process of ours between us and it, which does nothing else. (Landlock keeps the signal of
 * PR_SET_PDEATHSIG from leaving the sandbox.) What it says is kept (64 KiB), for messages.
 * Spec: sd_listen_fds(3), qemu-nbd(8)
 */
#ifndef DOPPEL_BACKEND_NBD_SERVER_H
#define DOPPEL_BACKEND_NBD_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/error.h"

struct nbd_server {
    pid_t pid;  /* the keeper's; 0: none */
    int pid_fd; /* owned: the keeper's, which ends with the server; -1: none */
    int log_fd; /* owned: what it has said; -1: none */
};
#define NBD_SERVER_NONE ((struct nbd_server){ .pid_fd = -1, .log_fd = -1 })

/* Starts one for the image at `path`; format: qemu's name. *ret_socket, the caller's, is connected to it, though it may turn out
 * that it does not like the image, and hangs up. On the process's main thread. -ENOENT: there is no qemu-nbd; what the host says.
 */
MUST_CHECK int nbd_server_start(struct nbd_server *s, const char *path, const char *format, bool read_only, int *ret_socket,
                                struct error *err);
/* The first line that it said about `path`; false: it said nothing. */
bool nbd_server_words(const struct nbd_server *s, const char *path, char *buf, size_t size);
/* Waits, up to 10 s, until it has ended, which it does when all copies of the socket are closed; it has written everything then.
 */
void nbd_server_wait(const struct nbd_server *s);
/* Ends it, whatever it does. Not from the sandbox. */
void nbd_server_kill(const struct nbd_server *s);
/* Waits, and forgets it. Fine without one. */
void nbd_server_done(struct nbd_server *s);

#endif
