/* SPDX-License-Identifier: MIT */
/*
 * Laws of ACPI's fixed hardware.
 */
#include "device/acpipm.h"
#include "support/chip.h"

enum { STS = 0, EN = 2, CNT = 4, TMR = 8, GPE = 12, GPE_EN = 13 };
enum { TMR_STS = 1, PWRBTN = 1 << 8, WAK = 1 << 15, SLP_EN = 1 << 13 };

static struct vm_clock vclock;
static struct acpipm pm;
static struct probe sci, power;

static void make(bool timer32)
{
    sci = power = (struct probe){ 0 };
    test_clock(&vclock);
    acpipm_init(&pm, &vclock, timer32, PROBE_LINE(&sci), PROBE_LINE(&power));
    acpipm_class.reset(&pm);
}

static int setup(void **state)
{
    (void)state;
    make(true);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    acpipm_class.done(&pm);
    return 0;
}

static uint32_t in(unsigned reg, unsigned size)
{
    return (uint32_t)acpipm_io_ops.read(&pm, reg, size);
}

static void out(unsigned reg, uint32_t v, unsigned size)
{
    acpipm_io_ops.write(&pm, reg, v, size);
}

static void timer_runs_at_3579545_hz(void **state)
{
    (void)state;
    vm_clock_advance(&vclock, NS_PER_S);
    assert_int_equal(in(TMR, 4), 3579545);
    vm_clock_advance(&vclock, 4 * NS_PER_S);
    assert_int_equal(in(TMR, 4), 5 * 3579545);
}

static void timer_of_24_bits_wraps(void **state)
{
    (void)state;
    teardown(NULL);
    make(false);
    vm_clock_advance(&vclock, 5 * NS_PER_S);
    assert_int_equal(in(TMR, 4), 5 * 3579545 - (1 << 24));
}

static void top_bit_of_the_timer_raises_sci(void **state)
{
    (void)state;
    teardown(NULL);
    make(false);
    out(EN, TMR_STS, 2);
    vm_clock_advance(&vclock, 2 * NS_PER_S); /* 2^23 / 3.579545 MHz = 2.343 s */
    assert_false(sci.level);
    vm_clock_advance(&vclock, NS_PER_S / 2);
    assert_true(sci.level);
    assert_int_equal(in(STS, 2), TMR_STS);
    out(STS, TMR_STS, 2);
    assert_false(sci.level);
    vm_clock_advance(&vclock, 2 * NS_PER_S);
    assert_false(sci.level);
    vm_clock_advance(&vclock, NS_PER_S / 2);
    assert_true(sci.level);
}

static void power_button_raises_sci_only_when_enabled(void **state)
{
    (void)state;
    assert_false(acpipm_power_button(&pm)); /* nobody listens */
    assert_false(sci.level);
    assert_int_equal(in(STS, 2), PWRBTN);
    out(EN, PWRBTN, 2);
    assert_true(sci.level);
    out(STS, TMR_STS, 2); /* writing other ones leaves it */
    assert_true(sci.level);
    out(STS + 1, PWRBTN >> 8, 1);
    assert_false(sci.level);
    assert_int_equal(in(STS, 4), PWRBTN << 16);
    assert_true(acpipm_power_button(&pm));
    assert_true(sci.level);
}

static void a_shutdown_is_asked_for_by_gpe_0_when_nobody_listens_to_the_button(void **state)
{
    (void)state;
    out(GPE_EN, 0xff, 1);
    assert_int_equal(in(GPE, 2), 0x0100); /* there is only one */
    assert_true(acpipm_power_button(&pm));
    assert_true(sci.level);
    assert_int_equal(in(GPE, 1), 1);
    out(GPE, 0xfe, 1); /* writing other ones leaves it */
    assert_true(sci.level);
    out(GPE, 1, 1);
    assert_false(sci.level);
    assert_int_equal(in(GPE, 2), 0x0100);
    out(EN, PWRBTN, 2);
    out(STS, PWRBTN, 2);
    assert_true(acpipm_power_button(&pm)); /* now by the button alone */
    assert_int_equal(in(GPE, 1), 0);
}

static void acpi_mode_is_always_on(void **state)
{
    (void)state;
    assert_int_equal(in(CNT, 2) & 1, 1);
    out(CNT, 0, 2);
    assert_int_equal(in(CNT, 2) & 1, 1);
}

static void s5_powers_off(void **state)
{
    (void)state;
    out(CNT, ACPIPM_S5 << 10, 2);
    assert_int_equal(power.rises, 0);
    out(CNT, ACPIPM_S5 << 10 | SLP_EN, 2);
    assert_int_equal(power.rises, 1);
    assert_int_equal(in(CNT, 2) & SLP_EN, 0); /* write-only */
}

static void other_sleep_states_wake_at_once(void **state)
{
    (void)state;
    for (unsigned type = 0; type < 8; type++) {
        if (type == ACPIPM_S5)
            continue;
        out(STS, WAK, 2);
        out(CNT, type << 10 | SLP_EN, 2);
        assert_int_equal(in(STS, 2) & WAK, WAK);
    }
    assert_int_equal(power.rises, 0);
}

static void bytes_and_words_make_the_same_register(void **state)
{
    (void)state;
    out(EN, 0x01, 1);
    out(EN + 1, 0x05, 1);
    assert_int_equal(in(EN, 2), 0x0501);
    assert_int_equal(in(EN + 1, 1), 0x05);
    assert_int_equal(in(STS, 4) >> 16, 0x0501);
}

static void state_survives_save_and_load(void **state)
{
    (void)state;
    struct acpipm other;
    struct probe line = { 0 };
    out(GPE_EN, 1, 1);
    assert_true(acpipm_power_button(&pm));
    out(EN, PWRBTN, 2);
    out(CNT, 3 << 10, 2);
    assert_true(acpipm_power_button(&pm));
    vm_clock_advance(&vclock, 700 * NS_PER_S); /* past a toggle that nobody looked at */
    acpipm_init(&other, &vclock, true, PROBE_LINE(&line), NULL);
    acpipm_class.reset(&other);
    check_round_trip(acpipm_class.state, &pm, &other);
    vm_clock_advance(&vclock, 0);
    assert_true(line.level);
    acpipm_class.done(&other);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(timer_runs_at_3579545_hz),        T(timer_of_24_bits_wraps),
        T(top_bit_of_the_timer_raises_sci), T(power_button_raises_sci_only_when_enabled),
        T(acpi_mode_is_always_on),          T(s5_powers_off),
        T(other_sleep_states_wake_at_once), T(bytes_and_words_make_the_same_register),
        T(state_survives_save_and_load),    T(a_shutdown_is_asked_for_by_gpe_0_when_nobody_listens_to_the_button),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
