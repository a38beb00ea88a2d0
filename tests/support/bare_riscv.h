/* SPDX-License-Identifier: MIT */
/*
 * A bare RISC-V machine for tests: RAM at 0x80000000, one hart under `interp`, no chips. It starts in M-mode at the start of RAM.
 */
#ifndef DOPPEL_TESTS_BARE_RISCV_H
#define DOPPEL_TESTS_BARE_RISCV_H

#include <stdint.h>
#include <string.h>

#include "core/vcpu.h"
#include "core/vm.h"
#include "engine/interp/interp.h"
#include "isa/riscv/isa.h"
#include "isa/riscv/mmu.h"
#include "isa/riscv/run.h"
#include "isa/riscv/state.h"

#define RV_RAM 0x80000000UL
enum { RV_RAM_SIZE = 16 << 20 };

struct bare_riscv {
    struct vm vm;
    struct vcpu *vcpu;
    struct riscv_cpu *c;
};

/* 0, or a negative errno with err set. */
static inline int bare_riscv_init_with(struct bare_riscv *b, const struct engine_ops *engine, const struct riscv_config *config,
                                       struct error *err)
{
    memset(b, 0, sizeof(*b));
    int r = vm_init(&b->vm, NULL, err);
    if (r == 0)
        r = gmem_init(&b->vm.gmem, RV_RAM_SIZE, err);
    if (r == 0)
        r = gmem_add_slot(&b->vm.gmem, RV_RAM, RV_RAM_SIZE, 0, err);
    if (r == 0) /* so that engine bt uses windows */
        r = gmem_share(&b->vm.gmem, err);
    if (r == 0)
        r = vcpu_new(&b->vm, 0, &riscv_isa_ops, engine, config, &b->vcpu, err);
    if (r < 0)
        return r;
    vm_clock_set_manual(&b->vm.clock);
    b->c = b->vcpu->cpu;
    b->c->pc = RV_RAM;
    return 0;
}

static inline int bare_riscv_init(struct bare_riscv *b, const struct riscv_config *config, struct error *err)
{
    return bare_riscv_init_with(b, &interp_engine_ops, config, err);
}

static inline void bare_riscv_done(struct bare_riscv *b)
{
    vcpu_free(b->vcpu);
    vm_done(&b->vm);
}

static inline void rv_poke(struct bare_riscv *b, gpa_t at, uint64_t v, unsigned size)
{
    (void)!gmem_write(&b->vm.gmem, at, &v, size);
}

static inline uint64_t rv_peek(struct bare_riscv *b, gpa_t at, unsigned size)
{
    uint64_t v = 0;
    (void)!gmem_read(&b->vm.gmem, at, &v, size);
    return v;
}

#endif
