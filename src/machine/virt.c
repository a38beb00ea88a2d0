/* SPDX-License-Identifier: MIT */
/*
 * Board `virt`: its chips, how they are wired, and power-on.
 *
 * Interrupts: every line goes to the PLIC, whose contexts are M-mode and S-mode of each hart; the CLINT has two lines of its own
 * to each. Power-on does what firmware would have done: hart 0 stands in S-mode at the kernel's entry, the others wait for SBI
 * hart_start.
 */
#include "machine/virt.h"

#include <errno.h>
#include <stdlib.h>

#include "base/checked.h"
#include "core/vcpu.h"
#include "device/clint.h"
#include "device/plic.h"
#include "device/sifive_test.h"
#include "device/uart16550.h"
#include "device/virtio/mmio.h"
#include "device/virtio/rng.h"
#include "isa/riscv/isa.h"
#include "isa/riscv/profile.h"
#include "isa/riscv/state.h"
#include "machine/blob.h"
#include "machine/kernel.h"
#include "machine/machine.h"
#include "machine/sbi.h"
#include "machine/virt_boot.h"

enum { CHIPS_MAX = 4 + 1 + VIRT_VIRTIO_SLOTS };

struct virt {
    const struct vm_config *config; /* borrowed (the machine's) */
    struct vm *vm;                  /* borrowed (the machine's) */
    struct riscv_profile profile;
    struct sbi sbi;
    struct clint clint;
    struct plic plic;
    struct uart16550 uart;
    struct sifive_test finisher;
    struct virtio_rng rng;
    struct virtio_mmio slot[VIRT_VIRTIO_SLOTS];
    struct board_chip chip[CHIPS_MAX];
    unsigned nr_chips;
    struct blob kernel; /* owned: the file, kept for a restart, when none can be opened any more (control/sandbox.h) */
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

/* virtio comes first, each device before its transport: what they end before they are reset or saved may interrupt. */
static void init_chips(struct virt *v, const struct machine_ports *ports)
{
    struct vm_clock *clock = &v->vm->clock;
    const struct irq_line uart = { .fn = plic_set_irq, .opaque = &v->plic, .pin = VIRT_IRQ_UART };
    plic_init(&v->plic);
    clint_init(&v->clint, clock);
    uart16550_init(&v->uart, clock, ports->serial[0], &uart);
    sifive_test_init(&v->finisher, finish, v);
    virtio_rng_init(&v->rng, &v->vm->gmem, clock);
    add_chip(v, &virtio_rng_class, &v->rng.vdev);
    for (unsigned i = 0; i < VIRT_VIRTIO_SLOTS; i++) {
        const struct irq_line irq = { .fn = plic_set_irq, .opaque = &v->plic, .pin = VIRT_IRQ_VIRTIO + i };
        virtio_mmio_init(&v->slot[i], i == 0 ? &v->rng.vdev : NULL, &irq);
        add_chip(v, &virtio_mmio_class, &v->slot[i]);
    }
    add_chip(v, &plic_class, &v->plic);
    add_chip(v, &clint_class, &v->clint);
    add_chip(v, &uart16550_class, &v->uart);
    add_chip(v, &sifive_test_class, &v->finisher);
    v->sbi = (struct sbi){ .vm = v->vm, .console = ports->serial[0] };
}

static int map_chips(struct virt *v, struct error *err)
{
    struct bus *bus = &v->vm->mmio;
    int r = bus_map(bus, VIRT_TEST, SIFIVE_TEST_IO_SIZE, &sifive_test_io_ops, &v->finisher, "sifive_test", err);
    if (r == 0)
        r = bus_map(bus, VIRT_CLINT, CLINT_IO_SIZE, &clint_io_ops, &v->clint, "clint", err);
    if (r == 0)
        r = bus_map(bus, VIRT_PLIC, PLIC_IO_SIZE, &plic_io_ops, &v->plic, "plic", err);
    if (r == 0)
        r = bus_map(bus, VIRT_UART, UART16550_IO_SIZE, &uart16550_io_ops, &v->uart, "uart16550", err);
    for (unsigned i = 0; r == 0 && i < VIRT_VIRTIO_SLOTS; i++)
        r = bus_map(bus, VIRT_VIRTIO + (uint64_t)i * VIRT_VIRTIO_STRIDE, VIRTIO_MMIO_SIZE, &virtio_mmio_io_ops, &v->slot[i],
                    "virtio-mmio", err);
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
    const struct riscv_config config = { .profile = &v->profile, .sbi = { .call = sbi_call, .opaque = &v->sbi } };
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

/* What the board does not have yet: one line, before anything is opened. */
static int check_devices(const struct vm_config *config, struct error *err)
{
    const char *what = config->nr_disks                      ? "disks"
                       : config->net.kind != NETDEV_NONE     ? "a network card"
                       : config->nr_shares                   ? "shares"
                       : config->balloon                     ? "a balloon"
                       : config->vsock.path                  ? "virtual sockets"
                       : config->initrd || config->initramfs ? "an initrd, which takes a device tree"
                                                             : NULL;
    return what ? error_set(err, -ENOTSUP, "board virt (riscv64) does not have %s yet", what) : 0;
}

static int virt_check(const struct vm_config *config, struct error *err)
{
    struct riscv_profile profile;
    if (config->cpus > VIRT_HARTS_MAX)
        return error_set(err, -EINVAL, "%u CPUs: riscv64 has at most %d", config->cpus, VIRT_HARTS_MAX);
    int r = check_devices(config, err);
    return r == 0 && config->cpu_model ? riscv_profile_make(config->cpu_model, &profile, err) : r;
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
    int r = check_devices(config, err);
    v->profile = *riscv_profile_default();
    if (r == 0 && config->cpu_model)
        r = riscv_profile_make(config->cpu_model, &v->profile, err);
    if (r == 0)
        r = gmem_init(&vm->gmem, config->memory, err);
    if (r == 0)
        r = gmem_add_slot(&vm->gmem, VIRT_RAM, config->memory, 0, err);
    if (r < 0)
        return r;
    init_chips(v, ports);
    r = make_cpus(v, engine, err);
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
    blob_done(&v->kernel);
    free(v);
}

static int load_kernel(struct virt *v, gpa_t *ret_entry, struct error *err)
{
    const bool given = v->config->kernel_image;
    if (!given && !v->kernel.data && blob_read_file(v->config->kernel, KERNEL_SIZE_MAX, &v->kernel, err) < 0)
        return error_prefix(err, "kernel");
    int r = virt_load_kernel(&v->vm->gmem, VIRT_RAM, given ? v->config->kernel_image : v->kernel.data,
                             given ? v->config->kernel_image_len : v->kernel.len, ret_entry, err);
    if (!v->config->reboot)
        blob_done(&v->kernel);
    return r < 0 ? error_prefix(err, "kernel '%s'", v->config->kernel) : r;
}

static int virt_power_on(void *board, struct error *err)
{
    struct virt *v = board;
    gpa_t entry;
    for (unsigned i = 0; i < v->vm->nr_vcpus; i++) { /* before the chips, which set its wires */
        struct vcpu *vcpu = v->vm->vcpu[i];
        vcpu->isa->reset(vcpu);
        (void)vcpu_take(vcpu, ~(uint32_t)(VCPU_REQ_STOP | VCPU_REQ_END)); /* what the old life had */
    }
    for (unsigned i = 0; i < v->nr_chips; i++)
        v->chip[i].class->reset(v->chip[i].dev);
    gmem_reset(&v->vm->gmem); /* now that no device writes to it any more */
    int r = load_kernel(v, &entry, err);
    if (r < 0)
        return r;
    riscv_enter_supervisor(v->vm->vcpu[0]->cpu, entry, 0);
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

const struct board_ops virt_board_ops = {
    .name = "virt",
    .check = virt_check,
    .new = virt_new,
    .free = virt_free,
    .power_on = virt_power_on,
    .chips = virt_chips,
};
