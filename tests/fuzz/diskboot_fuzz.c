/* SPDX-License-Identifier: MIT */
/*
 * Fuzzer of kernels from disks: damaged file systems and partition tables must give a kernel or a message, soon, and nothing
 * else.
 *
 * Half of the file systems have no checksums, so that damage gets past the first look. Mutations go where there is metadata.
 * Without mke2fs it is skipped (exit status 77).
 */
#include "machine/diskboot.h"
#include "support/memory_disk.h"
#include "fuzz.h"

#include "base/checked.h"

enum { FS = 1 << 20, PART_AT = 64 << 10, DISK = PART_AT + FS, MUTATIONS_MAX = 12, KINDS = 6, HANG = 60 };

static const char *const kinds[KINDS] = {
    "-t ext4 -b 1024 -O ^metadata_csum,^uninit_bg,^has_journal",
    "-t ext4 -b 4096 -O ^metadata_csum,^has_journal,^64bit",
    "-t ext2 -b 1024",
    "-t ext4 -b 1024 -I 256 -O inline_data,^metadata_csum,^has_journal",
    "-t ext4 -b 1024 -O ^has_journal",
    "-t ext4 -b 4096 -O ^has_journal",
};

static uint8_t *image[KINDS];
static uint32_t metadata[KINDS][4096]; /* offsets of 64-byte pieces that hold something, of the first KiBs more often */
static unsigned nr_metadata[KINDS];

static void make_tree(const char *folder)
{
    char path[128];
    memory_disk_file(folder, "boot/vmlinuz-6.1.0-9", 30000, 1);
    memory_disk_file(folder, "boot/initrd.img-6.1.0-9", 90000, 2);
    memory_disk_file(folder, "boot/vmlinuz-6.1.0-10", 200, 3);
    for (unsigned i = 0; i < 40; i++) {
        (void)snprintf(path, sizeof(path), "boot/some-file-with-a-name-%u", i);
        memory_disk_file(folder, path, i, 4);
    }
    (void)snprintf(path, sizeof(path), "%s/vmlinuz", folder);
    if (symlink("boot/vmlinuz-6.1.0-9", path) < 0)
        abort();
}

static bool make_images(void)
{
    char folder[] = "/tmp/doppel-fuzz-XXXXXX", command[64];
    bool good = mkdtemp(folder) != NULL;
    if (!good)
        return false;
    make_tree(folder);
    for (unsigned k = 0; k < KINDS && good; k++) {
        struct memory_disk d = memory_disk(DISK);
        const size_t at = k % 2 ? PART_AT : 0;
        good = memory_disk_mke2fs(&d, at, FS, folder, kinds[k]);
        if (at) {
            static const uint8_t entry[16] = { [4] = 0x83, [8] = PART_AT / 512, [12] = FS / 512 & 0xff, [13] = FS / 512 >> 8 };
            memcpy(d.data + 446, entry, sizeof(entry));
            memcpy(d.data + 510, "\x55\xaa", 2);
        }
        image[k] = d.data;
        for (size_t i = 0; i < DISK && nr_metadata[k] < ARRAY_SIZE(metadata[k]); i += 64)
            for (unsigned b = 0; b < 64; b++)
                if (d.data[i + b] && i < at + FS / 4) {
                    metadata[k][nr_metadata[k]++] = (uint32_t)i;
                    break;
                }
    }
    (void)snprintf(command, sizeof(command), "rm -rf %s", folder);
    return system(command) == 0 && good;
}

static void mutate_once(struct fuzz *f, unsigned kind, uint8_t *data)
{
    static const uint32_t values[] = { 0,     1,      2,      7,       0x7f,       0xff,       0x100,     0x3ff,
                                       0x400, 0x1000, 0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xffffffff };
    const size_t piece = metadata[kind][fuzz_below(f, nr_metadata[kind])];
    const size_t into = piece + fuzz_below(f, 64), at = MIN(into, (size_t)DISK - 8);
    const uint32_t value = fuzz_below(f, 2) ? values[fuzz_below(f, ARRAY_SIZE(values))] : (uint32_t)fuzz_u64(f);
    switch (fuzz_below(f, 5)) {
    case 0: data[at] ^= 1 << fuzz_below(f, 8); break;
    case 1: data[at] = (uint8_t)value; break;
    case 2: memcpy(data + (at & ~3UL), &value, 4); break;
    case 3: memcpy(data + (at & ~1UL), &value, 2); break;
    case 4: memcpy(data + piece, data + metadata[kind][fuzz_below(f, nr_metadata[kind])], 64); break;
    }
}

/* Loads from one damaged disk; true when there was a kernel. */
static bool run_one(struct fuzz *f, struct memory_disk *d)
{
    const unsigned kind = (unsigned)fuzz_below(f, KINDS);
    struct diskboot boot = { 0 };
    struct error err = { 0 };
    memcpy(d->data, image[kind], DISK);
    for (uint64_t n = fuzz_below(f, MUTATIONS_MAX + 1); n > 0; n--)
        mutate_once(f, kind, d->data);
    d->head.size = fuzz_below(f, 16) ? DISK : ALIGN_DOWN(fuzz_below(f, DISK), 512);
    (void)alarm(HANG);
    int r = diskboot_load(&d->head, &boot, &err);
    if (r > 0 || (r < 0 && (err.code != r || !err.msg[0])) || (r == 0 && !boot.kernel.len)) {
        printf("case %lu: result %d with message '%s'\n", (unsigned long)f->cases, r, err.msg);
        abort();
    }
    diskboot_done(&boot);
    return r == 0;
}

int main(int argc, char **argv)
{
    struct fuzz f;
    uint64_t loaded = 0;
    fuzz_start(&f, argc, argv, 10);
    if (!make_images()) {
        printf("skipped: mke2fs does not make file systems here\n");
        return 77;
    }
    struct memory_disk d = memory_disk(DISK);
    while (fuzz_more(&f))
        loaded += run_one(&f, &d);
    printf("%lu disks had a kernel\n", (unsigned long)loaded);
    free(d.data);
    for (unsigned k = 0; k < KINDS; k++)
        free(image[k]);
    return loaded == 0 || loaded >= f.cases - 1; /* neither would test anything */
}
