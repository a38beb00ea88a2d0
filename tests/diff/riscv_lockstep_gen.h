/* SPDX-License-Identifier: MIT */
/*
 * Random RISC-V programs for the lockstep test: four pages of code, data, two address spaces that show them differently.
 *
 * RAM stands at 0, too, so that M-mode, paging off and the page tables have the same small addresses to offer. Code writes only
 * where the architecture leaves no choice: to data, and to slots of code in one go with FENCE.I behind it.
 */
#ifndef DOPPEL_TESTS_RISCV_LOCKSTEP_GEN_H
#define DOPPEL_TESTS_RISCV_LOCKSTEP_GEN_H

#include "base/rng.h"
#include "isa/riscv/decode.h"

enum {
    RL_M_HANDLER = 0x8000,
    RL_S_HANDLER = 0x9000,
    RL_CODE = 0x10000, /* U-mode's in the address spaces, and where it is */
    RL_CODE_S = 0x50000,
    RL_CODE_PAGES = 4,
    RL_CODE_END = 0x3d00, /* from here on in the last page there is data, and slots that are patched */
    RL_PATCHED = 0x3cc0,  /* where FENCE.I's are tried: eight instructions before the end */
    RL_DATA = 0x20000,
    RL_DATA_S = 0x60000,
    RL_DATA_PAGES = 8,
    RL_TABLES = 0x800000, /* of space n at + 0x10000 n: root, middle, low; middle, low of the global pages; roots of Sv48, Sv57 */
    RL_LOW = 0x100000,    /* bytes of RAM shown at 0 */
    RL_POINTERS = 8,
};
#define RL_GLOBAL_CODE 0xffffffffc0010000ULL
#define RL_GLOBAL_DATA 0xffffffffc0020000ULL
/* Wider address spaces show the low addresses a second time here. */
#define RL_MIRROR_48 (0x55ULL << 39)
#define RL_MIRROR_57 (0xa5ULL << 48)

/* What a register is good for. */
bool rl_is_pointer(unsigned reg);
/* An address to be in a pointer: mostly data, near the ends of pages; sometimes what must fault. */
uint64_t rl_address(struct rng *r, unsigned reg, bool paged);
/* A value for f[]. */
uint64_t rl_float(struct rng *r);
/* Where code may go on. */
uint64_t rl_code_address(struct rng *r, unsigned priv, bool paged);
/* Fills code[RL_CODE_PAGES * 4096], data[RL_DATA_PAGES * 4096]. */
void rl_generate(struct rng *r, uint8_t *code, uint8_t *data);
/* The handlers: they skip four bytes behind what trapped, and nothing behind an interrupt. */
unsigned rl_handler(bool machine, uint32_t *code);
/* One leaf for the address space `space` and page `n` of: U code, S code, U data, S data, global code, global data. */
enum rl_region { RL_U_CODE, RL_SUP_CODE, RL_U_DATA, RL_SUP_DATA, RL_G_CODE, RL_G_DATA, RL_REGIONS };
uint64_t rl_leaf(struct rng *r, enum rl_region region, unsigned space, unsigned n);

#endif
