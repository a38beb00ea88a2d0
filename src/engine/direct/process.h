/* SPDX-License-Identifier: MIT */
/*
 * A traced process that holds nothing but guest memory, and executes what it is given until the CPU stops it.
 *
 * It has one page of ours, at its address space's end: a SYSCALL instruction by which the tracer maps and unmaps guest memory.
 * The guest may read and jump to it; a system call made there, like any other of the guest's, is stopped before it is one. It is
 * owned by the thread that started it; only process_kick() may be called by others.
 */
#ifndef DOPPEL_ENGINE_DIRECT_PROCESS_H
#define DOPPEL_ENGINE_DIRECT_PROCESS_H

#include <sys/types.h>
#include <sys/user.h>

#include "core/types.h"
#include "isa/x86/host_xstate.h"

/* What can be mapped for the guest: [PROCESS_LOW, PROCESS_TOP). Below, hosts do not let anybody map. */
#define PROCESS_LOW 0x10000ULL
#define PROCESS_TOP 0x7fffffffe000ULL

enum { PROCESS_XSTATE_MAX = 16384 };

struct process {
    pid_t pid;        /* 0: not started */
    _Atomic int kick; /* owned: pidfd, valid when `started` */
    bool started;
    uint8_t *xstate; /* owned: the processor's extended state as the host has it, xstate_len bytes */
    size_t xstate_len;
    struct xstate_layout layout;
};

enum process_stop {
    PROCESS_PAGE,    /* page fault at `addr`; `mapped`: something is mapped there, the rights did not do */
    PROCESS_GP,      /* #GP, or another fault without an address */
    PROCESS_SYSCALL, /* SYSCALL or INT 80h was executed: rip is behind it, orig_rax is rax */
    PROCESS_UD,
    PROCESS_FPE,   /* divide error or a floating-point exception */
    PROCESS_INT3,  /* rip is behind it */
    PROCESS_STEP,  /* single step: the instruction before rip is done */
    PROCESS_ALIGN, /* alignment check */
    PROCESS_KICKED,
    PROCESS_DIED,
};

/* Starts it with the memory in `memory_fd`. Several times after another is fine. -errno. */
MUST_CHECK int process_start(struct process *p, int memory_fd, struct error *err);
/* Kills it, if there is one. Its thread. */
void process_stop(struct process *p);
/* The same, and frees what it had. When no thread can kick it any more. */
void process_done(struct process *p);

/* Maps len bytes of the memory from `offset` on at va, replacing what was there; all page-aligned, within LOW and TOP. prot as
 * mmap's. -errno. */
MUST_CHECK int process_map(struct process *p, gva_t va, uint64_t len, int prot, int memory_fd, uint64_t offset);
MUST_CHECK int process_unmap(struct process *p, gva_t va, uint64_t len);

/* Executes from these registers until it stops; they are the ones at the stop then. addr and mapped: with PROCESS_PAGE. */
enum process_stop process_run(struct process *p, struct user_regs_struct *regs, gva_t *ret_addr, bool *ret_mapped);
/* Makes process_run() stop soon with PROCESS_KICKED, now or next time. Any thread. */
void process_kick(struct process *p);

/* x87, SSE, AVX and AVX-512 state out of and into the process. -errno. */
MUST_CHECK int process_get_fpu(struct process *p, struct x86_fpu *ret_fpu);
MUST_CHECK int process_set_fpu(struct process *p, const struct x86_fpu *fpu);

#endif
