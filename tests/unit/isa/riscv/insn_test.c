/* SPDX-License-Identifier: MIT */
/*
 * What each integer and bit-manipulation instruction computes, over corner values, against plain C that knows nothing of
 * src/isa/riscv: encodings by hand from the manual, results by 128-bit integers and loops over bits.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "support/bare_riscv.h"

typedef unsigned __int128 u128;
typedef __int128 i128;
typedef uint64_t (*expect_fn)(uint64_t a, uint64_t b);

enum { RD = 5, RS1 = 6, RS2 = 7 };

static const uint64_t CORNER[] = { 0,
                                   1,
                                   2,
                                   31,
                                   32,
                                   63,
                                   64,
                                   0x7f,
                                   0x80,
                                   0xff,
                                   0x7fff,
                                   0x8000,
                                   0x7fffffff,
                                   0x80000000,
                                   0xffffffff,
                                   0x100000000,
                                   0x7fffffffffffffff,
                                   0x8000000000000000,
                                   0x8000000000000001,
                                   0xffffffff80000000,
                                   0xffffffffffffffff,
                                   0xfffffffffffffffe,
                                   0x0123456789abcdef,
                                   0xaaaaaaaa55555555,
                                   0x00ff000001800080 };
enum { CORNERS = sizeof(CORNER) / sizeof(CORNER[0]) };

/* ---- helpers of the expectations: bit by bit ---- */

static int bit(uint64_t v, unsigned n)
{
    return (int)(v >> n & 1);
}

static uint64_t s32(uint64_t v)
{
    return bit(v, 31) ? v | 0xffffffff00000000 : v & 0xffffffff;
}

static i128 sgn(uint64_t v)
{
    return bit(v, 63) ? (i128)v - ((i128)1 << 64) : (i128)v;
}

static uint64_t ror_bits(uint64_t v, uint64_t by, unsigned width)
{
    uint64_t r = 0;
    for (unsigned n = 0; n < width; n++)
        if (bit(v, (unsigned)((n + by) % width)))
            r |= 1ULL << n;
    return r;
}

static uint64_t shift_right(uint64_t v, uint64_t by, unsigned width, int fill)
{
    uint64_t r = 0;
    for (unsigned n = 0; n < width; n++)
        if (n + by < width ? bit(v, (unsigned)(n + by)) : fill)
            r |= 1ULL << n;
    return r;
}

static u128 carryless(uint64_t a, uint64_t b)
{
    u128 r = 0;
    for (unsigned x = 0; x < 64; x++)
        for (unsigned y = 0; y < 64; y++)
            if (bit(a, x) && bit(b, y))
                r ^= (u128)1 << (x + y);
    return r;
}

static i128 quotient(i128 a, i128 b)
{
    return b == 0 ? -1 : a / b;
}

static i128 remainder_of(i128 a, i128 b)
{
    return b == 0 ? a : a % b;
}

/* ---- register and register: funct7, funct3, opcode, result ---- */

#define RR(X)                                                                                                                    \
    X(add, 0x00, 0, 0x33, (uint64_t)((u128)a + b))                                                                               \
    X(sub, 0x20, 0, 0x33, (uint64_t)(sgn(a) - sgn(b)))                                                                           \
    X(sll, 0x00, 1, 0x33, (uint64_t)((u128)a << b % 64))                                                                         \
    X(slt, 0x00, 2, 0x33, sgn(a) < sgn(b))                                                                                       \
    X(sltu, 0x00, 3, 0x33, (u128)a < b)                                                                                          \
    X(xor, 0x00, 4, 0x33, (a | b) - (a & b))                                                                                     \
    X(srl, 0x00, 5, 0x33, shift_right(a, b % 64, 64, 0))                                                                         \
    X(sra, 0x20, 5, 0x33, shift_right(a, b % 64, 64, bit(a, 63)))                                                                \
    X(or, 0x00, 6, 0x33, ~(~a & ~b))                                                                                             \
    X(and, 0x00, 7, 0x33, ~(~a | ~b))                                                                                            \
    X(addw, 0x00, 0, 0x3b, s32(a + b))                                                                                           \
    X(subw, 0x20, 0, 0x3b, s32(a - b))                                                                                           \
    X(sllw, 0x00, 1, 0x3b, s32(a << b % 32))                                                                                     \
    X(srlw, 0x00, 5, 0x3b, s32(shift_right(a, b % 32, 32, 0)))                                                                   \
    X(sraw, 0x20, 5, 0x3b, s32(shift_right(a, b % 32, 32, bit(a, 31))))                                                          \
    X(mul, 0x01, 0, 0x33, (uint64_t)(sgn(a) * sgn(b)))                                                                           \
    X(mulh, 0x01, 1, 0x33, (uint64_t)(sgn(a) * sgn(b) >> 64))                                                                    \
    X(mulhsu, 0x01, 2, 0x33, (uint64_t)(sgn(a) * (i128)b >> 64))                                                                 \
    X(mulhu, 0x01, 3, 0x33, (uint64_t)((u128)a * b >> 64))                                                                       \
    X(div, 0x01, 4, 0x33, (uint64_t)quotient(sgn(a), sgn(b)))                                                                    \
    X(divu, 0x01, 5, 0x33, (uint64_t)quotient((i128)a, (i128)b))                                                                 \
    X(rem, 0x01, 6, 0x33, (uint64_t)remainder_of(sgn(a), sgn(b)))                                                                \
    X(remu, 0x01, 7, 0x33, (uint64_t)remainder_of((i128)a, (i128)b))                                                             \
    X(mulw, 0x01, 0, 0x3b, s32((uint64_t)(sgn(a) * sgn(b))))                                                                     \
    X(divw, 0x01, 4, 0x3b, s32((uint64_t)quotient(sgn(s32(a)), sgn(s32(b)))))                                                    \
    X(divuw, 0x01, 5, 0x3b, s32((uint64_t)quotient((uint32_t)a, (uint32_t)b)))                                                   \
    X(remw, 0x01, 6, 0x3b, s32((uint64_t)remainder_of(sgn(s32(a)), sgn(s32(b)))))                                                \
    X(remuw, 0x01, 7, 0x3b, s32((uint64_t)remainder_of((uint32_t)a, (uint32_t)b)))                                               \
    X(czero_eqz, 0x07, 5, 0x33, b ? a : 0)                                                                                       \
    X(czero_nez, 0x07, 7, 0x33, b ? 0 : a)                                                                                       \
    X(add_uw, 0x04, 0, 0x3b, a % 0x100000000 + b)                                                                                \
    X(sh1add, 0x10, 2, 0x33, a * 2 + b)                                                                                          \
    X(sh2add, 0x10, 4, 0x33, a * 4 + b)                                                                                          \
    X(sh3add, 0x10, 6, 0x33, a * 8 + b)                                                                                          \
    X(sh1add_uw, 0x10, 2, 0x3b, a % 0x100000000 * 2 + b)                                                                         \
    X(sh2add_uw, 0x10, 4, 0x3b, a % 0x100000000 * 4 + b)                                                                         \
    X(sh3add_uw, 0x10, 6, 0x3b, a % 0x100000000 * 8 + b)                                                                         \
    X(andn, 0x20, 7, 0x33, a - (a & b))                                                                                          \
    X(orn, 0x20, 6, 0x33, ~(b & ~a))                                                                                             \
    X(xnor, 0x20, 4, 0x33, (a & b) + ~(a | b))                                                                                   \
    X(max, 0x05, 6, 0x33, (uint64_t)(sgn(a) < sgn(b) ? sgn(b) : sgn(a)))                                                         \
    X(maxu, 0x05, 7, 0x33, a < b ? b : a)                                                                                        \
    X(min, 0x05, 4, 0x33, (uint64_t)(sgn(a) < sgn(b) ? sgn(a) : sgn(b)))                                                         \
    X(minu, 0x05, 5, 0x33, a < b ? a : b)                                                                                        \
    X(rol, 0x30, 1, 0x33, ror_bits(a, 64 - b % 64, 64))                                                                          \
    X(rolw, 0x30, 1, 0x3b, s32(ror_bits(a, 32 - b % 32, 32)))                                                                    \
    X(ror, 0x30, 5, 0x33, ror_bits(a, b % 64, 64))                                                                               \
    X(rorw, 0x30, 5, 0x3b, s32(ror_bits(a, b % 32, 32)))                                                                         \
    X(clmul, 0x05, 1, 0x33, (uint64_t)carryless(a, b))                                                                           \
    X(clmulh, 0x05, 3, 0x33, (uint64_t)(carryless(a, b) >> 64))                                                                  \
    X(clmulr, 0x05, 2, 0x33, (uint64_t)(carryless(a, b) >> 63))                                                                  \
    X(bclr, 0x24, 1, 0x33, a - ((uint64_t)bit(a, b % 64) << b % 64))                                                             \
    X(bext, 0x24, 5, 0x33, (uint64_t)bit(a, b % 64))                                                                             \
    X(binv, 0x34, 1, 0x33, bit(a, b % 64) ? a - (1ULL << b % 64) : a + (1ULL << b % 64))                                         \
    X(bset, 0x14, 1, 0x33, bit(a, b % 64) ? a : a + (1ULL << b % 64))                                                            \
    X(pack, 0x04, 4, 0x33, a % 0x100000000 + b % 0x100000000 * 0x100000000)                                                      \
    X(packh, 0x04, 7, 0x33, a % 256 + b % 256 * 256)                                                                             \
    X(packw, 0x04, 4, 0x3b, s32(a % 65536 + b % 65536 * 65536))

#define EXPECT(name, f7, f3, opcode, result)                                                                                     \
    static uint64_t expect_##name(uint64_t a, uint64_t b)                                                                        \
    {                                                                                                                            \
        return (uint64_t)(result);                                                                                               \
    }
RR(EXPECT)

struct row {
    const char *name;
    uint32_t word;
    expect_fn expect;
};
#define ROW(name, f7, f3, opcode, result)                                                                                        \
    { #name, (uint32_t)(f7) << 25 | RS2 << 20 | RS1 << 15 | (f3) << 12 | RD << 7 | (opcode), expect_##name },
static const struct row rr_rows[] = { RR(ROW) };

/* ---- one source: the upper twelve bits, funct3, opcode ---- */

static unsigned leading(uint64_t a, unsigned width)
{
    unsigned n = 0;
    while (n < width && !bit(a, width - 1 - n))
        n++;
    return n;
}

static unsigned trailing(uint64_t a, unsigned width)
{
    unsigned n = 0;
    while (n < width && !bit(a, n))
        n++;
    return n;
}

static unsigned population(uint64_t a, unsigned width)
{
    unsigned sum = 0;
    for (unsigned n = 0; n < width; n++)
        sum += (unsigned)bit(a, n);
    return sum;
}

/* Bit n of the result is bit map(n) of a. */
static uint64_t bytes_reversed(uint64_t a, int of_bytes)
{
    uint64_t r = 0;
    for (unsigned n = 0; n < 64; n++)
        if (bit(a, of_bytes ? (7 - n / 8) * 8 + n % 8 : n / 8 * 8 + (7 - n % 8)))
            r |= 1ULL << n;
    return r;
}

static uint64_t or_of_bytes(uint64_t a)
{
    uint64_t r = 0;
    for (unsigned k = 0; k < 8; k++)
        r += (a >> 8 * k) % 256 ? 255ULL << 8 * k : 0;
    return r;
}

#define R1(X)                                                                                                                    \
    X(clz, 0x600, 1, 0x13, leading(a, 64))                                                                                       \
    X(clzw, 0x600, 1, 0x1b, leading(a, 32))                                                                                      \
    X(ctz, 0x601, 1, 0x13, trailing(a, 64))                                                                                      \
    X(ctzw, 0x601, 1, 0x1b, trailing(a, 32))                                                                                     \
    X(cpop, 0x602, 1, 0x13, population(a, 64))                                                                                   \
    X(cpopw, 0x602, 1, 0x1b, population(a, 32))                                                                                  \
    X(sext_b, 0x604, 1, 0x13, bit(a, 7) ? a % 256 - 256 : a % 256)                                                               \
    X(sext_h, 0x605, 1, 0x13, bit(a, 15) ? a % 65536 - 65536 : a % 65536)                                                        \
    X(zext_h, 0x080, 4, 0x3b, a % 65536)                                                                                         \
    X(orc_b, 0x287, 5, 0x13, or_of_bytes(a))                                                                                     \
    X(rev8, 0x6b8, 5, 0x13, bytes_reversed(a, 1))                                                                                \
    X(brev8, 0x687, 5, 0x13, bytes_reversed(a, 0))

#define EXPECT1(name, high, f3, opcode, result)                                                                                  \
    static uint64_t expect_##name(uint64_t a, uint64_t b)                                                                        \
    {                                                                                                                            \
        (void)b;                                                                                                                 \
        return (uint64_t)(result);                                                                                               \
    }
R1(EXPECT1)
#define ROW1(name, high, f3, opcode, result)                                                                                     \
    { #name, (uint32_t)(high) << 20 | RS1 << 15 | (f3) << 12 | RD << 7 | (opcode), expect_##name },
static const struct row r1_rows[] = { R1(ROW1) };

/* ---- immediates are checked against the register form: the twelve bits, or a shift's upper ones ---- */

struct imm_row {
    const char *name;
    uint32_t word; /* rd, rs1, funct3, opcode and fixed upper bits; the immediate is 0 */
    unsigned bits; /* of the immediate: 12 (signed), 6, 5 */
    expect_fn expect;
};
#define IMM(name, high, f3, opcode, bits, of)                                                                                    \
    {                                                                                                                            \
#name, (uint32_t)(high) << 20 | RS1 << 15 | (f3) << 12 | RD << 7 | (opcode), bits, expect_##of                           \
    }
static const struct imm_row imm_rows[] = {
    IMM(addi, 0, 0, 0x13, 12, add),      IMM(slti, 0, 2, 0x13, 12, slt),      IMM(sltiu, 0, 3, 0x13, 12, sltu),
    IMM(xori, 0, 4, 0x13, 12, xor),      IMM(ori, 0, 6, 0x13, 12, or),        IMM(andi, 0, 7, 0x13, 12, and),
    IMM(addiw, 0, 0, 0x1b, 12, addw),    IMM(slli, 0, 1, 0x13, 6, sll),       IMM(srli, 0, 5, 0x13, 6, srl),
    IMM(srai, 0x400, 5, 0x13, 6, sra),   IMM(slliw, 0, 1, 0x1b, 5, sllw),     IMM(srliw, 0, 5, 0x1b, 5, srlw),
    IMM(sraiw, 0x400, 5, 0x1b, 5, sraw), IMM(rori, 0x600, 5, 0x13, 6, ror),   IMM(roriw, 0x600, 5, 0x1b, 5, rorw),
    IMM(bclri, 0x480, 1, 0x13, 6, bclr), IMM(bexti, 0x480, 5, 0x13, 6, bext), IMM(binvi, 0x680, 1, 0x13, 6, binv),
    IMM(bseti, 0x280, 1, 0x13, 6, bset),
};

/* ---- running them ---- */

static struct bare_riscv m;

static int set_up(void **state)
{
    struct error err;
    (void)state;
    return bare_riscv_init(&m, NULL, &err);
}

static int tear_down(void **state)
{
    (void)state;
    bare_riscv_done(&m);
    return 0;
}

/* The result in rd of one instruction; it must not trap, nor touch another register. */
static uint64_t execute(uint32_t word, uint64_t a, uint64_t b)
{
    static unsigned at;
    gpa_t pc = RV_RAM + 4 * (at++ % 0x100000);
    rv_poke(&m, pc, word, 4);
    for (unsigned n = 1; n < 32; n++)
        m.c->x[n] = 0xdead0000 + n;
    m.c->pc = pc;
    m.c->x[RS1] = a;
    m.c->x[RS2] = b;
    riscv_run_step(m.vcpu->engine_cpu, m.c);
    assert_int_equal(m.c->pc, pc + 4);
    assert_int_equal(m.c->x[RS1], a);
    assert_int_equal(m.c->x[RS2], b);
    for (unsigned n = 8; n < 32; n++)
        assert_int_equal(m.c->x[n], 0xdead0000 + n);
    return m.c->x[RD];
}

static void check(const struct row *row, unsigned nr)
{
    for (const struct row *r = row; r < row + nr; r++)
        for (unsigned i = 0; i < CORNERS; i++)
            for (unsigned k = 0; k < CORNERS; k++) {
                uint64_t got = execute(r->word, CORNER[i], CORNER[k]), want = r->expect(CORNER[i], CORNER[k]);
                if (got != want)
                    fail_msg("%s of %#lx, %#lx is %#lx, not %#lx", r->name, CORNER[i], CORNER[k], got, want);
            }
}

static void register_register(void **state)
{
    (void)state;
    check(rr_rows, sizeof(rr_rows) / sizeof(rr_rows[0]));
}

static void one_register(void **state)
{
    (void)state;
    check(r1_rows, sizeof(r1_rows) / sizeof(r1_rows[0]));
}

static void register_immediate(void **state)
{
    (void)state;
    for (const struct imm_row *r = imm_rows; r < imm_rows + sizeof(imm_rows) / sizeof(imm_rows[0]); r++)
        for (unsigned i = 0; i < CORNERS; i++)
            for (uint32_t n = 0; n < 1U << r->bits; n += r->bits == 12 ? 37 : 1) {
                uint64_t imm = r->bits == 12 && n >> 11 ? n | ~0xfffULL : n;
                uint64_t got = execute(r->word | n << 20, CORNER[i], 0), want = r->expect(CORNER[i], imm);
                if (got != want)
                    fail_msg("%s of %#lx, %#lx is %#lx, not %#lx", r->name, CORNER[i], imm, got, want);
            }
}

static void x0_stays_zero(void **state)
{
    (void)state;
    for (unsigned k = 0; k < sizeof(rr_rows) / sizeof(rr_rows[0]); k++) {
        (void)execute(rr_rows[k].word & ~(31U << 7), ~0ULL, 3);
        assert_int_equal(m.c->x[0], 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(register_register, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_register, set_up, tear_down),
        cmocka_unit_test_setup_teardown(register_immediate, set_up, tear_down),
        cmocka_unit_test_setup_teardown(x0_stays_zero, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
