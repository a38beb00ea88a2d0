/* SPDX-License-Identifier: MIT */
/*
 * The thread that makes signals and --timeout end a machine, whatever the machine is doing.
 *
 * It holds no lock of the machine and waits for nothing but time and signals, so a guest cannot hold it up. If the
 * machine does not end within two seconds of being told, or a second signal comes, the watcher ends the process.
 */
#ifndef DOPPEL_CLI_WATCHER_H
#define DOPPEL_CLI_WATCHER_H

#include "base/error.h"

struct machine;

/* Blocks the signals in the calling thread (and so in all it starts) and starts the watcher. timeout: seconds, 0: none.
 * Until watcher_set_machine() a signal or the timeout simply exits. One a process. */
MUST_CHECK int watcher_start(double timeout, struct error *err);
/* From now on the machine is ended. NULL: back to exiting. */
void watcher_set_machine(struct machine *machine);
/* An eventfd of the caller's that is written to when the terminal may have another size; -1: none. Any thread. */
void watcher_set_resize(int fd);
/* Returns the number of the signal that ended the machine, 0 for none. */
int watcher_signal(void);
void watcher_stop(void);
/* Starts it again after watcher_stop(), as it was; signals have waited. */
MUST_CHECK int watcher_go_on(struct error *err);

#endif
