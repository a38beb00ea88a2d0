/* SPDX-License-Identifier: MIT */
/*
 * Where the state components lie in an XSAVE area: what CPUID leaf 0xd reports and the XSAVE instructions write.
 *
 * Spec: SDM 1 13.4 and 13.5; the offsets of the standard form are those of Intel's server processors.
 */
#ifndef DOPPEL_ISA_X86_XSAVE_LAYOUT_H
#define DOPPEL_ISA_X86_XSAVE_LAYOUT_H

#include <stdint.h>

/* Components, by their bit in XCR0. */
enum { XSAVE_X87 = 0, XSAVE_SSE = 1, XSAVE_AVX = 2, XSAVE_OPMASK = 5, XSAVE_ZMM_HI256 = 6, XSAVE_HI16_ZMM = 7 };
enum { XSAVE_COMPONENTS = 8 };

enum {
    XSAVE_LEGACY_SIZE = 512, /* the FXSAVE image: components 0 and 1 */
    XSAVE_HEADER = 512,      /* offset of the header: XSTATE_BV, XCOMP_BV */
    XSAVE_HEADER_SIZE = 64,
    XSAVE_EXTENDED = 576, /* where the extended region starts; in the compacted form component follows component */
    XSAVE_MAX_SIZE = 2688,
};

/* Place and size in bytes of the extended components in the standard form; size 0: no such component (or a legacy one). None
 * asks for 64-byte alignment in the compacted form. */
static const struct {
    uint16_t offset, size;
} xsave_component[XSAVE_COMPONENTS] = {
    [XSAVE_AVX] = { 576, 256 },
    [XSAVE_OPMASK] = { 1088, 64 },
    [XSAVE_ZMM_HI256] = { 1152, 512 },
    [XSAVE_HI16_ZMM] = { 1664, 1024 },
};

#endif
