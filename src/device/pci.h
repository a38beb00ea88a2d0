/* SPDX-License-Identifier: MIT */
/*
 * PCI functions on one bus: configuration space and base address registers.
 *
 * A function is 256 bytes of configuration space with a mask of what the guest may write, and up to six BARs that are
 * mapped into the machine's buses while the guest has decoding on. Capabilities are the device's, who gets room for each in a
 * list (pci_func_add_capability) and hears of accesses through the `reading` and `written` hooks. Extended configuration space
 * reads as ones, which guests take for "not there". Spec: PCI Local Bus 3.0, chapter 6.
 */
#ifndef DOPPEL_DEVICE_PCI_H
#define DOPPEL_DEVICE_PCI_H

#include "core/bus.h"
#include "core/device.h"
#include "core/irq.h"

enum {
    PCI_VENDOR = 0x00,
    PCI_DEVICE = 0x02,
    PCI_COMMAND = 0x04,
    PCI_STATUS = 0x06,
    PCI_REVISION = 0x08,
    PCI_CLASS = 0x09, /* three bytes: interface, subclass, class */
    PCI_HEADER = 0x0e,
    PCI_BAR0 = 0x10,
    PCI_SUBSYSTEM_VENDOR = 0x2c,
    PCI_SUBSYSTEM = 0x2e,
    PCI_CAPABILITIES = 0x34,
    PCI_CAPABILITIES_BEGIN = 0x40,
    PCI_INTERRUPT_LINE = 0x3c,
    PCI_INTERRUPT_PIN = 0x3d,
    PCI_CONFIG_SIZE = 256,
};
enum { PCI_COMMAND_IO = 1 << 0, PCI_COMMAND_MEMORY = 1 << 1, PCI_COMMAND_MASTER = 1 << 2, PCI_COMMAND_INTX_OFF = 1 << 10 };
enum { PCI_BARS = 6, PCI_DEVFNS = 256 };
enum pci_bar_kind { PCI_BAR_NONE, PCI_BAR_IO, PCI_BAR_MEM32, PCI_BAR_MEM64 };

enum pci_capability { PCI_CAP_VENDOR = 0x09, PCI_CAP_MSIX = 0x11 };

#define PCI_DEVFN(dev, fn) ((dev) << 3 | (fn))

struct pci_bar {
    enum pci_bar_kind kind;
    uint64_t size;            /* bytes, a power of two: at least 16 (memory) or 4 (I/O) */
    const struct io_ops *ops; /* borrowed (static) */
    void *dev;                /* borrowed (the device that embeds the function) */
    const char *name;         /* borrowed (static) */
    bool mapped;
    uint64_t base; /* while mapped */
};

struct pci_func {
    struct pci_bus *bus; /* borrowed (the host bridge's); NULL until added */
    uint8_t devfn;
    struct irq_line intx;
    struct pci_bar bar[PCI_BARS];
    /* optional; before the guest reads `size` bytes at `offset`: config may be brought up to date */
    void (*reading)(struct pci_func *func, unsigned offset, unsigned size);
    /* optional; after the guest wrote `size` bytes at `offset` (config is up to date) */
    void (*written)(struct pci_func *func, unsigned offset, unsigned size);
    uint8_t config[PCI_CONFIG_SIZE]; /* state */
    uint8_t wmask[PCI_CONFIG_SIZE];  /* bits the guest may write */
    uint8_t w1c[PCI_CONFIG_SIZE];    /* bits the guest clears by writing 1 */
    uint8_t capability_last;         /* the capability added last, 0: none */
    uint8_t capability_end;          /* end of the room that is taken, 0: none is */
    struct guest_errors errors;
};

struct pci_bus {
    struct bus *mmio, *pio;            /* borrowed (the machine's) */
    struct pci_func *func[PCI_DEVFNS]; /* borrowed (the board's or the device's) */
};

/* The part of a function that a device's own state_desc embeds with STATE_STRUCT. */
extern const struct state_desc pci_func_state;

void pci_bus_init(struct pci_bus *bus, struct bus *mmio, struct bus *pio);
/* class_code: 24 bits, class << 16 | subclass << 8 | interface. */
void pci_func_init(struct pci_func *func, uint16_t vendor, uint16_t device, uint32_t class_code, uint8_t revision);
/* Declares BAR n (a 64-bit one also takes n + 1). Before pci_bus_add(). */
void pci_func_set_bar(struct pci_func *func, unsigned n, enum pci_bar_kind kind, uint64_t size, const struct io_ops *ops,
                      void *dev, const char *name);
/* Appends a capability of `len` bytes, zeroed behind its ID and link; returns its offset. The room in configuration space is the
 * device's to plan. */
uint8_t pci_func_add_capability(struct pci_func *func, enum pci_capability id, uint8_t len);
/* -EEXIST when the place is taken. */
MUST_CHECK int pci_bus_add(struct pci_bus *bus, struct pci_func *func, uint8_t devfn, struct error *err);
/* Command and BARs to their power-on values; unmaps. Capabilities are the device's to reset. */
void pci_func_reset(struct pci_func *func);
/* Maps and unmaps BARs as command and BARs say; for a device's post_load. */
void pci_func_remap(struct pci_func *func);
/* Drives INTx unless the guest turned it off, and keeps the status bit. */
void pci_func_set_intx(struct pci_func *func, bool level);

/* Configuration accesses by guests: size 1, 2, 4; offset below 4096, not crossing a doubleword. All ones for nothing. */
uint32_t pci_config_read(struct pci_bus *bus, uint8_t devfn, unsigned offset, unsigned size);
void pci_config_write(struct pci_bus *bus, uint8_t devfn, unsigned offset, uint32_t value, unsigned size);

#endif
