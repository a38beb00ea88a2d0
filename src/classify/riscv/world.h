/* SPDX-License-Identifier: MIT */
/*
 * The small machine that experiments on RISC-V are made on: a reference hart below a firmware that answers environment calls, a
 * program's memory, and page tables.
 *
 * Two worlds of different layout hold the same program at the same virtual addresses, one through Sv39, the other through Sv48
 * and in other physical pages. With paging off the program's addresses are physical ones. A state is complete: to run from it
 * twice gives the same outcome. Nothing is fetched: an instruction's step function is called.
 *
 * States are aligned to 64 bytes. One thread. Not for a guest: nothing here is hostile.
 */
#ifndef DOPPEL_CLASSIFY_RISCV_WORLD_H
#define DOPPEL_CLASSIFY_RISCV_WORLD_H

#include "classify/experiment.h"
#include "core/vcpu.h"
#include "core/vm.h"
#include "isa/riscv/decode.h"

/* Addresses of the program, in every world. With paging the pages around them are not mapped. */
enum {
    WORLD_CODE = 0x400000,
    WORLD_PC = WORLD_CODE + 0x100,
    WORLD_HANDLER = WORLD_CODE + 0x800,
    WORLD_DATA = 0x500000,
    WORLD_STACK = WORLD_DATA + 0xc00, /* to the page's end */
    WORLD_CODE_SIZE = 4,              /* at WORLD_PC; its page can be read and executed */
    WORLD_DATA_SIZE = 0x1000,
};

struct riscv_world_program {
    uint8_t code[8], data[WORLD_DATA_SIZE]; /* code: padded */
};

/* The world outside the hart: resources. */
struct riscv_world_devices {
    uint64_t time;               /* ticks of the time CSR */
    uint64_t calls, last, value; /* of the firmware: how many, the last one's a7, what the next one answers */
};

struct riscv_world_state {
    struct riscv_cpu cpu; /* what is above "derived" there; the rest is the world's own */
    struct riscv_world_program program;
    struct riscv_world_devices devices;
};

enum riscv_world_paging { WORLD_BARE, WORLD_PAGED };

struct riscv_world {
    struct vm vm;
    struct vcpu vcpu;
    struct riscv_world_devices devices;
    struct riscv_cpu fresh;       /* as firmware leaves it, with the monitor's setting */
    unsigned layout;              /* 0 or 1 */
    uint64_t satp;                /* of its page tables */
    uint64_t seen_satp, seen_mxr; /* that the TLB's entries are for */
};

/* open: the monitor lets user mode have what scounteren and senvcfg can. -ENOMEM. Half-made worlds may be given to
 * riscv_world_done(). */
MUST_CHECK int riscv_world_init(struct riscv_world *w, unsigned layout, bool open, struct error *err);
void riscv_world_done(struct riscv_world *w);

/* How a state begins: S- or U-mode, floating point on, SUM set (so that both modes reach the program's memory), registers and
 * program memory 0. */
void riscv_world_begin(const struct riscv_world *w, enum riscv_priv priv, enum riscv_world_paging paging,
                       struct riscv_world_state *ret_state);
/* Executes the instruction; ret_state is written when it did not trap. */
void riscv_world_run(struct riscv_world *w, const struct riscv_insn *i, const struct riscv_world_state *from,
                     struct experiment_outcome *ret_outcome, struct riscv_world_state *ret_state);

#endif
