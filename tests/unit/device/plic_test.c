/* SPDX-License-Identifier: MIT */
/*
 * Laws of the PLIC: who is interrupted, what a claim gives, and what a completion brings back.
 */
#include "device/plic.h"
#include "support/chip.h"

enum { ENABLE = 0x2000, CONTEXT = 0x200000 };

static struct plic p;
static struct probe out[3];

static int set_up(void **state)
{
    (void)state;
    memset(out, 0, sizeof(out));
    plic_init(&p);
    for (unsigned k = 0; k < 3; k++)
        plic_add_context(&p, PROBE_LINE(&out[k]));
    plic_class.reset(&p);
    return 0;
}

static void write32(uint64_t offset, uint32_t v)
{
    plic_io_ops.write(&p, offset, v, 4);
}

static uint32_t read32(uint64_t offset)
{
    return (uint32_t)plic_io_ops.read(&p, offset, 4);
}

static void open_source(unsigned context, unsigned source, unsigned priority)
{
    write32(4 * source, priority);
    uint64_t at = ENABLE + 0x80 * context + 4 * (source / 32);
    write32(at, read32(at) | 1U << source % 32);
}

static uint32_t claim(unsigned context)
{
    return read32(CONTEXT + 0x1000 * context + 4);
}

static void complete(unsigned context, uint32_t source)
{
    write32(CONTEXT + 0x1000 * context + 4, source);
}

static void only_enabled_sources_above_the_threshold_interrupt(void **state)
{
    (void)state;
    open_source(1, 10, 3);
    plic_set_irq(&p, 10, true);
    assert_false(out[0].level);
    assert_true(out[1].level);
    write32(CONTEXT + 0x1000, 3);
    assert_false(out[1].level);
    write32(CONTEXT + 0x1000, 2);
    assert_true(out[1].level);
    write32(4 * 10, 0);
    assert_false(out[1].level);
    assert_int_equal(read32(0x1000), 1 << 10);
}

static void a_claim_gives_the_highest_priority_then_the_lowest_number(void **state)
{
    (void)state;
    open_source(0, 5, 2);
    open_source(0, 40, 7);
    open_source(0, 41, 7);
    plic_set_irq(&p, 5, true);
    plic_set_irq(&p, 41, true);
    plic_set_irq(&p, 40, true);
    assert_int_equal(claim(0), 40);
    assert_int_equal(claim(0), 41);
    assert_int_equal(claim(0), 5);
    assert_false(out[0].level);
    assert_int_equal(claim(0), 0);
}

static void a_claimed_source_comes_back_after_completion_while_its_line_is_high(void **state)
{
    (void)state;
    open_source(2, 1, 1);
    plic_set_irq(&p, 1, true);
    assert_int_equal(claim(2), 1);
    plic_set_irq(&p, 1, true);
    assert_false(out[2].level);
    complete(0, 1); /* not enabled there: ignored */
    assert_false(out[2].level);
    complete(2, 1);
    assert_true(out[2].level);
    assert_int_equal(claim(2), 1);
    plic_set_irq(&p, 1, false);
    complete(2, 1);
    assert_false(out[2].level);
}

static void source_0_and_what_does_not_exist_are_ignored(void **state)
{
    (void)state;
    write32(0, 7);
    write32(ENABLE, 1);
    assert_int_equal(read32(0), 0);
    assert_int_equal(read32(ENABLE), 0);
    write32(4 * PLIC_SOURCES, 7);
    assert_int_equal(read32(4 * PLIC_SOURCES), 0);
    write32(ENABLE + 0x80 * 3, ~0U);
    assert_int_equal(read32(ENABLE + 0x80 * 3), 0);
    complete(0, 0);
    complete(0, ~0U);
    complete(100, 1);
    assert_int_equal(claim(100), 0);
    write32(4 * 10, ~0U);
    assert_int_equal(read32(4 * 10), PLIC_PRIORITY_MAX);
}

static void state_round_trips_with_its_outputs(void **state)
{
    static struct plic other;
    static struct probe line;
    (void)state;
    open_source(0, 33, 4);
    plic_set_irq(&p, 33, true);
    plic_init(&other);
    plic_add_context(&other, PROBE_LINE(&line));
    check_round_trip(plic_class.state, &p, &other);
    assert_true(line.level);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(only_enabled_sources_above_the_threshold_interrupt, set_up),
        cmocka_unit_test_setup(a_claim_gives_the_highest_priority_then_the_lowest_number, set_up),
        cmocka_unit_test_setup(a_claimed_source_comes_back_after_completion_while_its_line_is_high, set_up),
        cmocka_unit_test_setup(source_0_and_what_does_not_exist_are_ignored, set_up),
        cmocka_unit_test_setup(state_round_trips_with_its_outputs, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
