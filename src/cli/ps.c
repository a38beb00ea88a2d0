/* SPDX-License-Identifier: MIT */
/*
 * doppel ps: the machines that run, a line each, or as JSON.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "cli/verbs.h"
#include "control/client.h"

static const char help[] = "usage: doppel ps [--json]\n\nLists the machines of this user that run.\n";

static void uptime_text(double seconds, char *text, size_t cap)
{
    uint64_t s = (uint64_t)seconds;
    if (s >= 86400)
        (void)snprintf(text, cap, "%" PRIu64 "d%02" PRIu64 "h", s / 86400, s / 3600 % 24);
    else if (s >= 3600)
        (void)snprintf(text, cap, "%" PRIu64 "h%02" PRIu64 "m", s / 3600, s / 60 % 60);
    else if (s >= 60)
        (void)snprintf(text, cap, "%" PRIu64 "m%02" PRIu64 "s", s / 60, s % 60);
    else
        (void)snprintf(text, cap, "%.1fs", seconds);
}

static void print_row(const struct machine_info *i)
{
    char uptime[32], memory[32];
    uptime_text(i->uptime_s, uptime, sizeof(uptime));
    (void)snprintf(memory, sizeof(memory), "%" PRIu64 "M", i->memory >> 20);
    (void)printf("%-20s %8d  %-9s %-7s %5u %8s %9s\n", i->name, i->pid, machine_state_name(i->state), i->engine, i->cpus, memory,
                 uptime);
}

/* A machine that goes while we look is no error; one that does not answer is worth a word. */
static bool ask(const char *name, struct machine_info *ret_info)
{
    const struct action action = { .id = ACTION_INFO };
    struct reply reply;
    struct error err = { 0 };
    int r = client_perform(name, &action, &reply, NULL, &err);
    if (r == 0)
        *ret_info = reply.info;
    else if (r == -ETIMEDOUT)
        (void)cli_fail(&err);
    return r == 0;
}

static void show(void *unused, const char *name)
{
    struct machine_info info;
    (void)unused;
    if (ask(name, &info))
        print_row(&info);
}

static void add(void *list, const char *name)
{
    struct machine_info i;
    if (ask(name, &i))
        (void)json_array_append_new(list, json_pack("{s:s, s:i, s:s, s:s, s:s, s:i, s:I, s:f}", "name", i.name, "pid", i.pid,
                                                    "state", machine_state_name(i.state), "arch", i.arch, "engine", i.engine,
                                                    "cpus", (int)i.cpus, "memory", (json_int_t)i.memory, "uptime", i.uptime_s));
}

static int print_json(struct error *err)
{
    json_t *list = json_array();
    int r = rundir_each(add, list, err);
    if (r == 0 && json_dumpf(list, stdout, JSON_INDENT(2)) < 0)
        r = error_set(err, -EIO, "cannot write JSON");
    if (r == 0)
        (void)printf("\n");
    json_decref(list);
    return r;
}

static int print_table(struct error *err)
{
    (void)printf("%-20s %8s  %-9s %-7s %5s %8s %9s\n", "NAME", "PID", "STATE", "ENGINE", "CPUS", "MEMORY", "UPTIME");
    return rundir_each(show, NULL, err);
}

int verb_ps(int argc, char **argv)
{
    struct error err;
    bool json = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0) {
            json = true;
        } else if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            (void)printf("%s", help);
            return EXIT_OK;
        } else {
            (void)error_set(&err, -EINVAL, "unknown option '%s'", argv[i]);
            return cli_usage(&err, "ps");
        }
    }
    int r = json ? print_json(&err) : print_table(&err);
    return r < 0 ? cli_fail(&err) : EXIT_OK;
}
