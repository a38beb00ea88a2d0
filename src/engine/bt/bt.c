/* SPDX-License-Identifier: MIT */
/*
 * Engine `bt`: the vtable.
 */
#include "engine/bt/bt.h"

#include <errno.h>

#include "core/vcpu.h"
#include "core/vm.h"
#include "engine/bt/bt_riscv.h"
#include "engine/bt/bt_x86.h"
#include "isa/riscv/isa.h"
#include "isa/riscv/probe.h"
#include "isa/x86/isa.h"
#include "isa/x86/probe.h"

static bool is_x86(const struct vcpu *vcpu)
{
    return vcpu->isa == &x86_isa_ops;
}

static int bt_vcpu_init(struct vcpu *vcpu, struct error *err)
{
    size_t bytes = vm_code_cache(vcpu->vm);
    int r;
    if (is_x86(vcpu)) {
        struct bt_x86 *e = NULL;
        r = bt_x86_new(vcpu->cpu, bytes, &e, err);
        vcpu->engine_cpu = e;
    } else if (vcpu->isa == &riscv_isa_ops) {
        struct bt_riscv *e = NULL;
        r = bt_riscv_new(vcpu->cpu, bytes, &e, err);
        vcpu->engine_cpu = e;
    } else {
        r = error_set(err, -ENOTSUP, "engine bt does not know the instruction set %s", vcpu->isa->name);
    }
    return r;
}

static void bt_vcpu_done(struct vcpu *vcpu)
{
    if (is_x86(vcpu))
        bt_x86_free(vcpu->engine_cpu);
    else
        bt_riscv_free(vcpu->engine_cpu);
    vcpu->engine_cpu = NULL;
}

static enum vcpu_exit bt_run(struct vcpu *vcpu)
{
    return is_x86(vcpu) ? bt_x86_run(vcpu->engine_cpu, vcpu->cpu) : bt_riscv_run(vcpu->engine_cpu, vcpu->cpu, UINT64_MAX);
}

static void bt_state_changed(struct vcpu *vcpu)
{
    if (is_x86(vcpu)) {
        x86_state_changed(vcpu->cpu);
        bt_x86_drop(vcpu->engine_cpu);
    } else {
        riscv_state_changed(vcpu->cpu);
        bt_riscv_drop(vcpu->engine_cpu);
    }
}

static size_t bt_stats(const struct vcpu *vcpu, char *text, size_t cap)
{
    return is_x86(vcpu) ? bt_x86_stats(vcpu->engine_cpu, vcpu->cpu, text, cap)
                        : bt_riscv_stats(vcpu->engine_cpu, vcpu->cpu, text, cap);
}

static void bt_probe(const struct isa_ops *isa, struct engine_probe *ret_probe)
{
    if (isa == &riscv_isa_ops)
        riscv_probe_engine(&bt_engine_ops, "needs AVX2, FMA, BMI2 and LZCNT, which the host CPU has", RISCV_PROBE_ROUNDS,
                           ret_probe);
    else
        x86_probe(&bt_engine_ops, "needs BMI2, AVX and SSE4.2, which the host CPU has", X86_PROBE_ROUNDS, ret_probe);
}

const struct engine_ops bt_engine_ops = {
    .name = "bt",
    .translates = true,
    .probe = bt_probe,
    .vcpu_init = bt_vcpu_init,
    .vcpu_done = bt_vcpu_done,
    .run = bt_run,
    .state_changed = bt_state_changed,
    .stats = bt_stats,
};
