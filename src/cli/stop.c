/* SPDX-License-Identifier: MIT */
/*
 * doppel stop: presses a machine's power button, ends it when it does not power off in time, waits until it is gone.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/verbs.h"
#include "control/client.h"

enum { EXTRA_S = 10 }; /* for the process to end, once the machine has */

static const char help[] =
    "usage: doppel stop NAME [--grace SECONDS] [--force]\n\n"
    "Asks the guest to power off, by the power button of ACPI, and waits until the machine is gone. It is ended\n"
    "after a grace period (10 s), and at once with --force or when the guest does not listen to the button.\n";

static int parse_grace(const char *text, int *ret_s, struct error *err)
{
    char *end;
    long s = text ? strtol(text, &end, 10) : 0;
    if (!text || !isdigit((unsigned char)text[0]) || *end || s > ACTION_GRACE_MAX)
        return error_set(err, -EINVAL, "--grace: '%s' is not a number of seconds from 0 to %d", text ? text : "",
                         ACTION_GRACE_MAX);
    *ret_s = (int)s;
    return 0;
}

/* Takes our options out of argv. */
static int parse_options(int *argc, char **argv, struct action *a, struct error *err)
{
    int kept = 1;
    for (int i = 1; i < *argc; i++) {
        int r = 0;
        if (strcmp(argv[i], "--force") == 0)
            a->force = true;
        else if (strncmp(argv[i], "--grace=", 8) == 0)
            r = parse_grace(argv[i] + 8, &a->grace_s, err);
        else if (strcmp(argv[i], "--grace") == 0) {
            r = parse_grace(i + 1 < *argc ? argv[i + 1] : NULL, &a->grace_s, err);
            i++;
        } else
            argv[kept++] = argv[i];
        if (r < 0)
            return r;
    }
    *argc = kept;
    return 0;
}

int verb_stop(int argc, char **argv)
{
    struct action action = { .id = ACTION_STOP, .grace_s = ACTION_GRACE_DEFAULT };
    const char *name;
    struct reply reply;
    struct error err;
    int fd;
    if (parse_options(&argc, argv, &action, &err) < 0 || cli_machine_name(argc, argv, help, &name, &err) < 0)
        return cli_usage(&err, "stop");
    if (!name)
        return EXIT_OK;
    if (client_perform(name, &action, &reply, &fd, &err) < 0)
        return cli_fail(&err);
    if (reply.text[0])
        (void)fprintf(stderr, "doppel: machine '%s': %s\n", name, reply.text);
    int r = client_wait_end(fd, action.grace_s + EXTRA_S, &err);
    (void)close(fd);
    if (r < 0)
        (void)error_prefix(&err, "machine '%s'", name);
    return r < 0 ? cli_fail(&err) : EXIT_OK;
}
