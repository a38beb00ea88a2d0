/* SPDX-License-Identifier: MIT */
/*
 * Laws of the console tap: transparent, remembers the last output, sees a panic however it is cut up.
 */
#include "machine/console.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static size_t put(struct chardev *dev, const char *text)
{
    return chardev_write(dev, (const uint8_t *)text, strlen(text));
}

static struct chardev *make(struct chardev *below)
{
    struct chardev *dev;
    assert_int_equal(console_new(below, &dev, NULL), 0);
    return dev;
}

static void a_panic_is_seen_wherever_the_text_is_cut(void **state)
{
    (void)state;
    static const char text[] = "[ 1.0] KKernel panic - not Kernel panic - not syncing: x";
    for (size_t cut = 0; cut < sizeof(text); cut++) {
        struct chardev *dev = make(NULL);
        assert_int_equal(chardev_write(dev, (const uint8_t *)text, cut), cut);
        assert_int_equal(put(dev, text + cut), strlen(text + cut));
        assert_true(console_saw_panic(dev));
        console_forget(dev);
        assert_false(console_saw_panic(dev));
        chardev_free(dev);
    }
}

static void other_text_is_no_panic(void **state)
{
    (void)state;
    struct chardev *dev = make(NULL);
    (void)put(dev, "Kernel panic - not synching\nkernel panic - not syncing\nKernel panic");
    assert_false(console_saw_panic(dev));
    assert_false(console_saw_panic(NULL));
    chardev_free(dev);
}

static void the_newest_output_is_kept(void **state)
{
    (void)state;
    struct chardev *dev = make(NULL);
    static char back[CONSOLE_KEEP + 1];
    (void)put(dev, "first");
    assert_int_equal(console_copy(dev, back, sizeof(back)), 5);
    assert_memory_equal(back, "first", 5);
    for (int i = 0; i < CONSOLE_KEEP / 10 + 100; i++)
        (void)put(dev, "0123456789");
    (void)put(dev, "end");
    size_t n = console_copy(dev, back, sizeof(back));
    assert_int_equal(n, CONSOLE_KEEP);
    assert_memory_equal(back + n - 8, "56789end", 8);
    assert_int_equal(console_copy(dev, back, 4), 4);
    assert_memory_equal(back, "9end", 4);
    chardev_free(dev);
}

static void notified(void *opaque)
{
    ++*(int *)opaque;
}

static void it_is_transparent_and_passes_back_pressure_on(void **state)
{
    (void)state;
    struct chardev *below;
    int calls = 0;
    assert_int_equal(chardev_buffer_new(8, &below, NULL), 0);
    struct chardev *dev = make(below);
    chardev_attach(dev, NULL, notified, &calls);
    assert_int_equal(put(dev, "0123456789"), 8);
    char back[16];
    assert_int_equal(console_copy(dev, back, sizeof(back)), 8); /* what was refused is not kept twice */
    assert_int_equal(chardev_buffer_take(below, back, sizeof(back)), 8);
    assert_memory_equal(back, "01234567", 8);
    int before = calls;
    assert_int_equal(chardev_buffer_feed(below, "in", 2), 2);
    assert_true(calls > before);
    assert_int_equal(chardev_readable(dev), 2);
    assert_int_equal(chardev_read(dev, (uint8_t *)back, sizeof(back)), 2);
    assert_memory_equal(back, "in", 2);
    chardev_free(dev);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_panic_is_seen_wherever_the_text_is_cut),
        cmocka_unit_test(other_text_is_no_panic),
        cmocka_unit_test(the_newest_output_is_kept),
        cmocka_unit_test(it_is_transparent_and_passes_back_pressure_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
