/* SPDX-License-Identifier: MIT */
/*
 * What the tests of a RISC-V hart's privileged side share: stepping single instructions encoded by hand, entering modes, and a
 * small address space.
 */
#ifndef DOPPEL_TESTS_UNIT_ISA_RISCV_HART_H
#define DOPPEL_TESTS_UNIT_ISA_RISCV_HART_H

#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "isa/riscv/csr.h"
#include "isa/riscv/trap.h"
#include "support/bare_riscv.h"

enum { CODE = 0x1000, HANDLER = 0x3000, DATA = 0x10000, TABLES = 0x20000, A0 = 10, A1 = 11, A2 = 12 };
enum { ECALL = 0x73, MRET = 0x30200073, SRET = 0x10200073, WFI = 0x10500073, FENCE_I = 0x100f, SFENCE = 0x12000073 };
enum { NOP = 0x13, ILLEGAL_0 = 0 };
enum { PTE_V = 1, PTE_R = 2, PTE_W = 4, PTE_X = 8, PTE_U = 16, PTE_A = 64, PTE_D = 128, PTE_AD = 192 };

static struct bare_riscv m;

static inline int set_up(void **state)
{
    struct error err;
    (void)state;
    int r = bare_riscv_init(&m, NULL, &err);
    m.c->mtvec = RV_RAM + HANDLER;
    m.c->stvec = RV_RAM + HANDLER + 0x100;
    return r;
}

static inline int tear_down(void **state)
{
    (void)state;
    bare_riscv_done(&m);
    return 0;
}

/* One instruction at pc va (physical pa). */
static inline void step_at(gva_t va, gpa_t pa, uint32_t word)
{
    rv_poke(&m, pa, word, 4);
    m.c->pc = va;
    riscv_run_step(m.vcpu->engine_cpu, m.c);
}

static inline void step(uint32_t word)
{
    static unsigned at;
    gpa_t pc = RV_RAM + CODE + 4 * (at++ % 512);
    step_at(pc, pc, word);
}

static inline bool trapped(uint64_t cause, uint64_t tval)
{
    return m.c->pc == RV_RAM + HANDLER && m.c->mcause == cause && m.c->mtval == tval;
}

static inline uint32_t csrrw(unsigned csr, unsigned rd, unsigned rs1)
{
    return csr << 20 | rs1 << 15 | 1 << 12 | rd << 7 | 0x73;
}

static inline uint32_t csrrs(unsigned csr, unsigned rd, unsigned rs1)
{
    return csr << 20 | rs1 << 15 | 2 << 12 | rd << 7 | 0x73;
}

static inline uint32_t load(unsigned funct3) /* a0 = (a1) */
{
    return A1 << 15 | funct3 << 12 | A0 << 7 | 0x03;
}

static inline uint32_t store(unsigned funct3) /* (a1) = a0 */
{
    return A0 << 20 | A1 << 15 | funct3 << 12 | 0x23;
}

/* S- or U-mode, all of memory open by PMP. */
static inline void enter(enum riscv_priv priv)
{
    m.c->pmpcfg[15] = 0x1f;
    m.c->pmpaddr[15] = RISCV_PMPADDR_BITS;
    m.c->priv = priv;
    riscv_state_changed(m.c);
}

static inline void pte(unsigned level, unsigned index, gpa_t to, uint64_t bits)
{
    rv_poke(&m, RV_RAM + TABLES + 0x1000 * level + 8 * index, to >> 12 << 10 | bits, 8);
}

/* Sv39: va 0x400000000 + n pages -> DATA + n pages by `bits`; code identity-mapped by a 1 GiB page. */
#define MAPPED 0x400000000ULL
static inline void map(uint64_t bits)
{
    pte(0, MAPPED >> 30, RV_RAM + TABLES + 0x1000, PTE_V);
    pte(1, 0, RV_RAM + TABLES + 0x2000, PTE_V);
    pte(2, 0, RV_RAM + DATA, bits);
    pte(2, 1, RV_RAM + DATA + 0x3000, bits);
    pte(0, RV_RAM >> 30, RV_RAM, PTE_V | PTE_R | PTE_W | PTE_X | PTE_AD);
    m.c->satp = 8ULL << 60 | (RV_RAM + TABLES) >> 12;
    enter(RISCV_S);
}

static inline void again(void) /* in S-mode with fresh translations, after a trap */
{
    enter(RISCV_S);
}

#endif
