/* SPDX-License-Identifier: MIT */
/*
 * Where running machines have their control sockets: $XDG_RUNTIME_DIR/doppel/NAME.sock, else /tmp/doppel-UID/NAME.sock.
 *
 * The folder is ours alone (mode 0700, checked, never followed through a link): whoever can connect there can end machines and
 * type on their consoles. A socket whose process is gone is removed by whoever finds it.
 */
#ifndef DOPPEL_CONTROL_RUNDIR_H
#define DOPPEL_CONTROL_RUNDIR_H

#include "base/error.h"

enum { MACHINE_NAME_MAX = 64, RUNDIR_PATH_MAX = 4096, RUNDIR_MACHINES_MAX = 1024 };

/* 1 to MACHINE_NAME_MAX letters, digits, '-', '_' and '.', beginning with a letter or digit. -EINVAL. */
MUST_CHECK int machine_name_check(const char *name, struct error *err);
/* Makes the folder if need be, checks that it is ours. -EPERM when it is not; what the host says. */
MUST_CHECK int rundir_open(char ret_path[RUNDIR_PATH_MAX], struct error *err);
/* The socket of a machine, in rundir_open()'s folder. */
MUST_CHECK int rundir_socket(const char *name, char ret_path[RUNDIR_PATH_MAX], struct error *err);
/* Calls fn for the name of each machine that has a socket, by name, after having removed those whose process is gone. At most
 * RUNDIR_MACHINES_MAX. */
MUST_CHECK int rundir_each(void (*fn)(void *opaque, const char *name), void *opaque, struct error *err);

#endif
