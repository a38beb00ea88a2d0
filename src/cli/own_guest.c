/* SPDX-License-Identifier: MIT */
/*
 * A machine for one of our own guests: console in a buffer, nothing else.
 *
 * The time limit is a timer of the machine's loop, so it holds whatever the guest does.
 */
#include "cli/own_guest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/chardev.h"
#include "base/loop.h"
#include "machine/console.h"
#include "machine/machine.h"

struct limit {
    struct vm_timer timer;
    struct machine *machine;
};

static void on_limit(void *opaque, ns_t now)
{
    struct limit *limit = opaque;
    (void)now;
    machine_quit(limit->machine, VM_END_TIMEOUT, "it took too long");
}

static void collect(struct machine *m, struct chardev *serial, struct own_guest_result *r)
{
    struct vm *vm = machine_vm(m);
    vm_lock(vm);
    size_t n = chardev_buffer_take(serial, r->console, sizeof(r->console) - 1);
    vm_unlock(vm);
    r->console[n] = '\0';
    r->end = vm->end;
    r->status = vm->end_status;
    (void)snprintf(r->why, sizeof(r->why), "%s", vm->end_why);
    size_t len = machine_stats(m, r->stats, sizeof(r->stats) - 1);
    r->stats[len] = '\0';
}

static int run(struct machine *m, double seconds, ns_t *ret_took, struct error *err)
{
    struct vm *vm = machine_vm(m);
    struct limit limit = { .machine = m };
    vm_lock(vm);
    vm_timer_init(&limit.timer, &vm->clock, on_limit, &limit);
    vm_timer_arm(&limit.timer, vm_clock_now(&vm->clock) + (ns_t)(seconds * (double)NS_PER_S));
    vm_unlock(vm);
    ns_t begin = clock_host_ns();
    int r = machine_run(m, err);
    *ret_took = clock_host_ns() - begin;
    vm_lock(vm);
    vm_timer_disarm(&limit.timer);
    vm_unlock(vm);
    return r;
}

int own_guest_run(const struct own_guest *guest, const char *engine, double seconds, struct own_guest_result *ret_result,
                  struct error *err)
{
    const struct vm_config config = { .arch = "x86-64",
                                      .engine = engine,
                                      .cpus = 1,
                                      .memory = 32 << 20,
                                      .kernel = guest->name,
                                      .kernel_image = guest->image,
                                      .kernel_image_len = guest->len,
                                      .cmdline = "",
                                      .stats = true };
    struct loop *loop = NULL;
    struct chardev *serial = NULL, *console = NULL;
    struct machine *machine = NULL;
    int r = loop_new(&loop, err);
    if (r == 0)
        r = chardev_buffer_new(OWN_GUEST_CONSOLE_MAX, &serial, err);
    if (r == 0) {
        r = console_new(serial, &console, err);
        if (r < 0)
            chardev_free(serial);
    }
    const struct machine_ports ports = { .loop = loop, .serial = { console, NULL } };
    if (r == 0)
        r = machine_new(&config, &ports, &machine, err);
    if (r == 0)
        r = run(machine, seconds, &ret_result->took, err);
    if (r == 0)
        collect(machine, serial, ret_result);
    machine_free(machine);
    chardev_free(console);
    loop_free(loop);
    return r;
}

bool own_guest_value(const char *text, const char *name, unsigned long *ret_value)
{
    size_t len = strlen(name);
    *ret_value = 0;
    for (const char *at = text; at && *at; at = strchr(at, '\n'), at = at ? at + 1 : NULL)
        if (strncmp(at, name, len) == 0 && at[len] == ' ') {
            *ret_value = strtoul(at + len + 1, NULL, 10);
            return true;
        }
    return false;
}
