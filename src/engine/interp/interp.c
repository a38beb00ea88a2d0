/* SPDX-License-Identifier: MIT */
/*
 * Engine `interp`: the vtable.
 */
#include "engine/interp/interp.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "core/vcpu.h"
#include "core/vm.h"
#include "isa/riscv/isa.h"
#include "isa/riscv/probe.h"
#include "isa/riscv/run.h"
#include "isa/x86/isa.h"
#include "isa/x86/probe.h"
#include "isa/x86/run.h"
#include "isa/x86/state.h"

/* What the engine needs of an instruction set: its run loop. */
struct interp_isa {
    const struct isa_ops *isa;
    void *(*run_new)(size_t bytes); /* NULL when out of memory */
    void (*run_free)(void *run);
    enum vcpu_exit (*run)(void *run, void *cpu);
    void (*state_changed)(void *run, void *cpu);
    size_t (*stats)(const void *run, const void *cpu, char *text, size_t cap);
};

static void *x86_new(size_t bytes)
{
    return x86_run_new(bytes, UINT_MAX);
}

static void x86_free(void *run)
{
    x86_run_free(run);
}

static enum vcpu_exit x86_loop(void *run, void *cpu)
{
    return x86_run_blocks(run, cpu, UINT64_MAX);
}

static void x86_changed(void *run, void *cpu)
{
    x86_state_changed(cpu);
    x86_run_drop(run);
}

static size_t x86_stats(const void *run, const void *cpu, char *text, size_t cap)
{
    return x86_run_stats(run, cpu, 0, text, cap);
}

static void *riscv_new(size_t bytes)
{
    return riscv_run_new(bytes);
}

static void riscv_free(void *run)
{
    riscv_run_free(run);
}

static enum vcpu_exit riscv_loop(void *run, void *cpu)
{
    return riscv_run(run, cpu, UINT64_MAX);
}

static void riscv_changed(void *run, void *cpu)
{
    riscv_state_changed(cpu);
    riscv_run_drop(run);
}

static size_t riscv_stats(const void *run, const void *cpu, char *text, size_t cap)
{
    return riscv_run_stats(run, cpu, text, cap);
}

static const struct interp_isa isas[] = {
    { &x86_isa_ops, x86_new, x86_free, x86_loop, x86_changed, x86_stats },
    { &riscv_isa_ops, riscv_new, riscv_free, riscv_loop, riscv_changed, riscv_stats },
};

/* NULL: not one of ours. */
static const struct interp_isa *isa_of(const struct vcpu *vcpu)
{
    for (unsigned k = 0; k < ARRAY_SIZE(isas); k++)
        if (isas[k].isa == vcpu->isa)
            return &isas[k];
    return NULL;
}

static int interp_vcpu_init(struct vcpu *vcpu, struct error *err)
{
    const struct interp_isa *isa = isa_of(vcpu);
    if (!isa)
        return error_set(err, -ENOTSUP, "engine interp does not know the instruction set %s", vcpu->isa->name);
    vcpu->engine_cpu = isa->run_new(vm_code_cache(vcpu->vm));
    if (!vcpu->engine_cpu)
        return error_set(err, -ENOMEM, "no memory for the code cache of CPU %u", vcpu->id);
    return 0;
}

static void interp_vcpu_done(struct vcpu *vcpu)
{
    if (isa_of(vcpu))
        isa_of(vcpu)->run_free(vcpu->engine_cpu);
    vcpu->engine_cpu = NULL;
}

static enum vcpu_exit interp_run(struct vcpu *vcpu)
{
    return isa_of(vcpu)->run(vcpu->engine_cpu, vcpu->cpu);
}

static void interp_state_changed(struct vcpu *vcpu)
{
    isa_of(vcpu)->state_changed(vcpu->engine_cpu, vcpu->cpu);
}

static size_t interp_stats(const struct vcpu *vcpu, char *text, size_t cap)
{
    return isa_of(vcpu)->stats(vcpu->engine_cpu, vcpu->cpu, text, cap);
}

static void interp_probe(const struct isa_ops *isa, struct engine_probe *ret_probe)
{
    if (isa == &riscv_isa_ops)
        riscv_probe_engine(&interp_engine_ops, "needs nothing from the host", RISCV_PROBE_ROUNDS, ret_probe);
    else
        x86_probe(&interp_engine_ops, "needs nothing from the host", X86_PROBE_ROUNDS, ret_probe);
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
