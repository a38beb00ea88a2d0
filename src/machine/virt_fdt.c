/* SPDX-License-Identifier: MIT */
/*
 * The device tree of board `virt`, written from its first node to its last by libfdt's sequential functions.
 *
 * A step that fails leaves its error in the tree, and the ones behind it do nothing.
 */
#include "machine/virt_fdt.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <libfdt.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "device/clint.h"
#include "device/goldfish_rtc.h"
#include "device/pcihost.h"
#include "device/plic.h"
#include "device/sifive_test.h"
#include "device/virtio/mmio.h"
#include "isa/riscv/state.h"
#include "machine/pci_slots.h"
#include "machine/virt.h"

enum { PHANDLE_PLIC = 1, PHANDLE_TEST = 2, PHANDLE_CPU = 0x10, PHANDLE_INTC = 0x20 }; /* of hart 0; the others follow */
enum { UART_CLOCK = 3686400, UART_SIZE = 0x100, ISA_TEXT_MAX = 512, CELLS_MAX = 96 /* of the largest property */ };
static_assert((int)VIRT_HARTS_MAX <= (int)PHANDLE_INTC - (int)PHANDLE_CPU, "each hart has phandles of its own");

struct tree {
    void *fdt; /* borrowed (the caller's buffer) */
    int r;     /* libfdt's first error, or 0 */
};

static void note(struct tree *t, int r)
{
    if (t->r == 0)
        t->r = r;
}

static __attribute__((format(printf, 2, 3))) void begin(struct tree *t, const char *format, ...)
{
    char name[64];
    va_list ap;
    va_start(ap, format);
    (void)vsnprintf(name, sizeof(name), format, ap);
    va_end(ap);
    if (t->r == 0)
        note(t, fdt_begin_node(t->fdt, name));
}

static void end(struct tree *t)
{
    if (t->r == 0)
        note(t, fdt_end_node(t->fdt));
}

static void bytes(struct tree *t, const char *name, const void *data, size_t len)
{
    if (t->r == 0)
        note(t, fdt_property(t->fdt, name, data, (int)len));
}

static void flag(struct tree *t, const char *name)
{
    bytes(t, name, NULL, 0);
}

static void text(struct tree *t, const char *name, const char *value)
{
    bytes(t, name, value, strlen(value) + 1);
}

static void cells(struct tree *t, const char *name, const uint32_t *value, unsigned nr)
{
    fdt32_t big[CELLS_MAX];
    assert(nr <= CELLS_MAX);
    for (unsigned i = 0; i < nr; i++)
        big[i] = cpu_to_fdt32(value[i]);
    bytes(t, name, big, nr * sizeof(big[0]));
}

static void number(struct tree *t, const char *name, uint32_t value)
{
    cells(t, name, &value, 1);
}

static void number64(struct tree *t, const char *name, uint64_t value)
{
    const fdt64_t big = cpu_to_fdt64(value);
    bytes(t, name, &big, sizeof(big));
}

/* An address and a size of two cells each. */
static void range(struct tree *t, gpa_t base, uint64_t size)
{
    const uint32_t reg[] = { (uint32_t)(base >> 32), (uint32_t)base, (uint32_t)(size >> 32), (uint32_t)size };
    cells(t, "reg", reg, ARRAY_SIZE(reg));
}

static void interrupt(struct tree *t, unsigned source)
{
    number(t, "interrupt-parent", PHANDLE_PLIC);
    number(t, "interrupts", source);
}

/* ---- harts ---- */

/* The extensions' names, each ending in NUL. */
static void add_extensions(struct tree *t, const struct riscv_profile *profile)
{
    char list[ISA_TEXT_MAX];
    size_t at = 0;
    for (unsigned k = 0; k < RISCV_EXT_NR; k++) {
        const char *name = riscv_ext_name((enum riscv_ext)k);
        const size_t len = strlen(name) + 1;
        if (!profile->has[k] || !riscv_ext_in_isa((enum riscv_ext)k))
            continue;
        assert(len <= sizeof(list) - at);
        memcpy(list + at, name, len);
        at += len;
    }
    bytes(t, "riscv,isa-extensions", list, at);
}

static void add_hart(struct tree *t, const struct riscv_profile *profile, unsigned i)
{
    char isa[ISA_TEXT_MAX], mmu[16];
    const size_t len = riscv_profile_isa(profile, isa, sizeof(isa));
    assert(len < sizeof(isa));
    begin(t, "cpu@%x", i);
    number(t, "phandle", PHANDLE_CPU + i);
    text(t, "device_type", "cpu");
    number(t, "reg", i);
    text(t, "status", "okay");
    text(t, "compatible", "riscv");
    text(t, "riscv,isa", isa);
    text(t, "riscv,isa-base", "rv64i");
    add_extensions(t, profile);
    (void)snprintf(mmu, sizeof(mmu), "riscv,sv%u", riscv_profile_va_bits(profile));
    text(t, "mmu-type", mmu);
    if (profile->has[RISCV_EXT_ZICBOM])
        number(t, "riscv,cbom-block-size", RISCV_CBO_BLOCK);
    if (profile->has[RISCV_EXT_ZICBOP])
        number(t, "riscv,cbop-block-size", RISCV_CBO_BLOCK);
    if (profile->has[RISCV_EXT_ZICBOZ])
        number(t, "riscv,cboz-block-size", RISCV_CBO_BLOCK);
    begin(t, "interrupt-controller");
    number(t, "#interrupt-cells", 1);
    flag(t, "interrupt-controller");
    text(t, "compatible", "riscv,cpu-intc");
    number(t, "phandle", PHANDLE_INTC + i);
    end(t);
    end(t);
}

static void add_harts(struct tree *t, const struct virt_fdt_args *args)
{
    begin(t, "cpus");
    number(t, "#address-cells", 1);
    number(t, "#size-cells", 0);
    number(t, "timebase-frequency", RISCV_TIMEBASE);
    for (unsigned i = 0; i < args->harts; i++)
        add_hart(t, args->profile, i);
    begin(t, "cpu-map");
    begin(t, "cluster0");
    for (unsigned i = 0; i < args->harts; i++) {
        begin(t, "core%u", i);
        number(t, "cpu", PHANDLE_CPU + i);
        end(t);
    }
    end(t);
    end(t);
    end(t);
}

/* Which interrupts of each hart a controller raises. */
static void add_outputs(struct tree *t, unsigned harts, unsigned first, unsigned second)
{
    uint32_t list[CELLS_MAX];
    for (unsigned i = 0; i < harts; i++) {
        list[4 * i] = list[4 * i + 2] = PHANDLE_INTC + i;
        list[4 * i + 1] = first;
        list[4 * i + 3] = second;
    }
    cells(t, "interrupts-extended", list, 4 * harts);
}

/* ---- chips ---- */

static void add_finisher(struct tree *t)
{
    static const char compatible[] = "sifive,test1\0sifive,test0\0syscon";
    begin(t, "test@%x", VIRT_TEST);
    number(t, "phandle", PHANDLE_TEST);
    range(t, VIRT_TEST, SIFIVE_TEST_IO_SIZE);
    bytes(t, "compatible", compatible, sizeof(compatible));
    end(t);
}

/* What writes which value to the finisher. */
static void add_syscon(struct tree *t, const char *name, const char *compatible, uint32_t value)
{
    begin(t, "%s", name);
    text(t, "compatible", compatible);
    number(t, "regmap", PHANDLE_TEST);
    number(t, "offset", 0);
    number(t, "value", value);
    end(t);
}

static void add_clint(struct tree *t, unsigned harts)
{
    static const char compatible[] = "sifive,clint0\0riscv,clint0";
    begin(t, "clint@%x", VIRT_CLINT);
    bytes(t, "compatible", compatible, sizeof(compatible));
    range(t, VIRT_CLINT, CLINT_IO_SIZE);
    add_outputs(t, harts, IRQ_MSI, IRQ_MTI);
    end(t);
}

static void add_plic(struct tree *t, unsigned harts)
{
    static const char compatible[] = "sifive,plic-1.0.0\0riscv,plic0";
    begin(t, "plic@%x", VIRT_PLIC);
    number(t, "phandle", PHANDLE_PLIC);
    bytes(t, "compatible", compatible, sizeof(compatible));
    range(t, VIRT_PLIC, PLIC_IO_SIZE);
    number(t, "#address-cells", 0);
    number(t, "#interrupt-cells", 1);
    flag(t, "interrupt-controller");
    number(t, "riscv,ndev", PLIC_SOURCES - 1);
    add_outputs(t, harts, IRQ_MEI, IRQ_SEI);
    end(t);
}

static void add_uart(struct tree *t, uint32_t base, unsigned source)
{
    begin(t, "serial@%x", base);
    text(t, "compatible", "ns16550a");
    range(t, base, UART_SIZE);
    number(t, "clock-frequency", UART_CLOCK);
    interrupt(t, source);
    end(t);
}

static void add_rtc(struct tree *t)
{
    begin(t, "rtc@%x", VIRT_RTC);
    text(t, "compatible", "google,goldfish-rtc");
    range(t, VIRT_RTC, GOLDFISH_RTC_IO_SIZE);
    interrupt(t, VIRT_IRQ_RTC);
    end(t);
}

static void add_virtio(struct tree *t, unsigned i)
{
    begin(t, "virtio_mmio@%x", VIRT_VIRTIO + i * VIRT_VIRTIO_STRIDE);
    text(t, "compatible", "virtio,mmio");
    range(t, VIRT_VIRTIO + (gpa_t)i * VIRT_VIRTIO_STRIDE, VIRT_VIRTIO_STRIDE);
    interrupt(t, virt_virtio_irq(i));
    end(t);
}

/* One row an interrupt: slot and pin, masked, and the controller's source. Spec: Open Firmware, Recommended Practice: Interrupt
 * Mapping */
static void add_interrupt_map(struct tree *t)
{
    enum { PINS = 4, ROW = 6, SLOT_SHIFT = 11 };
    static const uint32_t mask[] = { (PCI_SLOTS_INTX - 1) << SLOT_SHIFT, 0, 0, 7 };
    uint32_t map[PCI_SLOTS_INTX * PINS * ROW], *row = map;
    for (unsigned slot = 0; slot < PCI_SLOTS_INTX; slot++)
        for (unsigned pin = 0; pin < PINS; pin++, row += ROW) {
            row[0] = slot << SLOT_SHIFT;
            row[1] = row[2] = 0;
            row[3] = pin + 1;
            row[4] = PHANDLE_PLIC;
            row[5] = VIRT_IRQ_PCI + (slot + pin) % PCI_SLOTS_INTX;
        }
    cells(t, "interrupt-map-mask", mask, ARRAY_SIZE(mask));
    cells(t, "interrupt-map", map, ARRAY_SIZE(map));
}

/* One bus, memory of 32 bits, no I/O ports, no MSI. */
static void add_pci(struct tree *t)
{
    static const uint32_t buses[] = { 0, 0 };
    static const uint32_t ranges[] = { 0x02000000, 0, VIRT_PCI, 0, VIRT_PCI, 0, VIRT_PCI_SIZE };
    begin(t, "pci@%x", VIRT_ECAM);
    text(t, "compatible", "pci-host-ecam-generic");
    text(t, "device_type", "pci");
    range(t, VIRT_ECAM, PCIHOST_ECAM_SIZE);
    number(t, "#address-cells", 3);
    number(t, "#size-cells", 2);
    number(t, "#interrupt-cells", 1);
    number(t, "linux,pci-domain", 0);
    cells(t, "bus-range", buses, ARRAY_SIZE(buses));
    cells(t, "ranges", ranges, ARRAY_SIZE(ranges));
    flag(t, "dma-coherent");
    add_interrupt_map(t);
    end(t);
}

static void add_soc(struct tree *t, const struct virt_fdt_args *args)
{
    begin(t, "soc");
    number(t, "#address-cells", 2);
    number(t, "#size-cells", 2);
    text(t, "compatible", "simple-bus");
    flag(t, "ranges");
    flag(t, "dma-coherent");
    add_finisher(t);
    add_clint(t, args->harts);
    add_plic(t, args->harts);
    add_uart(t, VIRT_UART, VIRT_IRQ_UART);
    add_uart(t, VIRT_UART2, VIRT_IRQ_UART2);
    add_rtc(t);
    for (unsigned i = 0; i < args->virtio; i++)
        add_virtio(t, i);
    if (args->pci)
        add_pci(t);
    end(t);
    if (!args->switches)
        return;
    add_syscon(t, "poweroff", "syscon-poweroff", SIFIVE_TEST_PASS);
    add_syscon(t, "reboot", "syscon-reboot", SIFIVE_TEST_RESET);
}

/* ---- the rest ---- */

static void add_aliases(struct tree *t)
{
    char path[32];
    begin(t, "aliases");
    (void)snprintf(path, sizeof(path), "/soc/serial@%x", VIRT_UART);
    text(t, "serial0", path);
    (void)snprintf(path, sizeof(path), "/soc/serial@%x", VIRT_UART2);
    text(t, "serial1", path);
    end(t);
}

static void add_chosen(struct tree *t, const struct virt_fdt_args *args)
{
    char path[32];
    (void)snprintf(path, sizeof(path), "/soc/serial@%x", VIRT_UART);
    begin(t, "chosen");
    text(t, "stdout-path", path);
    text(t, "bootargs", args->cmdline);
    if (args->initrd != args->initrd_end) {
        number64(t, "linux,initrd-start", args->initrd);
        number64(t, "linux,initrd-end", args->initrd_end);
    }
    bytes(t, "rng-seed", args->seed, sizeof(args->seed));
    number64(t, "kaslr-seed", args->kaslr);
    end(t);
}

static void add_memory(struct tree *t, gpa_t base, uint64_t size)
{
    begin(t, "memory@%" PRIx64, base);
    text(t, "device_type", "memory");
    range(t, base, size);
    end(t);
}

int virt_fdt_build(const struct virt_fdt_args *args, void *buf, size_t cap, size_t *ret_size, struct error *err)
{
    assert(args->harts >= 1 && args->harts <= VIRT_HARTS_MAX && args->virtio <= VIRT_VIRTIO_SLOTS);
    struct tree t = { .fdt = buf, .r = fdt_create(buf, (int)MIN(cap, (size_t)INT32_MAX)) };
    if (t.r == 0)
        note(&t, fdt_finish_reservemap(buf));
    begin(&t, "%s", "");
    number(&t, "#address-cells", 2);
    number(&t, "#size-cells", 2);
    text(&t, "compatible", "riscv-virtio");
    text(&t, "model", "riscv-virtio,doppel");
    add_aliases(&t);
    add_chosen(&t, args);
    add_memory(&t, args->ram, args->memory);
    add_harts(&t, args);
    add_soc(&t, args);
    end(&t);
    if (t.r == 0)
        note(&t, fdt_finish(buf));
    if (t.r != 0)
        return error_set(err, -E2BIG, "the device tree does not fit into %zu bytes (%s)", cap, fdt_strerror(t.r));
    *ret_size = fdt_totalsize(buf);
    return 0;
}
