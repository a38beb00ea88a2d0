/* SPDX-License-Identifier: MIT */
/*
 * One instruction decoded by doppel and by Zydis, and what differs.
 *
 * Zydis is the oracle: an independent decoder made from Intel's own tables. Where it decodes an extension that no doppel CPU
 * model offers, #UD from us is right (ZC_NOT_OFFERED). Where it differs from real processors, a line in the table of exceptions
 * says so (ZC_EXCEPTION). Not thread-safe: one struct zc a thread.
 */
#ifndef DOPPEL_TESTS_DIFF_ZYDIS_COMPARE_H
#define DOPPEL_TESTS_DIFF_ZYDIS_COMPARE_H

#include <Zydis/Zydis.h>

#include "isa/x86/decode.h"

enum { ZC_BYTES = 16 }; /* bytes of a case: one more than an instruction can have, so that "too long" is seen */

enum zc_verdict {
    ZC_EQUAL,        /* both decode it, to the same */
    ZC_BOTH_INVALID, /* neither does */
    ZC_NOT_OFFERED,  /* Zydis decodes an extension that doppel has not; we say #UD */
    ZC_EXCEPTION,    /* differ as a line in the table of exceptions expects */
    ZC_MISMATCH,
};

struct zc {
    ZydisDecoder decoder[3]; /* by enum x86_mode */
    /* the last case */
    const uint8_t *bytes; /* borrowed: the caller's, for the call and its report */
    enum x86_mode mode;
    int len; /* ours, or X86_DECODE_* */
    struct x86_insn insn;
    bool z_valid;
    ZydisDecodedInstruction zi;
    ZydisDecodedOperand zo[ZYDIS_MAX_OPERAND_COUNT];
    char why[160];      /* of a mismatch */
    unsigned exception; /* index of the exception that applied */
};

/* Prepares the decoders. */
void zc_init(struct zc *z);
/* Decodes bytes[0..ZC_BYTES) both ways and compares. */
enum zc_verdict zc_compare(struct zc *z, const uint8_t *bytes, enum x86_mode mode);
/* The exceptions' reasons: NULL past the last. */
const char *zc_exception_reason(unsigned n);
/* Prints the last case in full on one line, with `why`. */
void zc_print_case(const struct zc *z);

#endif
