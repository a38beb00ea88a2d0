/* SPDX-License-Identifier: MIT */
/*
 * The user's terminal: raw while a guest's console is on it, and restored however the program ends.
 */
#ifndef DOPPEL_CLI_TERMINAL_H
#define DOPPEL_CLI_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Makes stdin's terminal raw if stdin and stdout are terminals, and sees to it that it is restored at exit and before a
 * crash; otherwise does nothing. Control thread. */
void terminal_raw(void);
/* Back to how it was; may be called at any time, any number of times, also in signal handlers. */
void terminal_restore(void);
/* For programs without a watcher: a signal that ends us restores it first. */
void terminal_restore_on_signals(void);
/* Columns and rows of stdin's terminal. False: it is none, or does not know. */
bool terminal_size(unsigned *ret_cols, unsigned *ret_rows);
/* Writes to the terminal, beside the guest's output; lines end with "\r\n". */
void terminal_say(const char *text);
/* Raw again after a restore for job control. */
void terminal_raw_again(void);

/* Finds escape sequences in what the user types. */
struct monitor;

struct escape_keys {
    bool pending;          /* the last byte was Ctrl-A */
    const char *quit_does; /* for the help */
    void (*quit)(void *opaque);
    void *opaque;            /* borrowed (outlives the input) */
    struct monitor *monitor; /* borrowed (as opaque); NULL: there is none */
};
/* A chardev_filter_fn: takes Ctrl-A x (quit), Ctrl-A c (monitor), Ctrl-A h (help) and Ctrl-A Ctrl-A (one Ctrl-A) out of the
 * input, and all that is typed for the monitor. */
size_t escape_keys_filter(void *escape_keys, uint8_t *data, size_t len);

#endif
