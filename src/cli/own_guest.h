/* SPDX-License-Identifier: MIT */
/*
 * Runs one of the small guests that are part of the program (guests/) to its end, and tells what came of it.
 */
#ifndef DOPPEL_CLI_OWN_GUEST_H
#define DOPPEL_CLI_OWN_GUEST_H

#include <stddef.h>

#include "base/clock.h"
#include "base/error.h"
#include "core/vm.h"

extern const unsigned char guest_popf_native[], guest_popf_pv[], guest_exits_native[], guest_exits_pv[], guest_tiny_native[],
    guest_tiny_pv[];
extern const unsigned long guest_popf_native_len, guest_popf_pv_len, guest_exits_native_len, guest_exits_pv_len,
    guest_tiny_native_len, guest_tiny_pv_len;

enum { OWN_GUEST_CONSOLE_MAX = 8192, OWN_GUEST_STATS_MAX = 32768 };

struct own_guest {
    const char *name;
    const void *image;
    size_t len;
};

struct own_guest_result {
    enum vm_end end;
    int status;                          /* with VM_END_EXIT */
    char why[160];                       /* the end in words, may be empty */
    ns_t took;                           /* host time from first to last instruction, and starting its threads */
    char console[OWN_GUEST_CONSOLE_MAX]; /* what it printed, NUL-terminated */
    char stats[OWN_GUEST_STATS_MAX];     /* of the engine: lines "name value" */
};

/* On one CPU with 32 MiB; ended from outside after `seconds`. Errors: what machine_new() and machine_run() say. */
MUST_CHECK int own_guest_run(const struct own_guest *guest, const char *engine, double seconds,
                             struct own_guest_result *ret_result, struct error *err);
/* The value of a line "name value" in text; 0 and false when there is none. */
bool own_guest_value(const char *text, const char *name, unsigned long *ret_value);

#endif
