/* SPDX-License-Identifier: MIT */
/*
 * What the parts of the guest's init program share.
 */
#ifndef DOPPEL_GUESTS_INIT_H
#define DOPPEL_GUESTS_INIT_H

#include <stddef.h>

/* "init: WHAT OBJECT: error N" on the console; result: -errno. */
void complain(const char *what, const char *object, long result);
/* Reads a small file and ends it with NUL; the length, or -errno. A file that does not fit is -E2BIG. */
long read_file(const char *path, char *buf, size_t size);

/* Loads the modules that the virtio devices of this machine need. Behind the mounts of /sys and /dev. */
void modules_load(void);

#endif
