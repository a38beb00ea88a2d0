/* SPDX-License-Identifier: MIT */
/*
 * doppel resume: lets a paused machine go on.
 */
#include "cli/verbs.h"
#include "control/client.h"

int verb_resume(int argc, char **argv)
{
    static const char help[] = "usage: doppel resume NAME\n\nLets a paused machine go on.\n";
    const struct action action = { .id = ACTION_RESUME };
    const char *name;
    struct reply reply;
    struct error err;
    if (cli_machine_name(argc, argv, help, &name, &err) < 0)
        return cli_usage(&err, "resume");
    return !name || client_perform(name, &action, &reply, NULL, &err) == 0 ? EXIT_OK : cli_fail(&err);
}
