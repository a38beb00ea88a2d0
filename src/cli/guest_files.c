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
#include "cli/near_program.h"

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

struct wanted {
    const char *arch; /* borrowed (the caller's) */
    char *ret_dir;    /* borrowed (the caller's, GUEST_PATH_MAX) */
};

static bool try_near(void *opaque, const char *folder)
{
    const struct wanted *w = opaque;
    char share[GUEST_PATH_MAX];
    int n = snprintf(share, sizeof(share), "%s/share/doppel", folder);
    return try_base(folder, w->arch, w->ret_dir) || (n > 0 && n < (int)sizeof(share) && try_base(share, w->arch, w->ret_dir));
}

int guest_files_find(const char *arch, char ret_dir[GUEST_PATH_MAX], struct error *err)
{
    struct wanted wanted = { .arch = arch, .ret_dir = ret_dir };
    if (near_program(try_near, &wanted))
        return 0;
    const char *home = getenv("HOME");
    char share[GUEST_PATH_MAX];
    int n = home ? snprintf(share, sizeof(share), "%s/.local/share/doppel", home) : -1;
    if (n > 0 && n < (int)sizeof(share) && try_base(share, arch, ret_dir))
        return 0;
    return error_set(err, -ENOENT,
                     "no guest for %s: neither guests/%s near the program nor ~/.local/share/doppel/guests/%s is "
                     "there (fetch one with: make guests ARCH=%s, or give --kernel FILE)",
                     arch, arch, arch, arch);
}

bool guest_files_of_kernel(const char *kernel, char ret_dir[GUEST_PATH_MAX])
{
    const char *slash = strrchr(kernel, '/');
    int len = slash ? (int)(slash - kernel) : 1;
    int n = snprintf(ret_dir, GUEST_PATH_MAX, "%.*s", len, slash ? kernel : ".");
    return n > 0 && n < GUEST_PATH_MAX && complete(ret_dir);
}
