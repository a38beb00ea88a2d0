/* SPDX-License-Identifier: MIT */
/*
 * Light calls from translated code: C that leaves the guest's vector registers where they are.
 */
#ifndef DOPPEL_ISA_X86_TRANSLATE_LIGHT_H
#define DOPPEL_ISA_X86_TRANSLATE_LIGHT_H

#include "isa/x86/translate.h"

/* How it goes on; the general registers are in the CPU state until then. */
enum x86_light {
    X86_LIGHT_GO_ON,    /* behind the instruction */
    X86_LIGHT_LEAVE,    /* in the run loop, at frame.rip */
    X86_LIGHT_CALL_OUT, /* with a call-out of the instruction, which is not done, or of what is left of it */
    X86_LIGHT_GO_TO,    /* in translated code: by the stub at frame.tmp to frame.rip */
};

/* Whether the instruction is one for x86_light_call(). */
bool x86_is_light(const struct x86_insn *i);
/* Executes the instruction at frame.insn_off; the general registers and frame.flags are saved. */
enum x86_light x86_light_call(struct x86_frame *f, const struct x86_insn *i);

#endif
