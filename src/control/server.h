/* SPDX-License-Identifier: MIT */
/*
 * The control socket of a running machine: lines of JSON in, a line for each back; and the console for who asks for it.
 *
 * Clients are bounded in number, and each in what it may send and leave unread: one that sends nonsense is told so and
 * disconnected. One that attached to the console and does not read loses output; the guest never waits for it.
 */
#ifndef DOPPEL_CONTROL_SERVER_H
#define DOPPEL_CONTROL_SERVER_H

#include <pthread.h>

#include "base/error.h"

struct chardev;
struct controller;
struct loop;
struct server;

enum { SERVER_CLIENTS_MAX = 16 };

struct server_args {
    struct loop *loop;             /* all borrowed, outliving the server */
    struct controller *controller; /* performs the actions */
    struct chardev *console;       /* console_new() */
    pthread_mutex_t *lock;         /* the console's: the machine's */
};

/* Serves who connects to listen_fd (not blocking), which is the server's from now on if this succeeds. While no loop runs. */
MUST_CHECK int server_new(const struct server_args *args, int listen_fd, struct server **ret_server, struct error *err);
/* Sends what it can without waiting, disconnects all. No loop and no vCPU runs. Takes NULL. */
void server_free(struct server *s);

#endif
