/* SPDX-License-Identifier: MIT */
/*
 * An address space of device registers: port I/O or memory-mapped I/O.
 *
 * The bus enforces what a device declares: accesses outside [min_size, max_size] bytes are split or widened here, so
 * handlers get offsets and values of legal sizes, never pointers. Reads of nothing give all ones, writes to nothing are
 * dropped, as on a PC. The caller holds the machine's lock (vm_lock) around bus_read and bus_write.
 */
#ifndef DOPPEL_CORE_BUS_H
#define DOPPEL_CORE_BUS_H

#include "core/types.h"

/* Register handlers of a device: mandatory both, called with the machine's lock held by a vCPU thread, must not block
 * and cannot fail. `offset` counts from the start of the mapped range; `size` is 1, 2, 4 or 8 bytes. */
struct io_ops {
    uint64_t (*read)(void *dev, uint64_t offset, unsigned size);
    void (*write)(void *dev, uint64_t offset, uint64_t value, unsigned size);
    uint8_t min_size; /* smallest access the device takes, bytes, power of two; narrower ones become a read of this size
                         (and for writes are dropped into the value at their place, the rest zero) */
    uint8_t max_size; /* largest; wider ones become several */
};

struct bus_range {
    uint64_t base, size;
    const struct io_ops *ops; /* borrowed (static tables) */
    void *dev;                /* borrowed (the board frees devices after the bus) */
    const char *name;         /* borrowed (static string) */
};

struct bus {
    struct bus_range *range; /* owned, sorted by base */
    unsigned nr_ranges;
    uint64_t misses; /* accesses nobody claimed */
};

void bus_init(struct bus *bus);
void bus_done(struct bus *bus);
/* -EEXIST when the range overlaps another, -EINVAL when empty or wrapping, -ENOMEM. */
MUST_CHECK int bus_map(struct bus *bus, uint64_t base, uint64_t size, const struct io_ops *ops, void *dev, const char *name,
                       struct error *err);
/* Removes the range that starts at base; nothing happens when there is none. */
void bus_unmap(struct bus *bus, uint64_t base);
/* Whether somebody answers at addr. */
bool bus_claims(const struct bus *bus, uint64_t addr);
/* size is 1, 2, 4 or 8 bytes, any alignment. */
uint64_t bus_read(struct bus *bus, uint64_t addr, unsigned size);
void bus_write(struct bus *bus, uint64_t addr, uint64_t value, unsigned size);

#endif
