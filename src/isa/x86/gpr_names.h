/* SPDX-License-Identifier: MIT */
/*
 * The general registers by number and by the name that Linux's structures (ptrace, KVM) have for them: X(RAX, rax) and so on.
 */
#ifndef DOPPEL_ISA_X86_GPR_NAMES_H
#define DOPPEL_ISA_X86_GPR_NAMES_H

/* clang-format off */
#define X86_GPRS(X)                                                                                                              \
    X(RAX, rax) X(RCX, rcx) X(RDX, rdx) X(RBX, rbx) X(RSP, rsp) X(RBP, rbp) X(RSI, rsi) X(RDI, rdi)                              \
    X(R8, r8) X(R9, r9) X(R10, r10) X(R11, r11) X(R12, r12) X(R13, r13) X(R14, r14) X(R15, r15)
/* clang-format on */

#endif
