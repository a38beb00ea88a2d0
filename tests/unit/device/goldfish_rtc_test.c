/* SPDX-License-Identifier: MIT */
/*
 * Laws of the goldfish RTC: the time in two halves, setting it, the alarm, and what survives a reset.
 */
#include "device/goldfish_rtc.h"
#include "support/chip.h"

enum { LOW = 0, HIGH = 4, ALARM_LOW = 8, ALARM_HIGH = 12, ENABLED = 16, CLEAR_ALARM = 20, STATUS = 24, CLEAR_IRQ = 28 };
#define START (1767225600ULL * (uint64_t)NS_PER_S) /* of test_clock() */

static struct vm_clock vclock;
static struct probe irq;
static struct goldfish_rtc rtc;

static uint32_t get(unsigned reg)
{
    return (uint32_t)goldfish_rtc_io_ops.read(&rtc, reg, 4);
}

static void put(unsigned reg, uint32_t v)
{
    goldfish_rtc_io_ops.write(&rtc, reg, v, 4);
}

static uint64_t get_time(void)
{
    const uint64_t low = get(LOW);
    return (uint64_t)get(HIGH) << 32 | low;
}

static void set_alarm(uint64_t at)
{
    put(ALARM_HIGH, (uint32_t)(at >> 32));
    put(ALARM_LOW, (uint32_t)at);
    put(ENABLED, 1);
}

static int setup(void **state)
{
    (void)state;
    irq = (struct probe){ 0 };
    test_clock(&vclock);
    goldfish_rtc_init(&rtc, &vclock, PROBE_LINE(&irq));
    goldfish_rtc_class.reset(&rtc);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    goldfish_rtc_class.done(&rtc);
    return 0;
}

static void shows_the_wall_clock(void **state)
{
    (void)state;
    assert_int_equal(get_time(), START);
    vm_clock_advance(&vclock, 12345678901);
    assert_int_equal(get_time(), START + 12345678901);
}

static void the_low_half_holds_the_high_one(void **state)
{
    (void)state;
    const uint64_t low = get(LOW);
    vm_clock_advance(&vclock, 5LL << 32);
    assert_int_equal((uint64_t)get(HIGH) << 32 | low, START);
    (void)get(LOW);
    assert_int_equal(get(HIGH), (START + (5ULL << 32)) >> 32);
}

static void the_time_can_be_set_and_survives_a_reset(void **state)
{
    const uint64_t want = 86400ULL * (uint64_t)NS_PER_S + 7;
    (void)state;
    put(HIGH, (uint32_t)(want >> 32));
    put(LOW, (uint32_t)want);
    assert_int_equal(get_time(), want);
    goldfish_rtc_class.reset(&rtc);
    vm_clock_advance(&vclock, MS);
    assert_int_equal(get_time(), want + MS);
}

static void the_alarm_rings_at_its_time_and_once(void **state)
{
    (void)state;
    set_alarm(START + 3 * MS);
    assert_int_equal(get(STATUS), 1);
    vm_clock_advance(&vclock, 3 * MS - 1);
    assert_false(irq.level);
    vm_clock_advance(&vclock, 1);
    assert_true(irq.level);
    assert_int_equal(get(STATUS), 0);
    put(CLEAR_IRQ, 0);
    assert_false(irq.level);
    vm_clock_advance(&vclock, 100 * MS);
    assert_int_equal(irq.rises, 1);
}

static void an_alarm_in_the_past_rings_at_once(void **state)
{
    (void)state;
    set_alarm(START - 1);
    assert_true(irq.level);
}

static void an_alarm_can_be_taken_back_or_be_silent(void **state)
{
    (void)state;
    set_alarm(START + MS);
    put(CLEAR_ALARM, 0);
    vm_clock_advance(&vclock, 2 * MS);
    assert_false(irq.level);
    set_alarm(START + 4 * MS);
    put(ENABLED, 0);
    vm_clock_advance(&vclock, 4 * MS);
    assert_false(irq.level);
    put(ENABLED, 1);
    assert_true(irq.level);
    goldfish_rtc_class.reset(&rtc);
    assert_false(irq.level);
}

static void setting_the_time_moves_the_alarm(void **state)
{
    (void)state;
    set_alarm(START + 1000 * MS);
    put(HIGH, (uint32_t)((START + 2000 * MS) >> 32));
    put(LOW, (uint32_t)(START + 2000 * MS));
    assert_true(irq.level);
}

static void a_loaded_alarm_still_rings(void **state)
{
    struct probe irq2 = { 0 };
    struct goldfish_rtc b;
    (void)state;
    goldfish_rtc_init(&b, &vclock, PROBE_LINE(&irq2));
    set_alarm(START + 3 * MS);
    rtc.offset += MS;
    check_round_trip(goldfish_rtc_class.state, &rtc, &b);
    vm_clock_advance(&vclock, 2 * MS - 1);
    assert_false(irq2.level);
    vm_clock_advance(&vclock, 1);
    assert_true(irq2.level);
    goldfish_rtc_class.done(&b);
}

static void nonsense_does_no_harm(void **state)
{
    (void)state;
    for (unsigned reg = 0; reg < 0x40; reg += 4) {
        put(reg, UINT32_MAX);
        (void)get(reg);
    }
    set_alarm(UINT64_MAX);
    vm_clock_advance(&vclock, MS);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(shows_the_wall_clock),
        T(the_low_half_holds_the_high_one),
        T(the_time_can_be_set_and_survives_a_reset),
        T(the_alarm_rings_at_its_time_and_once),
        T(an_alarm_in_the_past_rings_at_once),
        T(an_alarm_can_be_taken_back_or_be_silent),
        T(setting_the_time_moves_the_alarm),
        T(a_loaded_alarm_still_rings),
        T(nonsense_does_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
