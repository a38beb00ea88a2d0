/* SPDX-License-Identifier: MIT */
/*
 * doppel pause: stops the CPUs and the time of a running machine.
 */
#include "cli/verbs.h"
#include "control/client.h"

int verb_pause(int argc, char **argv)
{
    static const char help[] = "usage: doppel pause NAME\n\nStops the machine's CPUs at an instruction boundary, and its time: "
                               "the guest notices nothing. doppel resume lets it go on.\n";
    const struct action action = { .id = ACTION_PAUSE };
    const char *name;
    struct reply reply;
    struct error err;
    if (cli_machine_name(argc, argv, help, &name, &err) < 0)
        return cli_usage(&err, "pause");
    return !name || client_perform(name, &action, &reply, NULL, &err) == 0 ? EXIT_OK : cli_fail(&err);
}
