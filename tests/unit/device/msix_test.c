/* SPDX-License-Identifier: MIT */
/*
 * Laws of MSI-X: what is sent when, and what masks keep.
 */
#include "device/msix.h"

#include "support/chip.h"

enum { NR = 5, TABLE = 0x3000, PBA = 0x3800 };

static struct bus mmio, pio;
static struct pci_bus bus;
static struct pci_func func;
static struct msix msix;
static unsigned sent;
static uint64_t last_address;
static uint32_t last_data;

static void record(void *opaque, uint64_t address, uint32_t data)
{
    assert_ptr_equal(opaque, &msix);
    sent++;
    last_address = address;
    last_data = data;
}

static void written(struct pci_func *f, unsigned offset, unsigned size)
{
    (void)f;
    msix_config_written(&msix, offset, size);
}

static void control(uint16_t v)
{
    pci_config_write(&bus, 8, msix.cap + 2U, v, 2);
}

static void entry(unsigned n, uint64_t address, uint32_t data, uint32_t vector_control)
{
    msix_table_write(&msix, n * 16, (uint32_t)address, 4);
    msix_table_write(&msix, n * 16 + 4, (uint32_t)(address >> 32), 4);
    msix_table_write(&msix, n * 16 + 8, data, 4);
    msix_table_write(&msix, n * 16 + 12, vector_control, 4);
}

static int setup(void **state)
{
    (void)state;
    sent = 0;
    bus_init(&mmio);
    bus_init(&pio);
    pci_bus_init(&bus, &mmio, &pio);
    pci_func_init(&func, 0x1af4, 0x1044, 0, 1);
    func.written = written;
    msix_init(&msix, &func, NR, 2, TABLE, PBA, &(const struct msi_sink){ .fn = record, .opaque = &msix });
    assert_int_equal(pci_bus_add(&bus, &func, 8, NULL), 0);
    return 0;
}

static void the_capability_says_where_things_are(void **state)
{
    (void)state;
    unsigned cap = pci_config_read(&bus, 8, PCI_CAPABILITIES, 1);
    assert_int_equal(pci_config_read(&bus, 8, PCI_STATUS, 2) & 0x10, 0x10);
    assert_int_equal(pci_config_read(&bus, 8, cap, 1), PCI_CAP_MSIX);
    assert_int_equal(pci_config_read(&bus, 8, cap + 2, 2), NR - 1);
    assert_int_equal(pci_config_read(&bus, 8, cap + 4, 4), TABLE | 2);
    assert_int_equal(pci_config_read(&bus, 8, cap + 8, 4), PBA | 2);
    pci_config_write(&bus, 8, cap + 4, 0xffffffff, 4);
    pci_config_write(&bus, 8, cap + 2, 0xffff, 2);
    assert_int_equal(pci_config_read(&bus, 8, cap + 4, 4), TABLE | 2);
    assert_int_equal(pci_config_read(&bus, 8, cap + 2, 2), 0xc000 | (NR - 1));
}

static void nothing_is_sent_while_off(void **state)
{
    (void)state;
    entry(0, 0xfee00000, 0x41, 0);
    msix_fire(&msix, 0);
    control(0x8000);
    assert_int_equal(sent, 0);
    assert_int_equal(msix_pba_read(&msix, 0, 4), 0);
}

static void a_vector_sends_its_message(void **state)
{
    (void)state;
    control(0x8000);
    entry(3, 0x1234fee01007, 0x4a, 0);
    msix_fire(&msix, 3);
    assert_int_equal(sent, 1);
    assert_int_equal(last_address, 0x1234fee01004); /* the low bits are no address */
    assert_int_equal(last_data, 0x4a);
    msix_fire(&msix, NR);
    msix_fire(&msix, 0xffff);
    assert_int_equal(sent, 1);
}

static void a_masked_vector_waits(void **state)
{
    (void)state;
    control(0x8000);
    entry(1, 0xfee00000, 0x41, 1);
    msix_fire(&msix, 1);
    msix_fire(&msix, 1);
    assert_int_equal(sent, 0);
    assert_int_equal(msix_pba_read(&msix, 0, 4), 2);
    msix_table_write(&msix, 16 + 8, 0x55, 4);
    msix_table_write(&msix, 16 + 12, 0, 4);
    assert_int_equal(sent, 1);
    assert_int_equal(last_data, 0x55);
    assert_int_equal(msix_pba_read(&msix, 0, 4), 0);
}

static void the_functions_mask_holds_all(void **state)
{
    (void)state;
    entry(0, 0xfee00000, 0x41, 0);
    entry(4, 0xfee00000, 0x42, 0);
    control(0xc000);
    msix_fire(&msix, 0);
    msix_fire(&msix, 4);
    assert_int_equal(sent, 0);
    control(0x8000);
    assert_int_equal(sent, 2);
}

static void odd_accesses_do_nothing(void **state)
{
    (void)state;
    control(0x8000);
    entry(0, 0xfee00000, 0x41, 0);
    msix_table_write(&msix, 2, 0xffffffff, 4);
    msix_table_write(&msix, 0, 0xff, 1);
    msix_table_write(&msix, NR * 16, 0xff, 4);
    msix_table_write(&msix, ~3ULL, 0xff, 4);
    assert_int_equal(msix_table_read(&msix, 0, 4), 0xfee00000);
    assert_int_equal(msix_table_read(&msix, NR * 16, 4), 0);
    assert_int_equal(msix_table_read(&msix, ~3ULL, 4), 0);
    assert_int_equal(msix_pba_read(&msix, 4, 4), 0);
}

static void reset_masks_everything(void **state)
{
    (void)state;
    control(0x8000);
    entry(0, 0xfee00000, 0x41, 0);
    msix_reset(&msix);
    assert_false(msix_enabled(&msix));
    assert_int_equal(msix_table_read(&msix, 0, 4), 0);
    assert_int_equal(msix_table_read(&msix, 12, 4), 1);
}

static void state_survives_save_and_load(void **state)
{
    (void)state;
    static struct pci_func other_func;
    static struct msix other;
    control(0x8000);
    entry(1, 0xfee00000, 0x41, 1);
    msix_fire(&msix, 1);
    pci_func_init(&other_func, 0x1af4, 0x1044, 0, 1);
    msix_init(&other, &other_func, NR, 2, TABLE, PBA, &(const struct msi_sink){ 0 });
    check_round_trip(&msix_state, &msix, &other);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup(name, setup)
    const struct CMUnitTest tests[] = {
        T(the_capability_says_where_things_are),
        T(nothing_is_sent_while_off),
        T(a_vector_sends_its_message),
        T(a_masked_vector_waits),
        T(the_functions_mask_holds_all),
        T(odd_accesses_do_nothing),
        T(reset_masks_everything),
        T(state_survives_save_and_load),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
