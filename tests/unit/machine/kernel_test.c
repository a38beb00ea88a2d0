/* SPDX-License-Identifier: MIT */
/*
 * Laws of the kernel loaders: where things land for each protocol, and what each bad image is called.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "machine/kernel.h"
#include "support/kernel_image.h"

#include <asm/bootparam.h>
#include <cmocka.h>

enum { RAM = 64 << 20, LINK_AT = 0x1000000 };

static const struct mem_range map[] = {
    { 0, 0x9f000, MEM_TYPE_RAM },
    { 0x9f000, 0x61000, MEM_TYPE_RESERVED },
    { 0x100000, RAM - 0x100000, MEM_TYPE_RAM },
};
static const uint8_t code[600] = "KERNEL";

struct fixture {
    struct gmem gm;
    struct x86_boot boot;
    struct error err;
    struct kernel_args args;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    assert_int_equal(gmem_init(&f->gm, RAM, NULL), 0);
    assert_int_equal(gmem_add_slot(&f->gm, 0, RAM, 0, NULL), 0);
    f->args = (struct kernel_args){ .cmdline = "console=ttyS0", .map = map, .nr_map = ARRAY_SIZE(map), .rsdp = 0xe0010 };
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    gmem_done(&f->gm);
    free(f);
    return 0;
}

static int load(struct fixture *f, const struct blob *image)
{
    /* an exact copy, so that the address sanitizer sees reads behind the end */
    uint8_t *exact = malloc(image->len ? image->len : 1);
    if (image->len)
        memcpy(exact, image->data, image->len);
    f->err = (struct error){ 0 };
    int r = kernel_load(&f->gm, exact, image->len, &f->args, &f->boot, &f->err);
    assert_true(r == 0 || (r < 0 && f->err.code == r && f->err.msg[0]));
    free(exact);
    return r;
}

/* Fails with `code` and a message that has `text` in it. Frees the image. */
static void expect_error(struct fixture *f, struct blob image, int error, const char *text)
{
    int r = load(f, &image);
    if (r != error || !strstr(f->err.msg, text))
        fail_msg("expected %d '%s', got %d '%s'", error, text, r, f->err.msg);
    blob_done(&image);
}

static struct blob bytes(const void *data, size_t len)
{
    struct blob b = { 0 };
    image_put(&b, data, len);
    return b;
}

static struct image_elf vmlinux(void)
{
    return (struct image_elf){ .entry = LINK_AT + 16,
                               .vaddr = 0xffffffff81000000,
                               .paddr = LINK_AT,
                               .code = code,
                               .code_len = sizeof(code),
                               .mem_size = 0x5000 };
}

static const void *at(struct fixture *f, gpa_t gpa, size_t len)
{
    const void *p = gmem_pin(&f->gm, gpa, len);
    assert_non_null(p);
    return p;
}

/* The parts of the 64-bit protocol every image must end up with. */
static const struct boot_params *check_linux64(struct fixture *f)
{
    assert_int_equal(f->boot.mode, X86_BOOT_LONG64);
    assert_int_equal(f->boot.entry, LINK_AT + 16);
    assert_memory_equal(at(f, LINK_AT, sizeof(code)), code, sizeof(code));
    const struct boot_params *bp = at(f, f->boot.rsi, sizeof(*bp));
    assert_int_equal(bp->hdr.header, 0x53726448);
    assert_int_equal(bp->hdr.type_of_loader, 0xff);
    assert_string_equal(at(f, bp->hdr.cmd_line_ptr, 14), "console=ttyS0");
    assert_int_equal(bp->acpi_rsdp_addr, 0xe0010);
    assert_int_equal(bp->e820_entries, ARRAY_SIZE(map));
    for (unsigned i = 0; i < ARRAY_SIZE(map); i++) {
        assert_int_equal(bp->e820_table[i].addr, map[i].base);
        assert_int_equal(bp->e820_table[i].size, map[i].size);
        assert_int_equal(bp->e820_table[i].type, map[i].type);
    }
    return bp;
}

/* Walks the identity tables for `address` as a CPU would. */
static uint64_t translate(struct fixture *f, uint64_t address)
{
    const uint64_t *pml4 = at(f, f->boot.cr3, 4096);
    assert_true(pml4[address >> 39 & 511] & 1);
    const uint64_t *pdpt = at(f, pml4[address >> 39 & 511] & 0xffffffffff000, 4096);
    assert_true(pdpt[address >> 30 & 511] & 1);
    const uint64_t *pd = at(f, pdpt[address >> 30 & 511] & 0xffffffffff000, 4096);
    const uint64_t pde = pd[address >> 21 & 511];
    assert_true((pde & 0x83) == 0x83);
    return (pde & 0xfffffffe00000) | (address & 0x1fffff);
}

static void vmlinux_is_entered_by_the_64_bit_protocol(void **state)
{
    struct fixture *f = *state;
    struct image_elf e = vmlinux();
    struct blob image = image_elf(&e);
    memset(gmem_pin(&f->gm, LINK_AT, 0x5000), 0xff, 0x5000);
    assert_int_equal(load(f, &image), 0);
    check_linux64(f);
    for (unsigned i = sizeof(code); i < 0x5000; i++)
        assert_int_equal(((const uint8_t *)at(f, LINK_AT, 0x5000))[i], 0);
    for (uint64_t a = 0; a < 4UL << 30; a += 0x12345678)
        assert_int_equal(translate(f, a), a);
    const uint64_t *gdt = at(f, f->boot.gdt_base, f->boot.gdt_limit + 1);
    assert_int_equal(gdt[X86_BOOT_CS / 8], 0x00af9b000000ffff);
    assert_int_equal(gdt[X86_BOOT_DS / 8], 0x00cf93000000ffff);
    blob_done(&image);
}

static void virtual_entry_is_translated(void **state)
{
    struct fixture *f = *state;
    struct image_elf e = vmlinux();
    e.entry = e.vaddr + 16;
    struct blob image = image_elf(&e);
    assert_int_equal(load(f, &image), 0);
    assert_int_equal(f->boot.entry, LINK_AT + 16);
    blob_done(&image);
}

static struct blob make_bzimage(enum compression c, const struct image_elf *e)
{
    struct blob elf = image_elf(e), packed = { 0 };
    image_compress(&packed, c, elf.data, elf.len);
    struct blob bz = image_bzimage(&packed);
    blob_done(&elf);
    blob_done(&packed);
    return bz;
}

static void bzimage_of_every_compression_loads(void **state)
{
    static const enum compression all[] = { COMPRESSION_GZIP, COMPRESSION_XZ, COMPRESSION_LZ4, COMPRESSION_ZSTD };
    struct fixture *f = *state;
    struct image_elf e = vmlinux();
    for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
        gmem_reset(&f->gm);
        struct blob image = make_bzimage(all[i], &e);
        if (load(f, &image) < 0)
            fail_msg("%s", f->err.msg);
        const struct boot_params *bp = check_linux64(f);
        assert_int_equal(bp->hdr.version, 0x20f);
        assert_int_equal(bp->hdr.ramdisk_size, 0);
        blob_done(&image);
    }
}

static void compressed_vmlinux_loads(void **state)
{
    struct fixture *f = *state;
    struct image_elf e = vmlinux();
    struct blob elf = image_elf(&e), packed = { 0 };
    image_gzip(&packed, elf.data, elf.len);
    assert_int_equal(load(f, &packed), 0);
    check_linux64(f);
    blob_done(&elf);
    blob_done(&packed);
}

static void initrds_lie_behind_each_other_at_the_top(void **state)
{
    struct fixture *f = *state;
    static const uint8_t one[4097] = "one", two[100] = "two";
    const struct kernel_module modules[] = { { one, sizeof(one), NULL }, { two, sizeof(two), NULL } };
    f->args.modules = modules;
    f->args.nr_modules = 2;
    struct image_elf e = vmlinux();
    struct blob image = make_bzimage(COMPRESSION_LZ4, &e);
    assert_int_equal(load(f, &image), 0);
    const struct boot_params *bp = check_linux64(f);
    assert_int_equal(bp->hdr.ramdisk_image, RAM - 0x2000);
    assert_int_equal(bp->hdr.ramdisk_size, 4100 + 100);
    assert_memory_equal(at(f, bp->hdr.ramdisk_image, 4097), one, 4097);
    assert_memory_equal(at(f, bp->hdr.ramdisk_image + 4100, 100), two, 100);
    blob_done(&image);
}

static void initrd_stays_below_the_kernels_limit(void **state)
{
    struct fixture *f = *state;
    const struct kernel_module module = { code, sizeof(code), NULL };
    f->args.modules = &module;
    f->args.nr_modules = 1;
    struct image_elf e = vmlinux();
    struct blob image = make_bzimage(COMPRESSION_GZIP, &e);
    image_poke32(&image, 0x22c, LINK_AT + 0x2fff); /* inside the kernel: the next free place is below it */
    assert_int_equal(load(f, &image), 0);
    assert_int_equal(check_linux64(f)->hdr.ramdisk_image, LINK_AT - 0x1000);
    blob_done(&image);
}

static void initrd_that_does_not_fit_is_named(void **state)
{
    struct fixture *f = *state;
    const struct kernel_module module = { code, RAM, NULL }; /* never read: it does not fit */
    f->args.modules = &module;
    f->args.nr_modules = 1;
    struct image_elf e = vmlinux();
    expect_error(f, make_bzimage(COMPRESSION_GZIP, &e), -ENOMEM, "initrd");
    e.is_32 = true;
    e.pvh_entry = LINK_AT;
    expect_error(f, image_elf(&e), -ENOMEM, "initrd");
}

static void command_line_limit_is_the_kernels(void **state)
{
    struct fixture *f = *state;
    struct image_elf e = vmlinux();
    char *line = malloc(2049);
    memset(line, 'x', 2048);
    line[2048] = '\0';
    f->args.cmdline = line;
    expect_error(f, make_bzimage(COMPRESSION_GZIP, &e), -E2BIG, "command line");
    line[2047] = '\0';
    struct blob image = make_bzimage(COMPRESSION_GZIP, &e);
    assert_int_equal(load(f, &image), 0);
    assert_string_equal(at(f, X86_BOOT_CMDLINE, 2048), line);
    blob_done(&image);
    free(line);
}

static void pvh_gets_start_info(void **state)
{
    struct fixture *f = *state;
    const struct kernel_module module = { "initrd", 6, NULL };
    f->args.modules = &module;
    f->args.nr_modules = 1;
    struct image_elf e = vmlinux();
    e.pvh_entry = LINK_AT + 0x20;
    struct blob image = image_elf(&e);
    assert_int_equal(load(f, &image), 0);
    assert_int_equal(f->boot.mode, X86_BOOT_FLAT32);
    assert_int_equal(f->boot.entry, LINK_AT + 0x20);
    const uint32_t *info = at(f, f->boot.rbx, 56);
    assert_int_equal(info[0], 0x336ec578);
    assert_int_equal(info[1], 1);
    assert_int_equal(info[3], 1);
    const uint64_t *module_entry = at(f, info[4], 32);
    assert_memory_equal(at(f, module_entry[0], module_entry[1]), "initrd", 6);
    assert_string_equal(at(f, info[6], 14), "console=ttyS0");
    assert_int_equal(info[8], 0xe0010);
    assert_int_equal(info[12], ARRAY_SIZE(map));
    const struct {
        uint64_t addr, size;
        uint32_t type, reserved;
    } *m = at(f, info[10], 24 * ARRAY_SIZE(map));
    for (unsigned i = 0; i < ARRAY_SIZE(map); i++)
        assert_true(m[i].addr == map[i].base && m[i].size == map[i].size && m[i].type == map[i].type);
    const uint64_t *gdt = at(f, f->boot.gdt_base, f->boot.gdt_limit + 1);
    assert_int_equal(gdt[X86_BOOT_CS / 8], 0x00cf9b000000ffff);
    blob_done(&image);
}

static void protocol_can_be_chosen(void **state)
{
    struct fixture *f = *state;
    struct image_elf e = vmlinux();
    e.pvh_entry = LINK_AT + 0x20;
    f->args.protocol = KERNEL_PROTOCOL_LINUX64;
    struct blob image = image_elf(&e);
    assert_int_equal(load(f, &image), 0);
    assert_int_equal(f->boot.mode, X86_BOOT_LONG64);
    blob_done(&image);
    f->args.protocol = KERNEL_PROTOCOL_PVH;
    image = make_bzimage(COMPRESSION_ZSTD, &e);
    assert_int_equal(load(f, &image), 0);
    assert_int_equal(f->boot.mode, X86_BOOT_FLAT32);
    blob_done(&image);
    e.pvh_entry = 0;
    expect_error(f, image_elf(&e), -ENOTSUP, "PVH");
    f->args.protocol = KERNEL_PROTOCOL_MULTIBOOT;
    expect_error(f, image_elf(&e), -ENOTSUP, "Multiboot");
}

static void check_multiboot(struct fixture *f, gpa_t load_at)
{
    assert_int_equal(f->boot.mode, X86_BOOT_FLAT32);
    assert_int_equal(f->boot.rax, 0x2badb002);
    const uint32_t *info = at(f, f->boot.rbx, 116);
    assert_int_equal(info[0], 0x24d); /* memory, command line, modules, map, loader name */
    assert_int_equal(info[1], 0x9f000 / 1024);
    assert_int_equal(info[2], (RAM - 0x100000) / 1024);
    assert_string_equal(at(f, info[4], 14), "console=ttyS0");
    assert_int_equal(info[5], 2);
    const uint32_t *module = at(f, info[6], 32);
    assert_true(module[0] >= load_at && module[0] % 4096 == 0);
    assert_memory_equal(at(f, module[0], module[1] - module[0]), "first", 5);
    assert_string_equal(at(f, module[2], 4), "a b");
    assert_memory_equal(at(f, module[4], module[5] - module[4]), "second", 6);
    assert_string_equal(at(f, module[6], 1), "");
    assert_int_equal(info[11], 24 * ARRAY_SIZE(map));
    const uint8_t *entry = at(f, info[12], info[11]);
    for (unsigned i = 0; i < ARRAY_SIZE(map); i++, entry += 24) {
        const uint32_t size = 20, type = map[i].type;
        assert_memory_equal(entry, &size, 4);
        assert_memory_equal(entry + 4, &map[i].base, 8);
        assert_memory_equal(entry + 12, &map[i].size, 8);
        assert_memory_equal(entry + 20, &type, 4);
    }
}

static const struct kernel_module two_modules[] = { { "first", 5, "a b" }, { "second", 6, NULL } };

static struct image_elf multiboot_elf(void)
{
    return (struct image_elf){ .is_32 = true,
                               .entry = 0x100010,
                               .vaddr = 0x100000,
                               .paddr = 0x100000,
                               .code = code,
                               .code_len = sizeof(code),
                               .multiboot = true,
                               .mb_flags = 3 };
}

static void multiboot_elf_gets_information(void **state)
{
    struct fixture *f = *state;
    f->args.modules = two_modules;
    f->args.nr_modules = 2;
    struct image_elf e = multiboot_elf();
    struct blob image = image_elf(&e);
    assert_int_equal(load(f, &image), 0);
    assert_int_equal(f->boot.entry, 0x100010);
    assert_memory_equal(at(f, 0x100000, sizeof(code)), code, sizeof(code));
    check_multiboot(f, 0x100000 + sizeof(code));
    blob_done(&image);
}

/* A flat file with the header at 16 and address fields that load it from byte 8 on. */
static struct blob flat_multiboot(uint32_t load_end, uint32_t bss_end)
{
    const uint32_t header[] = { 0x1badb002, 0x10003, -(0x1badb002 + 0x10003), 0x200008, 0x200000, load_end, bss_end, 0x200020 };
    struct blob b = { 0 };
    image_poke(&b, 0, "12345678abcdefgh", 16);
    image_poke(&b, 16, header, sizeof(header));
    image_poke(&b, 100, "the end", 8);
    return b;
}

static void multiboot_address_fields_load_a_flat_file(void **state)
{
    struct fixture *f = *state;
    f->args.modules = two_modules;
    f->args.nr_modules = 2;
    struct blob image = flat_multiboot(0, 0x203000);
    memset(gmem_pin(&f->gm, 0x200000, 0x4000), 0xee, 0x4000);
    assert_int_equal(load(f, &image), 0);
    assert_int_equal(f->boot.entry, 0x200020);
    assert_memory_equal(at(f, 0x200000, 8), "abcdefgh", 8);
    assert_string_equal(at(f, 0x200000 + 92, 8), "the end");
    for (gpa_t a = 0x200000 + 100; a < 0x203000; a++)
        assert_int_equal(*(const uint8_t *)at(f, a, 1), 0);
    check_multiboot(f, 0x203000);
    blob_done(&image);
}

static void multiboot_bad_address_fields_are_refused(void **state)
{
    struct fixture *f = *state;
    expect_error(f, flat_multiboot(0x300000, 0), -ENOEXEC, "truncated");
    expect_error(f, flat_multiboot(0x100000, 0), -ENOEXEC, "before it starts");
    expect_error(f, flat_multiboot(0, 0x200001), -ENOEXEC, "bss");
    expect_error(f, flat_multiboot(0, 0xfffff000), -ENOMEM, "RAM");
}

static void multiboot_features_it_does_not_have_are_refused(void **state)
{
    struct fixture *f = *state;
    struct image_elf e = multiboot_elf();
    e.mb_flags = 0x13;
    expect_error(f, image_elf(&e), -ENOTSUP, "0x10");
    e = vmlinux();
    e.multiboot = true;
    expect_error(f, image_elf(&e), -ENOEXEC, "64-bit ELF");
}

static void foreign_isa_is_named(void **state)
{
    static const struct {
        uint16_t machine;
        bool is_32;
        const char *text;
    } foreign[] = {
        { EM_AARCH64, false, "AArch64" },
        { EM_RISCV, false, "RISC-V" },
        { EM_ARM, true, "32-bit ARM" },
        { 999, false, "999" },
    };
    struct fixture *f = *state;
    for (size_t i = 0; i < ARRAY_SIZE(foreign); i++) {
        struct image_elf e = vmlinux();
        e.machine = foreign[i].machine;
        e.is_32 = foreign[i].is_32;
        expect_error(f, image_elf(&e), -ENOEXEC, foreign[i].text);
        expect_error(f, make_bzimage(COMPRESSION_GZIP, &e), -ENOEXEC, foreign[i].text);
    }
    struct image_elf e = vmlinux();
    struct blob big_endian = image_elf(&e);
    big_endian.data[EI_DATA] = ELFDATA2MSB;
    big_endian.data[18] = 0;
    big_endian.data[19] = EM_PPC64;
    expect_error(f, big_endian, -ENOEXEC, "PowerPC");
    struct blob arm64 = bytes(code, sizeof(code));
    image_poke(&arm64, 56, "ARM\x64", 4);
    expect_error(f, arm64, -ENOEXEC, "AArch64");
}

static void kernels_without_64_bit_entry_are_named(void **state)
{
    struct fixture *f = *state;
    struct image_elf e = vmlinux();
    e.is_32 = true;
    expect_error(f, image_elf(&e), -ENOEXEC, "32-bit");
    expect_error(f, make_bzimage(COMPRESSION_XZ, &e), -ENOEXEC, "32-bit");
    e = vmlinux();
    e.interpreter = true;
    expect_error(f, image_elf(&e), -ENOEXEC, "user space");
    e = vmlinux();
    e.type = ET_REL;
    expect_error(f, image_elf(&e), -ENOEXEC, "object file");
    e = vmlinux();
    e.entry = 0x10;
    expect_error(f, image_elf(&e), -ENOEXEC, "entry");
}

static void kernel_too_large_for_memory_is_named(void **state)
{
    struct fixture *f = *state;
    struct image_elf e = vmlinux();
    e.mem_size = RAM;
    expect_error(f, image_elf(&e), -ENOMEM, "RAM");
    expect_error(f, make_bzimage(COMPRESSION_GZIP, &e), -ENOMEM, "RAM");
    e = vmlinux();
    e.paddr = e.entry = 0x20000;
    expect_error(f, image_elf(&e), -ENOMEM, "boot tables");
    e = vmlinux();
    f->args.nr_map = 0;
    expect_error(f, image_elf(&e), -ENOMEM, "too little memory");
}

static void every_truncation_fails_with_a_message(void **state)
{
    struct fixture *f = *state;
    struct image_elf e = vmlinux();
    struct blob images[] = { make_bzimage(COMPRESSION_LZ4, &e), image_elf(&e) };
    const size_t whole[] = { images[0].len - 15, images[1].len }; /* the bzImage ends in up to 15 bytes of padding */
    for (size_t i = 0; i < ARRAY_SIZE(images); i++) {
        for (size_t len = 0; len < whole[i]; len++) {
            const struct blob cut = { .data = images[i].data, .len = len };
            assert_true(load(f, &cut) < 0);
            if (len > 0x300)
                assert_non_null(strstr(f->err.msg, "truncated"));
        }
        blob_done(&images[i]);
    }
}

static void corrupt_payload_is_noticed(void **state)
{
    struct fixture *f = *state;
    struct image_elf e = vmlinux();
    struct blob image = make_bzimage(COMPRESSION_XZ, &e);
    image.data[1024 + 64 + 100] ^= 1;
    expect_error(f, image, -EBADMSG, "corrupt");
    image = make_bzimage(COMPRESSION_LZ4, &e); /* no checksum, but the size behind it */
    uint32_t payload;
    memcpy(&payload, image.data + 0x24c, 4);
    image.data[1024 + 64 + payload - 4] ^= 1;
    expect_error(f, image, -EBADMSG, "expected");
    image = make_bzimage(COMPRESSION_GZIP, &e);
    image.data[1024 + 64] ^= 1;
    expect_error(f, image, -ENOTSUP, "compression");
}

static void old_boot_protocol_is_named(void **state)
{
    struct fixture *f = *state;
    struct image_elf e = vmlinux();
    struct blob image = make_bzimage(COMPRESSION_GZIP, &e);
    image.data[0x206] = 7;
    expect_error(f, image, -ENOTSUP, "2.07");
}

static void random_bytes_are_no_kernel(void **state)
{
    struct fixture *f = *state;
    struct blob b = { 0 };
    uint32_t x = 7;
    for (unsigned i = 0; i < 20000; i++) {
        x = x * 1664525 + 1013904223;
        image_put32(&b, x);
    }
    expect_error(f, b, -ENOEXEC, "not a kernel");
    expect_error(f, bytes("", 0), -ENOEXEC, "empty");
}

static void file_errors_name_the_file(void **state)
{
    struct fixture *f = *state;
    char path[] = "/tmp/doppel-kernel-test-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(kernel_load_file(&f->gm, path, &f->args, &f->boot, &f->err), -ENODATA);
    assert_non_null(strstr(f->err.msg, path));
    assert_int_equal(write(fd, "junk", 4), 4);
    assert_int_equal(kernel_load_file(&f->gm, path, &f->args, &f->boot, &f->err), -ENOEXEC);
    assert_non_null(strstr(f->err.msg, path));
    close(fd);
    unlink(path);
    assert_int_equal(kernel_load_file(&f->gm, path, &f->args, &f->boot, &f->err), -ENOENT);
    assert_non_null(strstr(f->err.msg, path));
    assert_int_equal(kernel_load_file(&f->gm, "/", &f->args, &f->boot, &f->err), -EISDIR);
}

#define LAW(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LAW(vmlinux_is_entered_by_the_64_bit_protocol),
        LAW(virtual_entry_is_translated),
        LAW(bzimage_of_every_compression_loads),
        LAW(compressed_vmlinux_loads),
        LAW(initrds_lie_behind_each_other_at_the_top),
        LAW(initrd_stays_below_the_kernels_limit),
        LAW(initrd_that_does_not_fit_is_named),
        LAW(command_line_limit_is_the_kernels),
        LAW(pvh_gets_start_info),
        LAW(protocol_can_be_chosen),
        LAW(multiboot_elf_gets_information),
        LAW(multiboot_address_fields_load_a_flat_file),
        LAW(multiboot_bad_address_fields_are_refused),
        LAW(multiboot_features_it_does_not_have_are_refused),
        LAW(foreign_isa_is_named),
        LAW(kernels_without_64_bit_entry_are_named),
        LAW(kernel_too_large_for_memory_is_named),
        LAW(every_truncation_fails_with_a_message),
        LAW(corrupt_payload_is_noticed),
        LAW(old_boot_protocol_is_named),
        LAW(random_bytes_are_no_kernel),
        LAW(file_errors_name_the_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
