/* SPDX-License-Identifier: MIT */
/*
 * Implementation of the riscv64 kernel loader. All input is untrusted.
 */
#include "machine/virt_boot.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/cleanup.h"
#include "machine/bzimage.h"
#include "machine/decompress.h"
#include "machine/elfkernel.h"
#include "machine/kernel.h"

/* The header of an Image, little-endian. */
struct image_header {
    uint32_t code[2];
    uint64_t text_offset; /* of the load address from the start of RAM */
    uint64_t image_size;  /* bytes in memory, with bss */
    uint64_t flags;       /* bit 0: big-endian */
    uint32_t version;
    uint32_t reserved;
    uint64_t reserved2;
    char magic[8];
    char magic2[4];
    uint32_t pe_offset;
};
static_assert(sizeof(struct image_header) == 64, "as in the file");
enum { IMAGE_OFFSET = 2 << 20 }; /* of an Image from the start of RAM, as Linux is built */

/* The header of an EFI zboot image, little-endian: what EFI firmware would run to unpack the Image. */
struct zboot_header {
    char mz[4], magic[4];
    uint32_t payload_offset, payload_size;
    uint32_t reserved[2];
    char compression[32];
};
static_assert(sizeof(struct zboot_header) == 56, "as in the file");

/* Makes room for what a file has, and zeroes behind it. NULL: there is none (-ENOMEM). */
static uint8_t *make_room(struct gmem *gm, gpa_t at, uint64_t file_size, uint64_t mem_size, struct error *err)
{
    uint8_t *p = gmem_pin(gm, at, mem_size); /* before the CPU runs: there are no code marks to note */
    if (!p) {
        (void)error_set(err, -ENOMEM,
                        "it needs RAM at %#" PRIx64 "-%#" PRIx64 ", which is not all there (give the machine more memory?)", at,
                        at + mem_size - 1); /* returns -ENOMEM, as our callers do */
        return NULL;
    }
    gmem_make(p, file_size);
    memset(p + file_size, 0, mem_size - file_size);
    return p;
}

static int place(struct gmem *gm, gpa_t at, const uint8_t *data, uint64_t file_size, uint64_t mem_size, struct error *err)
{
    uint8_t *p = make_room(gm, at, file_size, mem_size, err);
    if (!p)
        return -ENOMEM;
    memcpy(p, data, file_size);
    return 0;
}

/* Adds a loaded range. */
static void extend(struct load_extent *e, gpa_t at, uint64_t size)
{
    *e = (struct load_extent){ .start = e->end ? MIN(e->start, at) : at, .end = MAX(e->end, at + size) };
}

/* How far from its physical addresses an ELF file is loaded: Linux' vmlinux, which is entered in the upper half and has its
 * segments at 0 and on, goes where its Image would. */
static uint64_t elf_shift(const struct elfkernel *elf, gpa_t ram)
{
    return elf->entry >> 63 && elf->extent.end <= ram ? ram + IMAGE_OFFSET : 0;
}

static int load_elf(struct gmem *gm, gpa_t ram, const void *image, size_t len, struct virt_kernel *ret_kernel, struct error *err)
{
    struct elfkernel elf;
    struct virt_kernel kernel = { 0 };
    int r = elfkernel_parse_riscv(image, len, &elf, err);
    if (r == 0 && elf.is_user_program)
        r = error_set(err, -ENOEXEC, "an ELF program for user space, not a kernel");
    if (r == 0)
        r = elfkernel_entry(&elf, &kernel.entry, err);
    if (r < 0)
        return r;
    const uint64_t shift = elf_shift(&elf, ram);
    kernel.entry += shift;
    kernel.is_linux = shift != 0;
    for (unsigned i = 0; r == 0 && i < elf.nr_segments; i++) {
        const struct elfkernel_segment *s = &elf.segment[i];
        r = place(gm, s->paddr + shift, elf.data + s->offset, s->file_size, s->mem_size, err);
        extend(&kernel.extent, s->paddr + shift, s->mem_size);
    }
    if (r == 0)
        *ret_kernel = kernel;
    return r;
}

static bool is_image(const void *image, size_t len)
{
    return len >= sizeof(struct image_header) && memcmp(((const struct image_header *)image)->magic2, "RSC\x05", 4) == 0;
}

/* Where an Image of `len` bytes goes. */
static int image_kernel(const struct image_header *h, gpa_t ram, size_t len, struct virt_kernel *ret_kernel, struct error *err)
{
    gpa_t at;
    if (h->flags & 1)
        return error_set(err, -ENOEXEC, "a big-endian RISC-V Linux Image");
    if (ckd_add(&at, ram, h->text_offset) || (at & (GPAGE_SIZE - 1)))
        return error_set(err, -ENOEXEC, "broken Image header: text offset %#" PRIx64, h->text_offset);
    const uint64_t size = MAX(h->image_size, (uint64_t)len);
    *ret_kernel = (struct virt_kernel){ .entry = at, .extent = { .start = at, .end = at + size }, .is_linux = true };
    return 0;
}

static int load_image(struct gmem *gm, gpa_t ram, const void *image, size_t len, struct virt_kernel *ret_kernel,
                      struct error *err)
{
    struct image_header h;
    struct virt_kernel kernel = { 0 };
    memcpy(&h, image, sizeof(h));
    int r = image_kernel(&h, ram, len, &kernel, err);
    if (r == 0)
        r = place(gm, kernel.entry, image, len, kernel.extent.end - kernel.extent.start, err);
    if (r == 0)
        *ret_kernel = kernel;
    return r;
}

/* The bytes as they are. */
static int load_raw(struct gmem *gm, gpa_t at, const void *image, size_t len, struct virt_kernel *ret_kernel, struct error *err)
{
    int r = place(gm, at, image, len, len, err);
    if (r == 0)
        *ret_kernel = (struct virt_kernel){ .entry = at, .extent = { .start = at, .end = at + len } };
    return r;
}

/* Kernels of other instruction sets that have no ELF header. */
static int check_foreign(const void *image, size_t len, const char *wanted, struct error *err)
{
    if (bzimage_detect(image, len))
        return error_set(err, -ENOEXEC, "an x86 Linux bzImage, not %s for riscv64", wanted);
    if (len >= 60 && memcmp((const char *)image + 56, "ARM\x64", 4) == 0)
        return error_set(err, -ENOEXEC, "an AArch64 Linux Image, not %s for riscv64", wanted);
    return 0;
}

static int load_plain(struct gmem *gm, gpa_t ram, bool firmware, const void *image, size_t len, struct virt_kernel *ret_kernel,
                      struct error *err)
{
    if (elfkernel_detect(image, len))
        return load_elf(gm, ram, image, len, ret_kernel, err);
    if (is_image(image, len))
        return load_image(gm, ram, image, len, ret_kernel, err);
    int r = check_foreign(image, len, "a kernel", err);
    if (r < 0)
        return r;
    if (firmware)
        return load_raw(gm, ram + IMAGE_OFFSET, image, len, ret_kernel, err);
    return error_set(err, -ENOEXEC, "not a kernel for riscv64: neither ELF nor a Linux Image, in %zu bytes", len);
}

static int load_packed(struct gmem *gm, gpa_t ram, bool firmware, const void *image, size_t len, struct virt_kernel *ret_kernel,
                       struct error *err)
{
    struct blob plain;
    int r = decompress(image, len, KERNEL_SIZE_MAX, &plain, err);
    if (r < 0)
        return r;
    r = load_plain(gm, ram, firmware, plain.data, plain.len, ret_kernel, err);
    blob_done(&plain);
    return r;
}

static bool is_zboot(const void *image, size_t len)
{
    return len >= sizeof(struct zboot_header) && memcmp(image, "MZ", 2) == 0 && memcmp((const char *)image + 4, "zimg", 4) == 0;
}

static int load_zboot(struct gmem *gm, gpa_t ram, const void *image, size_t len, struct virt_kernel *ret_kernel,
                      struct error *err)
{
    struct zboot_header h;
    memcpy(&h, image, sizeof(h));
    if (h.payload_offset > len || h.payload_size > len - h.payload_offset)
        return error_set(err, -ENOEXEC, "truncated: its payload has %u bytes at %#x, the file %zu", h.payload_size,
                         h.payload_offset, len);
    const void *payload = (const char *)image + h.payload_offset;
    if (compression_detect(payload, h.payload_size) == COMPRESSION_NONE)
        return error_set(err, -ENOEXEC, "an EFI zboot image whose payload ('%.*s') is not compressed in a known way",
                         (int)strnlen(h.compression, sizeof(h.compression)), h.compression);
    int r = load_packed(gm, ram, false, payload, h.payload_size, ret_kernel, err);
    return r < 0 ? error_prefix(err, "EFI zboot image's payload") : r;
}

int virt_load_kernel(struct gmem *gm, gpa_t ram, bool firmware, const void *image, size_t len, struct virt_kernel *ret_kernel,
                     struct error *err)
{
    if (len == 0)
        return error_set(err, -ENOEXEC, "empty");
    if (is_zboot(image, len))
        return load_zboot(gm, ram, image, len, ret_kernel, err);
    if (compression_detect(image, len) == COMPRESSION_NONE)
        return load_plain(gm, ram, firmware, image, len, ret_kernel, err);
    return load_packed(gm, ram, firmware, image, len, ret_kernel, err);
}

int virt_load_firmware(struct gmem *gm, gpa_t ram, const void *image, size_t len, struct virt_kernel *ret_firmware,
                       struct error *err)
{
    if (elfkernel_detect(image, len))
        return load_elf(gm, ram, image, len, ret_firmware, err);
    if (len == 0 || compression_detect(image, len) != COMPRESSION_NONE)
        return error_set(err, -ENOEXEC, "not firmware for riscv64: neither ELF nor plain code");
    int r = check_foreign(image, len, "firmware", err);
    return r < 0 ? r : load_raw(gm, ram, image, len, ret_firmware, err);
}

/* len bytes of a file from its beginning. */
static int read_whole(int fd, uint8_t *to, size_t len, struct error *err)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = pread(fd, to + done, len - done, (off_t)done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_set(err, -errno, "cannot read it: %s", strerror(errno));
        if (n == 0)
            return error_set(err, -ENODATA, "it shrank while it was read");
        done += (size_t)n;
    }
    return 0;
}

int virt_load_image_file(struct gmem *gm, gpa_t ram, const char *path, struct virt_kernel *ret_kernel, struct error *err)
{
    struct image_header h;
    struct virt_kernel kernel = { 0 };
    struct stat st;
    if (stat(path, &st) < 0 || !S_ISREG(st.st_mode)) /* a pipe's reader is not to come and go */
        return 0;
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0 || fstat(fd, &st) < 0 || (uint64_t)st.st_size > KERNEL_SIZE_MAX || pread(fd, &h, sizeof(h), 0) != sizeof(h)
        || !is_image(&h, sizeof(h)) || is_zboot(&h, sizeof(h)) || elfkernel_detect(&h, sizeof(h))
        || compression_detect(&h, sizeof(h)) != COMPRESSION_NONE)
        return 0;
    const size_t len = (size_t)st.st_size;
    int r = image_kernel(&h, ram, len, &kernel, err);
    if (r < 0)
        return r;
    uint8_t *p = make_room(gm, kernel.entry, len, kernel.extent.end - kernel.extent.start, err);
    if (!p)
        return -ENOMEM;
    r = read_whole(fd, p, len, err);
    if (r < 0)
        return r;
    *ret_kernel = kernel;
    return 1;
}
