/* SPDX-License-Identifier: MIT */
/*
 * Laws of the 8042 without a keyboard.
 */
#include "device/i8042.h"
#include "support/chip.h"

enum { OBF = 1, TIMEOUT = 0x40 };

static struct i8042 kbc;
static struct probe irq, reset_line, a20;

static int setup(void **state)
{
    (void)state;
    irq = reset_line = a20 = (struct probe){ 0 };
    i8042_init(&kbc, PROBE_LINE(&irq), PROBE_LINE(&reset_line), PROBE_LINE(&a20));
    i8042_class.reset(&kbc);
    return 0;
}

static uint8_t status(void)
{
    return rd(&i8042_command_io_ops, &kbc, 0);
}

static void cmd(uint8_t v)
{
    wr(&i8042_command_io_ops, &kbc, 0, v);
}

static uint8_t data(void)
{
    return rd(&i8042_data_io_ops, &kbc, 0);
}

static void send(uint8_t v)
{
    wr(&i8042_data_io_ops, &kbc, 0, v);
}

static void self_test_passes(void **state)
{
    (void)state;
    assert_int_equal(status() & OBF, 0);
    cmd(0xaa);
    assert_int_equal(status() & OBF, OBF);
    assert_int_equal(data(), 0x55);
    assert_int_equal(status() & OBF, 0);
}

static void command_byte_is_kept(void **state)
{
    (void)state;
    cmd(0x60);
    send(0x45);
    cmd(0x20);
    assert_int_equal(data(), 0x45);
}

static void input_buffer_is_never_full(void **state)
{
    (void)state;
    for (unsigned v = 0; v < 0xf0; v++) {
        cmd((uint8_t)v);
        assert_int_equal(status() & 2, 0);
    }
}

static void absent_keyboard_times_out_at_once(void **state)
{
    (void)state;
    send(0xf2);
    assert_int_equal(status() & (OBF | TIMEOUT), OBF | TIMEOUT);
    assert_int_equal(data(), 0xfe);
    assert_int_equal(status() & (OBF | TIMEOUT), 0);
}

static void interrupt_only_when_enabled(void **state)
{
    (void)state;
    cmd(0xaa);
    assert_false(irq.level);
    (void)data();
    cmd(0x60);
    send(0x01);
    cmd(0xd2); /* as if it came from the keyboard */
    send(0x1c);
    assert_true(irq.level);
    assert_int_equal(data(), 0x1c);
    assert_false(irq.level);
}

static void absent_mouse_does_not_answer(void **state)
{
    (void)state;
    static const uint8_t aux[] = { 0xa7, 0xa8, 0xa9, 0xd3, 0xd4 };
    for (unsigned i = 0; i < sizeof(aux); i++) {
        cmd(aux[i]);
        assert_int_equal(status() & OBF, 0);
    }
}

static void fe_pulses_reset(void **state)
{
    (void)state;
    cmd(0xff); /* pulses nothing */
    assert_int_equal(reset_line.rises, 0);
    cmd(0xfe);
    assert_int_equal(reset_line.rises, 1);
    assert_false(reset_line.level);
}

static void output_port_drives_a20_and_reset(void **state)
{
    (void)state;
    assert_true(a20.level);
    cmd(0xd1);
    send(0xdd);
    assert_false(a20.level);
    cmd(0xd0);
    assert_int_equal(data(), 0xdd);
    cmd(0xd1);
    send(0xdf);
    assert_true(a20.level);
    assert_int_equal(reset_line.rises, 0);
    cmd(0xd1);
    send(0xde);
    assert_int_equal(reset_line.rises, 1);
}

static void state_survives_save_and_load(void **state)
{
    (void)state;
    struct i8042 other;
    struct probe line = { 0 };
    cmd(0x60);
    send(0x01);
    cmd(0x65);
    send(0x99);
    cmd(0xd2);
    send(0x33);
    cmd(0xd1); /* waits for its byte */
    i8042_init(&other, PROBE_LINE(&line), NULL, NULL);
    i8042_class.reset(&other);
    check_round_trip(i8042_class.state, &kbc, &other);
    assert_int_equal(rd(&i8042_data_io_ops, &other, 0), 0x33);
    wr(&i8042_data_io_ops, &other, 0, 0xdf);
    assert_int_equal(other.outport, 0xdf);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup(name, setup)
    const struct CMUnitTest tests[] = {
        T(self_test_passes),
        T(command_byte_is_kept),
        T(input_buffer_is_never_full),
        T(absent_keyboard_times_out_at_once),
        T(interrupt_only_when_enabled),
        T(absent_mouse_does_not_answer),
        T(fe_pulses_reset),
        T(output_port_drives_a20_and_reset),
        T(state_survives_save_and_load),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
