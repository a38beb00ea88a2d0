/* SPDX-License-Identifier: MIT */
/*
 * Implementation of kernel recognition: tries the formats in order and hands on to their loaders.
 */
#include "machine/kernel.h"

#include "base/checked.h"
#include "machine/bzimage.h"
#include "machine/decompress.h"
#include "machine/elfkernel.h"
#include "machine/linux64.h"
#include "machine/multiboot.h"
#include "machine/pvh.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* Kernel formats of other machines, to be named in the message. */
struct foreign_magic {
    unsigned at;
    const char *magic; /* 4 bytes */
    const char *name;
};

static const struct foreign_magic foreign_magics[] = {
    { 56, "ARM\x64", "an AArch64 Linux Image" },       { 56, "RSC\x05", "a RISC-V Linux Image" },
    { 36, "\x18\x28\x6f\x01", "a 32-bit ARM zImage" }, { 4, "zimg", "an EFI zboot image (AArch64, RISC-V or LoongArch Linux)" },
    { 0, "\x27\x05\x19\x56", "a U-Boot image" },       { 0, "\xd0\x0d\xfe\xed", "a flattened device tree or FIT image" },
};

static int unknown_format(const uint8_t *data, size_t len, struct error *err)
{
    for (size_t i = 0; i < ARRAY_SIZE(foreign_magics); i++) {
        const struct foreign_magic *f = &foreign_magics[i];
        if (len >= f->at + 4 && memcmp(data + f->at, f->magic, 4) == 0)
            return error_set(err, -ENOEXEC, "%s, not a kernel for x86-64", f->name);
    }
    return error_set(err, -ENOEXEC, "not a kernel: no bzImage, ELF or Multiboot header found in %zu bytes", len);
}

static int load_pvh(struct gmem *gm, const struct elfkernel *elf, const struct kernel_args *args, struct x86_boot *ret_boot,
                    struct error *err)
{
    if (!elf->has_pvh)
        return error_set(err, -ENOTSUP, "it has no PVH entry note");
    if (elf->pvh_entry < elf->extent.start || elf->pvh_entry >= elf->extent.end || elf->pvh_entry > UINT32_MAX)
        return error_set(err, -ENOEXEC, "its PVH entry %#" PRIx64 " is outside of the kernel", elf->pvh_entry);
    int r = elfkernel_load(gm, elf, args->map, args->nr_map, err);
    return r < 0 ? r : pvh_setup(gm, args, &elf->extent, elf->pvh_entry, ret_boot, err);
}

static int load_linux64(struct gmem *gm, const struct elfkernel *elf, const struct setup_header *header,
                        const struct kernel_args *args, struct x86_boot *ret_boot, struct error *err)
{
    gpa_t entry;
    if (!elf->is_64)
        return error_set(err, -ENOEXEC, "a 32-bit x86 kernel: no 64-bit entry%s",
                         header ? "" : ", no PVH note and no Multiboot header");
    if (elf->is_user_program || !elf->is_executable)
        return error_set(err, -ENOEXEC, "an ELF program or library for user space, not a kernel");
    int r = elfkernel_entry(elf, &entry, err);
    if (r >= 0)
        r = elfkernel_load(gm, elf, args->map, args->nr_map, err);
    return r < 0 ? r : linux64_setup(gm, header, args, &elf->extent, entry, ret_boot, err);
}

static int load_bzimage(struct gmem *gm, const void *image, size_t len, const struct kernel_args *args, struct x86_boot *ret_boot,
                        struct error *err)
{
    struct bzimage bz;
    struct blob vmlinux = { 0 };
    struct elfkernel elf;
    if (args->protocol == KERNEL_PROTOCOL_MULTIBOOT)
        return error_set(err, -ENOTSUP, "a bzImage has no Multiboot header");
    int r = bzimage_parse(image, len, &bz, err);
    if (r >= 0)
        r = bzimage_unpack(&bz, KERNEL_SIZE_MAX, &vmlinux, err);
    if (r < 0)
        return r;
    r = elfkernel_parse(vmlinux.data, vmlinux.len, &elf, err);
    if (r < 0)
        (void)error_prefix(err, "bzImage payload"); /* returns r again */
    else if (args->protocol == KERNEL_PROTOCOL_PVH)
        r = load_pvh(gm, &elf, args, ret_boot, err);
    else
        r = load_linux64(gm, &elf, &bz.header, args, ret_boot, err);
    blob_done(&vmlinux);
    return r;
}

static int load_elf(struct gmem *gm, const void *image, size_t len, const struct kernel_args *args, struct x86_boot *ret_boot,
                    struct error *err)
{
    struct elfkernel elf;
    struct multiboot_header mb;
    int r = elfkernel_parse(image, len, &elf, err);
    if (r < 0)
        return r;
    const bool has_mb = multiboot_find(image, len, &mb);
    switch (args->protocol) {
    case KERNEL_PROTOCOL_AUTO: break;
    case KERNEL_PROTOCOL_LINUX64: return load_linux64(gm, &elf, NULL, args, ret_boot, err);
    case KERNEL_PROTOCOL_PVH: return load_pvh(gm, &elf, args, ret_boot, err);
    case KERNEL_PROTOCOL_MULTIBOOT:
        if (!has_mb)
            return error_set(err, -ENOTSUP, "it has no Multiboot header");
        return multiboot_load(gm, image, len, &mb, &elf, args, ret_boot, err);
    }
    if (elf.has_pvh)
        return load_pvh(gm, &elf, args, ret_boot, err);
    if (has_mb)
        return multiboot_load(gm, image, len, &mb, &elf, args, ret_boot, err);
    return load_linux64(gm, &elf, NULL, args, ret_boot, err);
}

/* An image that is not compressed as a whole. */
static int load_plain(struct gmem *gm, const void *image, size_t len, const struct kernel_args *args, struct x86_boot *ret_boot,
                      struct error *err)
{
    struct multiboot_header mb;
    if (bzimage_detect(image, len))
        return load_bzimage(gm, image, len, args, ret_boot, err);
    if (elfkernel_detect(image, len))
        return load_elf(gm, image, len, args, ret_boot, err);
    if (!multiboot_find(image, len, &mb))
        return unknown_format(image, len, err);
    return multiboot_load(gm, image, len, &mb, NULL, args, ret_boot, err);
}

int kernel_load(struct gmem *gm, const void *image, size_t len, const struct kernel_args *args, struct x86_boot *ret_boot,
                struct error *err)
{
    struct kernel_args a = *args;
    a.cmdline = args->cmdline ? args->cmdline : "";
    if (len == 0)
        return error_set(err, -ENOEXEC, "empty");
    if (a.nr_modules > KERNEL_MODULES_MAX)
        return error_set(err, -E2BIG, "%u initrds or modules, at most %d are possible", a.nr_modules, KERNEL_MODULES_MAX);
    int r = x86_boot_check_map(a.map, a.nr_map, err);
    if (r < 0)
        return r;
    if (compression_detect(image, len) == COMPRESSION_NONE)
        return load_plain(gm, image, len, &a, ret_boot, err);
    struct blob plain;
    r = decompress(image, len, KERNEL_SIZE_MAX, &plain, err);
    if (r < 0)
        return r;
    r = load_plain(gm, plain.data, plain.len, &a, ret_boot, err);
    blob_done(&plain);
    return r;
}

int kernel_load_file(struct gmem *gm, const char *path, const struct kernel_args *args, struct x86_boot *ret_boot,
                     struct error *err)
{
    struct blob image;
    int r = blob_read_file(path, KERNEL_SIZE_MAX, &image, err);
    if (r < 0)
        return error_prefix(err, "kernel");
    r = kernel_load(gm, image.data, image.len, args, ret_boot, err);
    blob_done(&image);
    return r < 0 ? error_prefix(err, "kernel '%s'", path) : r;
}
