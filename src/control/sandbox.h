/* SPDX-License-Identifier: MIT */
/*
 * What is left of the process's rights once a machine is set up: a seccomp filter, no_new_privs, and Landlock where there is one.
 *
 * The base list of system calls (sandbox.c) is what every machine needs: memory, threads, time, signals to itself, and I/O on
 * descriptors that are open already. Everything else fails with EPERM: opening files, making sockets, starting programs or
 * processes; what nobody could want by mistake (loading kernel modules, mounting) kills the process. Landlock says the same of
 * files a second time, to whatever the filter lets through.
 *
 * A device that needs more when the machine runs says so in struct sandbox_needs: it gets a bool there (or, for files, folders),
 * its list of system calls is a row in sandbox.c's table of additions, and cli/run.c sets the bool from the machine's
 * configuration. Better is to need nothing: open what is needed before, as disks, overlays and --trace-code do.
 *
 * The filter holds for all threads. Landlock holds for the calling thread and those that it starts: so call this before any but
 * the watcher's are started (run.c stops that one meanwhile; blockdev's workers start with the first work). An io_uring must have
 * been made, and restricted to the operations it is for: a filter does not see what is done through it.
 * Spec: seccomp(2), landlock(7)
 */
#ifndef DOPPEL_CONTROL_SANDBOX_H
#define DOPPEL_CONTROL_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

enum { SANDBOX_FOLDERS_MAX = 32, SANDBOX_DEVICES_MAX = 128 };

/* A descriptor with requests of its own. */
struct sandbox_device {
    int fd;
    const unsigned long *ioctl; /* borrowed (static) */
    unsigned nr_ioctls;
};

struct sandbox_needs {
    bool sockets;   /* makes and connects sockets of IP, and reads /etc/resolv.conf: a user-mode network */
    bool processes; /* makes processes that it traces: engine direct */
    bool files;     /* opens, makes and removes files below `folder`: shared folders */
    const char
        *clean_dir; /* a folder whose sockets of ours are removed at the end; NULL: none. Only where Landlock confines it */
    const char *folder[SANDBOX_FOLDERS_MAX]; /* borrowed; with `files` */
    unsigned nr_folders;
    struct sandbox_device device[SANDBOX_DEVICES_MAX]; /* those of engine kvm, open already */
    unsigned nr_devices;
};

/* What this host has. */
struct sandbox_host {
    bool seccomp;
    bool no_new_privs;
    int landlock; /* ABI version; 0: none */
};
void sandbox_probe(struct sandbox_host *ret_host);

/* Gives up all else, for good. ret_landlock: whether Landlock holds, too (else clean_dir was not granted). -ENOTSUP: this host
 * has no seccomp filters; what the host says. After a failure some of it may hold already. */
MUST_CHECK int sandbox_apply(const struct sandbox_needs *needs, bool *ret_landlock, struct error *err);

#endif
