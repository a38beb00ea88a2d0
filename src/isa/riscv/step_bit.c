/* SPDX-License-Identifier: MIT */
/*
 * Step functions of Zba, Zbb, Zbc, Zbs and Zbkb: bit manipulation.
 *
 * Spec: volume I chapters 28 (B), 29.3 (Zbkb)
 */
#include "isa/riscv/step.h"

static uint64_t rotate_right(uint64_t a, uint64_t b)
{
    b &= 63;
    return b ? a >> b | a << (64 - b) : a;
}

static uint64_t rotate_right32(uint64_t a, uint64_t b)
{
    uint32_t v = (uint32_t)a;
    b &= 31;
    return sext32(b ? v >> b | v << (32 - b) : v);
}

/* Each byte that is not 0 becomes 0xff. */
static uint64_t or_combine(uint64_t a)
{
    uint64_t v = 0;
    for (unsigned k = 0; k < 64; k += 8)
        if (a >> k & 0xff)
            v |= 0xffULL << k;
    return v;
}

/* The bits of each byte in reverse order. */
static uint64_t reverse_in_bytes(uint64_t a)
{
    a = (a & 0x5555555555555555) << 1 | (a >> 1 & 0x5555555555555555);
    a = (a & 0x3333333333333333) << 2 | (a >> 2 & 0x3333333333333333);
    return (a & 0x0f0f0f0f0f0f0f0f) << 4 | (a >> 4 & 0x0f0f0f0f0f0f0f0f);
}

/* The carry-less product, 128 bits of it. */
static unsigned __int128 clmul_wide(uint64_t a, uint64_t b)
{
    unsigned __int128 v = 0;
    for (unsigned k = 0; k < 64; k++)
        if (b >> k & 1)
            v ^= (unsigned __int128)a << k;
    return v;
}

static uint64_t leading_zeros(uint64_t v, unsigned bits)
{
    return v ? (uint64_t)__builtin_clzll(v) - (64 - bits) : bits;
}

static uint64_t trailing_zeros(uint64_t v, unsigned bits)
{
    return v ? (uint64_t)__builtin_ctzll(v) : bits;
}

#define REGISTER_REGISTER(X)                                                                                                     \
    X(add_uw, (uint32_t)a + b)                                                                                                   \
    X(sh1add, (a << 1) + b)                                                                                                      \
    X(sh2add, (a << 2) + b)                                                                                                      \
    X(sh3add, (a << 3) + b)                                                                                                      \
    X(sh1add_uw, ((uint64_t)(uint32_t)a << 1) + b)                                                                               \
    X(sh2add_uw, ((uint64_t)(uint32_t)a << 2) + b)                                                                               \
    X(sh3add_uw, ((uint64_t)(uint32_t)a << 3) + b)                                                                               \
    X(andn, a & ~b)                                                                                                              \
    X(orn, a | ~b)                                                                                                               \
    X(xnor, ~(a ^ b))                                                                                                            \
    X(max, (int64_t)a > (int64_t)b ? a : b)                                                                                      \
    X(maxu, a > b ? a : b)                                                                                                       \
    X(min, (int64_t)a < (int64_t)b ? a : b)                                                                                      \
    X(minu, a < b ? a : b)                                                                                                       \
    X(rol, rotate_right(a, -b))                                                                                                  \
    X(rolw, rotate_right32(a, -b))                                                                                               \
    X(ror, rotate_right(a, b))                                                                                                   \
    X(rorw, rotate_right32(a, b))                                                                                                \
    X(clmul, (uint64_t)clmul_wide(a, b))                                                                                         \
    X(clmulh, (uint64_t)(clmul_wide(a, b) >> 64))                                                                                \
    X(clmulr, (uint64_t)(clmul_wide(a, b) >> 63))                                                                                \
    X(bclr, a & ~(1ULL << (b & 63)))                                                                                             \
    X(bext, a >> (b & 63) & 1)                                                                                                   \
    X(binv, a ^ 1ULL << (b & 63))                                                                                                \
    X(bset, a | 1ULL << (b & 63))                                                                                                \
    X(pack, (uint32_t)a | b << 32)                                                                                               \
    X(packh, (a & 0xff) | (b & 0xff) << 8)                                                                                       \
    X(packw, sext32((a & 0xffff) | (b & 0xffff) << 16))

#define STEP(name, result)                                                                                                       \
    void rv_##name(struct riscv_cpu *c, const struct riscv_insn *i)                                                              \
    {                                                                                                                            \
        uint64_t a = c->x[i->rs1], b = c->x[i->rs2];                                                                             \
        set_rd(c, i, (result));                                                                                                  \
    }
REGISTER_REGISTER(STEP)
#undef STEP

/* One source, and perhaps an immediate n. */
#define REGISTER(X)                                                                                                              \
    X(clz, leading_zeros(a, 64))                                                                                                 \
    X(clzw, leading_zeros((uint32_t)a, 32))                                                                                      \
    X(ctz, trailing_zeros(a, 64))                                                                                                \
    X(ctzw, trailing_zeros((uint32_t)a, 32))                                                                                     \
    X(cpop, (uint64_t)__builtin_popcountll(a))                                                                                   \
    X(cpopw, (uint64_t)__builtin_popcountll((uint32_t)a))                                                                        \
    X(sext_b, (uint64_t)(int8_t)a)                                                                                               \
    X(sext_h, (uint64_t)(int16_t)a)                                                                                              \
    X(zext_h, (uint16_t)a)                                                                                                       \
    X(orc_b, or_combine(a))                                                                                                      \
    X(rev8, __builtin_bswap64(a))                                                                                                \
    X(brev8, reverse_in_bytes(a))                                                                                                \
    X(slli_uw, (uint64_t)(uint32_t)a << n)                                                                                       \
    X(rori, rotate_right(a, n))                                                                                                  \
    X(roriw, rotate_right32(a, n))                                                                                               \
    X(bclri, a & ~(1ULL << n))                                                                                                   \
    X(bexti, a >> n & 1)                                                                                                         \
    X(binvi, a ^ 1ULL << n)                                                                                                      \
    X(bseti, a | 1ULL << n)

#define STEP(name, result)                                                                                                       \
    void rv_##name(struct riscv_cpu *c, const struct riscv_insn *i)                                                              \
    {                                                                                                                            \
        uint64_t a = c->x[i->rs1], n = (uint64_t)i->imm;                                                                         \
        (void)n;                                                                                                                 \
        set_rd(c, i, (result));                                                                                                  \
    }
REGISTER(STEP)
#undef STEP
