/* SPDX-License-Identifier: MIT */
/*
 * Forks a child that exits at once, and waits for it.
 */
#include "../bench.h"

#include <sys/wait.h>
#include <unistd.h>

static void set_up(void)
{
}

static uint64_t unit(unsigned n)
{
    int status = 0;
    for (unsigned k = 0; k < 4; k++) {
        pid_t child = fork();
        if (child < 0)
            fail("fork");
        if (child == 0)
            _exit((int)(n + k) & 0x7f);
        if (waitpid(child, &status, 0) != child)
            fail("waitpid");
    }
    return (uint64_t)WEXITSTATUS(status);
}
