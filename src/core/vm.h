/* SPDX-License-Identifier: MIT */
/*
 * A virtual machine as its parts see it: memory, buses, clock, vCPUs, the machine's lock and how it ended.
 *
 * Threads: one a vCPU, one I/O thread (loop_run), one control thread (the caller of vm_run). `lock` owns every device
 * and both buses; vCPU threads take it for each register access, the I/O thread for each callback.
 */
#ifndef DOPPEL_CORE_VM_H
#define DOPPEL_CORE_VM_H

#include <pthread.h>

#include "core/bus.h"
#include "core/gmem.h"
#include "core/vm_clock.h"

struct vcpu;

enum {
    VM_MAX_VCPUS = 64,
    VM_CODE_CACHE_MIN = 1 << 20,
    VM_CODE_CACHE_DEFAULT = 512 << 20,
    VM_CODE_CACHE_MORE = 16 << 20,
    VM_CODE_CACHE_MAX = 2000 << 20
};

enum vm_end {
    VM_END_NONE,
    VM_END_POWEROFF, /* the guest switched itself off */
    VM_END_RESET,    /* the guest asked for a reset */
    VM_END_EXIT,     /* the guest gave an exit status (debug exit port) */
    VM_END_SHUTDOWN, /* triple fault, the CPU gave up */
    VM_END_PANIC,    /* the guest kernel reported a panic */
    VM_END_TIMEOUT,  /* --timeout */
    VM_END_QUIT,     /* the user asked (Ctrl-A x, SIGINT, SIGTERM) */
    VM_END_ERROR,    /* the monitor cannot go on */
};

struct vm {
    struct gmem gmem;
    struct bus mmio;
    struct bus pio; /* x86 ports 0..0xffff */
    struct vm_clock clock;
    struct loop *loop; /* owned by the machine */
    pthread_mutex_t lock;
    bool stats;             /* engines keep counts that cost time, too */
    const char *trace_code; /* borrowed (outlives us: the config's); folder for the translator's log, NULL: none */
    uint64_t code_cache;    /* bytes an engine may take for code that it decoded or translated, a vCPU; 0: the default */
    /* What a guest's hypercall writes to its console: the board's; NULL: nowhere. Machine's lock held; returns bytes taken. */
    size_t (*console_write)(void *console, const uint8_t *data, size_t len);
    void *console; /* borrowed (outlives us: the board's caller's) */
    unsigned nr_vcpus;
    struct vcpu *vcpu[VM_MAX_VCPUS]; /* owned by the machine */
    /* how it ended; guarded by end_lock, end_cond signals the control thread */
    pthread_mutex_t end_lock;
    pthread_cond_t end_cond;
    enum vm_end end;
    int end_status;               /* VM_END_EXIT: the status */
    char end_why[160];            /* a sentence for the user; empty when the end speaks for itself */
    bool share_asked, share_seen; /* guarded by end_lock */
};

static inline void vm_lock(struct vm *vm)
{
    (void)pthread_mutex_lock(&vm->lock); /* a plain mutex never fails */
}

static inline void vm_unlock(struct vm *vm)
{
    (void)pthread_mutex_unlock(&vm->lock);
}

static inline size_t vm_code_cache(const struct vm *vm)
{
    return vm->code_cache ? (size_t)vm->code_cache : VM_CODE_CACHE_DEFAULT;
}

/* Register accesses from a vCPU thread: takes the lock. size 1, 2, 4, 8. */
uint64_t vm_mmio_read(struct vm *vm, gpa_t gpa, unsigned size);
void vm_mmio_write(struct vm *vm, gpa_t gpa, uint64_t value, unsigned size);
uint64_t vm_pio_read(struct vm *vm, uint16_t port, unsigned size);
void vm_pio_write(struct vm *vm, uint16_t port, uint64_t value, unsigned size);

/* Initialises locks, buses and clock; RAM comes from the board (gmem_init). */
MUST_CHECK int vm_init(struct vm *vm, struct loop *loop, struct error *err);
void vm_done(struct vm *vm);

/* Ends the machine: the first caller's reason stays. Any thread, also with the lock held; returns at once, vCPUs stop
 * at their next instruction boundary. */
PRINTF_LIKE(4, 5) void vm_request_end(struct vm *vm, enum vm_end end, int status, const char *why_fmt, ...);
/* Asks for the guest's memory to be made shared (gmem_share()) soon, while all stands: gmem.fd says if it is. The second time
 * nothing happens. Any thread; returns at once. */
void vm_request_share(struct vm *vm);
/* Waits until somebody called vm_request_end(), and returns the reason; or vm_request_share(), and returns VM_END_NONE, once. The
 * control thread. */
enum vm_end vm_wait_end(struct vm *vm);

/* Starts a thread that leaves all signals but its own faults (SIGSEGV and such) to the control thread. */
MUST_CHECK int vm_thread_start(pthread_t *ret_thread, void *(*fn)(void *), void *arg, struct error *err);

/* Start all vCPU threads / stop them all at an instruction boundary (returns when they stand) and freeze guest time /
 * let them go on / end and join the threads. One caller at a time: the control thread, or who holds the machine's `life`. */
MUST_CHECK int vm_start_vcpus(struct vm *vm, struct error *err);
void vm_pause(struct vm *vm);
void vm_resume(struct vm *vm);
void vm_stop_vcpus(struct vm *vm);

#endif
