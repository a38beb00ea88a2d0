/* SPDX-License-Identifier: MIT */
/*
 * Names of the control and status registers: a CSR instruction is another instruction with each of them, so each gets a verdict.
 *
 * Which there are is the reference machine's to say (isa/riscv/csr.c); a test holds this list against it.
 * Spec: volume II chapter 2
 */
#ifndef DOPPEL_CLASSIFY_RISCV_CSRS_H
#define DOPPEL_CLASSIFY_RISCV_CSRS_H

#include <stdint.h>

/* Registers that follow one another and are alike: name[0]..name[count - 1], by their numbers. */
struct riscv_csrs {
    const char *name;
    uint16_t first;
    uint8_t count, step; /* step: between their numbers */
};

extern const struct riscv_csrs riscv_csrs[];
extern const unsigned riscv_nr_csrs;

#endif
