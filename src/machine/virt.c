/* SPDX-License-Identifier: MIT */
/*
 * Board `virt`: its chips, how they are wired, and power-on.
 *
 * Interrupts: every line goes to the PLIC, whose contexts are M-mode and S-mode of each hart; the CLINT has two lines of its own
 * to each. Power-on does what firmware would have done: hart 0 stands in S-mode at the kernel's entry, the others wait for SBI
 * hart_start. With --firmware all harts stand in M-mode at its entry, and it is told where the kernel is as OpenSBI's fw_dynamic
 * wants it (fw_jump does not look). From the start of RAM to VIRT_BOOT_END or its end, there lie: what the kernel's header or
 * addresses ask for, the initrd as high as possible, the device tree above it.
 */
#include "machine/virt.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/checked.h"
#include "base/cleanup.h"
#include "core/vcpu.h"
#include "device/clint.h"
#include "device/goldfish_rtc.h"
#include "device/pcihost.h"
#include "device/plic.h"
#include "device/sifive_test.h"
#include "device/uart16550.h"
#include "device/virtio/mmio.h"
#include "isa/riscv/isa.h"
#include "isa/riscv/profile.h"
#include "isa/riscv/state.h"
#include "machine/blob.h"
#include "machine/initrd.h"
#include "machine/machine.h"
#include "machine/pci_slots.h"
#include "machine/sbi.h"
#include "machine/virt_boot.h"
#include "machine/virt_dtb.h"
#include "machine/virt_fdt.h"
#include "machine/virtio_devices.h"

enum { FIXED_CHIPS = 7, CHIPS_MAX = FIXED_CHIPS + PCI_SLOTS_CHIPS + VIRTIO_DEVICES_MAX + VIRT_VIRTIO_SLOTS };
enum { CMDLINE_MAX = 1023 }; /* Spec: Linux arch/riscv/include/uapi/asm/setup.h COMMAND_LINE_SIZE */
enum { FIRMWARE_MAX = 64 << 20, FIRMWARE_INFO = 64, KERNEL_ALIGN = 2 << 20 };
#define INITRD_MAX (4UL << 30)
static_assert((int)VIRTIO_DEVICES_MAX <= (int)VIRT_VIRTIO_SLOTS, "each device has a place");

struct virt {
    const struct vm_config *config; /* borrowed (the machine's) */
    struct vm *vm;                  /* borrowed (the machine's) */
    struct riscv_profile profile;
    struct sbi sbi;
    struct clint clint;
    struct plic plic;
    struct uart16550 uart[2];
    struct goldfish_rtc rtc;
    struct sifive_test finisher;
    struct pcihost pci; /* used with VM_BUS_PCI, as the next */
    struct pci_slots pci_slots;
    struct virtio_devices devices;
    unsigned nr_slots; /* with a device; they come first */
    struct virtio_mmio slot[VIRT_VIRTIO_SLOTS];
    struct board_chip chip[CHIPS_MAX];
    unsigned nr_chips;
    struct blob firmware, kernel, initrd,
        dtb; /* owned: the files, kept for a restart, when none can be opened any more (control/sandbox.h) */
};

static void finish(void *opaque, enum sifive_test_end end, unsigned status)
{
    struct virt *v = opaque;
    switch (end) {
    case SIFIVE_TEST_PASS: vm_request_end(v->vm, VM_END_POWEROFF, 0, "the guest powered the machine off"); break;
    case SIFIVE_TEST_FAIL:
        vm_request_end(v->vm, VM_END_EXIT, (int)(status & 0xff), "the guest ended the machine with status %u", status & 0xff);
        break;
    case SIFIVE_TEST_RESET: vm_request_end(v->vm, VM_END_RESET, 0, "the guest reset the machine"); break;
    }
}

static void add_chip(struct virt *v, const struct device_class *class, void *dev)
{
    v->chip[v->nr_chips++] = (struct board_chip){ .class = class, .dev = dev };
}

/* Puts a virtio device, or none, into the next place. */
static void fill_slot(struct virt *v, struct virtio_device *vdev)
{
    const unsigned i = v->nr_slots++;
    const struct irq_line irq = { .fn = plic_set_irq, .opaque = &v->plic, .pin = virt_virtio_irq(i) };
    virtio_mmio_init(&v->slot[i], vdev, &irq);
    add_chip(v, &virtio_mmio_class, &v->slot[i]);
}

/* A virtio_plug_fn. */
static int plug(void *opaque, const struct device_class *class, struct virtio_device *vdev, struct error *err)
{
    struct virt *v = opaque;
    (void)err;
    add_chip(v, class, vdev);
    fill_slot(v, vdev);
    return 0;
}

static void init_chips(struct virt *v, const struct machine_ports *ports)
{
    struct vm_clock *clock = &v->vm->clock;
#define SOURCE(n) (&(const struct irq_line){ .fn = plic_set_irq, .opaque = &v->plic, .pin = (n) })
    plic_init(&v->plic);
    clint_init(&v->clint, clock);
    uart16550_init(&v->uart[0], clock, ports->serial[0], SOURCE(VIRT_IRQ_UART));
    uart16550_init(&v->uart[1], clock, ports->serial[1], SOURCE(VIRT_IRQ_UART2));
    goldfish_rtc_init(&v->rtc, clock, SOURCE(VIRT_IRQ_RTC));
    sifive_test_init(&v->finisher, finish, v);
#undef SOURCE
    v->sbi = (struct sbi){ .vm = v->vm, .console = ports->serial[0] };
}

/* PCI without MSI, which the PLIC does not know. */
static void init_pci(struct virt *v)
{
    const struct msi_sink none = { 0 };
    struct irq_line intx[PCI_SLOTS_INTX];
    for (unsigned i = 0; i < PCI_SLOTS_INTX; i++)
        intx[i] = (struct irq_line){ .fn = plic_set_irq, .opaque = &v->plic, .pin = VIRT_IRQ_PCI + i };
    pcihost_init(&v->pci, &v->vm->mmio, &v->vm->pio, NULL);
    pci_slots_init(&v->pci_slots, &v->pci.bus, intx, &none);
}

/* Behind virtio, each device of it before its transport: what they end before they are reset or saved may interrupt. */
static void list_chips(struct virt *v)
{
    for (unsigned i = 0; i < v->pci_slots.nr_chips; i++)
        add_chip(v, v->pci_slots.chip[i].class, v->pci_slots.chip[i].dev);
    if (v->config->bus == VM_BUS_PCI)
        add_chip(v, &pcihost_class, &v->pci);
    add_chip(v, &plic_class, &v->plic);
    add_chip(v, &clint_class, &v->clint);
    add_chip(v, &uart16550_class, &v->uart[0]);
    add_chip(v, &uart16550_class, &v->uart[1]);
    add_chip(v, &goldfish_rtc_class, &v->rtc);
    add_chip(v, &sifive_test_class, &v->finisher);
}

/* One row of the board's address decoder. */
struct decode {
    uint64_t base, size;
    const struct io_ops *ops;
    void *dev;
    const char *name;
};

static int map_chips(struct virt *v, struct error *err)
{
    const struct decode row[] = {
        { VIRT_TEST, SIFIVE_TEST_IO_SIZE, &sifive_test_io_ops, &v->finisher, "sifive_test" },
        { VIRT_RTC, GOLDFISH_RTC_IO_SIZE, &goldfish_rtc_io_ops, &v->rtc, "goldfish_rtc" },
        { VIRT_CLINT, CLINT_IO_SIZE, &clint_io_ops, &v->clint, "clint" },
        { VIRT_PLIC, PLIC_IO_SIZE, &plic_io_ops, &v->plic, "plic" },
        { VIRT_UART, UART16550_IO_SIZE, &uart16550_io_ops, &v->uart[0], "uart16550" },
        { VIRT_UART2, UART16550_IO_SIZE, &uart16550_io_ops, &v->uart[1], "uart16550" },
    };
    struct bus *bus = &v->vm->mmio;
    int r = 0;
    for (unsigned i = 0; r == 0 && i < ARRAY_SIZE(row); i++)
        r = bus_map(bus, row[i].base, row[i].size, row[i].ops, row[i].dev, row[i].name, err);
    for (unsigned i = 0; r == 0 && i < VIRT_VIRTIO_SLOTS; i++)
        r = bus_map(bus, VIRT_VIRTIO + (uint64_t)i * VIRT_VIRTIO_STRIDE, VIRTIO_MMIO_SIZE, &virtio_mmio_io_ops, &v->slot[i],
                    "virtio-mmio", err);
    if (r == 0 && v->config->bus == VM_BUS_PCI)
        r = bus_map(bus, VIRT_ECAM, PCIHOST_ECAM_SIZE, &pcihost_ecam_ops, &v->pci, "ecam", err);
    return r;
}

static void wire_hart(struct virt *v, struct riscv_cpu *c)
{
    const struct irq_line m_soft = { .fn = riscv_set_wire, .opaque = c, .pin = IRQ_MSI };
    const struct irq_line m_timer = { .fn = riscv_set_wire, .opaque = c, .pin = IRQ_MTI };
    const struct irq_line m_external = { .fn = riscv_set_wire, .opaque = c, .pin = IRQ_MEI };
    const struct irq_line s_external = { .fn = riscv_set_wire, .opaque = c, .pin = IRQ_SEI };
    clint_add_hart(&v->clint, &m_soft, &m_timer);
    plic_add_context(&v->plic, &m_external);
    plic_add_context(&v->plic, &s_external);
}

static int make_cpus(struct virt *v, const struct engine_ops *engine, struct error *err)
{
    struct riscv_config config = { .profile = &v->profile };
    if (!v->config->firmware)
        config.sbi = (struct riscv_sbi){ .call = sbi_call, .opaque = &v->sbi };
    for (unsigned i = 0; i < v->config->cpus; i++) {
        struct vcpu *vcpu;
        int r = vcpu_new(v->vm, i, &riscv_isa_ops, engine, &config, &vcpu, err);
        if (r < 0)
            return r;
        v->vm->vcpu[v->vm->nr_vcpus++] = vcpu;
        wire_hart(v, vcpu->cpu);
    }
    return 0;
}

static int virt_check(const struct vm_config *config, struct error *err)
{
    struct riscv_profile profile;
    if (config->cpus > VIRT_HARTS_MAX)
        return error_set(err, -EINVAL, "%u CPUs: riscv64 has at most %d", config->cpus, VIRT_HARTS_MAX);
    return config->cpu_model ? riscv_profile_make(config->cpu_model, &profile, err) : 0;
}

static int virt_new(const struct vm_config *config, const struct machine_ports *ports, const struct engine_ops *engine,
                    struct vm *vm, void **ret_board, struct error *err)
{
    struct virt *v = calloc(1, sizeof(*v));
    if (!v)
        return error_set(err, -ENOMEM, "out of memory for the board");
    *ret_board = v;
    v->config = config;
    v->vm = vm;
    int r = 0;
    v->profile = *riscv_profile_default();
    if (config->cpu_model)
        r = riscv_profile_make(config->cpu_model, &v->profile, err);
    if (r == 0)
        r = gmem_init(&vm->gmem, config->memory, err);
    if (r == 0)
        r = gmem_add_slot(&vm->gmem, VIRT_RAM, config->memory, 0, err);
    if (r < 0)
        return r;
    init_chips(v, ports);
    init_pci(v);
    r = make_cpus(v, engine, err);
    if (r == 0)
        r = config->bus == VM_BUS_PCI ? virtio_devices_init(&v->devices, config, ports, vm, pci_slots_plug, &v->pci_slots, err)
                                      : virtio_devices_init(&v->devices, config, ports, vm, plug, v, err);
    const unsigned devices = v->nr_slots;
    while (v->nr_slots < VIRT_VIRTIO_SLOTS)
        fill_slot(v, NULL);
    v->nr_slots = devices;
    list_chips(v);
    return r < 0 ? r : map_chips(v, err);
}

static void virt_free(void *board)
{
    struct virt *v = board;
    if (!v)
        return;
    v->plic.nr_contexts = 0; /* the harts are gone: nobody to interrupt */
    for (unsigned i = 0; i < v->nr_chips; i++)
        if (v->chip[i].class->done)
            v->chip[i].class->done(v->chip[i].dev);
    virtio_devices_done(&v->devices);
    blob_done(&v->firmware);
    blob_done(&v->kernel);
    blob_done(&v->initrd);
    blob_done(&v->dtb);
    free(v);
}

/* ---- power-on ---- */

static int read_files(struct virt *v, struct error *err)
{
    if (v->config->initrd && !v->initrd.data && blob_read_file(v->config->initrd, INITRD_MAX, &v->initrd, err) < 0)
        return error_prefix(err, "initrd");
    if (v->config->firmware && !v->firmware.data && blob_read_file(v->config->firmware, FIRMWARE_MAX, &v->firmware, err) < 0)
        return error_prefix(err, "firmware");
    if (v->config->dtb && !v->dtb.data && blob_read_file(v->config->dtb, VIRT_FDT_MAX, &v->dtb, err) < 0)
        return error_prefix(err, "dtb");
    return 0;
}

/* Where the device tree goes: the end of what is loaded. */
static gpa_t place_tree(const struct virt *v)
{
    return MIN(VIRT_RAM + v->vm->gmem.size, VIRT_BOOT_END) - VIRT_FDT_MAX;
}

/* What firmware is told of what follows it: in the last bytes of the tree's place, which it may need for additions to the tree.
 */
static gpa_t place_info(const struct virt *v)
{
    return place_tree(v) + VIRT_FDT_MAX - FIRMWARE_INFO;
}

static int load_initrd(struct virt *v, const struct load_extent *kernel, struct load_extent *ret_initrd, struct error *err)
{
    const struct mem_range ram = { .base = VIRT_RAM, .size = v->vm->gmem.size, .type = MEM_TYPE_RAM };
    struct kernel_module module[2];
    struct kernel_args args = { .map = &ram, .nr_map = 1, .modules = module };
    if (v->config->initrd)
        module[args.nr_modules++] = (struct kernel_module){ .data = v->initrd.data, .len = v->initrd.len };
    if (v->config->initramfs)
        module[args.nr_modules++] = (struct kernel_module){ .data = v->config->initramfs, .len = v->config->initramfs_len };
    return initrd_load(&v->vm->gmem, &args, place_tree(v), kernel, ret_initrd, err);
}

static void make_random(void *buf, size_t len)
{
    if (getrandom(buf, len, 0) != (ssize_t)len) /* so few bytes come at once. getrandom(2) */
        memset(buf, 0, len);                    /* the kernel has other sources */
}

/* The board's own tree, or the user's. */
static int make_tree(struct virt *v, const struct virt_fdt_args *args, void *buf, size_t *ret_size, struct error *err)
{
    const size_t cap = VIRT_FDT_MAX - FIRMWARE_INFO;
    if (!v->config->dtb)
        return virt_fdt_build(args, buf, cap, ret_size, err);
    int r = virt_dtb_complete(v->dtb.data, v->dtb.len, args, buf, cap, ret_size, err);
    return r < 0 ? error_prefix(err, "dtb '%s'", v->config->dtb) : 0;
}

static int write_tree(struct virt *v, gpa_t ram, const struct load_extent *initrd, struct error *err)
{
    struct virt_fdt_args args = {
        .profile = &v->profile,
        .harts = v->vm->nr_vcpus,
        .ram = ram,
        .memory = VIRT_RAM + v->vm->gmem.size - ram,
        .cmdline = v->config->cmdline ? v->config->cmdline : "",
        .initrd = initrd->start,
        .initrd_end = initrd->end,
        .virtio = v->nr_slots,
        .pci = v->config->bus == VM_BUS_PCI,
        .switches = v->config->firmware,
    };
    size_t size;
    if (strlen(args.cmdline) > CMDLINE_MAX)
        return error_set(err, -E2BIG, "the command line has %zu bytes, the kernel takes at most %d", strlen(args.cmdline),
                         CMDLINE_MAX);
    make_random(args.seed, sizeof(args.seed));
    make_random(&args.kaslr, sizeof(args.kaslr));
    AUTO_FREE uint8_t *tree = malloc(VIRT_FDT_MAX);
    if (!tree)
        return error_set(err, -ENOMEM, "out of memory for the device tree");
    int r = make_tree(v, &args, tree, &size, err);
    if (r == 0 && gmem_write(&v->vm->gmem, place_tree(v), tree, size) < 0)
        r = error_set(err, -EFAULT, "the device tree does not lie in memory");
    return r;
}

/* Spec: OpenSBI docs/firmware/fw_dynamic.md */
static int write_info(struct virt *v, gpa_t kernel, struct error *err)
{
    const uint64_t info[] = { 0x4942534f /* "OSBI" */,
                              2 /* version */,
                              kernel,
                              RISCV_S,
                              0 /* options */,
                              0 /* the hart that boots */ };
    static_assert(sizeof(info) <= FIRMWARE_INFO, "it has room");
    if (gmem_write(&v->vm->gmem, place_info(v), info, sizeof(info)) < 0)
        return error_set(err, -EFAULT, "what the firmware is told does not lie in memory");
    return 0;
}

static int load_firmware(struct virt *v, struct virt_kernel *ret_firmware, struct error *err)
{
    int r = virt_load_firmware(&v->vm->gmem, VIRT_RAM, v->firmware.data, v->firmware.len, ret_firmware, err);
    return r < 0 ? error_prefix(err, "firmware '%s'", v->config->firmware) : 0;
}

static int load_kernel(struct virt *v, struct virt_kernel *ret_kernel, struct error *err)
{
    const bool given = v->config->kernel_image;
    if (!given && !v->config->reboot) { /* what the file has is wanted only once */
        int r = virt_load_image_file(&v->vm->gmem, VIRT_RAM, v->config->kernel, ret_kernel, err);
        if (r != 0)
            return r < 0 ? error_prefix(err, "kernel '%s'", v->config->kernel) : 0;
    }
    if (!given && !v->kernel.data && blob_read_file(v->config->kernel, KERNEL_SIZE_MAX, &v->kernel, err) < 0)
        return error_prefix(err, "kernel");
    int r = virt_load_kernel(&v->vm->gmem, VIRT_RAM, v->config->firmware, given ? v->config->kernel_image : v->kernel.data,
                             given ? v->config->kernel_image_len : v->kernel.len, ret_kernel, err);
    return r < 0 ? error_prefix(err, "kernel '%s'", v->config->kernel) : 0;
}

/* Where hart 0 begins, and what is in memory by then but initrd and device tree. */
static int load_programs(struct virt *v, struct virt_kernel *ret_first, struct error *err)
{
    struct virt_kernel firmware = { 0 }, kernel = { 0 };
    int r = v->config->firmware ? load_firmware(v, &firmware, err) : 0;
    if (r == 0 && v->config->kernel)
        r = load_kernel(v, &kernel, err);
    if (r < 0)
        return r;
    if (kernel.extent.start < firmware.extent.end && firmware.extent.start < kernel.extent.end)
        return error_set(err, -ENOEXEC, "firmware '%s' ends at %#" PRIx64 ", kernel '%s' begins at %#" PRIx64,
                         v->config->firmware, firmware.extent.end, v->config->kernel, kernel.extent.start);
    if (v->config->firmware)
        r = write_info(v, kernel.entry, err);
    *ret_first = v->config->firmware ? firmware : kernel;
    if (kernel.extent.end && firmware.extent.end)
        ret_first->extent = (struct load_extent){ .start = MIN(firmware.extent.start, kernel.extent.start),
                                                  .end = MAX(firmware.extent.end, kernel.extent.end) };
    return r;
}

/* Where the memory begins that the guest is told of. Linux has no use for what lies below it, and versions before 6.4 complain.
 */
static gpa_t first_ram(const struct virt *v, const struct virt_kernel *first)
{
    return first->is_linux && !v->config->firmware ? ALIGN_DOWN(first->extent.start, (gpa_t)KERNEL_ALIGN) : VIRT_RAM;
}

/* All that is to be in memory. */
static int load(struct virt *v, gpa_t *ret_entry, struct error *err)
{
    struct virt_kernel first = { 0 };
    struct load_extent initrd;
    int r = read_files(v, err);
    if (r == 0)
        r = load_programs(v, &first, err);
    if (r < 0)
        return r;
    if (first.extent.end > place_tree(v) && first.extent.start < place_tree(v) + VIRT_FDT_MAX)
        return error_set(err, -ENOMEM,
                         "kernel '%s': it ends at %#" PRIx64 ", where the device tree is to be (give the machine more memory)",
                         v->config->kernel ? v->config->kernel : v->config->firmware, first.extent.end);
    r = load_initrd(v, &first.extent, &initrd, err);
    if (r == 0)
        r = write_tree(v, first_ram(v, &first), &initrd, err);
    if (!v->config->reboot) {
        blob_done(&v->firmware);
        blob_done(&v->kernel);
        blob_done(&v->initrd);
        blob_done(&v->dtb);
    }
    *ret_entry = first.entry;
    return r;
}

/* Each hart at the firmware, which picks one of them itself. */
static void enter_firmware(struct virt *v, gpa_t entry)
{
    for (unsigned i = 0; i < v->vm->nr_vcpus; i++) {
        struct riscv_cpu *c = v->vm->vcpu[i]->cpu;
        c->pc = c->next_pc = entry;
        c->x[10] = i;
        c->x[11] = place_tree(v);
        c->x[12] = place_info(v);
        riscv_state_changed(c);
    }
}

static int virt_power_on(void *board, struct error *err)
{
    struct virt *v = board;
    gpa_t entry = 0;
    for (unsigned i = 0; i < v->vm->nr_vcpus; i++) { /* before the chips, which set its wires */
        struct vcpu *vcpu = v->vm->vcpu[i];
        vcpu->isa->reset(vcpu);
        (void)vcpu_take(vcpu, ~(uint32_t)(VCPU_REQ_STOP | VCPU_REQ_END)); /* what the old life had */
    }
    for (unsigned i = 0; i < v->nr_chips; i++)
        v->chip[i].class->reset(v->chip[i].dev);
    static_assert(PCI_SLOTS_WINDOW <= VIRT_PCI_SIZE, "the functions fit into the window");
    pci_slots_assign(&v->pci_slots, VIRT_PCI);
    gmem_reset(&v->vm->gmem); /* now that no device writes to it any more */
    int r = load(v, &entry, err);
    if (r < 0)
        return r;
    if (v->config->firmware)
        enter_firmware(v, entry);
    else
        riscv_enter_supervisor(v->vm->vcpu[0]->cpu, entry, place_tree(v));
    for (unsigned i = 0; i < v->vm->nr_vcpus; i++)
        v->vm->vcpu[i]->engine->state_changed(v->vm->vcpu[i]);
    return 0;
}

static const struct board_chip *virt_chips(void *board, unsigned *ret_nr)
{
    struct virt *v = board;
    *ret_nr = v->nr_chips;
    return v->chip;
}

static bool virt_console_size(void *board, unsigned cols, unsigned rows)
{
    return virtio_devices_console_size(&((struct virt *)board)->devices, cols, rows);
}

static bool virt_set_balloon(void *board, uint64_t keep)
{
    return virtio_devices_set_balloon(&((struct virt *)board)->devices, keep);
}

static bool virt_get_balloon(void *board, struct machine_balloon *ret_balloon)
{
    return virtio_devices_get_balloon(&((struct virt *)board)->devices, ret_balloon);
}

const struct board_ops virt_board_ops = {
    .name = "virt",
    .check = virt_check,
    .new = virt_new,
    .free = virt_free,
    .power_on = virt_power_on,
    .chips = virt_chips,
    .console_size = virt_console_size,
    .set_balloon = virt_set_balloon,
    .get_balloon = virt_get_balloon,
};
