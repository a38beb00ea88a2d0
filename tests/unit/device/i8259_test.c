/* SPDX-License-Identifier: MIT */
/*
 * Laws of the 8259A pair as a PC wires it.
 */
#include "device/i8259.h"
#include "support/chip.h"

static struct i8259 master, slave;
static struct probe intr;

static void cmd(struct i8259 *p, uint8_t v)
{
    wr(&i8259_io_ops, p, 0, v);
}

static void data(struct i8259 *p, uint8_t v)
{
    wr(&i8259_io_ops, p, 1, v);
}

/* As Linux's init_8259A: vectors 30h and 38h, everything unmasked; icw4 has bit 0 set. */
static void program(uint8_t icw4)
{
    cmd(&master, 0x11);
    data(&master, 0x30);
    data(&master, 1 << 2);
    data(&master, icw4);
    cmd(&slave, 0x11);
    data(&slave, 0x38);
    data(&slave, 2);
    data(&slave, icw4);
    data(&master, 0);
    data(&slave, 0);
}

static int setup(void **state)
{
    (void)state;
    intr = (struct probe){ 0 };
    const struct irq_line cascade = { .fn = i8259_set_irq, .opaque = &master, .pin = I8259_CASCADE_PIN };
    i8259_init(&master, &slave, PROBE_LINE(&intr));
    i8259_init(&slave, NULL, &cascade);
    i8259_class.reset(&master);
    i8259_class.reset(&slave);
    program(1);
    return 0;
}

static void irq(unsigned n, bool level)
{
    i8259_set_irq(n < 8 ? &master : &slave, n & 7, level);
}

static void edge(unsigned n)
{
    irq(n, true);
    irq(n, false);
    irq(n, true);
}

static int ack(void)
{
    return i8259_inta(&master, true);
}

static uint8_t isr(struct i8259 *p)
{
    cmd(p, 0x0b);
    return rd(&i8259_io_ops, p, 0);
}

static uint8_t irr(struct i8259 *p)
{
    cmd(p, 0x0a);
    return rd(&i8259_io_ops, p, 0);
}

static void each_line_gives_its_vector(void **state)
{
    (void)state;
    for (unsigned n = 0; n < 16; n++) {
        if (n == I8259_CASCADE_PIN)
            continue;
        setup(NULL);
        irq(n, true);
        assert_true(intr.level);
        assert_int_equal(i8259_inta(&master, false), 0x30 + n);
        assert_int_equal(ack(), 0x30 + n);
        assert_false(intr.level);
    }
}

static void looking_changes_nothing(void **state)
{
    (void)state;
    irq(9, true);
    struct i8259 m = master, s = slave;
    (void)i8259_inta(&master, false);
    assert_null(state_diff(i8259_class.state, &m, &master));
    assert_null(state_diff(i8259_class.state, &s, &slave));
}

static void lower_number_wins(void **state)
{
    (void)state;
    irq(6, true);
    irq(1, true);
    irq(9, true); /* through line 2: between 1 and 3 */
    assert_int_equal(ack(), 0x31);
    cmd(&master, 0x20);
    assert_int_equal(ack(), 0x39);
    cmd(&slave, 0x20);
    cmd(&master, 0x20);
    assert_int_equal(ack(), 0x36);
}

static void served_line_holds_back_equal_and_lower(void **state)
{
    (void)state;
    irq(3, true);
    assert_int_equal(ack(), 0x33);
    irq(5, true);
    edge(3);
    assert_false(intr.level);
    irq(1, true);
    assert_true(intr.level);
    assert_int_equal(ack(), 0x31);
}

static void eoi_lowers_highest_isr_only(void **state)
{
    (void)state;
    irq(5, true);
    (void)ack();
    irq(2 + 1, true);
    (void)ack();
    assert_int_equal(isr(&master), 1 << 5 | 1 << 3);
    cmd(&master, 0x20);
    assert_int_equal(isr(&master), 1 << 5);
}

static void specific_eoi_lowers_the_named_line(void **state)
{
    (void)state;
    irq(5, true);
    (void)ack();
    irq(3, true);
    (void)ack();
    cmd(&master, 0x65);
    assert_int_equal(isr(&master), 1 << 3);
}

static void edge_is_taken_once(void **state)
{
    (void)state;
    irq(4, true);
    (void)ack();
    cmd(&master, 0x20);
    assert_false(intr.level); /* the line is still up */
    edge(4);
    assert_true(intr.level);
}

static void level_line_asks_again_after_eoi(void **state)
{
    (void)state;
    wr(&i8259_elcr_io_ops, &slave, 0, 1 << 1); /* IRQ 9 */
    irq(9, true);
    (void)ack();
    cmd(&slave, 0x20);
    cmd(&master, 0x20);
    assert_true(intr.level);
    irq(9, false);
    assert_false(intr.level);
}

static void elcr_refuses_the_lines_that_are_always_edges(void **state)
{
    (void)state;
    wr(&i8259_elcr_io_ops, &master, 0, 0xff);
    wr(&i8259_elcr_io_ops, &slave, 0, 0xff);
    assert_int_equal(rd(&i8259_elcr_io_ops, &master, 0), 0xf8);
    assert_int_equal(rd(&i8259_elcr_io_ops, &slave, 0), 0xde);
}

static void vanished_request_is_spurious_7(void **state)
{
    (void)state;
    irq(4, true);
    irq(4, false);
    assert_int_equal(ack(), 0x37);
    assert_int_equal(isr(&master), 0);
}

static void vanished_slave_request_is_15_and_serves_line_2(void **state)
{
    (void)state;
    irq(12, true);
    /* the slave masks between INT and INTA; the master's latched edge of line 2 goes with the slave's output, so the
     * master must be made to hold it: a level-triggered cascade, as LTIM chips have */
    cmd(&master, 0x19);
    data(&master, 0x30);
    data(&master, 4);
    data(&master, 1);
    data(&master, 0);
    slave.imr = 0xff; /* behind the output's back */
    assert_int_equal(ack(), 0x3f);
    assert_int_equal(isr(&master), 1 << 2);
    assert_int_equal(isr(&slave), 0);
}

static void masked_line_is_silent_but_remembered(void **state)
{
    (void)state;
    data(&master, 1 << 4);
    irq(4, true);
    assert_false(intr.level);
    assert_int_equal(irr(&master), 1 << 4);
    data(&master, 0);
    assert_true(intr.level);
    assert_int_equal(rd(&i8259_io_ops, &master, 1), 0);
}

static void automatic_eoi_leaves_no_service_bit(void **state)
{
    (void)state;
    program(3);
    irq(4, true);
    assert_int_equal(ack(), 0x34);
    assert_int_equal(isr(&master), 0);
}

static void rotating_eoi_puts_the_line_last(void **state)
{
    (void)state;
    irq(4, true);
    (void)ack();
    cmd(&master, 0xa0); /* rotate on non-specific EOI: 5 is first now */
    irq(3, true);
    irq(6, true);
    assert_int_equal(ack(), 0x36);
}

static void rotation_in_automatic_eoi_mode(void **state)
{
    (void)state;
    program(3);
    cmd(&master, 0x80);
    irq(0, true);
    assert_int_equal(ack(), 0x30);
    edge(0);
    irq(7, true);
    assert_int_equal(ack(), 0x37);
}

static void set_priority_names_the_lowest(void **state)
{
    (void)state;
    cmd(&master, 0xc3); /* 4 is highest */
    irq(3, true);
    irq(4, true);
    assert_int_equal(ack(), 0x34);
}

static void special_mask_lets_lower_lines_through(void **state)
{
    (void)state;
    irq(3, true);
    (void)ack();
    irq(5, true);
    assert_false(intr.level);
    data(&master, 1 << 3);
    assert_false(intr.level);
    cmd(&master, 0x68);
    assert_true(intr.level);
    assert_int_equal(ack(), 0x35);
    cmd(&master, 0x48); /* and off again */
    assert_int_equal(isr(&master), 1 << 3 | 1 << 5);
}

static void special_fully_nested_slave_interrupts_its_own_service(void **state)
{
    (void)state;
    irq(12, true);
    assert_int_equal(ack(), 0x3c);
    irq(9, true); /* higher, in the slave */
    assert_false(intr.level);
    setup(NULL);
    program(0x11);
    irq(12, false);
    irq(9, false);
    irq(12, true);
    assert_int_equal(ack(), 0x3c);
    irq(9, true);
    assert_true(intr.level);
    assert_int_equal(ack(), 0x39);
}

static void poll_answers_and_acknowledges(void **state)
{
    (void)state;
    cmd(&master, 0x0c);
    assert_int_equal(rd(&i8259_io_ops, &master, 0) & 0x80, 0);
    irq(6, true);
    cmd(&master, 0x0c);
    assert_int_equal(rd(&i8259_io_ops, &master, 0), 0x86);
    assert_int_equal(isr(&master), 1 << 6);
    assert_false(intr.level);
}

static void icw1_forgets_edges_masks_and_service(void **state)
{
    (void)state;
    irq(4, true);
    (void)ack();
    data(&master, 0xff);
    irq(5, true);
    cmd(&master, 0x11);
    data(&master, 0x40);
    data(&master, 4);
    data(&master, 1);
    assert_int_equal(rd(&i8259_io_ops, &master, 1), 0);
    assert_int_equal(isr(&master), 0);
    assert_int_equal(irr(&master), 0);
    assert_false(intr.level);
    edge(5);
    assert_int_equal(ack(), 0x45);
}

static void single_mode_expects_no_icw3(void **state)
{
    (void)state;
    cmd(&master, 0x13);
    data(&master, 0x50);
    data(&master, 1); /* ICW4 */
    data(&master, 0xfe);
    assert_int_equal(rd(&i8259_io_ops, &master, 1), 0xfe);
    edge(0);
    assert_int_equal(ack(), 0x50);
}

static void state_survives_save_and_load(void **state)
{
    (void)state;
    struct i8259 other;
    struct probe line = { 0 };
    irq(3, true);
    (void)ack();
    irq(1, true);
    i8259_init(&other, &slave, PROBE_LINE(&line));
    i8259_class.reset(&other);
    check_round_trip(i8259_class.state, &master, &other);
    assert_int_equal(line.rises, 0); /* the receiver's state is loaded by itself */
    assert_int_equal(i8259_inta(&other, true), 0x31);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup(name, setup)
    const struct CMUnitTest tests[] = {
        T(each_line_gives_its_vector),
        T(looking_changes_nothing),
        T(lower_number_wins),
        T(served_line_holds_back_equal_and_lower),
        T(eoi_lowers_highest_isr_only),
        T(specific_eoi_lowers_the_named_line),
        T(edge_is_taken_once),
        T(level_line_asks_again_after_eoi),
        T(elcr_refuses_the_lines_that_are_always_edges),
        T(vanished_request_is_spurious_7),
        T(vanished_slave_request_is_15_and_serves_line_2),
        T(masked_line_is_silent_but_remembered),
        T(automatic_eoi_leaves_no_service_bit),
        T(rotating_eoi_puts_the_line_last),
        T(rotation_in_automatic_eoi_mode),
        T(set_priority_names_the_lowest),
        T(special_mask_lets_lower_lines_through),
        T(special_fully_nested_slave_interrupts_its_own_service),
        T(poll_answers_and_acknowledges),
        T(icw1_forgets_edges_masks_and_service),
        T(single_mode_expects_no_icw3),
        T(state_survives_save_and_load),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
