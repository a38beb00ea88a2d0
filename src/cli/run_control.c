/* SPDX-License-Identifier: MIT */
/*
 * The control socket of `doppel run`: takes the machine's name before there is a machine, and gives it back at the end.
 */
#include "cli/run_control.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/loop.h"
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

static int perform(void *controller, const struct action *action, struct reply *ret_reply, struct error *err)
{
    (void)err;
    controller_perform(controller, action, ret_reply);
    return 0;
}

static void on_submit(void *opaque, uint32_t events)
{
    struct run_control *rc = opaque;
    uint64_t count;
    (void)events;
    if (read(rc->submit_fd, &count, sizeof(count)) < 0)
        return;
    char lines[sizeof(rc->lines)];
    (void)pthread_mutex_lock(&rc->lines_lock); /* a plain mutex never fails */
    size_t len = rc->lines_len;
    memcpy(lines, rc->lines, len);
    rc->lines_len = 0;
    (void)pthread_mutex_unlock(&rc->lines_lock);
    for (size_t at = 0; at < len; at += strlen(lines + at) + 1)
        monitor_execute(&rc->monitor, lines + at, perform, rc->controller);
}

void run_control_submit(void *opaque, const char *line)
{
    struct run_control *rc = opaque;
    uint64_t one = 1;
    size_t len = strlen(line) + 1;
    (void)pthread_mutex_lock(&rc->lines_lock);
    if (len <= sizeof(rc->lines) - rc->lines_len) { /* else: typed faster than anybody can */
        memcpy(rc->lines + rc->lines_len, line, len);
        rc->lines_len += len;
    }
    (void)pthread_mutex_unlock(&rc->lines_lock);
    (void)!write(rc->submit_fd, &one, sizeof(one)); /* full: the loop is awake */
}

static int open_monitor(struct run_control *rc, struct loop *loop, struct error *err)
{
    rc->loop = loop;
    rc->submit_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (rc->submit_fd < 0)
        return error_set(err, -errno, "eventfd: %s", strerror(errno));
    return loop_add_fd(loop, rc->submit_fd, EPOLLIN, on_submit, rc, err);
}

int run_control_serve(struct run_control *rc, const struct machine_ports *ports, struct machine *machine,
                      const struct vm_config *config, struct error *err)
{
    int r = controller_new(ports->loop, rc->name, machine, config, &rc->controller, err);
    if (r == 0)
        r = open_monitor(rc, ports->loop, err);
    if (r < 0 || rc->listen_fd < 0)
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
    if (rc->submit_fd >= 0) {
        loop_remove_fd(rc->loop, rc->submit_fd);
        (void)close(rc->submit_fd);
    }
    controller_free(rc->controller);
    if (rc->listen_fd >= 0)
        (void)close(rc->listen_fd);
}
