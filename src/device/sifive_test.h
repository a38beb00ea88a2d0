/* SPDX-License-Identifier: MIT */
/*
 * SiFive's test finisher: a register whose writes end or reset the machine; device trees call it a syscon.
 *
 * 0x5555 ends it well, 0x3333 with the status in bits 31:16, 0x7777 resets. Anything else does nothing.
 * Spec: QEMU docs/system/riscv/virt, "sifive,test1"
 */
#ifndef DOPPEL_DEVICE_SIFIVE_TEST_H
#define DOPPEL_DEVICE_SIFIVE_TEST_H

#include "core/bus.h"
#include "core/device.h"

enum { SIFIVE_TEST_IO_SIZE = 0x1000 };
enum sifive_test_end { SIFIVE_TEST_PASS = 0x5555, SIFIVE_TEST_FAIL = 0x3333, SIFIVE_TEST_RESET = 0x7777 };

/* status: of SIFIVE_TEST_FAIL, 0 to 65535. On a vCPU thread with the machine's lock held; must not block. */
typedef void (*sifive_test_fn)(void *opaque, enum sifive_test_end end, unsigned status);

struct sifive_test {
    sifive_test_fn fn;
    void *opaque; /* borrowed (the machine) */
    struct guest_errors errors;
    uint32_t last; /* state: last value written */
};

extern const struct io_ops sifive_test_io_ops; /* SIFIVE_TEST_IO_SIZE bytes */
extern const struct device_class sifive_test_class;

void sifive_test_init(struct sifive_test *dev, sifive_test_fn fn, void *opaque);

#endif
