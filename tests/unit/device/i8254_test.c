/* SPDX-License-Identifier: MIT */
/*
 * Laws of the 8254 and of port 61h, from the datasheet's mode descriptions.
 */
#include "device/i8254.h"
#include "device/port61.h"
#include "support/chip.h"

static struct vm_clock vclock;
static struct probe irq;
static struct i8254 pit;
static struct port61 port61;

static int setup(void **state)
{
    (void)state;
    irq = (struct probe){ 0 };
    test_clock(&vclock);
    i8254_init(&pit, &vclock, PROBE_LINE(&irq));
    port61_init(&port61, &vclock, &pit);
    i8254_class.reset(&pit);
    port61_class.reset(&port61);
    irq.rises = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    i8254_class.done(&pit);
    return 0;
}

static void control(uint8_t v)
{
    wr(&i8254_io_ops, &pit, 3, v);
}

static void count(unsigned n, uint16_t v)
{
    wr(&i8254_io_ops, &pit, n, (uint8_t)v);
    wr(&i8254_io_ops, &pit, n, (uint8_t)(v >> 8));
}

static uint16_t value(unsigned n)
{
    uint8_t low = rd(&i8254_io_ops, &pit, n);
    return (uint16_t)(low | rd(&i8254_io_ops, &pit, n) << 8);
}

/* Moves time to the middle of the tick that is `n` ticks after the one we are in. */
static void ticks(uint64_t n)
{
    uint64_t now = (uint64_t)((unsigned __int128)vm_clock_now(&vclock) * I8254_HZ / NS_PER_S);
    ns_t at = (ns_t)(((unsigned __int128)(2 * (now + n) + 1) * NS_PER_S) / (2 * I8254_HZ));
    vm_clock_advance(&vclock, at - vm_clock_now(&vclock));
}

/* A count is loaded by the clock after the write: N is seen one tick later. Channel 2 is used where the line does not matter. */
static void load(unsigned n, uint16_t v)
{
    count(n, v);
    ticks(1);
}

static void mode_0_goes_high_at_terminal_count_and_stays(void **state)
{
    (void)state;
    ticks(3);
    i8254_set_gate(&pit, 2, true);
    control(0xb0);
    assert_false(i8254_out(&pit, 2));
    load(2, 100);
    assert_int_equal(value(2), 100);
    ticks(99);
    assert_false(i8254_out(&pit, 2));
    ticks(1);
    assert_true(i8254_out(&pit, 2));
    ticks(70000);
    assert_true(i8254_out(&pit, 2));
    assert_int_equal(value(2), (uint16_t)-70000); /* counts on, wrapping */
}

static void mode_0_closed_gate_holds_the_count(void **state)
{
    (void)state;
    i8254_set_gate(&pit, 2, true);
    control(0xb0);
    load(2, 100);
    ticks(10);
    i8254_set_gate(&pit, 2, false);
    ticks(50);
    assert_int_equal(value(2), 90);
    i8254_set_gate(&pit, 2, true);
    ticks(5);
    assert_int_equal(value(2), 85);
}

static void mode_0_first_byte_stops_the_count(void **state)
{
    (void)state;
    i8254_set_gate(&pit, 2, true);
    control(0xb0);
    load(2, 10);
    ticks(20);
    assert_true(i8254_out(&pit, 2));
    wr(&i8254_io_ops, &pit, 2, 50);
    assert_false(i8254_out(&pit, 2));
    ticks(100);
    assert_false(i8254_out(&pit, 2));
    wr(&i8254_io_ops, &pit, 2, 0);
    ticks(50);
    assert_false(i8254_out(&pit, 2));
    ticks(1);
    assert_true(i8254_out(&pit, 2));
}

static void mode_1_pulse_starts_at_the_gate_and_can_be_restarted(void **state)
{
    (void)state;
    control(0xb2);
    load(2, 100);
    ticks(1000);
    assert_true(i8254_out(&pit, 2));
    i8254_set_gate(&pit, 2, true);
    ticks(1);
    assert_false(i8254_out(&pit, 2));
    i8254_set_gate(&pit, 2, false);
    ticks(60);
    assert_false(i8254_out(&pit, 2)); /* the gate's level is of no matter */
    i8254_set_gate(&pit, 2, true);
    ticks(100);
    assert_false(i8254_out(&pit, 2));
    ticks(1);
    assert_true(i8254_out(&pit, 2));
}

static void mode_2_is_low_in_the_last_clock_of_each_period(void **state)
{
    (void)state;
    i8254_set_gate(&pit, 2, true);
    control(0xb4);
    load(2, 5);
    for (unsigned t = 0; t < 20; t++) {
        assert_int_equal(value(2), 5 - t % 5);
        assert_int_equal(i8254_out(&pit, 2), t % 5 != 4);
        ticks(1);
    }
}

static void mode_2_new_count_waits_for_the_period(void **state)
{
    (void)state;
    i8254_set_gate(&pit, 2, true);
    control(0xb4);
    load(2, 100);
    ticks(40);
    count(2, 1000);
    ticks(50);
    assert_int_equal(value(2), 10);
    ticks(10);
    assert_int_equal(value(2), 1000);
}

static void mode_2_gate_restarts_the_period(void **state)
{
    (void)state;
    i8254_set_gate(&pit, 2, true);
    control(0xb4);
    load(2, 100);
    ticks(30);
    i8254_set_gate(&pit, 2, false);
    ticks(5);
    assert_true(i8254_out(&pit, 2));
    i8254_set_gate(&pit, 2, true);
    ticks(1);
    assert_int_equal(value(2), 100);
}

static void mode_3_is_a_square_wave(void **state)
{
    (void)state;
    static const uint16_t counts[] = { 8, 7 };
    for (unsigned i = 0; i < 2; i++) {
        setup(NULL);
        i8254_set_gate(&pit, 2, true);
        control(0xb6);
        load(2, counts[i]);
        unsigned n = counts[i], high = (n + 1) / 2;
        for (unsigned t = 0; t < 4 * n; t++) {
            assert_int_equal(i8254_out(&pit, 2), t % n < high);
            unsigned phase = t % n < high ? t % n : t % n - high;
            assert_int_equal(value(2), (n & ~1U) - 2 * phase);
            ticks(1);
        }
    }
}

static void mode_4_strobes_for_one_clock(void **state)
{
    (void)state;
    i8254_set_gate(&pit, 2, true);
    control(0xb8);
    assert_true(i8254_out(&pit, 2));
    load(2, 10);
    ticks(9);
    assert_true(i8254_out(&pit, 2));
    ticks(1);
    assert_false(i8254_out(&pit, 2));
    ticks(1);
    assert_true(i8254_out(&pit, 2));
}

static void mode_5_strobes_after_the_gate(void **state)
{
    (void)state;
    control(0xba);
    load(2, 10);
    ticks(100);
    assert_true(i8254_out(&pit, 2));
    i8254_set_gate(&pit, 2, true);
    ticks(1 + 10);
    assert_false(i8254_out(&pit, 2));
    ticks(1);
    assert_true(i8254_out(&pit, 2));
}

static void count_0_is_the_largest(void **state)
{
    (void)state;
    i8254_set_gate(&pit, 2, true);
    control(0xb0);
    load(2, 0);
    ticks(65535);
    assert_false(i8254_out(&pit, 2));
    ticks(1);
    assert_true(i8254_out(&pit, 2));
    control(0xb1);
    load(2, 0);
    ticks(9999);
    assert_false(i8254_out(&pit, 2));
    ticks(1);
    assert_true(i8254_out(&pit, 2));
}

static void bcd_counts_in_decimal(void **state)
{
    (void)state;
    i8254_set_gate(&pit, 2, true);
    control(0xb1);
    load(2, 0x1000);
    ticks(1);
    assert_int_equal(value(2), 0x0999);
    ticks(999 + 1);
    assert_int_equal(value(2), 0x9999);
}

static void latch_holds_until_read_and_ignores_a_second(void **state)
{
    (void)state;
    i8254_set_gate(&pit, 2, true);
    control(0xb4);
    load(2, 1000);
    control(0x80);
    ticks(10);
    control(0x80);
    assert_int_equal(value(2), 1000);
    assert_int_equal(value(2), 990);
}

static void single_byte_accesses_touch_one_half(void **state)
{
    (void)state;
    i8254_set_gate(&pit, 2, true);
    control(0xa4); /* high byte, mode 2 */
    wr(&i8254_io_ops, &pit, 2, 0x12);
    ticks(1);
    assert_int_equal(rd(&i8254_io_ops, &pit, 2), 0x12);
    ticks(1);
    assert_int_equal(rd(&i8254_io_ops, &pit, 2), 0x11);
    control(0x94); /* low byte */
    wr(&i8254_io_ops, &pit, 2, 0x80);
    ticks(1);
    assert_int_equal(rd(&i8254_io_ops, &pit, 2), 0x80);
}

static void read_back_gives_status_then_count(void **state)
{
    (void)state;
    i8254_set_gate(&pit, 2, true);
    control(0xb4);
    control(0xe8); /* status of channel 2 */
    assert_int_equal(rd(&i8254_io_ops, &pit, 2) & 0x7f, 0x40 | 0x34);
    load(2, 0x1234);
    control(0xc8); /* both */
    assert_int_equal(rd(&i8254_io_ops, &pit, 2), 0x80 | 0x34);
    assert_int_equal(value(2), 0x1234);
}

static void channel_0_interrupts_once_a_period(void **state)
{
    (void)state;
    control(0x34);
    count(0, 11932); /* 100 Hz, as Linux has it */
    vm_clock_advance(&vclock, NS_PER_S + MS);
    assert_int_equal(irq.rises, 100);
}

static void one_shot_interrupts_once(void **state)
{
    (void)state;
    control(0x38);
    count(0, 1193);
    unsigned before = irq.rises;
    vm_clock_advance(&vclock, 990 * US);
    assert_int_equal(irq.rises, before);
    vm_clock_advance(&vclock, NS_PER_S);
    assert_int_equal(irq.rises, before + 1);
}

static void fastest_rate_does_not_flood_the_host(void **state)
{
    (void)state;
    control(0x14); /* low byte only, mode 2 */
    wr(&i8254_io_ops, &pit, 0, 2);
    vm_clock_advance(&vclock, 100 * MS);
    assert_true(irq.rises <= 2000);
    assert_true(irq.rises >= 1900);
}

static void edge_before_a_write_is_not_lost(void **state)
{
    (void)state;
    control(0x34);
    count(0, 1193);
    unsigned before = irq.rises;
    vclock.frozen += MS + 100 * US; /* time passes, the I/O thread is late */
    control(0x00);                  /* the guest latches the count */
    assert_int_equal(irq.rises, before + 1);
}

/* The loop of Linux's pit_hpet_ptimer_calibrate_cpu: channel 2, mode 0, watched through port 61h. */
static void calibration_through_port_61_takes_the_time_asked(void **state)
{
    (void)state;
    uint8_t v = rd(&port61_io_ops, &port61, 0);
    wr(&port61_io_ops, &port61, 0, (uint8_t)((v & ~PORT61_SPEAKER) | PORT61_GATE2));
    control(0xb0);
    uint16_t latch = I8254_HZ / 100;
    count(2, latch);
    ns_t begin = vm_clock_now(&vclock);
    unsigned loops = 0;
    while (!(rd(&port61_io_ops, &port61, 0) & PORT61_OUT2) && loops++ < 100000)
        vm_clock_advance(&vclock, 10 * US);
    ns_t took = vm_clock_now(&vclock) - begin;
    assert_true(took >= 10 * MS - 10 * US && took <= 10 * MS + 20 * US);
}

static void refresh_bit_toggles(void **state)
{
    (void)state;
    unsigned changes = 0;
    uint8_t last = rd(&port61_io_ops, &port61, 0) & PORT61_REFRESH;
    for (unsigned i = 0; i < 1000; i++) {
        vm_clock_advance(&vclock, US);
        uint8_t now = rd(&port61_io_ops, &port61, 0) & PORT61_REFRESH;
        changes += now != last;
        last = now;
    }
    assert_int_equal(changes, 1000 / 15);
}

static void port_61_keeps_its_four_bits(void **state)
{
    (void)state;
    wr(&port61_io_ops, &port61, 0, 0xff);
    assert_int_equal(rd(&port61_io_ops, &port61, 0) & 0x8f, 0x0f);
    struct port61 other;
    port61_init(&other, &vclock, &pit);
    check_round_trip(port61_class.state, &port61, &other);
}

static void state_survives_save_and_load(void **state)
{
    (void)state;
    struct i8254 other;
    struct probe line = { 0 };
    control(0x36);
    count(0, 11932);
    control(0xb4);
    wr(&i8254_io_ops, &pit, 2, 7); /* half a count */
    ticks(5000);
    control(0xc2);
    i8254_init(&other, &vclock, PROBE_LINE(&line));
    i8254_class.reset(&other);
    check_round_trip(i8254_class.state, &pit, &other);
    vm_clock_advance(&vclock, 100 * MS);
    assert_int_equal(i8254_out(&pit, 0), i8254_out(&other, 0));
    assert_true(line.rises >= 9 && line.rises <= 11);
    i8254_class.done(&other);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(mode_0_goes_high_at_terminal_count_and_stays),
        T(mode_0_closed_gate_holds_the_count),
        T(mode_0_first_byte_stops_the_count),
        T(mode_1_pulse_starts_at_the_gate_and_can_be_restarted),
        T(mode_2_is_low_in_the_last_clock_of_each_period),
        T(mode_2_new_count_waits_for_the_period),
        T(mode_2_gate_restarts_the_period),
        T(mode_3_is_a_square_wave),
        T(mode_4_strobes_for_one_clock),
        T(mode_5_strobes_after_the_gate),
        T(count_0_is_the_largest),
        T(bcd_counts_in_decimal),
        T(latch_holds_until_read_and_ignores_a_second),
        T(single_byte_accesses_touch_one_half),
        T(read_back_gives_status_then_count),
        T(channel_0_interrupts_once_a_period),
        T(one_shot_interrupts_once),
        T(fastest_rate_does_not_flood_the_host),
        T(edge_before_a_write_is_not_lost),
        T(calibration_through_port_61_takes_the_time_asked),
        T(refresh_bit_toggles),
        T(port_61_keeps_its_four_bits),
        T(state_survives_save_and_load),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
