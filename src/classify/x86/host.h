/* SPDX-License-Identifier: MIT */
/*
 * The user-mode side of the experiments on the real CPU: a child process executes the instruction from the same state.
 *
 * Only rows with an encoding in 64-bit code. Each row gets a child of its own, which holds one page of code and one of data at
 * the addresses the experiments use, and can make no system call but those it needs to end (a seccomp filter): whatever the
 * instruction is, it cannot reach the host's kernel by it.
 * Spec: none; Linux signal(7), seccomp(2)
 */
#ifndef DOPPEL_CLASSIFY_X86_HOST_H
#define DOPPEL_CLASSIFY_X86_HOST_H

#include "classify/experiment.h"

/* What came of one row's cases. */
struct host_row {
    uint16_t cases;
    uint16_t host_completed, reference_completed; /* entering the kernel by SYSCALL or INT n counts */
    uint16_t trap_differs;                        /* one trapped, the other did not */
    uint16_t result_differs;                      /* both completed, with other registers or memory */
    uint16_t lost;                                /* the child ended, or did not come back */
    char example[160];                            /* of results that differ, the first: in words; else empty */
};

enum { HOST_CASES = 12 };

/* Tries HOST_CASES user-mode states of a row. -ENOMEM, -errno of mmap(2) and fork(2). A row without an encoding in 64-bit code
 * has no cases. */
MUST_CHECK int host_try(struct experiment *e, unsigned row, struct host_row *ret_row, struct error *err);

#endif
