/* SPDX-License-Identifier: MIT */
/*
 * Forks a child that executes a program (this one, which exits at once), and waits for it.
 */
#include "../bench.h"

#include <sys/wait.h>
#include <unistd.h>

static char self[4096];

/* As `exec exit`: runs before main() and ends it. */
__attribute__((constructor)) static void child(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "exit") == 0)
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
            execl(self, self, "exit", (char *)NULL);
            _exit(127);
        }
        if (waitpid(pid, &status, 0) != pid || WEXITSTATUS(status) != 7)
            fail("child");
    }
    return n;
}
