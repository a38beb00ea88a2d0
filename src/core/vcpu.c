/* SPDX-License-Identifier: MIT */
/*
 * A virtual CPU's life: creation, requests, sleep and the thread that drives the engine.
 *
 * No wake-up is lost: the sleeper stores `sleeping` and then reads `requests`, a requester sets `requests` and then
 * reads `sleeping`, all sequentially consistent, so at least one of them sees the other. The requester takes sleep_lock between
 * the two and its broadcast, so the sleeper either has not yet looked or is already waiting; it has let go of it before, for
 * whoever is woken wants it. Before a vCPU sleeps it looks for a while, which costs requesters nothing.
 */
#include "core/vcpu.h"

#include <errno.h>
#include <stdlib.h>

#include "core/vm.h"

static _Thread_local struct vcpu *current;

struct vcpu *vcpu_current(void)
{
    return current;
}

int vcpu_new(struct vm *vm, unsigned id, const struct isa_ops *isa, const struct engine_ops *engine, const void *isa_config,
             struct vcpu **ret_vcpu, struct error *err)
{
    struct vcpu *vcpu = calloc(1, sizeof(*vcpu));
    if (!vcpu)
        return error_set(err, -ENOMEM, "out of memory for CPU %u", id);
    vcpu->vm = vm;
    vcpu->id = id;
    vcpu->isa = isa;
    vcpu->engine = engine;
    spin_init(&vcpu->spin);
    (void)pthread_mutex_init(&vcpu->sleep_lock, NULL); /* default attributes: cannot fail on Linux */
    (void)pthread_cond_init(&vcpu->sleep_cond, NULL);
    int r = isa->cpu_new(vcpu, isa_config, err);
    if (r == 0)
        r = engine->vcpu_init(vcpu, err);
    if (r < 0) {
        vcpu_free(vcpu);
        return r;
    }
    *ret_vcpu = vcpu;
    return 0;
}

void vcpu_free(struct vcpu *vcpu)
{
    if (!vcpu)
        return;
    if (vcpu->cpu) {
        vcpu->engine->vcpu_done(vcpu);
        vcpu->isa->cpu_free(vcpu);
    }
    (void)pthread_cond_destroy(&vcpu->sleep_cond);
    (void)pthread_mutex_destroy(&vcpu->sleep_lock);
    free(vcpu);
}

void vcpu_request(struct vcpu *vcpu, uint32_t bits)
{
    atomic_fetch_or_explicit(&vcpu->requests, bits, memory_order_seq_cst); /* pairs with the load in may_sleep */
    if (vcpu->engine && vcpu->engine->kick)
        vcpu->engine->kick(vcpu);
    /* A standing vCPU is not asleep, but must hear of its end. */
    if (!(bits & VCPU_REQ_END) && !atomic_load_explicit(&vcpu->sleeping, memory_order_seq_cst))
        return;
    (void)pthread_mutex_lock(&vcpu->sleep_lock);
    (void)pthread_mutex_unlock(&vcpu->sleep_lock);
    (void)pthread_cond_broadcast(&vcpu->sleep_cond);
}

static bool may_sleep(struct vcpu *vcpu)
{
    return atomic_load_explicit(&vcpu->requests, memory_order_seq_cst) == 0; /* pairs with vcpu_request */
}

/* Looks for a request for a while; false: it takes longer. */
static bool look_for_request(struct vcpu *vcpu)
{
    do {
        if (!may_sleep(vcpu))
            return true;
    } while (spin_again(&vcpu->spin));
    return false;
}

static void sleep_until_request(struct vcpu *vcpu)
{
    steal_rest(&vcpu->steal);
    (void)pthread_mutex_lock(&vcpu->sleep_lock);
    atomic_store_explicit(&vcpu->sleeping, true, memory_order_seq_cst); /* pairs with the load in vcpu_request */
    while (may_sleep(vcpu))
        (void)pthread_cond_wait(&vcpu->sleep_cond, &vcpu->sleep_lock);
    atomic_store_explicit(&vcpu->sleeping, false, memory_order_relaxed); /* a needless broadcast does no harm */
    (void)pthread_mutex_unlock(&vcpu->sleep_lock);
    steal_go_on(&vcpu->steal);
}

/* Nothing to execute: wait for any request. */
static void wait_for_request(struct vcpu *vcpu)
{
    vcpu->halts++;
    if (vcpu->no_spin) {
        sleep_until_request(vcpu);
        return;
    }
    spin_begin(&vcpu->spin);
    if (!look_for_request(vcpu))
        sleep_until_request(vcpu);
    spin_end(&vcpu->spin);
}

/* Told to stop: stand until STOP is taken back (vm_resume) or the thread shall end. */
static void stand(struct vcpu *vcpu)
{
    steal_rest(&vcpu->steal);
    (void)pthread_mutex_lock(&vcpu->sleep_lock);
    vcpu->standing = true;
    (void)pthread_cond_broadcast(&vcpu->sleep_cond); /* vm_pause waits for it */
    while ((vcpu_requests(vcpu) & (VCPU_REQ_STOP | VCPU_REQ_END)) == VCPU_REQ_STOP)
        (void)pthread_cond_wait(&vcpu->sleep_cond, &vcpu->sleep_lock);
    vcpu->standing = false;
    (void)pthread_mutex_unlock(&vcpu->sleep_lock);
    steal_go_on(&vcpu->steal);
}

void *vcpu_thread(void *opaque)
{
    struct vcpu *vcpu = opaque;
    current = vcpu;
    steal_go_on(&vcpu->steal);
    for (;;) {
        uint32_t requests = vcpu_requests(vcpu);
        if (requests & VCPU_REQ_END)
            break;
        if (requests & VCPU_REQ_STOP) {
            stand(vcpu);
            continue;
        }
        switch (vcpu->engine->run(vcpu)) {
        case VCPU_EXIT_REQUEST: break;
        case VCPU_EXIT_SLEEP: wait_for_request(vcpu); break;
        case VCPU_EXIT_SHUTDOWN: /* the engine has said more; this only makes sure of the end */
            vm_request_end(vcpu->vm, VM_END_SHUTDOWN, 0, "CPU %u shut down", vcpu->id);
            break;
        }
    }
    /* Whoever pauses from now on need not wait for this one. */
    (void)pthread_mutex_lock(&vcpu->sleep_lock);
    vcpu->standing = true;
    (void)pthread_cond_broadcast(&vcpu->sleep_cond);
    (void)pthread_mutex_unlock(&vcpu->sleep_lock);
    current = NULL;
    return NULL;
}
