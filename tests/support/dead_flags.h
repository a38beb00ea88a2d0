/* SPDX-License-Identifier: MIT */
/*
 * Where arithmetic flags do not matter: `bt` may have them wrong there (docs/decisions/0006).
 */
#ifndef DOPPEL_TESTS_DEAD_FLAGS_H
#define DOPPEL_TESTS_DEAD_FLAGS_H

#include "isa/x86/decode.h"
#include "isa/x86/mmu.h"

/* Decodes the instruction at linear rip, without side effects; false when there is none. */
static inline bool decode_at(const struct x86_cpu *c, gva_t rip, struct x86_insn *ret_insn)
{
    uint8_t bytes[X86_INSN_MAX];
    unsigned n = 0;
    for (gpa_t gpa; n < X86_INSN_MAX && x86_translate_quiet(c, rip + n, &gpa); n++) {
        const uint8_t *p = gmem_pin(c->gmem, gpa, 1);
        if (!p)
            break;
        bytes[n] = *p;
    }
    return n && x86_decode(bytes, n, (enum x86_mode)c->mode, ret_insn) > 0;
}

/* The arithmetic flags that instructions from rip on, in straight line, write before any of them reads them. */
static inline unsigned dead_flags_at(const struct x86_cpu *c, gva_t rip)
{
    struct x86_insn i;
    unsigned open = FLAGS_ARITH, dead = 0;
    for (unsigned k = 0; k < 64 && open && decode_at(c, rip, &i); k++, rip += i.len) {
        const struct x86_row *row = &x86_rows[i.row];
        unsigned written = row->flags_written | row->flags_undef;
        open &= ~(unsigned)row->flags_read;
        dead |= open & written;
        open &= ~written;
        if (row->flags & (ROW_BRANCH | ROW_SYS))
            break;
    }
    return dead;
}

#endif
