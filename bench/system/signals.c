/* SPDX-License-Identifier: MIT */
/*
 * Sends itself signals that a handler takes.
 */
#include "../bench.h"

#include <signal.h>

static volatile uint64_t taken;

static void handler(int signo)
{
    taken += (unsigned)signo;
}

static void set_up(void)
{
    struct sigaction a = { .sa_handler = handler };
    sigaction(SIGUSR1, &a, NULL);
}

static uint64_t unit(unsigned n)
{
    for (unsigned k = 0; k < 500; k++)
        raise(SIGUSR1);
    return taken + n;
}
