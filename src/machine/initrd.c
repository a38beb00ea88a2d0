/* SPDX-License-Identifier: MIT */
/*
 * Implementation of initrd placement.
 */
#include "machine/initrd.h"

#include "base/checked.h"

#include <errno.h>
#include <string.h>

enum { CPIO_ALIGN = 4 };

static int total_size(const struct kernel_args *args, uint64_t *ret_size, struct error *err)
{
    uint64_t size = 0;
    for (unsigned i = 0; i < args->nr_modules; i++) {
        if (ckd_add(&size, ALIGN_UP(size, CPIO_ALIGN), args->modules[i].len))
            return error_set(err, -ENOMEM, "the initrd is too large");
    }
    *ret_size = size;
    return 0;
}

int initrd_load(struct gmem *gm, const struct kernel_args *args, uint64_t limit, const struct load_extent *kernel,
                struct load_extent *ret_initrd, struct error *err)
{
    uint64_t size = 0;
    gpa_t at = 0;
    int r = total_size(args, &size, err);
    if (r < 0)
        return r;
    if (size && x86_boot_place_high(args->map, args->nr_map, size, limit, kernel, &at) < 0)
        return error_set(
            err, -ENOMEM,
            "the initrd of %ju bytes does not fit beside the kernel into RAM below %#jx (give the machine more memory)",
            (uintmax_t)size, (uintmax_t)MIN(limit, x86_boot_low_ram_end(args->map, args->nr_map)));
    uint64_t offset = 0;
    for (unsigned i = 0; i < args->nr_modules; i++) {
        offset = ALIGN_UP(offset, CPIO_ALIGN);
        if (args->modules[i].len && gmem_write(gm, at + offset, args->modules[i].data, args->modules[i].len) < 0)
            return error_set(err, -ENOMEM, "no RAM at %#jx for the initrd", (uintmax_t)(at + offset));
        offset += args->modules[i].len;
    }
    *ret_initrd = (struct load_extent){ .start = at, .end = at + size };
    return 0;
}
