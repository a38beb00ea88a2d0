/* SPDX-License-Identifier: MIT */
/*
 * doppel's own hypercalls, for guests that know that they run on a monitor: docs/hypercalls.md is the contract.
 *
 * A call is OUT of four bytes to X86_HC_PORT in 64-bit mode: of all instructions that reach a monitor it is the one that traps
 * everywhere, and to us, whichever engine runs the guest.
 */
#ifndef DOPPEL_ISA_X86_HYPERCALL_H
#define DOPPEL_ISA_X86_HYPERCALL_H

#include "core/vcpu.h"
#include "isa/x86/state.h"

enum { X86_HC_PORT = 0xe4, X86_HC_VERSION = 1 };
enum { X86_HC_CPUID_SIGNATURE = 0x40000100, X86_HC_CPUID_CALLS = 0x40000101 };
#define X86_HC_SIGNATURE "DoppelDoppel"
#define X86_HC_MAGIC 0x6c706f64ULL /* "dopl": the upper half of what X86_HC_IDENTIFY returns */

enum x86_hc {
    X86_HC_IDENTIFY,      /* -> X86_HC_MAGIC << 32 | version */
    X86_HC_CONSOLE_WRITE, /* rdi: physical address, rsi: bytes -> bytes taken */
    X86_HC_YIELD,         /* rdi 0: take what is pending; 1: enable interrupts and wait for one -> 0 */
    X86_HC_CLOCK,         /* -> ns of guest time since power-on */
    X86_HC_MMU_UPDATE,    /* rdi: physical address of struct x86_hc_pte[rsi], rdx: enum x86_hc_mmu_flags -> rsi */
    X86_HC_SHARED_PAGE,   /* rdi: physical address of a page, X86_HC_NO_PAGE: none -> 0 */
    X86_HC_MODE,          /* -> the privilege level the guest runs at, 0..3; allowed at each */
    X86_HC_LAST = X86_HC_MODE
};
enum { X86_HC_NR = X86_HC_LAST + 1 };
enum { X86_HC_CONSOLE_MAX = 4096 /* bytes a call */, X86_HC_PTES_MAX = 512 };
enum x86_hc_mmu_flags { X86_HC_MMU_FLUSH = 1 };
enum x86_hc_error { X86_HC_EPERM = 1, X86_HC_E2BIG = 7, X86_HC_EFAULT = 14, X86_HC_EINVAL = 22, X86_HC_ENOSYS = 38 };
#define X86_HC_NO_PAGE (~0ULL)

/* The guest's layout. */
struct x86_hc_pte {
    uint64_t entry; /* physical address of a page-table entry, 8-aligned */
    uint64_t value;
    uint64_t va; /* its translation is dropped when it is canonical */
};
struct x86_hc_shared {
    uint8_t irq_enabled; /* guest writes: 0 holds maskable interrupts off, whatever RFLAGS.IF is */
    uint8_t irq_pending; /* monitor sets: one was held off; the guest clears it and calls X86_HC_YIELD once it has enabled them */
};

/* Serves the call in the guest's registers; rax takes its result. Raises nothing. */
void x86_hypercall(struct x86_cpu *c);
/* Whether that OUT is a hypercall. */
static inline bool x86_is_hypercall(const struct x86_cpu *c, uint16_t port, unsigned size)
{
    return port == X86_HC_PORT && size == 4 && c->mode == X86_MODE_64 && c->vcpu && c->vcpu->vm;
}

/* The rest of x86_interruptible(): the shared page's say. */
bool x86_hc_interruptible(struct x86_cpu *c);
/* Maskable interrupts can be taken at this boundary. The vCPU's thread. */
static inline bool x86_interruptible(struct x86_cpu *c)
{
    return (c->rflags & FLAG_IF) && !c->int_shadow && (__builtin_expect(!c->hc_shared, 1) || x86_hc_interruptible(c));
}

#endif
