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

#define RISCV_RAM 0x80000000UL

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

static struct blob seed_riscv(struct fuzz *f)
{
    static const uint8_t code[3000] = "KERNEL";
    if (below(f, 2)) {
        const struct image_elf e = {
            .machine = EM_RISCV,
            .entry = RISCV_RAM + 0x200010,
            .vaddr = 0xffffffff80000000,
            .paddr = RISCV_RAM + 0x200000,
            .code = code,
            .code_len = sizeof(code),
            .mem_size = 0x3000,
        };
        return image_elf(&e);
    }
    const struct {
        uint32_t code[2];
        uint64_t text_offset, image_size, flags;
        uint32_t version, reserved;
        uint64_t reserved2;
        char magic[8], magic2[4];
        uint32_t pe_offset;
    } header = { .text_offset = 0x200000, .image_size = 0x8000, .version = 2, .magic = "RISCV", .magic2 = { 'R', 'S', 'C', 5 } };
    struct blob b = { 0 };
    image_poke(&b, 0, &header, sizeof(header));
    image_poke(&b, 4000, "the end", 8);
    return b;
}

static struct blob make_riscv_image(struct fuzz *f)
{
    struct blob image = below(f, 16) ? seed_riscv(f) : make_image(f); /* or what is for another machine */
    if (below(f, 3))
        return image;
    if (below(f, 2))
        mutate(f, &image);
    struct blob packed = { 0 };
    image_compress(&packed, compressions[below(f, ARRAY_SIZE(compressions))], image.data, image.len);
    blob_done(&image);
    return packed;
}

static void check_riscv(const struct fuzz *f, struct gmem *gm, int r, gpa_t entry, const struct error *err)
{
    const char *why = r > 0 || (r < 0 && (err->code != r || !err->msg[0])) ? "no such result" : NULL;
    if (r == 0 && !gmem_pin(gm, entry, 1))
        why = "the entry is not in RAM";
    if (!why)
        return;
    printf("case %lu, riscv: %s: result %d, entry %#lx, message '%s'\n", (unsigned long)f->cases, why, r, (unsigned long)entry,
           err->msg);
    abort();
}

static bool run_riscv(struct fuzz *f, struct gmem *gm)
{
    struct error err = { 0 };
    gpa_t entry = 0;
    struct blob image = make_riscv_image(f);
    mutate(f, &image);
    uint8_t *exact = malloc(image.len ? image.len : 1);
    if (image.len)
        memcpy(exact, image.data, image.len);
    int r = virt_load_kernel(gm, RISCV_RAM, exact, image.len, &entry, &err);
    check_riscv(f, gm, r, entry, &err);
    free(exact);
    blob_done(&image);
    return r == 0;
}

/* Loads one image; true when the loader took it. */
static bool run_one(struct fuzz *f, struct gmem *gm)
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
    uint8_t *exact = malloc(image.len ? image.len : 1); /* no slack behind the end */
    if (image.len)
        memcpy(exact, image.data, image.len);
    int r = kernel_load(gm, exact, image.len, &args, &boot, &err);
    if (r > 0 || (r < 0 && (err.code != r || !err.msg[0]))
        || (r == 0 && boot.mode == X86_BOOT_FLAT32 && boot.entry > UINT32_MAX)) {
        printf("case %lu: result %d with message '%s'\n", (unsigned long)f->cases, r, err.msg);
        abort();
    }
    free(exact);
    blob_done(&image);
    return r == 0;
}

int main(int argc, char **argv)
{
    struct fuzz f;
    struct gmem gm, riscv;
    uint64_t loaded[2] = { 0 }, tried[2] = { 0 };
    fuzz_start(&f, argc, argv, 10);
    if (gmem_init(&gm, RAM, NULL) < 0 || gmem_add_slot(&gm, 0, RAM, 0, NULL) < 0)
        return 1;
    if (gmem_init(&riscv, RAM, NULL) < 0 || gmem_add_slot(&riscv, RISCV_RAM, RAM, 0, NULL) < 0)
        return 1;
    while (fuzz_more(&f)) {
        const bool other = below(&f, 3) == 0;
        tried[other]++;
        loaded[other] += other ? run_riscv(&f, &riscv) : run_one(&f, &gm);
    }
    printf("%lu of %lu images loaded, for riscv64 %lu of %lu\n", (unsigned long)loaded[0], (unsigned long)tried[0],
           (unsigned long)loaded[1], (unsigned long)tried[1]);
    gmem_done(&gm);
    gmem_done(&riscv);
    for (unsigned i = 0; i < 2; i++)
        if (loaded[i] == 0 || loaded[i] >= tried[i])
            return 1; /* neither would test anything */
    return 0;
}
