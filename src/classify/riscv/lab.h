/* SPDX-License-Identifier: MIT */
/*
 * The laboratory of `doppel classify riscv64`: what the experiments (classify/experiment.h) need to know of RISC-V.
 *
 * An instruction here is a row of the instruction table; a row that names a control register is one instruction with each of them
 * ("csrrw satp"), for the number of the register is as much a part of what it does as its opcode is. The choice about the
 * monitor's setting is whether scounteren and senvcfg open to user mode what they can.
 */
#ifndef DOPPEL_CLASSIFY_RISCV_LAB_H
#define DOPPEL_CLASSIFY_RISCV_LAB_H

#include "classify/experiment.h"

extern const struct experiment_isa riscv_lab_isa;

#endif
