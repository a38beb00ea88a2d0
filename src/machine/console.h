/* SPDX-License-Identifier: MIT */
/*
 * A serial back end between a guest's console and the real one: keeps the last of its output and notices a kernel panic.
 *
 * A Linux guest started with panic=-1 resets the machine right after its "Kernel panic" line, so that line on the
 * console is what tells a panic from a reboot: the least that works with any unmodified kernel, however early it dies.
 */
#ifndef DOPPEL_MACHINE_CONSOLE_H
#define DOPPEL_MACHINE_CONSOLE_H

#include "backend/chardev.h"

/* Bytes of output that are kept, and of fed input that may wait. */
enum { CONSOLE_KEEP = 64 << 10, CONSOLE_FEED = 1 << 10 };

/* `below` gets the output and gives the input, and is freed with the console; NULL: output is only kept. -ENOMEM. */
MUST_CHECK int console_new(struct chardev *below, struct chardev **ret_dev, struct error *err);

/* Somebody who watches the console and types on it besides `below`. Called with the front end's lock held; must not block. */
struct console_tap {
    void (*output)(void *opaque, const uint8_t *data, size_t len); /* the guest wrote */
    void (*room)(void *opaque);                                    /* the guest has read what console_feed() took */
    void *opaque;                                                  /* borrowed (the watcher takes the tap off first) */
};
/* NULL takes it off. Front end's lock held, or no thread running; `tap` is borrowed until then. */
void console_set_tap(struct chardev *dev, const struct console_tap *tap);
/* Input for the guest; returns the bytes taken. Front end's lock held, on the loop's thread. */
size_t console_feed(struct chardev *dev, const uint8_t *data, size_t len);

/* A kernel panic was reported since the last console_forget(). Front end's lock held, or no thread running. */
bool console_saw_panic(const struct chardev *dev);
/* The guest starts anew: a panic of the last one no longer counts (its output is still kept). */
void console_forget(struct chardev *dev);
/* Copies the kept output, oldest first; returns its length (at most cap, then the newest). */
size_t console_copy(const struct chardev *dev, void *buf, size_t cap);

#endif
