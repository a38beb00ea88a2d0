/* SPDX-License-Identifier: MIT */
/*
 * Text of decoded instructions for logs and traces, in Intel syntax.
 */
#ifndef DOPPEL_ISA_X86_DISASM_H
#define DOPPEL_ISA_X86_DISASM_H

#include "isa/x86/decode.h"

/* Bytes that hold any instruction's text. */
enum { X86_DISASM_MAX = 160 };

/*
 * Writes insn's text into text[0..cap), always terminated, cut off if it does not fit. rip is the instruction's own address:
 * branch targets and RIP-relative operands are shown as absolute addresses. Implicit operands are not shown.
 */
void x86_disasm(const struct x86_insn *insn, gva_t rip, char *text, unsigned cap);

#endif
