/* SPDX-License-Identifier: MIT */
/*
 * A bare x86 machine for tests: RAM, one vCPU under `interp` or another engine, no chips.
 *
 * bare_long() puts it into 64-bit mode at CPL 0 with the first 2 MiB identity-mapped by 4 KiB pages; tables stand at
 * BARE_TABLES, code belongs at BARE_CODE, the stack grows down from BARE_STACK. All three are below 1 MiB.
 */
#ifndef DOPPEL_TESTS_BARE_X86_H
#define DOPPEL_TESTS_BARE_X86_H

#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "core/vcpu.h"
#include "core/vm.h"
#include "engine/interp/interp.h"
#include "isa/x86/isa.h"
#include "isa/x86/mmu.h"
#include "isa/x86/run.h"
#include "isa/x86/state.h"
#include "isa/x86/trap.h"

enum {
    BARE_RAM = 4 << 20,
    BARE_CODE = 0x10000,
    BARE_STACK = 0x20000,
    BARE_DATA = 0x30000,
    BARE_TABLES = 0x100000, /* PML4, PDPT, PD, PT */
};

struct bare {
    struct vm vm;
    struct vcpu *vcpu;
    struct x86_cpu *c;
};

static inline void bare_poke64(struct bare *b, gpa_t at, uint64_t v)
{
    assert_int_equal(gmem_write(&b->vm.gmem, at, &v, 8), 0);
}

static inline uint64_t bare_peek64(struct bare *b, gpa_t at)
{
    uint64_t v = 0;
    assert_int_equal(gmem_read(&b->vm.gmem, at, &v, 8), 0);
    return v;
}

/* In real mode at 0:BARE_CODE's low part; most tests go on with bare_long(). code_cache: bytes, 0: the default. */
static inline void bare_init_cache(struct bare *b, const struct engine_ops *engine, uint64_t code_cache)
{
    struct error err = { 0 };
    memset(b, 0, sizeof(*b));
    assert_int_equal(vm_init(&b->vm, NULL, &err), 0);
    b->vm.code_cache = code_cache;
    assert_int_equal(gmem_init(&b->vm.gmem, BARE_RAM, &err), 0);
    assert_int_equal(gmem_add_slot(&b->vm.gmem, 0, BARE_RAM, 0, &err), 0);
    assert_int_equal(vcpu_new(&b->vm, 0, &x86_isa_ops, engine, NULL, &b->vcpu, &err), 0);
    b->c = b->vcpu->cpu;
}

/* The CPU again, from scratch, after b->vm was told more of what is wanted. */
static inline void bare_renew(struct bare *b)
{
    struct error err = { 0 };
    const struct engine_ops *engine = b->vcpu->engine;
    vcpu_free(b->vcpu);
    assert_int_equal(vcpu_new(&b->vm, 0, &x86_isa_ops, engine, NULL, &b->vcpu, &err), 0);
    b->c = b->vcpu->cpu;
}

static inline void bare_init_engine(struct bare *b, const struct engine_ops *engine)
{
    bare_init_cache(b, engine, 0);
}

static inline void bare_init(struct bare *b)
{
    bare_init_engine(b, &interp_engine_ops);
}

static inline void bare_done(struct bare *b)
{
    vcpu_free(b->vcpu);
    vm_done(&b->vm);
}

static inline void bare_segment(struct x86_cpu *c, unsigned seg, uint16_t sel, uint32_t attr)
{
    c->seg[seg] = (struct x86_seg){ .sel = sel, .limit = 0xffffffff, .attr = attr };
}

static inline void bare_long(struct bare *b)
{
    struct x86_cpu *c = b->c;
    bare_poke64(b, BARE_TABLES, (BARE_TABLES + 0x1000) | 7);
    bare_poke64(b, BARE_TABLES + 0x1000, (BARE_TABLES + 0x2000) | 7);
    bare_poke64(b, BARE_TABLES + 0x2000, (BARE_TABLES + 0x3000) | 7);
    for (uint64_t k = 0; k < 512; k++)
        bare_poke64(b, BARE_TABLES + 0x3000 + 8 * k, k << 12 | 7);
    c->cr0 = CR0_PE | CR0_PG | CR0_ET | CR0_NE | CR0_WP | CR0_MP;
    c->cr3 = BARE_TABLES;
    c->cr4 = CR4_PAE | CR4_PGE | CR4_OSFXSR;
    c->efer = EFER_LME | EFER_LMA | EFER_NXE | EFER_SCE;
    bare_segment(c, SEG_CS, 8, SEG_P | SEG_S | SEG_TYPE_CODE | SEG_TYPE_RW | SEG_TYPE_A | SEG_L | SEG_G);
    for (unsigned s = 0; s <= SEG_GS; s++)
        if (s != SEG_CS)
            bare_segment(c, s, 16, SEG_P | SEG_S | SEG_TYPE_RW | SEG_TYPE_A | SEG_DB | SEG_G);
    c->rip = BARE_CODE;
    c->gpr[RSP] = BARE_STACK;
    c->rflags = FLAG_ONE;
    x86_state_changed(c);
}

static inline void bare_code(struct bare *b, gpa_t at, const void *code, size_t len)
{
    assert_int_equal(gmem_write(&b->vm.gmem, at, code, len), 0);
}

/* Runs until HLT (each test program ends with one). */
static inline void bare_run(struct bare *b)
{
    assert_int_equal(interp_engine_ops.run(b->vcpu), VCPU_EXIT_SLEEP);
    assert_int_equal(b->c->activity, X86_HALTED);
}

/* Evaluates expr; true if it raised, with the trap in c->trap. */
#define RAISES(cpu, expr)                                                                                                        \
    ({                                                                                                                           \
        jmp_buf env_;                                                                                                            \
        volatile bool raised_ = true;                                                                                            \
        (cpu)->trap_env = &env_;                                                                                                 \
        if (!_setjmp(env_)) {                                                                                                    \
            (void)(expr);                                                                                                        \
            raised_ = false;                                                                                                     \
        }                                                                                                                        \
        raised_;                                                                                                                 \
    })

#endif
