/* SPDX-License-Identifier: MIT */
/*
 * Laws of the test finisher: three values end or reset, with a status; others do nothing.
 */
#include "device/sifive_test.h"
#include "support/chip.h"

static unsigned calls, last_end, last_status;

static void ended(void *opaque, enum sifive_test_end end, unsigned status)
{
    (void)opaque;
    last_end = end;
    last_status = status;
    calls++;
}

static void known_values_end(void **state)
{
    struct sifive_test dev, other;
    (void)state;
    calls = 0;
    sifive_test_init(&dev, ended, NULL);
    sifive_test_class.reset(&dev);
    sifive_test_io_ops.write(&dev, 0, 0x5555, 4);
    assert_int_equal(last_end, SIFIVE_TEST_PASS);
    sifive_test_io_ops.write(&dev, 0, 0xffff3333, 4);
    assert_int_equal(last_end, SIFIVE_TEST_FAIL);
    assert_int_equal(last_status, 0xffff);
    sifive_test_io_ops.write(&dev, 0, 0x7777, 2);
    assert_int_equal(last_end, SIFIVE_TEST_RESET);
    assert_int_equal(calls, 3);
    sifive_test_init(&other, NULL, NULL);
    check_round_trip(sifive_test_class.state, &dev, &other);
}

static void other_values_and_places_do_nothing(void **state)
{
    struct sifive_test dev;
    (void)state;
    calls = 0;
    sifive_test_init(&dev, ended, NULL);
    sifive_test_io_ops.write(&dev, 0, 0x1234, 4);
    sifive_test_io_ops.write(&dev, 4, 0x5555, 4);
    assert_int_equal(sifive_test_io_ops.read(&dev, 0, 4), 0);
    assert_int_equal(calls, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_values_end),
        cmocka_unit_test(other_values_and_places_do_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
