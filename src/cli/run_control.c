/* SPDX-License-Identifier: MIT */
/*
 * The control socket of `doppel run`: takes the machine's name before there is a machine, and gives it back at the end.
 */
#include "cli/run_control.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/unixsock.h"
#include "control/controller.h"
#include "control/server.h"
#include "machine/machine.h"

int run_control_listen(struct run_control *rc, const char *name, struct error *err)
{
    struct error why = { 0 };
    if (name)
        (void)snprintf(rc->name, sizeof(rc->name), "%s", name);
    else
        (void)snprintf(rc->name, sizeof(rc->name), "vm-%d", (int)getpid());
    int r = rundir_socket(rc->name, rc->path, &why);
    if (r == 0)
        r = unixsock_listen(rc->path, &rc->listen_fd, &why);
    if (r == 0)
        return 0;
    rc->path[0] = '\0';
    if (r == -EADDRINUSE)
        return error_set(err, -EEXIST, "a machine called '%s' runs already (choose another --name)", rc->name);
    if (name)
        return error_set(err, r, "--name: no control socket: %s", why.msg);
    log_info("no control socket: %s", why.msg);
    return 0;
}

int run_control_serve(struct run_control *rc, const struct machine_ports *ports, struct machine *machine,
                      const struct vm_config *config, struct error *err)
{
    if (rc->listen_fd < 0)
        return 0;
    int r = controller_new(ports->loop, rc->name, machine, config, &rc->controller, err);
    if (r < 0)
        return r;
    const struct server_args args = {
        .loop = ports->loop,
        .controller = rc->controller,
        .console = ports->serial[0],
        .lock = &machine_vm(machine)->lock,
    };
    r = server_new(&args, rc->listen_fd, &rc->server, err);
    if (r == 0)
        (void)take_fd(&rc->listen_fd);
    return r;
}

void run_control_done(struct run_control *rc)
{
    if (rc->path[0])
        (void)unlink(rc->path); /* where that is forbidden by now, whoever finds it knows that it is dead */
    server_free(rc->server);
    controller_free(rc->controller);
    if (rc->listen_fd >= 0)
        (void)close(rc->listen_fd);
}
