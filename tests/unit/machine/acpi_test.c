/* SPDX-License-Identifier: MIT */
/*
 * Laws of the ACPI tables: a guest that follows the pointers finds every table, whole and with a good checksum.
 */
#include "machine/acpi.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include <cmocka.h>

#include "machine/pc.h"

enum { CAP = PC_TABLES_END - PC_TABLES };
static uint8_t area[CAP];

static uint64_t get(size_t at, unsigned size)
{
    uint64_t v = 0;
    assert_true(at + size <= CAP);
    memcpy(&v, area + at, size);
    return v;
}

static uint8_t sum(size_t at, size_t len)
{
    uint8_t s = 0;
    assert_true(at + len <= CAP);
    for (size_t i = 0; i < len; i++)
        s = (uint8_t)(s + area[at + i]);
    return s;
}

/* Offset of the table at guest address gpa. */
static size_t offset(uint64_t gpa)
{
    assert_in_range(gpa, PC_TABLES, PC_TABLES_END - 1);
    return (size_t)(gpa - PC_TABLES);
}

static bool is(size_t at, const char *signature)
{
    return memcmp(area + at, signature, strlen(signature)) == 0;
}

static void build(unsigned cpus)
{
    const struct acpi_args args = { .base = PC_TABLES, .cpus = cpus };
    assert_int_equal(acpi_build(&args, area, CAP, NULL), 0);
}

/* Offset of the table with the signature, found through RSDP and XSDT. */
static size_t find(const char *signature)
{
    size_t xsdt = offset(get(24, 8));
    assert_true(is(xsdt, "XSDT"));
    for (size_t i = 36; i < get(xsdt + 4, 4); i += 8) {
        size_t at = offset(get(xsdt + i, 8));
        if (is(at, signature))
            return at;
    }
    fail_msg("no table %s", signature);
    return 0;
}

static void the_root_pointer_is_valid_and_on_a_16_byte_boundary(void **state)
{
    (void)state;
    build(1);
    assert_true(is(0, "RSD PTR "));
    assert_int_equal(PC_TABLES % 16, 0);
    assert_int_equal(sum(0, 20), 0);
    assert_int_equal(get(20, 4), 36);
    assert_int_equal(sum(0, 36), 0);
    assert_int_equal(get(15, 1), 2);
}

static void every_table_has_a_good_checksum_and_overlaps_no_other(void **state)
{
    (void)state;
    build(64);
    size_t fadt = find("FACP");
    size_t tables[] = { offset(get(24, 8)), fadt, find("APIC"), find("MCFG"), offset(get(fadt + 40, 4)) };
    for (unsigned i = 0; i < 5; i++) {
        size_t len = get(tables[i] + 4, 4);
        assert_int_equal(sum(tables[i], len), 0);
        assert_true(len > 36);
        for (unsigned k = 0; k < 5; k++)
            assert_true(k == i || tables[k] >= tables[i] + len || tables[i] >= tables[k] + get(tables[k] + 4, 4));
    }
}

static void fadt_points_to_dsdt_and_facs(void **state)
{
    (void)state;
    build(1);
    size_t fadt = find("FACP");
    assert_true(is(offset(get(fadt + 36, 4)), "FACS"));
    assert_int_equal(get(fadt + 36, 4) % 64, 0);
    assert_true(is(offset(get(fadt + 40, 4)), "DSDT"));
    assert_int_equal(get(fadt + 40, 4), get(fadt + 140, 8)); /* X_DSDT */
    assert_int_equal(get(fadt + 46, 2), 9);                  /* SCI */
    assert_int_equal(get(fadt + 48, 4), 0);                  /* no SMI command port: always in ACPI mode */
    assert_true(get(fadt + 112, 4) & 1 << 10);               /* reset register */
    assert_false(get(fadt + 112, 4) & 1 << 20);              /* not hardware reduced */
    assert_int_equal(get(fadt + 120, 8), 0xcf9);
}

static void madt_lists_each_cpu_once_and_the_overrides(void **state)
{
    (void)state;
    for (unsigned cpus = 1; cpus <= 64; cpus += 21) {
        build(cpus);
        size_t madt = find("APIC");
        uint64_t seen = 0;
        unsigned ioapics = 0, overrides = 0, nmis = 0;
        assert_int_equal(get(madt + 36, 4), PC_LAPIC);
        for (size_t at = madt + 44; at < madt + get(madt + 4, 4); at += get(at + 1, 1)) {
            assert_true(get(at + 1, 1) >= 2);
            if (get(at, 1) == 0) {
                assert_false(seen & 1ULL << get(at + 3, 1));
                seen |= 1ULL << get(at + 3, 1);
                assert_int_equal(get(at + 4, 4), 1);
            } else if (get(at, 1) == 1) {
                ioapics++;
                assert_int_equal(get(at + 4, 4), PC_IOAPIC);
            } else if (get(at, 1) == 2) {
                overrides++;
                assert_int_equal(get(at + 4, 4), get(at + 3, 1) == 0 ? PC_GSI_PIT : 9);
            } else if (get(at, 1) == 4) {
                nmis++;
                assert_int_equal(get(at + 5, 1), 1);
            }
        }
        assert_true(seen == (cpus == 64 ? ~0ULL : (1ULL << cpus) - 1));
        assert_int_equal(ioapics, 1);
        assert_int_equal(overrides, 2);
        assert_int_equal(nmis, 1);
    }
}

static void mcfg_names_the_ecam_window_of_bus_0(void **state)
{
    (void)state;
    build(1);
    size_t mcfg = find("MCFG");
    assert_int_equal(get(mcfg + 44, 8), PC_ECAM);
    assert_int_equal(get(mcfg + 54, 1), 0);
    assert_int_equal(get(mcfg + 55, 1), 0);
}

static void too_little_room_is_an_error_and_nothing_is_written_beyond(void **state)
{
    (void)state;
    build(64);
    size_t used = CAP;
    while (area[used - 1] == 0)
        used--;
    for (size_t cap = 64; cap < used; cap += 37) {
        const struct acpi_args args = { .base = PC_TABLES, .cpus = 64 };
        struct error err;
        memset(area, 0xa5, CAP);
        assert_int_equal(acpi_build(&args, area, cap, &err), -ENOSPC);
        for (size_t i = cap; i < CAP; i++)
            assert_int_equal(area[i], 0xa5);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_root_pointer_is_valid_and_on_a_16_byte_boundary),
        cmocka_unit_test(every_table_has_a_good_checksum_and_overlaps_no_other),
        cmocka_unit_test(fadt_points_to_dsdt_and_facs),
        cmocka_unit_test(madt_lists_each_cpu_once_and_the_overrides),
        cmocka_unit_test(mcfg_names_the_ecam_window_of_bus_0),
        cmocka_unit_test(too_little_room_is_an_error_and_nothing_is_written_beyond),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
