/* SPDX-License-Identifier: MIT */
/*
 * The options of `doppel run`.
 */
#ifndef DOPPEL_CLI_RUN_OPTIONS_H
#define DOPPEL_CLI_RUN_OPTIONS_H

#include <stdbool.h>

#include "machine/machine.h"

enum run_sandbox { SANDBOX_AUTO, SANDBOX_ON, SANDBOX_OFF };

struct run_options {
    struct vm_config vm; /* initramfs and cmdline are filled in later */
    const char *append;  /* NULL: none */
    const char *name;    /* NULL: one is made up */
    const char *serial;  /* what COM1 is connected to: run_serial.h */
    const char *console; /* what the virtio console is connected to, the same; NULL: there is none */
    enum run_sandbox sandbox;
    double timeout; /* seconds, 0: none */
    bool help;
    char *const *command;                                       /* after "--"; NULL: none; ends with NULL */
    char *vsock_text;                                           /* owned; what vm.vsock points into */
    char *disk_text[VM_DISKS_MAX];                              /* owned; what vm.disk[] points into */
    char *share_text[VM_SHARES_MAX], *share_tag[VM_SHARES_MAX]; /* owned; what vm.share[] points into */
};

/* Strings are borrowed from argv, but for those of disks, shares and vsock. -EINVAL: bad usage. */
MUST_CHECK int run_options_parse(int argc, char **argv, struct run_options *ret_options, struct error *err);
/* Takes zeroed ones. */
void run_options_done(struct run_options *options);
void run_options_help(void);

/* "512M", "4G": bytes; units K, M, G, T, each also with iB or B. -EINVAL without a unit or out of range. */
MUST_CHECK int parse_size(const char *text, uint64_t *ret_bytes, struct error *err);

#endif
