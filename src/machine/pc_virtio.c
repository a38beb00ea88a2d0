/* SPDX-License-Identifier: MIT */
/*
 * How the virtio devices of board `pc` hang on PCI.
 */
#include "machine/pc_virtio.h"

#include <assert.h>
#include <errno.h>

#include "device/ioapic.h"
#include "device/lapic.h"
#include "machine/pc.h"

/* An irq_fn; pin: the slot. */
static void intx(void *opaque, unsigned slot, bool level)
{
    struct pc_virtio *pv = opaque;
    unsigned line = slot % PC_INTX;
    uint32_t bit = 1U << slot;
    pv->intx[line] = level ? pv->intx[line] | bit : pv->intx[line] & ~bit;
    ioapic_set_irq(pv->ioapic, PC_GSI_PCI + line, pv->intx[line] != 0);
}

static void msi(void *opaque, uint64_t address, uint32_t data)
{
    struct pc_virtio *pv = opaque;
    lapic_bus_deliver(pv->lapics, address, data);
}

static void add_chip(struct pc_virtio *pv, const struct device_class *class, void *dev)
{
    assert(pv->nr_chips < PC_VIRTIO_CHIPS);
    pv->chip[pv->nr_chips++] = (struct board_chip){ .class = class, .dev = dev };
}

/* A virtio_plug_fn: into the next slot. */
static int plug(void *opaque, const struct device_class *class, struct virtio_device *vdev, struct error *err)
{
    struct pc_virtio *pv = opaque;
    add_chip(pv, class, vdev); /* before its transport: see device/virtio/pci.h */
    if (pv->nr_slots >= PC_SLOTS)
        return error_set(err, -ENOSPC, "more than %d PCI devices", PC_SLOTS);
    struct virtio_pci *p = &pv->slot[pv->nr_slots++];
    const struct msi_sink sink = { .fn = msi, .opaque = pv };
    virtio_pci_init(p, vdev, &sink);
    p->func.intx = (struct irq_line){ .fn = intx, .opaque = pv, .pin = pv->nr_slots };
    add_chip(pv, &virtio_pci_class, p);
    return pci_bus_add(pv->bus, &p->func, (uint8_t)PCI_DEVFN(pv->nr_slots, 0), err);
}

int pc_virtio_init(struct pc_virtio *pv, const struct vm_config *config, const struct machine_ports *ports, struct vm *vm,
                   struct pci_bus *bus, struct ioapic *ioapic, struct lapic_bus *lapics, struct error *err)
{
    *pv = (struct pc_virtio){ .bus = bus, .ioapic = ioapic, .lapics = lapics };
    return virtio_devices_init(&pv->devices, config, ports, vm, plug, pv, err);
}

void pc_virtio_done(struct pc_virtio *pv)
{
    virtio_devices_done(&pv->devices);
}

void pc_virtio_assign(struct pc_virtio *pv)
{
    static_assert(PC_RAM_HOLE + (uint64_t)PC_SLOTS * VIRTIO_PCI_BAR_SIZE <= PC_ECAM, "the BARs fit into the window");
    for (unsigned i = 0; i < pv->nr_slots; i++) {
        uint8_t devfn = PCI_DEVFN(i + 1, 0);
        pci_config_write(pv->bus, devfn, PCI_BAR0, (uint32_t)(PC_RAM_HOLE + (uint64_t)i * VIRTIO_PCI_BAR_SIZE), 4);
        pci_config_write(pv->bus, devfn, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
    }
}
