/* SPDX-License-Identifier: MIT */
/*
 * Rules of the x87 and SIMD state: when its instructions are allowed, tag words.
 *
 * Spec: SDM 1 8.1.7; SDM 2A 2.4 to 2.8 (exception types); SDM 3A 2.5, 13.1; SDM 3A table 12-1 for MMX
 */
#include "isa/x86/fpu.h"

#include <string.h>

#include "isa/x86/step.h"

enum { TAG_VALID, TAG_ZERO, TAG_SPECIAL, TAG_EMPTY };

static void check_vex(struct x86_cpu *c, uint32_t flags)
{
    uint64_t need = XCR0_SSE | XCR0_AVX;

    if (!(c->cr0 & CR0_PE) || (c->rflags & FLAG_VM))
        x86_raise(c, X86_UD);
    if (flags & ROW_XCR_GPR)
        return;
    if (flags & ROW_AVX512)
        need |= XCR0_OPMASK | XCR0_ZMM_HI256 | XCR0_HI16_ZMM;
    if (!(c->cr4 & CR4_OSXSAVE) || (c->xcr0 & need) != need)
        x86_raise(c, X86_UD);
}

void x86_check_fpu(struct x86_cpu *c, const struct x86_insn *i)
{
    const uint32_t all = ROW_X87 | ROW_MMX | ROW_SSE | ROW_AVX | ROW_AVX512;
    uint32_t flags = x86_rows[i->row].flags;

    if (flags & (ROW_AVX | ROW_AVX512 | ROW_XCR_GPR))
        check_vex(c, flags);
    if (!(flags & all))
        return;
    if (!(flags & (ROW_AVX | ROW_AVX512 | ROW_X87)) && (c->cr0 & CR0_EM))
        x86_raise(c, X86_UD);
    if ((flags & ROW_SSE) && !(c->cr4 & CR4_OSFXSR))
        x86_raise(c, X86_UD);
    if ((c->cr0 & CR0_TS) || ((flags & ROW_X87) && (c->cr0 & CR0_EM)))
        x86_raise(c, X86_NM);
    /* With CR0.NE clear a PC would raise IRQ 13 through FERR#; this machine has no such wire, and raises #MF either way. */
    if ((flags & (ROW_X87 | ROW_MMX)) && !(flags & ROW_NOWAIT) && fpu_pending(&c->fpu))
        x86_raise(c, X86_MF);
}

static unsigned tag_of(const uint8_t *reg)
{
    uint64_t significand;
    uint16_t exponent;
    memcpy(&significand, reg, 8);
    memcpy(&exponent, reg + 8, 2);
    exponent &= 0x7fff;
    if (exponent == 0)
        return significand ? TAG_SPECIAL : TAG_ZERO;
    return exponent == 0x7fff || !(significand >> 63) ? TAG_SPECIAL : TAG_VALID;
}

uint16_t fpu_tags_full(const struct x86_fpu *f)
{
    unsigned tags = 0;
    for (unsigned n = 0; n < 8; n++) {
        unsigned tag = f->ftw >> n & 1 ? tag_of(f->st[(n - fpu_top(f)) & 7]) : TAG_EMPTY;
        tags |= tag << (2 * n);
    }
    return (uint16_t)tags;
}

uint8_t fpu_tags_abridge(uint16_t full)
{
    unsigned tags = 0;
    for (unsigned n = 0; n < 8; n++)
        tags |= (unsigned)((full >> (2 * n) & 3) != TAG_EMPTY) << n;
    return (uint8_t)tags;
}

void fpu_set_top(struct x86_fpu *f, unsigned top)
{
    uint8_t st[8][16];
    unsigned turn = top - fpu_top(f);

    memcpy(st, f->st, sizeof(st));
    for (unsigned n = 0; n < 8; n++)
        memcpy(f->st[n], st[(n + turn) & 7], sizeof(st[n]));
    f->fsw = (uint16_t)((f->fsw & ~(7 << FSW_TOP_SHIFT)) | top << FSW_TOP_SHIFT);
}

void fpu_enter_mmx(struct x86_fpu *f)
{
    fpu_set_top(f, 0);
    f->ftw = 0xff;
}
