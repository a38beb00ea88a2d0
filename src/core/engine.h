/* SPDX-License-Identifier: MIT */
/*
 * What an execution engine is: a way to run a vCPU whose architectural state anyone can read between two runs.
 */
#ifndef DOPPEL_CORE_ENGINE_H
#define DOPPEL_CORE_ENGINE_H

#include "core/types.h"

struct vcpu;
struct isa_ops;

/* Why run() came back. */
enum vcpu_exit {
    VCPU_EXIT_REQUEST,  /* VCPU_REQ_STOP or VCPU_REQ_END is set */
    VCPU_EXIT_SLEEP,    /* HLT or wait-for-SIPI: nothing to do until a request comes */
    VCPU_EXIT_SHUTDOWN, /* triple fault; vm_request_end() was called */
};

/* What a probe found; `usable` false explains itself in `why`. */
struct engine_probe {
    bool usable;
    bool avoid;  /* usable, but `auto` passes it over: `why` says what is slow, or not as on the bare CPU */
    double mips; /* million guest instructions a second in a tiny guest, 0 when not measured */
    char why[160];
};

struct engine_ops {
    const char *name; /* "interp", "bt", ... */
    bool translates;  /* makes host code, and logs it where the vm's trace_code is set */
    /* Mandatory. Tries the engine on this host with an instruction set that it runs; may take up to 0.2 s. */
    void (*probe)(const struct isa_ops *isa, struct engine_probe *ret_probe);
    /* Mandatory. Makes vcpu->engine_cpu. Control thread, vCPU not running. */
    int (*vcpu_init)(struct vcpu *vcpu, struct error *err);
    /* Mandatory. Takes half-made ones. */
    void (*vcpu_done)(struct vcpu *vcpu);
    /* Mandatory. Runs guest code on the calling (vCPU's) thread; on return vcpu->cpu is the whole truth. */
    enum vcpu_exit (*run)(struct vcpu *vcpu);
    /* Mandatory. The architectural state was changed from outside: drop all that was derived from it. */
    void (*state_changed)(struct vcpu *vcpu);
    /* Optional. A request was made: makes a run() that executes guest code outside this process look at it soon. Any thread, any
     * lock; does not block. */
    void (*kick)(struct vcpu *vcpu);
    /* Optional. Adds lines "name value" about this vCPU to text for --stats. */
    size_t (*stats)(const struct vcpu *vcpu, char *text, size_t cap);
};

#endif
