/* SPDX-License-Identifier: MIT */
/*
 * doppel image: hands over to the script make-image, which is installed beside the program.
 */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/error.h"
#include "cli/verbs.h"

enum { LEVELS_UP = 5 }; /* build/release/src/cli/doppel -> build/.. */

/* From the program's folder upwards: scripts/ in a source tree, share/doppel/ where it is installed. */
static bool find_script(char ret_path[PATH_MAX])
{
    static const char *const places[] = { "share/doppel/make-image", "scripts/make-image" };
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
        for (unsigned k = 0; k < ARRAY_SIZE(places); k++) {
            int n = snprintf(ret_path, PATH_MAX, "%s/%s", at, places[k]);
            if (n > 0 && n < PATH_MAX && access(ret_path, X_OK) == 0)
                return true;
        }
    }
    return false;
}

int verb_image(int argc, char **argv)
{
    struct error err;
    char path[PATH_MAX];
    (void)argc;
    if (!find_script(path)) {
        (void)error_set(&err, -ENOENT, "image: its script make-image is not there (make install puts it in share/doppel)");
        return cli_fail(&err);
    }
    (void)signal(SIGPIPE, SIG_DFL); /* it starts programs that count on that */
    (void)signal(SIGXFSZ, SIG_DFL);
    argv[0] = path;
    (void)execv(path, argv);
    (void)error_set(&err, -errno, "image: cannot run '%s': %s", path, strerror(errno));
    return cli_fail(&err);
}
