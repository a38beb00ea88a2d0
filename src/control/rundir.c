/* SPDX-License-Identifier: MIT */
/*
 * The folder of control sockets.
 */
#include "control/rundir.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/unixsock.h"

#define SUFFIX ".sock"

int machine_name_check(const char *name, struct error *err)
{
    static const char first[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    static const char more[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
    size_t len = strlen(name);
    if (len == 0 || len > MACHINE_NAME_MAX || strspn(name, first) == 0 || strspn(name, more) != len)
        return error_set(err, -EINVAL,
                         "'%.80s' is no name for a machine (1 to %d letters, digits, '-', '_', '.', a letter or digit first)",
                         name, MACHINE_NAME_MAX);
    return 0;
}

/* Ours, a folder and not a link to one, and closed to all others. */
static int check_folder(const char *path, struct error *err)
{
    struct stat st;
    if (lstat(path, &st) < 0)
        return error_set(err, -errno, "%s: %s", path, strerror(errno));
    if (!S_ISDIR(st.st_mode))
        return error_set(err, -EPERM, "%s is not a folder (remove it)", path);
    if (st.st_uid != geteuid())
        return error_set(err, -EPERM, "%s belongs to user %u, not to us (set XDG_RUNTIME_DIR)", path, (unsigned)st.st_uid);
    if (st.st_mode & 077)
        return error_set(err, -EPERM, "%s is open to others, mode %03o (chmod 700 %s)", path, (unsigned)st.st_mode & 0777, path);
    return 0;
}

int rundir_open(char ret_path[RUNDIR_PATH_MAX], struct error *err)
{
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    int n = runtime && runtime[0] == '/' ? snprintf(ret_path, RUNDIR_PATH_MAX, "%s/doppel", runtime)
                                         : snprintf(ret_path, RUNDIR_PATH_MAX, "/tmp/doppel-%u", (unsigned)geteuid());
    if (n < 0 || n >= RUNDIR_PATH_MAX)
        return error_set(err, -ENAMETOOLONG, "XDG_RUNTIME_DIR is too long");
    if (mkdir(ret_path, 0700) < 0 && errno != EEXIST)
        return error_set(err, -errno, "cannot make %s: %s (set XDG_RUNTIME_DIR)", ret_path, strerror(errno));
    return check_folder(ret_path, err);
}

int rundir_socket(const char *name, char ret_path[RUNDIR_PATH_MAX], struct error *err)
{
    int r = machine_name_check(name, err);
    if (r == 0)
        r = rundir_open(ret_path, err);
    if (r < 0)
        return r;
    size_t at = strlen(ret_path);
    int n = snprintf(ret_path + at, RUNDIR_PATH_MAX - at, "/%s" SUFFIX, name);
    return n < 0 || (size_t)n >= RUNDIR_PATH_MAX - at ? error_set(err, -ENAMETOOLONG, "XDG_RUNTIME_DIR is too long") : 0;
}

static int is_socket(const struct dirent *entry)
{
    size_t len = strlen(entry->d_name), suffix = strlen(SUFFIX);
    return len > suffix && len <= MACHINE_NAME_MAX + suffix && strcmp(entry->d_name + len - suffix, SUFFIX) == 0;
}

int rundir_each(void (*fn)(void *opaque, const char *name), void *opaque, struct error *err)
{
    char folder[RUNDIR_PATH_MAX], path[RUNDIR_PATH_MAX + NAME_MAX + 2];
    struct dirent **entries;
    int r = rundir_open(folder, err);
    if (r < 0)
        return r;
    int n = scandir(folder, &entries, is_socket, alphasort);
    if (n < 0)
        return error_set(err, -errno, "%s: %s", folder, strerror(errno));
    for (int i = 0; i < n; i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", folder, entries[i]->d_name);
        entries[i]->d_name[strlen(entries[i]->d_name) - strlen(SUFFIX)] = '\0';
        if (i < RUNDIR_MACHINES_MAX && machine_name_check(entries[i]->d_name, NULL) == 0 && !unixsock_remove_stale(path))
            fn(opaque, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    return 0;
}
