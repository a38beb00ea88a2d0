/* SPDX-License-Identifier: MIT */
/*
 * Laws of board virt's device tree, read back by libfdt: its chips stand where the board has them, and what was asked for is in
 * it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <libfdt.h>

#include "machine/virt.h"
#include "machine/virt_fdt.h"

static uint8_t tree[VIRT_FDT_MAX];

static struct virt_fdt_args some_args(void)
{
    struct virt_fdt_args args = {
        .profile = riscv_profile_default(),
        .harts = 3,
        .ram = VIRT_RAM,
        .memory = 8ULL << 30,
        .cmdline = "console=ttyS0 quiet",
        .initrd = 0xf0000000,
        .initrd_end = 0xf0012345,
        .virtio = 10,
        .switches = true,
        .kaslr = 0x1122334455667788,
    };
    for (unsigned i = 0; i < sizeof(args.seed); i++)
        args.seed[i] = (uint8_t)(i + 1);
    return args;
}

static void build(const struct virt_fdt_args *args)
{
    struct error err = { 0 };
    size_t size = 0;
    if (virt_fdt_build(args, tree, sizeof(tree), &size, &err) < 0)
        fail_msg("%s", err.msg);
    assert_true(size > 0 && size <= sizeof(tree));
    assert_int_equal(fdt_check_full(tree, size), 0);
}

static int node(const char *path)
{
    int at = fdt_path_offset(tree, path);
    if (at < 0)
        fail_msg("%s: %s", path, fdt_strerror(at));
    return at;
}

static const void *property(const char *path, const char *name, int want_len)
{
    int len = 0;
    const void *p = fdt_getprop(tree, node(path), name, &len);
    if (!p)
        fail_msg("%s has no %s", path, name);
    if (want_len >= 0)
        assert_int_equal(len, want_len);
    return p;
}

static uint32_t cell(const char *path, const char *name)
{
    return fdt32_ld(property(path, name, 4));
}

static uint64_t wide(const char *path, const char *name)
{
    return fdt64_ld(property(path, name, 8));
}

static void expect_text(const char *path, const char *name, const char *want)
{
    assert_string_equal(property(path, name, (int)strlen(want) + 1), want);
}

static void expect_chip(const char *path, const char *compatible, uint64_t base, int source)
{
    const fdt64_t *reg = property(path, "reg", 16);
    assert_int_equal(fdt_node_check_compatible(tree, node(path), compatible), 0);
    assert_int_equal(fdt64_ld(reg), base);
    assert_true(fdt64_ld(reg + 1) > 0);
    if (source < 0)
        return;
    assert_int_equal(cell(path, "interrupts"), source);
    assert_int_equal(fdt_node_offset_by_phandle(tree, cell(path, "interrupt-parent")), node("/soc/plic@c000000"));
}

static void chips_are_where_the_board_has_them(void **state)
{
    const struct virt_fdt_args args = some_args();
    (void)state;
    build(&args);
    expect_chip("/soc/serial@10000000", "ns16550a", VIRT_UART, VIRT_IRQ_UART);
    expect_chip("/soc/serial@10000100", "ns16550a", VIRT_UART2, VIRT_IRQ_UART2);
    expect_chip("/soc/rtc@101000", "google,goldfish-rtc", VIRT_RTC, VIRT_IRQ_RTC);
    expect_chip("/soc/test@100000", "syscon", VIRT_TEST, -1);
    expect_chip("/soc/plic@c000000", "sifive,plic-1.0.0", VIRT_PLIC, -1);
    expect_chip("/soc/clint@2000000", "sifive,clint0", VIRT_CLINT, -1);
    expect_chip("/soc/virtio_mmio@10001000", "virtio,mmio", VIRT_VIRTIO, 1);
    expect_chip("/soc/virtio_mmio@10008000", "virtio,mmio", VIRT_VIRTIO + 7 * VIRT_VIRTIO_STRIDE, 8);
    expect_chip("/soc/virtio_mmio@1000a000", "virtio,mmio", VIRT_VIRTIO + 9 * VIRT_VIRTIO_STRIDE, 41);
    assert_true(fdt_path_offset(tree, "/soc/virtio_mmio@1000b000") < 0); /* there are ten */
    expect_text("/aliases", "serial0", "/soc/serial@10000000");
    expect_text("/aliases", "serial1", "/soc/serial@10000100");
    assert_int_equal(fdt_node_offset_by_phandle(tree, cell("/poweroff", "regmap")), node("/soc/test@100000"));
    assert_int_equal(cell("/poweroff", "value"), 0x5555);
    assert_int_equal(cell("/reboot", "value"), 0x7777);
}

/* Linux before 6.7 complains when both the SBI and the finisher can power off, and before 6.4 of memory below the kernel. */
static void only_what_is_of_use_is_said(void **state)
{
    struct virt_fdt_args args = some_args();
    (void)state;
    args.switches = false;
    args.ram = VIRT_RAM + (2 << 20);
    build(&args);
    assert_int_equal(fdt_path_offset(tree, "/poweroff"), -FDT_ERR_NOTFOUND);
    assert_int_equal(fdt_path_offset(tree, "/reboot"), -FDT_ERR_NOTFOUND);
    assert_int_equal(fdt_path_offset(tree, "/memory@80000000"), -FDT_ERR_NOTFOUND);
    const fdt64_t *reg = property("/memory@80200000", "reg", 16);
    assert_int_equal(fdt64_ld(reg), 0x80200000);
    assert_int_equal(fdt64_ld(reg + 1), 8ULL << 30);
}

static void no_two_interrupts_are_the_same(void **state)
{
    bool taken[96] = { [VIRT_IRQ_UART] = true, [VIRT_IRQ_UART2] = true, [VIRT_IRQ_RTC] = true };
    (void)state;
    for (unsigned i = 0; i < 4; i++)
        taken[VIRT_IRQ_PCI + i] = true;
    for (unsigned i = 0; i < VIRT_VIRTIO_SLOTS; i++) {
        assert_true(virt_virtio_irq(i) > 0 && virt_virtio_irq(i) < 96);
        assert_false(taken[virt_virtio_irq(i)]);
        taken[virt_virtio_irq(i)] = true;
    }
}

static void what_was_asked_for_is_chosen(void **state)
{
    struct virt_fdt_args args = some_args();
    (void)state;
    build(&args);
    expect_text("/chosen", "bootargs", "console=ttyS0 quiet");
    expect_text("/chosen", "stdout-path", "/soc/serial@10000000");
    assert_int_equal(wide("/chosen", "linux,initrd-start"), 0xf0000000);
    assert_int_equal(wide("/chosen", "linux,initrd-end"), 0xf0012345);
    assert_memory_equal(property("/chosen", "rng-seed", VIRT_FDT_SEED), args.seed, VIRT_FDT_SEED);
    assert_int_equal(wide("/chosen", "kaslr-seed"), args.kaslr);
    const fdt64_t *reg = property("/memory@80000000", "reg", 16);
    assert_int_equal(fdt64_ld(reg), VIRT_RAM);
    assert_int_equal(fdt64_ld(reg + 1), 8ULL << 30);
    args.initrd_end = args.initrd;
    build(&args);
    assert_null(fdt_getprop(tree, node("/chosen"), "linux,initrd-start", NULL));
}

static void harts_say_what_they_can(void **state)
{
    struct virt_fdt_args args = some_args();
    struct riscv_profile gc;
    struct error err;
    (void)state;
    build(&args);
    assert_int_equal(cell("/cpus", "timebase-frequency"), 10000000);
    assert_int_equal(cell("/cpus/cpu@2", "reg"), 2);
    assert_true(fdt_path_offset(tree, "/cpus/cpu@3") < 0);
    expect_text("/cpus/cpu@0", "mmu-type", "riscv,sv57");
    expect_text("/cpus/cpu@0", "riscv,isa-base", "rv64i");
    assert_non_null(strstr(property("/cpus/cpu@0", "riscv,isa", -1), "rv64imafdc_zicbom_"));
    assert_int_equal(cell("/cpus/cpu@0", "riscv,cboz-block-size"), 64);
    assert_true(fdt_stringlist_contains(property("/cpus/cpu@0", "riscv,isa-extensions", -1), 200, "svpbmt"));
    assert_null(strstr(property("/cpus/cpu@0", "riscv,isa", -1), "sv57"));
    assert_int_equal(riscv_profile_make("rv64gc", &gc, &err), 0);
    args.profile = &gc;
    build(&args);
    expect_text("/cpus/cpu@1", "mmu-type", "riscv,sv48");
    expect_text("/cpus/cpu@1", "riscv,isa", "rv64imafdc_zicntr_zicsr_zifencei_sstc");
    assert_int_equal(fdt_stringlist_count(tree, node("/cpus/cpu@1"), "riscv,isa-extensions"), 10);
    assert_int_equal(fdt_stringlist_search(tree, node("/cpus/cpu@1"), "riscv,isa-extensions", "sstc"), 9);
    assert_null(fdt_getprop(tree, node("/cpus/cpu@1"), "riscv,cboz-block-size", NULL));
    assert_int_equal(riscv_profile_make("rv64gc,v=on,vlen=256", &gc, &err), 0);
    build(&args);
    expect_text("/cpus/cpu@1", "riscv,isa", "rv64imafdcv_zicntr_zicsr_zifencei_zvl128b_zvl256b_sstc");
    assert_int_equal(fdt_stringlist_search(tree, node("/cpus/cpu@1"), "riscv,isa-extensions", "v"), 6);
}

static void controllers_lead_to_every_hart(void **state)
{
    const struct virt_fdt_args args = some_args();
    (void)state;
    build(&args);
    const fdt32_t *plic = property("/soc/plic@c000000", "interrupts-extended", 3 * 16);
    const fdt32_t *clint = property("/soc/clint@2000000", "interrupts-extended", 3 * 16);
    for (unsigned i = 0; i < 3; i++) {
        char path[64];
        (void)snprintf(path, sizeof(path), "/cpus/cpu@%u/interrupt-controller", i);
        const uint32_t intc = cell(path, "phandle");
        assert_int_equal(fdt32_ld(plic + 4 * i), intc);
        assert_int_equal(fdt32_ld(plic + 4 * i + 1), 11);
        assert_int_equal(fdt32_ld(plic + 4 * i + 2), intc);
        assert_int_equal(fdt32_ld(plic + 4 * i + 3), 9);
        assert_int_equal(fdt32_ld(clint + 4 * i + 1), 3);
        assert_int_equal(fdt32_ld(clint + 4 * i + 3), 7);
    }
}

static void pci_pins_lead_to_four_sources_in_turn(void **state)
{
    struct virt_fdt_args args = some_args();
    (void)state;
    build(&args);
    assert_true(fdt_path_offset(tree, "/soc/pci@30000000") < 0);
    args.pci = true;
    build(&args);
    expect_chip("/soc/pci@30000000", "pci-host-ecam-generic", VIRT_ECAM, -1);
    const fdt32_t *mask = property("/soc/pci@30000000", "interrupt-map-mask", 16);
    const fdt32_t *map = property("/soc/pci@30000000", "interrupt-map", 4 * 4 * 24);
    assert_int_equal(fdt32_ld(mask), 3 << 11);
    for (unsigned i = 0; i < 16; i++, map += 6) {
        const unsigned slot = fdt32_ld(map) >> 11, pin = fdt32_ld(map + 3);
        assert_int_equal(fdt_node_offset_by_phandle(tree, fdt32_ld(map + 4)), node("/soc/plic@c000000"));
        assert_int_equal(fdt32_ld(map + 5), VIRT_IRQ_PCI + (slot + pin - 1) % 4);
        assert_int_equal(4 * slot + pin - 1, i); /* each once */
    }
}

static void the_largest_machine_fits_and_what_does_not_is_an_error(void **state)
{
    struct virt_fdt_args args = some_args();
    char cmdline[1024];
    struct error err = { 0 };
    size_t size;
    (void)state;
    memset(cmdline, 'x', sizeof(cmdline) - 1);
    cmdline[sizeof(cmdline) - 1] = '\0';
    args.harts = VIRT_HARTS_MAX;
    args.virtio = VIRT_VIRTIO_SLOTS;
    args.pci = true;
    args.cmdline = cmdline;
    build(&args);
    const size_t needed = fdt_totalsize(tree);
    for (size_t cap = 0; cap < needed; cap += 61) {
        uint8_t *small = malloc(cap + 1);
        assert_true(virt_fdt_build(&args, small, cap, &size, &err) < 0);
        free(small);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chips_are_where_the_board_has_them),
        cmocka_unit_test(only_what_is_of_use_is_said),
        cmocka_unit_test(no_two_interrupts_are_the_same),
        cmocka_unit_test(what_was_asked_for_is_chosen),
        cmocka_unit_test(harts_say_what_they_can),
        cmocka_unit_test(controllers_lead_to_every_hart),
        cmocka_unit_test(pci_pins_lead_to_four_sources_in_turn),
        cmocka_unit_test(the_largest_machine_fits_and_what_does_not_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
