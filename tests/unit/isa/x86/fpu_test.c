/* SPDX-License-Identifier: MIT */
/*
 * What the host cannot be asked about in user mode: the order of #UD, #NM, #MF; the XSAVE family's headers and faults; SIMD
 * exceptions without OSXMMEXCPT; encodings that mean something else outside 64-bit mode.
 */
#include "../../../support/bare_x86.h"

#include <stdlib.h>

#include "isa/x86/fpu.h"
#include "isa/x86/hostexec.h"
#include "isa/x86/step.h"
#include "isa/x86/xsave_layout.h"

enum { AREA = BARE_DATA };
#define NO_TRAP 0x100u
#define XCOMP_COMPACT (1ULL << 63)

static struct bare bare;
static struct x86_cpu *c;

static int set_up(void **state)
{
    (void)state;
    bare_init(&bare);
    bare_long(&bare);
    c = bare.c;
    c->cr4 |= CR4_OSXSAVE | CR4_OSXMMEXCPT;
    c->xcr0 = XCR0_X87 | XCR0_SSE | XCR0_AVX;
    fpu_init(&c->fpu);
    c->fpu.mxcsr = MXCSR_INIT;
    c->gpr[RBX] = AREA;
    c->gpr[RAX] = 7;
    c->gpr[RDX] = 0;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    bare_done(&bare);
    return 0;
}

/* Executes the bytes as the run loop would; the vector raised or NO_TRAP. */
static unsigned step_in(enum x86_mode mode, const char *bytes, unsigned len)
{
    struct x86_insn i;
    uint8_t buf[X86_INSN_MAX] = { 0 };
    memcpy(buf, bytes, len);
    assert_int_equal(x86_decode(buf, sizeof(buf), mode, &i), len);
    c->next_rip = c->rip + len;
    bool raised = RAISES(c, (x86_check_fpu(c, &i), i.step(c, &i)));
    return raised ? c->trap.vector : NO_TRAP;
}
#define STEP(bytes) step_in(X86_MODE_64, bytes, sizeof(bytes) - 1)

#define FADD "\xd8\xc1"
#define FNCLEX "\xdb\xe2"
#define FWAIT "\x9b"
#define PADDB_MMX "\x0f\xfc\xc1"
#define PADDB "\x66\x0f\xfc\xc1"
#define ADDSD "\xf2\x0f\x58\xc1"
#define VPADDB "\xc5\xf1\xfc\xc1"
#define ANDN "\xc4\xe2\x70\xf2\xc1"
#define XSAVE "\x0f\xae\x23"
#define XSAVEC "\x0f\xc7\x23"
#define XRSTOR "\x0f\xae\x2b"
#define FXSAVE64 "\x48\x0f\xae\x03"
#define FXRSTOR64 "\x48\x0f\xae\x0b"

static void pending(void)
{
    c->fpu.fcw = FCW_INIT & ~1;
    c->fpu.fsw = 1;
    fpu_update_es(&c->fpu);
}

static void x87_needs_em_and_ts_clear_and_nothing_pending(void **state)
{
    (void)state;
    assert_int_equal(STEP(FADD), NO_TRAP);
    pending();
    assert_int_equal(STEP(FADD), X86_MF);
    assert_int_equal(STEP(FWAIT), X86_MF);
    assert_int_equal(STEP(PADDB_MMX), X86_MF);
    assert_int_equal(STEP(FNCLEX), NO_TRAP);
    assert_int_equal(STEP(FWAIT), NO_TRAP);
    pending();
    c->cr0 |= CR0_TS;
    assert_int_equal(STEP(FADD), X86_NM);
    assert_int_equal(STEP(FNCLEX), X86_NM);
    c->cr0 = (c->cr0 & ~(uint64_t)CR0_TS) | CR0_EM;
    assert_int_equal(STEP(FADD), X86_NM);
}

static void fwait_traps_only_with_mp_and_ts(void **state)
{
    (void)state;
    c->cr0 = (c->cr0 & ~(uint64_t)CR0_MP) | CR0_TS;
    assert_int_equal(STEP(FWAIT), NO_TRAP);
    c->cr0 |= CR0_MP;
    assert_int_equal(STEP(FWAIT), X86_NM);
}

static void sse_and_mmx_are_undefined_under_em_before_ts(void **state)
{
    (void)state;
    c->cr0 |= CR0_TS;
    assert_int_equal(STEP(PADDB), X86_NM);
    assert_int_equal(STEP(PADDB_MMX), X86_NM);
    c->cr0 |= CR0_EM;
    assert_int_equal(STEP(PADDB), X86_UD);
    assert_int_equal(STEP(PADDB_MMX), X86_UD);
    c->cr0 &= ~(uint64_t)CR0_EM;
    c->cr4 &= ~(uint64_t)CR4_OSFXSR;
    assert_int_equal(STEP(PADDB), X86_UD);
    assert_int_equal(STEP(PADDB_MMX), X86_NM);
}

static void avx_needs_osxsave_and_its_xcr0_bits_but_not_osfxsr(void **state)
{
    (void)state;
    c->cr4 &= ~(uint64_t)CR4_OSFXSR;
    c->cr0 |= CR0_EM;
    assert_int_equal(STEP(VPADDB), NO_TRAP);
    c->cr0 |= CR0_TS;
    assert_int_equal(STEP(VPADDB), X86_NM);
    c->xcr0 &= ~(uint64_t)XCR0_AVX;
    assert_int_equal(STEP(VPADDB), X86_UD);
    c->xcr0 |= XCR0_AVX;
    c->cr4 &= ~(uint64_t)CR4_OSXSAVE;
    assert_int_equal(STEP(VPADDB), X86_UD);
    assert_int_equal(STEP(ANDN), NO_TRAP); /* general registers only */
}

static void unmasked_simd_exception_is_ud_without_osxmmexcpt(void **state)
{
    static const uint8_t signalling_nan[8] = { 1, 0, 0, 0, 0, 0, 0xf4, 0x7f };
    uint8_t before[64];
    (void)state;
    assert_int_equal(hostexec_init(NULL), 0); /* cmocka has put its own handlers there */
    memcpy(c->fpu.zmm[1], signalling_nan, 8);
    memcpy(before, c->fpu.zmm[0], 64);
    c->fpu.mxcsr = MXCSR_INIT & ~0x80u;
    assert_int_equal(STEP(ADDSD), X86_XM);
    assert_int_equal(c->fpu.mxcsr, (MXCSR_INIT & ~0x80u) | 1);
    assert_memory_equal(c->fpu.zmm[0], before, 64);
    c->cr4 &= ~(uint64_t)CR4_OSXMMEXCPT;
    assert_int_equal(STEP(ADDSD), X86_UD);
}

/* Outside 64-bit mode VEX.B and the top bit of vvvv are ignored. */
static void vex_in_32_bit_mode_sees_eight_registers(void **state)
{
    (void)state;
    for (unsigned n = 0; n < 16; n++)
        memset(c->fpu.zmm[n], (int)n, 64);
    c->mode = X86_MODE_32;
    /* vpaddb xmm0, xmm1, xmm2 with B and vvvv[3] clear (inverted: set) */
    assert_int_equal(step_in(X86_MODE_32, "\xc4\xc1\x31\xfc\xc2", 5), NO_TRAP);
    assert_int_equal(c->fpu.zmm[0][0], 1 + 2);
}

static void xsave_then_xrstor_gives_the_state_back(void **state)
{
    (void)state;
    for (unsigned n = 0; n < 16; n++)
        for (unsigned m = 0; m < 32; m++)
            c->fpu.zmm[n][m] = (uint8_t)(n * 32 + m + 1);
    c->fpu.st[3][5] = 0x77;
    c->fpu.mxcsr = 0x3f80;
    c->fpu.fip = 0x123456789abcULL;
    struct x86_fpu saved = c->fpu;
    assert_int_equal(step_in(X86_MODE_64, "\x48\x0f\xae\x23", 4), NO_TRAP);
    memset(c->fpu.zmm, 0xee, sizeof(c->fpu.zmm));
    memset(saved.zmm[16], 0xee, sizeof(saved.zmm[16]) * 16);
    for (unsigned n = 0; n < 16; n++)
        memset(saved.zmm[n] + 32, 0xee, 32); /* not a part of the enabled components */
    c->fpu.mxcsr = MXCSR_INIT;
    c->fpu.st[3][5] = 0;
    c->fpu.fip = 0;
    assert_int_equal(step_in(X86_MODE_64, "\x48\x0f\xae\x2b", 4), NO_TRAP);
    assert_memory_equal(&c->fpu, &saved, sizeof(saved));
}

static void xsave_keeps_header_bits_and_bytes_that_are_not_asked_for(void **state)
{
    (void)state;
    bare_poke64(&bare, AREA + XSAVE_HEADER, 4);
    bare_poke64(&bare, AREA + XSAVE_HEADER + 8, 0x1122);
    bare_poke64(&bare, AREA + XSAVE_EXTENDED, 0x3344);
    c->gpr[RAX] = 3;
    c->fpu.zmm[0][0] = 1;
    assert_int_equal(STEP(XSAVE), NO_TRAP);
    assert_int_equal(bare_peek64(&bare, AREA + XSAVE_HEADER), 4 | 2); /* x87 is initial, SSE in use */
    assert_int_equal(bare_peek64(&bare, AREA + XSAVE_HEADER + 8), 0x1122);
    assert_int_equal(bare_peek64(&bare, AREA + XSAVE_EXTENDED), 0x3344);
}

static void xsavec_writes_a_compact_header_and_only_what_is_in_use(void **state)
{
    (void)state;
    bare_poke64(&bare, AREA + 160, 0x5566);
    c->fpu.zmm[2][16] = 9; /* AVX only */
    assert_int_equal(STEP(XSAVEC), NO_TRAP);
    assert_int_equal(bare_peek64(&bare, AREA + XSAVE_HEADER), 4);
    assert_int_equal(bare_peek64(&bare, AREA + XSAVE_HEADER + 8), XCOMP_COMPACT | 7);
    assert_int_equal(bare_peek64(&bare, AREA + 160), 0x5566);
    assert_int_equal(bare_peek64(&bare, AREA + XSAVE_EXTENDED + 32), 9);
    c->fpu.mxcsr = 0x3f80; /* counts as SSE in use */
    assert_int_equal(STEP(XSAVEC), NO_TRAP);
    assert_int_equal(bare_peek64(&bare, AREA + XSAVE_HEADER), 4 | 2);
}

/* docs/decisions/0007 */
static void fop_and_fdp_are_of_unmasked_exceptions_only(void **state)
{
    (void)state;
    bare_poke64(&bare, AREA, 0);
    c->fpu.fop = 0x123;
    c->fpu.fdp = 0x456;
    c->rip = 0x1000;
    assert_int_equal(STEP("\xd9\xe8"), NO_TRAP); /* fld1 */
    c->rip = 0x1002;
    assert_int_equal(STEP("\xd8\x33"), NO_TRAP); /* fdiv dword [rbx]: by zero */
    assert_int_equal(c->fpu.fip, 0x1002);
    assert_int_equal(c->fpu.fop, 0x123);
    assert_int_equal(c->fpu.fdp, 0x456);
    assert_int_equal(STEP(FNCLEX), NO_TRAP);
    c->fpu.fcw &= (uint16_t)~4; /* ZM */
    c->rip = 0x2000;
    assert_int_equal(STEP("\xd9\xe8"), NO_TRAP);
    assert_int_equal(c->fpu.fop, 0x123);
    assert_int_equal(STEP("\xd8\x33"), NO_TRAP);
    assert_int_equal(c->fpu.fip, 0x2000);
    assert_int_equal(c->fpu.fop, 0x033);
    assert_int_equal(c->fpu.fdp, AREA);
    assert_int_equal(STEP(FADD), X86_MF);
}

static void xrstor_refuses_bad_headers_and_changes_nothing(void **state)
{
    struct x86_fpu before = c->fpu;
    static const struct {
        unsigned at;
        uint64_t v;
    } bad[] = {
        { XSAVE_HEADER, 1ULL << 5 },                  /* not enabled in XCR0 */
        { XSAVE_HEADER + 8, 1 },                      /* standard form: must be 0 */
        { XSAVE_HEADER + 16, 1 },                     /* reserved */
        { XSAVE_HEADER + 8, XCOMP_COMPACT | 1 << 5 }, /* compacted: not enabled */
        { 24, 1 << 16 },                              /* MXCSR reserved bit */
    };
    (void)state;
    for (unsigned n = 0; n < sizeof(bad) / sizeof(bad[0]); n++) {
        bare_poke64(&bare, AREA + bad[n].at, bad[n].v);
        assert_int_equal(STEP(XRSTOR), X86_GP);
        assert_int_equal(c->trap.error, 0);
        assert_memory_equal(&c->fpu, &before, sizeof(before));
        bare_poke64(&bare, AREA + bad[n].at, 0);
    }
    assert_int_equal(STEP(XRSTOR), NO_TRAP);
}

static void xrstor_initialises_what_xstate_bv_leaves_out(void **state)
{
    (void)state;
    memset(c->fpu.zmm[5], 1, 64);
    c->fpu.st[0][0] = 1;
    c->gpr[RAX] = 5; /* x87 and AVX */
    assert_int_equal(STEP(XRSTOR), NO_TRAP);
    assert_int_equal(c->fpu.zmm[5][15], 1);
    assert_int_equal(c->fpu.zmm[5][16], 0);
    assert_int_equal(c->fpu.zmm[5][31], 0);
    assert_int_equal(c->fpu.zmm[5][32], 1);
    assert_int_equal(c->fpu.st[0][0], 0);
    assert_int_equal(c->fpu.fcw, FCW_INIT);
    assert_int_equal(c->fpu.mxcsr, 0); /* of the area: AVX was asked for in the standard form */
}

static void areas_must_be_aligned_and_enabled(void **state)
{
    (void)state;
    c->gpr[RBX] = AREA + 32;
    assert_int_equal(STEP(XSAVE), X86_GP);
    assert_int_equal(STEP(FXSAVE64), NO_TRAP);
    c->gpr[RBX] = AREA + 8;
    assert_int_equal(STEP(FXSAVE64), X86_GP);
    c->cr0 |= CR0_TS;
    assert_int_equal(STEP(FXRSTOR64), X86_NM);
    assert_int_equal(STEP(XSAVE), X86_NM);
    c->cr4 &= ~(uint64_t)CR4_OSXSAVE;
    assert_int_equal(STEP(XSAVE), X86_UD);
}

int main(void)
{
#define LAW(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        LAW(x87_needs_em_and_ts_clear_and_nothing_pending),
        LAW(fwait_traps_only_with_mp_and_ts),
        LAW(sse_and_mmx_are_undefined_under_em_before_ts),
        LAW(avx_needs_osxsave_and_its_xcr0_bits_but_not_osfxsr),
        LAW(unmasked_simd_exception_is_ud_without_osxmmexcpt),
        LAW(vex_in_32_bit_mode_sees_eight_registers),
        LAW(xsave_then_xrstor_gives_the_state_back),
        LAW(xsave_keeps_header_bits_and_bytes_that_are_not_asked_for),
        LAW(xsavec_writes_a_compact_header_and_only_what_is_in_use),
        LAW(fop_and_fdp_are_of_unmasked_exceptions_only),
        LAW(xrstor_refuses_bad_headers_and_changes_nothing),
        LAW(xrstor_initialises_what_xstate_bv_leaves_out),
        LAW(areas_must_be_aligned_and_enabled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
