/* SPDX-License-Identifier: MIT */
/*
 * The SBI that the monitor answers: firmware for guests that start in S-mode.
 *
 * Extensions: base, TIME, IPI, RFENCE, HSM, SRST, DBCN, PMU without counters, and doppel's own (sbi_own.h). Calls come on the
 * thread of the vCPU that makes them; harts' states and the console are guarded by the machine's lock. Spec: RISC-V SBI 2.0
 */
#ifndef DOPPEL_MACHINE_SBI_H
#define DOPPEL_MACHINE_SBI_H

#include "core/vm.h"

struct chardev;
struct riscv_cpu;

struct sbi {
    struct vm *vm;           /* borrowed (the machine's) */
    struct chardev *console; /* borrowed (outlives the machine); NULL: the debug console has no other end */
};

/* The call member of struct riscv_sbi; opaque: struct sbi. */
void sbi_call(void *sbi, struct riscv_cpu *c);

#endif
