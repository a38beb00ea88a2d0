/* SPDX-License-Identifier: MIT */
/*
 * The control socket of `doppel run`.
 */
#ifndef DOPPEL_CLI_RUN_CONTROL_H
#define DOPPEL_CLI_RUN_CONTROL_H

#include <pthread.h>

#include "cli/monitor.h"
#include "control/rundir.h"

struct controller;
struct machine;
struct machine_ports;
struct server;
struct vm_config;

struct run_control {
    char name[MACHINE_NAME_MAX + 1];
    char path[RUNDIR_PATH_MAX];    /* the socket; "": there is none */
    int listen_fd;                 /* owned until there is a server */
    struct controller *controller; /* owned */
    struct server *server;         /* owned */
    struct loop *loop;             /* borrowed (freed last) */
    struct monitor monitor;
    int submit_fd;              /* owned: lines are waiting */
    pthread_mutex_t lines_lock; /* a leaf; guards lines and lines_len */
    char lines[256];            /* each ends with NUL */
    size_t lines_len;
};
#define RUN_CONTROL_NONE                                                                                                         \
    (struct run_control)                                                                                                         \
    {                                                                                                                            \
        .listen_fd = -1, .submit_fd = -1, .lines_lock = PTHREAD_MUTEX_INITIALIZER                                                \
    }

/* Takes the name (NULL: vm-PID) and makes the socket; who connects now waits. Without a folder for it a machine whose name was
 * made up does without. -EEXIST: such a machine runs. */
MUST_CHECK int run_control_listen(struct run_control *rc, const char *name, struct error *err);
/* Serves it and the monitor, once the loop runs. */
MUST_CHECK int run_control_serve(struct run_control *rc, const struct machine_ports *ports, struct machine *machine,
                                 const struct vm_config *config, struct error *err);
/* The console's monitor: submit queues a line (any thread, any lock) for the loop to execute. */
void run_control_submit(void *rc, const char *line);
/* Before the machine is freed. */
void run_control_done(struct run_control *rc);

#endif
