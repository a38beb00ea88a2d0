/* SPDX-License-Identifier: MIT */
/*
 * doppel's own SBI extension, for guests that know that they run on a monitor: docs/hypercalls.md is the contract.
 *
 * Its number is of the space for firmware's own: 0x0a and the implementation's ID. Spec: SBI 2.0, chapter 16
 */
#ifndef DOPPEL_MACHINE_SBI_OWN_H
#define DOPPEL_MACHINE_SBI_OWN_H

#include <stdint.h>

struct sbi;
struct riscv_cpu;

enum { SBI_IMPLEMENTATION = 0x646f70 /* "dop": none is assigned */, SBI_OWN_EID = 0x0a000000 | SBI_IMPLEMENTATION };
enum sbi_own {
    SBI_OWN_IDENTIFY,      /* -> SBI_OWN_MAGIC << 32 | version */
    SBI_OWN_CONSOLE_WRITE, /* a0: physical address, a1: bytes, at most SBI_OWN_CONSOLE_MAX -> bytes taken */
    SBI_OWN_YIELD,         /* a0 0: take what is pending; 1: enable interrupts and wait for one -> 0 */
    SBI_OWN_CLOCK,         /* -> ns of guest time since power-on */
    SBI_OWN_MMU_UPDATE,    /* a0: physical address of struct sbi_own_pte[a1], a2: bit 0: forget all translations -> a1 */
    SBI_OWN_SHARED_PAGE,   /* a0: physical address of a page of RAM; all ones: none -> 0 */
};
enum { SBI_OWN_VERSION = 1, SBI_OWN_CONSOLE_MAX = 4096, SBI_OWN_PTES_MAX = 512, SBI_OWN_FLUSH = 1 };
#define SBI_OWN_MAGIC 0x6c706f64ULL /* "dopl" */

/* The guest's layout. */
struct sbi_own_pte {
    uint64_t entry; /* physical address of a page-table entry, 8-aligned */
    uint64_t value;
    uint64_t va; /* its translation is dropped; all ones: none */
};

struct sbi_own_answer {
    int64_t error; /* as SBI calls have it: 0, or negative */
    uint64_t value;
};

/* Serves function `fid` with the arguments in a0 to a2. The vCPU's thread. */
struct sbi_own_answer sbi_own_call(struct sbi *s, struct riscv_cpu *c, uint64_t fid);

#endif
