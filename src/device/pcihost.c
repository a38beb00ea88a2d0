/* SPDX-License-Identifier: MIT */
/*
 * PCI host bridge: two ways into configuration space, and the reset register between them.
 *
 * CONFIG_ADDRESS takes doublewords only; narrower accesses at CF8h..CFBh are other chips' ports, of which CF9h is ours.
 */
#include "device/pcihost.h"

enum { ADDRESS = 0, DATA = 4 };
#define ADDRESS_ENABLE (1U << 31)
#define ADDRESS_MASK 0x80fffffcU
enum { RESET_FULL = 1 << 3, RESET_CPU = 1 << 2, RESET_HARD = 1 << 1, RESET_KEEP = RESET_FULL | RESET_HARD };
/* Vendor 1b36h is Red Hat's, who give 0008h to generic PCI Express host bridges. */
enum { VENDOR = 0x1b36, DEVICE = 0x0008, CLASS_HOST_BRIDGE = 0x060000 };

static void write_reset(struct pcihost *h, uint8_t v)
{
    bool rises = (v & RESET_CPU) && !(h->reset_control & RESET_CPU);
    h->reset_control = v & (RESET_KEEP | RESET_CPU);
    if (rises) {
        h->reset_control &= RESET_KEEP; /* the reset clears it */
        irq_pulse(&h->reset);
    }
}

/* Function and offset that CONFIG_ADDRESS selects; false: none of ours. */
static bool selected(const struct pcihost *h, uint8_t *ret_devfn, unsigned *ret_offset)
{
    if (!(h->address & ADDRESS_ENABLE) || (h->address >> 16 & 0xff) != 0)
        return false;
    *ret_devfn = (uint8_t)(h->address >> 8);
    *ret_offset = h->address & 0xfc;
    return true;
}

static uint64_t io_read(void *dev, uint64_t offset, unsigned size)
{
    struct pcihost *h = dev;
    uint8_t devfn;
    unsigned reg;
    if (offset >= DATA)
        return selected(h, &devfn, &reg) ? pci_config_read(&h->bus, devfn, reg + (unsigned)(offset - DATA), size) : UINT32_MAX;
    if (size == 4)
        return h->address;
    return offset == PCIHOST_RESET_PORT && size == 1 ? h->reset_control : UINT32_MAX;
}

static void io_write(void *dev, uint64_t offset, uint64_t value, unsigned size)
{
    struct pcihost *h = dev;
    uint8_t devfn;
    unsigned reg;
    if (offset >= DATA) {
        if (selected(h, &devfn, &reg))
            pci_config_write(&h->bus, devfn, reg + (unsigned)(offset - DATA), (uint32_t)value, size);
    } else if (size == 4) {
        h->address = (uint32_t)value & ADDRESS_MASK;
    } else if (offset == PCIHOST_RESET_PORT && size == 1) {
        write_reset(h, (uint8_t)value);
    } else {
        guest_err(&h->errors, "pcihost: %u-byte write at CF8h+%u", size, (unsigned)offset);
    }
}

static uint64_t ecam_read(void *dev, uint64_t offset, unsigned size)
{
    struct pcihost *h = dev;
    return pci_config_read(&h->bus, (uint8_t)(offset >> 12), (unsigned)(offset & 0xfff), size);
}

static void ecam_write(void *dev, uint64_t offset, uint64_t value, unsigned size)
{
    struct pcihost *h = dev;
    pci_config_write(&h->bus, (uint8_t)(offset >> 12), (unsigned)(offset & 0xfff), (uint32_t)value, size);
}

static void pcihost_reset(void *dev)
{
    struct pcihost *h = dev;
    h->address = 0;
    h->reset_control = 0;
    pci_func_reset(&h->bridge);
}

static int pcihost_post_load(void *object, struct error *err)
{
    struct pcihost *h = object;
    (void)err;
    h->address &= ADDRESS_MASK;
    h->reset_control &= RESET_KEEP;
    return 0;
}

static const struct state_field pcihost_fields[] = {
    STATE_STRUCT(struct pcihost, bridge, &pci_func_state),
    STATE_U32(struct pcihost, address),
    STATE_U8(struct pcihost, reset_control),
    STATE_END,
};
static const struct state_desc pcihost_state = {
    .name = "pcihost",
    .version = 1,
    .fields = pcihost_fields,
    .post_load = pcihost_post_load,
};

const struct io_ops pcihost_io_ops = { .read = io_read, .write = io_write, .min_size = 1, .max_size = 4 };
const struct io_ops pcihost_ecam_ops = { .read = ecam_read, .write = ecam_write, .min_size = 1, .max_size = 4 };
const struct device_class pcihost_class = { .name = "pcihost", .reset = pcihost_reset, .state = &pcihost_state };

void pcihost_init(struct pcihost *host, struct bus *mmio, struct bus *pio, const struct irq_line *reset)
{
    *host = (struct pcihost){ 0 };
    if (reset)
        host->reset = *reset;
    pci_bus_init(&host->bus, mmio, pio);
    pci_func_init(&host->bridge, VENDOR, DEVICE, CLASS_HOST_BRIDGE, 0);
    int r = pci_bus_add(&host->bus, &host->bridge, PCI_DEVFN(0, 0), NULL);
    (void)r; /* the bus is empty: slot 0 is free */
}
