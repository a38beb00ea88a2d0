/* SPDX-License-Identifier: MIT */
/*
 * The normal form of an innocuous instruction: its bytes with the memory operand as [rsi] and the general register as rax,
 * fit to be run by the host in 64-bit mode; and what it touches beside its listed operands.
 * Spec: SDM 2A 2.1 (legacy, REX), 2.3 (VEX), 2.7 (EVEX)
 */
#ifndef DOPPEL_ISA_X86_HOST_FORM_H
#define DOPPEL_ISA_X86_HOST_FORM_H

#include "isa/x86/decode.h"

enum { HOST_FORM_MAX = 14, HOST_NO_GPR = 0xff };
enum host_map { HOST_MAP_1, HOST_MAP_0F, HOST_MAP_0F38, HOST_MAP_0F3A };

struct host_form {
    uint8_t bytes[HOST_FORM_MAX]; /* zero beyond len */
    uint8_t len;
    uint8_t gpr; /* guest number of the explicit general register, which became rax; HOST_NO_GPR without one */
    uint8_t map; /* enum host_map */
    uint8_t opcode;
    bool mem; /* has a memory operand */
};

/* Never fails for an instruction x86_decode() made of a ROW_HOST row without VSIB. False: the bytes do not fit (a bug). */
bool host_form_make(const struct x86_insn *i, enum x86_mode mode, struct host_form *ret_form);

/* Registers an instruction uses without naming them. */
struct host_implicit {
    bool xmm0_read, xmm0_written; /* BLENDV*, SHA256RNDS2; PCMPxSTRM */
    bool rax_rdx_read;            /* PCMPESTRx: lengths */
    bool rcx_written;             /* PCMPxSTRI: index */
};
struct host_implicit host_form_implicit(const struct host_form *f, const struct x86_insn *i);

#endif
