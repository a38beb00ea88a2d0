/* SPDX-License-Identifier: MIT */
/*
 * Two processes on one CPU that give it to each other (sched_yield): context switches.
 */
#include "../bench.h"

#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

static volatile uint32_t *turn;

static void give(uint32_t mine)
{
    *turn = !mine;
    while (*turn != mine)
        sched_yield();
}

static void set_up(void)
{
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    turn = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (sched_setaffinity(0, sizeof(one), &one) < 0 || turn == MAP_FAILED)
        fail("set_up");
    if (fork() == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        while (*turn != 1)
            sched_yield();
        for (;;)
            give(1);
    }
}

static uint64_t unit(unsigned n)
{
    for (unsigned k = 0; k < 300; k++)
        give(0);
    return n;
}
