/* SPDX-License-Identifier: MIT */
/*
 * Laws of the CLINT: software interrupts follow msip, timers fire when time reaches mtimecmp.
 */
#include "device/clint.h"
#include "support/chip.h"

enum { MTIMECMP = 0x4000, MTIME = 0xbff8 };

static struct clint c;
static struct vm_clock guest_clock;
static struct probe soft[2], timer[2];

static int set_up(void **state)
{
    (void)state;
    memset(soft, 0, sizeof(soft));
    memset(timer, 0, sizeof(timer));
    test_clock(&guest_clock);
    clint_init(&c, &guest_clock);
    for (unsigned n = 0; n < 2; n++)
        clint_add_hart(&c, PROBE_LINE(&soft[n]), PROBE_LINE(&timer[n]));
    clint_class.reset(&c);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    clint_class.done(&c);
    vm_clock_done(&guest_clock);
    return 0;
}

static void write_reg(uint64_t offset, uint64_t v, unsigned size)
{
    clint_io_ops.write(&c, offset, v, size);
}

static uint64_t read_reg(uint64_t offset, unsigned size)
{
    return clint_io_ops.read(&c, offset, size);
}

static void msip_is_its_lowest_bit(void **state)
{
    (void)state;
    write_reg(4, ~0ULL, 4);
    assert_false(soft[0].level);
    assert_true(soft[1].level);
    assert_int_equal(read_reg(4, 4), 1);
    write_reg(4, 2, 4);
    assert_false(soft[1].level);
    write_reg(0, 0x100000001, 8);
    assert_true(soft[0].level && soft[1].level);
    assert_int_equal(read_reg(0, 8), 0x100000001);
    write_reg(8, 1, 4); /* no such hart */
    assert_int_equal(read_reg(8, 4), 0);
}

static void the_timer_fires_at_mtimecmp_and_falls_when_it_is_moved(void **state)
{
    (void)state;
    write_reg(MTIMECMP + 8, 100, 8); /* 10 us */
    vm_clock_advance(&guest_clock, 10 * US - 1);
    assert_false(timer[1].level);
    vm_clock_advance(&guest_clock, 1);
    assert_true(timer[1].level);
    assert_int_equal(read_reg(MTIME, 8), 100);
    write_reg(MTIMECMP + 8, 101, 8);
    assert_false(timer[1].level);
    write_reg(MTIMECMP + 8, 0, 8); /* long past: at once */
    assert_true(timer[1].level);
    assert_false(timer[0].level);
}

static void halves_are_written_alone(void **state)
{
    (void)state;
    write_reg(MTIMECMP, 0x11223344, 4);
    write_reg(MTIMECMP + 4, 0x55667788, 4);
    assert_int_equal(read_reg(MTIMECMP, 8), 0x5566778811223344);
    assert_int_equal(read_reg(MTIMECMP + 4, 4), 0x55667788);
    write_reg(MTIMECMP, 1, 4);
    write_reg(MTIMECMP + 4, 0, 4);
    vm_clock_advance(&guest_clock, CLINT_TICK_NS);
    assert_true(timer[0].level);
}

static void time_cannot_be_set(void **state)
{
    (void)state;
    vm_clock_advance(&guest_clock, MS);
    write_reg(MTIME, 5, 8);
    assert_int_equal(read_reg(MTIME, 8), 10000);
    assert_int_equal(read_reg(MTIME, 4), 10000);
}

static void state_round_trips_and_arms(void **state)
{
    static struct clint other;
    static struct probe line[2];
    (void)state;
    memset(line, 0, sizeof(line));
    write_reg(MTIMECMP, 1000, 8);
    write_reg(0, 1, 4);
    clint_init(&other, &guest_clock);
    clint_add_hart(&other, PROBE_LINE(&line[0]), PROBE_LINE(&line[1]));
    check_round_trip(clint_class.state, &c, &other);
    assert_true(line[0].level);
    vm_clock_advance(&guest_clock, 1000 * CLINT_TICK_NS);
    assert_true(line[1].level);
    clint_class.done(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(msip_is_its_lowest_bit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_timer_fires_at_mtimecmp_and_falls_when_it_is_moved, set_up, tear_down),
        cmocka_unit_test_setup_teardown(halves_are_written_alone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(time_cannot_be_set, set_up, tear_down),
        cmocka_unit_test_setup_teardown(state_round_trips_and_arms, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
