/* SPDX-License-Identifier: MIT */
/*
 * What the tests of vector instructions share: a bare hart that has them, encodings, elements by number, registers full of corner
 * values.
 */
#ifndef DOPPEL_TESTS_UNIT_ISA_RISCV_VECTOR_H
#define DOPPEL_TESTS_UNIT_ISA_RISCV_VECTOR_H

#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "isa/riscv/csr.h"
#include "isa/riscv/profile.h"
#include "support/bare_riscv.h"

enum { V_CODE = 0x1000, V_HANDLER = 0x3000 };

static struct bare_riscv m;
static struct riscv_profile profile;

/* A hart of that model, vectors and floating point on. */
static inline int start_vectors(const char *model)
{
    struct error err;
    const struct riscv_config config = { .profile = &profile };
    int r = riscv_profile_make(model, &profile, &err);
    if (r == 0)
        r = bare_riscv_init(&m, &config, &err);
    if (r == 0) {
        m.c->mtvec = RV_RAM + V_HANDLER;
        m.c->mstatus |= MSTATUS_VS | MSTATUS_FS;
        m.c->pmpcfg[15] = 0x1f; /* all of memory is open to S-mode, too */
        m.c->pmpaddr[15] = RISCV_PMPADDR_BITS;
        riscv_state_changed(m.c);
    }
    return r;
}

static inline int stop_vectors(void **state)
{
    (void)state;
    bare_riscv_done(&m);
    return 0;
}

/* One instruction; mcause is 0 before, and stays so unless it traps. */
static inline void do_step(uint32_t word)
{
    static unsigned at;
    gpa_t pc = RV_RAM + V_CODE + 4 * (at++ % 512);
    rv_poke(&m, pc, word, 4);
    m.c->mcause = 0;
    m.c->priv = RISCV_M;
    m.c->pc = pc;
    riscv_run_step(m.vcpu->engine_cpu, m.c);
}

static inline uint32_t vector_op(unsigned f6, unsigned vm, unsigned vs2, unsigned vs1, unsigned f3, unsigned vd)
{
    return f6 << 26 | vm << 25 | vs2 << 20 | vs1 << 15 | f3 << 12 | vd << 7 | 0x57;
}

/* vtype by SEW in bits and the logarithm of LMUL, and vl, as a program would. */
static inline void configure(unsigned sew, int lmul, unsigned vl)
{
    uint32_t vtype = (uint32_t)(__builtin_ctz(sew) - 3) << 3 | ((unsigned)lmul & 7);
    m.c->x[10] = vl;
    do_step(vtype << 20 | 10U << 15 | 7U << 12 | 9U << 7 | 0x57); /* vsetvli x9, x10 */
    assert_int_equal(m.c->mcause, 0);
    assert_int_equal(m.c->vl, vl);
}

/* Element n of the group that begins at register reg. */
static inline uint64_t element(const uint8_t *v, unsigned vlen, unsigned reg, unsigned bits, unsigned n)
{
    uint64_t r = 0;
    for (unsigned k = 0; k < bits / 8; k++)
        r |= (uint64_t)v[reg * vlen / 8 + n * bits / 8 + k] << (8 * k);
    return r;
}

static inline void set_element(uint8_t *v, unsigned vlen, unsigned reg, unsigned bits, unsigned n, uint64_t x)
{
    for (unsigned k = 0; k < bits / 8; k++)
        v[reg * vlen / 8 + n * bits / 8 + k] = (uint8_t)(x >> (8 * k));
}

static inline void set_bit(uint8_t *bits, unsigned n, bool on)
{
    bits[n / 8] = (uint8_t)((bits[n / 8] & ~(1 << n % 8)) | (on ? 1 << n % 8 : 0));
}

/* The n-th value of so many bits that is likely to go wrong; from some n on just a value. */
static inline uint64_t corner(unsigned bits, unsigned n)
{
    uint64_t top = 1ULL << (bits - 1), all = ~0ULL >> (64 - bits), x = (n + 1) * 0x9e3779b97f4a7c15;
    switch (n % 13) {
    case 0: return 0;
    case 1: return 1;
    case 2: return all;
    case 3: return top;
    case 4: return top - 1;
    case 5: return top + 1;
    case 6: return all - 1;
    case 7: return bits - 1;
    case 8: return all >> bits / 2;
    case 9: return x >> 60;
    default: return x >> (64 - bits);
    }
}

/* All registers but v0, which becomes a mask, hold corner values of that SEW, paired otherwise for each seed. */
static inline void fill_registers(unsigned seed, unsigned bits)
{
    unsigned per = 8 * RISCV_VLENB_MAX / bits;
    for (unsigned n = 0; n < 32 * per; n++)
        set_element(m.c->v, 8 * RISCV_VLENB_MAX, 0, bits, n, corner(bits, n * (seed % 7 + 1) + n / per * (seed % 5) + seed));
    for (unsigned k = 0; k < RISCV_VLENB_MAX && k < m.c->vlenb; k++)
        m.c->v[k] = (uint8_t)((seed + k + 3) * 0x9d);
}

#endif
