/* SPDX-License-Identifier: MIT */
/*
 * Builds the initramfs of `doppel run`: busybox with its applets, our init, a directory skeleton, virtio modules, and
 * the command to run.
 *
 * Uncompressed, since copying is cheaper than decompressing in the guest. What init finds where: docs/run-command.md.
 */
#ifndef DOPPEL_MACHINE_INITRAMFS_H
#define DOPPEL_MACHINE_INITRAMFS_H

#include <stdbool.h>

#include "machine/blob.h"

/* A share that init mounts before the command runs. */
struct initramfs_share {
    const char *tag;
    const char *path; /* absolute: where it goes */
    bool read_only;
};

struct initramfs_args {
    const char *arch;           /* the guest's, as in vm_config; borrowed */
    const char *guest_dir;      /* borrowed; made by scripts/get-guest: busybox and applets, and with_modules modules */
    bool with_modules;          /* the kernel of guest_dir is the one that will run */
    const char *network;        /* borrowed; how init sets the interface up: "NAME [ADDRESS NETMASK GATEWAY]"; NULL: not at all */
    const char *nameserver;     /* borrowed; an address, NULL: none */
    const char *const *command; /* borrowed; arguments ending in NULL; NULL or no argument: a shell on the console */
    const struct initramfs_share *share; /* borrowed; for a command; each behind those that it lies in */
    unsigned nr_shares;
    const char *cwd; /* borrowed; the command's folder; NULL: / */
};

/* Largest initramfs and largest command (arguments with their NULs), in bytes. */
#define INITRAMFS_MAX (512UL << 20)
enum { INITRAMFS_COMMAND_MAX = 128 << 10 };

/* -ENOTSUP: we were built without what the architecture needs, -ENOENT and so on when the guest folder is incomplete, -E2BIG
 * command or archive too large, -ENOMEM. */
MUST_CHECK int initramfs_build(const struct initramfs_args *args, struct blob *ret_cpio, struct error *err);

#endif
