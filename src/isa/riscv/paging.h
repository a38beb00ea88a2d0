/* SPDX-License-Identifier: MIT */
/*
 * Page-table entries, for the walks of one stage (paging.c) and of two (hyp_walk.c).
 *
 * Spec: volume II 12.3.2, 12.4 to 12.6
 */
#ifndef DOPPEL_ISA_RISCV_PAGING_H
#define DOPPEL_ISA_RISCV_PAGING_H

#include "isa/riscv/mmu.h"

enum { PTE_V = 1, PTE_R = 2, PTE_W = 4, PTE_X = 8, PTE_U = 16, PTE_G = 32, PTE_A = 64, PTE_D = 128, PTE_RWX = 14 };
enum { PTE_PPN_SHIFT = 10, SATP_MODE_SHIFT = 60, SATP_SV39 = 8, VPN_BITS = 9, NAPOT_64K_SHIFT = 4, WALKS_MAX = 64 };
#define PTE_PPN (((1ULL << 44) - 1) << PTE_PPN_SHIFT)
#define PTE_PBMT (3ULL << 61)
#define PTE_N (1ULL << 63)
#define PTE_RESERVED (0x7fULL << 54)
#define SATP_PPN ((1ULL << 44) - 1)

/* Levels of the tables that satp (vsatp, hgatp), whose mode is not Bare, names: Sv39, Sv48 and Sv57 have three, four and five. */
static inline unsigned riscv_levels_of(uint64_t satp)
{
    return (unsigned)(satp >> SATP_MODE_SHIFT) - SATP_SV39 + 3;
}

/* Whether the upper bits of va repeat the last one translated. */
bool riscv_va_in_range(gva_t va, unsigned levels);
/* False: the entry is illegal, whatever is accessed. envcfg: menvcfg, or henvcfg for the VS-stage. */
bool riscv_pte_valid(const struct riscv_cpu *c, uint64_t pte, unsigned level, uint64_t envcfg);
/* Whether a valid leaf grants the access; status: MXR counts. */
bool riscv_pte_allows(uint64_t pte, enum riscv_access access, enum riscv_bank bank, uint64_t status);
/* What a leaf says of va. */
void riscv_walk_fill(gva_t va, uint64_t pte, unsigned level, struct riscv_walk *w);

#endif
