/* SPDX-License-Identifier: MIT */
/*
 * One instruction on the host CPU itself, with every register chosen by the caller: the oracle of host_test.
 *
 * Shares nothing with isa/x86/host_tramp.c: the bytes run as they are, the whole extended state goes through XRSTOR and
 * XSAVE, all sixteen general registers are loaded (signals run on another stack). One thread only.
 */
#ifndef DOPPEL_TESTS_HOST_NATIVE_H
#define DOPPEL_TESTS_HOST_NATIVE_H

#include "isa/x86/state.h"

/* Fixed host addresses, below 2 GiB so that absolute and RIP-relative operands reach them. */
#define NATIVE_DATA 0x10000000UL /* 2 MiB the test maps itself; the 2 MiB after it are unmapped */
#define NATIVE_DATA_SIZE 0x200000UL
#define NATIVE_CODE 0x10600000UL
#define NATIVE_CONTEXT 0x10800000UL

enum { NATIVE_NO_TRAP = 0xff };

struct native_state {
    uint64_t gpr[16];
    uint64_t rflags;
    struct x86_fpu fpu;
    uint64_t next_rip; /* out: where the instruction stopped or fell through to */
    uint8_t trap;      /* out: vector, or NATIVE_NO_TRAP */
};

/* Maps the fixed areas and installs signal handlers (those before are called for faults elsewhere). */
int native_init(struct error *err);
/* Where the instruction of the next native_run() will stand. */
#define NATIVE_RIP (NATIVE_CODE + 0x100)
void native_run(struct native_state *s, const uint8_t *bytes, unsigned len);

#endif
