/* SPDX-License-Identifier: MIT */
/*
 * The names of control and status registers: see csrs.h.
 */
#include "classify/riscv/csrs.h"

#include "base/checked.h"

const struct riscv_csrs riscv_csrs[] = {
    { "fflags", 0x001, 1, 1 },
    { "frm", 0x002, 1, 1 },
    { "fcsr", 0x003, 1, 1 },
    { "sstatus", 0x100, 1, 1 },
    { "sie", 0x104, 1, 1 },
    { "stvec", 0x105, 1, 1 },
    { "scounteren", 0x106, 1, 1 },
    { "senvcfg", 0x10a, 1, 1 },
    { "sscratch", 0x140, 1, 1 },
    { "sepc", 0x141, 1, 1 },
    { "scause", 0x142, 1, 1 },
    { "stval", 0x143, 1, 1 },
    { "sip", 0x144, 1, 1 },
    { "stimecmp", 0x14d, 1, 1 },
    { "satp", 0x180, 1, 1 },
    { "mstatus", 0x300, 1, 1 },
    { "misa", 0x301, 1, 1 },
    { "medeleg", 0x302, 1, 1 },
    { "mideleg", 0x303, 1, 1 },
    { "mie", 0x304, 1, 1 },
    { "mtvec", 0x305, 1, 1 },
    { "mcounteren", 0x306, 1, 1 },
    { "menvcfg", 0x30a, 1, 1 },
    { "mcountinhibit", 0x320, 1, 1 },
    { "mhpmevent3..31", 0x323, 29, 1 },
    { "mscratch", 0x340, 1, 1 },
    { "mepc", 0x341, 1, 1 },
    { "mcause", 0x342, 1, 1 },
    { "mtval", 0x343, 1, 1 },
    { "mip", 0x344, 1, 1 },
    { "pmpcfg0..14", 0x3a0, 8, 2 },
    { "pmpaddr0..63", 0x3b0, 64, 1 },
    { "tselect", 0x7a0, 1, 1 },
    { "tdata1..3", 0x7a1, 3, 1 },
    { "mcycle", 0xb00, 1, 1 },
    { "minstret", 0xb02, 1, 1 },
    { "mhpmcounter3..31", 0xb03, 29, 1 },
    { "cycle", 0xc00, 1, 1 },
    { "time", 0xc01, 1, 1 },
    { "instret", 0xc02, 1, 1 },
    { "hpmcounter3..31", 0xc03, 29, 1 },
    { "mvendorid", 0xf11, 1, 1 },
    { "marchid", 0xf12, 1, 1 },
    { "mimpid", 0xf13, 1, 1 },
    { "mhartid", 0xf14, 1, 1 },
    { "mconfigptr", 0xf15, 1, 1 },
};
const unsigned riscv_nr_csrs = ARRAY_SIZE(riscv_csrs);
