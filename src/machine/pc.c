/* SPDX-License-Identifier: MIT */
/*
 * Board `pc`: its chips, how they are wired, and power-on.
 *
 * Interrupts: an ISA line goes to its 8259 pin and to the IOAPIC (line 0 to pin 2); the 8259 pair's output goes to LINT0 of
 * every local APIC and to IOAPIC pin 0. Power-on does what a BIOS would have done that kernels rely on: virtual wire
 * mode on CPU 0, level triggering of the SCI, ACPI tables.
 */
#include "machine/pc.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "backend/chardev.h"
#include "base/checked.h"
#include "base/cleanup.h"
#include "core/vcpu.h"
#include "device/acpipm.h"
#include "device/debugexit.h"
#include "device/i8042.h"
#include "device/i8254.h"
#include "device/i8259.h"
#include "device/ioapic.h"
#include "device/lapic.h"
#include "device/mc146818.h"
#include "device/pcihost.h"
#include "device/port61.h"
#include "device/uart16550.h"
#include "isa/x86/isa.h"
#include "isa/x86/profile.h"
#include "isa/x86/state.h"
#include "machine/acpi.h"
#include "machine/blob.h"
#include "machine/kernel.h"
#include "machine/machine.h"
#include "machine/pc_boot.h"
#include "machine/pci_slots.h"
#include "machine/virtio_devices.h"

enum { FIXED_CHIPS = 12, CHIPS_MAX = FIXED_CHIPS + VM_MAX_VCPUS + 1 + PCI_SLOTS_CHIPS };
#define INITRD_MAX (4UL << 30)

struct pc {
    const struct vm_config *config; /* borrowed (the machine's) */
    struct vm *vm;                  /* borrowed (the machine's) */
    struct x86_profile profile;
    struct i8259 pic[2]; /* master, slave */
    struct i8254 pit;
    struct port61 port61;
    struct mc146818 rtc;
    struct i8042 kbc;
    struct uart16550 com[2];
    struct debugexit debugexit;
    struct acpipm pm;
    struct pcihost pci;
    struct ioapic ioapic;
    struct lapic_bus lapics;
    struct lapic lapic[VM_MAX_VCPUS];
    struct pci_slots slots;
    struct virtio_devices virtio;
    struct board_chip chip[CHIPS_MAX];
    unsigned nr_chips;
    struct blob kernel, initrd; /* owned: the files, kept for a restart, when none can be opened any more (control/sandbox.h) */
};

/* The lapic_bus has no device_class: it is wires with one field of state. */
static void lapic_bus_nothing(void *dev)
{
    ((struct lapic_bus *)dev)->turn = 0;
}

static const struct device_class lapic_bus_class = { .name = "lapic bus", .reset = lapic_bus_nothing, .state = &lapic_bus_state };

static void isa_irq(void *opaque, unsigned irq, bool level)
{
    struct pc *pc = opaque;
    i8259_set_irq(&pc->pic[irq / 8], irq % 8, level);
    ioapic_set_irq(&pc->ioapic, irq == PC_IRQ_PIT ? PC_GSI_PIT : irq, level);
}

static void pic_output(void *opaque, unsigned pin, bool level)
{
    struct pc *pc = opaque;
    (void)pin;
    lapic_bus_set_lint0(&pc->lapics, 0, level);
    ioapic_set_irq(&pc->ioapic, 0, level);
}

static void reset_line(void *opaque, unsigned pin, bool level)
{
    struct pc *pc = opaque;
    (void)pin;
    if (level)
        vm_request_end(pc->vm, VM_END_RESET, 0, "the guest reset the machine");
}

static void power_line(void *opaque, unsigned pin, bool level)
{
    struct pc *pc = opaque;
    (void)pin;
    if (level)
        vm_request_end(pc->vm, VM_END_POWEROFF, 0, "the guest powered the machine off");
}

static void debug_exit(void *opaque, uint32_t status)
{
    struct pc *pc = opaque;
    vm_request_end(pc->vm, VM_END_EXIT, (int)(status & 0xff), "the guest ended the machine with status %u", status & 0xff);
}

static void msi(void *opaque, uint64_t address, uint32_t data)
{
    lapic_bus_deliver(&((struct pc *)opaque)->lapics, address, data);
}

static void add_chip(struct pc *pc, const struct device_class *class, void *dev)
{
    pc->chip[pc->nr_chips++] = (struct board_chip){ .class = class, .dev = dev };
}

/* Everything that starts with no effect on other chips; then the chips are ready to be wired to the buses. */
static void init_chips(struct pc *pc, const struct machine_ports *ports)
{
    struct vm_clock *clock = &pc->vm->clock;
#define ISA_IRQ(n) (&(const struct irq_line){ .fn = isa_irq, .opaque = pc, .pin = (n) })
    const struct irq_line reset = { .fn = reset_line, .opaque = pc };
    const struct irq_line power = { .fn = power_line, .opaque = pc };
    const struct irq_line intr = { .fn = pic_output, .opaque = pc };
    const struct irq_line cascade = { .fn = i8259_set_irq, .opaque = &pc->pic[0], .pin = I8259_CASCADE_PIN };
    lapic_bus_init(&pc->lapics);
    ioapic_init(&pc->ioapic, &pc->lapics);
    i8259_init(&pc->pic[0], &pc->pic[1], &intr);
    i8259_init(&pc->pic[1], NULL, &cascade);
    pc->lapics.extint = i8259_inta;
    pc->lapics.pic = &pc->pic[0];
    i8254_init(&pc->pit, clock, ISA_IRQ(PC_IRQ_PIT));
    port61_init(&pc->port61, clock, &pc->pit);
    mc146818_init(&pc->rtc, clock, ISA_IRQ(PC_IRQ_RTC));
    i8042_init(&pc->kbc, ISA_IRQ(PC_IRQ_KBD), &reset, NULL);
    uart16550_init(&pc->com[0], clock, ports->serial[0], ISA_IRQ(PC_IRQ_COM1));
    uart16550_init(&pc->com[1], clock, ports->serial[1], ISA_IRQ(PC_IRQ_COM2));
    pc->com[0].out2_gate = pc->com[1].out2_gate = true;
    debugexit_init(&pc->debugexit, debug_exit, pc);
    acpipm_init(&pc->pm, clock, true, ISA_IRQ(PC_IRQ_SCI), &power);
    pcihost_init(&pc->pci, &pc->vm->mmio, &pc->vm->pio, &reset);
#undef ISA_IRQ
    const struct msi_sink sink = { .fn = msi, .opaque = pc };
    struct irq_line intx[PCI_SLOTS_INTX];
    for (unsigned i = 0; i < PCI_SLOTS_INTX; i++)
        intx[i] = (struct irq_line){ .fn = ioapic_set_irq, .opaque = &pc->ioapic, .pin = PC_GSI_PCI + i };
    pci_slots_init(&pc->slots, &pc->pci.bus, intx, &sink);
}

/* virtio comes first: what its devices end before they are reset or saved may interrupt. */
static void list_chips(struct pc *pc)
{
    for (unsigned i = 0; i < pc->slots.nr_chips; i++)
        add_chip(pc, pc->slots.chip[i].class, pc->slots.chip[i].dev);
    add_chip(pc, &lapic_bus_class, &pc->lapics);
    for (unsigned i = 0; i < pc->vm->nr_vcpus; i++)
        add_chip(pc, &lapic_class, &pc->lapic[i]);
    add_chip(pc, &ioapic_class, &pc->ioapic);
    add_chip(pc, &i8259_class, &pc->pic[0]);
    add_chip(pc, &i8259_class, &pc->pic[1]);
    add_chip(pc, &i8254_class, &pc->pit);
    add_chip(pc, &port61_class, &pc->port61);
    add_chip(pc, &mc146818_class, &pc->rtc);
    add_chip(pc, &i8042_class, &pc->kbc);
    add_chip(pc, &uart16550_class, &pc->com[0]);
    add_chip(pc, &uart16550_class, &pc->com[1]);
    add_chip(pc, &debugexit_class, &pc->debugexit);
    add_chip(pc, &acpipm_class, &pc->pm);
    add_chip(pc, &pcihost_class, &pc->pci);
}

/* One row of the board's address decoder. */
struct decode {
    uint64_t base, size;
    const struct io_ops *ops;
    void *dev;
    const char *name;
};

static int map_rows(struct bus *bus, const struct decode *row, unsigned nr, struct error *err)
{
    for (unsigned i = 0; i < nr; i++) {
        int r = bus_map(bus, row[i].base, row[i].size, row[i].ops, row[i].dev, row[i].name, err);
        if (r < 0)
            return r;
    }
    return 0;
}

static int map_chips(struct pc *pc, struct error *err)
{
    const struct decode ports[] = {
        { 0x20, I8259_IO_SIZE, &i8259_io_ops, &pc->pic[0], "i8259" },
        { 0xa0, I8259_IO_SIZE, &i8259_io_ops, &pc->pic[1], "i8259" },
        { 0x4d0, I8259_ELCR_SIZE, &i8259_elcr_io_ops, &pc->pic[0], "elcr" },
        { 0x4d1, I8259_ELCR_SIZE, &i8259_elcr_io_ops, &pc->pic[1], "elcr" },
        { 0x40, I8254_IO_SIZE, &i8254_io_ops, &pc->pit, "i8254" },
        { 0x60, I8042_IO_SIZE, &i8042_data_io_ops, &pc->kbc, "i8042" },
        { 0x61, PORT61_IO_SIZE, &port61_io_ops, &pc->port61, "port61" },
        { 0x64, I8042_IO_SIZE, &i8042_command_io_ops, &pc->kbc, "i8042" },
        { 0x70, MC146818_IO_SIZE, &mc146818_io_ops, &pc->rtc, "mc146818" },
        { PC_DEBUGEXIT, DEBUGEXIT_IO_SIZE, &debugexit_io_ops, &pc->debugexit, "debugexit" },
        { 0x2f8, UART16550_IO_SIZE, &uart16550_io_ops, &pc->com[1], "uart16550" },
        { 0x3f8, UART16550_IO_SIZE, &uart16550_io_ops, &pc->com[0], "uart16550" },
        { PC_PM_BASE, ACPIPM_IO_SIZE, &acpipm_io_ops, &pc->pm, "acpipm" },
        { PC_CF8, PCIHOST_IO_SIZE, &pcihost_io_ops, &pc->pci, "pcihost" },
    };
    const struct decode memory[] = {
        { PC_ECAM, PCIHOST_ECAM_SIZE, &pcihost_ecam_ops, &pc->pci, "ecam" },
        { PC_IOAPIC, IOAPIC_IO_SIZE, &ioapic_io_ops, &pc->ioapic, "ioapic" },
        { PC_LAPIC, LAPIC_IO_SIZE, &lapic_io_ops, &pc->lapics, "lapic" },
    };
    int r = map_rows(&pc->vm->pio, ports, ARRAY_SIZE(ports), err);
    return r < 0 ? r : map_rows(&pc->vm->mmio, memory, ARRAY_SIZE(memory), err);
}

static int make_cpus(struct pc *pc, const struct engine_ops *engine, struct error *err)
{
    for (unsigned i = 0; i < pc->config->cpus; i++) {
        struct vcpu *vcpu;
        int r = vcpu_new(pc->vm, i, &x86_isa_ops, engine, &pc->profile, &vcpu, err);
        if (r < 0)
            return r;
        pc->vm->vcpu[pc->vm->nr_vcpus++] = vcpu;
        lapic_init(&pc->lapic[i], &pc->lapics, i, vcpu, &pc->vm->clock);
        vcpu->intc = &lapic_intc_ops;
        vcpu->intc_dev = &pc->lapic[i];
    }
    return 0;
}

static size_t hypercall_console(void *console, const uint8_t *data, size_t len)
{
    return chardev_write(console, data, len);
}

static int pc_check(const struct vm_config *config, struct error *err)
{
    struct x86_profile profile;
    if (config->firmware)
        return error_set(err, -EINVAL, "firmware '%s': an x86-64 machine starts its kernel without any", config->firmware);
    if (config->dtb)
        return error_set(err, -EINVAL, "dtb '%s': an x86-64 machine has no device tree", config->dtb);
    if (config->bus == VM_BUS_MMIO)
        return error_set(err, -EINVAL, "virtio-mmio: an x86-64 machine has its devices on PCI");
    return config->cpu_model ? x86_profile_make(config->cpu_model, &profile, err) : 0;
}

static int pc_new(const struct vm_config *config, const struct machine_ports *ports, const struct engine_ops *engine,
                  struct vm *vm, void **ret_board, struct error *err)
{
    struct pc *pc = calloc(1, sizeof(*pc));
    if (!pc)
        return error_set(err, -ENOMEM, "out of memory for the board");
    *ret_board = pc;
    pc->config = config;
    pc->vm = vm;
    int r = 0;
    if (config->cpu_model)
        r = x86_profile_make(config->cpu_model, &pc->profile, err);
    else
        pc->profile = *x86_profile_default();
    if (r == 0)
        r = gmem_init(&vm->gmem, config->memory, err);
    if (r == 0)
        r = pc_map_ram(&vm->gmem, err);
    if (r < 0)
        return r;
    init_chips(pc, ports);
    vm->console = ports->serial[0]; /* none: they go nowhere, as COM1's would */
    vm->console_write = hypercall_console;
    r = make_cpus(pc, engine, err);
    if (r == 0)
        r = virtio_devices_init(&pc->virtio, config, ports, vm, pci_slots_plug, &pc->slots, err);
    list_chips(pc);
    return r < 0 ? r : map_chips(pc, err);
}

static void pc_free(void *board)
{
    struct pc *pc = board;
    if (!pc)
        return;
    for (unsigned i = 0; i < pc->nr_chips; i++)
        if (pc->chip[i].class->done)
            pc->chip[i].class->done(pc->chip[i].dev);
    virtio_devices_done(&pc->virtio);
    blob_done(&pc->kernel);
    blob_done(&pc->initrd);
    free(pc);
}

/* What a BIOS leaves behind in the chips. Spec: MP 1.4, 3.6.2.1 (virtual wire mode) */
static void firmware_setup(struct pc *pc)
{
    enum { LEVEL_IRQS_HIGH = 0x0e }; /* IRQ 9 (SCI), 10 and 11 (PCI) */
    bus_write(&pc->vm->pio, 0x4d1, LEVEL_IRQS_HIGH, 1);
    lapic_write(&pc->lapic[0], LAPIC_SVR, LAPIC_SVR_ENABLE | 0xf);
    lapic_write(&pc->lapic[0], LAPIC_LVT_TIMER_REG + 0x10 * LVT_LINT0, LAPIC_EXTINT << 8);
    lapic_write(&pc->lapic[0], LAPIC_LVT_TIMER_REG + 0x10 * LVT_LINT1, LAPIC_NMI << 8);
    static_assert(PC_RAM_HOLE + PCI_SLOTS_WINDOW <= PC_ECAM, "the functions fit into the window");
    pci_slots_assign(&pc->slots, PC_RAM_HOLE);
}

static int write_tables(struct pc *pc, struct error *err)
{
    AUTO_FREE uint8_t *tables = malloc(PC_TABLES_END - PC_TABLES);
    if (!tables)
        return error_set(err, -ENOMEM, "out of memory for ACPI tables");
    const struct acpi_args args = { .base = PC_TABLES, .cpus = pc->vm->nr_vcpus };
    int r = acpi_build(&args, tables, PC_TABLES_END - PC_TABLES, err);
    if (r == 0 && gmem_write(&pc->vm->gmem, PC_TABLES, tables, PC_TABLES_END - PC_TABLES) < 0)
        r = error_set(err, -EFAULT, "ACPI tables do not lie in memory");
    return r;
}

static int read_files(struct pc *pc, struct error *err)
{
    if (pc->config->initrd && !pc->initrd.data && blob_read_file(pc->config->initrd, INITRD_MAX, &pc->initrd, err) < 0)
        return error_prefix(err, "initrd");
    if (!pc->config->kernel_image && !pc->kernel.data
        && blob_read_file(pc->config->kernel, KERNEL_SIZE_MAX, &pc->kernel, err) < 0)
        return error_prefix(err, "kernel");
    return 0;
}

static int load_kernel(struct pc *pc, struct x86_boot *ret_boot, struct error *err)
{
    struct mem_range map[PC_MAP_MAX];
    struct kernel_module module[2];
    struct kernel_args args = {
        .cmdline = pc->config->cmdline,
        .map = map,
        .nr_map = pc_memory_map(pc->vm->gmem.size, map),
        .modules = module,
        .rsdp = PC_TABLES,
    };
    int r = read_files(pc, err);
    if (r < 0)
        return r;
    if (pc->config->initrd)
        module[args.nr_modules++] = (struct kernel_module){ .data = pc->initrd.data, .len = pc->initrd.len };
    if (pc->config->initramfs)
        module[args.nr_modules++] = (struct kernel_module){ .data = pc->config->initramfs, .len = pc->config->initramfs_len };
    const bool given = pc->config->kernel_image;
    r = kernel_load(&pc->vm->gmem, given ? pc->config->kernel_image : pc->kernel.data,
                    given ? pc->config->kernel_image_len : pc->kernel.len, &args, ret_boot, err);
    if (!pc->config->reboot) {
        blob_done(&pc->kernel);
        blob_done(&pc->initrd);
    }
    return r < 0 ? error_prefix(err, "kernel '%s'", pc->config->kernel) : r;
}

static int pc_power_on(void *board, struct error *err)
{
    struct pc *pc = board;
    struct x86_boot boot;
    for (unsigned i = 0; i < pc->nr_chips; i++)
        pc->chip[i].class->reset(pc->chip[i].dev);
    gmem_reset(&pc->vm->gmem); /* now that no device writes to it any more */
    for (unsigned i = 0; i < pc->vm->nr_vcpus; i++) {
        struct vcpu *vcpu = pc->vm->vcpu[i];
        vcpu->isa->reset(vcpu);
        (void)vcpu_take(vcpu, ~(uint32_t)(VCPU_REQ_STOP | VCPU_REQ_END)); /* what the old life had */
    }
    firmware_setup(pc);
    int r = write_tables(pc, err);
    if (r == 0)
        r = load_kernel(pc, &boot, err);
    if (r < 0)
        return r;
    pc_apply_boot(pc->vm->vcpu[0]->cpu, &boot);
    for (unsigned i = 0; i < pc->vm->nr_vcpus; i++)
        pc->vm->vcpu[i]->engine->state_changed(pc->vm->vcpu[i]);
    return 0;
}

static const struct board_chip *pc_chips(void *board, unsigned *ret_nr)
{
    struct pc *pc = board;
    *ret_nr = pc->nr_chips;
    return pc->chip;
}

static bool pc_power_button(void *board)
{
    return acpipm_power_button(&((struct pc *)board)->pm);
}

static bool pc_console_size(void *board, unsigned cols, unsigned rows)
{
    return virtio_devices_console_size(&((struct pc *)board)->virtio, cols, rows);
}

static bool pc_set_balloon(void *board, uint64_t keep)
{
    return virtio_devices_set_balloon(&((struct pc *)board)->virtio, keep);
}

static bool pc_get_balloon(void *board, struct machine_balloon *ret_balloon)
{
    return virtio_devices_get_balloon(&((struct pc *)board)->virtio, ret_balloon);
}

const struct board_ops pc_board_ops = {
    .name = "pc",
    .check = pc_check,
    .new = pc_new,
    .free = pc_free,
    .power_on = pc_power_on,
    .chips = pc_chips,
    .power_button = pc_power_button,
    .console_size = pc_console_size,
    .set_balloon = pc_set_balloon,
    .get_balloon = pc_get_balloon,
};
