/* SPDX-License-Identifier: MIT */
/*
 * Laws of the MC146818: time, formats, alarms, interrupts.
 */
#include "device/mc146818.h"
#include "support/chip.h"

enum { SEC = 0, MINUTE = 2, HOUR = 4, WEEKDAY = 6, DAY = 7, MONTH = 8, YEAR = 9, A = 10, B = 11, C = 12, D = 13, CENTURY = 0x32 };
enum { SEC_ALARM = 1, MINUTE_ALARM = 3, HOUR_ALARM = 5, ANY = 0xc0 };
enum { SET = 0x80, PIE = 0x40, AIE = 0x20, UIE = 0x10, BINARY = 4, H24 = 2, UIP = 0x80 };

static struct vm_clock vclock;
static struct probe irq;
static struct mc146818 rtc;

static uint8_t get(unsigned reg)
{
    wr(&mc146818_io_ops, &rtc, 0, (uint8_t)reg);
    return rd(&mc146818_io_ops, &rtc, 1);
}

static void put(unsigned reg, uint8_t v)
{
    wr(&mc146818_io_ops, &rtc, 0, (uint8_t)reg);
    wr(&mc146818_io_ops, &rtc, 1, v);
}

static int setup(void **state)
{
    (void)state;
    irq = (struct probe){ 0 };
    test_clock(&vclock);
    mc146818_init(&rtc, &vclock, PROBE_LINE(&irq));
    mc146818_class.reset(&rtc);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    mc146818_class.done(&rtc);
    return 0;
}

static void seconds(unsigned n)
{
    vm_clock_advance(&vclock, n * NS_PER_S);
}

static void check_time(unsigned century, unsigned year, unsigned month, unsigned day, unsigned h, unsigned m, unsigned s)
{
    const uint8_t got[] = { get(CENTURY), get(YEAR), get(MONTH), get(DAY), get(HOUR), get(MINUTE), get(SEC) };
    const uint8_t want[] = { (uint8_t)century, (uint8_t)year, (uint8_t)month, (uint8_t)day, (uint8_t)h, (uint8_t)m, (uint8_t)s };
    assert_memory_equal(got, want, sizeof(got));
}

static void shows_the_wall_clock_in_bcd(void **state)
{
    (void)state;
    vm_clock_advance(&vclock, (23 * 3600LL + 45 * 60 + 59) * NS_PER_S);
    check_time(0x20, 0x26, 1, 1, 0x23, 0x45, 0x59);
    assert_int_equal(get(WEEKDAY), 5); /* Thursday, Sunday is 1 */
    seconds(15 * 60);
    check_time(0x20, 0x26, 1, 2, 0x00, 0x00, 0x59);
}

static void binary_and_12_hour_formats(void **state)
{
    (void)state;
    seconds(13 * 3600 + 59);
    put(B, BINARY | H24);
    check_time(20, 26, 1, 1, 13, 0, 59);
    put(B, 0);
    assert_int_equal(get(HOUR), 0x81);
    seconds(11 * 3600);
    assert_int_equal(get(HOUR), 0x12); /* midnight is 12 AM */
    seconds(12 * 3600);
    assert_int_equal(get(HOUR), 0x92);
}

/* The order of Linux's mc146818_set_time. */
static void guest_sets_the_time(void **state)
{
    (void)state;
    uint8_t b = get(B), a = get(A);
    put(B, b | SET);
    put(A, a | 0x70);
    put(YEAR, 0x99);
    put(MONTH, 0x12);
    put(DAY, 0x31);
    put(HOUR, 0x23);
    put(MINUTE, 0x59);
    put(SEC, 0x58);
    put(CENTURY, 0x20);
    seconds(100);
    check_time(0x20, 0x99, 0x12, 0x31, 0x23, 0x59, 0x58); /* it stands */
    put(B, b);
    put(A, a);
    vm_clock_advance(&vclock, 400 * MS);
    assert_int_equal(get(SEC), 0x58);
    vm_clock_advance(&vclock, 200 * MS); /* half a second after the divider's reset */
    assert_int_equal(get(SEC), 0x59);
    seconds(1);
    check_time(0x21, 0x00, 1, 1, 0, 0, 0);
}

static void update_in_progress_precedes_each_second(void **state)
{
    (void)state;
    assert_int_equal(get(A) & UIP, 0);
    vm_clock_advance(&vclock, NS_PER_S - 2300 * US);
    assert_int_equal(get(A) & UIP, 0);
    vm_clock_advance(&vclock, 200 * US);
    assert_int_equal(get(A) & UIP, UIP);
    vm_clock_advance(&vclock, 2100 * US);
    assert_int_equal(get(A) & UIP, 0);
    assert_int_equal(get(SEC), 1);
    put(B, SET | H24);
    vm_clock_advance(&vclock, 999 * MS);
    assert_int_equal(get(A) & UIP, 0);
}

static void update_interrupt_once_a_second(void **state)
{
    (void)state;
    put(B, UIE | H24);
    for (unsigned i = 1; i <= 5; i++) {
        seconds(1);
        assert_int_equal(irq.rises, i);
        assert_int_equal(get(C) & 0x90, 0x90); /* the periodic flag comes and goes besides */
        assert_false(irq.level);
    }
    assert_int_equal(get(C), 0);
}

static void unread_flags_give_no_second_edge(void **state)
{
    (void)state;
    put(B, UIE | H24);
    seconds(10);
    assert_int_equal(irq.rises, 1);
}

static void flags_are_set_without_enables(void **state)
{
    (void)state;
    put(A, 0x20);
    (void)get(C);
    seconds(1);
    assert_false(irq.level);
    assert_int_equal(get(C), 0x10);
}

static void periodic_interrupt_at_each_rate(void **state)
{
    (void)state;
    for (unsigned rate = 3; rate <= 15; rate++) {
        setup(NULL);
        put(A, (uint8_t)(0x20 | rate));
        put(B, PIE | H24);
        (void)get(C);
        unsigned hz = 32768 >> (rate - 1), n = 0;
        for (unsigned i = 0; i < 20000; i++) { /* one second in steps shorter than the shortest period */
            vm_clock_advance(&vclock, 50 * US);
            n += (get(C) & 0x40) != 0;
        }
        assert_in_range(n, hz - 1, hz + 1);
        teardown(NULL);
    }
}

static void alarm_at_a_time_of_day(void **state)
{
    (void)state;
    put(HOUR_ALARM, 0x01);
    put(MINUTE_ALARM, 0x02);
    put(SEC_ALARM, 0x03);
    put(B, AIE | H24);
    seconds(3600 + 2 * 60 + 2);
    assert_false(irq.level);
    seconds(1);
    assert_true(irq.level);
    assert_int_equal(get(C) & 0xa0, 0xa0);
    seconds(86399);
    assert_false(irq.level);
    seconds(1);
    assert_true(irq.level);
}

static void alarm_with_any_hour_and_minute(void **state)
{
    (void)state;
    put(HOUR_ALARM, ANY);
    put(MINUTE_ALARM, 0xff);
    put(SEC_ALARM, 0x30);
    put(B, AIE | H24);
    for (unsigned i = 0; i < 3; i++) {
        seconds(60);
        assert_int_equal(irq.rises, i + 1);
        (void)get(C);
    }
}

static void alarm_that_no_clock_shows_never_comes(void **state)
{
    (void)state;
    put(HOUR_ALARM, 0x25);
    put(MINUTE_ALARM, ANY);
    put(SEC_ALARM, ANY);
    put(B, AIE | H24);
    seconds(3 * 86400);
    assert_int_equal(irq.rises, 0);
}

static void set_clears_the_update_enable(void **state)
{
    (void)state;
    put(B, SET | UIE | H24);
    assert_int_equal(get(B), SET | H24);
}

static void memory_keeps_bytes_and_reset_keeps_memory(void **state)
{
    (void)state;
    for (unsigned i = 14; i < 128; i++)
        if (i != CENTURY)
            put(i, (uint8_t)(i * 7));
    mc146818_class.reset(&rtc);
    for (unsigned i = 14; i < 128; i++)
        if (i != CENTURY)
            assert_int_equal(get(i), (uint8_t)(i * 7));
    assert_int_equal(get(D), 0x80);
}

static void nmi_bit_of_the_index_is_not_address(void **state)
{
    (void)state;
    put(0x40 | 0x80, 0x5a);
    assert_int_equal(get(0x40), 0x5a);
}

static void state_survives_save_and_load(void **state)
{
    (void)state;
    struct mc146818 other;
    struct probe line = { 0 };
    put(B, UIE | H24);
    put(HOUR, 0x05);
    put(0x50, 0x77);
    vm_clock_advance(&vclock, 2500 * MS);
    mc146818_init(&other, &vclock, PROBE_LINE(&line));
    check_round_trip(mc146818_class.state, &rtc, &other);
    vm_clock_advance(&vclock, 0);
    assert_true(line.level);
    wr(&mc146818_io_ops, &other, 0, HOUR);
    assert_int_equal(rd(&mc146818_io_ops, &other, 1), 0x05);
    mc146818_class.done(&other);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(shows_the_wall_clock_in_bcd),
        T(binary_and_12_hour_formats),
        T(guest_sets_the_time),
        T(update_in_progress_precedes_each_second),
        T(update_interrupt_once_a_second),
        T(unread_flags_give_no_second_edge),
        T(flags_are_set_without_enables),
        T(periodic_interrupt_at_each_rate),
        T(alarm_at_a_time_of_day),
        T(alarm_with_any_hour_and_minute),
        T(alarm_that_no_clock_shows_never_comes),
        T(set_clears_the_update_enable),
        T(memory_keeps_bytes_and_reset_keeps_memory),
        T(nmi_bit_of_the_index_is_not_address),
        T(state_survives_save_and_load),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
