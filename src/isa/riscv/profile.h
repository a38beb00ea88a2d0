/* SPDX-License-Identifier: MIT */
/*
 * RISC-V CPU models: which extensions a hart offers, and how long its vector registers are.
 */
#ifndef DOPPEL_ISA_RISCV_PROFILE_H
#define DOPPEL_ISA_RISCV_PROFILE_H

#include <stddef.h>

#include "core/types.h"

enum riscv_ext {
#define X(name, text) RISCV_EXT_##name,
#include "isa/riscv/features.def"
#undef X
    RISCV_EXT_NR
};

enum {
    RISCV_CBO_BLOCK = 64, /* bytes that cbo.* and prefetch.* act on */
    RISCV_VLEN_MIN = 128, /* bits of a vector register */
    RISCV_VLEN_MAX = 512,
};

struct riscv_profile {
    bool has[RISCV_EXT_NR];
    uint16_t vlen; /* bits of a vector register: 128, 256, 512 */
};

/* "rv64": all there is but vectors. Static. */
const struct riscv_profile *riscv_profile_default(void);
/* "max": with vectors, VLEN 128. Static. */
const struct riscv_profile *riscv_profile_max(void);
/* The model that text names: "rv64", "rv64gc" (IMAFDC, Zicsr, Zifencei, Zicntr, Sstc and Sv48), "max" (all there is, VLEN 128);
 * then, behind commas, what differs: EXT=on|off (or true|false; +EXT, -EXT) and vlen=128|256|512. What an extension needs comes
 * with it, and goes with what it needs. -EINVAL; the message says what there is. */
MUST_CHECK int riscv_profile_make(const char *text, struct riscv_profile *ret_profile, struct error *err);
/* The extension as it is written in an ISA string: "i", "zicbom". Static. */
const char *riscv_ext_name(enum riscv_ext ext);
/* Whether ISA strings have it; those that they lack are told by other means (mmu-type). */
bool riscv_ext_in_isa(enum riscv_ext ext);
/* The widest virtual addresses: 39, 48 or 57 bits; narrower ones are offered, too. A hart with Sv57 has Sv48. Spec: volume
 * II 12.5, 12.6 */
unsigned riscv_profile_va_bits(const struct riscv_profile *profile);
/* The ISA string as device trees have it: "rv64imafdc_zicbom_..."; cut to cap. Returns its whole length. */
size_t riscv_profile_isa(const struct riscv_profile *profile, char *text, size_t cap);
/* misa: MXL 64 and the single letters, S and U. Spec: volume II 3.1.1 */
uint64_t riscv_profile_misa(const struct riscv_profile *profile);

#endif
