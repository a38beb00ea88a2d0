/* SPDX-License-Identifier: MIT */
/*
 * Put before src/isa/riscv/step_sys.c by -include: makes each of its checks one that a test can delete.
 *
 * The file is compiled as it stands; where it raises, the test is asked first, and where it accesses a CSR, the test does that.
 * Each place has the instruction at hand as `i`.
 */
#ifndef DOPPEL_TESTS_DELETABLE_RISCV_CHECKS_H
#define DOPPEL_TESTS_DELETABLE_RISCV_CHECKS_H

#include "isa/riscv/csr.h"
#include "isa/riscv/hyp.h"
#include "isa/riscv/trap.h"

/* True: the raise at that line is as if it were not there. */
bool deletable_raise(struct riscv_cpu *c, const struct riscv_insn *i, int line);
/* As riscv_csr_read() and riscv_csr_write(), but the check of the mode may be deleted. */
bool deletable_csr_read(struct riscv_cpu *c, const struct riscv_insn *i, unsigned csr, uint64_t *ret_value);
bool deletable_csr_write(struct riscv_cpu *c, const struct riscv_insn *i, unsigned csr, uint64_t value);

#define riscv_raise(c, cause, tval) (deletable_raise(c, i, __LINE__) ? (void)0 : (riscv_raise)(c, cause, tval))
#define riscv_raise_illegal(c, i) (deletable_raise(c, i, __LINE__) ? (void)0 : (riscv_raise_illegal)(c, i))
#define riscv_hyp_refuse(c, i, qualified) (deletable_raise(c, i, __LINE__) ? (void)0 : (riscv_hyp_refuse)(c, i, qualified))
#define riscv_csr_read(c, csr, ret_value) deletable_csr_read(c, i, csr, ret_value)
#define riscv_csr_write(c, csr, value) deletable_csr_write(c, i, csr, value)

#endif
