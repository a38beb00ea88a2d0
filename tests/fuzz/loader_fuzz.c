/* SPDX-License-Identifier: MIT */
/*
 * Fuzzer of the kernel loaders: mutated images of every format must load or fail with a message, nothing else.
 *
 * Good images of all formats are mutated, half of the compressed ones before they are compressed, so that the layers
 * behind the decompressor get their share. Meant for an ASan and UBSan build.
 */
#include "machine/kernel.h"
#include "machine/virt_boot.h"
#include "support/kernel_image.h"
#include "fuzz.h"

enum { RAM = 16 << 20, LINK_AT = 0x400000, MUTATIONS_MAX = 8 };

static const struct mem_range map[] = {
    { 0, 0x9f000, MEM_TYPE_RAM },
    { 0x9f000, 0x61000, MEM_TYPE_RESERVED },
    { 0x100000, RAM - 0x100000, MEM_TYPE_RAM },
};
static const enum compression compressions[] = { COMPRESSION_GZIP, COMPRESSION_XZ, COMPRESSION_LZ4, COMPRESSION_ZSTD };

static uint32_t below(struct fuzz *f, uint32_t n)
{
    return n ? fuzz_below(f, n) : 0;
}

static uint32_t interesting(struct fuzz *f)
{
    static const uint32_t values[] = { 0,       1,          4,          7,          0x7f,       0x80,      0xff,
                                       0x1000,  0x7fff,     0xffff,     0x10000,    0x100000,   LINK_AT,   RAM,
                                       RAM - 1, 0x7fffffff, 0x80000000, 0xfffff000, 0xfffffffc, 0xffffffff };
    return values[below(f, ARRAY_SIZE(values))];
}

/* A position, more likely in one of the headers than in the rest. */
static size_t position(struct fuzz *f, size_t len)
{
    static const size_t regions[][2] = { { 0, 64 }, { 64, 240 }, { IMAGE_MB_AT, 96 }, { 0x1f0, 0x80 }, { 1024 + 64, 64 } };
    const unsigned r = below(f, 2 * ARRAY_SIZE(regions));
    size_t at = r < ARRAY_SIZE(regions) ? regions[r][0] + below(f, regions[r][1]) : below(f, len);
    return at < len ? at : below(f, len);
}

static void mutate_once(struct fuzz *f, struct blob *b)
{
    const size_t at = position(f, b->len);
    const uint32_t value = below(f, 2) ? interesting(f) : (uint32_t)fuzz_u64(f);
    switch (below(f, 6)) {
    case 0: b->data[at] ^= 1 << below(f, 8); break;
    case 1: b->data[at] = value; break;
    case 2: memcpy(b->data + at, &value, MIN(sizeof(value), b->len - at)); break;
    case 3: b->data[at] += below(f, 2) ? 1 : -1; break;
    case 4: memmove(b->data + at, b->data + position(f, at + 1), MIN((size_t)below(f, 64), b->len - at)); break;
    case 5: b->len = below(f, 8) ? b->len : at + 1; break;
    }
}

static void mutate(struct fuzz *f, struct blob *b)
{
    for (unsigned n = below(f, MUTATIONS_MAX + 1); n > 0 && b->len; n--)
        mutate_once(f, b);
}

static struct blob seed_elf(struct fuzz *f)
{
    static const uint8_t code[3000] = "KERNEL";
    const bool is_32 = below(f, 3) == 0;
    const struct image_elf e = {
        .is_32 = is_32,
        .entry = LINK_AT + 16,
        .vaddr = is_32 ? LINK_AT : 0xffffffff81000000,
        .paddr = LINK_AT,
        .code = code,
        .code_len = sizeof(code),
        .mem_size = 0x3000,
        .pvh_entry = below(f, 2) ? LINK_AT + 32 : 0,
        .multiboot = below(f, 2),
        .mb_flags = below(f, 4) ? 3 : 0x10003,
    };
    return image_elf(&e);
}

static struct blob seed_multiboot(void)
{
    const uint32_t header[] = { 0x1badb002, 0x10003, -(0x1badb002 + 0x10003), 0x200008, 0x200000, 0, 0x203000, 0x200020 };
    struct blob b = { 0 };
    image_poke(&b, 16, header, sizeof(header));
    image_poke(&b, 400, "the end", 8);
    return b;
}

static struct blob make_image(struct fuzz *f)
{
    const unsigned kind = below(f, 8);
    if (kind == 0)
        return seed_multiboot();
    struct blob elf = seed_elf(f);
    if (kind <= 3)
        return elf;
    if (below(f, 2))
        mutate(f, &elf);
    struct blob packed = { 0 };
    image_compress(&packed, compressions[below(f, ARRAY_SIZE(compressions))], elf.data, elf.len);
    blob_done(&elf);
    if (kind == 4)
        return packed;
    struct blob bz = image_bzimage(&packed);
    blob_done(&packed);
    return bz;
}

/* The image in memory of its own, with no slack behind the end. */
static uint8_t *exact_copy(const struct blob *image)
{
    uint8_t *exact = malloc(image->len ? image->len : 1);
    if (image->len)
        memcpy(exact, image->data, image->len);
    return exact;
}

static void check(const struct fuzz *f, int r, bool sane, const struct error *err)
{
    if (r <= 0 && (r == 0 || (err->code == r && err->msg[0])) && (r < 0 || sane))
        return;
    printf("case %lu: result %d with message '%s'\n", (unsigned long)f->cases, r, err->msg);
    abort();
}

/* A Linux Image of riscv64, or one in an EFI zboot image, or an ELF file. */
static struct blob make_riscv_image(struct fuzz *f)
{
    static const uint8_t header[64] = { [10] = 0x20, [17] = 0x40, [32] = 2,   [48] = 'R', 'I', 'S',
                                        'C',         'V',         [56] = 'R', 'S',        'C', 5 };
    struct blob image = { 0 }, packed = { 0 }, zboot = { 0 };
    if (below(f, 3) == 0) {
        struct blob elf = seed_elf(f);
        elf.data[18] = 243; /* EM_RISCV */
        return elf;
    }
    image_poke(&image, 0, header, sizeof(header));
    image_poke(&image, 3000, "the end", 8);
    if (below(f, 2))
        mutate(f, &image);
    if (below(f, 2) || image.len == 0)
        return image;
    image_compress(&packed, compressions[below(f, ARRAY_SIZE(compressions))], image.data, image.len);
    const uint32_t place[] = { 56, (uint32_t)packed.len };
    image_poke(&zboot, 0, "MZ\0\0zimg", 8);
    image_poke(&zboot, 8, place, sizeof(place));
    image_poke(&zboot, 56, packed.data, packed.len);
    blob_done(&image);
    blob_done(&packed);
    return zboot;
}

static bool run_riscv(struct fuzz *f, struct gmem *gm)
{
    struct virt_kernel kernel = { 0 };
    struct error err = { 0 };
    struct blob image = make_riscv_image(f);
    mutate(f, &image);
    uint8_t *exact = exact_copy(&image);
    int r = below(f, 4) ? virt_load_kernel(gm, 0, below(f, 4) == 0, exact, image.len, &kernel, &err)
                        : virt_load_firmware(gm, 0, exact, image.len, &kernel, &err);
    check(f, r,
          kernel.extent.start < kernel.extent.end && kernel.extent.end <= RAM && kernel.entry >= kernel.extent.start
              && kernel.entry < kernel.extent.end,
          &err);
    free(exact);
    blob_done(&image);
    return r == 0;
}

/* Loads one image; true when the loader took it. */
static bool run_x86(struct fuzz *f, struct gmem *gm)
{
    static const struct kernel_module modules[] = { { "module one", 10, "arg" }, { "two", 3, NULL } };
    const struct kernel_args args = {
        .cmdline = "console=ttyS0",
        .map = map,
        .nr_map = ARRAY_SIZE(map),
        .modules = modules,
        .nr_modules = below(f, 3),
        .protocol = below(f, 3) ? KERNEL_PROTOCOL_AUTO : (enum kernel_protocol)below(f, 4),
    };
    struct x86_boot boot;
    struct error err = { 0 };
    struct blob image = make_image(f);
    mutate(f, &image);
    uint8_t *exact = exact_copy(&image);
    int r = kernel_load(gm, exact, image.len, &args, &boot, &err);
    check(f, r, r < 0 || boot.mode != X86_BOOT_FLAT32 || boot.entry <= UINT32_MAX, &err);
    free(exact);
    blob_done(&image);
    return r == 0;
}

int main(int argc, char **argv)
{
    struct fuzz f;
    struct gmem gm;
    uint64_t loaded = 0;
    fuzz_start(&f, argc, argv, 10);
    if (gmem_init(&gm, RAM, NULL) < 0 || gmem_add_slot(&gm, 0, RAM, 0, NULL) < 0)
        return 1;
    while (fuzz_more(&f))
        loaded += below(&f, 3) ? run_x86(&f, &gm) : run_riscv(&f, &gm);
    printf("%lu images loaded\n", (unsigned long)loaded);
    gmem_done(&gm);
    return loaded == 0 || loaded >= f.cases - 1; /* neither would test anything */
}
