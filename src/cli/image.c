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
#include "cli/near_program.h"
#include "cli/verbs.h"

/* scripts/ in a source tree, share/doppel/ where it is installed. */
static bool find_script(void *opaque, const char *folder)
{
    static const char *const places[] = { "share/doppel/make-image", "scripts/make-image" };
    char *path = opaque;
    for (unsigned k = 0; k < ARRAY_SIZE(places); k++) {
        int n = snprintf(path, PATH_MAX, "%s/%s", folder, places[k]);
        if (n > 0 && n < PATH_MAX && access(path, X_OK) == 0)
            return true;
    }
    return false;
}

int verb_image(int argc, char **argv)
{
    struct error err;
    char path[PATH_MAX];
    (void)argc;
    if (!near_program(find_script, path)) {
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
