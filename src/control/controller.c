/* SPDX-License-Identifier: MIT */
/*
 * Performs actions on a machine of this process.
 *
 * A stop presses the power button, where the board has one and the guest listens to it, and arms a timerfd; when that runs out,
 * the machine is ended.
 */
#include "control/controller.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/loop.h"
#include "machine/machine.h"

struct controller {
    struct loop *loop; /* borrowed, as the next three */
    const char *name;
    struct machine *machine;
    const struct vm_config *config;
    ns_t begin;   /* host ns */
    int timer_fd; /* owned: the guest's time to power off */
    bool watched;
    bool stopping;
    int grace_s;
};

static enum machine_state state_of(const struct controller *c)
{
    if (machine_is_ending(c->machine))
        return MACHINE_ENDING;
    if (machine_is_paused(c->machine))
        return MACHINE_PAUSED;
    return c->stopping ? MACHINE_STOPPING : MACHINE_RUNNING;
}

static void fill_info(const struct controller *c, struct machine_info *i)
{
    const char *why;
    *i = (struct machine_info){
        .pid = (int)getpid(),
        .state = state_of(c),
        .cpus = c->config->cpus,
        .memory = c->config->memory,
        .uptime_s = (double)(clock_host_ns() - c->begin) / (double)NS_PER_S,
    };
    (void)snprintf(i->name, sizeof(i->name), "%s", c->name);
    (void)snprintf(i->arch, sizeof(i->arch), "%s", c->config->arch);
    (void)snprintf(i->engine, sizeof(i->engine), "%s", machine_engine(c->machine, &why));
}

static void on_grace_over(void *opaque, uint32_t events)
{
    struct controller *c = opaque;
    uint64_t count;
    char why[96];
    (void)events;
    if (read(c->timer_fd, &count, sizeof(count)) < 0)
        return; /* set anew meanwhile */
    (void)snprintf(why, sizeof(why), "stopped: the guest did not power off within %d s", c->grace_s);
    machine_quit(c->machine, VM_END_QUIT, why);
}

static void stop(struct controller *c, const struct action *a, char *text, size_t cap)
{
    if (a->force) {
        machine_quit(c->machine, VM_END_QUIT, "stopped by force");
        return;
    }
    machine_resume(c->machine); /* a paused guest hears nothing */
    if (machine_power_button(c->machine) < 0) {
        (void)snprintf(text, cap, "the guest does not listen to its power button, so it was ended at once");
        machine_quit(c->machine, VM_END_QUIT, "stopped: the guest does not listen to its power button");
        return;
    }
    struct itimerspec spec = { .it_value = { .tv_sec = a->grace_s, .tv_nsec = a->grace_s ? 0 : 1 } };
    (void)timerfd_settime(c->timer_fd, 0, &spec, NULL); /* our own descriptor and a valid time */
    c->stopping = true;
    c->grace_s = a->grace_s;
}

static bool balloon(struct controller *c, const struct action *a, struct reply *reply)
{
    const uint64_t all = c->config->memory;
    int r = 0;
    if (a->keep > all || (a->keep && a->keep < MACHINE_MEMORY_MIN)) {
        (void)snprintf(reply->text, sizeof(reply->text), "balloon: the guest can keep %d MiB to %" PRIu64 " MiB",
                       MACHINE_MEMORY_MIN >> 20, all >> 20);
        return false;
    }
    if (a->keep)
        r = machine_set_balloon(c->machine, a->keep);
    if (r == 0)
        r = machine_get_balloon(c->machine, &reply->balloon);
    reply->has_balloon = r == 0;
    if (r < 0)
        (void)snprintf(reply->text, sizeof(reply->text), "balloon: the machine has none (doppel run --balloon)");
    return r == 0;
}

void controller_perform(struct controller *c, const struct action *a, struct reply *ret_reply)
{
    struct error err = { 0 };
    *ret_reply = (struct reply){ .ok = action_check(a->id, state_of(c), &err) == 0 };
    if (ret_reply->ok)
        switch (a->id) {
        case ACTION_INFO:
        case ACTION_CONSOLE: break; /* the reply says it all; the console is the server's */
        case ACTION_PAUSE: machine_pause(c->machine); break;
        case ACTION_RESUME: machine_resume(c->machine); break;
        case ACTION_BALLOON: ret_reply->ok = balloon(c, a, ret_reply); break;
        case ACTION_STOP: stop(c, a, ret_reply->text, sizeof(ret_reply->text)); break;
        }
    else
        (void)snprintf(ret_reply->text, sizeof(ret_reply->text), "%s", err.msg);
    fill_info(c, &ret_reply->info);
}

int controller_new(struct loop *loop, const char *name, struct machine *machine, const struct vm_config *config,
                   struct controller **ret_controller, struct error *err)
{
    struct controller *c = calloc(1, sizeof(*c));
    if (!c)
        return error_set(err, -ENOMEM, "out of memory for a controller");
    *c = (struct controller){ .loop = loop, .name = name, .machine = machine, .config = config, .begin = clock_host_ns() };
    c->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    int r = c->timer_fd < 0 ? error_set(err, -errno, "timer: %s", strerror(errno)) : 0;
    if (r == 0)
        r = loop_add_fd(loop, c->timer_fd, EPOLLIN, on_grace_over, c, err);
    c->watched = r == 0;
    if (r < 0) {
        controller_free(c);
        return r;
    }
    *ret_controller = c;
    return 0;
}

void controller_free(struct controller *c)
{
    if (!c)
        return;
    if (c->watched)
        loop_remove_fd(c->loop, c->timer_fd);
    if (c->timer_fd >= 0)
        (void)close(c->timer_fd);
    free(c);
}
