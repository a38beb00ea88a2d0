/* SPDX-License-Identifier: MIT */
/*
 * The definition of the integer instructions: moves, arithmetic, logic, stack.
 *
 * In the order of the opcode map. Shifts and bits are in step_bit.c, multiplication and decimals in step_mul.c, branches
 * in step_branch.c, strings in step_string.c.
 *
 * Spec: Intel SDM 2A, 2B, the instruction's page
 */
#include "isa/x86/step_ops.h"

uint64_t opnd_read(struct x86_cpu *c, const struct x86_insn *i, unsigned n)
{
    return rd(c, i, n);
}

void opnd_write(struct x86_cpu *c, const struct x86_insn *i, unsigned n, uint64_t v)
{
    wr(c, i, n, v);
}

gva_t insn_lin(struct x86_cpu *c, const struct x86_insn *i, unsigned size, enum x86_access access)
{
    return x86_seg_lin(c, i->seg, insn_ea(c, i), size, access);
}

void x86_push(struct x86_cpu *c, uint64_t v, unsigned size)
{
    push(c, v, size);
}

uint64_t x86_pop(struct x86_cpu *c, unsigned size)
{
    return pop(c, size);
}

/* In assembler because the address may be misaligned, as a guest's locked access may: then clang calls libatomic, which has no
 * answer either; the processor locks the bus. */
bool cas_le(void *p, uint64_t *old, uint64_t v, unsigned size)
{
    bool ok = false;
    uint64_t seen = *old;
    switch (size) {
    case 1: __asm__ volatile("lock cmpxchgb %b3, %1" : "=@ccz"(ok), "+m"(*(uint8_t *)p), "+a"(seen) : "q"(v) : "memory"); break;
    case 2: __asm__ volatile("lock cmpxchgw %w3, %1" : "=@ccz"(ok), "+m"(*(u16_any *)p), "+a"(seen) : "r"(v) : "memory"); break;
    case 4: __asm__ volatile("lock cmpxchgl %k3, %1" : "=@ccz"(ok), "+m"(*(u32_any *)p), "+a"(seen) : "r"(v) : "memory"); break;
    case 8: __asm__ volatile("lock cmpxchgq %3, %1" : "=@ccz"(ok), "+m"(*(u64_any *)p), "+a"(seen) : "r"(v) : "memory"); break;
    }
    *old = seen;
    return ok;
}

/* Not a TLB hit: full checks; then RAM in one page, or (host stays NULL) registers or two pages. */
void rmw_resolve_slow(struct x86_cpu *c, const struct x86_insn *i, struct rmw *m)
{
    unsigned size = i->op[0].size;
    m->lin = insn_lin(c, i, size, X86_WRITE);
    if (c->align_check && (m->lin & (size - 1)))
        x86_raise_err(c, X86_AC, 0);
    m->host = x86_lin_rmw(c, m->lin, size, c->bank);
    if (m->host) {
        m->old = load_le(m->host, size);
        return;
    }
    x86_lin_probe_write(c, m->lin, size, c->bank);
    m->old = x86_lin_read(c, m->lin, size, c->bank);
}

/* Registers, or two pages. */
bool rmw_store_slow(struct x86_cpu *c, const struct x86_insn *i, const struct rmw *m, uint64_t v)
{
    unsigned size = i->op[0].size;
    if (i->lock || i->step == step_xchg)
        return x86_lin_swap(c, m->lin, m->old, v, size, c->bank);
    x86_lin_write(c, m->lin, v, size, c->bank);
    return true;
}

/* ---- moves ---- */

void step_mov(struct x86_cpu *c, const struct x86_insn *i)
{
    wr(c, i, 0, rd(c, i, 1));
}

void step_movzx(struct x86_cpu *c, const struct x86_insn *i)
{
    wr(c, i, 0, rd(c, i, 1));
}

void step_movsx(struct x86_cpu *c, const struct x86_insn *i)
{
    wr(c, i, 0, (uint64_t)sign_extend(rd(c, i, 1), i->op[1].size));
}

void step_movsxd(struct x86_cpu *c, const struct x86_insn *i)
{
    wr(c, i, 0, (uint64_t)sign_extend(rd(c, i, 1), i->op[1].size));
}

void step_lea(struct x86_cpu *c, const struct x86_insn *i)
{
    wr(c, i, 0, insn_ea(c, i));
}

void step_cmovcc(struct x86_cpu *c, const struct x86_insn *i)
{
    uint64_t v = rd(c, i, 1); /* read, and faults, whatever the condition */
    if (!condition(c, insn_cc(i)))
        v = rd(c, i, 0); /* a 32-bit destination is still zero-extended */
    wr(c, i, 0, v);
}

void step_setcc(struct x86_cpu *c, const struct x86_insn *i)
{
    wr(c, i, 0, condition(c, insn_cc(i)));
}

void step_xchg(struct x86_cpu *c, const struct x86_insn *i)
{
    /* with memory it is atomic even without LOCK; memory is operand 0 in one encoding and 1 in none (the table lists E first) */
    struct rmw m;
    uint64_t b = rd(c, i, 1), a = rmw_load(c, i, &m);
    if (i->op[0].kind == OPND_MEM && m.host) {
        while (!cas_le(m.host, &m.old, b, i->op[0].size))
            m.old = load_le(m.host, i->op[0].size);
        a = m.old;
        tlb_wrote(c, m.host);
    } else {
        while (!rmw_store(c, i, &m, b)) /* two pages, and another CPU was there first */
            a = rmw_load(c, i, &m);
    }
    wr(c, i, 1, a);
}

void step_bswap(struct x86_cpu *c, const struct x86_insn *i)
{
    uint64_t v = rd(c, i, 0);
    /* the 16-bit form is undefined; processors give 0 */
    wr(c, i, 0, i->opsize == 8 ? __builtin_bswap64(v) : i->opsize == 4 ? __builtin_bswap32((uint32_t)v) : 0);
}

void step_movbe(struct x86_cpu *c, const struct x86_insn *i)
{
    uint64_t v = rd(c, i, 1);
    wr(c, i, 0, __builtin_bswap64(v) >> (64 - 8 * i->op[0].size));
}

void step_xlat(struct x86_cpu *c, const struct x86_insn *i)
{
    uint64_t ea = (c->gpr[RBX] + (uint8_t)c->gpr[RAX]) & size_mask(i->addrsize);
    gpr_write(c, RAX, mem_read(c, i->seg, ea, 1), 1);
}

/* ---- add and its kin ---- */

enum alu { ALU_ADD, ALU_OR, ALU_ADC, ALU_SBB, ALU_AND, ALU_SUB, ALU_XOR };

ALWAYS_INLINE void alu(struct x86_cpu *c, const struct x86_insn *i, enum alu op)
{
    unsigned size = i->op[0].size;
    uint64_t mask = size_mask(size), b = rd(c, i, 1) & mask, carry = c->rflags & FLAG_CF, a, r = 0;
    struct rmw m;
    do {
        a = rmw_load(c, i, &m);
        switch (op) {
        case ALU_ADD: r = a + b; break;
        case ALU_OR: r = a | b; break;
        case ALU_ADC: r = a + b + carry; break;
        case ALU_SBB: r = a - b - carry; break;
        case ALU_AND: r = a & b; break;
        case ALU_SUB: r = a - b; break;
        case ALU_XOR: r = a ^ b; break;
        }
        r &= mask;
    } while (!rmw_store(c, i, &m, r));
    if (op == ALU_ADD || op == ALU_ADC)
        flags_set(c, FLAGS_ARITH, flags_of_add(a, b, r, size));
    else if (op == ALU_SUB || op == ALU_SBB)
        flags_set(c, FLAGS_ARITH, flags_of_sub(a, b, r, size));
    else
        flags_logic(c, r, size);
}

void step_add(struct x86_cpu *c, const struct x86_insn *i)
{
    alu(c, i, ALU_ADD);
}

void step_or(struct x86_cpu *c, const struct x86_insn *i)
{
    alu(c, i, ALU_OR);
}

void step_adc(struct x86_cpu *c, const struct x86_insn *i)
{
    alu(c, i, ALU_ADC);
}

void step_sbb(struct x86_cpu *c, const struct x86_insn *i)
{
    alu(c, i, ALU_SBB);
}

void step_and(struct x86_cpu *c, const struct x86_insn *i)
{
    alu(c, i, ALU_AND);
}

void step_sub(struct x86_cpu *c, const struct x86_insn *i)
{
    alu(c, i, ALU_SUB);
}

void step_xor(struct x86_cpu *c, const struct x86_insn *i)
{
    alu(c, i, ALU_XOR);
}

void step_cmp(struct x86_cpu *c, const struct x86_insn *i)
{
    unsigned size = i->op[0].size;
    uint64_t a = rd(c, i, 0), b = rd(c, i, 1) & size_mask(size);
    flags_set(c, FLAGS_ARITH, flags_of_sub(a, b, (a - b) & size_mask(size), size));
}

void step_test(struct x86_cpu *c, const struct x86_insn *i)
{
    unsigned size = i->op[0].size;
    flags_logic(c, rd(c, i, 0) & rd(c, i, 1) & size_mask(size), size);
}

void step_inc(struct x86_cpu *c, const struct x86_insn *i)
{
    unsigned size = i->op[0].size;
    struct rmw m;
    uint64_t a, r;
    do {
        a = rmw_load(c, i, &m);
        r = (a + 1) & size_mask(size);
    } while (!rmw_store(c, i, &m, r));
    flags_set(c, FLAGS_ARITH & ~FLAG_CF, flags_of_add(a, 1, r, size) & ~(uint64_t)FLAG_CF);
}

void step_dec(struct x86_cpu *c, const struct x86_insn *i)
{
    unsigned size = i->op[0].size;
    struct rmw m;
    uint64_t a, r;
    do {
        a = rmw_load(c, i, &m);
        r = (a - 1) & size_mask(size);
    } while (!rmw_store(c, i, &m, r));
    flags_set(c, FLAGS_ARITH & ~FLAG_CF, flags_of_sub(a, 1, r, size) & ~(uint64_t)FLAG_CF);
}

void step_neg(struct x86_cpu *c, const struct x86_insn *i)
{
    unsigned size = i->op[0].size;
    struct rmw m;
    uint64_t a, r;
    do {
        a = rmw_load(c, i, &m);
        r = -a & size_mask(size);
    } while (!rmw_store(c, i, &m, r));
    flags_set(c, FLAGS_ARITH, flags_of_sub(0, a, r, size));
}

void step_not(struct x86_cpu *c, const struct x86_insn *i)
{
    struct rmw m;
    uint64_t a;
    do
        a = rmw_load(c, i, &m);
    while (!rmw_store(c, i, &m, ~a & size_mask(i->op[0].size)));
}

void step_xadd(struct x86_cpu *c, const struct x86_insn *i)
{
    unsigned size = i->op[0].size;
    uint64_t b = rd(c, i, 1), a, r;
    struct rmw m;
    do {
        a = rmw_load(c, i, &m);
        r = (a + b) & size_mask(size);
        if (i->op[0].kind != OPND_MEM)
            wr(c, i, 1, a); /* first, so that XADD r,r keeps the sum */
    } while (!rmw_store(c, i, &m, r));
    if (i->op[0].kind == OPND_MEM)
        wr(c, i, 1, a);
    flags_set(c, FLAGS_ARITH, flags_of_add(a, b, r, size));
}

void step_cmpxchg(struct x86_cpu *c, const struct x86_insn *i)
{
    unsigned size = i->op[0].size;
    uint64_t acc = gpr_read(c, RAX, size), b = rd(c, i, 1), a;
    struct rmw m;
    do /* without a match memory is written with its old value, as processors do */
        a = rmw_load(c, i, &m);
    while (i->op[0].kind == OPND_MEM && !rmw_store(c, i, &m, a == acc ? b : a));
    if (i->op[0].kind != OPND_MEM && a == acc)
        wr(c, i, 0, b);
    if (a != acc)
        gpr_write(c, RAX, a, size);
    flags_set(c, FLAGS_ARITH, flags_of_sub(acc, a, (acc - a) & size_mask(size), size));
}

/* CMPXCHG8B and CMPXCHG16B: rDX:rAX against memory, rCX:rBX into it. */
__attribute__((target("cx16"))) static void cmpxchg_wide(struct x86_cpu *c, const struct x86_insn *i, unsigned half)
{
    gva_t lin = insn_lin(c, i, 2 * half, X86_WRITE);
    uint64_t old[2] = { 0 }, want[2] = { gpr_read(c, RAX, half), gpr_read(c, RDX, half) };
    uint64_t new[2] = { gpr_read(c, RBX, half), gpr_read(c, RCX, half) };
    if (half == 8 && (lin & 15))
        x86_raise_err(c, X86_GP, 0);
    if (c->align_check && (lin & (2 * half - 1)))
        x86_raise_err(c, X86_AC, 0);
    void *host = x86_lin_rmw(c, lin, 2 * half, c->bank);
    bool same;
    if (host && half == 8) {
        unsigned __int128 w = (unsigned __int128)want[1] << 64 | want[0], n = (unsigned __int128)new[1] << 64 | new[0];
        unsigned __int128 o = __sync_val_compare_and_swap((unsigned __int128 *)host, w, n);
        same = o == w;
        old[0] = (uint64_t)o, old[1] = (uint64_t)(o >> 64);
    } else if (host) {
        uint64_t o = want[1] << 32 | want[0];
        same = cas_le(host, &o, new[1] << 32 | new[0], 8);
        old[0] = (uint32_t)o, old[1] = o >> 32;
    } else if (half == 4) {
        uint64_t o;
        do {
            x86_lin_probe_write(c, lin, 8, c->bank);
            o = x86_lin_read(c, lin, 8, c->bank);
            same = o == (want[1] << 32 | want[0]);
        } while (!x86_lin_swap(c, lin, o, same ? new[1] << 32 | new[0] : o, 8, c->bank));
        old[0] = (uint32_t)o, old[1] = o >> 32;
    } else { /* aligned: registers */
        for (unsigned k = 0; k < 2; k++)
            old[k] = x86_lin_read(c, lin + k * half, half, c->bank);
        same = old[0] == want[0] && old[1] == want[1];
        for (unsigned k = 0; k < 2; k++)
            x86_lin_write(c, lin + k * half, same ? new[k] : old[k], half, c->bank);
    }
    if (host)
        tlb_wrote(c, host);
    flags_set(c, FLAG_ZF, same ? FLAG_ZF : 0);
    if (!same) {
        gpr_write(c, RAX, old[0], half);
        gpr_write(c, RDX, old[1], half);
    }
}

void step_cmpxchg8b(struct x86_cpu *c, const struct x86_insn *i)
{
    cmpxchg_wide(c, i, 4);
}

void step_cmpxchg16b(struct x86_cpu *c, const struct x86_insn *i)
{
    cmpxchg_wide(c, i, 8);
}

/* ADCX and ADOX: add with one flag as the carry, touching no other. */
static void add_with_flag(struct x86_cpu *c, const struct x86_insn *i, uint64_t flag)
{
    unsigned size = i->op[0].size;
    uint64_t a = rd(c, i, 0), b = rd(c, i, 1), r = (a + b + !!(c->rflags & flag)) & size_mask(size);
    bool carry = flags_of_add(a, b, r, size) & FLAG_CF;
    wr(c, i, 0, r);
    flags_set(c, flag, carry ? flag : 0);
}

void step_adcx(struct x86_cpu *c, const struct x86_insn *i)
{
    add_with_flag(c, i, FLAG_CF);
}

void step_adox(struct x86_cpu *c, const struct x86_insn *i)
{
    add_with_flag(c, i, FLAG_OF);
}

/* ---- sign extension inside the accumulator ---- */

void step_cbw(struct x86_cpu *c, const struct x86_insn *i)
{
    gpr_write(c, RAX, (uint64_t)sign_extend(c->gpr[RAX], i->opsize / 2), i->opsize);
}

void step_cwd(struct x86_cpu *c, const struct x86_insn *i)
{
    gpr_write(c, RDX, sign_bit(gpr_read(c, RAX, i->opsize), i->opsize) ? ~0ULL : 0, i->opsize);
}

/* ---- flags ---- */

void step_clc(struct x86_cpu *c, const struct x86_insn *i)
{
    (void)i;
    c->rflags &= ~(uint64_t)FLAG_CF;
}

void step_stc(struct x86_cpu *c, const struct x86_insn *i)
{
    (void)i;
    c->rflags |= FLAG_CF;
}

void step_cmc(struct x86_cpu *c, const struct x86_insn *i)
{
    (void)i;
    c->rflags ^= FLAG_CF;
}

void step_cld(struct x86_cpu *c, const struct x86_insn *i)
{
    (void)i;
    c->rflags &= ~(uint64_t)FLAG_DF;
}

void step_std(struct x86_cpu *c, const struct x86_insn *i)
{
    (void)i;
    c->rflags |= FLAG_DF;
}

void step_lahf(struct x86_cpu *c, const struct x86_insn *i)
{
    (void)i;
    c->gpr[RAX] = (c->gpr[RAX] & ~0xff00ULL) | (c->rflags & 0xd5) << 8 | FLAG_ONE << 8;
}

void step_sahf(struct x86_cpu *c, const struct x86_insn *i)
{
    (void)i;
    flags_set(c, FLAGS_ARITH & ~FLAG_OF, c->gpr[RAX] >> 8 & FLAGS_ARITH & ~(uint64_t)FLAG_OF);
}

/* ---- stack ---- */

void step_push(struct x86_cpu *c, const struct x86_insn *i)
{
    push(c, i->op[0].kind == OPND_IMM ? i->imm : rd(c, i, 0), i->opsize);
}

void step_pop(struct x86_cpu *c, const struct x86_insn *i)
{
    uint64_t v = mem_read(c, SEG_SS, stack_ptr(c, 0), i->opsize);
    if (i->op[0].kind == OPND_MEM) { /* an address through rSP uses its value after the pop */
        uint64_t ea = insn_ea(c, i) + (i->base == RSP ? i->opsize : 0);
        mem_write(c, i->seg, i->addrsize == 8 ? ea : ea & size_mask(i->addrsize), v, i->opsize);
        stack_move(c, i->opsize);
        return;
    }
    stack_move(c, i->opsize);
    wr(c, i, 0, v);
}

void step_pusha(struct x86_cpu *c, const struct x86_insn *i)
{
    unsigned size = i->opsize;
    for (unsigned r = 0; r < 8; r++) /* a fault leaves rSP; what was written below it does not count */
        mem_write(c, SEG_SS, stack_ptr(c, -(int64_t)(size * (r + 1))), gpr_read(c, r, size), size);
    stack_move(c, -(int64_t)(8 * size));
}

void step_popa(struct x86_cpu *c, const struct x86_insn *i)
{
    unsigned size = i->opsize;
    uint64_t v[8];
    for (unsigned r = 0; r < 8; r++)
        v[7 - r] = mem_read(c, SEG_SS, stack_ptr(c, size * r), size);
    for (unsigned r = 0; r < 8; r++)
        if (r != RSP)
            gpr_write(c, r, v[r], size);
    stack_move(c, 8 * size);
}

/* Spec: SDM 2A ENTER; memory below rSP is written first, the registers last. */
void step_enter(struct x86_cpu *c, const struct x86_insn *i)
{
    unsigned size = i->opsize, level = i->imm2 & 31, alloc = i->imm & 0xffff;
    int64_t at = -(int64_t)size;
    uint64_t mask = size_mask(c->stack_size), frame = (c->gpr[RSP] - size) & mask, bp = c->gpr[RBP];
    mem_write(c, SEG_SS, stack_ptr(c, at), gpr_read(c, RBP, size), size);
    for (unsigned k = 1; k < level; k++) {
        uint64_t v = mem_read(c, SEG_SS, (bp - k * size) & mask, size);
        mem_write(c, SEG_SS, stack_ptr(c, at -= size), v, size);
    }
    if (level)
        mem_write(c, SEG_SS, stack_ptr(c, at -= size), frame, size);
    at -= alloc;
    /* the new top must be writable */
    x86_lin_probe_write(c, x86_seg_lin(c, SEG_SS, stack_ptr(c, at), size, X86_WRITE), size, c->bank);
    gpr_write(c, RBP, frame, size);
    stack_move(c, at);
}

void step_leave(struct x86_cpu *c, const struct x86_insn *i)
{
    uint64_t bp = c->gpr[RBP] & size_mask(c->stack_size);
    uint64_t v = mem_read(c, SEG_SS, bp, i->opsize);
    gpr_write(c, RSP, bp + i->opsize, c->stack_size);
    gpr_write(c, RBP, v, i->opsize);
}
