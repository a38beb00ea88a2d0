/* SPDX-License-Identifier: MIT */
/*
 * Operands and flags of the integer step functions, inlined.
 */
#ifndef DOPPEL_ISA_X86_STEP_OPS_H
#define DOPPEL_ISA_X86_STEP_OPS_H

#include "isa/x86/insn_steps.h"
#include "isa/x86/step.h"
#include "isa/x86/tlb.h"

#define ALWAYS_INLINE static inline __attribute__((always_inline))

/* Value of operand n, zero-extended from its size. */
ALWAYS_INLINE uint64_t rd(struct x86_cpu *c, const struct x86_insn *i, unsigned n)
{
    const struct x86_opnd *o = &i->op[n];
    switch (o->kind) {
    case OPND_REG: return gpr_read(c, o->reg, o->size);
    case OPND_MEM: return mem_read(c, i->seg, insn_ea(c, i), o->size);
    case OPND_REGH: return (uint8_t)(c->gpr[o->reg] >> 8);
    default: return i->imm;
    }
}

ALWAYS_INLINE void wr(struct x86_cpu *c, const struct x86_insn *i, unsigned n, uint64_t v)
{
    const struct x86_opnd *o = &i->op[n];
    if (o->kind == OPND_REG)
        gpr_write(c, o->reg, v, o->size);
    else if (o->kind == OPND_MEM)
        mem_write(c, i->seg, insn_ea(c, i), v, o->size);
    else
        c->gpr[o->reg] = (c->gpr[o->reg] & ~0xff00ULL) | (v & 0xff) << 8;
}

/*
 * A read-modify-write of operand 0. Loop: do { old = rmw_load(); new = ...; } while (!rmw_store(new)). With LOCK on RAM the
 * store is a compare-and-swap that fails when another CPU was there first. Nothing after rmw_load() faults.
 */
struct rmw {
    void *host; /* RAM within a page, else NULL */
    gva_t lin;
    uint64_t old;
};

void rmw_resolve_slow(struct x86_cpu *c, const struct x86_insn *i, struct rmw *m);
bool rmw_store_slow(struct x86_cpu *c, const struct x86_insn *i, const struct rmw *m, uint64_t v);
/* Compares and swaps `size` bytes (1, 2, 4, 8) at any alignment, atomically; *old becomes what was there. */
bool cas_le(void *p, uint64_t *old, uint64_t v, unsigned size);

ALWAYS_INLINE uint64_t rmw_load(struct x86_cpu *c, const struct x86_insn *i, struct rmw *m)
{
    const struct x86_opnd *o = &i->op[0];
    if (o->kind != OPND_MEM)
        return m->old = rd(c, i, 0);
    m->host = NULL;
    if (__builtin_expect(seg_lin_quick(c, i->seg, insn_ea(c, i), X86_WRITE, &m->lin) && !c->align_check, 1))
        m->host = tlb_hit(c, m->lin, o->size, c->bank, X86_WRITE);
    if (__builtin_expect(!m->host, 0))
        rmw_resolve_slow(c, i, m);
    else
        m->old = load_le(m->host, o->size);
    return m->old;
}

ALWAYS_INLINE bool rmw_store(struct x86_cpu *c, const struct x86_insn *i, struct rmw *m, uint64_t v)
{
    const struct x86_opnd *o = &i->op[0];
    if (o->kind != OPND_MEM) {
        wr(c, i, 0, v);
        return true;
    }
    if (__builtin_expect(!m->host, 0))
        return rmw_store_slow(c, i, m, v);
    if (i->lock) {
        uint64_t old = m->old;
        if (!cas_le(m->host, &old, v, o->size))
            return false;
    } else {
        store_le(m->host, v, o->size);
    }
    tlb_wrote(c, m->host);
    return true;
}

ALWAYS_INLINE uint64_t sign_bit(uint64_t v, unsigned size)
{
    return v >> (8 * size - 1) & 1;
}

ALWAYS_INLINE void flags_set(struct x86_cpu *c, uint64_t mask, uint64_t v)
{
    c->rflags = (c->rflags & ~mask) | v;
}

/* SF, ZF and PF of a result already cut to its size. */
ALWAYS_INLINE uint64_t flags_szp(uint64_t r, unsigned size)
{
    return sign_bit(r, size) << 7 | (uint64_t)(r == 0) << 6 | (uint64_t)(!__builtin_parity((uint8_t)r)) << 2;
}

ALWAYS_INLINE void flags_logic(struct x86_cpu *c, uint64_t r, unsigned size)
{
    flags_set(c, FLAGS_ARITH, flags_szp(r, size));
}

/* All six flags of r = a + b + carry. */
ALWAYS_INLINE uint64_t flags_of_add(uint64_t a, uint64_t b, uint64_t r, unsigned size)
{
    uint64_t carries = (a & b) | ((a | b) & ~r);
    uint64_t cf = sign_bit(carries, size), of = sign_bit((a ^ r) & (b ^ r), size);
    return flags_szp(r, size) | cf | of << 11 | ((a ^ b ^ r) & FLAG_AF);
}

/* All six flags of r = a - b - borrow. */
ALWAYS_INLINE uint64_t flags_of_sub(uint64_t a, uint64_t b, uint64_t r, unsigned size)
{
    uint64_t borrows = (~a & b) | (~(a ^ b) & r);
    uint64_t cf = sign_bit(borrows, size), of = sign_bit((a ^ b) & (a ^ r), size);
    return flags_szp(r, size) | cf | of << 11 | ((a ^ b ^ r) & FLAG_AF);
}

/* The condition in the low four bits of Jcc, SETcc, CMOVcc. Spec: SDM 1 appendix B */
ALWAYS_INLINE bool condition(const struct x86_cpu *c, unsigned cc)
{
    uint64_t f = c->rflags;
    bool v = false;
    switch (cc >> 1 & 7) {
    case 0: v = f & FLAG_OF; break;
    case 1: v = f & FLAG_CF; break;
    case 2: v = f & FLAG_ZF; break;
    case 3: v = f & (FLAG_CF | FLAG_ZF); break;
    case 4: v = f & FLAG_SF; break;
    case 5: v = f & FLAG_PF; break;
    case 6: v = !!(f & FLAG_SF) != !!(f & FLAG_OF); break;
    case 7: v = (f & FLAG_ZF) || !!(f & FLAG_SF) != !!(f & FLAG_OF); break;
    }
    return v != (cc & 1);
}

ALWAYS_INLINE unsigned insn_cc(const struct x86_insn *i)
{
    return i->bytes[i->layout.opcode] & 15;
}

/* The stack pointer cut to the stack's width. */
ALWAYS_INLINE uint64_t stack_ptr(const struct x86_cpu *c, int64_t plus)
{
    return (c->gpr[RSP] + (uint64_t)plus) & size_mask(c->stack_size);
}

ALWAYS_INLINE void stack_move(struct x86_cpu *c, int64_t by)
{
    gpr_write(c, RSP, c->gpr[RSP] + (uint64_t)by, c->stack_size);
}

ALWAYS_INLINE void push(struct x86_cpu *c, uint64_t v, unsigned size)
{
    mem_write(c, SEG_SS, stack_ptr(c, -(int64_t)size), v, size);
    stack_move(c, -(int64_t)size);
}

ALWAYS_INLINE uint64_t pop(struct x86_cpu *c, unsigned size)
{
    uint64_t v = mem_read(c, SEG_SS, stack_ptr(c, 0), size);
    stack_move(c, size);
    return v;
}

#endif
