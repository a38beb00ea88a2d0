/* SPDX-License-Identifier: MIT */
/*
 * doppel balloon: how much of its memory a machine's guest keeps, and what it does with it.
 *
 * Asking a machine makes it ask its guest, whose answer the machine has a little later: so we ask until the figures are younger
 * than our first question, or for a second.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "cli/run_options.h"
#include "cli/verbs.h"
#include "control/client.h"

enum { WAIT_MS = 1000, STEP_MS = 20 };

static const char help[] =
    "usage: doppel balloon NAME [SIZE]\n\n"
    "Shows how much of its memory the guest is to keep and keeps, what it gave back to the host so far, and its\n"
    "own figures, in bytes. With SIZE (512M, 4G): that is what it is to keep; the rest it gives back, as far as it\n"
    "can. The machine was started with --balloon.\n";

static void print(const struct machine_balloon *b)
{
    (void)printf("target %" PRIu64 "\nactual %" PRIu64 "\nreleased %" PRIu64 "\n", b->target, b->actual, b->released);
    for (unsigned i = 0; i < MACHINE_BALLOON_STATS; i++)
        if (b->known >> i & 1)
            (void)printf("%s %" PRIu64 "\n", balloon_figure_name((enum machine_balloon_stat)i), b->stat[i]);
}

/* Until the figures are newer than `begin`. */
static int ask(const char *name, struct action *action, struct reply *ret_reply, struct error *err)
{
    const ns_t begin = clock_host_ns();
    const struct timespec step = { .tv_nsec = STEP_MS * (NS_PER_S / 1000) };
    for (;;) {
        int r = client_perform(name, action, ret_reply, NULL, err);
        if (r == 0 && !ret_reply->has_balloon)
            r = error_set(err, -EPROTO, "machine '%s': the reply lacks something", name);
        const ns_t since = clock_host_ns() - begin;
        if (r < 0 || !ret_reply->balloon.driver || ret_reply->info.state == MACHINE_PAUSED || since > WAIT_MS * (NS_PER_S / 1000)
            || (ret_reply->balloon.age >= 0 && ret_reply->balloon.age < since))
            return r;
        action->keep = 0; /* once is enough */
        (void)nanosleep(&step, NULL);
    }
}

int verb_balloon(int argc, char **argv)
{
    struct action action = { .id = ACTION_BALLOON };
    const char *name, *size = argc == 3 && argv[1][0] != '-' && argv[2][0] != '-' ? argv[2] : NULL;
    struct reply reply;
    struct error err;
    if (cli_machine_name(size ? 2 : argc, argv, help, &name, &err) < 0)
        return cli_usage(&err, "balloon");
    if (!name)
        return EXIT_OK;
    if (size && parse_size(size, &action.keep, &err) == 0 && action.keep == 0)
        (void)error_set(&err, -EINVAL, "'%s' leaves the guest nothing", size);
    if (size && action.keep == 0)
        return cli_usage(&err, "balloon");
    if (ask(name, &action, &reply, &err) < 0)
        return cli_fail(&err);
    if (!reply.balloon.driver)
        (void)fprintf(stderr, "doppel: machine '%s': its guest has no driver for its balloon (yet)\n", name);
    print(&reply.balloon);
    return EXIT_OK;
}
