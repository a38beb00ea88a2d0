/* SPDX-License-Identifier: MIT */
/*
 * The cheapest system call in a loop.
 */
#include "../bench.h"

#include <sys/syscall.h>
#include <unistd.h>

static void set_up(void)
{
}

static uint64_t unit(unsigned n)
{
    long parent = syscall(SYS_getppid), same = 0;
    for (unsigned k = 0; k < 3000; k++)
        same += syscall(SYS_getppid) == parent;
    return (uint64_t)same + n;
}
