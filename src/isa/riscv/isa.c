/* SPDX-License-Identifier: MIT */
/*
 * The RISC-V ISA as core/ sees it: making, resetting and describing a hart.
 */
#include "isa/riscv/isa.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/mman.h>

#include "base/checked.h"
#include "core/vcpu.h"
#include "core/vm.h"
#include "isa/riscv/mmu.h"
#include "isa/riscv/profile.h"

static void cpu_free(struct vcpu *vcpu)
{
    struct riscv_cpu *c = vcpu->cpu;
    if (!c)
        return;
    if (c->stimer.fn) {
        vm_lock(vcpu->vm);
        vm_timer_disarm(&c->stimer);
        if (c->vstimer.fn)
            vm_timer_disarm(&c->vstimer);
        vm_unlock(vcpu->vm);
    }
    riscv_tlb_free(c->tlb);
    riscv_tlb_free(c->other_tlb);
    (void)munmap(c, ALIGN_UP(sizeof(*c), (size_t)GPAGE_SIZE));
    vcpu->cpu = NULL;
}

static int cpu_new(struct vcpu *vcpu, const void *config, struct error *err)
{
    const struct riscv_config *given = config;
    /* whole pages that can be mapped a second time: translate.h */
    struct riscv_cpu *c = mmap(NULL, ALIGN_UP(sizeof(*c), (size_t)GPAGE_SIZE), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                               -1, 0);
    if (c == MAP_FAILED)
        return error_set(err, -ENOMEM, "out of memory for the state of CPU %u", vcpu->id);
    vcpu->cpu = c;
    c->vcpu = vcpu;
    c->gmem = vcpu->vm ? &vcpu->vm->gmem : NULL;
    c->profile = given && given->profile ? given->profile : riscv_profile_default();
    bool hyp = c->profile->has[RISCV_EXT_H];
    c->tlb = riscv_tlb_new(false);
    c->other_tlb = c->tlb && hyp ? riscv_tlb_new(true) : NULL;
    if (!c->tlb || (hyp && !c->other_tlb)) {
        cpu_free(vcpu);
        return error_set(err, -ENOMEM, "out of memory for the TLB of CPU %u", vcpu->id);
    }
    if (given)
        c->sbi = given->sbi;
    riscv_cpu_reset(c);
    return 0;
}

static void reset(struct vcpu *vcpu)
{
    riscv_cpu_reset(vcpu->cpu);
}

static void describe(const struct vcpu *vcpu, char *text, size_t cap)
{
    static const char *const mode[] = { [RISCV_U] = "U", [RISCV_S] = "S", [2] = "?", [RISCV_M] = "M" };
    const struct riscv_cpu *c = vcpu->cpu;
    (void)snprintf(text, cap, "pc=%" PRIx64 " sp=%" PRIx64 " scause=%" PRIx64 " stval=%" PRIx64 " satp=%" PRIx64 " (%s%s-mode)",
                   c->pc, c->x[2], c->scause, c->stval, c->satp, c->hyp.virt ? "V" : "",
                   mode[c->priv]); /* a cut line is still a line */
}

const struct isa_ops riscv_isa_ops = {
    .name = "riscv64",
    .cpu_new = cpu_new,
    .cpu_free = cpu_free,
    .reset = reset,
    .state = &riscv_state_desc,
    .describe = describe,
};
