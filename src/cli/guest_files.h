/* SPDX-License-Identifier: MIT */
/*
 * Where the guests that `make guests` fetched lie.
 */
#ifndef DOPPEL_CLI_GUEST_FILES_H
#define DOPPEL_CLI_GUEST_FILES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

enum { GUEST_PATH_MAX = 4096 };

/* The folder with the guest for `arch`: guests/ARCH/FLAVOUR beside or above the executable (a build tree), in
 * ../share/doppel of it (an installation) or in ~/.local/share/doppel. -ENOENT says where it looked. */
MUST_CHECK int guest_files_find(const char *arch, char ret_dir[GUEST_PATH_MAX], struct error *err);
/* Whether the kernel file lies in such a folder, which then goes to ret_dir. */
bool guest_files_of_kernel(const char *kernel, char ret_dir[GUEST_PATH_MAX]);

#endif
