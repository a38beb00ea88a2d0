/* SPDX-License-Identifier: MIT */
/*
 * Decoded blocks of RISC-V code that engine `bt` executes a few times before it translates them.
 *
 * A block lies in one page and is found by the host address of its first byte. Nothing is marked in guest memory: a block's bytes
 * are compared each time it is asked for, so that what was written before is seen. Owned and used by the vCPU's thread.
 */
#ifndef DOPPEL_ISA_RISCV_BLOCK_H
#define DOPPEL_ISA_RISCV_BLOCK_H

#include "isa/riscv/decode.h"

struct riscv_block {
    const uint8_t *host;         /* borrowed: guest memory */
    struct riscv_block *next[2]; /* what was asked for behind it last: that follows it in memory, that does not; NULL: none */
    uint16_t len;                /* bytes, at least 2 */
    uint8_t nr;                  /* instructions, at least 1 */
    bool branch;                 /* the last is a conditional branch */
    struct riscv_insn insn[];
};

struct riscv_blocks;

/* NULL when out of memory. */
struct riscv_blocks *riscv_blocks_new(void);
void riscv_blocks_free(struct riscv_blocks *b);
/* Forgets all. */
void riscv_blocks_drop(struct riscv_blocks *b);
/* The block at `host`, true to what is there now; at most to the end of the page. NULL: its first instruction reaches into the
 * next one. Valid until the next call. */
const struct riscv_block *riscv_blocks_get(struct riscv_blocks *b, const uint8_t *host, const struct riscv_profile *profile);
/* Instructions decoded so far. */
uint64_t riscv_blocks_decoded(const struct riscv_blocks *b);

#endif
