/* SPDX-License-Identifier: MIT */
/*
 * Finds the folder of a fetched guest; one that has a manifest is complete (scripts/get-guest writes it last).
 */
#include "cli/guest_files.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/checked.h"

enum { LEVELS_UP = 5 }; /* build/release/src/cli/doppel -> build */
static const char *const flavours[] = { "cloud", "generic" };

static bool complete(const char *dir)
{
    static const char *const needed[] = { "manifest", "vmlinuz", "busybox" };
    for (unsigned i = 0; i < ARRAY_SIZE(needed); i++) {
        char path[GUEST_PATH_MAX];
        int n = snprintf(path, sizeof(path), "%s/%s", dir, needed[i]);
        if (n < 0 || n >= (int)sizeof(path) || access(path, R_OK) < 0)
            return false;
    }
    return true;
}

/* base/guests/ARCH/FLAVOUR for the first flavour that is complete. */
static bool try_base(const char *base, const char *arch, char ret_dir[GUEST_PATH_MAX])
{
    for (unsigned i = 0; i < ARRAY_SIZE(flavours); i++) {
        int n = snprintf(ret_dir, GUEST_PATH_MAX, "%s/guests/%s/%s", base, arch, flavours[i]);
        if (n > 0 && n < GUEST_PATH_MAX && complete(ret_dir))
            return true;
    }
    return false;
}

static bool try_near_executable(const char *arch, char ret_dir[GUEST_PATH_MAX])
{
    char at[GUEST_PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", at, sizeof(at) - 1);
    if (len <= 0)
        return false;
    at[len] = '\0';
    for (int i = 0; i < LEVELS_UP; i++) {
        char *slash = strrchr(at, '/');
        if (!slash)
            return false;
        *slash = '\0';
        char share[GUEST_PATH_MAX];
        int n = snprintf(share, sizeof(share), "%s/share/doppel", at);
        if (try_base(at, arch, ret_dir) || (n < (int)sizeof(share) && try_base(share, arch, ret_dir)))
            return true;
    }
    return false;
}

int guest_files_find(const char *arch, char ret_dir[GUEST_PATH_MAX], struct error *err)
{
    if (try_near_executable(arch, ret_dir))
        return 0;
    const char *home = getenv("HOME");
    char share[GUEST_PATH_MAX];
    int n = home ? snprintf(share, sizeof(share), "%s/.local/share/doppel", home) : -1;
    if (n > 0 && n < (int)sizeof(share) && try_base(share, arch, ret_dir))
        return 0;
    return error_set(err, -ENOENT,
                     "no guest for %s: neither guests/%s near the program nor ~/.local/share/doppel/guests/%s is "
                     "there (fetch one with: make guests, or give --kernel FILE)",
                     arch, arch, arch);
}

bool guest_files_of_kernel(const char *kernel, char ret_dir[GUEST_PATH_MAX])
{
    const char *slash = strrchr(kernel, '/');
    int len = slash ? (int)(slash - kernel) : 1;
    int n = snprintf(ret_dir, GUEST_PATH_MAX, "%.*s", len, slash ? kernel : ".");
    return n > 0 && n < GUEST_PATH_MAX && complete(ret_dir);
}
