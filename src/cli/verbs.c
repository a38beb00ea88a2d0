/* SPDX-License-Identifier: MIT */
/*
 * What the verbs that are about one machine have in common.
 */
#include "cli/verbs.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int cli_machine_name(int argc, char **argv, const char *help, const char **ret_name, struct error *err)
{
    const char *name = NULL;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            (void)printf("%s", help);
            *ret_name = NULL;
            return 0;
        }
        if (argv[i][0] == '-')
            return error_set(err, -EINVAL, "unknown option '%s'", argv[i]);
        if (name)
            return error_set(err, -EINVAL, "unexpected '%s': one machine at a time", argv[i]);
        name = argv[i];
    }
    if (!name)
        return error_set(err, -EINVAL, "which machine? (doppel ps shows which run)");
    *ret_name = name;
    return 0;
}
