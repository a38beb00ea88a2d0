/* SPDX-License-Identifier: MIT */
/*
 * Rules of the x87 and SIMD state that the step functions for it share.
 */
#ifndef DOPPEL_ISA_X86_FPU_H
#define DOPPEL_ISA_X86_FPU_H

#include "isa/x86/state.h"

/* Spec: SDM 1 8.1.3 to 8.1.8 */
enum {
    FSW_EXC = 0x3f, /* IE DE ZE OE UE PE */
    FSW_PE = 0x20,
    FSW_SF = 0x40,
    FSW_ES = 0x80,
    FSW_TOP_SHIFT = 11,
    FSW_B = 0x8000,
    FCW_INIT = 0x37f,
    FCW_RESERVED_ONE = 0x40, /* reads as 1 */
    FCW_VALID = 0x1f3f,
    FCW_MASKS = 0x3f,
    FOP_VALID = 0x7ff,
};
/* Spec: SDM 1 10.2.3 */
enum { MXCSR_INIT = 0x1f80, MXCSR_VALID = 0xffff };

/* Unmasked x87 exceptions are pending: the next waiting instruction raises #MF. */
static inline bool fpu_pending(const struct x86_fpu *f)
{
    return f->fsw & ~f->fcw & FSW_EXC;
}

/* What the control word keeps of a value loaded into it. */
static inline uint16_t fpu_fcw_value(uint16_t v)
{
    return (uint16_t)((v & FCW_VALID) | FCW_RESERVED_ONE);
}

/* Makes ES and B of the status word agree with the flags and masks, after either was loaded. */
static inline void fpu_update_es(struct x86_fpu *f)
{
    f->fsw = fpu_pending(f) ? f->fsw | FSW_ES | FSW_B : f->fsw & (uint16_t) ~(FSW_ES | FSW_B);
}

static inline unsigned fpu_top(const struct x86_fpu *f)
{
    return f->fsw >> FSW_TOP_SHIFT & 7;
}

/* The control registers as FNINIT leaves them; st[] is in stack order, so fpu_set_top(f, 0) comes before. */
static inline void fpu_init(struct x86_fpu *f)
{
    f->fcw = FCW_INIT;
    f->fsw = 0;
    f->ftw = 0;
    f->fop = 0;
    f->fip = f->fdp = 0;
}

/* The tag word with two bits a physical register (valid, zero, special, empty), made from the abridged one and the values.
 * Spec: SDM 1 8.1.7, figure 8-7 */
uint16_t fpu_tags_full(const struct x86_fpu *f);
/* And back: a register is empty or not. */
uint8_t fpu_tags_abridge(uint16_t full);
/* Makes physical register `top` the top of the stack; st[], which is in stack order, turns so that no register changes. */
void fpu_set_top(struct x86_fpu *f, unsigned top);
/* What any MMX instruction but EMMS does first: the top becomes physical register 0 (so that st[n] is mmn), and all registers are
 * in use. Spec: SDM 1 9.5 */
void fpu_enter_mmx(struct x86_fpu *f);

#endif
