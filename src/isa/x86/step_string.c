/* SPDX-License-Identifier: MIT */
/*
 * The definition of the string instructions, with REP.
 *
 * A repeated one is a loop that may be left after any element with all registers as if it had been started with the rest:
 * for a fault, a request to the CPU, or single-stepping; the instruction is then begun again. Runs of MOVS and STOS that
 * stay within a page on both sides are done in one go.
 *
 * Spec: Intel SDM 2B REP, MOVS, CMPS, STOS, LODS, SCAS
 */
#include "core/vcpu.h"
#include "isa/x86/step_ops.h"

ALWAYS_INLINE int64_t direction(const struct x86_cpu *c, unsigned size)
{
    return c->rflags & FLAG_DF ? -(int64_t)size : (int64_t)size;
}

ALWAYS_INLINE void advance(struct x86_cpu *c, const struct x86_insn *i, unsigned reg, int64_t by)
{
    gpr_write(c, reg, c->gpr[reg] + (uint64_t)by, i->addrsize == 2 ? 2 : i->addrsize);
}

ALWAYS_INLINE uint64_t src(const struct x86_cpu *c, const struct x86_insn *i)
{
    return gpr_read(c, RSI, i->addrsize);
}

ALWAYS_INLINE uint64_t dst(const struct x86_cpu *c, const struct x86_insn *i)
{
    return gpr_read(c, RDI, i->addrsize);
}

/* Elements left to do; 1 without REP. */
ALWAYS_INLINE uint64_t count_left(const struct x86_cpu *c, const struct x86_insn *i)
{
    return i->rep ? gpr_read(c, RCX, i->addrsize) : 1;
}

ALWAYS_INLINE void count_done(struct x86_cpu *c, const struct x86_insn *i, uint64_t n)
{
    if (i->rep)
        gpr_write(c, RCX, gpr_read(c, RCX, i->addrsize) - n, i->addrsize);
}

/* True when a repeated instruction must be left and begun again: somebody wants this CPU, or it single-steps. */
ALWAYS_INLINE bool interrupted(struct x86_cpu *c, const struct x86_insn *i)
{
    if (!c->slow && !(c->vcpu && (vcpu_requests(c->vcpu) & ~(uint32_t)VCPU_REQ_CODE)))
        return false;
    if (!count_left(c, i))
        return false;
    c->next_rip = c->rip;
    return true;
}

/* How many elements from off stay within its page and segment quick path, going up; *ret_host is where. 0: none. */
static uint64_t run_length(struct x86_cpu *c, enum x86_seg_reg seg, uint64_t off, unsigned size, enum x86_access access,
                           uint8_t **ret_host)
{
    gva_t lin;
    if (!seg_lin_quick(c, seg, off, access, &lin) || c->align_check)
        return 0;
    *ret_host = tlb_hit(c, lin, size, c->bank, access);
    return *ret_host ? (GPAGE_SIZE - (lin & ~GPAGE_MASK)) / size : 0;
}

/* One run of REP MOVS upwards; returns the number of elements moved, 0 when it must go one by one. */
static uint64_t movs_run(struct x86_cpu *c, const struct x86_insn *i, uint64_t n, unsigned size)
{
    uint8_t *from, *to;
    uint64_t k = run_length(c, i->seg, src(c, i), size, X86_READ, &from);
    uint64_t m = run_length(c, SEG_ES, dst(c, i), size, X86_WRITE, &to);
    n = n < k ? n : k;
    n = n < m ? n : m;
    /* the element order shows when the destination starts inside the source */
    if (!n || (to > from && to < from + n * size))
        return 0;
    memmove(to, from, n * size);
    tlb_wrote(c, to);
    return n;
}

void step_movs(struct x86_cpu *c, const struct x86_insn *i)
{
    unsigned size = i->opsize;
    uint64_t n = count_left(c, i);
    while (n) {
        uint64_t done = i->rep && i->addrsize > 2 && !(c->rflags & FLAG_DF) && !c->slow ? movs_run(c, i, n, size) : 0;
        if (!done) {
            mem_write(c, SEG_ES, dst(c, i), mem_read(c, i->seg, src(c, i), size), size);
            done = 1;
        }
        int64_t by = direction(c, size) * (int64_t)done;
        advance(c, i, RSI, by);
        advance(c, i, RDI, by);
        count_done(c, i, done);
        n -= done;
        if (i->rep && interrupted(c, i))
            return;
    }
}

/* n elements of the value, by doubling what is there. */
static void fill(uint8_t *to, uint64_t n, uint64_t value, unsigned size)
{
    uint64_t bytes = n * size, done = size;
    if (size == 1 || (value & size_mask(size)) == 0) {
        memset(to, (int)(uint8_t)value, bytes);
        return;
    }
    store_le(to, value, size);
    for (; done < bytes; done *= 2)
        memcpy(to + done, to, done < bytes - done ? done : bytes - done);
}

static uint64_t stos_run(struct x86_cpu *c, const struct x86_insn *i, uint64_t n, unsigned size)
{
    uint8_t *to;
    uint64_t k = run_length(c, SEG_ES, dst(c, i), size, X86_WRITE, &to);
    n = n < k ? n : k;
    if (!n)
        return 0;
    fill(to, n, c->gpr[RAX], size);
    tlb_wrote(c, to);
    return n;
}

void step_stos(struct x86_cpu *c, const struct x86_insn *i)
{
    unsigned size = i->opsize;
    uint64_t n = count_left(c, i);
    while (n) {
        uint64_t done = i->rep && i->addrsize > 2 && !(c->rflags & FLAG_DF) && !c->slow ? stos_run(c, i, n, size) : 0;
        if (!done) {
            mem_write(c, SEG_ES, dst(c, i), c->gpr[RAX], size);
            done = 1;
        }
        advance(c, i, RDI, direction(c, size) * (int64_t)done);
        count_done(c, i, done);
        n -= done;
        if (i->rep && interrupted(c, i))
            return;
    }
}

void step_lods(struct x86_cpu *c, const struct x86_insn *i)
{
    unsigned size = i->opsize;
    for (uint64_t n = count_left(c, i); n; n--) {
        gpr_write(c, RAX, mem_read(c, i->seg, src(c, i), size), size);
        advance(c, i, RSI, direction(c, size));
        count_done(c, i, 1);
        if (i->rep && interrupted(c, i))
            return;
    }
}

/* True when REPE/REPNE ends because of ZF. */
ALWAYS_INLINE bool compare_ends(const struct x86_cpu *c, const struct x86_insn *i)
{
    bool zf = c->rflags & FLAG_ZF;
    return i->rep == X86_REP_REP ? !zf : zf;
}

ALWAYS_INLINE void compare(struct x86_cpu *c, uint64_t a, uint64_t b, unsigned size)
{
    flags_set(c, FLAGS_ARITH, flags_of_sub(a, b, (a - b) & size_mask(size), size));
}

void step_cmps(struct x86_cpu *c, const struct x86_insn *i)
{
    unsigned size = i->opsize;
    for (uint64_t n = count_left(c, i); n; n--) {
        uint64_t a = mem_read(c, i->seg, src(c, i), size);
        compare(c, a, mem_read(c, SEG_ES, dst(c, i), size), size);
        advance(c, i, RSI, direction(c, size));
        advance(c, i, RDI, direction(c, size));
        count_done(c, i, 1);
        if (i->rep && (compare_ends(c, i) || interrupted(c, i)))
            return;
    }
}

void step_scas(struct x86_cpu *c, const struct x86_insn *i)
{
    unsigned size = i->opsize;
    for (uint64_t n = count_left(c, i); n; n--) {
        compare(c, gpr_read(c, RAX, size), mem_read(c, SEG_ES, dst(c, i), size), size);
        advance(c, i, RDI, direction(c, size));
        count_done(c, i, 1);
        if (i->rep && (compare_ends(c, i) || interrupted(c, i)))
            return;
    }
}
