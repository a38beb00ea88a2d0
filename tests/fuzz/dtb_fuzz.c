/* SPDX-License-Identifier: MIT */
/*
 * Fuzzer of the user's device tree: a mutated one is completed, to a tree that is whole, or refused with a message.
 *
 * Mutations are of bytes, of numbers in the header and of tokens; a tree is also edited by libfdt first, so that those that are
 * taken differ. Meant for an ASan and UBSan build.
 */
#include <libfdt.h>

#include "base/checked.h"
#include "machine/virt.h"
#include "machine/virt_dtb.h"
#include "fuzz.h"

#include <string.h>

enum { FILE_MAX = 12 << 10, MUTATIONS_MAX = 4, HEADER = 40 };

static uint8_t tree[VIRT_FDT_MAX] __attribute__((aligned(8)));

static struct virt_fdt_args some_args(struct fuzz *f)
{
    return (struct virt_fdt_args){
        .profile = riscv_profile_default(),
        .harts = 1 + (unsigned)fuzz_below(f, 3),
        .ram = VIRT_RAM + (fuzz_below(f, 2) << 21),
        .memory = 16 << 20,
        .cmdline = fuzz_below(f, 2) ? "console=ttyS0" : "",
        .initrd = 0x80400000,
        .initrd_end = 0x80400000 + fuzz_below(f, 2) * 4096,
        .virtio = (unsigned)fuzz_below(f, 3),
        .pci = fuzz_below(f, 2),
    };
}

/* A tree by the board, with something of the user's. */
static size_t make(struct fuzz *f, uint8_t *file)
{
    static const char *const paths[] = { "/", "/chosen", "/cpus", "/soc", "/aliases", "/soc/plic@c000000" };
    struct virt_fdt_args args = some_args(f);
    size_t size;
    if (virt_fdt_build(&args, file, FILE_MAX, &size, NULL) < 0 || fdt_open_into(file, file, FILE_MAX) < 0)
        abort();
    if (fuzz_below(f, 2)) {
        const uint64_t reg[2] = { cpu_to_fdt64(VIRT_RAM + (fuzz_below(f, 20) << 20)), cpu_to_fdt64(fuzz_below(f, 20) << 20) };
        int node = fdt_node_offset_by_prop_value(file, -1, "device_type", "memory", 7);
        (void)fdt_setprop(file, node, "reg", reg, (int)fuzz_below(f, 5) * 4);
    }
    int node = fdt_path_offset(file, paths[fuzz_below(f, ARRAY_SIZE(paths))]);
    switch (fuzz_below(f, 4)) {
    case 0: (void)fdt_del_node(file, node); break;
    case 1: (void)fdt_setprop_u32(file, node, "#size-cells", (uint32_t)fuzz_below(f, 4)); break;
    case 2: (void)fdt_setprop_string(file, node, "device_type", "memory"); break;
    default: break;
    }
    if (fuzz_below(f, 2))
        (void)fdt_pack(file);
    return fdt_totalsize(file);
}

static void mutate(struct fuzz *f, uint8_t *file, size_t *len)
{
    static const uint32_t values[] = { 0, 1, 2, 3, 4, 9, 0x7fffffff, 0x80000000, 0xffffffff, FILE_MAX, 40, 16, 17 };
    const size_t at = fuzz_below(f, fuzz_below(f, 2) ? MIN(*len, (size_t)HEADER) : *len);
    const fdt32_t value = cpu_to_fdt32(values[fuzz_below(f, ARRAY_SIZE(values))]);
    const size_t some = fuzz_below(f, 64);
    switch (fuzz_below(f, 4)) {
    case 0: file[at] ^= (uint8_t)(1 << fuzz_below(f, 8)); break;
    case 1: memcpy(file + ALIGN_DOWN(at, 4), &value, MIN(sizeof(value), *len - ALIGN_DOWN(at, 4))); break;
    case 2: memmove(file + at, file + fuzz_below(f, at + 1), MIN(some, *len - at)); break;
    default: *len = fuzz_below(f, 8) ? *len : at; break;
    }
}

static bool one(struct fuzz *f)
{
    static uint8_t file[FILE_MAX] __attribute__((aligned(8)));
    struct virt_fdt_args args = some_args(f);
    struct error err = { 0 };
    size_t len = make(f, file), size = 0, cap = fuzz_below(f, 4) ? sizeof(tree) : fuzz_below(f, FILE_MAX);
    for (uint64_t n = fuzz_below(f, MUTATIONS_MAX + 1); n > 0 && len > 0; n--)
        mutate(f, file, &len);
    uint8_t *exact = malloc(len ? len : 1); /* no slack behind its end */
    memcpy(exact, file, len);
    int r = virt_dtb_complete(exact, len, &args, tree, cap, &size, &err);
    free(exact);
    if (r < 0 ? size || err.code != r || !err.msg[0] : size > cap || fdt_check_full(tree, size) != 0) {
        printf("FINDING: result %d, %zu bytes, message '%s'\n", r, size, err.msg);
        (void)fflush(stdout);
        abort();
    }
    return r == 0;
}

int main(int argc, char **argv)
{
    struct fuzz f;
    uint64_t taken = 0;
    fuzz_start(&f, argc, argv, 10);
    while (fuzz_more(&f))
        taken += one(&f);
    printf("%lu trees taken\n", (unsigned long)taken);
    return taken == 0 || taken >= f.cases - 1; /* neither would test anything */
}
