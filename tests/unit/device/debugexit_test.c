/* SPDX-License-Identifier: MIT */
/*
 * Law of the debug exit port: v ends with (v << 1) | 1.
 */
#include "device/debugexit.h"
#include "support/chip.h"

static uint32_t status;
static unsigned calls;

static void ended(void *opaque, uint32_t s)
{
    (void)opaque;
    status = s;
    calls++;
}

static void written_value_becomes_an_odd_status(void **state)
{
    (void)state;
    struct debugexit dev, other;
    debugexit_init(&dev, ended, NULL);
    debugexit_class.reset(&dev);
    for (uint32_t v = 0; v < 256; v++) {
        debugexit_io_ops.write(&dev, 0, v, 1);
        assert_int_equal(status, 2 * v + 1);
    }
    assert_int_equal(calls, 256);
    debugexit_init(&other, NULL, NULL);
    check_round_trip(debugexit_class.state, &dev, &other);
}

static void reading_ends_nothing(void **state)
{
    (void)state;
    struct debugexit dev;
    calls = 0;
    debugexit_init(&dev, ended, NULL);
    (void)debugexit_io_ops.read(&dev, 0, 4);
    assert_int_equal(calls, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(written_value_becomes_an_odd_status),
        cmocka_unit_test(reading_ends_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
