/* SPDX-License-Identifier: MIT */
/*
 * PCI slots with virtio devices.
 */
#include "machine/pci_slots.h"

#include <assert.h>
#include <errno.h>

/* An irq_fn; pin: the slot. */
static void intx(void *opaque, unsigned slot, bool level)
{
    struct pci_slots *s = opaque;
    const unsigned line = slot % PCI_SLOTS_INTX;
    const uint32_t bit = 1U << slot;
    s->intx[line] = level ? s->intx[line] | bit : s->intx[line] & ~bit;
    irq_set(&s->line[line], s->intx[line] != 0);
}

static void add_chip(struct pci_slots *s, const struct device_class *class, void *dev)
{
    assert(s->nr_chips < PCI_SLOTS_CHIPS);
    s->chip[s->nr_chips++] = (struct board_chip){ .class = class, .dev = dev };
}

void pci_slots_init(struct pci_slots *s, struct pci_bus *bus, const struct irq_line line[PCI_SLOTS_INTX],
                    const struct msi_sink *msi)
{
    *s = (struct pci_slots){ .bus = bus, .msi = *msi };
    for (unsigned i = 0; i < PCI_SLOTS_INTX; i++)
        s->line[i] = line[i];
}

int pci_slots_plug(void *opaque, const struct device_class *class, struct virtio_device *vdev, struct error *err)
{
    struct pci_slots *s = opaque;
    add_chip(s, class, vdev); /* before its transport: see device/virtio/pci.h */
    if (s->nr >= PCI_SLOTS_MAX)
        return error_set(err, -ENOSPC, "more than %d PCI devices", PCI_SLOTS_MAX);
    struct virtio_pci *p = &s->slot[s->nr++];
    virtio_pci_init(p, vdev, &s->msi);
    p->func.intx = (struct irq_line){ .fn = intx, .opaque = s, .pin = s->nr };
    add_chip(s, &virtio_pci_class, p);
    return pci_bus_add(s->bus, &p->func, (uint8_t)PCI_DEVFN(s->nr, 0), err);
}

void pci_slots_assign(struct pci_slots *s, uint32_t base)
{
    for (unsigned i = 0; i < s->nr; i++) {
        const uint8_t devfn = PCI_DEVFN(i + 1, 0);
        pci_config_write(s->bus, devfn, PCI_BAR0, base + i * VIRTIO_PCI_BAR_SIZE, 4);
        pci_config_write(s->bus, devfn, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
    }
}
