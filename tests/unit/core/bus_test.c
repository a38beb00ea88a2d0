/* SPDX-License-Identifier: MIT */
/*
 * Laws of the bus: mapping, splitting, widening, and what nobody claims.
 */
#include "core/bus.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <string.h>

#include <cmocka.h>

/* A device of 16 bytes that remembers each access. */
struct mem {
    uint8_t byte[16];
    struct {
        uint64_t offset;
        unsigned size;
        bool write;
    } log[16];
    unsigned n;
};

static void note(struct mem *m, uint64_t offset, unsigned size, bool write)
{
    assert_true(offset + size <= sizeof(m->byte));
    assert_true(m->n < 16);
    m->log[m->n].offset = offset;
    m->log[m->n].size = size;
    m->log[m->n++].write = write;
}

static uint64_t mem_read(void *dev, uint64_t offset, unsigned size)
{
    struct mem *m = dev;
    note(m, offset, size, false);
    uint64_t v = 0;
    memcpy(&v, &m->byte[offset], size);
    return v;
}

static void mem_write(void *dev, uint64_t offset, uint64_t value, unsigned size)
{
    struct mem *m = dev;
    note(m, offset, size, true);
    memcpy(&m->byte[offset], &value, size);
}

static const struct io_ops byte_ops = { mem_read, mem_write, 1, 1 };
static const struct io_ops wide_ops = { mem_read, mem_write, 1, 8 };
static const struct io_ops dword_ops = { mem_read, mem_write, 4, 4 };

struct fixture {
    struct bus bus;
    struct mem mem;
};

static int setup(void **state)
{
    static struct fixture f;
    memset(&f, 0, sizeof(f));
    bus_init(&f.bus);
    for (int i = 0; i < 16; i++)
        f.mem.byte[i] = (uint8_t)(0x10 + i);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    bus_done(&((struct fixture *)*state)->bus);
    return 0;
}

static void map(struct fixture *f, uint64_t base, const struct io_ops *ops)
{
    assert_int_equal(bus_map(&f->bus, base, 16, ops, &f->mem, "mem", NULL), 0);
}

static void nothing_reads_as_ones_and_is_counted(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(bus_read(&f->bus, 0x70, 1), 0xff);
    assert_int_equal(bus_read(&f->bus, 0x70, 4), 0xffffffff);
    assert_true(bus_read(&f->bus, 0xfffffffffffffffcULL, 8) == ~0ULL);
    bus_write(&f->bus, 0x70, 0, 2);
    assert_int_equal(f->bus.misses, 4);
}

static void a_fitting_access_is_one_call(void **state)
{
    struct fixture *f = *state;
    map(f, 0x100, &wide_ops);
    assert_int_equal(bus_read(&f->bus, 0x104, 4), 0x17161514);
    assert_int_equal(f->mem.n, 1);
    assert_int_equal(f->mem.log[0].offset, 4);
    assert_int_equal(f->mem.log[0].size, 4);
    assert_int_equal(f->bus.misses, 0);
}

static void wider_than_the_device_becomes_several_in_order(void **state)
{
    struct fixture *f = *state;
    map(f, 0x100, &byte_ops);
    bus_write(&f->bus, 0x102, 0xddccbbaa, 4);
    assert_int_equal(f->mem.n, 4);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(f->mem.log[i].offset, 2 + i);
        assert_int_equal(f->mem.byte[2 + i], 0xaa + 0x11 * i);
    }
    assert_int_equal(bus_read(&f->bus, 0x102, 4), 0xddccbbaa);
}

static void narrower_than_the_device_is_widened(void **state)
{
    struct fixture *f = *state;
    map(f, 0x100, &dword_ops);
    assert_int_equal(bus_read(&f->bus, 0x106, 1), 0x16);
    assert_int_equal(f->mem.log[0].offset, 4);
    assert_int_equal(f->mem.log[0].size, 4);
    assert_int_equal(bus_read(&f->bus, 0x106, 2), 0x1716);
    bus_write(&f->bus, 0x109, 0x77, 1);
    uint32_t v;
    memcpy(&v, &f->mem.byte[8], 4);
    assert_int_equal(v, 0x7700); /* at its place, the rest zero */
}

static void unaligned_accesses_reach_the_device_aligned(void **state)
{
    struct fixture *f = *state;
    map(f, 0x100, &wide_ops);
    assert_true(bus_read(&f->bus, 0x103, 8) == 0x1a19181716151413ULL);
    unsigned covered = 0;
    for (unsigned i = 0; i < f->mem.n; i++) {
        assert_int_equal(f->mem.log[i].offset % f->mem.log[i].size, 0);
        covered += f->mem.log[i].size;
    }
    assert_int_equal(covered, 8);
}

static void an_access_over_the_end_takes_ones_for_the_rest(void **state)
{
    struct fixture *f = *state;
    map(f, 0x100, &wide_ops);
    assert_int_equal(bus_read(&f->bus, 0x10e, 4), 0xffff1f1e);
    assert_int_equal(bus_read(&f->bus, 0xfe, 4), 0x1110ffff);
    assert_int_equal(f->bus.misses, 2);
}

static void an_access_may_span_two_devices(void **state)
{
    struct fixture *f = *state;
    struct mem other = { .byte = { 0xa0, 0xa1 } };
    map(f, 0x100, &wide_ops);
    assert_int_equal(bus_map(&f->bus, 0x110, 16, &byte_ops, &other, "other", NULL), 0);
    assert_int_equal(bus_read(&f->bus, 0x10e, 4), 0xa1a01f1e);
    assert_int_equal(f->bus.misses, 0);
}

static void overlapping_empty_and_wrapping_ranges_are_refused(void **state)
{
    struct fixture *f = *state;
    map(f, 0x100, &wide_ops);
    struct error err;
    assert_int_equal(bus_map(&f->bus, 0x10f, 1, &byte_ops, &f->mem, "x", &err), -EEXIST);
    assert_int_equal(bus_map(&f->bus, 0xf1, 16, &byte_ops, &f->mem, "x", &err), -EEXIST);
    assert_int_equal(bus_map(&f->bus, 0, 0x1000, &byte_ops, &f->mem, "x", &err), -EEXIST);
    assert_int_equal(bus_map(&f->bus, 0x200, 0, &byte_ops, &f->mem, "x", &err), -EINVAL);
    assert_int_equal(bus_map(&f->bus, ~0ULL, 2, &byte_ops, &f->mem, "x", &err), -EINVAL);
    assert_int_equal(bus_map(&f->bus, 0xf0, 16, &byte_ops, &f->mem, "below", NULL), 0);
    assert_int_equal(bus_map(&f->bus, 0x110, 16, &byte_ops, &f->mem, "above", NULL), 0);
}

static void the_last_byte_of_the_space_can_be_mapped(void **state)
{
    struct fixture *f = *state;
    map(f, ~0ULL - 15, &wide_ops);
    assert_int_equal(bus_read(&f->bus, ~0ULL, 1), 0x1f);
}

static void unmap_removes_exactly_the_range_at_base(void **state)
{
    struct fixture *f = *state;
    map(f, 0x100, &byte_ops);
    map(f, 0x200, &byte_ops);
    bus_unmap(&f->bus, 0x101);
    assert_int_equal(bus_read(&f->bus, 0x100, 1), 0x10);
    bus_unmap(&f->bus, 0x100);
    assert_int_equal(bus_read(&f->bus, 0x100, 1), 0xff);
    assert_int_equal(bus_read(&f->bus, 0x200, 1), 0x10);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(nothing_reads_as_ones_and_is_counted),
        T(a_fitting_access_is_one_call),
        T(wider_than_the_device_becomes_several_in_order),
        T(narrower_than_the_device_is_widened),
        T(unaligned_accesses_reach_the_device_aligned),
        T(an_access_over_the_end_takes_ones_for_the_rest),
        T(an_access_may_span_two_devices),
        T(overlapping_empty_and_wrapping_ranges_are_refused),
        T(the_last_byte_of_the_space_can_be_mapped),
        T(unmap_removes_exactly_the_range_at_base),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
