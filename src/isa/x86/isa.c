/* SPDX-License-Identifier: MIT */
/*
 * The x86-64 ISA as core/ sees it: making, resetting and describing a CPU.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "core/isa.h"
#include "core/vcpu.h"
#include "core/vm.h"
#include "isa/x86/isa.h"
#include "isa/x86/mmu.h"
#include "isa/x86/profile.h"

static void cpu_free(struct vcpu *vcpu)
{
    struct x86_cpu *c = vcpu->cpu;
    if (!c)
        return;
    x86_tlb_free(c->tlb);
    free(c);
    vcpu->cpu = NULL;
}

static int cpu_new(struct vcpu *vcpu, const void *config, struct error *err)
{
    struct x86_cpu *c = aligned_alloc(64, ALIGN_UP(sizeof(*c), (size_t)64));
    if (!c)
        return error_set(err, -ENOMEM, "out of memory for the state of CPU %u", vcpu->id);
    memset(c, 0, sizeof(*c));
    vcpu->cpu = c;
    c->tlb = x86_tlb_new();
    if (!c->tlb) {
        cpu_free(vcpu);
        return error_set(err, -ENOMEM, "out of memory for the TLB of CPU %u", vcpu->id);
    }
    c->vcpu = vcpu;
    c->gmem = vcpu->vm ? &vcpu->vm->gmem : NULL;
    c->profile = config ? config : x86_profile_default();
    x86_cpu_reset(c);
    return 0;
}

static void reset(struct vcpu *vcpu)
{
    x86_cpu_reset(vcpu->cpu);
}

static const char *mode_name(const struct x86_cpu *c)
{
    if (!(c->cr0 & CR0_PE))
        return "real mode";
    if (c->rflags & FLAG_VM)
        return "virtual-8086";
    switch ((enum x86_mode)c->mode) {
    case X86_MODE_16: return c->long_mode ? "compatibility 16-bit" : "protected 16-bit";
    case X86_MODE_32: return c->long_mode ? "compatibility 32-bit" : "protected 32-bit";
    case X86_MODE_64: return "64-bit";
    }
    return "?";
}

static void describe(const struct vcpu *vcpu, char *text, size_t cap)
{
    const struct x86_cpu *c = vcpu->cpu;
    (void)snprintf(text, cap, "rip=%04x:%" PRIx64 " rsp=%" PRIx64 " cpl=%u cr2=%" PRIx64 " cr3=%" PRIx64 " (%s)",
                   c->seg[SEG_CS].sel, c->rip, c->gpr[RSP], c->cpl, c->cr2, c->cr3,
                   mode_name(c)); /* a cut line is still a line */
}

const struct isa_ops x86_isa_ops = {
    .name = "x86-64",
    .cpu_new = cpu_new,
    .cpu_free = cpu_free,
    .reset = reset,
    .state = &x86_state_desc,
    .describe = describe,
};
