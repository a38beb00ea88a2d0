/* SPDX-License-Identifier: MIT */
/*
 * One-instruction trampolines: host code that loads what a vector or x87 instruction reads from a struct x86_cpu, runs the
 * instruction itself, and stores what it wrote.
 *
 * The instruction's bytes are kept, but for its addressing: a memory operand becomes [rsi] (guest RAM or a bounce buffer) and a
 * general register operand becomes rax. So one trampoline serves all addresses; they are kept by their normalised bytes, in
 * bounded memory that is emptied when full. Every thread has its own set (no locks), freed when the thread ends.
 * Inside a trampoline: rdi = the CPU, rsi = operand, rdx = x87 image, the host's MXCSR at [rsp - 64].
 * Spec: SDM 2A chapter 2 (encodings); System V x86-64 psABI 3.2
 */
#ifndef DOPPEL_ISA_X86_HOST_TRAMP_H
#define DOPPEL_ISA_X86_HOST_TRAMP_H

#include "emit/codebuf.h"
#include "isa/x86/decode.h"

/* What a trampoline returns. */
enum host_result { HOST_DONE, HOST_SIMD_FAULT, HOST_ILLEGAL };

/* The part of the fxsave64 image in front of the vector registers, and the rest. Spec: SDM 1 table 10-2 */
struct host_fx {
    uint16_t fcw, fsw;
    uint8_t ftw, zero;
    uint16_t fop;
    uint64_t fip, fdp;
    uint32_t mxcsr, mxcsr_mask;
    uint8_t st[8][16];
    uint8_t rest[352];
} __attribute__((aligned(64)));

typedef unsigned (*host_tramp_fn)(struct x86_cpu *c, void *operand, struct host_fx *fx);

struct host_tramp {
    host_tramp_fn fn;
    uint8_t mem_op; /* index of the memory operand, HOST_NO_MEM without one */
    bool fx;        /* x87 or MMX: goes through the image */
    bool fp;        /* runs with the guest's MXCSR */
    bool align;     /* the operand must be aligned to its size */
    bool plain;     /* no alignment rule, no element mask: the operand is read or written whole */
};
enum { HOST_NO_MEM = 0xff };

struct host_code; /* one thread's trampolines */

/* The calling thread's set, made on first use; NULL when there is no memory for it. */
struct host_code *host_code_get(void);
/* Trampoline of a ROW_HOST instruction decoded in `mode`; valid until the next call. NULL if it could not be made. */
const struct host_tramp *host_tramp_get(struct host_code *h, const struct x86_insn *i, enum x86_mode mode);
/* Runs it; faults inside end it with their enum host_result (HOST_ILLEGAL: nothing happened). */
enum host_result host_tramp_run(struct host_code *h, const struct host_tramp *t, struct x86_cpu *c, void *operand,
                                struct host_fx *fx);
/* Scratch memory of the thread for the two pointers above. */
void *host_code_bounce(struct host_code *h); /* 64 bytes, aligned to 64 */
struct host_fx *host_code_fx(struct host_code *h);

/* Where a fault at execution address `pc` on the calling thread goes on: for a signal handler. 0: not in a trampoline. */
uintptr_t host_code_fault_exit(uintptr_t pc, enum host_result why);

#endif
