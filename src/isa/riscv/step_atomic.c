/* SPDX-License-Identifier: MIT */
/*
 * Step functions of A, Zabha and Zacas: atomics by the host's.
 *
 * LR remembers address and value, SC is a compare-and-swap with that value: an ABA change in between goes unseen, as on every
 * machine that does it so. All are sequentially consistent, which is stronger than aq and rl ask for. Spec: volume I chapters 14,
 * 16 (Zacas), 17 (Zabha)
 */
#include "core/vcpu.h"
#include "isa/riscv/step.h"

typedef unsigned __int128 u128;

static void wrote(struct riscv_cpu *c, const void *host)
{
    (void)gmem_note_write(c->gmem, host); /* FENCE.I will see it */
}

/* ---- LR, SC ---- */

static uint64_t load_reserved(struct riscv_cpu *c, const struct riscv_insn *i, uint8_t size)
{
    gpa_t gpa;
    const void *host = riscv_atomic(c, c->x[i->rs1], size, RISCV_READ, &gpa);
    uint64_t v = size == 4 ? __atomic_load_n((const uint32_t *)host, __ATOMIC_SEQ_CST)
                           : __atomic_load_n((const uint64_t *)host, __ATOMIC_SEQ_CST);
    c->reservation = (struct riscv_reservation){ .valid = true, .size = size, .gpa = gpa, .value = v };
    return v;
}

/* 0: stored. */
static uint64_t store_conditional(struct riscv_cpu *c, const struct riscv_insn *i, uint8_t size)
{
    gpa_t gpa;
    void *host = riscv_atomic(c, c->x[i->rs1], size, RISCV_WRITE, &gpa);
    struct riscv_reservation r = c->reservation;
    uint64_t old = r.value, v = c->x[i->rs2];
    uint32_t old32 = (uint32_t)old;
    c->reservation.valid = false;
    if (!r.valid || r.gpa != gpa || r.size != size)
        return 1;
    bool stored = size == 4 ? __atomic_compare_exchange_n((uint32_t *)host, &old32, (uint32_t)v, false, __ATOMIC_SEQ_CST,
                                                          __ATOMIC_SEQ_CST)
                            : __atomic_compare_exchange_n((uint64_t *)host, &old, v, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    if (stored)
        wrote(c, host);
    return !stored;
}

void rv_lr_w(struct riscv_cpu *c, const struct riscv_insn *i)
{
    set_rd(c, i, sext32(load_reserved(c, i, 4)));
}

void rv_lr_d(struct riscv_cpu *c, const struct riscv_insn *i)
{
    set_rd(c, i, load_reserved(c, i, 8));
}

void rv_sc_w(struct riscv_cpu *c, const struct riscv_insn *i)
{
    set_rd(c, i, store_conditional(c, i, 4));
}

void rv_sc_d(struct riscv_cpu *c, const struct riscv_insn *i)
{
    set_rd(c, i, store_conditional(c, i, 8));
}

/* ---- AMO: operation, new value from what is there (a) and rs2 (b), both of the size's signed type ---- */

#define AMO_SIZES(X) X(b, int8_t, uint8_t) X(h, int16_t, uint16_t) X(w, int32_t, uint32_t) X(d, int64_t, uint64_t)

#define AMO(op, sfx, type, utype, result)                                                                                        \
    void rv_amo##op##_##sfx(struct riscv_cpu *c, const struct riscv_insn *i)                                                     \
    {                                                                                                                            \
        utype *host = riscv_atomic(c, c->x[i->rs1], sizeof(utype), RISCV_WRITE, NULL);                                           \
        utype a = __atomic_load_n(host, __ATOMIC_RELAXED), b = (utype)c->x[i->rs2];                                              \
        while (!__atomic_compare_exchange_n(host, &a, (utype)(result), false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))               \
            continue;                                                                                                            \
        wrote(c, host);                                                                                                          \
        set_rd(c, i, (uint64_t)(int64_t)(type)a);                                                                                \
    }

#define AMO_OF_SIZE(sfx, type, utype)                                                                                            \
    AMO(swap, sfx, type, utype, b)                                                                                               \
    AMO(add, sfx, type, utype, a + b)                                                                                            \
    AMO(xor, sfx, type, utype, a ^ b)                                                                                            \
    AMO(and, sfx, type, utype, a &b)                                                                                             \
    AMO(or, sfx, type, utype, a | b)                                                                                             \
    AMO(min, sfx, type, utype, (type)a < (type)b ? a : b)                                                                        \
    AMO(max, sfx, type, utype, (type)a > (type)b ? a : b)                                                                        \
    AMO(minu, sfx, type, utype, a < b ? a : b)                                                                                   \
    AMO(maxu, sfx, type, utype, a > b ? a : b)
AMO_SIZES(AMO_OF_SIZE)

/* ---- Zacas: rd is what is expected, and takes what was there ---- */

#define AMOCAS(sfx, type, utype)                                                                                                 \
    void rv_amocas_##sfx(struct riscv_cpu *c, const struct riscv_insn *i)                                                        \
    {                                                                                                                            \
        utype *host = riscv_atomic(c, c->x[i->rs1], sizeof(utype), RISCV_WRITE, NULL);                                           \
        utype a = (utype)c->x[i->rd];                                                                                            \
        if (__atomic_compare_exchange_n(host, &a, (utype)c->x[i->rs2], false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))               \
            wrote(c, host);                                                                                                      \
        set_rd(c, i, (uint64_t)(int64_t)(type)a);                                                                                \
    }
AMO_SIZES(AMOCAS)

/* Returns what was there; stores if that was `old`. */
static u128 cas16(void *host, u128 old, u128 v)
{
    uint64_t low = (uint64_t)old, high = (uint64_t)(old >> 64);
    __asm__ volatile("lock cmpxchg16b %0"
                     : "+m"(*(u128 *)host), "+a"(low), "+d"(high)
                     : "b"((uint64_t)v), "c"((uint64_t)(v >> 64))
                     : "cc");
    return (u128)high << 64 | low;
}

/* A pair that begins at x0 reads as 0, and is not written. */
static u128 pair(const struct riscv_cpu *c, unsigned reg)
{
    return reg ? (u128)c->x[reg + 1] << 64 | c->x[reg] : 0;
}

void rv_amocas_q(struct riscv_cpu *c, const struct riscv_insn *i)
{
    void *host = riscv_atomic(c, c->x[i->rs1], 16, RISCV_WRITE, NULL);
    u128 was = cas16(host, pair(c, i->rd), pair(c, i->rs2));
    wrote(c, host);
    if (i->rd) {
        c->x[i->rd] = (uint64_t)was;
        c->x[i->rd + 1] = (uint64_t)(was >> 64);
    }
}
