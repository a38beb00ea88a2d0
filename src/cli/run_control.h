/* SPDX-License-Identifier: MIT */
/*
 * The control socket of `doppel run`.
 */
#ifndef DOPPEL_CLI_RUN_CONTROL_H
#define DOPPEL_CLI_RUN_CONTROL_H

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
};
#define RUN_CONTROL_NONE                                                                                                         \
    (struct run_control)                                                                                                         \
    {                                                                                                                            \
        .listen_fd = -1                                                                                                          \
    }

/* Takes the name (NULL: vm-PID) and makes the socket; who connects now waits. Without a folder for it a machine whose name was
 * made up does without. -EEXIST: such a machine runs. */
MUST_CHECK int run_control_listen(struct run_control *rc, const char *name, struct error *err);
/* Serves it, once the loop runs. */
MUST_CHECK int run_control_serve(struct run_control *rc, const struct machine_ports *ports, struct machine *machine,
                                 const struct vm_config *config, struct error *err);
/* Before the machine is freed. */
void run_control_done(struct run_control *rc);

#endif
