/* SPDX-License-Identifier: MIT */
/*
 * An address space of device registers: finds the range and cuts accesses to what the device takes.
 *
 * An access is served in pieces, each inside one range, naturally aligned to its offset there and within the device's
 * sizes; the usual access is one piece. Bytes nobody claims read as ones.
 */
#include "core/bus.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"

/* One piece of an access. */
struct piece {
    const struct bus_range *range; /* borrowed; NULL: nobody */
    uint64_t offset;               /* in the range, aligned to io_size */
    unsigned bytes;                /* of the access this piece covers */
    unsigned io_size;              /* of the device access */
    unsigned shift;                /* bits: where the bytes stand in the device's value */
};

void bus_init(struct bus *bus)
{
    *bus = (struct bus){ 0 };
}

void bus_done(struct bus *bus)
{
    if (!bus)
        return;
    free(bus->range);
    *bus = (struct bus){ 0 };
}

/* Index of the first range whose end lies above addr. */
static unsigned lower_bound(const struct bus *bus, uint64_t addr)
{
    unsigned lo = 0, hi = bus->nr_ranges;
    while (lo < hi) {
        unsigned mid = (lo + hi) / 2;
        const struct bus_range *r = &bus->range[mid];
        if (r->base + (r->size - 1) < addr)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

int bus_map(struct bus *bus, uint64_t base, uint64_t size, const struct io_ops *ops, void *dev, const char *name,
            struct error *err)
{
    uint64_t end;
    if (size == 0 || ckd_add(&end, base, size - 1))
        return error_set(err, -EINVAL, "%s: the range %#llx+%#llx is empty or wraps", name, (unsigned long long)base,
                         (unsigned long long)size);
    assert(ops->min_size >= 1 && ops->max_size <= 8 && ops->min_size <= ops->max_size);
    unsigned at = lower_bound(bus, base);
    if (at < bus->nr_ranges && bus->range[at].base <= end)
        return error_set(err, -EEXIST, "%s: the range %#llx+%#llx overlaps %s at %#llx", name, (unsigned long long)base,
                         (unsigned long long)size, bus->range[at].name, (unsigned long long)bus->range[at].base);
    struct bus_range *range = realloc(bus->range, (bus->nr_ranges + 1) * sizeof(*range));
    if (!range)
        return error_set(err, -ENOMEM, "%s: out of memory for a bus range", name);
    bus->range = range;
    memmove(&range[at + 1], &range[at], (bus->nr_ranges - at) * sizeof(*range));
    range[at] = (struct bus_range){ .base = base, .size = size, .ops = ops, .dev = dev, .name = name };
    bus->nr_ranges++;
    return 0;
}

void bus_unmap(struct bus *bus, uint64_t base)
{
    unsigned at = lower_bound(bus, base);
    if (at == bus->nr_ranges || bus->range[at].base != base)
        return;
    bus->nr_ranges--;
    memmove(&bus->range[at], &bus->range[at + 1], (bus->nr_ranges - at) * sizeof(*bus->range));
}

bool bus_claims(const struct bus *bus, uint64_t addr)
{
    unsigned at = lower_bound(bus, addr);
    return at < bus->nr_ranges && addr >= bus->range[at].base;
}

/* What serves the first bytes of an access of `size` bytes at addr. */
static struct piece next_piece(const struct bus *bus, uint64_t addr, unsigned size)
{
    unsigned at = lower_bound(bus, addr);
    if (at == bus->nr_ranges || addr < bus->range[at].base)
        return (struct piece){ .bytes = 1 };
    const struct bus_range *r = &bus->range[at];
    uint64_t offset = addr - r->base;
    uint64_t left = r->size - offset;
    unsigned n = r->ops->max_size;
    while (n > 1 && (n > size || n > left || (offset & (n - 1))))
        n /= 2;
    unsigned io_size = MAX(n, (unsigned)r->ops->min_size);
    uint64_t start = ALIGN_DOWN(offset, io_size);
    return (struct piece){ .range = r, .offset = start, .bytes = n, .io_size = io_size, .shift = 8 * (unsigned)(offset - start) };
}

static uint64_t ones(unsigned bytes)
{
    return ~0ULL >> (64 - 8 * bytes);
}

uint64_t bus_read(struct bus *bus, uint64_t addr, unsigned size)
{
    uint64_t value = 0;
    bool missed = false;
    for (unsigned done = 0; done < size;) {
        struct piece p = next_piece(bus, addr + done, size - done);
        uint64_t v = ~0ULL;
        if (p.range)
            v = p.range->ops->read(p.range->dev, p.offset, p.io_size) >> p.shift;
        else
            missed = true;
        value |= (v & ones(p.bytes)) << (8 * done);
        done += p.bytes;
    }
    bus->misses += missed;
    return value;
}

void bus_write(struct bus *bus, uint64_t addr, uint64_t value, unsigned size)
{
    bool missed = false;
    for (unsigned done = 0; done < size;) {
        struct piece p = next_piece(bus, addr + done, size - done);
        uint64_t v = (value >> (8 * done)) & ones(p.bytes);
        if (p.range)
            p.range->ops->write(p.range->dev, p.offset, v << p.shift, p.io_size);
        else
            missed = true;
        done += p.bytes;
    }
    bus->misses += missed;
}
