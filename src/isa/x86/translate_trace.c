/* SPDX-License-Identifier: MIT */
/*
 * Traces: the translator goes on behind a block's direct jump, the way execution went lately, while it stays in the page; and
 * behind blocks that end for no jump: a repeated MOVS or STOS, or a block as long as any may be.
 *
 * What is not on that way leaves by a side exit. A trace ends at a call, an indirect jump, an instruction that ends a block for
 * other reasons, another page, where it would meet itself, and where nothing is known of the way. The code behind the first block
 * is decoded from the page; it is among what must be unchanged for a revival (struct x86_look).
 */
#include "isa/x86/insn_steps.h"
#include "isa/x86/translate_emit.h"

enum { TRACE_BLOCKS = 8, ROUND_INSNS = 14, ROUNDS_INSNS = 48 };

static void begin_with(struct xl *x, const struct x86_block *b)
{
    unsigned at = b->key >> 4 & 0xfff;
    x->nr = b->nr;
    for (unsigned k = 0; k < b->nr; k++) {
        x->insn[k] = &b->insn[k];
        x->at[k] = (uint16_t)at;
        x->way[k] = XL_LEAVES;
        at += b->insn[k].len;
    }
}

static unsigned offset_of(const struct x86_block *b)
{
    return b->key >> 4 & 0xfff;
}

/* The block on the same page that execution went to last from b, NULL if it is not known. */
static const struct x86_block *last_after(const struct x86_block *b, unsigned to)
{
    for (unsigned k = 0; k < BLOCK_SUCCESSORS; k++) {
        const struct x86_block_ref *r = &b->after[(b->oldest + 1 + k) % BLOCK_SUCCESSORS];
        if (r->block && r->block->page == b->page && r->block->gen == b->gen && offset_of(r->block) == to)
            return r->block;
    }
    return NULL;
}

/* Which of two offsets in the page execution went to more often, lately, or if that is the same, last; -1 when it is not known.
 */
static int mostly_of(const struct x86_block *b, int32_t taken, int32_t next)
{
    int to = -1, most = 0;
    for (unsigned k = 0; k < BLOCK_SUCCESSORS; k++) {
        unsigned n = (b->oldest + 1 + k) % BLOCK_SUCCESSORS;
        const struct x86_block_ref *r = &b->after[n];
        if (!r->block || r->block->page != b->page || r->block->gen != b->gen || b->times[n] <= most)
            continue;
        int off = (int)offset_of(r->block);
        if (off == taken || off == next)
            to = off, most = b->times[n];
    }
    return to;
}

/* The trace got back to its beginning: a short loop is in it several times. */
static bool may_go_round(const struct xl *x)
{
    unsigned insns = x->nr - x->round;
    return insns <= ROUND_INSNS && x->nr + insns <= ROUNDS_INSNS;
}

/* Where the trace goes on, with the way of the last instruction set; -1: nowhere. b: the block it belongs to, if known. */
static int32_t way_on(struct xl *x, const struct x86_block *b)
{
    unsigned k = x->nr - 1;
    const struct x86_insn *i = x->insn[k];
    int32_t next = x->at[k] + i->len, to;
    if (xl_is_string(i)
        || !x86_insn_ends_block(i)) /* what is behind it is next all the same; the latter is a long block's last */
        to = next;
    else if ((i->step != step_jcc && i->step != step_jmp_near) || __builtin_add_overflow(next, (int32_t)i->imm, &to))
        return -1;
    if (i->step == step_jcc)
        to = b ? mostly_of(b, to, next) : -1;
    x->falls_mostly = to == next;
    if (to < 0 || to >= (int32_t)GPAGE_SIZE)
        return -1;
    if (to == x->at[0]) {
        if (!may_go_round(x))
            return -1;
        x->round = x->nr;
    }
    for (unsigned n = x->round; n < x->nr; n++)
        if (x->at[n] == to)
            return -1;
    x->way[k] = to == next ? XL_FALLS : XL_JUMPS;
    if (to <= x->at[k])
        x->went_back = true;
    return to;
}

/* Appends the instructions at `off`. False, with nothing appended, when there is no room or one of them is for the interpreter.
 */
static bool append(struct xl *x, int32_t off)
{
    unsigned nr = x->nr, at = (unsigned)off;
    struct x86_look look = { .off = (uint16_t)off, .hash = XL_LOOK_INIT };
    for (;;) {
        struct x86_insn *i = &x->more[nr];
        unsigned left = GPAGE_SIZE - at;
        if (nr == XL_INSNS || x->nr_looks == X86_LOOKS || !left || x86_blocks_decode(x->c, x->page + at, left, i)
            || x86_insn_faults(i))
            return false;
        x->insn[nr] = i;
        x->at[nr] = (uint16_t)at;
        x->way[nr++] = XL_LEAVES;
        look.hash = xl_look_hash(look.hash, i->bytes, i->len);
        at += i->len;
        if (x86_insn_ends_block(i))
            break;
    }
    look.len = (uint16_t)(at - (unsigned)off);
    x->look[x->nr_looks++] = look;
    x->nr = nr;
    return true;
}

void xl_trace(struct xl *x)
{
    const struct x86_block *b = x->b;
    begin_with(x, b);
    x->went_back = x->falls_mostly = false;
    x->round = 0;
    for (unsigned n = 1; n < TRACE_BLOCKS && x->code->traces && !x->habits->plain; n++) {
        unsigned last = x->nr - 1;
        bool back = x->went_back;
        int32_t to = way_on(x, b);
        if (to < 0)
            return;
        if (!append(x, to)) {
            x->way[last] = XL_LEAVES;
            x->went_back = back;
            return;
        }
        x->falls_mostly = false;
        if (n == 1)
            x->code->nr_traces++;
        b = b ? last_after(b, (unsigned)to) : NULL;
    }
}
