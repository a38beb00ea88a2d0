/* SPDX-License-Identifier: MIT */
/*
 * Engine `interp`: the vtable, and the probe that times a tiny guest.
 */
#include "engine/interp/interp.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/vcpu.h"
#include "core/vm.h"
#include "isa/x86/state.h"
#include "isa/x86/isa.h"
#include "isa/x86/run.h"

static int interp_vcpu_init(struct vcpu *vcpu, struct error *err)
{
    if (vcpu->isa != &x86_isa_ops)
        return error_set(err, -ENOTSUP, "engine interp does not know the instruction set %s", vcpu->isa->name);
    vcpu->engine_cpu = x86_run_new();
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

/* Real mode at 0:1000h: a loop of eight instructions, 65536 rounds at a time (outer count in bx), then hlt. */
static const uint8_t PROBE_CODE[] = {
    0xbb, 0x10, 0x00,       /* mov bx, 16 */
    0x31, 0xc9,             /* xor cx, cx */
    0x01, 0xd8,             /* 1: add ax, bx */
    0x31, 0xc2,             /* xor dx, ax */
    0x89, 0x16, 0x00, 0x05, /* mov [500h], dx */
    0x40,                   /* inc ax */
    0x03, 0x06, 0x00, 0x05, /* add ax, [500h] */
    0x85, 0xc0,             /* test ax, ax */
    0x90,                   /* nop */
    0xe2, 0xed,             /* loop 1b */
    0x4b,                   /* dec bx */
    0x75, 0xea,             /* jnz 1b */
    0xf4,                   /* hlt */
};

static int probe_run(struct vm *vm, double *ret_mips, struct error *err)
{
    struct vcpu *vcpu = NULL;
    int r = gmem_init(&vm->gmem, 1 << 20, err);
    if (r >= 0)
        r = gmem_add_slot(&vm->gmem, 0, 1 << 20, 0, err);
    if (r >= 0)
        r = gmem_write(&vm->gmem, 0x1000, PROBE_CODE, sizeof(PROBE_CODE));
    if (r >= 0)
        r = vcpu_new(vm, 0, &x86_isa_ops, &interp_engine_ops, NULL, &vcpu, err);
    if (r < 0)
        return r;
    struct x86_cpu *c = vcpu->cpu;
    c->seg[SEG_CS].sel = 0;
    c->seg[SEG_CS].base = 0;
    c->rip = 0x1000;
    x86_state_changed(c);
    ns_t begin = clock_host_ns();
    enum vcpu_exit exit = interp_run(vcpu);
    ns_t took = clock_host_ns() - begin;
    *ret_mips = took > 0 ? (double)c->insns * 1000.0 / (double)took : 0;
    bool ok = exit == VCPU_EXIT_SLEEP && c->activity == X86_HALTED && c->insns > 16 * 65536;
    vcpu_free(vcpu);
    return ok ? 0 : error_set(err, -EIO, "the tiny guest did not halt");
}

static void interp_probe(struct engine_probe *ret_probe)
{
    struct error err = { 0 };
    struct vm vm;
    memset(ret_probe, 0, sizeof(*ret_probe));
    if (vm_init(&vm, NULL, &err) < 0) {
        (void)snprintf(ret_probe->why, sizeof(ret_probe->why), "%.150s", err.msg);
        return;
    }
    ret_probe->usable = probe_run(&vm, &ret_probe->mips, &err) >= 0;
    (void)snprintf(ret_probe->why, sizeof(ret_probe->why), "%.150s", ret_probe->usable ? "needs nothing from the host" : err.msg);
    vm_done(&vm);
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
