/* SPDX-License-Identifier: MIT */
/*
 * What the tests of the hypervisor extension share: a hart with it, modes of a virtual machine, and tables of both stages.
 */
#ifndef DOPPEL_TESTS_UNIT_ISA_RISCV_VIRTUAL_H
#define DOPPEL_TESTS_UNIT_ISA_RISCV_VIRTUAL_H

#include "isa/riscv/hyp.h"
#include "isa/riscv/profile.h"
#include "unit/isa/riscv/hart.h"

enum { G_TABLES = 0x40000, G_SIZE = 0x200000, S_HANDLER = HANDLER + 0x100, VS_HANDLER = HANDLER + 0x200 };
enum { HFENCE_VVMA = 0x22000073, HFENCE_GVMA = 0x62000073 };
enum { VSSTATUS = 0x200, VSIE = 0x204, VSIP = 0x244, VSATP = 0x280, HSTATUS = 0x600, HGATP = 0x680, HVIP = 0x645, HIP = 0x644 };
enum { SSTATUS = 0x100, SIE = 0x104, SCOUNTEREN = 0x106, SSCRATCH = 0x140, SIP = 0x144, STIMECMP = 0x14d, SATP = 0x180 };
#define GUEST_RAM 0x10000000ULL /* guest physical, by the G-stage: the 2 MiB from RV_RAM on */
#define H_CAUSES (RISCV_MEDELEG_BITS | RISCV_HYP_MEDELEG_BITS)

static struct riscv_profile profile;

static inline int set_up_hyp(void **state)
{
    struct error err;
    const struct riscv_config config = { .profile = &profile };
    (void)state;
    int r = riscv_profile_make("rv64,h=on", &profile, &err);
    if (r == 0)
        r = bare_riscv_init(&m, &config, &err);
    m.c->mtvec = RV_RAM + HANDLER;
    m.c->stvec = RV_RAM + S_HANDLER;
    m.c->hyp.vstvec = RV_RAM + VS_HANDLER;
    m.c->medeleg = H_CAUSES;
    return r;
}

static inline void enter_virt(enum riscv_priv priv)
{
    m.c->hyp.virt = true;
    enter(priv);
}

static inline void leave_virt(enum riscv_priv priv)
{
    m.c->hyp.virt = false;
    enter(priv);
}

/* Whether HS-mode took it. */
static inline bool s_trapped(uint64_t cause, uint64_t tval)
{
    return m.c->pc == RV_RAM + S_HANDLER && !m.c->hyp.virt && m.c->priv == RISCV_S && m.c->scause == cause && m.c->stval == tval;
}

static inline bool vs_trapped(uint64_t cause, uint64_t tval)
{
    return m.c->pc == RV_RAM + VS_HANDLER && m.c->hyp.virt && m.c->priv == RISCV_S && m.c->hyp.vscause == cause
           && m.c->hyp.vstval == tval;
}

static inline bool went_on(void)
{
    return m.c->pc != RV_RAM + HANDLER && m.c->pc != RV_RAM + S_HANDLER && m.c->pc != RV_RAM + VS_HANDLER;
}

static inline void g_pte(unsigned level, unsigned index, gpa_t to, uint64_t bits)
{
    rv_poke(&m, RV_RAM + G_TABLES + 0x4000 * level + 8 * index, to >> 12 << 10 | bits, 8);
}

#define ALL_OF_IT (PTE_V | PTE_R | PTE_W | PTE_X | PTE_U | PTE_AD)

/* Sv39x4: GUEST_RAM + n pages, for 2 MiB, is RV_RAM + n pages by `bits`; that of code, tables and RV_RAM itself (1 GiB) by all.
 */
static inline void g_map(uint64_t bits)
{
    g_pte(0, GUEST_RAM >> 30, RV_RAM + G_TABLES + 0x4000, PTE_V);
    g_pte(1, GUEST_RAM >> 21 & 511, RV_RAM + G_TABLES + 0x8000, PTE_V);
    for (unsigned k = 0; k < 512; k++)
        g_pte(2, k, RV_RAM + 0x1000 * k, k == DATA >> 12 ? bits : ALL_OF_IT);
    g_pte(0, RV_RAM >> 30, RV_RAM, ALL_OF_IT);
    m.c->hyp.hgatp = 8ULL << 60 | (RV_RAM + G_TABLES) >> 12;
}

/* Its Sv39: MAPPED + n pages -> GUEST_RAM + DATA + n pages by `bits`; code by a 1 GiB page. The tables lie at GUEST_RAM + TABLES.
 */
static inline void vs_map(uint64_t bits)
{
    pte(0, MAPPED >> 30, GUEST_RAM + TABLES + 0x1000, PTE_V);
    pte(1, 0, GUEST_RAM + TABLES + 0x2000, PTE_V);
    pte(2, 0, GUEST_RAM + DATA, bits);
    pte(2, 1, GUEST_RAM + DATA + 0x3000, bits);
    pte(0, RV_RAM >> 30, RV_RAM, PTE_V | PTE_R | PTE_W | PTE_X | PTE_AD);
    m.c->hyp.vsatp = 8ULL << 60 | (GUEST_RAM + TABLES) >> 12;
}

#endif
