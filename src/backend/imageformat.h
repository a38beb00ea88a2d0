/* SPDX-License-Identifier: MIT */
/*
 * In which way a disk is there: a plain file or block device, an image in a format that a server reads for us, or a server's.
 *
 * What nobody named is found by looking at the file, which a guest may have written: one that has the disk plain could write the
 * header of a qcow2 image into it, and name a file of the host as what is behind it. So an image that names another file is
 * taken only where the user says that it is one.
 * Spec: qemu docs/interop/qcow2.txt, "Header"
 */
#ifndef DOPPEL_BACKEND_IMAGEFORMAT_H
#define DOPPEL_BACKEND_IMAGEFORMAT_H

#include <stdbool.h>

#include "base/error.h"

struct blockdev_config;

enum imageformat {
    IMAGEFORMAT_PLAIN,  /* bytes as they are */
    IMAGEFORMAT_SERVED, /* qemu-nbd knows it */
    IMAGEFORMAT_URI,    /* of an NBD server */
};

/* Whether a disk's path is a URI of an NBD server. A file of that name can be named with a ./ before it. */
bool imageformat_is_uri(const char *path);
/* *ret_name: of the format, as qemu has it, with SERVED. What hostfile_peek() says; -EINVAL: an image that was not named to be
 * one, and names another file; a URI with a format. */
MUST_CHECK int imageformat_find(const struct blockdev_config *config, enum imageformat *ret_format, const char **ret_name,
                                struct error *err);

#endif
