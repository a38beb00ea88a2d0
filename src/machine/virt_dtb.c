/* SPDX-License-Identifier: MIT */
/*
 * Implementation of the user's device tree, by libfdt, which checks the whole of it before anything is read.
 */
#include "machine/virt_dtb.h"

#include <errno.h>
#include <inttypes.h>
#include <libfdt.h>
#include <string.h>

#include "base/checked.h"
#include "machine/virt.h"

/* The number in so many cells, at most two. */
static uint64_t join(const fdt32_t *cell, int nr)
{
    uint64_t v = 0;
    for (int k = 0; k < nr; k++)
        v = v << 32 | fdt32_ld(cell + k);
    return v;
}

/* That all ranges of a memory node lie in the machine's memory. */
static int check_memory(const void *tree, int node, const struct virt_fdt_args *args, struct error *err)
{
    const int address = fdt_address_cells(tree, 0), size = fdt_size_cells(tree, 0);
    int len;
    const fdt32_t *reg = fdt_getprop(tree, node, "reg", &len);
    const char *name = fdt_get_name(tree, node, NULL);
    if (address < 1 || address > 2 || size < 1 || size > 2)
        return error_set(err, -EINVAL, "its root has %d address and %d size cells, not 1 or 2", address, size);
    const int row = address + size;
    const uint64_t end = args->ram + args->memory;
    if (!reg || len <= 0 || len % (row * (int)sizeof(*reg)))
        return error_set(err, -EINVAL, "'%.64s' says in no way where its memory is (reg)", name);
    for (; len > 0; reg += row, len -= row * (int)sizeof(*reg)) {
        const uint64_t base = join(reg, address), bytes = join(reg + address, size);
        if (base < VIRT_RAM || base > end || bytes > end - base)
            return error_set(err, -EINVAL,
                             "'%.64s' has %#" PRIx64 " bytes at %#" PRIx64 ", the machine's memory is from %#lx to %#" PRIx64
                             " (see --memory)",
                             name, bytes, base, VIRT_RAM, end - 1);
    }
    return 0;
}

static int check(const void *tree, const struct virt_fdt_args *args, struct error *err)
{
    int node = -1, found = 0;
    while ((node = fdt_node_offset_by_prop_value(tree, node, "device_type", "memory", sizeof("memory"))) >= 0) {
        int r = check_memory(tree, node, args, err);
        if (r < 0)
            return r;
        found++;
    }
    if (!found)
        return error_set(err, -EINVAL, "it has no memory (a node with device_type = \"memory\")");
    if (fdt_path_offset(tree, "/cpus") < 0)
        return error_set(err, -EINVAL, "it has no /cpus");
    return 0;
}

static int choose(void *tree, const struct virt_fdt_args *args)
{
    int node = fdt_path_offset(tree, "/chosen");
    if (node == -FDT_ERR_NOTFOUND)
        node = fdt_add_subnode(tree, 0, "chosen");
    if (node < 0)
        return node;
    int r = fdt_setprop_string(tree, node, "bootargs", args->cmdline);
    if (args->initrd == args->initrd_end) {
        (void)fdt_delprop(tree, node, "linux,initrd-start"); /* there is none, whatever it said: fine if it said nothing */
        (void)fdt_delprop(tree, node, "linux,initrd-end");
        return r;
    }
    if (r == 0)
        r = fdt_setprop_u64(tree, node, "linux,initrd-start", args->initrd);
    return r == 0 ? fdt_setprop_u64(tree, node, "linux,initrd-end", args->initrd_end) : r;
}

int virt_dtb_complete(const void *file, size_t len, const struct virt_fdt_args *args, void *buf, size_t cap, size_t *ret_size,
                      struct error *err)
{
    enum { VERSION_MIN = 16 }; /* libfdt's check of what is older follows a null pointer (1.6.1); Linux takes none, either */
    int r = len < sizeof(struct fdt_header) ? -FDT_ERR_TRUNCATED : 0;
    if (r == 0 && fdt_magic(file) == FDT_MAGIC && fdt_version(file) < VERSION_MIN)
        r = -FDT_ERR_BADVERSION;
    if (r == 0)
        r = fdt_check_full(file, len);
    if (r < 0)
        return error_set(err, -EINVAL, "not a flattened device tree of %zu bytes (%s)", len, fdt_strerror(r));
    r = fdt_open_into(file, buf, (int)MIN(cap, (size_t)INT32_MAX));
    if (r == 0) {
        int bad = check(buf, args, err);
        if (bad < 0)
            return bad;
        r = choose(buf, args);
    }
    if (r == 0)
        r = fdt_pack(buf);
    if (r == -FDT_ERR_NOSPACE)
        return error_set(err, -E2BIG, "it does not fit into %zu bytes", cap);
    if (r < 0)
        return error_set(err, -EINVAL, "a broken device tree (%s)", fdt_strerror(r));
    *ret_size = fdt_totalsize(buf);
    return 0;
}
