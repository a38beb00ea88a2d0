/* SPDX-License-Identifier: MIT */
/*
 * PCI configuration space and BARs.
 */
#include "device/pci.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/checked.h"

enum {
    STATUS_INTX = 1 << 3,
    STATUS_CAPABILITIES = 1 << 4,
    STATUS_ERRORS = 0xf9
}; /* the high byte of status: all error bits, and bit 8 */
enum { BAR_IO = 1, BAR_64 = 4 };
enum { ECAM_SIZE = 4096 };

static uint32_t get32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof(v));
    return v;
}

static void put32(uint8_t *p, uint32_t v)
{
    memcpy(p, &v, sizeof(v));
}

static void put16(uint8_t *p, uint16_t v)
{
    memcpy(p, &v, sizeof(v));
}

static uint16_t get16(const uint8_t *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof(v));
    return v;
}

/* Address in BAR n as the guest wrote it. */
static uint64_t bar_base(const struct pci_func *f, unsigned n)
{
    const uint8_t *reg = f->config + PCI_BAR0 + 4 * n;
    uint64_t v = get32(reg);
    if (f->bar[n].kind == PCI_BAR_MEM64)
        v |= (uint64_t)get32(reg + 4) << 32;
    return v & ~(f->bar[n].size - 1);
}

static bool bar_decodes(const struct pci_func *f, unsigned n)
{
    unsigned bit = f->bar[n].kind == PCI_BAR_IO ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY;
    return f->bar[n].kind != PCI_BAR_NONE && (f->config[PCI_COMMAND] & bit);
}

static struct bus *bar_bus(const struct pci_func *f, unsigned n)
{
    return f->bar[n].kind == PCI_BAR_IO ? f->bus->pio : f->bus->mmio;
}

static void unmap(struct pci_func *f, unsigned n)
{
    if (f->bar[n].mapped)
        bus_unmap(bar_bus(f, n), f->bar[n].base);
    f->bar[n].mapped = false;
}

static void remap_bar(struct pci_func *f, unsigned n)
{
    struct pci_bar *bar = &f->bar[n];
    uint64_t base = bar_base(f, n);
    if (bar->mapped && bar->base == base && bar_decodes(f, n))
        return;
    unmap(f, n);
    if (!bar_decodes(f, n) || base == 0)
        return;
    if (bar->kind == PCI_BAR_IO && base + bar->size > 0x10000) {
        guest_err(&f->errors, "pci: %s: BAR %u beyond the I/O ports", bar->name, n);
        return;
    }
    struct error err = { 0 };
    if (bus_map(bar_bus(f, n), base, bar->size, bar->ops, bar->dev, bar->name, &err) < 0) {
        guest_err(&f->errors, "pci: BAR %u: %s", n, err.msg); /* two devices on one address: ours is not seen */
        return;
    }
    bar->base = base;
    bar->mapped = true;
}

void pci_func_remap(struct pci_func *func)
{
    if (!func->bus)
        return;
    for (unsigned n = 0; n < PCI_BARS; n++)
        remap_bar(func, n);
}

void pci_func_set_intx(struct pci_func *func, bool level)
{
    if (level)
        func->config[PCI_STATUS] |= STATUS_INTX;
    else
        func->config[PCI_STATUS] &= (uint8_t)~STATUS_INTX;
    irq_set(&func->intx, level && !(get16(func->config + PCI_COMMAND) & PCI_COMMAND_INTX_OFF));
}

static struct pci_func *find(struct pci_bus *bus, uint8_t devfn)
{
    return bus->func[devfn];
}

uint32_t pci_config_read(struct pci_bus *bus, uint8_t devfn, unsigned offset, unsigned size)
{
    struct pci_func *f = find(bus, devfn);
    if (!f || offset + size > PCI_CONFIG_SIZE)
        return UINT32_MAX >> (32 - 8 * size);
    if (f->reading)
        f->reading(f, offset, size);
    uint32_t v = 0;
    memcpy(&v, f->config + offset, size);
    return v;
}

static bool overlaps(unsigned offset, unsigned size, unsigned at, unsigned len)
{
    return offset < at + len && at < offset + size;
}

void pci_config_write(struct pci_bus *bus, uint8_t devfn, unsigned offset, uint32_t value, unsigned size)
{
    struct pci_func *f = find(bus, devfn);
    if (!f || offset + size > PCI_CONFIG_SIZE)
        return;
    for (unsigned i = 0; i < size; i++) {
        uint8_t byte = (uint8_t)(value >> 8 * i), *reg = &f->config[offset + i];
        uint8_t w = f->wmask[offset + i], c = f->w1c[offset + i];
        *reg = (uint8_t)(((*reg & ~w) | (byte & w)) & ~(byte & c));
    }
    if (overlaps(offset, size, PCI_COMMAND, 2) || overlaps(offset, size, PCI_BAR0, 4 * PCI_BARS))
        pci_func_remap(f);
    if (overlaps(offset, size, PCI_COMMAND, 2))
        pci_func_set_intx(f, f->config[PCI_STATUS] & STATUS_INTX);
    if (f->written)
        f->written(f, offset, size);
}

void pci_bus_init(struct pci_bus *bus, struct bus *mmio, struct bus *pio)
{
    *bus = (struct pci_bus){ .mmio = mmio, .pio = pio };
}

void pci_func_init(struct pci_func *func, uint16_t vendor, uint16_t device, uint32_t class_code, uint8_t revision)
{
    *func = (struct pci_func){ 0 };
    put16(func->config + PCI_VENDOR, vendor);
    put16(func->config + PCI_DEVICE, device);
    put32(func->config + PCI_REVISION, class_code << 8 | revision);
    put16(func->wmask + PCI_COMMAND, PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_INTX_OFF);
    func->w1c[PCI_STATUS + 1] = STATUS_ERRORS;
    func->wmask[PCI_INTERRUPT_LINE] = 0xff;
}

void pci_func_set_bar(struct pci_func *func, unsigned n, enum pci_bar_kind kind, uint64_t size, const struct io_ops *ops,
                      void *dev, const char *name)
{
    assert(n < PCI_BARS && (kind != PCI_BAR_MEM64 || n + 1 < PCI_BARS));
    assert(size >= (kind == PCI_BAR_IO ? 4 : 16) && (size & (size - 1)) == 0);
    func->bar[n] = (struct pci_bar){ .kind = kind, .size = size, .ops = ops, .dev = dev, .name = name };
    unsigned reg = PCI_BAR0 + 4 * n;
    uint64_t mask = ~(size - 1);
    put32(func->config + reg, kind == PCI_BAR_IO ? BAR_IO : kind == PCI_BAR_MEM64 ? BAR_64 : 0);
    put32(func->wmask + reg, (uint32_t)mask);
    if (kind == PCI_BAR_MEM64)
        put32(func->wmask + reg + 4, (uint32_t)(mask >> 32));
}

uint8_t pci_func_add_capability(struct pci_func *func, enum pci_capability id, uint8_t len)
{
    unsigned at = func->capability_end ? ALIGN_UP(func->capability_end, 4U) : PCI_CAPABILITIES_BEGIN;
    assert(len >= 2 && at + len <= PCI_CONFIG_SIZE - 1);
    func->config[at] = (uint8_t)id;
    func->config[func->capability_last ? func->capability_last + 1U : PCI_CAPABILITIES] = (uint8_t)at;
    func->config[PCI_STATUS] |= STATUS_CAPABILITIES;
    func->capability_last = (uint8_t)at;
    func->capability_end = (uint8_t)(at + len);
    return (uint8_t)at;
}

int pci_bus_add(struct pci_bus *bus, struct pci_func *func, uint8_t devfn, struct error *err)
{
    if (bus->func[devfn])
        return error_set(err, -EEXIST, "PCI slot %02x.%u is taken", devfn >> 3, devfn & 7);
    bus->func[devfn] = func;
    func->bus = bus;
    func->devfn = devfn;
    return 0;
}

void pci_func_reset(struct pci_func *func)
{
    put16(func->config + PCI_COMMAND, 0);
    func->config[PCI_INTERRUPT_LINE] = 0;
    func->config[PCI_STATUS + 1] &= (uint8_t)~STATUS_ERRORS;
    for (unsigned i = PCI_BAR0; i < PCI_BAR0 + 4 * PCI_BARS; i++)
        func->config[i] &= (uint8_t)~func->wmask[i];
    pci_func_remap(func);
    pci_func_set_intx(func, false);
}

/* No byte of configuration space indexes or sizes anything here, so every value is safe. */
static int func_post_load(void *object, struct error *err)
{
    (void)err;
    struct pci_func *f = object;
    pci_func_remap(f);
    return 0;
}

static const struct state_field func_fields[] = {
    STATE_BYTES(struct pci_func, config),
    STATE_END,
};
const struct state_desc pci_func_state = {
    .name = "pci_func",
    .version = 1,
    .fields = func_fields,
    .post_load = func_post_load,
};
