/* SPDX-License-Identifier: MIT */
/*
 * The serial back end that carries a guest command's stdin, stdout, stderr and exit status (docs/run-command.md).
 *
 * Joins machine/stdio_channel (frames) to host descriptors. What the host does not take holds the guest back; nothing is
 * dropped. After the machine has ended, output may still wait: see command_port_unsent().
 */
#ifndef DOPPEL_MACHINE_COMMAND_PORT_H
#define DOPPEL_MACHINE_COMMAND_PORT_H

#include "backend/chardev.h"

enum command_event {
    COMMAND_READY,  /* the guest is about to start the command */
    COMMAND_EXITED, /* value: exit status */
    COMMAND_CLOSED, /* nobody reads its output any more (once) */
    COMMAND_BROKEN, /* the guest sent something that is no frame; value: negative errno */
};

/* On a vCPU thread or the I/O thread, front end's lock held; must not block. */
typedef void (*command_event_fn)(void *opaque, enum command_event event, int value);

/* The descriptors stay the caller's. -ENOMEM, or what the loop says. */
MUST_CHECK int command_port_new(struct loop *loop, int fd_in, int fd_out, int fd_err, command_event_fn fn, void *opaque,
                                struct chardev **ret_dev, struct error *err);
/* Passes on what is held back and returns the bytes of output the host has not taken yet. When it has taken all, `quit_when_sent`
 * makes the loop quit: so a caller whose machine has ended runs the loop until then. No other thread may use the port. */
size_t command_port_unsent(struct chardev *dev, bool quit_when_sent);

#endif
