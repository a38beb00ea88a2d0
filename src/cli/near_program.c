/* SPDX-License-Identifier: MIT */
/*
 * Walks from the program's folder upwards.
 */
#include "cli/near_program.h"

#include <limits.h>
#include <string.h>
#include <unistd.h>

enum { LEVELS_UP = 5 }; /* build/release/src/cli/doppel -> build/.. */

bool near_program(bool (*fn)(void *opaque, const char *folder), void *opaque)
{
    char at[PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", at, sizeof(at) - 1);
    if (len <= 0)
        return false;
    at[len] = '\0';
    for (int i = 0; i < LEVELS_UP; i++) {
        char *slash = strrchr(at, '/');
        if (!slash)
            return false;
        *slash = '\0';
        if (fn(opaque, at))
            return true;
    }
    return false;
}
