/* SPDX-License-Identifier: MIT */
/*
 * A virtual CPU: its thread, the requests other threads send it, and the ISA and engine that give it life.
 *
 * A vCPU thread loops over engine->run() until it is told to end. Other threads talk to it only through
 * vcpu_request(), which sets a bit and wakes it if it sleeps in HLT; engines look at `requests` at every block end.
 */
#ifndef DOPPEL_CORE_VCPU_H
#define DOPPEL_CORE_VCPU_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/spin.h"
#include "core/engine.h"
#include "core/isa.h"
#include "core/steal.h"
#include "core/types.h"

struct vm;

/* Bits of vcpu->requests. The engine clears and serves the others; STOP and END make run() return. */
enum {
    VCPU_REQ_IRQ = 1 << 0,    /* the interrupt controller may have something: poll it */
    VCPU_REQ_NMI = 1 << 1,    /* a non-maskable interrupt */
    VCPU_REQ_INIT = 1 << 2,   /* x86 INIT */
    VCPU_REQ_SIPI = 1 << 3,   /* start-up: x86, vector in sipi_vector; riscv64, SBI hart_start */
    VCPU_REQ_STOP = 1 << 4,   /* stand at the next instruction boundary (pause, snapshot) */
    VCPU_REQ_END = 1 << 5,    /* leave the thread */
    VCPU_REQ_FLUSH = 1 << 6,  /* drop everything derived from memory or state */
    VCPU_REQ_CODE = 1 << 7,   /* leave translated code: code pages were marked or written (struct gmem_storer); wakes nobody */
    VCPU_REQ_UNHALT = 1 << 8, /* x86: HLT ends, the next one when there is none, though nothing interrupts */
};

/* The local interrupt controller as its CPU sees it. All called on the vCPU's thread with the machine's lock held. */
struct vcpu_intc_ops {
    /* Vector of the interrupt that can be delivered now (priority above the task priority), or -1. No side effect. */
    int (*poll)(void *intc);
    /* Acknowledges and returns that vector (moves it to in-service), or -1 when it has gone meanwhile. */
    int (*accept)(void *intc);
    /* x86 CR8: bits 7:4 of the task priority register. */
    uint8_t (*tpr_get)(void *intc);
    void (*tpr_set)(void *intc, uint8_t cr8);
    /* Model-specific registers the controller owns (APIC base, x2APIC range, TSC deadline). false: #GP. */
    bool (*msr_read)(void *intc, uint32_t msr, uint64_t *ret_value);
    bool (*msr_write)(void *intc, uint32_t msr, uint64_t value);
    /* Optional, with vcpu->eoi_word: takes over an end of interrupt that was signalled there, and wants the next one in its own
     * register. Before eoi_word changes. */
    void (*settle)(void *intc);
    /* Optional. Sends what `icr` says (vector, delivery mode) to the CPUs with APIC id first + n for each bit n of the 128.
     * Returns for how many there was somebody to take it, or -EINVAL for what an ICR says only of one destination. */
    int (*send_ipis)(void *intc, uint64_t first, const uint64_t ids[2], uint32_t icr);
};

struct vcpu {
    struct vm *vm; /* borrowed (the machine owns both) */
    unsigned id;   /* 0 is the boot CPU */
    const struct isa_ops *isa;
    const struct engine_ops *engine;
    void *cpu;                        /* owned; the ISA's architectural state, e.g. struct x86_cpu */
    void *engine_cpu;                 /* owned; what the engine keeps for this vCPU */
    const struct vcpu_intc_ops *intc; /* NULL in bare tests */
    void *intc_dev;                   /* borrowed (the board frees it after the vCPU) */
    /* A byte of RAM whose bit 0 the controller may set when an interrupt is accepted; who runs here ends that by clearing it
     * instead of writing to the controller. NULL: none. Set by the ISA on the vCPU's thread, or while it stands; any thread may
     * read bit 0. */
    _Atomic uint8_t *_Atomic eoi_word; /* borrowed (guest memory, which outlives vCPUs) */
    _Atomic uint32_t requests;
    _Atomic uint8_t sipi_vector;
    /* thread and sleep; `sleep_lock` guards `standing` and pairs with sleep_cond */
    pthread_t thread;
    bool thread_started;
    pthread_mutex_t sleep_lock;
    pthread_cond_t sleep_cond;
    bool standing;         /* stopped at an instruction boundary because of VCPU_REQ_STOP */
    _Atomic bool sleeping; /* in HLT or waiting for SIPI */
    struct spin spin;      /* the vCPU's thread's: whether to look for requests first */
    bool no_spin;          /* the vCPU's thread's: the guest does not want it to */
    struct steal steal;    /* the vCPU's thread's, or while it stands */
    uint64_t halts;        /* times it had nothing to execute */
};

/* Makes a vCPU in its reset state. -ENOMEM, or what the engine says. */
MUST_CHECK int vcpu_new(struct vm *vm, unsigned id, const struct isa_ops *isa, const struct engine_ops *engine,
                        const void *isa_config, struct vcpu **ret_vcpu, struct error *err);
void vcpu_free(struct vcpu *vcpu);
/* Sets request bits and wakes the vCPU. Any thread, any lock. */
void vcpu_request(struct vcpu *vcpu, uint32_t bits);

static inline uint32_t vcpu_requests(struct vcpu *vcpu)
{
    return atomic_load_explicit(&vcpu->requests, memory_order_acquire);
}

/* Clears the bits and returns those that were set. */
static inline uint32_t vcpu_take(struct vcpu *vcpu, uint32_t bits)
{
    return atomic_fetch_and_explicit(&vcpu->requests, ~bits, memory_order_acq_rel) & bits;
}

/* The vCPU whose thread the caller is; NULL on every other thread. */
struct vcpu *vcpu_current(void);

/* Thread body, used by vm_start_vcpus(). */
void *vcpu_thread(void *vcpu);

#endif
