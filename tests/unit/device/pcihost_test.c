/* SPDX-License-Identifier: MIT */
/*
 * Laws of PCI configuration space, its two ways in, BARs, and the reset register.
 */
#include "device/pcihost.h"
#include "support/chip.h"

#include <errno.h>

static struct bus mmio, pio;
static struct pcihost host;
static struct probe reset_line;
static struct pci_func func;
static uint64_t touched;

static uint64_t dev_read(void *dev, uint64_t offset, unsigned size)
{
    (void)dev;
    (void)size;
    return 0xab00 | offset;
}

static void dev_write(void *dev, uint64_t offset, uint64_t value, unsigned size)
{
    (void)dev;
    (void)size;
    touched = offset << 8 | value;
}

static const struct io_ops dev_ops = { .read = dev_read, .write = dev_write, .min_size = 1, .max_size = 4 };

static int setup(void **state)
{
    (void)state;
    reset_line = (struct probe){ 0 };
    bus_init(&mmio);
    bus_init(&pio);
    pcihost_init(&host, &mmio, &pio, PROBE_LINE(&reset_line));
    assert_int_equal(bus_map(&pio, 0xcf8, PCIHOST_IO_SIZE, &pcihost_io_ops, &host, "pcihost", NULL), 0);
    assert_int_equal(bus_map(&mmio, 0xb0000000, PCIHOST_ECAM_SIZE, &pcihost_ecam_ops, &host, "ecam", NULL), 0);
    pci_func_init(&func, 0x1af4, 0x1042, 0x010000, 1);
    pci_func_set_bar(&func, 0, PCI_BAR_IO, 0x40, &dev_ops, &func, "test-io");
    pci_func_set_bar(&func, 1, PCI_BAR_MEM32, 0x1000, &dev_ops, &func, "test-mem");
    pci_func_set_bar(&func, 4, PCI_BAR_MEM64, 0x4000, &dev_ops, &func, "test-mem64");
    assert_int_equal(pci_bus_add(&host.bus, &func, PCI_DEVFN(3, 0), NULL), 0);
    pcihost_class.reset(&host);
    pci_func_reset(&func);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    bus_done(&mmio);
    bus_done(&pio);
    return 0;
}

static void select_reg(unsigned dev, unsigned reg)
{
    bus_write(&pio, 0xcf8, 0x80000000 | dev << 11 | (reg & 0xfc), 4);
}

static uint32_t in(unsigned dev, unsigned reg, unsigned size)
{
    select_reg(dev, reg);
    return (uint32_t)bus_read(&pio, 0xcfc + (reg & 3), size);
}

static void out(unsigned dev, unsigned reg, uint32_t v, unsigned size)
{
    select_reg(dev, reg);
    bus_write(&pio, 0xcfc + (reg & 3), v, size);
}

/* Linux's pci_check_type1: the address register reads back, a byte access at CFBh does not disturb it. */
static void linux_finds_mechanism_1(void **state)
{
    (void)state;
    bus_write(&pio, 0xcfb, 0x01, 1);
    bus_write(&pio, 0xcf8, 0x80000000, 4);
    assert_int_equal(bus_read(&pio, 0xcf8, 4), 0x80000000);
    assert_int_equal(in(0, PCI_CLASS + 1, 2), 0x0600); /* host bridge, which Linux's sanity check looks for */
}

static void empty_slots_read_as_ones(void **state)
{
    (void)state;
    for (unsigned dev = 1; dev < 32; dev++)
        if (dev != 3)
            assert_int_equal(in(dev, 0, 4), 0xffffffff);
    bus_write(&pio, 0xcf8, 0x80010000, 4); /* bus 1 */
    assert_int_equal(bus_read(&pio, 0xcfc, 4), 0xffffffff);
    bus_write(&pio, 0xcf8, 0, 4); /* not enabled */
    assert_int_equal(bus_read(&pio, 0xcfc, 4), 0xffffffff);
}

static void ecam_and_mechanism_1_see_the_same(void **state)
{
    (void)state;
    for (unsigned reg = 0; reg < 256; reg += 4)
        assert_int_equal(bus_read(&mmio, 0xb0000000 + (3 << 15) + reg, 4), in(3, reg, 4));
    assert_int_equal(bus_read(&mmio, 0xb0000000 + (3 << 15) + 0x100, 4), 0xffffffff);
    bus_write(&mmio, 0xb0000000 + (3 << 15) + PCI_INTERRUPT_LINE, 11, 1);
    assert_int_equal(in(3, PCI_INTERRUPT_LINE, 1), 11);
}

static void read_only_registers_stay(void **state)
{
    (void)state;
    for (unsigned reg = 0; reg < 256; reg += 4)
        if (reg < PCI_BAR0 || reg >= PCI_BAR0 + 24)
            out(3, reg, 0, 4);
    assert_int_equal(in(3, PCI_VENDOR, 4), 0x10421af4);
    assert_int_equal(in(3, PCI_REVISION, 4), 0x01000001);
}

static void bars_tell_their_size(void **state)
{
    (void)state;
    for (unsigned n = 0; n < 6; n++)
        out(3, PCI_BAR0 + 4 * n, 0xffffffff, 4);
    assert_int_equal(in(3, PCI_BAR0, 4), 0xffffffc1);
    assert_int_equal(in(3, PCI_BAR0 + 4, 4), 0xfffff000);
    assert_int_equal(in(3, PCI_BAR0 + 8, 4), 0);
    assert_int_equal(in(3, PCI_BAR0 + 16, 4), 0xffffc004);
    assert_int_equal(in(3, PCI_BAR0 + 20, 4), 0xffffffff);
}

static void bars_decode_only_when_switched_on(void **state)
{
    (void)state;
    out(3, PCI_BAR0, 0xc000, 4);
    out(3, PCI_BAR0 + 4, 0xe0000000, 4);
    out(3, PCI_BAR0 + 16, 0x00000000, 4);
    out(3, PCI_BAR0 + 20, 0x00000008, 4);
    assert_int_equal(bus_read(&pio, 0xc010, 2), 0xffff);
    out(3, PCI_COMMAND, PCI_COMMAND_IO, 2);
    assert_int_equal(bus_read(&pio, 0xc010, 2), 0xab10);
    assert_int_equal(bus_read(&mmio, 0xe0000010, 2), 0xffff);
    out(3, PCI_COMMAND, PCI_COMMAND_IO | PCI_COMMAND_MEMORY, 2);
    assert_int_equal(bus_read(&mmio, 0xe0000010, 2), 0xab10);
    assert_int_equal(bus_read(&mmio, 0x800000020, 2), 0xab20);
    out(3, PCI_BAR0 + 4, 0xe1000000, 4);
    assert_int_equal(bus_read(&mmio, 0xe0000010, 2), 0xffff);
    assert_int_equal(bus_read(&mmio, 0xe1000010, 2), 0xab10);
    out(3, PCI_COMMAND, 0, 2);
    assert_int_equal(bus_read(&mmio, 0xe1000010, 2), 0xffff);
}

static void bar_on_top_of_another_device_is_not_seen(void **state)
{
    (void)state;
    out(3, PCI_BAR0 + 4, 0xb0000000, 4); /* over the ECAM window */
    out(3, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
    assert_int_equal(bus_read(&mmio, 0xb0000000, 2), 0x1b36);
    assert_int_not_equal(func.errors.count, 0);
    out(3, PCI_BAR0 + 4, 0xe0000000, 4);
    assert_int_equal(bus_read(&mmio, 0xe0000000, 2), 0xab00);
}

static void intx_follows_level_and_disable_bit(void **state)
{
    (void)state;
    struct probe intx = { 0 };
    func.intx = *PROBE_LINE(&intx);
    pci_func_set_intx(&func, true);
    assert_true(intx.level);
    assert_int_equal(in(3, PCI_STATUS, 2) & 8, 8);
    out(3, PCI_COMMAND, PCI_COMMAND_INTX_OFF, 2);
    assert_false(intx.level);
    assert_int_equal(in(3, PCI_STATUS, 2) & 8, 8);
    out(3, PCI_COMMAND, 0, 2);
    assert_true(intx.level);
}

static void slot_is_taken_once(void **state)
{
    (void)state;
    struct pci_func other;
    pci_func_init(&other, 1, 2, 0, 0);
    assert_int_equal(pci_bus_add(&host.bus, &other, PCI_DEVFN(3, 0), NULL), -EEXIST);
}

static void cf9_resets_on_the_rising_cpu_bit(void **state)
{
    (void)state;
    bus_write(&pio, 0xcf9, 0x02, 1);
    assert_int_equal(reset_line.rises, 0);
    assert_int_equal(bus_read(&pio, 0xcf9, 1), 0x02);
    bus_write(&pio, 0xcf9, PCIHOST_RESET_VALUE, 1);
    assert_int_equal(reset_line.rises, 1);
}

static void state_survives_save_and_load(void **state)
{
    (void)state;
    struct pcihost other;
    struct bus mmio2, pio2;
    bus_init(&mmio2);
    bus_init(&pio2);
    pcihost_init(&other, &mmio2, &pio2, NULL);
    out(0, PCI_INTERRUPT_LINE, 9, 1);
    bus_write(&pio, 0xcf9, 2, 1);
    check_round_trip(pcihost_class.state, &host, &other);
    bus_done(&mmio2);
    bus_done(&pio2);
}

static void loaded_function_is_mapped_again(void **state)
{
    (void)state;
    struct pci_bus bus2;
    struct pci_func copy;
    struct bus mmio2, pio2;
    bus_init(&mmio2);
    bus_init(&pio2);
    pci_bus_init(&bus2, &mmio2, &pio2);
    pci_func_init(&copy, 0, 0, 0, 0);
    pci_func_set_bar(&copy, 1, PCI_BAR_MEM32, 0x1000, &dev_ops, &copy, "test-mem");
    assert_int_equal(pci_bus_add(&bus2, &copy, 0, NULL), 0);
    out(3, PCI_BAR0 + 4, 0xe0000000, 4);
    out(3, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
    check_round_trip(&pci_func_state, &func, &copy);
    assert_int_equal(bus_read(&mmio2, 0xe0000004, 2), 0xab04);
    bus_done(&mmio2);
    bus_done(&pio2);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(linux_finds_mechanism_1),
        T(empty_slots_read_as_ones),
        T(ecam_and_mechanism_1_see_the_same),
        T(read_only_registers_stay),
        T(bars_tell_their_size),
        T(bars_decode_only_when_switched_on),
        T(bar_on_top_of_another_device_is_not_seen),
        T(intx_follows_level_and_disable_bit),
        T(slot_is_taken_once),
        T(cf9_resets_on_the_rising_cpu_bit),
        T(state_survives_save_and_load),
        T(loaded_function_is_mapped_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
