/* SPDX-License-Identifier: MIT */
/*
 * The monitor on the console's terminal (Ctrl-A c): a prompt for the control actions.
 *
 * It only edits lines and turns them into actions; who performs them is its owner's affair. What is typed may arrive with the
 * machine's lock held, where nothing can be performed: so a line goes to `submit`, which hands it to monitor_execute() wherever
 * it may block.
 */
#ifndef DOPPEL_CLI_MONITOR_H
#define DOPPEL_CLI_MONITOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/action.h"

enum { MONITOR_LINE = 80 };

struct monitor {
    _Atomic bool active; /* read where lines are executed, set where keys arrive */
    size_t len;
    char line[MONITOR_LINE];
    void (*submit)(void *opaque, const char *line); /* a line was entered; must not block */
    void *opaque;                                   /* borrowed (whoever reads the terminal) */
};
/* Performs the action; 0 with the reply, or a negative errno. */
typedef int (*monitor_perform_fn)(void *opaque, const struct action *action, struct reply *ret_reply, struct error *err);

/* Ctrl-A c: shows the prompt, or goes back to the guest. */
void monitor_toggle(struct monitor *m);
void monitor_key(struct monitor *m, uint8_t key);
/* Does what the line says and shows the result, and the prompt if the monitor is (still) there. */
void monitor_execute(struct monitor *m, const char *line, monitor_perform_fn perform, void *opaque);

#endif
