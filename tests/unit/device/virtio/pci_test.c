/* SPDX-License-Identifier: MIT */
/*
 * Laws of virtio over PCI, as a driver finds and uses it.
 */
#include "device/virtio/pci.h"

#include "support/chip.h"
#include "support/virtio_driver.h"
#include "support/virtio_echo.h"

enum { DEVFN = 8, DATA = 0x40000, BAR = 0xc0000000 };
enum { CAP_COMMON = 1, CAP_NOTIFY = 2, CAP_ISR = 3, CAP_DEVICE = 4, CAP_PCI = 5, CAP_NR };
enum { ACK = 1, DRIVER = 2, OK = 4, FEATURES = 8 };

static struct gmem gm;
static struct vm_clock vclock;
static struct bus mmio, pio;
static struct pci_bus bus;
static struct echo echo;
static struct virtio_pci vpci;
static struct probe intx;
static struct driver drv;
static unsigned cap_at[CAP_NR];
static uint64_t common, isr, config, notify, table;
static unsigned sent;
static uint32_t last_data;

static void record(void *opaque, uint64_t address, uint32_t data)
{
    (void)opaque;
    assert_int_equal(address, 0xfee00000);
    sent++;
    last_data = data;
}

static uint32_t cfg(unsigned offset, unsigned size)
{
    return pci_config_read(&bus, DEVFN, offset, size);
}

static void put(uint64_t at, uint32_t v, unsigned size)
{
    bus_write(&mmio, at, v, size);
}

static uint32_t get(uint64_t at, unsigned size)
{
    return (uint32_t)bus_read(&mmio, at, size);
}

/* What a driver does: walks the list of capabilities. */
static void find_caps(void)
{
    for (unsigned at = cfg(PCI_CAPABILITIES, 1); at; at = cfg(at + 1, 1)) {
        if (cfg(at, 1) == PCI_CAP_MSIX) {
            table = BAR + cfg(at + 4, 4);
            continue;
        }
        assert_int_equal(cfg(at, 1), PCI_CAP_VENDOR);
        unsigned type = cfg(at + 3, 1);
        assert_in_range(type, 1, CAP_NR - 1);
        cap_at[type] = at;
        assert_int_equal(cfg(at + 4, 1), 0);
    }
    common = BAR + cfg(cap_at[CAP_COMMON] + 8, 4);
    isr = BAR + cfg(cap_at[CAP_ISR] + 8, 4);
    config = BAR + cfg(cap_at[CAP_DEVICE] + 8, 4);
    notify = BAR + cfg(cap_at[CAP_NOTIFY] + 8, 4);
}

static int setup(void **state)
{
    (void)state;
    sent = 0;
    intx = (struct probe){ 0 };
    test_clock(&vclock);
    drv_memory(&gm);
    bus_init(&mmio);
    bus_init(&pio);
    pci_bus_init(&bus, &mmio, &pio);
    echo_init(&echo, &gm, &vclock);
    virtio_pci_init(&vpci, &echo.vdev, &(const struct msi_sink){ .fn = record });
    vpci.func.intx = *PROBE_LINE(&intx);
    assert_int_equal(pci_bus_add(&bus, &vpci.func, DEVFN, NULL), 0);
    virtio_pci_class.reset(&vpci);
    pci_config_write(&bus, DEVFN, PCI_BAR0, BAR, 4);
    pci_config_write(&bus, DEVFN, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
    find_caps();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    virtio_done(&echo.vdev);
    bus_done(&mmio);
    bus_done(&pio);
    gmem_done(&gm);
    return 0;
}

static void put_area(uint64_t at, uint64_t gpa)
{
    put(at, (uint32_t)gpa, 4);
    put(at + 4, (uint32_t)(gpa >> 32), 4);
}

/* The whole of a driver's initialisation, by registers. */
static void go_live(bool with_msix)
{
    put(common + 0x14, 0, 1);
    assert_int_equal(get(common + 0x14, 1), 0);
    put(common + 0x14, ACK, 1);
    put(common + 0x14, ACK | DRIVER, 1);
    for (unsigned word = 0; word < 2; word++) {
        put(common + 0x00, word, 4);
        put(common + 0x08, word, 4);
        put(common + 0x0c, get(common + 0x04, 4), 4); /* all that is offered */
    }
    put(common + 0x14, ACK | DRIVER | FEATURES, 1);
    assert_int_equal(get(common + 0x14, 1), ACK | DRIVER | FEATURES);
    if (with_msix) {
        for (unsigned n = 0; n < 3; n++) {
            put(table + 16 * n, 0xfee00000, 4);
            put(table + 16 * n + 8, 0x40 + n, 4);
            put(table + 16 * n + 12, 0, 4);
        }
        pci_config_write(&bus, DEVFN, vpci.msix.cap + 2U, 0x8000, 2);
        put(common + 0x10, 0, 2);
        assert_int_equal(get(common + 0x10, 2), 0);
    }
    put(common + 0x16, 1, 2);
    assert_int_equal(get(common + 0x18, 2), ECHO_SIZE);
    drv_init(&drv, &gm, 0x10000, ECHO_SIZE);
    if (with_msix)
        put(common + 0x1a, 2, 2);
    put_area(common + 0x20, drv.desc);
    put_area(common + 0x28, drv.avail);
    put_area(common + 0x30, drv.used);
    put(common + 0x1c, 1, 2);
    assert_int_equal(get(common + 0x1c, 2), 1);
    put(common + 0x14, ACK | DRIVER | FEATURES | OK, 1);
}

static void kick(void)
{
    drv_write(&drv, DATA, "ping", 4);
    drv_desc(&drv, 0, DATA, 4, DRV_NEXT, 1);
    drv_desc(&drv, 1, DATA + 64, 4, DRV_WRITE, 0);
    drv_offer(&drv, 0);
    put(common + 0x16, 1, 2);
    put(notify + get(common + 0x1e, 2) * cfg(cap_at[CAP_NOTIFY] + 16, 4), 1, 2);
}

static void the_function_says_what_it_is(void **state)
{
    (void)state;
    assert_int_equal(cfg(PCI_VENDOR, 4), 0x106a1af4); /* 1040h + 42 */
    assert_int_equal(cfg(PCI_REVISION, 1), 1);
    assert_int_equal(cfg(PCI_INTERRUPT_PIN, 1), 1);
    assert_int_equal(cfg(cap_at[CAP_DEVICE] + 12, 4), ECHO_CONFIG);
    for (unsigned type = 1; type < CAP_NR; type++)
        assert_int_not_equal(cap_at[type], 0);
    assert_int_equal(get(common + 0x12, 2), ECHO_QUEUES);
    put(common + 0x16, ECHO_QUEUES, 2);
    assert_int_equal(get(common + 0x18, 2), 0); /* no such queue */
}

static void a_chain_goes_round_with_intx(void **state)
{
    (void)state;
    go_live(false);
    kick();
    assert_int_equal(echo.chains, 1);
    assert_true(intx.level);
    assert_int_equal(get(isr, 1), 1);
    assert_false(intx.level);
    assert_int_equal(get(isr, 1), 0);
    virtio_config_changed(&echo.vdev);
    assert_int_equal(get(isr, 1), 2);
    assert_int_equal(sent, 0);
}

static void a_chain_goes_round_with_msix(void **state)
{
    (void)state;
    go_live(true);
    kick();
    assert_int_equal(sent, 1);
    assert_int_equal(last_data, 0x42);
    assert_false(intx.level);
    virtio_config_changed(&echo.vdev);
    assert_int_equal(sent, 2);
    assert_int_equal(last_data, 0x40);
}

static void a_vector_that_does_not_exist_reads_back_as_none(void **state)
{
    (void)state;
    put(common + 0x10, ECHO_QUEUES + 1, 2);
    assert_int_equal(get(common + 0x10, 2), 0xffff);
    put(common + 0x1a, 0x8000, 2);
    assert_int_equal(get(common + 0x1a, 2), 0xffff);
}

static void status_0_resets_device_and_transport(void **state)
{
    (void)state;
    go_live(true);
    put(common + 0x14, 0, 1);
    assert_int_equal(get(common + 0x10, 2), 0xffff);
    put(common + 0x16, 1, 2);
    assert_int_equal(get(common + 0x1c, 2), 0);
    assert_int_equal(get(common + 0x20, 4), 0);
    assert_true(msix_enabled(&vpci.msix)); /* that is PCI's */
    go_live(true);
    kick();
    assert_int_equal(sent, 1);
}

static void wrong_widths_and_places_do_nothing(void **state)
{
    (void)state;
    go_live(true);
    for (uint64_t at = BAR; at < BAR + VIRTIO_PCI_BAR_SIZE; at++)
        for (unsigned size = 1; size <= 8; size *= 2)
            if (at < notify || at >= notify + 0x1000)
                (void)get(at, size);
    put(common + 0x14, 0, 4);
    put(common + 0x15, 0, 1);
    put(common + 0x12, 0, 2);
    put(isr, 0, 1);
    put(notify + 0xffc, 1, 2);
    assert_true(virtio_live(&echo.vdev));
}

static void the_configuration_window_reaches_the_bar(void **state)
{
    (void)state;
    unsigned at = cap_at[CAP_PCI];
    pci_config_write(&bus, DEVFN, at + 8, (uint32_t)(config - BAR), 4);
    pci_config_write(&bus, DEVFN, at + 12, 4, 4);
    assert_int_equal(cfg(at + 16, 4), 0x44332211);
    pci_config_write(&bus, DEVFN, at + 8, (uint32_t)(config - BAR) + 4, 4);
    pci_config_write(&bus, DEVFN, at + 16, 0xcafe0123, 4);
    assert_int_equal(get(config + 4, 4), 0xcafe0123);
    static const uint32_t bad[][3] = { { 0x4000, 4, 0 }, { 2, 4, 0 }, { 0, 0, 0 }, { 0, 3, 0 }, { ~3U, 4, 0 }, { 0, 4, 1 } };
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        pci_config_write(&bus, DEVFN, at + 4, bad[i][2], 1);
        pci_config_write(&bus, DEVFN, at + 8, bad[i][0], 4);
        pci_config_write(&bus, DEVFN, at + 12, bad[i][1], 4);
        pci_config_write(&bus, DEVFN, at + 16, 1, 4);
        (void)cfg(at + 16, 4);
    }
}

static void state_survives_save_and_load(void **state)
{
    (void)state;
    static struct echo other_echo;
    static struct virtio_pci other;
    go_live(true);
    kick();
    echo_init(&other_echo, &gm, &vclock);
    virtio_pci_init(&other, &other_echo.vdev, &(const struct msi_sink){ .fn = record });
    check_round_trip(&virtio_device_state, &echo.vdev, &other_echo.vdev);
    check_round_trip(virtio_pci_class.state, &vpci, &other);
    sent = 0;
    kick();
    virtio_notify(&other_echo.vdev, 1);
    virtio_done(&other_echo.vdev);
    assert_int_equal(other_echo.chains, 1);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(the_function_says_what_it_is),
        T(a_chain_goes_round_with_intx),
        T(a_chain_goes_round_with_msix),
        T(a_vector_that_does_not_exist_reads_back_as_none),
        T(status_0_resets_device_and_transport),
        T(wrong_widths_and_places_do_nothing),
        T(the_configuration_window_reaches_the_bar),
        T(state_survives_save_and_load),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
