/* SPDX-License-Identifier: MIT */
/*
 * The memory operand of a vector instruction: see host_mem.h.
 *
 * Under an EVEX mask only runs of active elements are touched. How mask bits map to memory elements follows from the
 * row's tuple: usually one to one; a broadcast element is needed when any element that gets a copy of it is active.
 * Spec: SDM 2A 2.7.5 (fault suppression), 2.7.11 (exception classes)
 */
#include "isa/x86/host_mem.h"

#include <string.h>

#include "isa/x86/decode_tables.h"
#include "isa/x86/host_tramp.h"
#include "isa/x86/step.h"

enum { BOUNCE = 64 };

static bool is_scalar_size(unsigned size)
{
    return size == 8 || size == 4 || size == 2 || size == 1;
}

/* Mask bits that this instruction looks at. */
static unsigned mask_bits(const struct x86_insn *i, unsigned size, bool store)
{
    const struct x86_form *f = &x86_forms[i->row];
    if (f->flags & FORM_LIG)
        return 1;
    if (store)
        return size / i->elem;
    switch (f->tuple) {
    case TUPLE_HALF: return i->vl / 2 / i->elem;
    case TUPLE_FULL:
    case TUPLE_T1S:
    case TUPLE_T2:
    case TUPLE_T4:
    case TUPLE_T8: return i->vl / i->elem;
    default: return size / i->elem;
    }
}

/* VEXTRACT* to memory: exception class E6NF, no fault suppression. */
static bool is_extract(const struct x86_insn *i)
{
    uint8_t tuple = x86_forms[i->row].tuple;
    return tuple == TUPLE_T2 || tuple == TUPLE_T4 || tuple == TUPLE_T8;
}

/* Bit n set: byte n of the operand is accessed. */
static uint64_t active_bytes(const struct x86_cpu *c, const struct x86_insn *i, unsigned size, bool store)
{
    unsigned bits = mask_bits(i, size, store), in_memory = size / i->elem;
    uint64_t element = ~0ULL >> (64 - i->elem), bytes = 0;

    for (unsigned n = 0; n < bits; n++)
        if (c->fpu.k[i->aaa] >> n & 1)
            bytes |= element << (n % in_memory * i->elem);
    return bytes;
}

/* Comes before the checks of limit or canonical form (as CPUs do it). Where no element is active nothing is accessed. */
static void check_alignment(struct x86_cpu *c, const struct host_access *a)
{
    uint64_t base = c->mode == X86_MODE_64 && a->seg < SEG_FS ? 0 : c->seg[a->seg].base;
    if (!a->whole && !a->bytes)
        return;
    if ((base + a->off) & (a->size - 1))
        x86_raise_err(c, X86_GP, 0);
}

struct host_access host_access_make(struct x86_cpu *c, const struct x86_insn *i, const struct host_tramp *t, enum x86_access how)
{
    uint32_t flags = x86_rows[i->row].flags;
    struct host_access a = {
        .off = insn_ea(c, i),
        .seg = i->seg,
        .size = i->bcst ? i->elem : i->op[t->mem_op].size,
        .whole = true,
    };

    if (t->plain)
        return a;
    if ((flags & ROW_MASKED_MEM) && i->aaa) {
        a.bytes = active_bytes(c, i, a.size, how == X86_WRITE);
        a.whole = a.bytes == ~0ULL >> (64 - a.size);
        a.check_whole = how == X86_WRITE && is_extract(i);
    }
    if (flags & ROW_ALIGN)
        check_alignment(c, &a);
    return a;
}

/* The next run of accessed bytes at or after *at: its length, with *at moved to its start; 0: no more. */
static unsigned next_run(const struct host_access *a, unsigned *at)
{
    uint64_t left = *at < 64 ? a->bytes >> *at : 0;
    if (!left)
        return 0;
    unsigned skip = (unsigned)__builtin_ctzll(left);
    *at += skip;
    left = ~(left >> skip);
    return left ? (unsigned)__builtin_ctzll(left) : 64;
}

void host_access_read(struct x86_cpu *c, const struct host_access *a, void *buf)
{
    if (a->whole && is_scalar_size(a->size)) {
        uint64_t v = x86_mem_read(c, a->seg, a->off, a->size); /* one access, as programs that share memory expect */
        memcpy(buf, &v, 8);
        return;
    }
    if (a->whole) {
        x86_mem_read_bytes(c, a->seg, a->off, buf, a->size);
        return;
    }
    memset(buf, 0, BOUNCE);
    for (unsigned at = 0, len; (len = next_run(a, &at)); at += len)
        x86_mem_read_bytes(c, a->seg, a->off + at, (uint8_t *)buf + at, len);
}

static void probe_run(struct x86_cpu *c, const struct host_access *a, unsigned at, unsigned len)
{
    x86_lin_probe_write(c, x86_seg_lin(c, a->seg, a->off + at, len, X86_WRITE), len, c->bank);
}

void host_access_probe(struct x86_cpu *c, const struct host_access *a)
{
    if (a->whole || a->check_whole) {
        probe_run(c, a, 0, a->size);
        return;
    }
    for (unsigned at = 0, len; (len = next_run(a, &at)); at += len)
        probe_run(c, a, at, len);
}

void host_access_write(struct x86_cpu *c, const struct host_access *a, const void *buf)
{
    if (a->whole && is_scalar_size(a->size)) {
        uint64_t v;
        memcpy(&v, buf, 8);
        x86_mem_write(c, a->seg, a->off, v & size_mask(a->size), a->size);
        return;
    }
    if (a->whole) {
        x86_mem_write_bytes(c, a->seg, a->off, buf, a->size);
        return;
    }
    host_access_probe(c, a);
    for (unsigned at = 0, len; (len = next_run(a, &at)); at += len)
        x86_mem_write_bytes(c, a->seg, a->off + at, (const uint8_t *)buf + at, len);
}
