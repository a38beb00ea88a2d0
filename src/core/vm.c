/* SPDX-License-Identifier: MIT */
/*
 * A virtual machine's shared parts: locked register accesses, its end, and starting, pausing and stopping its vCPUs.
 *
 * Lock order: vm->lock before end_lock before a vCPU's sleep_lock; none is held while waiting for a thread.
 */
#include "core/vm.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/vcpu.h"

uint64_t vm_mmio_read(struct vm *vm, gpa_t gpa, unsigned size)
{
    vm_lock(vm);
    uint64_t value = bus_read(&vm->mmio, gpa, size);
    vm_unlock(vm);
    return value;
}

void vm_mmio_write(struct vm *vm, gpa_t gpa, uint64_t value, unsigned size)
{
    vm_lock(vm);
    bus_write(&vm->mmio, gpa, value, size);
    vm_unlock(vm);
}

uint64_t vm_pio_read(struct vm *vm, uint16_t port, unsigned size)
{
    vm_lock(vm);
    uint64_t value = bus_read(&vm->pio, port, size);
    vm_unlock(vm);
    return value;
}

void vm_pio_write(struct vm *vm, uint16_t port, uint64_t value, unsigned size)
{
    vm_lock(vm);
    bus_write(&vm->pio, port, value, size);
    vm_unlock(vm);
}

int vm_init(struct vm *vm, struct loop *loop, struct error *err)
{
    (void)err; /* nothing here fails today */
    *vm = (struct vm){ .loop = loop };
    (void)pthread_mutex_init(&vm->lock, NULL); /* default attributes: cannot fail on Linux */
    (void)pthread_mutex_init(&vm->end_lock, NULL);
    (void)pthread_cond_init(&vm->end_cond, NULL);
    bus_init(&vm->mmio);
    bus_init(&vm->pio);
    vm_clock_init(&vm->clock, &vm->lock, loop);
    return 0;
}

void vm_done(struct vm *vm)
{
    if (!vm)
        return;
    vm_clock_done(&vm->clock);
    bus_done(&vm->mmio);
    bus_done(&vm->pio);
    gmem_done(&vm->gmem);
    (void)pthread_cond_destroy(&vm->end_cond);
    (void)pthread_mutex_destroy(&vm->end_lock);
    (void)pthread_mutex_destroy(&vm->lock);
}

void vm_request_end(struct vm *vm, enum vm_end end, int status, const char *why_fmt, ...)
{
    (void)pthread_mutex_lock(&vm->end_lock);
    if (vm->end == VM_END_NONE) {
        vm->end = end;
        vm->end_status = status;
        va_list ap;
        va_start(ap, why_fmt);
        (void)vsnprintf(vm->end_why, sizeof(vm->end_why), why_fmt, ap); /* cut when too long */
        va_end(ap);
        (void)pthread_cond_broadcast(&vm->end_cond);
    }
    (void)pthread_mutex_unlock(&vm->end_lock);
    for (unsigned i = 0; i < vm->nr_vcpus; i++)
        vcpu_request(vm->vcpu[i], VCPU_REQ_END);
}

void vm_request_share(struct vm *vm)
{
    (void)pthread_mutex_lock(&vm->end_lock);
    vm->share_asked = true;
    (void)pthread_cond_broadcast(&vm->end_cond);
    (void)pthread_mutex_unlock(&vm->end_lock);
}

enum vm_end vm_wait_end(struct vm *vm)
{
    (void)pthread_mutex_lock(&vm->end_lock);
    while (vm->end == VM_END_NONE && vm->share_asked == vm->share_seen)
        (void)pthread_cond_wait(&vm->end_cond, &vm->end_lock);
    vm->share_seen = vm->share_asked;
    enum vm_end end = vm->end;
    (void)pthread_mutex_unlock(&vm->end_lock);
    return end;
}

int vm_thread_start(pthread_t *ret_thread, void *(*fn)(void *), void *arg, struct error *err)
{
    static const int own[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT };
    sigset_t block, before;
    (void)sigfillset(&block); /* these three fail only for bad arguments */
    for (unsigned i = 0; i < sizeof(own) / sizeof(own[0]); i++)
        (void)sigdelset(&block, own[i]);
    (void)pthread_sigmask(SIG_BLOCK, &block, &before); /* the new thread inherits it */
    int r = pthread_create(ret_thread, NULL, fn, arg);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return r ? error_set(err, -r, "cannot start a thread: %s", strerror(r)) : 0;
}

int vm_start_vcpus(struct vm *vm, struct error *err)
{
    vm_lock(vm);
    vm_clock_resume(&vm->clock);
    vm_unlock(vm);
    for (unsigned i = 0; i < vm->nr_vcpus; i++) {
        struct vcpu *vcpu = vm->vcpu[i];
        vcpu->standing = false;
        int r = vm_thread_start(&vcpu->thread, vcpu_thread, vcpu, err);
        if (r < 0) {
            vm_stop_vcpus(vm);
            return r;
        }
        vcpu->thread_started = true;
    }
    return 0;
}

void vm_pause(struct vm *vm)
{
    for (unsigned i = 0; i < vm->nr_vcpus; i++)
        vcpu_request(vm->vcpu[i], VCPU_REQ_STOP);
    for (unsigned i = 0; i < vm->nr_vcpus; i++) {
        struct vcpu *vcpu = vm->vcpu[i];
        if (!vcpu->thread_started)
            continue;
        (void)pthread_mutex_lock(&vcpu->sleep_lock);
        while (!vcpu->standing)
            (void)pthread_cond_wait(&vcpu->sleep_cond, &vcpu->sleep_lock);
        (void)pthread_mutex_unlock(&vcpu->sleep_lock);
    }
    vm_lock(vm);
    vm_clock_pause(&vm->clock);
    vm_unlock(vm);
}

void vm_resume(struct vm *vm)
{
    vm_lock(vm);
    vm_clock_resume(&vm->clock);
    vm_unlock(vm);
    for (unsigned i = 0; i < vm->nr_vcpus; i++) {
        struct vcpu *vcpu = vm->vcpu[i];
        (void)pthread_mutex_lock(&vcpu->sleep_lock);
        (void)vcpu_take(vcpu, VCPU_REQ_STOP); /* what was set does not matter */
        (void)pthread_cond_broadcast(&vcpu->sleep_cond);
        (void)pthread_mutex_unlock(&vcpu->sleep_lock);
    }
}

void vm_stop_vcpus(struct vm *vm)
{
    for (unsigned i = 0; i < vm->nr_vcpus; i++)
        vcpu_request(vm->vcpu[i], VCPU_REQ_END);
    for (unsigned i = 0; i < vm->nr_vcpus; i++) {
        struct vcpu *vcpu = vm->vcpu[i];
        if (!vcpu->thread_started)
            continue;
        (void)pthread_join(vcpu->thread, NULL); /* ours and joinable: cannot fail */
        vcpu->thread_started = false;
        (void)vcpu_take(vcpu, VCPU_REQ_END); /* it may be started again */
    }
    vm_lock(vm);
    vm_clock_pause(&vm->clock);
    vm_unlock(vm);
}
