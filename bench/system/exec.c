/* SPDX-License-Identifier: MIT */
/*
 * Forks a child that executes a program (this one, which exits at once), and waits for it.
 */
#include "../bench.h"

#include <sys/wait.h>
#include <unistd.h>

static char self[4096];

/* With EXIT in the environment: runs before main() and ends it. (Not every libc gives constructors the arguments.) */
__attribute__((constructor)) static void child(void)
{
    if (getenv("EXIT"))
        _exit(7);
}

static void set_up(void)
{
    if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
        fail("/proc/self/exe");
}

static uint64_t unit(unsigned n)
{
    int status = 0;
    for (unsigned k = 0; k < 2; k++) {
        pid_t pid = vfork();
        if (pid < 0)
            fail("vfork");
        if (pid == 0) {
            execle(self, self, (char *)NULL, (char *const[]){ "EXIT=1", NULL });
            _exit(127);
        }
        if (waitpid(pid, &status, 0) != pid || WEXITSTATUS(status) != 7)
            fail("child");
    }
    return n;
}
