/* SPDX-License-Identifier: MIT */
/*
 * Engine `interp`: the vtable.
 */
#include "engine/interp/interp.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "core/vcpu.h"
#include "core/vm.h"
#include "isa/x86/state.h"
#include "isa/x86/isa.h"
#include "isa/x86/probe.h"
#include "isa/x86/run.h"

static int interp_vcpu_init(struct vcpu *vcpu, struct error *err)
{
    if (vcpu->isa != &x86_isa_ops)
        return error_set(err, -ENOTSUP, "engine interp does not know the instruction set %s", vcpu->isa->name);
    vcpu->engine_cpu = x86_run_new(vm_code_cache(vcpu->vm), UINT_MAX);
    if (!vcpu->engine_cpu)
        return error_set(err, -ENOMEM, "no memory for the code cache of CPU %u", vcpu->id);
    return 0;
}

static void interp_vcpu_done(struct vcpu *vcpu)
{
    x86_run_free(vcpu->engine_cpu);
    vcpu->engine_cpu = NULL;
}

static enum vcpu_exit interp_run(struct vcpu *vcpu)
{
    return x86_run_blocks(vcpu->engine_cpu, vcpu->cpu, UINT64_MAX);
}

static void interp_state_changed(struct vcpu *vcpu)
{
    x86_state_changed(vcpu->cpu);
    x86_run_drop(vcpu->engine_cpu);
}

static size_t interp_stats(const struct vcpu *vcpu, char *text, size_t cap)
{
    return x86_run_stats(vcpu->engine_cpu, vcpu->cpu, 0, text, cap);
}

static void interp_probe(struct engine_probe *ret_probe)
{
    x86_probe(&interp_engine_ops, "needs nothing from the host", ret_probe);
}

const struct engine_ops interp_engine_ops = {
    .name = "interp",
    .probe = interp_probe,
    .vcpu_init = interp_vcpu_init,
    .vcpu_done = interp_vcpu_done,
    .run = interp_run,
    .state_changed = interp_state_changed,
    .stats = interp_stats,
};
