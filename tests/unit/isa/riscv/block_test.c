/* SPDX-License-Identifier: MIT */
/*
 * Decoded blocks: where they end, and that what is written to their code is seen.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/types.h"
#include "isa/riscv/block.h"
#include "isa/riscv/insn_steps.h"
#include "isa/riscv/profile.h"

enum { ADDI = 0x00150513, C_ADDI = 0x0505, C_NOP = 0x0001, BEQ = 0x00000463, JAL = 0x0080006f, CSRR = 0x10002573 };
enum { PAGES = 1024 };

static uint8_t ram[PAGES * GPAGE_SIZE] __attribute__((aligned(4096)));
static struct riscv_blocks *blocks;

static int set_up(void **state)
{
    (void)state;
    memset(ram, 0, sizeof(ram));
    blocks = riscv_blocks_new();
    return blocks ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    riscv_blocks_free(blocks);
    return 0;
}

/* Puts instructions one behind the other; returns what follows. */
static uint8_t *put(uint8_t *at, uint32_t bits)
{
    unsigned len = riscv_insn_len((uint16_t)bits);
    memcpy(at, &bits, len);
    return at + len;
}

static const struct riscv_block *get(const uint8_t *host)
{
    return riscv_blocks_get(blocks, host, riscv_profile_default());
}

static void a_block_ends_with_what_may_go_elsewhere(void **state)
{
    const uint32_t ends[] = { BEQ, JAL, CSRR, 0 /* illegal */ };
    (void)state;
    for (unsigned k = 0; k < sizeof(ends) / sizeof(ends[0]); k++) {
        uint8_t *at = ram + GPAGE_SIZE * k;
        (void)put(put(put(put(at, ADDI), C_ADDI), ends[k]), ADDI);
        const struct riscv_block *b = get(at);
        assert_int_equal(b->nr, 3);
        assert_int_equal(b->len, 6 + riscv_insn_len((uint16_t)ends[k]));
        assert_int_equal(b->branch, ends[k] == BEQ);
        assert_ptr_equal(b->insn[0].step, rv_addi);
        assert_int_equal(b->insn[1].bits, C_ADDI);
    }
}

static void none_leaves_its_page(void **state)
{
    uint8_t *at = ram + GPAGE_SIZE - 6;
    (void)state;
    (void)put(put(put(at, C_ADDI), ADDI), ADDI);
    assert_int_equal(get(at)->nr, 2);
    (void)put(put(at, ADDI), ADDI);
    assert_int_equal(get(at)->nr, 1);
    assert_null(get(at + 4)); /* it goes on in the next one */
    (void)put(at + 4, C_NOP);
    assert_int_equal(get(at + 4)->nr, 1);
}

/* Each byte of a block, also one that makes the last instruction longer. */
static void what_is_written_is_seen(void **state)
{
    (void)state;
    for (unsigned off = 0; off < 22; off += 2) {
        uint8_t *at = ram + 2 * off;
        for (unsigned k = 0; k < 10; k++)
            (void)put(at + 2 * k, C_NOP);
        (void)put(at + 20, 0xa001); /* c.j */
        const struct riscv_block *b = get(at);
        assert_int_equal(b->nr, 11);
        assert_ptr_equal(get(at), b);
        (void)put(at + off, C_ADDI);
        b = get(at);
        assert_int_equal(b->insn[off / 2].bits, C_ADDI);
        at[off] ^= 0x80;
        assert_int_equal(get(at)->insn[off / 2].bits, C_ADDI ^ 0x80);
    }
}

/* One that was there behind another is not taken for what is there now. */
static void those_behind_each_other_are_compared_too(void **state)
{
    uint8_t *next = put(put(ram, ADDI), BEQ), *other = ram + 256;
    (void)state;
    (void)put(put(next, C_ADDI), JAL);
    (void)put(other, JAL);
    for (unsigned round = 0; round < 3; round++) {
        (void)get(ram);
        assert_int_equal(get(next)->insn[0].bits, C_ADDI);
        (void)get(ram);
        assert_int_equal(get(other)->insn[0].bits, JAL);
    }
    (void)put(next, C_NOP);
    (void)get(ram);
    assert_int_equal(get(next)->insn[0].bits, C_NOP);
}

/* More code than there is room for: all are right, and again after all was forgotten. */
static void a_full_arena_begins_anew(void **state)
{
    (void)state;
    for (unsigned k = 0; k < sizeof(ram) / 8; k++)
        (void)put(put(ram + 8UL * k, 0x00000513 | (k & 0x7ff) << 20 /* addi a0, zero, k */), JAL);
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned k = 0; k < sizeof(ram) / 8; k++) {
            const struct riscv_block *b = get(ram + 8UL * k);
            assert_int_equal(b->nr, 2);
            assert_int_equal(b->insn[0].imm, k & 0x7ff);
        }
        riscv_blocks_drop(blocks);
    }
    assert_true(riscv_blocks_decoded(blocks) >= 2 * sizeof(ram) / 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_block_ends_with_what_may_go_elsewhere, set_up, tear_down),
        cmocka_unit_test_setup_teardown(none_leaves_its_page, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_written_is_seen, set_up, tear_down),
        cmocka_unit_test_setup_teardown(those_behind_each_other_are_compared_too, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_full_arena_begins_anew, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
