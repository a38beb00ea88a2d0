/* SPDX-License-Identifier: MIT */
/*
 * Laws of the I/O APIC, with two local APICs behind it.
 */
#include "device/ioapic.h"
#include "device/lapic.h"
#include "support/chip.h"

enum { CPUS = 2, MASKED = 1 << 16, LEVEL = 1 << 15, REMOTE_IRR = 1 << 14, LOW_ACTIVE = 1 << 13 };

static struct vm_clock vclock;
static struct lapic_bus bus;
static struct lapic apic[CPUS];
static struct vcpu cpu[CPUS];
static struct ioapic io;

static int setup(void **state)
{
    (void)state;
    test_clock(&vclock);
    lapic_bus_init(&bus);
    for (unsigned i = 0; i < CPUS; i++) {
        memset(&cpu[i], 0, sizeof(cpu[i]));
        lapic_init(&apic[i], &bus, i, &cpu[i], &vclock);
        lapic_class.reset(&apic[i]);
        lapic_write(&apic[i], LAPIC_SVR, LAPIC_SVR_ENABLE | 0xff);
    }
    ioapic_init(&io, &bus);
    ioapic_class.reset(&io);
    return 0;
}

static uint32_t get(unsigned reg)
{
    ioapic_io_ops.write(&io, 0, reg, 4);
    return (uint32_t)ioapic_io_ops.read(&io, 0x10, 4);
}

static void put(unsigned reg, uint32_t v)
{
    ioapic_io_ops.write(&io, 0, reg, 4);
    ioapic_io_ops.write(&io, 0x10, v, 4);
}

static void route(unsigned pin, uint32_t low, unsigned dest)
{
    put(0x11 + 2 * pin, dest << 24);
    put(0x10 + 2 * pin, low);
}

static void registers_identify_the_chip(void **state)
{
    (void)state;
    assert_int_equal(get(1), 0x170020);
    put(0, 0xff000000);
    assert_int_equal(get(0), 0x0f000000);
    put(1, 0);
    assert_int_equal(get(1), 0x170020);
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++)
        assert_int_equal(get(0x10 + 2 * pin), MASKED);
}

static void edge_is_delivered_once(void **state)
{
    (void)state;
    route(4, 0x44, 1);
    ioapic_set_irq(&io, 4, true);
    ioapic_set_irq(&io, 4, true);
    assert_int_equal(lapic_poll(&apic[0]), -1);
    assert_int_equal(lapic_accept(&apic[1]), 0x44);
    lapic_write(&apic[1], LAPIC_EOI, 0);
    assert_int_equal(lapic_poll(&apic[1]), -1);
    ioapic_set_irq(&io, 4, false);
    ioapic_set_irq(&io, 4, true);
    assert_int_equal(lapic_accept(&apic[1]), 0x44);
}

static void edge_on_a_masked_pin_is_lost(void **state)
{
    (void)state;
    route(4, MASKED | 0x44, 0);
    ioapic_set_irq(&io, 4, true);
    route(4, 0x44, 0);
    assert_int_equal(lapic_poll(&apic[0]), -1);
}

static void level_waits_for_eoi_and_comes_again(void **state)
{
    (void)state;
    route(9, LEVEL | 0x59, 0);
    ioapic_set_irq(&io, 9, true);
    assert_int_equal(get(0x10 + 18) & REMOTE_IRR, REMOTE_IRR);
    assert_int_equal(lapic_accept(&apic[0]), 0x59);
    ioapic_set_irq(&io, 9, true);
    assert_int_equal(lapic_read(&apic[0], LAPIC_IRR + 0x20), 0); /* not while in service */
    lapic_write(&apic[0], LAPIC_EOI, 0);
    assert_int_equal(lapic_accept(&apic[0]), 0x59);
    ioapic_set_irq(&io, 9, false);
    lapic_write(&apic[0], LAPIC_EOI, 0);
    assert_int_equal(get(0x10 + 18) & REMOTE_IRR, 0);
    assert_int_equal(lapic_poll(&apic[0]), -1);
}

static void level_on_a_masked_pin_comes_with_the_unmask(void **state)
{
    (void)state;
    route(9, MASKED | LEVEL | 0x59, 0);
    ioapic_set_irq(&io, 9, true);
    assert_int_equal(lapic_poll(&apic[0]), -1);
    route(9, LEVEL | 0x59, 0);
    assert_int_equal(lapic_poll(&apic[0]), 0x59);
}

static void eoi_register_works_as_a_broadcast(void **state)
{
    (void)state;
    route(9, LEVEL | 0x59, 0);
    ioapic_set_irq(&io, 9, true);
    ioapic_set_irq(&io, 9, false);
    ioapic_io_ops.write(&io, 0x40, 0x58, 4);
    assert_int_equal(get(0x10 + 18) & REMOTE_IRR, REMOTE_IRR);
    ioapic_io_ops.write(&io, 0x40, 0x59, 4);
    assert_int_equal(get(0x10 + 18) & REMOTE_IRR, 0);
}

static void edge_mode_clears_remote_irr(void **state)
{
    (void)state;
    route(9, LEVEL | 0x59, 0);
    ioapic_set_irq(&io, 9, true);
    put(0x10 + 18, MASKED | 0x59);
    assert_int_equal(get(0x10 + 18) & REMOTE_IRR, 0);
}

static void status_bits_are_read_only(void **state)
{
    (void)state;
    put(0x10, MASKED | REMOTE_IRR | 1 << 12 | 0x30);
    assert_int_equal(get(0x10), MASKED | 0x30);
}

static void polarity_does_not_turn_asserted_lines(void **state)
{
    (void)state;
    route(9, LEVEL | LOW_ACTIVE | 0x59, 0);
    assert_int_equal(lapic_poll(&apic[0]), -1);
    ioapic_set_irq(&io, 9, true);
    assert_int_equal(lapic_poll(&apic[0]), 0x59);
    assert_int_equal(get(0x10 + 18) & LOW_ACTIVE, LOW_ACTIVE);
}

static void nmi_and_logical_destinations(void **state)
{
    (void)state;
    route(3, LAPIC_NMI << 8, 1);
    ioapic_set_irq(&io, 3, true);
    assert_true(vcpu_take(&cpu[1], VCPU_REQ_NMI));
    lapic_write(&apic[0], LAPIC_LDR, 1 << 24);
    lapic_write(&apic[1], LAPIC_LDR, 2 << 24);
    route(5, 1 << 11 | 0x55, 3);
    ioapic_set_irq(&io, 5, true);
    assert_int_equal(lapic_poll(&apic[0]), 0x55);
    assert_int_equal(lapic_poll(&apic[1]), 0x55);
}

static void message_to_nobody_does_not_lock_the_pin(void **state)
{
    (void)state;
    route(9, LEVEL | 0x59, 7);
    ioapic_set_irq(&io, 9, true);
    assert_int_equal(get(0x10 + 18) & REMOTE_IRR, 0);
    route(9, LEVEL | 0x59, 1);
    assert_int_equal(lapic_poll(&apic[1]), 0x59);
}

static void state_survives_save_and_load(void **state)
{
    (void)state;
    struct ioapic other;
    struct lapic_bus bus2;
    lapic_bus_init(&bus2);
    route(9, LEVEL | 0x59, 0);
    route(20, MASKED | 0x99, 0x55);
    ioapic_set_irq(&io, 9, true);
    ioapic_init(&other, &bus2);
    check_round_trip(ioapic_class.state, &io, &other);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup(name, setup)
    const struct CMUnitTest tests[] = {
        T(registers_identify_the_chip),
        T(edge_is_delivered_once),
        T(edge_on_a_masked_pin_is_lost),
        T(level_waits_for_eoi_and_comes_again),
        T(level_on_a_masked_pin_comes_with_the_unmask),
        T(eoi_register_works_as_a_broadcast),
        T(edge_mode_clears_remote_irr),
        T(status_bits_are_read_only),
        T(polarity_does_not_turn_asserted_lines),
        T(nmi_and_logical_destinations),
        T(message_to_nobody_does_not_lock_the_pin),
        T(state_survives_save_and_load),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
